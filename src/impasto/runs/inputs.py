"""Photo and paintings made ready to paint with: read, seen to be visible, coloured, sized, weighed."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from impasto.errors import UsageError
from impasto.images.assignments import StyleAssignment
from impasto.images.color import recolor_painting
from impasto.images.image import Image
from impasto.images.read import read_image
from impasto.images.sizes import fit_size, measure_side, resize
from impasto.painting.styles import StyleInput
from impasto.settings.lengths import Length
from impasto.settings.model import Settings

MAX_FULL_SIZE_PAINTINGS = 8  # paintings: more are kept in memory no larger than the finished picture needs them


def measure_canvas(settings: Settings, photo: Image | None) -> tuple[int, int]:
    """Give the finished picture's width and height, but for what `--padding circular` rounds."""
    if photo is None:
        width, height = settings.aspect_sides
    else:
        height, width = photo.rgb.shape[2:]
    return fit_size(width, height, settings.size, settings.fit)


def read_paintings(
    paintings: Sequence[Any],
    settings: Settings,
    photo: Image | None,
    read: Callable[..., Image] = read_image,
) -> list[Image]:
    """Read paintings, paths or PIL images, by `read`; many of them no larger than they are painted with."""
    read = partial(read, max_pixels=settings.max_pixels)
    if (
        len(paintings) <= MAX_FULL_SIZE_PAINTINGS or settings.style_mask or settings.style_labels
    ):  # whose aspect is compared to theirs
        return [read(painting) for painting in paintings]
    canvas, lengths = measure_canvas(settings, photo), repeat_lengths(settings.style_size, len(paintings))
    rule = "longest" if settings.fit == "shrink" else settings.fit
    side = measure_side(*canvas, rule)
    return [
        _shrink_painting(read_image(painting, max_pixels=settings.max_pixels), length.to_pixels(side, side), rule)
        for painting, length in zip(paintings, lengths, strict=True)
    ]


def _shrink_painting(picture: Image, side: int, rule: Any) -> Image:
    height, width = picture.rgb.shape[2:]
    smaller = fit_size(width, height, side, rule)
    if smaller[0] >= width or smaller[1] >= height:
        return picture
    alpha = None if picture.alpha is None else resize(picture.alpha, *smaller).clamp(0, 1)
    return replace(picture, rgb=resize(picture.rgb, *smaller).clamp(0, 1), alpha=alpha)


def read_initial_picture(path: str, max_pixels: int) -> Tensor:
    """Read the picture (1, 3, H, W) that a canvas starts as."""
    begun = read_image(path, max_pixels=max_pixels)
    check_visible(begun, f"--init {path}: the picture")
    return StyleInput(begun.rgb, begun.alpha).flattened()


def build_style_inputs(
    settings: Settings,
    photo: Image | None,
    paintings: Sequence[Image],
    parts: Sequence[StyleAssignment],
    device: torch.device,
) -> list[StyleInput]:
    """Give each part the colours that it is painted with, its share, its length and its place, on the device."""
    shares, lengths = (
        settings.style_blend or (1.0,) * len(paintings),
        repeat_lengths(settings.style_size, len(paintings)),
    )
    placed = {
        id(part.canvas_mask): to_device(part.canvas_mask, device) for part in parts
    }  # the very same for those that blend
    sources = []
    for part in parts:
        number, painting = part.painting, paintings[part.painting]
        if not shares[number] and part.canvas_mask is None:  # without a share it still keeps others from its place
            continue
        check_visible(painting, f"The painting {painting.path or number + 1}")
        colored = painting
        if photo is not None:
            colored = recolor_painting(
                painting.masked_to(part.painting_mask), photo.masked_to(part.canvas_mask), settings
            )
        source = to_style_input(replace(colored, alpha=painting.alpha), device)
        used, place = to_device(part.painting_mask, device), placed[id(part.canvas_mask)]
        sources.append(replace(source, weight=shares[number], size=lengths[number], mask=used, region=place))
    return sources


def to_style_input(picture: Image, device: torch.device) -> StyleInput:
    """Bring a picture to the device."""
    return StyleInput(picture.rgb.to(device), to_device(picture.alpha, device))


def to_device(tensor: Tensor | None, device: torch.device) -> Tensor | None:
    """Bring what there is to the device."""
    return None if tensor is None else tensor.to(device)


def check_visible(picture: Image, name: str) -> None:
    """Raise UsageError where nothing of a picture can be seen; `name` begins the message."""
    if picture.alpha is not None and not bool(picture.alpha.any()):
        raise UsageError(f"{name} is wholly transparent: there is nothing to see.")


def repeat_lengths(values: tuple[Length, ...], count: int) -> tuple[Length, ...]:
    """Give one value for each of `count`: the one that there is for all, or as many as there are."""
    return values if len(values) > 1 else values * count
