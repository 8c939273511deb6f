"""Masks brushed on the photo: a color for each painting, and one for what stays as it is."""

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

PAINTING_COLORS = ("#e4572e", "#1f9fb8", "#f2b705", "#7a4fd0", "#5f9e2f", "#e56aa8")  # in the paintings' order
PRESERVE_COLOR = "#8a8a8a"
PNG_DATA_PREFIX = "data:image/png;base64,"
MAX_BRUSHED_BYTES = 1_500_000
MAX_BRUSHED_PIXELS = 4_000_000
MIN_BRUSHED_SHARE = 1e-3  # of the picture, for a color to count


def save_brushed(data: Any, uploads: Path) -> Path | None:
    """Write what was brushed, a PNG as a data URL, into a folder of the uploads. Returns None if nothing was.

    Raises UsageError if it is no such picture, or is too large.
    """
    if not data:
        return None
    if not isinstance(data, str) or not data.startswith(PNG_DATA_PREFIX) or len(data) > MAX_BRUSHED_BYTES:
        raise UsageError("What was brushed is no picture, or too large: brush it again.")
    try:
        png = base64.b64decode(data.removeprefix(PNG_DATA_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise UsageError("What was brushed is damaged: brush it again.") from None
    path = Path(tempfile.mkdtemp(dir=uploads)) / "brush.png"
    path.write_bytes(png)
    read_brushed(path)
    return path


def read_brushed(path: Path) -> Image:
    """Read what was brushed."""
    return read_image(path, max_pixels=MAX_BRUSHED_PIXELS)


def as_data_url(path: Path) -> str:
    """Return what was brushed as a data URL again."""
    return PNG_DATA_PREFIX + base64.b64encode(path.read_bytes()).decode()


def split_masks(brushed: Image, paintings: int) -> tuple[dict[int, Tensor], Tensor | None]:
    """Return the masks (1, 1, H, W) of the paintings that were brushed, by number from 0, and of what stays."""
    alpha = torch.ones_like(brushed.rgb[:, :1]) if brushed.alpha is None else brushed.alpha
    palette = _parse_colors(*PAINTING_COLORS, PRESERVE_COLOR).view(-1, 3, 1, 1)
    nearest = (brushed.rgb - palette).square().sum(1).argmin(0)[None, None]  # (1, 1, H, W)
    masks = {number: alpha * (nearest == number) for number in range(len(palette))}
    masks = {number: mask for number, mask in masks.items() if float(mask.mean()) > MIN_BRUSHED_SHARE}
    preserved = masks.pop(MAX_PAINTINGS, None)
    return {number: mask for number, mask in masks.items() if number < paintings}, preserved


def write_masks(brushed: Image, paintings: int, folder: Path) -> dict[str, Any]:
    """Write the masks into a folder. Returns the settings that name them, without the folder.

    Places that are not brushed are for the paintings without a mask; if all have one, for the first.
    """
    masks, preserved = split_masks(brushed, paintings)
    settings: dict[str, Any] = {}
    if masks and paintings > 1:
        if len(masks) == paintings:
            others = sum(mask for number, mask in masks.items() if number)
            masks[0] = (1 - torch.as_tensor(others)).clamp(0, 1)
        for number, mask in masks.items():
            _write_mask(mask, folder / f"mask_{number + 1}.png")
        settings["mask"] = [f"mask_{n + 1}.png" if n in masks else REST_MASK for n in range(paintings)]
    if preserved is not None:
        settings["preserve_mask"] = "preserve.png"
        _write_mask(preserved, folder / "preserve.png")
    return settings


def suggest_regions(photo: Image, paintings: int) -> str:
    """Find a region for each painting, by color and place, and return them brushed, as a data URL.

    With one painting, the second region stays as it is.
    """
    masks = find_regions(photo, max(2, paintings), "the photo").masks
    colors = [*PAINTING_COLORS[:paintings], *([PRESERVE_COLOR] if paintings < 2 else [])]
    rgb = _parse_colors(*colors)[masks.argmax(0)[0]].permute(2, 0, 1)[None]  # (1, 3, h, w)
    file = io.BytesIO()
    to_pil(rgb).save(file, "PNG", optimize=True)
    return PNG_DATA_PREFIX + base64.b64encode(file.getvalue()).decode()


def render_editor(photo: bytes | None, paintings: int = 0, brushed: str = "") -> str:
    """Return the editor as HTML: the photo as a small JPEG, and what is brushed so far."""
    if photo is None:
        return '<p class="hint">Choose a photo first.</p>'
    colors = ",".join([*PAINTING_COLORS[:paintings], PRESERVE_COLOR])
    labels = html.escape("\n".join([*(f"Painting {number + 1}" for number in range(paintings)), "Stays as it is"]))
    return (
        f'<div class="mask-editor" data-photo="{as_jpeg_url(photo)}" data-colors="{colors}" data-labels="{labels}" '
        f'data-start="{html.escape(brushed)}"></div>'
    )


def _parse_colors(*colors: str) -> Tensor:
    """Return colors such as `#e4572e` as a tensor (N, 3) from 0 to 1."""
    return torch.tensor([list(bytes.fromhex(color[1:])) for color in colors]) / 255


def _write_mask(mask: Tensor, path: Path) -> None:
    write_image(mask.expand(1, 3, *mask.shape[2:]), path, overwrite=True)
