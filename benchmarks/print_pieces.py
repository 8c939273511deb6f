"""What print_size.py measures, each in a process of its own: peak memory and seconds of one painting, ours or not.

    python benchmarks/print_pieces.py PIECE JSON

Prints one JSON object. Linux alone tells a process's own peak.
"""

import json
import resource
import sys
import time
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import torch

import impasto
from impasto.errors import UsageError
from impasto.painting.strategy import ScaleStrategy
from pieces import Scene, forget_peak, peak_bytes

Figures = dict[str, Any]


def paint(photo: str, painting: str, settings: Mapping[str, Any], strategy: Mapping[str, Any] | None = None) -> Figures:
    """Paint; with a `strategy`, every scale in that one and not as planned. What is refused is told in `refused`."""
    run = impasto.start(photo, painting, **settings)
    try:
        run.apply_plan()
    except UsageError as error:
        return {"refused": str(error), "limit": run.plan.limit, "needed": run.plan.chosen.bytes}
    plan = run.plan
    if strategy:
        run.painter.state.strategies = [ScaleStrategy(**strategy)] * len(plan.sizes)
    before = peak_bytes()
    forget_peak()
    started, times = time.perf_counter(), [0.0]
    for step in run:
        times.append(step.seconds)
    whole = time.perf_counter() - started
    last = [after - before for before, after in pairwise(times)][-run.painter.schedule.steps[-1] :]
    width, height = plan.sizes[-1]
    return {
        "width": width,
        "height": height,
        "megapixels": width * height / 1e6,
        "strategy": (ScaleStrategy(**strategy) if strategy else plan.chosen.strategies[-1]).describe(),
        "planned_bytes": plan.chosen.bytes,
        "planned_seconds": plan.chosen.seconds,
        "limit": plan.limit,
        "base_bytes": START,
        "bytes": peak_bytes(),
        "bytes_in_all": max(before, peak_bytes()),  # with the reading of the pictures and the measuring
        "seconds": whole,
        "step_seconds": median(last[2:] or last),
        "steps": len(times) - 1,
        "loss": step.losses["total"],
        "notes": run.notes,
    }


def reference(photo: str, painting: str, network: str, size: int, steps: int) -> Figures:
    """Paint with the textbook loop, in no more memory than is free, so that it fails and the machine does not."""
    free = next(int(line.split()[1]) for line in Path("/proc/meminfo").read_text().splitlines() if "MemAvai" in line)
    resource.setrlimit(resource.RLIMIT_DATA, (free * 1024, free * 1024))
    scene = Scene(network, photo, painting, size)
    found: Figures = {"base_bytes": START}
    forget_peak()
    try:
        loop = scene.set_up()
        height, width = loop.canvas.shape[2:]
        found |= {"width": width, "height": height, "megapixels": width * height / 1e6}
        times = [step.seconds for step in loop.paint(steps)]
    except (MemoryError, RuntimeError) as error:
        if "memory" not in str(error) and not isinstance(error, MemoryError):
            raise
        return found | {"died": str(error).partition("\n")[0][:200], "limit": free * 1024}
    seconds = [after - before for before, after in pairwise(times)]
    return found | {"bytes": peak_bytes(), "step_seconds": median(seconds), "steps": steps}


PIECES: dict[str, Callable[..., Figures]] = {"paint": paint, "reference": reference}
START = 0

if __name__ == "__main__":
    torch.set_grad_enabled(True)
    START = peak_bytes()  # Python, torch and impasto alone
    print(json.dumps(PIECES[sys.argv[1]](**json.loads(sys.argv[2]))))
