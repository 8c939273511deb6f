"""How many pictures an hour: a shell loop, the local engine, and Ray on a cluster of this machine, in one run.

    python benchmarks/batch.py [--photos FILE ...] [--paintings FILE ...] [--quick] [--json FILE]

All paint the same photos in the style of the same paintings, every pair, with the same settings: `impasto paint` in a
loop, as a shell would; `impasto batch --engine local`; `impasto batch --engine ray`. The times include everything that
each way starts. Ratios of throughput:

    local_over_loop     pictures per second of the local engine over those of the loop
    ray_over_local      pictures per second of Ray over those of the local engine
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import impasto
from impasto.images.collection import COLLECTION
from machine import describe

PAINTINGS = [COLLECTION[name].path for name in ("starry_night", "the_scream", "the_shipwreck")]
EXAMPLES = sorted(Path(impasto.__file__).parent.glob("studio/examples/*.jpg"))
IMPASTO = [sys.executable, "-m", "impasto"]


def paint_in_a_loop(photos: Sequence[Path], paintings: Sequence[Path], output: Path, size: int) -> None:
    """Paint with one process for each picture, as a shell loop does."""
    output.mkdir()
    for photo in photos:
        for painting in paintings:
            target = output / f"{photo.stem}_{painting.stem}.png"
            run("paint", photo, painting, "--size", size, "--output", target, "--quiet")


def paint_as_batch(engine: str) -> Callable[[Sequence[Path], Sequence[Path], Path, int], None]:
    """Return a function that paints with one command."""

    def paint(photos: Sequence[Path], paintings: Sequence[Path], output: Path, size: int) -> None:
        run("batch", *photos, "--style", *paintings, "--size", size, "--output", output, "--quiet", "--engine", engine)

    return paint


def run(*words: object) -> None:
    """Run impasto without its output. Raises CalledProcessError if it fails."""
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    subprocess.run([*IMPASTO, *map(str, words)], check=True, stdout=subprocess.DEVNULL, env=environment)


SIDES = {"loop": paint_in_a_loop, "local": paint_as_batch("local"), "ray": paint_as_batch("ray")}


def measure(photos: Sequence[Path], paintings: Sequence[Path], size: int, sides: Sequence[str]) -> dict[str, float]:
    """Return the seconds that each way takes for all pairs."""
    seconds = {}
    with tempfile.TemporaryDirectory() as folder:
        for side in sides:
            print(f"{side}: {len(photos) * len(paintings)} pictures", file=sys.stderr, flush=True)
            started = time.perf_counter()
            SIDES[side](photos, paintings, Path(folder) / side, size)
            seconds[side] = time.perf_counter() - started
    return seconds


def summarize(seconds: dict[str, float], pictures: int) -> dict[str, Any]:
    """Return the seconds for each picture, and ratios of throughput."""
    figures: dict[str, Any] = {
        "pictures": pictures,
        "seconds": seconds,
        "seconds_per_picture": {side: spent / pictures for side, spent in seconds.items()},
    }
    for name, (fast, slow) in {"local_over_loop": ("local", "loop"), "ray_over_local": ("ray", "local")}.items():
        if fast in seconds and slow in seconds:
            figures[name] = seconds[slow] / seconds[fast]
    return figures


def main() -> int:
    """Measure, and print or write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, nargs="+", default=EXAMPLES, metavar="FILE")
    parser.add_argument("--paintings", type=Path, nargs="+", default=PAINTINGS, metavar="FILE")
    parser.add_argument("--size", type=int, default=256, help="longer side in pixels")
    parser.add_argument("--quick", action="store_true", help="2 photos and 2 paintings")
    parser.add_argument("--only", type=lambda text: text.split(","), default=[*SIDES], metavar="SIDE,...")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    arguments = parser.parse_args()
    photos, paintings = (given[: 2 if arguments.quick else None] for given in (arguments.photos, arguments.paintings))
    seconds = measure(photos, paintings, arguments.size, arguments.only)
    figures = {"machine": describe("cpu"), "size": arguments.size, **summarize(seconds, len(photos) * len(paintings))}
    print(json.dumps(figures, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
