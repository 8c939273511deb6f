"""The scheduler: gives tasks to workers, and gives a task to another worker if one is lost."""

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace

from impasto.workers.messages import Event, Task, TaskFailed, TaskFinished, TaskStopped, WorkerLost, WorkerReady
from impasto.workers.pool import WorkerHandle, WorkerOptions, WorkerPool, open_pool
from impasto.workers.resources import Allocation, Limits

MAX_ATTEMPTS = 3  # a task that lost so many workers counts as failed
POLL_SECONDS = 0.25
RECOUNT_SECONDS = 5.0  # a cluster can grow


def run_tasks(
    tasks: Sequence[Task],
    allocation: Allocation,
    options: WorkerOptions,
    is_stopping: Callable[[], bool],
) -> Generator[Event]:
    """Open the pool that `options` ask for, run the tasks and yield what happens, as `Scheduler.run` does.

    Raises UsageError if there is no such engine or cluster.
    """
    limits = allocation.limits if options.engine == "local" else Limits()
    with open_pool(tasks, allocation, options) as pool:
        yield from Scheduler(pool, limits).run(tasks, is_stopping)


class Scheduler:
    """Runs every task until it is finished, has failed, or was stopped: exactly one of these events for each.

    When a worker is lost, another worker continues its task from the checkpoint.
    """

    def __init__(self, pool: WorkerPool, limits: Limits | None = None) -> None:
        self._pool, self._limits = pool, limits or Limits()
        self._waiting: deque[Task] = deque()
        self._idle: list[WorkerHandle] = []
        self._busy: dict[WorkerHandle, Task] = {}
        self._starting: set[WorkerHandle] = set()
        self._losses: Counter[int] = Counter()
        self._early_losses = 0
        self._max_workers, self._counted_at = 0, -math.inf

    def run(self, tasks: Sequence[Task], is_stopping: Callable[[], bool]) -> Iterator[Event]:
        """Run the tasks in their order and yield what happens. Once `is_stopping`, stop the running ones and return."""
        self._waiting.extend(tasks)
        while self._waiting or self._busy:
            if is_stopping():
                yield from self._drain()
                return
            self._start_workers()
            self._assign_tasks()
            for worker, event in self._pool.poll(POLL_SECONDS):
                yield from self._on_event(worker, event)

    def _start_workers(self) -> None:
        if time.monotonic() - self._counted_at > RECOUNT_SECONDS:
            self._max_workers, self._counted_at = self._pool.count_workers(), time.monotonic()
        wanted = min(self._max_workers, len(self._waiting) + len(self._busy))
        while len(self._idle) + len(self._busy) + len(self._starting) < wanted:
            self._starting.add(self._pool.start_worker())

    def _assign_tasks(self) -> None:
        while self._idle and self._waiting and self._has_room_for(self._waiting[0]):
            worker, task = self._idle.pop(0), self._waiting.popleft()
            self._busy[worker] = task
            worker.submit(task)

    def _has_room_for(self, task: Task) -> bool:
        """Whether the task fits within the limits along with the running ones. Alone, every task may run."""
        tasks = [*self._busy.values(), task]
        return not self._busy or (
            sum(each.memory_bytes for each in tasks) <= self._limits.memory_bytes
            and sum(each.threads for each in tasks) <= self._limits.threads
        )

    def _on_event(self, worker: WorkerHandle, event: Event) -> Iterator[Event]:
        match event:
            case WorkerReady():
                self._starting.discard(worker)
                self._idle.append(worker)
                self._early_losses = 0
            case WorkerLost():
                yield from self._on_worker_exit(worker, event)
            case TaskFinished() | TaskFailed() | TaskStopped() if worker in self._busy:
                del self._busy[worker]
                self._idle.append(worker)
                yield event
            case _:
                yield event

    def _on_worker_exit(self, worker: WorkerHandle, loss: WorkerLost) -> Iterator[Event]:
        if worker not in self._busy:
            yield from self._on_idle_worker_exit(worker, loss)
            return
        task = self._busy.pop(worker)
        self._losses[task.number] += not loss.node_failure
        yield replace(loss, number=task.number)
        if self._losses[task.number] < MAX_ATTEMPTS:
            self._waiting.appendleft(replace(task, is_retry=True))
        else:
            yield TaskFailed(task.number, reason=_explain_losses(loss.reason))

    def _on_idle_worker_exit(self, worker: WorkerHandle, loss: WorkerLost) -> Iterator[Event]:
        """Handle a worker that had no task. If no worker can even start, all remaining tasks fail."""
        self._starting.discard(worker)
        self._idle = [other for other in self._idle if other is not worker]
        self._early_losses += not loss.node_failure
        if self._early_losses >= MAX_ATTEMPTS and not (self._idle or self._busy):
            while self._waiting:
                number = self._waiting.popleft().number
                yield TaskFailed(number, reason=f"no worker could be started: {loss.reason}")

    def _drain(self) -> Iterator[Event]:
        """Stop the running tasks and wait for them. A worker that is lost now is not replaced."""
        self._waiting.clear()
        for worker in self._busy:
            worker.request_stop()
        while self._busy:
            for worker, event in self._pool.poll(POLL_SECONDS):
                if isinstance(event, WorkerLost):
                    self._busy.pop(worker, None)
                elif not isinstance(event, WorkerReady):
                    yield from self._on_event(worker, event)


def _explain_losses(reason: str) -> str:
    return (
        f"{MAX_ATTEMPTS} workers were lost while painting it, the last one: {reason}. Probably it took more memory "
        "than there is: try fewer `workers`, a lower `memory`, or a smaller `size`"
    )
