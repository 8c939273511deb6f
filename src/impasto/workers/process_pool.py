"""Workers on this machine: processes, each with its share of the threads."""

import os
import threading
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from queue import SimpleQueue
from typing import cast

from impasto.workers.messages import Event, Task, WorkerLost, WorkerReady
from impasto.workers.openmp import configure_openmp
from impasto.workers.processes import WorkerProcess


class ProcessHandle(WorkerProcess):
    """A process that paints one task at a time."""

    task_number: int = 0

    def submit(self, task: Task) -> None:
        """Send a task to be painted."""
        self.task_number = task.number
        self.send(task)

    def request_stop(self) -> None:
        """Ask it to leave its task after the present step."""
        self.send(None)


class ProcessPool:
    """At most `workers` processes. If there are `cards`, named as in CUDA_VISIBLE_DEVICES, each process sees one."""

    def __init__(self, workers: int, threads: int, cards: Sequence[str] = ()) -> None:
        self._max_workers, self._threads, self._cards = workers, threads, cards
        self._workers: list[ProcessHandle] = []
        self._started = 0

    def count_workers(self) -> int:
        """How many workers there may be."""
        return self._max_workers

    def start_worker(self) -> ProcessHandle:
        """Start one more process."""
        card = self._cards[self._started % len(self._cards)] if self._cards else None
        self._started += 1
        worker = ProcessHandle(run_worker, self._threads, card)
        self._workers.append(worker)
        return worker

    def poll(self, seconds: float) -> Sequence[tuple[ProcessHandle, Event]]:
        """Wait at most `seconds` for events and for processes that end."""
        workers = {worker.connection: worker for worker in self._workers}
        events: list[tuple[ProcessHandle, Event]] = []
        for connection in wait([*workers], seconds):
            worker = workers[cast(Connection, connection)]
            messages, can_continue = worker.receive()
            events += [(worker, message) for message in messages]
            if not can_continue:
                self._workers.remove(worker)
                events.append((worker, WorkerLost(worker.task_number, worker.name, f"its process {worker.reap()}")))
        return events

    def close(self) -> None:
        """End all processes at once."""
        for worker in self._workers:
            worker.kill()
        for worker in self._workers:
            worker.reap()
        self._workers.clear()


def run_worker(connection: Connection, threads: int, card: str | None) -> None:
    """Paint tasks until the connection breaks, as it does when the parent process ends in any way."""
    configure_openmp(threads)
    if card is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = card
    tasks: SimpleQueue[Task] = SimpleQueue()
    stop_requested = threading.Event()
    threading.Thread(target=_receive_tasks, args=(connection, tasks, stop_requested), daemon=True).start()
    from impasto.workers.worker import Worker

    worker = Worker()
    connection.send(WorkerReady(0, worker=worker.name))
    while True:
        for event in worker.paint(tasks.get(), stop_requested.is_set):
            connection.send(event)


def _receive_tasks(connection: Connection, tasks: "SimpleQueue[Task]", stop_requested: threading.Event) -> None:
    try:
        while True:
            message = connection.recv()
            if message is None:
                stop_requested.set()
            else:
                tasks.put(message)
    except (EOFError, OSError):
        os._exit(1)  # at once: a next run may be waiting for the files that this worker writes
