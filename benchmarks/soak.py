"""Many small pictures in one worker, a batch that is killed, a studio beside them: does memory grow, is a file lost?

python benchmarks/soak.py [--pictures 40] [--kills 3] [--studio-minutes 0] [--json FILE]   # 500 pictures: about an hour

growth_mib          how much more memory a worker takes in the second half than before, after the first tenth
open_files          how many more files it has open at the end than after the first picture
kills               times that a batch was ended by kill -9, worker processes too, and begun again
lost                finished pictures that were missing or damaged after that: 0
leftovers           files of unfinished pictures that were left behind at the end: 0
studio_*            the same of a studio that is used beside them, and of its worker: its figures in soak_studio.py
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import torch

from impasto.images.read import read_image
from impasto.images.write import write_image
from impasto.runs.job import Job
from impasto.settings.model import Settings
from impasto.workers.messages import Task, TaskFinished
from impasto.workers.worker import Worker
from machine import describe
from soak_studio import use_studio

SIDES = range(64, 129, 16)  # pixels: pictures of different sizes, as in a folder of photos


def write_photos(folder: Path, count: int) -> list[Path]:
    """Write so many small photos of different sizes."""
    folder.mkdir()
    generator, paths = torch.Generator().manual_seed(0), []
    for number in range(count):
        side = SIDES[number % len(SIDES)]
        paths.append(folder / f"photo_{number:03}.png")
        write_image(torch.rand(1, 3, side, side + 8, generator=generator), paths[-1])
    return paths


def watch_worker(folder: Path, photos: list[Path]) -> Iterator[tuple[int, int]]:
    """Paint all photos with one worker; yields its memory in bytes and its open files after each."""
    worker, process, painting = Worker(), psutil.Process(), photos[0]
    for number, photo in enumerate(photos):
        settings = Settings(size=SIDES[number % len(SIDES)], network="slim", views=(1.0,), steps=5)
        job = Job(photo=photo, paintings=(painting,), output=folder / f"{photo.stem}_painted.png", settings=settings)
        task = Task(number, job, 0, 1, folder / "checkpoint", {}, folder)
        *_, event = worker.paint(task, lambda: False)
        if not isinstance(event, TaskFinished):
            raise RuntimeError(f"a picture failed: {event}")
        yield process.memory_info().rss, len(process.open_files())


def kill_batch(folder: Path, photos: list[Path], kills: int) -> dict[str, int]:
    """Paint a batch that is killed with all its processes, again and again, and then painted to its end."""
    output, chance = folder / "batch", random.Random(0)
    words = ["batch", str(photos[0].parent), "--style", str(photos[0]), "-o", str(output), "--quiet"]
    options = ["--size=64", "--network=slim", "--views=1", "--steps=20", "--workers=2", "--threads=1"]
    command = [sys.executable, "-m", "impasto", *words, *options]
    finished: dict[str, int] = {}
    for _ in range(kills):
        batch = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        before = len(list(output.glob("*.png")))
        while len(list(output.glob("*.png"))) <= before and batch.poll() is None:
            time.sleep(0.05)
        time.sleep(chance.random())
        for worker in psutil.Process(batch.pid).children(recursive=True):
            worker.kill()
        batch.kill()
        batch.wait()
        finished |= {path.name: path.stat().st_mtime_ns for path in output.glob("*.png")}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    pictures = {path.name: path.stat().st_mtime_ns for path in output.glob("*.png")}
    for name in pictures:
        read_image(output / name)  # raises for a damaged one
    return {
        "kills": kills,
        "lost": len(photos) - len(pictures) + sum(pictures.get(name) != at for name, at in finished.items()),
        "leftovers": len([path for path in output.rglob("*") if path.suffix in (".part", ".checkpoint")]),
    }


def main() -> None:
    """Run both, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=40)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--studio-minutes", type=float, default=0.0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(1) as beside:
        folder = Path(name)
        photos = write_photos(folder / "photos", options.pictures)
        if options.studio_minutes:
            studio = beside.submit(use_studio, folder / "studio", photos, options.studio_minutes, options.kills)
        seen = list(watch_worker(folder, photos))
        tenth = seen[max(len(SIDES), len(seen) // 10) : len(seen) // 2] or seen
        growth = max(bytes_used for bytes_used, _ in seen[len(seen) // 2 :]) - max(used for used, _ in tenth)
        found = {"growth_mib": growth / 2**20, "open_files": seen[-1][1] - seen[0][1]}
        found |= kill_batch(folder, photos, options.kills)
        if options.studio_minutes:
            seen_there = studio.result()
            print(*seen_there.lost, sep="\n")
            found |= seen_there.figures()
    for name, value in found.items():
        print(f"{name:<26}{value:8.4g}")
    if options.json:
        options.json.write_text(json.dumps({"machine": describe("cpu"), **found}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
