"""A print painted by the command line, watched from outside: peak memory, time, and crops to look for seams in."""

import argparse
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from impasto.images.read import read_image
from impasto.images.sizes import fit_size, resize
from impasto.images.write import write_image
from print_pieces import Figures

CROP = 1024  # pixels, at 100 %
SMALL = 1200  # longer side of the whole, scaled down


def print_poster(arguments: argparse.Namespace) -> Iterator[tuple[str, Figures]]:
    """Paint it in another process, and yield what it took and where its pictures are."""
    command = [sys.executable, "-m", "impasto", str(arguments.photo), str(arguments.painting)]
    command += ["--size", str(arguments.print_size), "-o", str(arguments.output), *shlex.split(arguments.options)]
    started = time.perf_counter()
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr
    lines = []
    for line in process.stderr:
        sys.stderr.write(line)
        lines.append(line.rstrip())
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - started
    found: Figures = {"command": shlex.join(command[3:]), "exit": process.returncode, "said": lines}
    if process.returncode == 0:
        found |= {"peak_gib": usage.ru_maxrss * 1024 / 2**30, "minutes": seconds / 60}
        found |= {"planned": lines[0], "crops": cut(arguments.output, find_side(lines[0]))}
    yield "print/poster", found


def find_side(planned: str) -> int:
    """Read the tiles' side from the line that says the plan; 0: it was painted whole."""
    found = re.search(r"in tiles of (\d+) pixels", planned)
    return int(found[1]) if found else 0


def cut(path: Path, side: int) -> list[str]:
    """Write crops around corners where four tiles meet, at 100 %, and the whole scaled down."""
    rgb = read_image(path, max_pixels=2**31).rgb
    height, width = rgb.shape[2:]
    written = []
    for name, across, down in (("middle", 0.5, 0.5), ("left", 0.2, 0.4), ("right", 0.8, 0.7)):
        x, y = (_border(length, side, share) for length, share in ((width, across), (height, down)))
        left, top = (min(max(0, at - CROP // 2), max(0, of - CROP)) for at, of in ((x, width), (y, height)))
        target = path.with_name(f"{path.stem}_{name}.png")
        write_image(rgb[..., top : top + CROP, left : left + CROP], target, overwrite=True)
        written.append(f"{target}: {left}, {top}; tiles meet at {x - left}, {y - top} in it")
    small = path.with_name(f"{path.stem}_small.png")
    write_image(resize(rgb, *fit_size(width, height, SMALL)), small, overwrite=True)
    return [*written, str(small)]


def _border(length: int, side: int, share: float) -> int:
    """Find the border between two tiles that is nearest to a share of a side, but for less than a cell."""
    count = -(-length // side) if side else 1
    return round(length * max(1, round(share * count)) / count) if count > 1 else length // 2
