"""A painter's state taken apart between two steps, and put together again: what follows is the same, bit for bit."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from impasto.errors import CheckpointError, UsageError
from impasto.painting.checkpoint import Checkpoint
from impasto.painting.painter import Painter
from impasto.painting.state import CanvasAverage, PainterState
from impasto.painting.strategy import ScaleStrategy


def capture_state(painter: Painter, texts: Mapping[str, str], *, memory: bool = True) -> Checkpoint:
    """Take down where a painter is; to be asked between two steps. `texts` go into the checkpoint as they are.

    Without its `memory`, many times the size of the canvas, the optimiser begins anew from there.

    The tensors are the painter's own, no copies: write them down before the next step.
    """
    if painter.accepted is None:
        raise UsageError("Nothing is painted yet: ask for a step first.")
    tensors: dict[str, Tensor] = {"canvas": painter.accepted, "chance": torch.get_rng_state()}
    if memory and painter.rejected is not None:
        tensors["taken_back"] = painter.rejected
    numbers: dict[str, Any] = {
        "sizes": painter.sizes,
        "steps": painter.steps,
        "place": dataclasses.asdict(painter.state if memory else dataclasses.replace(painter.state, backtracks=0)),
        "manners": [dataclasses.asdict(manner) for manner in painter.strategies],
        "care": painter.step_scale,
        "total": painter.total_steps,
        "notes": painter.notes,
    }
    for name, thing in (("optimizer", painter.optimizer if memory else None), ("average", painter.average)):
        if thing is not None:
            found, numbers[name] = _take_apart(thing, name)
            tensors |= found
    return Checkpoint(tensors, numbers, texts)


def restore_state(painter: Painter, checkpoint: Checkpoint) -> None:
    """Bring a painter that has not begun to where another one was, of the same settings and pictures.

    Raises CheckpointError where the checkpoint is another painter's.
    """
    tensors, numbers, device = checkpoint.tensors, checkpoint.numbers, next(painter.network.parameters()).device

    def move(tensor: Tensor) -> Tensor:
        return tensor if tensor.dtype is torch.float64 else tensor.to(device)  # small matrices stay on the processor

    try:
        if [tuple(size) for size in numbers["sizes"]] != painter.sizes or numbers["steps"] != painter.steps:
            raise CheckpointError("The checkpoint is of another painting: it has other scales, or other steps.")
        painter.state = PainterState(**numbers["place"])
        painter.strategies = [ScaleStrategy(**manner) for manner in numbers["manners"]]
        painter.step_scale, painter.total_steps, painter.notes = numbers["care"], numbers["total"], numbers["notes"]
        painter.accepted = move(tensors["canvas"])
        if "taken_back" in tensors:
            painter.rejected = move(tensors["taken_back"])
        if "optimizer" in numbers:
            painter.optimizer = painter.make_optimizer(painter.state.scale, painter.strategy)
            _put_together(painter.optimizer, "optimizer", tensors, numbers["optimizer"], move)
        if "average" in numbers:
            painter.average = CanvasAverage(painter.settings.average)
            _put_together(painter.average, "average", tensors, numbers["average"], move)
        torch.set_rng_state(tensors["chance"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"The checkpoint is not understood ({error}): it takes the impasto that wrote it"
        ) from error


def _take_apart(thing: object, prefix: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the attributes of an object, its tensors by name, and what is plain numbers; the rest is left out."""
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


def _put_together(
    thing: object, prefix: str, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any], to: Any
) -> None:
    """Give an object the attributes that `_take_apart` has found; `to` moves tensors to where they are used."""
    for name, value in numbers.items():
        if isinstance(value, dict):
            value = [to(tensors[f"{prefix}.{name}.{number}"]) for number in range(value["tensors"])]
        setattr(thing, name, value)
    for name, tensor in tensors.items():
        owner, _, attribute = name.partition(".")
        if owner == prefix and attribute in vars(thing):
            setattr(thing, attribute, to(tensor))
