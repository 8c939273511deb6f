"""The painter's process, and the pipe to it: hired, listened to, and replaced when it is gone."""

import multiprocessing
from contextlib import suppress
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from impasto.studio.worker import Message, run_worker


class WorkerProcess:
    """A process that paints what it is sent; `ring` wakes whoever listens, from any thread."""

    def __init__(self, root: Path, threads: int | None) -> None:
        self._root, self._threads = root, threads
        self._wake_receiver, self._wake_sender = multiprocessing.Pipe(duplex=False)
        self.start()

    def start(self) -> None:
        """Start the process."""
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=run_worker, args=(theirs, self._root, self._threads), name="impasto painter", daemon=True
        )
        self._process.start()
        theirs.close()

    def send(self, order: tuple[str, dict[str, Any]]) -> None:
        """Send an order; a process that is gone gets none."""
        with suppress(OSError):
            self._pipe.send(order)

    def wake(self) -> None:
        """Wake whoever listens."""
        with suppress(OSError):
            self._wake_sender.send(None)

    def poll(self, timeout: float = 5.0) -> tuple[list[Message], bool]:
        """Wait for messages, for the bell or for the end; returns the messages, and whether the process is alive."""
        heard: list[Message] = []
        awake = wait([self._pipe, self._wake_receiver, self._process.sentinel], timeout=timeout)
        while self._wake_receiver.poll():
            self._wake_receiver.recv()
        try:
            while self._pipe.poll():
                heard.append(self._pipe.recv())
        except (EOFError, OSError):
            return heard, False
        return heard, self._process.sentinel not in awake

    def reap(self) -> int | None:
        """Clear away after a process that has ended; returns its exit code."""
        self._process.join(5)
        self._pipe.close()
        return self._process.exitcode

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()

    def shut_down(self) -> None:
        """Let the process end when it is done."""
        self._pipe.close()

    def is_alive(self) -> bool:
        """Tell whether the process runs."""
        return self._process.is_alive()
