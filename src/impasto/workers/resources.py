"""What this machine has, and how it is shared out: workers, their threads, their memory."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from impasto.errors import UsageError
from impasto.settings.model import Settings

UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
IDLE_BYTES = 400_000_000  # of a worker that has loaded torch and a network, and paints nothing


def read_bytes(text: str) -> int:
    """Read an amount of memory: 4GiB, 500MB, 2g. Raises UsageError for what is none."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?i?)b?\s*", text.lower())
    if not match or match[2] == "i" or not float(match[1]):
        raise UsageError(f"--memory {text}: takes an amount of memory, such as 4GiB or 500MB")
    return int(float(match[1]) * UNITS[match[2]])


def count_cores() -> int:
    """Count the processor's cores that this process may use; two threads of one core count once."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    siblings = set()
    for cpu in allowed:
        file = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        siblings.add(file.read_text().strip() if file.exists() else str(cpu))
    quota = _read_words("/sys/fs/cgroup/cpu.max")  # of a container: microseconds of each period, or max
    if len(quota) == 2 and quota[0].isdigit():
        return max(1, min(len(siblings), round(int(quota[0]) / int(quota[1]))))
    return len(siblings)


@dataclass(frozen=True)
class Allocation:
    """How the machine is shared out among workers; `bytes` is what all may take together."""

    workers: int
    cores: int
    memory_bytes: int
    fixed_threads: int | None = None

    def count_threads(self, needed: int) -> int:
        """Say how many threads a task gets that needs so many bytes: all cores that no other can use beside it."""
        if self.fixed_threads:
            return self.fixed_threads
        beside = max(1, min(self.workers, self.memory_bytes // max(1, needed)))
        return max(1, self.cores // beside)


def allocate(
    needs: Sequence[int],
    *,
    cores: int,
    memory: int,
    workers: int | None = None,
    threads: int | None = None,
) -> Allocation:
    """Choose the workers for tasks that need so many bytes each, beside what an idle worker has.

    Throughput is highest with one worker for each core: threads of one process wait for each other at every layer.
    Fewer are started where memory is short, and each then has more threads.
    """
    wanted = workers or max(1, min(len(needs), cores // (threads or 1)))
    fitting = max(1, memory // (IDLE_BYTES + min(needs, default=0)))
    count = wanted if workers else min(wanted, fitting)
    return Allocation(count, cores, max(0, memory - count * IDLE_BYTES), threads)


def _read_words(path: str) -> list[str]:
    try:
        return Path(path).read_text().split()
    except OSError:
        return []


def estimate_bytes(settings: Settings) -> int:
    """Estimate the memory that painting takes, beside what an idle worker has.

    Measured with slim in bfloat16 from 256 to 1024 pixels; other networks have up to VGG-19's widths.
    """
    per_pixel = 1100 if settings.network == "slim" else 2200
    if settings.precision == "float32":
        per_pixel *= 2
    if settings.optimizer == "lbfgs":
        per_pixel += 24 * max(0, settings.lbfgs_history - 10)
    return 60_000_000 + per_pixel * settings.size**2
