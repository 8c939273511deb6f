"""What a batch costs besides painting: preparation, the search for finished pictures, scheduling, files through Ray.

python benchmarks/overheads.py [--pictures 500] [--json FILE]

plan_s              seconds for one picture: building its recipe and checking its place
scan_s              seconds for one finished picture: reading its recipe and comparing it
local_task_s        seconds for one task that fails at once, sent to one of two processes and reported by it
ray_task_s          the same with two actors of a cluster on this machine
ray_put_s_per_mb    seconds for a megabyte through Ray's object store to a worker
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ray
import torch

from impasto.batch.items import BatchItem, make_item
from impasto.batch.naming import name_outputs
from impasto.batch.resolve import resolve_items
from impasto.images.write import write_image
from impasto.recipes.build import build_recipe, fingerprint_picture
from impasto.recipes.recipe import RecipeResult
from impasto.runs.job import Job
from impasto.settings.model import Settings
from impasto.workers.messages import Task, TaskFailed
from impasto.workers.pool import WorkerPool
from impasto.workers.process_pool import ProcessPool
from impasto.workers.ray_pool import RayPool, connect
from impasto.workers.scheduler import Scheduler
from machine import describe

MEGABYTES = 64
MOMENTS = sum(width * width + width + 1 for width in (64, 128, 256, 512, 512))  # numbers of float32


def make_items(folder: Path, count: int) -> list[BatchItem]:
    """Make so many pictures to paint, of one photo and one painting, that differ in their seeds."""
    return [
        make_item(folder / "photo.png", (folder / "painting.png",), Settings(seed=seed, size=64))
        for seed in range(count)
    ]


def write_finished_picture(item: BatchItem, path: Path) -> None:
    """Write a picture that counts as finished."""
    job = item.job
    recipe = build_recipe(
        job.settings, fingerprint_picture(job.photo), job.paintings, torch.device("cpu"), torch.float32
    )
    result = RecipeResult(width=64, height=64, bits=8, quality=95, step=1, steps=1, losses={"total": 1.0})
    text = recipe.model_copy(update={"result": result}).to_json()
    write_image(torch.rand(1, 3, 64, 64), path, embedded_text=text)


def time_resolving(folder: Path, count: int) -> dict[str, float]:
    """Time the preparation of new pictures, and the search for finished ones."""
    output = folder / "out"
    output.mkdir()
    for name in ("photo.png", "painting.png"):
        write_image(torch.rand(1, 3, 64, 64), folder / name)
    items = make_items(folder, count)
    names = name_outputs(items)
    memory_before, started = held_memory(), time.perf_counter()
    resolve_items(items, names, output, overwrite=False)
    plan_seconds = time.perf_counter() - started
    assert all(item.status == "waiting" for item in items)
    plan_bytes = held_memory() - memory_before
    for item in items:
        write_finished_picture(item, item.job.output)
    again = make_items(folder, count)
    started = time.perf_counter()
    resolve_items(again, names, output, overwrite=False)
    scan_seconds = time.perf_counter() - started
    assert all(item.status == "kept" for item in again)
    return {
        "plan_s": plan_seconds / count,
        "scan_s": max(0.0, scan_seconds - plan_seconds) / count,
        "plan_bytes": max(0, plan_bytes) / count,
    }


def held_memory() -> int:
    """Return the bytes that this process has now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def time_tasks(pool: WorkerPool, folder: Path, count: int) -> float:
    """Time the handing out of tasks that fail at once, as their photo is not there; seconds for each."""
    job = Job(
        photo=folder / "gone.png", paintings=(folder / "painting.png",), output=folder / "picture.png", quality=95
    )
    tasks = [Task(number, job, 1, 1, folder / "checkpoint", {}, folder) for number in range(count)]
    times: list[float] = []
    for event in Scheduler(pool).run(tasks, lambda: False):
        assert isinstance(event, TaskFailed), event
        times.append(time.perf_counter())
    rest = times[count // 4 :]  # after the workers have started
    return (rest[-1] - rest[0]) / (len(rest) - 1)


@ray.remote
def weigh(data: bytes) -> int:
    """Receive bytes on a worker."""
    return len(data)


def time_store() -> float:
    """Time bytes through the object store to a worker and back to its answer; seconds for a megabyte."""
    data = bytes(MEGABYTES * 10**6)
    ray.get(weigh.remote(b""))
    started = time.perf_counter()
    assert ray.get(weigh.remote(ray.put(data))) == len(data)
    return (time.perf_counter() - started) / MEGABYTES


@ray.remote(resources={"never": 1})
def idle() -> None:
    """Wait for ever."""


def time_wait(workers: int = 1000) -> float:
    """Time one look through so many workers that have nothing to say."""
    awaited = [idle.remote() for _ in range(workers)]
    rounds = 20
    started = time.perf_counter()
    for _ in range(rounds):
        ray.wait(awaited, num_returns=1, timeout=0, fetch_local=False)
    return (time.perf_counter() - started) / rounds


@ray.remote
class Tiles:
    """Has the moments of some tiles of a picture."""

    def __init__(self) -> None:
        self.moments = torch.zeros(MOMENTS).numpy()

    def measure(self) -> Any:
        """Return the moments of its tiles."""
        return self.moments

    def go_on(self, gradients: Any) -> float:
        """Take the gradients of all moments."""
        return float(gradients[0])


def time_reduce() -> float:
    """Time what is sent at each step of one picture whose tiles two actors have."""
    tiles = [Tiles.remote(), Tiles.remote()]  # type: ignore[attr-defined]
    rounds = 20
    for number in range(rounds + 3):
        if number == 3:
            started = time.perf_counter()
        measured = ray.get([each.measure.remote() for each in tiles])
        gradients = ray.put(measured[0] + measured[1])
        ray.get([each.go_on.remote(gradients) for each in tiles])
    return (time.perf_counter() - started) / rounds


def measure(folder: Path, count: int, sides: Sequence[str]) -> dict[str, float]:
    """Measure all of it."""
    figures = time_resolving(folder, count)
    if "local" in sides:
        local = ProcessPool(2, 1)
        figures["local_task_s"] = time_tasks(local, folder, 4 * count)
        local.close()
    if "ray" in sides:
        with connect(None, 2):
            pool = RayPool(1, 1, "shared", 2, on_gpu=False)
            figures["ray_task_s"] = time_tasks(pool, folder, 4 * count)
            pool.close()
            figures["ray_put_s_per_mb"] = time_store()
            figures["ray_wait_s"] = time_wait()
            figures["reduce_s"] = time_reduce()
    return figures


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=500)
    parser.add_argument("--only", type=lambda text: text.split(","), default=["local", "ray"], metavar="ENGINE,...")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = {"machine": describe("cpu"), **measure(Path(folder), arguments.pictures, arguments.only)}
    print(json.dumps(figures, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
