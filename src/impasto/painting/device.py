"""Devices and their memory: `auto` resolved, free memory measured, freed memory kept for reuse."""

import ctypes
import mmap
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from impasto.errors import UsageError
from impasto.settings.types import Precision


def choose_device(name: str) -> torch.device:
    """Return the device that `name` means; `auto` prefers CUDA, then Apple's MPS, then the CPU; `gpu` is no CPU.

    Errors: UsageError where this machine has no such device.
    """
    here = _list_devices()
    if name == "auto" or (name == "gpu" and len(here) > 1):
        return torch.device(here[0])
    try:
        device = torch.device("cuda" if name == "gpu" else name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError, ImportError) as error:
        reason = str(error).partition("\n")[0].partition(". ")[0]  # torch goes on for pages
        found = ", ".join(["auto", *reversed(here)])
        raise UsageError(
            f"`device` {name}: there is no such device here ({reason}). Of auto, cpu, cuda, cuda:0 "
            f"(the first of several) and mps, there are: {found}."
        ) from error
    if device.type == "meta":
        raise UsageError("`device` meta: nothing can be painted there. Use auto or cpu.")
    return device


def _list_devices() -> list[str]:
    """List the devices of this machine, the one for `auto` first."""
    cards = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    graphics = ["cuda", *cards] if torch.cuda.is_available() else []
    return [*graphics, *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]


def choose_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """Return the network's number type; `auto` is bfloat16 only where the hardware is fast at it."""
    if precision == "auto":
        return torch.bfloat16 if _is_fast_at_bfloat16(device) else torch.float32
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


def use_exact_float32() -> None:
    """Have cuDNN convolve float32 in float32: by default it takes TF32, which has bfloat16's errors nearly.

    This is for the whole process, as cuDNN has no such setting for a thread, and several may paint at once.
    """
    torch.backends.cudnn.allow_tf32 = False


def _is_fast_at_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))
    return False


# Files of control groups, version 2 and 1: memory used, its limit, and statistics with the reclaimable file cache.
CONTROL_GROUP_FILES = [
    tuple(folder / name for name in names)
    for folder, names in (
        (Path("/sys/fs/cgroup"), ("memory.current", "memory.max", "memory.stat")),
        (Path("/sys/fs/cgroup/memory"), ("memory.usage_in_bytes", "memory.limit_in_bytes", "memory.stat")),
    )
]

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # of glibc's malloc.h


def keep_freed_memory() -> None:
    """Make glibc's malloc keep freed memory for the next feature maps; without glibc, do nothing.

    Otherwise it returns large blocks to the system, which clears each page when it is allocated again, at every layer
    of every step: a tenth to a third of a step's time.
    """
    if mallopt := _find_in_glibc("mallopt"):
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(M_TOP_PAD, 2**26)


def limit_primitive_cache() -> None:
    """Limit oneDNN's cache of prepared primitives, which takes 30 to 45 MB for each picture size.

    By default it keeps a dozen sizes; a painting needs the last two or three. oneDNN reads the limit when it is first
    used, so call this before a network is loaded.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "256")


def return_freed_memory() -> None:
    """Return freed memory to the system: around rare work, so that its peak does not add to that of the steps."""
    if malloc_trim := _find_in_glibc("malloc_trim"):
        malloc_trim(0)


def measure_used_memory(device: torch.device) -> int:
    """Return the bytes in use: resident memory, or torch's tensors on a GPU."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    if sys.platform == "linux":
        return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE
    import psutil  # on Linux it would need the module `resource`, which some Pythons lack

    return psutil.Process().memory_info().rss


def measure_free_memory(device: torch.device) -> int:
    """Return the bytes that the program can still use: of the machine, of its control group, or of the GPU."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # by torch, for new tensors
        return torch.cuda.mem_get_info(device)[0] + unused
    free = [_measure_free_of_machine()]
    for usage, limit, statistics in CONTROL_GROUP_FILES:
        with suppress(OSError, ValueError):  # no such group, or no limit
            used, allowed = int(usage.read_text()), int(limit.read_text())
            cached = dict(line.split() for line in statistics.read_text().splitlines()).get("inactive_file", "0")
            free.append(max(0, allowed - used + int(cached)))
    return min(free)


def _measure_free_of_machine() -> int:
    if sys.platform == "linux":
        rows = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
        return next(int(row[1]) * 1024 for row in rows if row[0] == "MemAvailable:")
    import psutil

    return psutil.virtual_memory().available


def _find_in_glibc(name: str) -> Callable[..., Any] | None:
    if sys.platform != "linux":
        return None
    return getattr(ctypes.CDLL(None), name, None)
