"""Masks that are brushed on the photo: a colour for each painting, one for what stays as it is."""

import base64
import binascii
import html
import io
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from impasto.errors import UsageError
from impasto.images.image import Image
from impasto.images.read import read_image
from impasto.images.segmentation import find_regions
from impasto.images.write import to_pil, write_image
from impasto.settings.types import REST_MASK
from impasto.studio.uploads import MAX_PAINTINGS, as_jpeg_url

PAINTING_COLORS = ("#e4572e", "#1f9fb8", "#f2b705", "#7a4fd0", "#5f9e2f", "#e56aa8")  # of the paintings, in their order
KEEP_COLOR = "#8a8a8a"
PNG_DATA_PREFIX = "data:image/png;base64,"
MAX_BRUSHED_BYTES = 1_500_000
MAX_BRUSHED_PIXELS = 4_000_000
MIN_BRUSHED_SHARE = 1e-3  # of the picture that must be brushed to count

MaskSettings = dict[str, Any]


def save_brushed(data: Any, uploads: Path) -> Path | None:
    """Write what was brushed, the address of a PNG, where uploads are; None where nothing was.

    Errors: UsageError for what is no such picture, or is too large.
    """
    if not data:
        return None
    if not isinstance(data, str) or not data.startswith(PNG_DATA_PREFIX) or len(data) > MAX_BRUSHED_BYTES:
        raise UsageError("What was brushed is no picture, or too large: brush it again.")
    try:
        image = base64.b64decode(data.removeprefix(PNG_DATA_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise UsageError("What was brushed is damaged: brush it again.") from None
    path = Path(tempfile.mkdtemp(dir=uploads)) / "brush.png"
    path.write_bytes(image)
    read_brushed(path)
    return path


def read_brushed(path: Path) -> Image:
    """Read what was brushed."""
    return read_image(path, max_pixels=MAX_BRUSHED_PIXELS)


def split_masks(picture: Image, paintings: int) -> tuple[dict[int, Tensor], Tensor | None]:
    """Tell the masks (1, 1, H, W) of the paintings that were brushed, by number from 0, and that of what stays."""
    alpha = torch.ones_like(picture.rgb[:, :1]) if picture.alpha is None else picture.alpha
    palette = torch.tensor([_rgb_values(color) for color in (*PAINTING_COLORS, KEEP_COLOR)]).view(-1, 3, 1, 1)
    nearest = (picture.rgb - palette).square().sum(1).argmin(0)[None, None]  # (1, 1, H, W)
    masks = {
        number: mask
        for number in range(len(palette))
        if float((mask := alpha * (nearest == number)).mean()) > MIN_BRUSHED_SHARE
    }
    keep = masks.pop(MAX_PAINTINGS, None)
    return {number: mask for number, mask in masks.items() if number < paintings}, keep


def write_masks(picture: Image, paintings: int, folder: Path) -> MaskSettings:
    """Write the masks into a folder; returns the settings that name them, by their names alone.

    What is not brushed is for the paintings that have no place of their own; if all have one, for the first.
    """
    brushed, keep = split_masks(picture, paintings)
    settings: MaskSettings = {}
    if brushed and paintings > 1:
        if len(brushed) == paintings:
            others = sum(mask for number, mask in brushed.items() if number)
            brushed[0] = (1 - torch.as_tensor(others)).clamp(0, 1)
        for number, mask in brushed.items():
            _write_mask(mask, folder / f"mask_{number + 1}.png")
        settings["mask"] = [f"mask_{it + 1}.png" if it in brushed else REST_MASK for it in range(paintings)]
    if keep is not None:
        _write_mask(keep, folder / "keep.png")
        settings["preserve_mask"] = "keep.png"
    return settings


def suggest_regions(picture: Image, paintings: int) -> str:
    """Find a region for each painting, by colour and place, and give them as the address of a picture.

    With one painting, the second region stays as it is.
    """
    masks = find_regions(picture, max(2, paintings), "the photo").masks
    colors = [*PAINTING_COLORS[:paintings], *([KEEP_COLOR] if paintings < 2 else [])]
    palette = torch.tensor([_rgb_values(color) for color in colors]).view(-1, 3)
    rgb = palette[masks.argmax(0)[0]].permute(2, 0, 1)[None]  # (1, 3, h, w)
    file = io.BytesIO()
    to_pil(rgb).save(file, "PNG", optimize=True)
    return PNG_DATA_PREFIX + base64.b64encode(file.getvalue()).decode()


def render_editor(small: bytes | None, names: list[str], brushed: str = "") -> str:
    """Write the part of the page to brush on: the photo as a small JPEG, and what is brushed so far."""
    if small is None:
        return '<p class="hint">Choose a photo first.</p>'
    colors = ",".join([*PAINTING_COLORS[: len(names)], KEEP_COLOR])
    labels = html.escape("\n".join([*(f"Painting {number}" for number, _ in enumerate(names, 1)), "Stays as it is"]))
    return (
        f'<div class="brush" data-photo="{as_jpeg_url(small)}" data-colors="{colors}" data-labels="{labels}" '
        f'data-start="{html.escape(brushed)}"></div>'
    )


def as_data_url(path: Path) -> str:
    """Give a brushed picture as its address again."""
    return PNG_DATA_PREFIX + base64.b64encode(path.read_bytes()).decode()


def _rgb_values(color: str) -> list[float]:
    return [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]


def _write_mask(mask: Tensor, path: Path) -> None:
    write_image(mask.expand(1, 3, *mask.shape[2:]), path, overwrite=True)
