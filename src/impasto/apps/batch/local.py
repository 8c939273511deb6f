"""Workers on this machine: processes, each with its own share of the threads."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from queue import SimpleQueue

from impasto.apps.batch.tasks import Arrived, Died, Event, Task


@dataclass(eq=False)
class LocalHand:
    """A process and the line to it."""

    process: SpawnProcess
    line: Connection
    name: str
    number: int = 0  # of its task
    lost: bool = field(default=False)

    def give(self, task: Task) -> None:
        """Let it paint a task."""
        self.number = task.number
        self._send(task)

    def stop(self) -> None:
        """Let it leave its task between two steps."""
        self._send(None)

    def _send(self, message: Task | None) -> None:
        try:
            self.line.send(message)
        except OSError:
            self.lost = True  # listen finds it dead


class LocalCrew:
    """Starts processes, never more than `workers`; each sees one of `gpus` graphics cards where there are any."""

    def __init__(self, workers: int, threads: int, gpus: int = 0) -> None:
        self._workers, self._threads, self._gpus = workers, threads, gpus
        self._hands: list[LocalHand] = []
        self._hired = 0

    def count(self) -> int:
        """How many workers there may be."""
        return self._workers

    def hire(self) -> LocalHand:
        """Start one more process."""
        context = multiprocessing.get_context("spawn")
        line, theirs = context.Pipe()
        card = self._hired % self._gpus if self._gpus else None
        self._hired += 1
        process = context.Process(target=serve, args=(theirs, self._threads, card), daemon=True)
        with _interrupts_blocked():
            process.start()
        theirs.close()
        hand = LocalHand(process, line, f"process {process.pid}")
        self._hands.append(hand)
        return hand

    def listen(self, seconds: float) -> Sequence[tuple[LocalHand, Event]]:
        """Return what the workers have said, and which of them have died."""
        lines = {hand.line: hand for hand in self._hands}
        heard: list[tuple[LocalHand, Event]] = []
        for line in wait([*lines], seconds):
            assert isinstance(line, Connection)
            hand = lines[line]
            try:
                heard.append((hand, line.recv()))
            except (EOFError, OSError):
                heard.append((hand, self._bury(hand)))
        return heard

    def close(self) -> None:
        """End all processes at once."""
        for hand in self._hands:
            hand.process.kill()
        for hand in self._hands:
            hand.process.join()
            hand.line.close()
        self._hands.clear()

    def _bury(self, hand: LocalHand) -> Died:
        self._hands.remove(hand)
        hand.process.join(5)
        if hand.process.exitcode is None:
            hand.process.kill()
            hand.process.join()
        hand.line.close()
        return Died(hand.number, worker=hand.name, reason=f"its process {_explain(hand.process.exitcode)}")


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Start processes that don't hear Ctrl-C: it reaches all of a terminal, and is the driver's to answer."""
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _explain(code: int | None) -> str:
    if code is not None and code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


def serve(line: Connection, threads: int, card: int | None) -> None:
    """Be a worker until the line breaks, which it does when the driver ends in whatever way."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # blocked since its birth
    os.environ["OMP_NUM_THREADS"] = str(threads)  # read when torch is imported
    if card is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = str(card)
    tasks: SimpleQueue[Task] = SimpleQueue()
    stopping = threading.Event()

    def listen() -> None:
        try:
            while True:
                message = line.recv()
                if message is None:
                    stopping.set()
                else:
                    tasks.put(message)
        except (EOFError, OSError):
            os._exit(1)  # at once: the next run may be waiting for what is painted here

    threading.Thread(target=listen, daemon=True).start()
    from impasto.apps.batch.worker import Worker

    worker = Worker()
    line.send(Arrived(0, worker=worker.name))
    while True:
        for event in worker.paint(tasks.get(), stopping.is_set):
            line.send(event)
