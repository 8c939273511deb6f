"""What this machine has, and how it is divided among workers: threads and memory."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

IDLE_BYTES = 400_000_000  # of a worker that has loaded torch and a network, and paints nothing


@dataclass(frozen=True)
class Limits:
    """What the tasks that run at the same time may use together."""

    memory_bytes: float = math.inf
    threads: float = math.inf


@dataclass(frozen=True)
class Allocation:
    """How the machine is divided among workers. All together may use `memory_bytes`, besides what idle workers need."""

    workers: int
    cores: int
    memory_bytes: int
    fixed_threads: int | None = None

    def count_threads(self, memory_bytes: int) -> int:
        """Choose the threads of a task that needs so much memory: all cores that no task next to it can use."""
        if self.fixed_threads:
            return self.fixed_threads
        tasks = max(1, min(self.workers, self.memory_bytes // max(1, memory_bytes)))
        return max(1, self.cores // tasks)

    @property
    def limits(self) -> Limits:
        """The limits for a scheduler on this machine."""
        return Limits(self.memory_bytes, max(self.cores, self.workers * (self.fixed_threads or 1)))


def allocate(
    needs: Sequence[int], *, cores: int, memory: int, workers: int | None = None, threads: int | None = None
) -> Allocation:
    """Divide `cores` and `memory` (bytes) among workers.

    `needs` is each task's bytes, without the worker's own IDLE_BYTES. `workers` and `threads` override the choice.
    Throughput is highest with one worker for each core, because the threads of one process wait for each other at
    every layer. If memory is short, there are fewer workers, each with more threads.
    """
    wanted = workers or max(1, min(len(needs), cores // (threads or 1)))
    fitting = max(1, memory // (IDLE_BYTES + min(needs, default=0)))
    count = wanted if workers else min(wanted, fitting)
    return Allocation(count, cores, max(0, memory - count * IDLE_BYTES), threads)


def count_cores() -> int:
    """Count the processor's cores that this process may use; two threads of one core count once."""
    if not hasattr(os, "sched_getaffinity"):  # not Linux
        import psutil

        return psutil.cpu_count(logical=False) or os.cpu_count() or 1
    cores = set()
    for cpu in os.sched_getaffinity(0):
        siblings = _read_words(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        cores.add(" ".join(siblings) or str(cpu))
    quota = _read_words("/sys/fs/cgroup/cpu.max")  # of a container: microseconds in each period, or max
    if len(quota) == 2 and quota[0].isdigit():
        return max(1, min(len(cores), round(int(quota[0]) / int(quota[1]))))
    return len(cores)


def _read_words(path: str) -> list[str]:
    try:
        return Path(path).read_text().split()
    except OSError:
        return []
