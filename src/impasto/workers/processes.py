"""One worker process and the pipe to it: started, sent messages, read, and cleared away when it has ended."""

import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Any

EXIT_WAIT_SECONDS = 5.0
EXIT_POLL_SECONDS = 0.01


class WorkerProcess:
    """A new Python process that calls `target(connection, *arguments)`, with a pipe to it.

    It ignores Ctrl-C, which a terminal sends to every process: the parent decides what to do. `connection` is the
    parent's end of the pipe, to wait on; it also becomes ready when the process ends.
    """

    def __init__(self, target: Callable[..., None], *arguments: Any, name: str | None = None) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection: Connection[Any, Any]
        self.connection, child_end = context.Pipe()
        self._process = context.Process(
            target=_ignore_interrupts, args=(target, child_end, *arguments), name=name, daemon=True
        )
        with _interrupts_blocked():
            self._process.start()
        child_end.close()
        self.name: str = f"process {self._process.pid}"

    def send(self, message: Any) -> None:
        """Send a message. If the process has ended, the message is lost, and the next `receive` reports the end."""
        with suppress(OSError):
            self.connection.send(message)

    def receive(self) -> tuple[list[Any], bool]:
        """Return the messages that have arrived, without waiting, and whether more can follow."""
        messages = []
        try:
            while self.connection.poll():
                messages.append(self.connection.recv())
        except (EOFError, OSError):
            return messages, False
        return messages, True

    @property
    def is_alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.is_alive()

    @property
    def exit_code(self) -> int | None:
        """The exit code, negative for a signal; None while the process runs."""
        return self._process.exitcode

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()

    def reap(self) -> str:
        """Clear away a process that is ending, killing it if it takes too long. Returns how it ended, for messages.

        It takes twice EXIT_WAIT_SECONDS at most: one that can't be killed, as it waits for a disk, is left alone.
        """
        self.connection.close()
        if not self._has_ended_soon():
            self.kill()
            self._has_ended_soon()
        code = self.exit_code
        if code is not None and code < 0:
            name = next((known.name for known in signal.Signals if known == -code), f"signal {-code}")
            return f"was ended by {name}"
        return f"ended with exit code {code}"

    def _has_ended_soon(self) -> bool:
        """Wait a while for the end. `join` waits without limit for a process that has closed its files already."""
        until = time.monotonic() + EXIT_WAIT_SECONDS
        while self.is_alive and time.monotonic() < until:
            time.sleep(EXIT_POLL_SECONDS)
        return not self.is_alive


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Block Ctrl-C so that a process started here can't receive it before it ignores it."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _ignore_interrupts(target: Callable[..., None], *arguments: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # blocked when the process was started
    target(*arguments)
