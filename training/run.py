"""One training that can be stopped and goes on: its log, its clock, its rate, its average, its checkpoint."""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

WARM_UP_STEPS = 200
LAST_RATE = 0.01  # of the first
EMA_DECAY = 0.999


def add_run_arguments(parser: argparse.ArgumentParser, *, rate: float) -> None:
    """Add what every training asks for."""
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--paintings", type=Path, required=True)
    parser.add_argument("--teacher", type=Path, required=True, help="VGG-19's weights, see training/teacher.py")
    parser.add_argument("--run", type=Path, required=True, help="folder for checkpoint, log and result")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, default=20000)
    length.add_argument("--seconds", type=float, help="train by the clock, over all runs together, in place of steps")
    parser.add_argument("--rate", type=float, default=rate)
    parser.add_argument("--save-every", type=float, default=60, help="seconds between checkpoints")
    parser.add_argument("--device", type=torch.device, default="cuda" if torch.cuda.is_available() else "cpu")


class Training:
    """Steps, seconds and progress of a run; what RUN/checkpoint.pt keeps are the attributes named in `kept`."""

    kept: Sequence[str] = ()

    def __init__(self, arguments: argparse.Namespace) -> None:
        arguments.run.mkdir(parents=True, exist_ok=True)
        self.arguments, self.device = arguments, arguments.device
        self.log = (arguments.run / "log.txt").open("a")
        self.first, self.step, self.seconds = 0, 0, 0.0

    def say(self, text: str) -> None:
        """Print a line, and write it into the log."""
        print(text, flush=True)
        print(text, file=self.log, flush=True)

    @property
    def progress(self) -> float:
        """How far the run is, from 0 to 1."""
        a = self.arguments
        return min(1.0, float(self.seconds / a.seconds if a.seconds else self.step / a.steps))

    @property
    def rate(self) -> float:
        """The learning rate of the next step: it warms up, then falls along a cosine."""
        warm = min(1.0, (self.step - self.first + 1) / WARM_UP_STEPS)
        cosine = LAST_RATE + (1 - LAST_RATE) * (1 + math.cos(math.pi * self.progress)) / 2
        return float(self.arguments.rate * warm * cosine)

    @torch.no_grad()
    def follow(self, average: nn.Module, learning: nn.Module, every: int = 1) -> None:
        """Move the average a little towards what learns, once in `every` steps."""
        times = (self.step - self.first) / every
        decay = min(EMA_DECAY**every, times / (times + 9))
        torch._foreach_lerp_(list(average.parameters()), list(learning.parameters()), 1 - decay)

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        state: dict[str, Any] = {name: getattr(self, name).state_dict() for name in self.kept}
        partial = self.arguments.run / "checkpoint.partial"
        torch.save({**state, "step": self.step, "seconds": self.seconds}, partial)
        partial.replace(self.arguments.run / "checkpoint.pt")

    def resume(self) -> None:
        """Load the last checkpoint, if there is one."""
        checkpoint = self.arguments.run / "checkpoint.pt"
        if checkpoint.exists():
            state = torch.load(checkpoint, map_location=self.device, weights_only=True)
            for name in self.kept:
                getattr(self, name).load_state_dict(state[name])
            self.step, self.seconds = state["step"], state["seconds"]
            self.say(f"goes on from step {self.step}")
        self.first = self.step
