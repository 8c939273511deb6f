"""The foreman: hands tasks out to workers, and hands them out again where a worker dies."""

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from impasto.workers.messages import Event, Task, TaskFailed, TaskFinished, TaskStopped, WorkerLost, WorkerReady

MAX_ATTEMPTS = 3  # so many workers may die of one task before it counts as failed
POLL_SECONDS = 0.25  # seconds at a time
RECOUNT_SECONDS = 5.0  # seconds until the crew is asked again how many workers there may be


class WorkerHandle(Protocol):
    """A worker, as the foreman sees it. It takes one task at a time, once it has arrived."""

    def submit(self, task: Task) -> None:
        """Let it paint a task."""

    def request_stop(self) -> None:
        """Let it leave its task between two steps."""


class WorkerPool(Protocol):
    """Workers of one kind: processes here, or actors on a cluster."""

    def count_workers(self) -> int:
        """How many workers there may be now."""

    def start_worker(self) -> WorkerHandle:
        """Start one more; it says `Arrived` when it can take a task."""

    def poll(self, seconds: float) -> Sequence[tuple[WorkerHandle, Event]]:
        """Wait at most so long for events, of whom they are, and return them in order."""

    def close(self) -> None:
        """Let all workers go at once, whatever they are at."""


@dataclass(frozen=True)
class Limits:
    """What all tasks that are painted at one time may take together."""

    memory_bytes: float = math.inf
    threads: float = math.inf


class Scheduler:
    """Sees to it that every task is finished once, has failed, or was stopped; `tell` hears every event.

    A task whose worker dies is given to another one, where it goes on from its checkpoint.
    """

    def __init__(self, pool: WorkerPool, emit: Callable[[Event], None], limits: Limits | None = None) -> None:
        self._pool, self._emit, self._limits = pool, emit, limits or Limits()
        self._waiting: deque[Task] = deque()
        self._idle: list[WorkerHandle] = []
        self._busy: dict[WorkerHandle, Task] = {}
        self._starting: set[WorkerHandle] = set()
        self._losses: Counter[int] = Counter()
        self._early_losses = 0
        self._max_workers, self._counted_at = 0, -math.inf

    def run(self, tasks: Sequence[Task], stopping: Callable[[], bool]) -> None:
        """Have the tasks painted, in their order; once `stopping`, wait only for those that are being painted."""
        self._waiting.extend(tasks)
        while self._waiting or self._busy:
            if stopping():
                self._drain()
                return
            self._start_workers()
            self._assign_tasks()
            for hand, event in self._pool.poll(POLL_SECONDS):
                self._on_event(hand, event)

    def _start_workers(self) -> None:
        if time.monotonic() - self._counted_at > RECOUNT_SECONDS:
            self._max_workers, self._counted_at = self._pool.count_workers(), time.monotonic()
        wanted = min(self._max_workers, len(self._waiting) + len(self._busy))
        while len(self._idle) + len(self._busy) + len(self._starting) < wanted:
            self._starting.add(self._pool.start_worker())

    def _assign_tasks(self) -> None:
        while self._idle and self._waiting and self._has_room_for(self._waiting[0]):
            hand, task = self._idle.pop(0), self._waiting.popleft()
            self._busy[hand] = task
            hand.submit(task)

    def _has_room_for(self, task: Task) -> bool:
        """May it be painted beside what is being painted? Alone it may, whatever it takes."""
        beside = [*self._busy.values(), task]
        return not self._busy or (
            sum(it.memory_bytes for it in beside) <= self._limits.memory_bytes
            and sum(it.threads for it in beside) <= self._limits.threads
        )

    def _on_event(self, hand: WorkerHandle, event: Event) -> None:
        task = self._busy.get(hand)
        match event:
            case WorkerReady():
                self._starting.discard(hand)
                self._idle.append(hand)
                self._early_losses = 0
                return
            case WorkerLost():
                self._on_worker_exit(hand, event)
                return
            case TaskFinished() | TaskFailed() | TaskStopped() if task:
                del self._busy[hand]
                self._idle.append(hand)
        self._emit(event)

    def _on_worker_exit(self, hand: WorkerHandle, death: WorkerLost) -> None:
        if hand in self._starting or hand in self._idle:
            self._starting.discard(hand)
            self._idle = [other for other in self._idle if other is not hand]
            self._early_losses += not death.node_failure
            if self._early_losses >= MAX_ATTEMPTS and not (self._idle or self._busy):
                self._fail_remaining(death)
            return
        task = self._busy.pop(hand)
        self._losses[task.number] += not death.node_failure
        self._emit(WorkerLost(task.number, worker=death.worker, reason=death.reason))
        if self._losses[task.number] < MAX_ATTEMPTS:
            self._waiting.appendleft(replace(task, is_retry=True))
        else:
            self._emit(TaskFailed(task.number, reason=_explain_losses(death.reason, MAX_ATTEMPTS)))

    def _fail_remaining(self, death: WorkerLost) -> None:
        """No worker even begins: say so of every task that is left."""
        while self._waiting:
            self._emit(TaskFailed(self._waiting.popleft().number, reason=f"no worker could be started: {death.reason}"))

    def _drain(self) -> None:
        self._waiting.clear()
        for hand in self._busy:
            hand.request_stop()
        while self._busy:
            for hand, event in self._pool.poll(POLL_SECONDS):
                if isinstance(event, WorkerLost):
                    self._busy.pop(hand, None)
                elif not isinstance(event, WorkerReady):
                    self._on_event(hand, event)


def _explain_losses(reason: str, tries: int) -> str:
    return (
        f"{tries} workers died of it, the last one: {reason}. Probably it took more memory than there is: try fewer "
        "--workers, a lower --memory, or a smaller --size"
    )
