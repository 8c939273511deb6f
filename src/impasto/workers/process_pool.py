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

from impasto.workers.messages import Event, Task, WorkerLost, WorkerReady


@dataclass(eq=False)
class ProcessHandle:
    """A process and the line to it."""

    process: SpawnProcess
    connection: Connection
    name: str
    task_number: int = 0  # of its task
    is_broken: bool = field(default=False)

    def submit(self, task: Task) -> None:
        """Let it paint a task."""
        self.task_number = task.number
        self._send(task)

    def request_stop(self) -> None:
        """Let it leave its task between two steps."""
        self._send(None)

    def _send(self, message: Task | None) -> None:
        try:
            self.connection.send(message)
        except OSError:
            self.is_broken = True  # listen finds it dead


class ProcessPool:
    """Starts processes, never more than `workers`; each sees one of `gpus` graphics cards where there are any."""

    def __init__(self, workers: int, threads: int, gpus: int = 0) -> None:
        self._workers, self._threads, self._gpus = workers, threads, gpus
        self._handles: list[ProcessHandle] = []
        self._started = 0

    def count_workers(self) -> int:
        """How many workers there may be."""
        return self._workers

    def start_worker(self) -> ProcessHandle:
        """Start one more process."""
        context = multiprocessing.get_context("spawn")
        line, theirs = context.Pipe()
        card = self._started % self._gpus if self._gpus else None
        self._started += 1
        process = context.Process(target=run_worker, args=(theirs, self._threads, card), daemon=True)
        with _interrupts_blocked():
            process.start()
        theirs.close()
        hand = ProcessHandle(process, line, f"process {process.pid}")
        self._handles.append(hand)
        return hand

    def poll(self, seconds: float) -> Sequence[tuple[ProcessHandle, Event]]:
        """Return what the workers have said, and which of them have died."""
        lines = {hand.connection: hand for hand in self._handles}
        heard: list[tuple[ProcessHandle, Event]] = []
        for line in wait([*lines], seconds):
            assert isinstance(line, Connection)
            hand = lines[line]
            try:
                heard.append((hand, line.recv()))
            except (EOFError, OSError):
                heard.append((hand, self._reap(hand)))
        return heard

    def close(self) -> None:
        """End all processes at once."""
        for hand in self._handles:
            hand.process.kill()
        for hand in self._handles:
            hand.process.join()
            hand.connection.close()
        self._handles.clear()

    def _reap(self, hand: ProcessHandle) -> WorkerLost:
        self._handles.remove(hand)
        hand.process.join(5)
        if hand.process.exitcode is None:
            hand.process.kill()
            hand.process.join()
        hand.connection.close()
        return WorkerLost(
            hand.task_number, worker=hand.name, reason=f"its process {_explain_exit(hand.process.exitcode)}"
        )


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


def _explain_exit(code: int | None) -> str:
    if code is not None and code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


def run_worker(line: Connection, threads: int, card: int | None) -> None:
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
    from impasto.workers.worker import Worker

    worker = Worker()
    line.send(WorkerReady(0, worker=worker.name))
    while True:
        for event in worker.paint(tasks.get(), stopping.is_set):
            line.send(event)
