"""Where a painter is, in plain numbers; and the average over what it has come past."""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass
class PainterState:
    """At which scale a painter is, and how far; what a checkpoint says in numbers."""

    scale: int = 1
    steps_left: int | None = None  # steps still to be told about at the scale; None: it has not begun
    steps_done: int = 0  # over all scales
    seconds: float = 0.0
    max_loss: float = math.inf  # a loss above it has exploded
    recoveries: int = 0
    losses: dict[str, float] = field(default_factory=lambda: {"total": math.inf})  # of the accepted canvas
    backtracks: int = 0  # how often in a row a step was taken back
    totals: list[float] = field(default_factory=list)  # losses of the scale's steps

    def start_scale(self, steps: int) -> None:
        """Be at the start of a scale."""
        self.steps_left, self.recoveries = steps, 0
        self.forget_losses()

    def forget_losses(self) -> None:
        """Have another goal: the losses up to now are not to be compared with those to come."""
        self.max_loss, self.losses, self.backtracks, self.totals = math.inf, {"total": math.inf}, 0, []


class CanvasAverage:
    """The exponential average of canvases, unbiased from the first on."""

    def __init__(self, decay: float) -> None:
        self.decay, self.weight = decay, 0.0
        self.value = torch.empty(0)

    def update(self, canvas: Tensor) -> None:
        """Count one more canvas (1, 3, H, W)."""
        self.weight = self.decay * self.weight + (1 - self.decay)
        if self.value.numel():
            self.value.lerp_(canvas, (1 - self.decay) / self.weight)
        else:
            self.value = canvas.clone()
