"""Runs that are killed at random moments and resumed, again and again: does each end in the same picture?"""

import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from impasto.images.read import read_image

# As the command line, but kept after every step: so that a kill often comes while a checkpoint is being written.
PROGRAM = """
import sys
from impasto.runs import checkpoints
from impasto.cli.app import main
checkpoints.MIN_CHECKPOINT_INTERVAL_SECONDS, checkpoints.MAX_CHECKPOINT_SHARE = 0.0, float("inf")
sys.exit(main())
"""
LONGEST = 1.0  # seconds after it is seen to paint, at which it is killed
WHILE_PAINTING = 0.999  # the chance that a look at whether it paints is waited for: seldom it is killed as it starts


@dataclass
class Count:
    """What came of it."""

    kills: int = 0
    runs: int = 0
    same: int = 0
    resumed_from: int = 0  # kills after which there was a checkpoint to go on from
    seconds: float = 0.0


def kill_and_resume(photo: Path, painting: Path, options: Sequence[str], kills: int, seed: int = 0) -> Count:
    """Paint once without a break; then again and again, killed and resumed, until there were so many kills."""
    chance, count, started = random.Random(seed), Count(), time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run(_command(photo, painting, folder / "whole.png", options), check=True, capture_output=True)
        wanted = read_image(folder / "whole.png").rgb
        while count.kills < kills:
            output = folder / f"{count.runs}.png"
            _paint_with_kills(_command(photo, painting, output, options), output, chance, count, kills)
            count.runs += 1
            count.same += torch.equal(read_image(output).rgb, wanted)
            leftovers = [it.name for it in folder.iterdir() if it.name not in ("whole.png", output.name)]
            if leftovers:
                raise RuntimeError(f"left behind: {leftovers}")
            output.unlink()
    count.seconds = time.monotonic() - started
    return count


def _paint_with_kills(begin: list[str], output: Path, chance: random.Random, count: Count, kills: int) -> None:
    kept = output.with_name(output.name + ".checkpoint")
    while True:
        command = [*begin[:3], "resume", str(kept), "-q"] if kept.exists() else begin
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if count.kills < kills and _kill_it(process, kept, chance):
            count.kills += 1
            count.resumed_from += kept.exists()
            if output.exists() and not kept.exists():  # it was finished, and about to end
                return
            continue
        _, said = process.communicate()
        if process.returncode:
            raise RuntimeError(f"it did not go on: {said}")
        return


def _kill_it(process: "subprocess.Popen[str]", kept: Path, chance: random.Random) -> bool:
    """Kill a process at any moment, mostly while it paints; tells whether it was still at it."""
    before = _state(kept)
    while chance.random() < WHILE_PAINTING and _state(kept) == before and process.poll() is None:
        time.sleep(0.01)
    time.sleep(chance.uniform(0, LONGEST))
    if process.poll() is not None:
        return False
    process.kill()
    process.communicate()
    return True


def _state(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


def _command(photo: Path, painting: Path, output: Path, options: Sequence[str]) -> list[str]:
    kept = f"{output}.checkpoint"
    pictures = [str(photo), str(painting), "-o", str(output)]
    return [sys.executable, "-c", PROGRAM, *pictures, "--checkpoint", kept, "-q", *options]
