"""The foreman: every task is finished once, whoever dies; limits hold; the machine is shared out."""

import itertools
import os
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from impasto.errors import UsageError
from impasto.workers.messages import (
    Event,
    Task,
    TaskFailed,
    TaskFinished,
    TaskProgress,
    TaskStopped,
    WorkerLost,
    WorkerReady,
)
from impasto.workers.resources import IDLE_BYTES, allocate, count_cores, read_bytes
from impasto.workers.scheduler import MAX_ATTEMPTS, Limits, Scheduler

GIGABYTE = 10**9


def make_task(number: int, needed: int = 1, threads: int = 1) -> Task:
    return Task(number, None, needed, threads, Path("checkpoint"), {}, Path("token"))  # type: ignore[arg-type]


@dataclass(eq=False)
class ScriptedHand:
    crew: "ScriptedCrew"
    queue: list[Event] = field(default_factory=lambda: [WorkerReady(0)])
    task: Task | None = None

    def give(self, task: Task) -> None:
        assert self.task is None
        self.task = task
        self.crew.check()
        self.queue += self.crew.live_through(task)

    def stop(self) -> None:
        self.queue = [TaskStopped(self.task.number)] if self.task else []


@dataclass
class ScriptedCrew:
    """Workers that do and die as `fates` say, in whatever order `chance` has them heard."""

    workers: int = 2
    fates: dict[int, list[Event]] = field(default_factory=dict)  # of a task, the ends of its tries; then it is finished
    chance: random.Random = field(default_factory=lambda: random.Random(0))
    stillborn: int = 0
    hands: list[ScriptedHand] = field(default_factory=list)
    hired: int = 0
    tries: Counter[int] = field(default_factory=Counter)
    most_bytes: int = 0
    most_threads: int = 0
    order: list[int] = field(default_factory=list)

    def count(self) -> int:
        return self.workers

    def hire(self) -> ScriptedHand:
        hand = ScriptedHand(self)
        if self.hired < self.stillborn:
            hand.queue = [WorkerLost(0, reason="no torch")]
        self.hired += 1
        self.hands.append(hand)
        assert len(self.hands) <= self.workers
        return hand

    def live_through(self, task: Task) -> list[Event]:
        self.order.append(task.number)
        fates = self.fates.get(task.number, [])
        end = fates[self.tries[task.number]] if self.tries[task.number] < len(fates) else TaskFinished(task.number)
        self.tries[task.number] += 1
        return [TaskProgress(task.number, progress=0.5), end]

    def check(self) -> None:
        busy = [hand.task for hand in self.hands if hand.task]
        self.most_bytes = max(self.most_bytes, sum(task.memory_bytes for task in busy))
        self.most_threads = max(self.most_threads, sum(task.threads for task in busy))

    def listen(self, seconds: float) -> Sequence[tuple[Any, Event]]:  # noqa: ARG002
        talking = [hand for hand in self.hands if hand.queue]
        if not talking:
            return []
        hand = self.chance.choice(talking)
        event = hand.queue.pop(0)
        if isinstance(event, WorkerLost):
            self.hands.remove(hand)
        if not isinstance(event, TaskProgress | WorkerReady):
            hand.task = None
        return [(hand, event)]

    def close(self) -> None:
        pass


def work(
    crew: ScriptedCrew, tasks: Sequence[Task], limits: Limits | None = None, patience: float = 10**6
) -> list[Event]:
    heard: list[Event] = []
    asked = itertools.count()
    Scheduler(crew, heard.append, limits).run(tasks, lambda: next(asked) > patience)
    return heard


def ends(heard: Sequence[Event]) -> dict[int, Event]:
    """The last word on each task, each one said once."""
    last = [event for event in heard if isinstance(event, TaskFinished | TaskFailed | TaskStopped)]
    assert len({event.number for event in last}) == len(last)
    return {event.number: event for event in last}


@given(
    st.integers(1, 4),
    st.dictionaries(st.integers(0, 9), st.integers(1, MAX_ATTEMPTS - 1)),
    st.randoms(use_true_random=False),
)
def test_every_task_is_finished_once_whoever_dies(workers, deaths, chance):
    fates = {number: [WorkerLost(number, reason="hit")] * times for number, times in deaths.items()}
    crew = ScriptedCrew(workers, fates, chance)
    found = ends(work(crew, [make_task(number) for number in range(10)]))
    assert all(isinstance(found[number], TaskFinished) for number in range(10))
    assert crew.tries == {number: 1 + deaths.get(number, 0) for number in range(10)}


def test_a_task_that_kills_its_workers_fails_and_the_others_go_on():
    crew = ScriptedCrew(fates={1: [WorkerLost(1, reason="its process was ended by SIGKILL")] * 9})
    found = ends(work(crew, [make_task(number) for number in range(3)]))
    failure = found.pop(1)
    assert isinstance(failure, TaskFailed)
    assert "3 workers died of it, the last one: its process was ended by SIGKILL" in failure.reason
    assert all(isinstance(event, TaskFinished) for event in found.values())
    assert len(found) == 2


def test_nodes_that_go_are_not_the_tasks_fault():
    crew = ScriptedCrew(fates={0: [WorkerLost(0, node_failure=True)] * 20})
    assert isinstance(ends(work(crew, [make_task(0)]))[0], TaskFinished)


def test_a_failure_is_not_repeated():
    crew = ScriptedCrew(fates={0: [TaskFailed(0, reason="is empty")]})
    found = ends(work(crew, [make_task(0), make_task(1)]))
    assert isinstance(found[0], TaskFailed)
    assert crew.tries == {0: 1, 1: 1}


def test_where_no_worker_even_begins_all_fail_with_the_reason():
    crew = ScriptedCrew(stillborn=10**6)
    found = ends(work(crew, [make_task(0), make_task(1)]))
    assert {event.reason for event in found.values() if isinstance(event, TaskFailed)} == {
        "no worker could be started: no torch"
    }
    assert len(found) == 2
    assert isinstance(ends(work(ScriptedCrew(stillborn=1), [make_task(0)]))[0], TaskFinished)  # one may have bad luck


def test_once_stopped_nothing_more_is_begun():
    crew = ScriptedCrew(workers=2)
    heard = work(crew, [make_task(number) for number in range(50)], patience=12)
    assert 2 <= len(crew.order) < 20
    assert set(ends(heard)) == set(crew.order)
    assert not any(hand.task for hand in crew.hands)


def test_tasks_come_in_their_order_and_no_more_workers_than_tasks():
    crew = ScriptedCrew(workers=8)
    work(crew, [make_task(number) for number in range(3)])
    assert crew.hired == 3
    assert crew.order == [0, 1, 2]


@given(st.lists(st.tuples(st.integers(1, 10), st.integers(1, 2)), max_size=12), st.randoms(use_true_random=False))
def test_what_is_painted_at_one_time_keeps_within_limits(sizes, chance):
    crew = ScriptedCrew(workers=3, chance=chance)
    tasks = [make_task(number, *size) for number, size in enumerate(sizes)]
    found = ends(work(crew, tasks, Limits(10, 2)))
    assert len(found) == len(sizes)
    assert crew.most_bytes <= 10
    assert crew.most_threads <= 2


def test_what_is_too_large_for_the_limits_is_painted_alone():
    crew = ScriptedCrew(workers=2)
    found = ends(work(crew, [make_task(0, 50), make_task(1, 1), make_task(2, 1)], Limits(10, 2)))
    assert len(found) == 3
    assert crew.most_bytes == 50


# Sharing the machine out


@pytest.mark.parametrize(
    ("needs", "memory", "chosen", "workers", "threads"),
    [
        ([GIGABYTE // 10] * 72, 16, {}, 4, [1]),  # one worker for each core
        ([GIGABYTE // 10] * 2, 16, {}, 2, [2]),  # but no more than pictures
        ([GIGABYTE] * 72, 3, {}, 2, [2]),  # nor than fit into memory
        ([5 * GIGABYTE] * 72, 3, {}, 1, [4]),
        ([GIGABYTE // 10, 20 * GIGABYTE], 16, {}, 2, [2, 4]),  # what is painted alone has all cores
        ([GIGABYTE // 10] * 72, 16, {"workers": 3}, 3, [1]),
        ([GIGABYTE // 10] * 72, 16, {"threads": 2}, 2, [2]),
        ([GIGABYTE // 10] * 72, 16, {"workers": 3, "threads": 4}, 3, [4]),
        ([GIGABYTE // 10] * 72, 1, {"workers": 3}, 3, [4]),  # as asked, but one at a time
    ],
)
def test_the_machine_is_shared_out(needs, memory, chosen, workers, threads):
    shares = allocate(needs, cores=4, memory=memory * GIGABYTE, **chosen)
    assert shares.workers == workers
    assert list(dict.fromkeys(map(shares.count_threads, needs))) == threads


@given(st.lists(st.integers(1, 10 * GIGABYTE), min_size=1), st.integers(1, 64), st.integers(0, 64 * GIGABYTE))
def test_shares_never_take_more_than_there_is(needs, cores, memory):
    shares = allocate(needs, cores=cores, memory=memory)
    assert 1 <= shares.workers <= max(1, min(cores, len(needs)))
    assert all(1 <= shares.count_threads(needed) <= cores for needed in needs)
    assert shares.workers == 1 or shares.workers * IDLE_BYTES + min(needs) <= memory


@pytest.mark.parametrize(
    ("text", "amount"),
    [("4GiB", 4 * 2**30), ("500MB", 500 * 10**6), ("2g", 2 * 10**9), ("1.5 GiB", 3 * 2**29), ("1000000", 10**6)],
)
def test_amounts_of_memory(text, amount):
    assert read_bytes(text) == amount


@pytest.mark.parametrize("text", ["", "lots", "-1GB", "0", "4GiBB", "i", "nan"])
def test_what_is_no_amount_of_memory(text):
    with pytest.raises(UsageError, match="takes an amount of memory, such as 4GiB"):
        read_bytes(text)


def test_this_machine_has_a_core():
    assert 1 <= count_cores() <= (os.cpu_count() or 1)
