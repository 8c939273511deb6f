"""Where a painting was, kept in a file: its canvas and its place on the ladder."""

from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError, safe_open

from impasto.errors import PictureError
from impasto.painting.painter import Position


def write_state(position: Position, path: Path) -> None:
    """Write a position, whole or not at all."""
    temporary = path.with_suffix(".part")
    place = {"scale": str(position.scale), "step": str(position.step)}
    safetensors.torch.save_file({"canvas": position.canvas.contiguous()}, temporary, metadata=place)
    temporary.replace(path)


def read_state(path: Path) -> Position:
    """Read a position; raises PictureError where it is gone or damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            place = file.metadata()
            return Position(file.get_tensor("canvas"), int(place["scale"]), int(place["step"]))
    except (OSError, SafetensorError, KeyError, ValueError, TypeError):
        raise PictureError("This earlier state is gone: begin from another one, or anew.") from None
