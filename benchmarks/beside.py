"""How pictures painted at the same time slow each other, at the command line and in a batch's workers.

python benchmarks/beside.py [--size 256] [--repeats 3] [--json FILE]

alone_s             seconds of a picture painted alone, as the command line paints it; the least of the repeats
spinning_s          the same with OpenMP's default, 300,000 rounds of spinning while threads wait
two_s               two commands at once: seconds of the later one
workers_s           two pictures in a batch of two workers, each with all threads: seconds of the later one
alone_ratio         alone_s over spinning_s: about 1, as threads sleep only beside other work
two_ratio, workers_ratio    over alone_s: 2 where nothing is lost

Start-up and reading are not counted. It takes about a minute, and needs a machine on which nothing else runs.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from impasto.images.write import write_image
from machine import describe

SPINNING = {"GOMP_SPINCOUNT": "300000"}  # libgomp's default
OWN = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "OMP_NUM_THREADS")
AIMS = {"alone_ratio": 1.05, "two_ratio": 2.4, "workers_ratio": 2.4}


class Painting:
    """A photo and a painting in a folder, painted by commands of their own."""

    def __init__(self, folder: Path, size: int) -> None:
        self.folder, self.size = folder, size
        generator = torch.Generator().manual_seed(0)
        for name in ("photo.png", "painting.png"):
            write_image(torch.rand(1, 3, size, size, generator=generator), folder / name)

    def start(self, *words: str, environment: dict[str, str] | None = None) -> "subprocess.Popen[str]":
        """Start `impasto WORDS` with the settings of this benchmark."""
        given = {name: value for name, value in os.environ.items() if name not in OWN}
        options = [f"--size={self.size}", "--network=slim", "--views=1", "--quiet"]
        return subprocess.Popen(
            [sys.executable, "-m", "impasto", *words, *options],
            cwd=self.folder,
            env={**given, **(environment or {})},
            stdout=subprocess.PIPE,
            text=True,
        )

    def time_together(self, count: int, environment: dict[str, str] | None = None) -> float:
        """Paint so many pictures at the same time; returns the seconds of the one that took longest."""
        commands = [self.start("photo.png", "painting.png", "--json", environment=environment) for _ in range(count)]
        return max(float(json.loads(command.communicate()[0])["seconds"]) for command in commands)

    def time_workers(self) -> float:
        """Paint two pictures in a batch of two workers; returns the seconds of the one that took longest."""
        threads = f"--threads={torch.get_num_threads()}"
        pictures = ["batch", "photo.png", "--style", "painting.png", "photo.png", "-o", "out"]
        self.start(*pictures, "--workers=2", threads).communicate()
        with (self.folder / "out" / "report.csv").open(newline="", encoding="utf-8") as file:
            return max(float(row["seconds"]) for row in csv.DictReader(file))


def measure(folder: Path, size: int, repeats: int) -> dict[str, float]:
    """Measure all times and their ratios."""
    painting = Painting(folder, size)
    pairs = [(painting.time_together(1), painting.time_together(1, SPINNING)) for _ in range(repeats)]
    alone, spinning = (min(each) for each in zip(*pairs, strict=True))
    two, workers = painting.time_together(2), painting.time_workers()
    return {
        "alone_s": alone,
        "spinning_s": spinning,
        "two_s": two,
        "workers_s": workers,
        "alone_ratio": alone / spinning,
        "two_ratio": two / alone,
        "workers_ratio": workers / alone,
    }


def main() -> None:
    """Measure, and print the figures with their aims."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), options.size, options.repeats)
    for name, value in found.items():
        print(f"{name:<16}{value:8.2f}{f'   aim: at most {AIMS[name]}' if name in AIMS else ''}")
    if options.json:
        options.json.write_text(json.dumps({"machine": describe("cpu"), **found}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
