"""The foreman: hands tasks out to workers, and hands them out again where a worker dies."""

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from impasto.apps.batch.tasks import Arrived, Died, Event, Failed, Finished, Stopped, Task

TRIES = 3  # so many workers may die of one task before it counts as failed
LISTEN = 0.25  # seconds at a time
COUNT_AGAIN = 5.0  # seconds until the crew is asked again how many workers there may be


class Hand(Protocol):
    """A worker, as the foreman sees it. It takes one task at a time, once it has arrived."""

    def give(self, task: Task) -> None:
        """Let it paint a task."""

    def stop(self) -> None:
        """Let it leave its task between two steps."""


class Crew(Protocol):
    """Workers of one kind: processes here, or actors on a cluster."""

    def count(self) -> int:
        """How many workers there may be now."""

    def hire(self) -> Hand:
        """Start one more; it says `Arrived` when it can take a task."""

    def listen(self, seconds: float) -> Sequence[tuple[Hand, Event]]:
        """Wait at most so long for events, of whom they are, and return them in order."""

    def close(self) -> None:
        """Let all workers go at once, whatever they are at."""


@dataclass(frozen=True)
class Limits:
    """What all tasks that are painted at one time may take together."""

    bytes: float = math.inf
    threads: float = math.inf


class Foreman:
    """Sees to it that every task is finished once, has failed, or was stopped; `tell` hears every event.

    A task whose worker dies is given to another one, where it goes on from its checkpoint.
    """

    def __init__(self, crew: Crew, tell: Callable[[Event], None], limits: Limits | None = None) -> None:
        self._crew, self._tell, self._limits = crew, tell, limits or Limits()
        self._waiting: deque[Task] = deque()
        self._idle: list[Hand] = []
        self._busy: dict[Hand, Task] = {}
        self._starting: set[Hand] = set()
        self._deaths: Counter[int] = Counter()
        self._early_deaths = 0
        self._most, self._counted = 0, -math.inf

    def work(self, tasks: Sequence[Task], stopping: Callable[[], bool]) -> None:
        """Have the tasks painted, in their order; once `stopping`, wait only for those that are being painted."""
        self._waiting.extend(tasks)
        while self._waiting or self._busy:
            if stopping():
                self._leave_off()
                return
            self._hire()
            self._hand_out()
            for hand, event in self._crew.listen(LISTEN):
                self._hear(hand, event)

    def _hire(self) -> None:
        if time.monotonic() - self._counted > COUNT_AGAIN:
            self._most, self._counted = self._crew.count(), time.monotonic()
        wanted = min(self._most, len(self._waiting) + len(self._busy))
        while len(self._idle) + len(self._busy) + len(self._starting) < wanted:
            self._starting.add(self._crew.hire())

    def _hand_out(self) -> None:
        while self._idle and self._waiting and self._fits(self._waiting[0]):
            hand, task = self._idle.pop(0), self._waiting.popleft()
            self._busy[hand] = task
            hand.give(task)

    def _fits(self, task: Task) -> bool:
        """May it be painted beside what is being painted? Alone it may, whatever it takes."""
        beside = [*self._busy.values(), task]
        return not self._busy or (
            sum(it.bytes for it in beside) <= self._limits.bytes
            and sum(it.threads for it in beside) <= self._limits.threads
        )

    def _hear(self, hand: Hand, event: Event) -> None:
        task = self._busy.get(hand)
        match event:
            case Arrived():
                self._starting.discard(hand)
                self._idle.append(hand)
                self._early_deaths = 0
                return
            case Died():
                self._bury(hand, event)
                return
            case Finished() | Failed() | Stopped() if task:
                del self._busy[hand]
                self._idle.append(hand)
        self._tell(event)

    def _bury(self, hand: Hand, death: Died) -> None:
        if hand in self._starting or hand in self._idle:
            self._starting.discard(hand)
            self._idle = [other for other in self._idle if other is not hand]
            self._early_deaths += not death.blameless
            if self._early_deaths >= TRIES and not (self._idle or self._busy):
                self._give_up(death)
            return
        task = self._busy.pop(hand)
        self._deaths[task.number] += not death.blameless
        self._tell(Died(task.number, worker=death.worker, reason=death.reason))
        if self._deaths[task.number] < TRIES:
            self._waiting.appendleft(replace(task, again=True))
        else:
            self._tell(Failed(task.number, reason=_blame(death.reason, TRIES)))

    def _give_up(self, death: Died) -> None:
        """No worker even begins: say so of every task that is left."""
        while self._waiting:
            self._tell(Failed(self._waiting.popleft().number, reason=f"no worker could be started: {death.reason}"))

    def _leave_off(self) -> None:
        self._waiting.clear()
        for hand in self._busy:
            hand.stop()
        while self._busy:
            for hand, event in self._crew.listen(LISTEN):
                if isinstance(event, Died):
                    self._busy.pop(hand, None)
                elif not isinstance(event, Arrived):
                    self._hear(hand, event)


def _blame(reason: str, tries: int) -> str:
    return (
        f"{tries} workers died of it, the last one: {reason}. Probably it took more memory than there is: try fewer "
        "--workers, a lower --memory, or a smaller --size"
    )
