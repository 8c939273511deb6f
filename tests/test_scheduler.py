"""The scheduler finishes every task once when workers are lost; limits hold; the machine is divided."""

import itertools
import math
import os
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from impasto.runs.job import Job
from impasto.settings.model import Settings
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
from impasto.workers.pool import WorkerOptions, open_pool
from impasto.workers.resources import IDLE_BYTES, Limits, allocate, count_cores
from impasto.workers.scheduler import MAX_ATTEMPTS, Scheduler

GIGABYTE = 10**9


def make_task(number: int, memory_bytes: int = 1, threads: int = 1) -> Task:
    return Task(number, None, memory_bytes, threads, Path("checkpoint"), {}, Path("token"))  # type: ignore[arg-type]


@dataclass(eq=False)
class ScriptedWorker:
    pool: "ScriptedPool"
    events: list[Event] = field(default_factory=lambda: [WorkerReady(0)])
    task: Task | None = None

    def submit(self, task: Task) -> None:
        assert self.task is None
        self.task = task
        self.pool.measure_use()
        self.events += self.pool.make_events(task)

    def request_stop(self) -> None:
        self.events = [TaskStopped(self.task.number)] if self.task else []


@dataclass
class ScriptedPool:
    """Workers whose attempts end as `ends` says, then with TaskFinished; `chance` chooses which is polled first."""

    workers: int = 2
    ends: dict[int, list[Event]] = field(default_factory=dict)  # by task number, one for each attempt
    chance: random.Random = field(default_factory=lambda: random.Random(0))
    failing_starts: int = 0
    running: list[ScriptedWorker] = field(default_factory=list)
    started: int = 0
    attempts: Counter[int] = field(default_factory=Counter)
    max_memory_bytes: int = 0
    max_threads: int = 0
    order: list[int] = field(default_factory=list)

    def count_workers(self) -> int:
        return self.workers

    def start_worker(self) -> ScriptedWorker:
        worker = ScriptedWorker(self)
        if self.started < self.failing_starts:
            worker.events = [WorkerLost(0, reason="no torch")]
        self.started += 1
        self.running.append(worker)
        assert len(self.running) <= self.workers
        return worker

    def make_events(self, task: Task) -> list[Event]:
        self.order.append(task.number)
        ends, attempt = self.ends.get(task.number, []), self.attempts[task.number]
        self.attempts[task.number] += 1
        end = ends[attempt] if attempt < len(ends) else TaskFinished(task.number)
        return [TaskProgress(task.number, progress=0.5), end]

    def measure_use(self) -> None:
        tasks = [worker.task for worker in self.running if worker.task]
        self.max_memory_bytes = max(self.max_memory_bytes, sum(task.memory_bytes for task in tasks))
        self.max_threads = max(self.max_threads, sum(task.threads for task in tasks))

    def poll(self, seconds: float) -> Sequence[tuple[Any, Event]]:  # noqa: ARG002
        with_events = [worker for worker in self.running if worker.events]
        if not with_events:
            return []
        worker = self.chance.choice(with_events)
        event = worker.events.pop(0)
        if isinstance(event, WorkerLost):
            self.running.remove(worker)
        if not isinstance(event, TaskProgress | WorkerReady):
            worker.task = None
        return [(worker, event)]

    def close(self) -> None:
        pass


def run_tasks(
    pool: ScriptedPool, tasks: Sequence[Task], limits: Limits | None = None, rounds: float = math.inf
) -> list[Event]:
    """Run the tasks, at most so many rounds, and return all events."""
    count = itertools.count()
    return list(Scheduler(pool, limits).run(tasks, lambda: next(count) > rounds))


def find_ends(events: Sequence[Event]) -> dict[int, Event]:
    """The last event of each task, of which there is only one."""
    ends = [event for event in events if isinstance(event, TaskFinished | TaskFailed | TaskStopped)]
    assert len({event.number for event in ends}) == len(ends)
    return {event.number: event for event in ends}


@given(
    st.integers(1, 4),
    st.dictionaries(st.integers(0, 9), st.integers(1, MAX_ATTEMPTS - 1)),
    st.randoms(use_true_random=False),
)
def test_every_task_finishes_once_when_workers_are_lost(workers, losses, chance):
    ends = {number: [WorkerLost(number, reason="hit")] * times for number, times in losses.items()}
    pool = ScriptedPool(workers, ends, chance)
    found = find_ends(run_tasks(pool, [make_task(number) for number in range(10)]))
    assert all(isinstance(found[number], TaskFinished) for number in range(10))
    assert pool.attempts == {number: 1 + losses.get(number, 0) for number in range(10)}


def test_a_task_that_loses_its_workers_fails_alone():
    pool = ScriptedPool(ends={1: [WorkerLost(1, reason="its process was ended by SIGKILL")] * 9})
    found = find_ends(run_tasks(pool, [make_task(number) for number in range(3)]))
    failure = found.pop(1)
    assert isinstance(failure, TaskFailed)
    assert "3 workers were lost while painting it, the last one: its process was ended by SIGKILL" in failure.reason
    assert all(isinstance(event, TaskFinished) for event in found.values())
    assert len(found) == 2


def test_node_failures_do_not_count_against_a_task():
    pool = ScriptedPool(ends={0: [WorkerLost(0, node_failure=True)] * 20})
    assert isinstance(find_ends(run_tasks(pool, [make_task(0)]))[0], TaskFinished)


def test_a_failed_task_is_not_repeated():
    pool = ScriptedPool(ends={0: [TaskFailed(0, reason="is empty")]})
    found = find_ends(run_tasks(pool, [make_task(0), make_task(1)]))
    assert isinstance(found[0], TaskFailed)
    assert pool.attempts == {0: 1, 1: 1}


def test_all_tasks_fail_if_no_worker_starts():
    pool = ScriptedPool(failing_starts=10**6)
    found = find_ends(run_tasks(pool, [make_task(0), make_task(1)]))
    reasons = {event.reason for event in found.values() if isinstance(event, TaskFailed)}
    assert reasons == {"no worker could be started: no torch"}
    assert len(found) == 2


def test_one_failing_start_is_forgiven():
    assert isinstance(find_ends(run_tasks(ScriptedPool(failing_starts=1), [make_task(0)]))[0], TaskFinished)


def test_no_task_is_started_once_stopping():
    pool = ScriptedPool(workers=2)
    events = run_tasks(pool, [make_task(number) for number in range(50)], rounds=12)
    assert 2 <= len(pool.order) < 20
    assert set(find_ends(events)) == set(pool.order)
    assert not any(worker.task for worker in pool.running)


def test_tasks_start_in_order_with_no_spare_workers():
    pool = ScriptedPool(workers=8)
    run_tasks(pool, [make_task(number) for number in range(3)])
    assert pool.started == 3
    assert pool.order == [0, 1, 2]


@given(st.lists(st.tuples(st.integers(1, 10), st.integers(1, 2)), max_size=12), st.randoms(use_true_random=False))
def test_running_tasks_keep_within_limits(sizes, chance):
    pool = ScriptedPool(workers=3, chance=chance)
    tasks = [make_task(number, *size) for number, size in enumerate(sizes)]
    found = find_ends(run_tasks(pool, tasks, Limits(10, 2)))
    assert len(found) == len(sizes)
    assert pool.max_memory_bytes <= 10
    assert pool.max_threads <= 2


def test_a_task_above_the_limits_runs_alone():
    pool = ScriptedPool(workers=2)
    found = find_ends(run_tasks(pool, [make_task(0, 50), make_task(1, 1), make_task(2, 1)], Limits(10, 2)))
    assert len(found) == 3
    assert pool.max_memory_bytes == 50


# Resources


@pytest.mark.parametrize(
    ("needs", "memory", "chosen", "workers", "threads"),
    [
        ([GIGABYTE // 10] * 72, 16, {}, 4, [1]),  # one worker for each core
        ([GIGABYTE // 10] * 2, 16, {}, 2, [2]),  # but no more than pictures
        ([GIGABYTE] * 72, 3, {}, 2, [2]),  # nor than fit into memory
        ([5 * GIGABYTE] * 72, 3, {}, 1, [4]),
        ([GIGABYTE // 10, 20 * GIGABYTE], 16, {}, 2, [2, 4]),  # a picture painted alone has all cores
        ([GIGABYTE // 10] * 72, 16, {"workers": 3}, 3, [1]),
        ([GIGABYTE // 10] * 72, 16, {"threads": 2}, 2, [2]),
        ([GIGABYTE // 10] * 72, 16, {"workers": 3, "threads": 4}, 3, [4]),
        ([GIGABYTE // 10] * 72, 1, {"workers": 3}, 3, [4]),  # as asked, but one at a time
    ],
)
def test_the_machine_is_divided(needs, memory, chosen, workers, threads):
    allocation = allocate(needs, cores=4, memory=memory * GIGABYTE, **chosen)
    assert allocation.workers == workers
    assert list(dict.fromkeys(map(allocation.count_threads, needs))) == threads


@given(st.lists(st.integers(1, 10 * GIGABYTE), min_size=1), st.integers(1, 64), st.integers(0, 64 * GIGABYTE))
def test_an_allocation_never_exceeds_the_machine(needs, cores, memory):
    allocation = allocate(needs, cores=cores, memory=memory)
    assert 1 <= allocation.workers <= max(1, min(cores, len(needs)))
    assert all(1 <= allocation.count_threads(needed) <= cores for needed in needs)
    assert allocation.workers == 1 or allocation.workers * IDLE_BYTES + min(needs) <= memory


def test_this_machine_has_a_core():
    assert 1 <= count_cores() <= (os.cpu_count() or 1)


class CardHandle:
    def __init__(self, _target: object, _threads: int, card: str | None) -> None:
        self.card = card

    def kill(self) -> None: ...

    def reap(self) -> str:
        return ""


@pytest.mark.parametrize(
    ("visible", "devices", "cards", "workers"),
    [
        (None, ["auto"], ["0", "1", "0"], 2),
        ("2,3", ["auto", "cpu"], ["2", "3", "2"], 2),
        ("GPU-5a,GPU-6b", ["cuda", "gpu"], ["GPU-5a", "GPU-6b", "GPU-5a"], 2),
        ("2,3", ["cuda:1"], [None] * 3, 1),
        (None, ["cuda:1", "auto"], [None] * 3, 2),
        (None, ["cpu"], [None] * 3, 4),
    ],
)
def test_workers_share_the_visible_cards_alone(
    visible: str | None,
    devices: list[str],
    cards: list[str | None],
    workers: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("impasto.workers.pool.count_cores", lambda: 4)
    monkeypatch.setattr("impasto.workers.process_pool.ProcessHandle", CardHandle)
    settings = [Settings(device=device) for device in devices] * 4
    jobs = [Job(photo=Path("a.png"), paintings=(Path("b.png"),), output=Path("c.png"), settings=it) for it in settings]
    options = WorkerOptions(memory_bytes=100 * GIGABYTE)
    allocation = options.allocate(settings)
    assert allocation.workers == workers
    with open_pool([replace(make_task(0), job=job) for job in jobs], allocation, options) as pool:
        started = cast(list[CardHandle], [pool.start_worker() for _ in range(3)])
    assert [worker.card for worker in started] == cards


def test_one_pass_gets_as_many_workers_as_it_leaves_memory_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("impasto.workers.pool.count_cores", lambda: 4)
    options = WorkerOptions(memory_bytes=16 * GIGABYTE)
    one_pass, in_steps = (
        options.allocate([Settings(preset=preset, size=4000, device="cpu")] * 4) for preset in ("instant", "default")
    )
    assert (one_pass.workers, in_steps.workers) == (4, 1)
