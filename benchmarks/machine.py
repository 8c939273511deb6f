"""What the figures were measured on: the machine, the versions, the commit."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import torch

import impasto

FAST = ("amx_bf16", "avx512_bf16", "avx512_f", "avx2")  # what a processor may have, and what matters here


def describe(device: str) -> dict[str, str]:
    """Name the machine, the versions and the commit of the impasto that is imported."""
    capabilities = torch.cpu.get_capabilities()
    found = {
        "processor": _name_processor(),
        "cores": f"{os.cpu_count()}, torch uses {torch.get_num_threads()}",
        "capabilities": ", ".join(name for name in FAST if capabilities.get(name)) or "none of " + ", ".join(FAST),
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "impasto": version("impasto"),
        "commit": _name_commit(),
    }
    return found if device == "cpu" else {"device": torch.cuda.get_device_name(device), **found}


def _name_processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _name_commit() -> str:
    """Return the commit that `impasto` is imported from, `+changes` if files differ from it."""
    folder = str(Path(impasto.__file__).parent)
    commit = _ask_git("-C", folder, "rev-parse", "--short=10", "HEAD")
    changes = _ask_git("-C", folder, "status", "--porcelain", "--untracked-files=no")
    return f"{commit}{'+changes' if changes else ''}" if commit else "none"


def _ask_git(*words: str) -> str:
    try:
        return subprocess.run(["git", *words], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
