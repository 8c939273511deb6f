"""OpenMP's threads in a process of impasto's own: how many there are, and how they wait for each other.

Threads that spin while they wait are quickest for a process alone, and ruinous for two: on two cores two pictures at
once took 31 times as long as one. libgomp, which PyTorch has on Linux, reads its settings once, when it loads. But at
each wait it looks whether it has more threads than there are processors, and if so they soon sleep (GOMP_SPINCOUNT in
its manual). Idle threads bring that about while other processes compute.
"""

import os
import sys
import threading
import time
from functools import cache

OWN_CHOICES = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
INTERVAL = 0.5  # seconds between two looks at the other processes
TOLERATED = 0.5  # processors too few for all threads to run at once


def configure_openmp(threads: int | None = None) -> None:
    """Choose the number of threads, and have them sleep as they wait, beside other work; call it before torch loads.

    A user's own choice of how threads wait is kept.
    """
    if threads:
        os.environ["OMP_NUM_THREADS"] = str(threads)
    if sys.platform == "linux" and not any(name in os.environ for name in OWN_CHOICES):
        _start_watching()


@cache  # once in a process
def _start_watching() -> None:
    threading.Thread(target=_watch_other_work, daemon=True).start()


def _watch_other_work() -> None:
    time.sleep(INTERVAL)  # `impasto --help` has ended by then
    other_work, idle_threads = OtherWork(), IdleThreads()
    while True:
        time.sleep(INTERVAL)
        busy = other_work.measure()
        if "torch" in sys.modules:
            adjust(idle_threads, busy, other_work.processors)


def adjust(idle_threads: "IdleThreads", busy: float, processors: int) -> None:
    """Have threads sleep as they wait, if others keep so many of the processors busy that not all threads can run."""
    import torch

    threads = torch.get_num_threads()
    if threads > 1 and busy + threads > processors + TOLERATED:  # a single thread waits for none
        idle_threads.start(processors)
    else:
        idle_threads.stop()


class OtherWork:
    """What other processes take of the processors that this one may use."""

    def __init__(self) -> None:
        import psutil

        self._process = psutil.Process()
        self._allowed = frozenset(self._process.cpu_affinity())
        self._last = self._read()

    @property
    def processors(self) -> int:
        """How many this process may use."""
        return len(self._allowed)

    def measure(self) -> float:
        """Return how many processors the others have kept busy since the last call, on average."""
        last, self._last = self._last, self._read()
        seconds, busy, own = (now - before for now, before in zip(self._last, last, strict=True))
        return max(0.0, busy - own) / seconds

    def _read(self) -> tuple[float, float, float]:
        """The clock, what all processes have used, and what this one has, in seconds."""
        import psutil

        times = (cpu for index, cpu in enumerate(psutil.cpu_times(percpu=True)) if index in self._allowed)
        used = sum(cpu.user + cpu.nice + cpu.system for cpu in times)
        own = self._process.cpu_times()
        return time.monotonic(), used, own.user + own.system


class IdleThreads:
    """Threads of OpenMP that do nothing, but count."""

    def __init__(self) -> None:
        self._stopping: threading.Event | None = None

    def start(self, count: int) -> None:
        """Start at least so many, if none are there."""
        if self._stopping:
            return
        import torch

        self._stopping = threading.Event()
        for _ in range(-(-count // (torch.get_num_threads() - 1))):
            threading.Thread(target=_lead_team, args=(self._stopping,), daemon=True).start()

    def stop(self) -> None:
        """End them all, if there are any."""
        if self._stopping:
            self._stopping.set()
            self._stopping = None


def _lead_team(stopping: threading.Event) -> None:
    """Have OpenMP start threads for this one; they end with it."""
    import torch

    torch.zeros(1_000_000).add_(1)  # large enough for all of torch's threads
    stopping.wait()
