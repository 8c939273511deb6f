"""Where a painter is: all that changes from step to step, written to a checkpoint and read back bit for bit."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from impasto.errors import CheckpointError, UsageError
from impasto.painting.checkpoint_file import Checkpoint
from impasto.painting.optimizers import Optimizer
from impasto.painting.schedule import Schedule
from impasto.painting.strategy import ScaleStrategy


class CanvasAverage:
    """The exponential average of canvases (1, 3, H, W), unbiased from the first on."""

    def __init__(self, decay: float) -> None:
        self.decay: float = decay
        self.weight: float = 0.0
        self.value: Tensor = torch.empty(0)

    def update(self, canvas: Tensor) -> None:
        """Add one more canvas."""
        self.weight = self.decay * self.weight + (1 - self.decay)
        if self.value.numel():
            self.value.lerp_(canvas, (1 - self.decay) / self.weight)
        else:
            self.value = canvas.clone()


@dataclass
class PainterState:
    """How far a painter has come, and the tensors that the next step builds on."""

    strategies: list[ScaleStrategy]  # one for each scale
    total_steps: int
    scale: int = 1
    steps_left: int | None = None  # steps of the scale not yet reported; None before the scale has begun
    steps_done: int = 0  # over all scales
    seconds: float = 0.0
    max_loss: float = math.inf  # a higher loss counts as an explosion
    recoveries: int = 0  # at this scale
    losses: dict[str, float] = field(default_factory=lambda: {"total": math.inf})  # of the accepted canvas
    backtracks: int = 0  # in a row
    totals: list[float] = field(default_factory=list)  # the total loss at each step of the scale
    step_scale: float = 1.0  # factor of the step length: a quarter after each recovery, at later scales too
    notes: list[str] = field(default_factory=list)
    accepted: Tensor | None = None  # the last good canvas (1, 3, H, W)
    rejected: Tensor | None = None  # the canvas after its last step was shortened
    average: CanvasAverage | None = None
    optimizer: Optimizer | None = None

    @classmethod
    def at_start(cls, schedule: Schedule) -> "PainterState":
        """Return the state before the first step."""
        return cls([ScaleStrategy()] * len(schedule.sizes), sum(schedule.steps))

    @property
    def strategy(self) -> ScaleStrategy:
        """How the current scale is painted."""
        return self.strategies[self.scale - 1]

    def start_scale(self, steps: int) -> None:
        """Reset what belongs to one scale."""
        self.steps_left, self.recoveries = steps, 0
        self.forget_losses()

    def forget_losses(self) -> None:
        """Drop the losses so far: the objective changes, so later ones can't be compared with them."""
        self.max_loss, self.losses, self.backtracks, self.totals = math.inf, {"total": math.inf}, 0, []

    def forget_optimizer(self) -> None:
        """Have the optimizer start anew from the accepted canvas."""
        self.optimizer = self.rejected = None


TENSORS, OBJECTS = ("accepted", "rejected"), ("average", "optimizer")


def capture_state(
    state: PainterState, schedule: Schedule, texts: Mapping[str, str], *, with_optimizer: bool = True
) -> Checkpoint:
    """Return a state as a checkpoint; call it between two steps. `texts` are stored as they are.

    Without the optimizer, whose history is many times the size of the canvas, painting continues with a fresh one.
    The tensors are the painter's own, not copies: write them before the next step.
    """
    if state.accepted is None:
        raise UsageError("Nothing is painted yet: ask for a step first.")
    if not with_optimizer:
        state = dataclasses.replace(state, optimizer=None, rejected=None, backtracks=0)
    fields = {name: value for name, value in vars(state).items() if name not in (*TENSORS, *OBJECTS)}
    numbers: dict[str, Any] = {
        "schedule": {"sizes": schedule.sizes, "steps": schedule.steps},
        "state": fields | {"strategies": [dataclasses.asdict(strategy) for strategy in state.strategies]},
    }
    tensors = {"rng_state": torch.get_rng_state()}
    tensors |= {name: value for name in TENSORS if (value := getattr(state, name)) is not None}
    for name in OBJECTS:
        if (value := getattr(state, name)) is not None:
            found, numbers[name] = _split_attributes(value, name)
            tensors |= found
    return Checkpoint(tensors, numbers, texts)


def restore_state(
    checkpoint: Checkpoint,
    schedule: Schedule,
    device: torch.device,
    ema_decay: float,
    make_optimizer: Callable[[PainterState], Optimizer],
) -> PainterState:
    """Return the state in a checkpoint of a painter with the same settings and pictures.

    Errors: CheckpointError where the checkpoint is of another painting, or not understood.
    """
    tensors, numbers = checkpoint.tensors, checkpoint.numbers

    def move(tensor: Tensor) -> Tensor:
        return tensor if tensor.dtype is torch.float64 else tensor.to(device)  # small matrices stay on the CPU

    try:
        planned = numbers["schedule"]
        if (tuple(map(tuple, planned["sizes"])), tuple(planned["steps"])) != (schedule.sizes, schedule.steps):
            raise CheckpointError("The checkpoint is of another painting: it has other scales, or other steps.")
        strategies = [ScaleStrategy(**strategy) for strategy in numbers["state"]["strategies"]]
        state = PainterState(**{**numbers["state"], "strategies": strategies})
        state.accepted = move(tensors["accepted"])
        state.rejected = move(tensors["rejected"]) if "rejected" in tensors else None
        if "optimizer" in numbers:
            state.optimizer = make_optimizer(state)
            _join_attributes(state.optimizer, "optimizer", tensors, numbers["optimizer"], move)
        if "average" in numbers:
            state.average = CanvasAverage(ema_decay)
            _join_attributes(state.average, "average", tensors, numbers["average"], move)
        torch.set_rng_state(tensors["rng_state"])
    except (LookupError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"The checkpoint is not understood ({error}): resume it with the version of impasto that wrote it."
        ) from error
    return state


def _split_attributes(thing: object, prefix: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return an object's tensors, named `prefix.attribute`, and its plain numbers; other attributes are left out."""
    tensors: dict[str, Tensor] = {}
    numbers: dict[str, Any] = {}
    for name, value in vars(thing).items():
        if isinstance(value, Tensor):
            tensors[f"{prefix}.{name}"] = value
        elif isinstance(value, list) and value and all(isinstance(each, Tensor) for each in value):
            tensors |= {f"{prefix}.{name}.{number}": each for number, each in enumerate(value)}
            numbers[name] = {"tensors": len(value)}
        elif value is None or isinstance(value, int | float | list):
            numbers[name] = value
    return tensors, numbers


def _join_attributes(
    thing: object,
    prefix: str,
    tensors: Mapping[str, Tensor],
    numbers: Mapping[str, Any],
    move: Callable[[Tensor], Tensor],
) -> None:
    """Give an object the attributes that `_split_attributes` found, with tensors moved to their device."""
    for name, value in numbers.items():
        if isinstance(value, dict):
            value = [move(tensors[f"{prefix}.{name}.{number}"]) for number in range(value["tensors"])]
        setattr(thing, name, value)
    for name, tensor in tensors.items():
        owner, _, attribute = name.partition(".")
        if owner == prefix and attribute in vars(thing):
            setattr(thing, attribute, move(tensor))
