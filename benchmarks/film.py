"""Measure the flicker and the time of a painted film, compared with painting each of its frames on its own.

    python benchmarks/film.py FILM PAINTING [--frames 90] [--size 320] [--every 15] [--keep FOLDER]

The film is painted by `impasto.film`. At regular intervals it waits while two of its frames are painted on their own
with the same settings, so that both are timed on the same machine at the same time. Prints one JSON object:

  seconds          of the first frame, each later frame, the whole film, and a frame on its own
  later_to_first   aim: at most 0.2
  whole_to_alone   the film's time relative to that of all its frames painted on their own, until they reach the film's
                   style error; aim: at most 1/6
  temporal_error   mean squared difference between a picture and the one before it, warped along the photos' motion,
                   where that motion is trusted: of the film, of frames on their own, and the ratio; aim: at most 0.25
  style            style_all by judge.py: of the film, of frames on their own, and the ratio; aim: at most 1.1
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean
from typing import Any

from torch import Tensor

import impasto
import machine
from impasto.films.flow import estimate_motion, warp
from impasto.films.image_sequence import open_reader
from impasto.images.read import read_image
from impasto.images.sizes import fit_size, resize, resize_clamped
from impasto.images.write import to_pil
from judge import judge

SNAPSHOT_STEPS = 5  # steps between the snapshots of a picture painted on its own


def measure(film: Path, painting: Path, frames: int, size: int, every: int, folder: Path) -> Any:
    """Paint the film and some frames on their own, and compare."""
    photos = read_frames(film, frames, size)
    output = folder / "film.mkv"
    run = impasto.film(film, painting, output=output, size=size, end=f"{frames}f", codec="lossless", overwrite=True)
    spent: dict[int, float] = {}
    alone: list[tuple[int, list[Snapshot], list[Snapshot]]] = []
    steps: dict[int, int] = {}
    at = time.perf_counter()
    for step in run:
        spent[step.frame] = spent.get(step.frame, 0.0) + time.perf_counter() - at
        steps[step.frame] = steps.get(step.frame, 0) + 1
        if steps[step.frame] == 1 and step.frame % every == 2:  # one frame is done, the next has just begun
            index = step.frame - 2
            one, other = (paint_alone(photos[it], painting, size) for it in (index, index + 1))
            alone.append((index, one, other))
        at = time.perf_counter()
    written = time.perf_counter() - at
    pictures = read_frames(output, frames, size)
    later = [seconds for frame, seconds in spent.items() if frame > 1]
    errors = [temporal_error(photos[it : it + 2], pictures[it : it + 2]) for it in range(len(photos) - 1)]
    errors_alone = [temporal_error(photos[it : it + 2], [a[-1].picture, b[-1].picture]) for it, a, b in alone]
    seconds_alone = mean(snapshots[-1].seconds for _, a, b in alone for snapshots in (a, b))
    whole = sum(spent.values()) + written
    ours = {it: judge_style(pictures[it], painting, size) for it, _, _ in alone}
    theirs = [judge_style(snapshots[-1].picture, painting, size) for _, snapshots, _ in alone]
    needed = mean(seconds_to(snapshots, ours[it], painting, size) for it, snapshots, _ in alone)
    return {
        "machine": machine.describe("cpu"),
        "frames": len(pictures),
        "size": size,
        "seconds": {
            "first": spent[1],
            "later": mean(later),
            "whole": whole,
            "alone": seconds_alone,
            "alone_to_the_same_style": needed,
        },
        "later_steps": mean(count for frame, count in steps.items() if frame > 1),
        "later_to_first": mean(later) / spent[1],
        "whole_to_alone": whole / (len(pictures) * needed),
        "temporal_error": compare(mean(errors), mean(errors_alone)),
        "style": compare(mean(ours.values()), mean(theirs)),
    }


class Snapshot:
    """A picture painted on its own, after so many seconds."""

    def __init__(self, picture: Tensor, seconds: float) -> None:
        self.picture, self.seconds = picture, seconds


def paint_alone(photo: Tensor, painting: Path, size: int) -> list[Snapshot]:
    """Paint one frame as a picture; the time for snapshots does not count."""
    snapshots, seconds = [], 0.0
    run = impasto.start(to_pil(photo), painting, size=size, preset="film")
    at = time.perf_counter()
    for step in run:
        seconds += time.perf_counter() - at
        if step.step % SNAPSHOT_STEPS == 0 or step.step == run.total_steps:
            snapshots.append(Snapshot(resize(read_image(run.picture()).rgb, photo.shape[3], photo.shape[2]), seconds))
        at = time.perf_counter()
    return snapshots


def seconds_to(snapshots: list[Snapshot], error: float, painting: Path, size: int) -> float:
    """Return the seconds until a picture reached a style error, or all of them if it never did."""
    reached = (each.seconds for each in snapshots if judge_style(each.picture, painting, size) <= error)
    return next(reached, snapshots[-1].seconds)


def judge_style(picture: Tensor, painting: Path, size: int) -> float:
    """Return the style error of a picture (1, 3, H, W) in all views."""
    drawn = to_pil(picture)
    return float(judge(drawn, drawn, [painting], size)["style_all"])


def temporal_error(photos: list[Tensor], pictures: list[Tensor]) -> float:
    """Return the mean squared difference of the second picture and the warped first one, weighted by trust."""
    motion = estimate_motion(photos[1], photos[0])
    difference = (warp(pictures[0], motion.flow) - pictures[1]).square().mean(1, keepdim=True)
    return float((difference * motion.trust).sum() / motion.trust.sum())


def compare(ours: float, theirs: float) -> dict[str, float]:
    """Return both values and their ratio."""
    return {"film": ours, "alone": theirs, "ratio": ours / theirs}


def read_frames(film: Path, frames: int, size: int) -> list[Tensor]:
    """Read the first frames of a film at the size that is painted."""
    read = []
    for frame, _ in zip(open_reader(film, 25), range(frames), strict=False):
        read.append(resize_clamped(frame.image.rgb, *fit_size(frame.image.width, frame.image.height, size)))
    return read


def main(argv: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("film", type=Path)
    parser.add_argument("painting", type=Path)
    parser.add_argument("--frames", type=int, default=90)
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--every", type=int, default=15, help="frames between those painted on their own")
    parser.add_argument("--keep", type=Path, help="a folder for the film")
    given = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.keep or Path(temporary)
        folder.mkdir(exist_ok=True)
        found = measure(given.film, given.painting, given.frames, given.size, given.every, folder)
    json.dump(found, sys.stdout, indent=2)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
