"""Masks brushed over the picture: a color for each painting, for what stays as it is, and for what stays readable."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from impasto.errors import UsageError
from impasto.images.guard import find_faces
from impasto.images.image import Image
from impasto.images.read import read_image
from impasto.images.segmentation import find_regions
from impasto.images.sizes import find_expected_size
from impasto.images.write import write_image, write_mask
from impasto.settings.types import REST_MASK

PAINTING_COLORS = ("#e4572e", "#1f9fb8", "#f2b705", "#7a4fd0", "#5f9e2f", "#e56aa8")  # in the paintings' order
PRESERVE_COLOR = "#f000c8"  # seen on every photo
GUARD_COLOR = "#b8ff2e"
MAX_BRUSHED_PIXELS = 4_000_000
MIN_BRUSHED_SHARE = 1e-3  # of the picture, for a color to count


def read_brushed(path: Path) -> Image:
    """Read what was brushed."""
    return read_image(path, max_pixels=MAX_BRUSHED_PIXELS)


def check_brushed(brushed: Image, photo: Image, paintings: int, guard: float) -> None:
    """Raise UsageError where what was brushed has another shape than the photo, counts nowhere, or has no effect.

    The photo may be a smaller copy.
    """
    if find_expected_size((photo.width, photo.height), (brushed.width, brushed.height)):
        raise UsageError(
            f"`masks` are {brushed.width} x {brushed.height} pixels, another shape than the photo's: they belong to "
            "another photo"
        )
    masks, preserved, guarded = split_masks(brushed, paintings)
    if not masks and preserved is None and guarded is None:
        raise UsageError(
            "Nothing of `masks` counts: brush more of the photo, in colors that the brushes of these paintings have"
        )
    if guarded is not None and not guard:
        raise UsageError("What is brushed to stay readable needs a `guard` above 0", setting="guard")


def split_masks(brushed: Image, paintings: int) -> tuple[dict[int, Tensor], Tensor | None, Tensor | None]:
    """Return what was brushed as masks (1, 1, H, W): paintings by number from 0, what stays, what stays readable."""
    alpha = torch.ones_like(brushed.rgb[:, :1]) if brushed.alpha is None else brushed.alpha
    palette = _parse_colors(*PAINTING_COLORS, PRESERVE_COLOR, GUARD_COLOR).view(-1, 3, 1, 1)
    nearest = (brushed.rgb - palette).square().sum(1).argmin(0)[None, None]  # (1, 1, H, W)
    masks = {number: alpha * (nearest == number) for number in range(len(palette))}
    masks = {number: mask for number, mask in masks.items() if float(mask.mean()) > MIN_BRUSHED_SHARE}
    preserved, guarded = (masks.get(len(PAINTING_COLORS) + number) for number in range(2))
    return {number: mask for number, mask in masks.items() if number < paintings}, preserved, guarded


def write_masks(brushed: Image, paintings: int, folder: Path) -> dict[str, Any]:
    """Write the masks into a folder. Returns the settings that name them, without the folder.

    Places that are not brushed are for the paintings without a mask; if all have one, for the first.
    """
    masks, preserved, guarded = split_masks(brushed, paintings)
    settings: dict[str, Any] = {}
    if masks and paintings > 1:
        if len(masks) == paintings:
            others = sum(mask for number, mask in masks.items() if number)
            masks[0] = (1 - torch.as_tensor(others)).clamp(0, 1)
        for number, mask in masks.items():
            write_mask(mask, folder / f"mask_{number + 1}.png", overwrite=True)
        settings["mask"] = [f"mask_{n + 1}.png" if n in masks else REST_MASK for n in range(paintings)]
    for name, brushed_mask in (("preserve_mask", preserved), ("guard_mask", guarded)):
        if brushed_mask is not None:
            settings[name] = f"{name}.png"
            write_mask(brushed_mask, folder / settings[name], overwrite=True)
    return settings


def write_regions(photo: Image, paintings: int, path: Path) -> None:
    """Find a region for each painting, by color and place, and write them as they would be brushed.

    With one painting, the second region stays as it is, and alone has a color.
    """
    masks = find_regions(photo, max(2, paintings), "the photo").masks
    colors = [*PAINTING_COLORS[:paintings], *([PRESERVE_COLOR] if paintings < 2 else [])]
    nearest = masks.argmax(0)[0]  # (h, w)
    rgb = _parse_colors(*colors)[nearest].permute(2, 0, 1)[None]  # (1, 3, h, w)
    write_image(rgb, path, alpha=(nearest[None, None] > 0).float() if paintings < 2 else None, overwrite=True)


def write_faces(photo: Image, path: Path) -> None:
    """Find the faces that are kept readable, and write them as they would be brushed. Errors: UsageError for none."""
    faces = find_faces(photo)
    if faces is None:
        raise UsageError("No face was found in this photo: brush what must stay readable.")
    rgb = _parse_colors(GUARD_COLOR).view(1, 3, 1, 1).expand(1, 3, *faces.shape[2:])
    write_image(rgb, path, alpha=(faces > 0.5).float())  # a soft edge would blend with other colors to a third one


def _parse_colors(*colors: str) -> Tensor:
    """Return colors such as `#e4572e` as a tensor (N, 3) from 0 to 1."""
    return torch.tensor([list(bytes.fromhex(color[1:])) for color in colors]) / 255
