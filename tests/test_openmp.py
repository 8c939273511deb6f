"""How OpenMP's threads wait: they spin in a process that has the processors for itself, and sleep beside other work."""

import os
import subprocess
import sys
import time
from unittest.mock import Mock, call

import pytest

from impasto.workers.openmp import OtherWork, adjust

linux = pytest.mark.skipif(sys.platform != "linux", reason="libgomp is PyTorch's OpenMP on Linux alone")

# What waiting costs: a short parallel computation, then a pause in which the second thread spins or sleeps.
WAITING = """
import os, time, torch
from impasto.workers.openmp import IdleThreads, adjust

def measure():
    started = time.process_time()
    for _ in range(30):
        torch.zeros(100_000).add_(1)
        time.sleep(0.03)
    return time.process_time() - started

processors, idle_threads = os.cpu_count(), IdleThreads()
measure()
alone = measure()
adjust(idle_threads, float(processors), processors)
time.sleep(0.5)
beside = measure()
adjust(idle_threads, 0.0, processors)
time.sleep(0.5)
print(alone, beside, measure())
"""


def run(program, **environment):
    given = {name: value for name, value in os.environ.items() if not name.startswith(("OMP", "GOMP"))}
    done = subprocess.run(
        [sys.executable, "-c", program], env={**given, **environment}, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@linux
def test_threads_spin_alone_and_sleep_beside_other_work():
    alone, beside, alone_again = map(float, run(WAITING, OMP_NUM_THREADS="2"))
    assert beside < alone / 2
    assert beside < alone_again / 2


@linux
def test_other_work_is_what_other_processes_use():
    other_work = OtherWork()
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        time.sleep(1)
        assert other_work.measure() > 0.2
    finally:
        busy.kill()
        busy.wait()


def test_own_work_is_no_other_work(monkeypatch):
    other_work = OtherWork.__new__(OtherWork)
    other_work._last = (10.0, 50.0, 20.0)
    monkeypatch.setattr(other_work, "_read", lambda: (12.0, 54.0, 23.5))
    assert other_work.measure() == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("busy", "processors", "threads", "beside"),
    [(0.3, 2, 2, False), (0.7, 2, 2, True), (5, 8, 2, False), (7, 8, 2, True), (7, 8, 1, False), (9, 8, 1, False)],
)
def test_threads_sleep_where_not_all_can_run(busy, processors, threads, beside, monkeypatch):
    monkeypatch.setattr("torch.get_num_threads", lambda: threads)
    idle_threads = Mock()
    adjust(idle_threads, busy, processors)
    assert idle_threads.mock_calls == [call.start(processors) if beside else call.stop()]


@linux
@pytest.mark.parametrize(
    ("own", "watched"), [({}, "True"), ({"GOMP_SPINCOUNT": "7"}, "False"), ({"OMP_WAIT_POLICY": "active"}, "False")]
)
def test_a_command_watches_other_work_unless_the_user_chose(own, watched):
    program = (
        "import threading; from impasto.cli.app import main; main(['paintings']);"
        "print(any('_watch_other_work' in thread.name for thread in threading.enumerate()))"
    )
    assert run(program, **own)[-1] == watched
