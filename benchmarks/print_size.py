"""What print size takes: memory and time against size, limits kept to, kills survived, and a print itself.

    python benchmarks/print_size.py [--only PART,...] [--json FILE] [--photo FILE] [--painting FILE]

Every painting runs in a process of its own, whose peak of resident memory is measured. The parts:

    memory   peak memory at --megapixels (1, 4, 16, 64), in tiles and with a history that do not change with size; bytes
             per pixel from one size to the next, with VGG-19 at all views up to 16; beside it the textbook loop
             (reference.py), until it dies
    time     seconds per megapixel of a step whole and in tiles, at 1 and 4 megapixels; at most 2.2 times is the aim
    plan     how near the plan's estimates come: of memory within 25 %, of time within a factor 1.5 is the aim
    limits   4 megapixels with --memory 1 to 8 GiB: the measured peak, or what is said beforehand
    widths   16 megapixels with VGG-19 at all views and --memory 6GiB
    kills    a small picture killed --kills times (50) at random moments; all have to end in the same picture
    print    --print-size (12000) pixels with --options, by the command line, to --output, with crops beside it

`print` takes an hour and is left out unless it is named; the others together about an hour, less with fewer
--steps or --megapixels.
"""

import argparse
import json
import math
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

from kills import kill_and_resume
from machine import describe
from pieces import PAINTING, PHOTO
from print_pieces import Figures
from print_poster import print_poster

GIB = 2**30
PARTS = ("memory", "time", "plan", "limits", "widths", "kills", "print")
TILED: dict[str, Any] = {"tile_size": 1024, "history": 4, "compact": True, "on_disk": True}
LIMITS = range(1, 9)  # GiB
WIDE = 16  # megapixels with VGG-19, at most: a step of 64 takes minutes


class Scene:
    """The pictures, and the settings that all pieces have."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.photo, self.painting, self.steps = str(arguments.photo), str(arguments.painting), arguments.steps

    def side(self, megapixels: float) -> int:
        """Say which longer side the photo has at so many megapixels."""
        from impasto.images.read import read_image

        height, width = read_image(self.photo).rgb.shape[2:]
        return round(math.sqrt(megapixels * 1e6 * max(width, height) / min(width, height)))

    def paint(self, megapixels: float, strategy: Figures | None = None, steps: int = 0, **settings: Any) -> Figures:
        """Paint one scale of so many megapixels."""
        side = self.side(megapixels)
        chosen = {"size": side, "start_size": side, "steps": steps or self.steps, **settings}
        return run("paint", photo=self.photo, painting=self.painting, settings=chosen, strategy=strategy)


def run(piece: str, **options: Any) -> Figures:
    """Run a piece in a process of its own; one that was killed has died."""
    command = [sys.executable, str(Path(__file__).with_name("print_pieces.py")), piece, json.dumps(options)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode < 0:
        return {"died": f"killed by signal {-done.returncode}"}
    if done.returncode:
        raise RuntimeError(f"{piece} failed: {options}")
    found: Figures = json.loads(done.stdout)
    return found


def measure_memory(scene: Scene, sizes: Sequence[float]) -> Iterator[tuple[str, Figures]]:
    """Measure ours at all sizes, and the textbook loop until it dies."""
    for who, network, most in (("slim", "slim", math.inf), ("vgg", "vgg19", WIDE)):
        for size in filter(lambda size: size <= most, sizes):
            yield f"memory/{who}/{size:g}", scene.paint(size, TILED, network=network, large_view_network="same")
    for size in sizes:
        options = {"network": "vgg19", "size": scene.side(size), "steps": 6}
        found = run("reference", photo=scene.photo, painting=scene.painting, **options)
        yield f"memory/reference/{size:g}", found
        if "died" in found:
            return


def measure_time(scene: Scene) -> Iterator[tuple[str, Figures]]:
    """Measure a step whole and in tiles of several sizes."""
    for size in (1, 4):
        for name, strategy in (("whole", {}), *((f"tiles_{side}", {"tile_size": side}) for side in (2048, 1024, 512))):
            if strategy.get("tile_size", 0) < scene.side(size):
                yield f"time/{name}/{size:g}", scene.paint(size, strategy or {"tile_size": 0})


def measure_plan(scene: Scene) -> Iterator[tuple[str, Figures]]:
    """Measure what was planned, with all scales."""
    for size in (1, 4):
        for memory in ("auto", "1GiB"):
            settings = {"start_size": 256, "later_steps": scene.steps, "memory": memory}
            yield f"plan/{memory}/{size:g}", scene.paint(size, **settings)


def measure_limits(scene: Scene) -> Iterator[tuple[str, Figures]]:
    """Measure 4 megapixels within limits."""
    for limit in LIMITS:
        yield f"limits/{limit}GiB/4", scene.paint(4, memory=f"{limit}GiB")


def measure_widths(scene: Scene) -> Iterator[tuple[str, Figures]]:
    """Measure 16 megapixels with VGG-19 at all views."""
    yield "widths/6GiB/16", scene.paint(16, memory="6GiB", network="vgg19", large_view_network="same")


def measure_kills(arguments: argparse.Namespace) -> Iterator[tuple[str, Figures]]:
    """Kill and resume small pictures: with each optimizer, whole and in tiles."""
    ways = {
        "lbfgs": ("--optimizer", "lbfgs"),
        "adam": ("--optimizer", "adam", "--learning-rate", "0.02"),
    }
    options = ("--size", "96", "--start-size", "48", "--steps", "10", "--later-steps", "250", "--network", "slim")
    for seed, (name, way) in enumerate(ways.items()):
        kills = math.ceil(arguments.kills / len(ways))
        count = kill_and_resume(arguments.photo, arguments.painting, [*options, *way], kills, seed)
        yield f"kills/{name}", asdict(count)


def show(name: str, found: Figures) -> None:
    """Print one line."""
    part = name.partition("/")[0]
    if part == "kills":
        words = f"{found['kills']} kills in {found['runs']} runs, {found['same']} ended in the same picture"
    elif "died" in found or "refused" in found:
        words = found.get("died") or found["refused"]
    elif "megapixels" in found:
        per_pixel = (found["bytes"] - found["base_bytes"]) / found["megapixels"] / 1e6
        words = f"{found['bytes'] / GIB:.2f} GiB ({per_pixel:.0f} bytes per pixel)"
        words += f", {found['step_seconds'] / found['megapixels']:.3f} s per megapixel and step"
        if "planned_bytes" in found:
            words += f", {found['strategy']}; planned {found['planned_bytes'] / GIB:.2f} GiB"
            words += f" and {found['planned_seconds']:.1f} s, it took {found['seconds']:.1f} s"
    else:
        words = json.dumps(found)
    print(f"{name:<24} {words}", flush=True)


def summarise(results: dict[str, Figures]) -> Figures:
    """Say what the issue asks: growth with size, tiled over whole, estimates over what was taken."""
    found: Figures = {}
    for who in ("slim", "vgg", "reference"):
        rows = [it for name, it in results.items() if name.startswith(f"memory/{who}/") and "bytes" in it]
        found[f"bytes_per_pixel_{who}"] = [
            round((after["bytes"] - before["bytes"]) / (after["megapixels"] - before["megapixels"]) / 1e6, 1)
            for before, after in pairwise(rows)
        ]
    for name, it in results.items():
        part, way, size = (*name.split("/"), "", "")[:3]
        if part == "time" and way != "whole":
            found[f"tiled_over_{name}"] = it["step_seconds"] / results[f"time/whole/{size}"]["step_seconds"]
        if part == "plan":
            found[f"planned_over_taken_bytes_{way}_{size}"] = it["planned_bytes"] / it["bytes"]
            found[f"planned_over_taken_seconds_{way}_{size}"] = it["planned_seconds"] / it["seconds"]
    found["limits_kept"] = {
        name: it["refused"] if "refused" in it else it["bytes_in_all"] <= it["limit"]
        for name, it in results.items()
        if name.startswith(("limits/", "widths/"))
    }
    return found


def read_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photo", type=Path, default=PHOTO)
    parser.add_argument("--painting", type=Path, default=PAINTING)
    parser.add_argument("--only", type=lambda text: text.split(","), default=PARTS[:-1], metavar="PART,...")
    parser.add_argument("--megapixels", type=lambda text: [*map(float, text.split(","))], default=[1, 4, 16, 64])
    parser.add_argument("--steps", type=int, default=8, help="of each painting; memory is full after 6")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--print-size", type=int, default=12000)
    parser.add_argument("--output", type=Path, default=Path("poster.png"), help="where the print goes")
    parser.add_argument("--options", default="--memory 11GiB --final-steps 20", help="of the print, beside those")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    arguments = parser.parse_args(argv)
    if unknown := set(arguments.only) - set(PARTS):
        parser.error(f"--only: there is no part {unknown.pop()!r}; there are {', '.join(PARTS)}")
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print as it comes, write."""
    arguments = read_arguments(argv)
    results: dict[str, Figures] = {}
    started = time.perf_counter()
    scene = Scene(arguments)
    parts = {
        "memory": lambda: measure_memory(scene, arguments.megapixels),
        "time": lambda: measure_time(scene),
        "plan": lambda: measure_plan(scene),
        "limits": lambda: measure_limits(scene),
        "widths": lambda: measure_widths(scene),
        "kills": lambda: measure_kills(arguments),
        "print": lambda: print_poster(arguments),
    }
    for part in arguments.only:
        for name, found in parts[part]():
            results[name] = found
            show(name, found)
    figures = {
        "machine": describe("cpu"),
        "pictures": [arguments.photo.name, arguments.painting.name],
        "minutes": (time.perf_counter() - started) / 60,
        "figures": summarise(results),
        "results": results,
    }
    print(json.dumps({name: it for name, it in figures.items() if name != "results"}, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
