"""Photo and paintings made ready to paint with: read, seen to be visible, coloured, sized, weighed."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from impasto.errors import UsageError
from impasto.lengths import Length
from impasto.painting.style import Source
from impasto.pictures import files
from impasto.pictures.color import before_painting
from impasto.pictures.files import Picture
from impasto.pictures.placing import Part, under
from impasto.pictures.sizes import fit, measure_side, resize
from impasto.settings import Settings

MANY = 8  # paintings: more are kept in memory no larger than the finished picture needs them


def measure_canvas(settings: Settings, photo: Picture | None) -> tuple[int, int]:
    """Give the finished picture's width and height, but for what `--padding circular` rounds."""
    if photo is None:
        width, height = settings.sides
    else:
        height, width = photo.rgb.shape[2:]
    return fit(width, height, settings.size, settings.fit)


def read_paintings(
    paintings: Sequence[Any],
    settings: Settings,
    photo: Picture | None,
    read: Callable[..., Picture] = files.read,
) -> list[Picture]:
    """Read paintings, paths or PIL images, by `read`; many of them no larger than they are painted with."""
    read = partial(read, max_pixels=settings.max_pixels)
    if len(paintings) <= MANY or settings.style_mask or settings.style_labels:  # whose aspect is compared to theirs
        return [read(painting) for painting in paintings]
    canvas, lengths = measure_canvas(settings, photo), spread(settings.style_size, len(paintings))
    rule = "longest" if settings.fit == "shrink" else settings.fit
    side = measure_side(*canvas, rule)
    return [
        _reduce(files.read(painting, max_pixels=settings.max_pixels), length.beside(side, side), rule)
        for painting, length in zip(paintings, lengths, strict=True)
    ]


def _reduce(picture: Picture, side: int, rule: Any) -> Picture:
    height, width = picture.rgb.shape[2:]
    smaller = fit(width, height, side, rule)
    if smaller[0] >= width or smaller[1] >= height:
        return picture
    alpha = None if picture.alpha is None else resize(picture.alpha, *smaller).clamp(0, 1)
    return replace(picture, rgb=resize(picture.rgb, *smaller).clamp(0, 1), alpha=alpha)


def read_beginning(path: str, max_pixels: int) -> Tensor:
    """Read the picture (1, 3, H, W) that a canvas starts as."""
    begun = files.read(path, max_pixels=max_pixels)
    check_visible(begun, f"--init {path}: the picture")
    return Source(begun.rgb, begun.alpha).opaque()


def place_paintings(
    settings: Settings, photo: Picture | None, paintings: Sequence[Picture], parts: Sequence[Part], device: torch.device
) -> list[Source]:
    """Give each part the colours that it is painted with, its share, its length and its place, on the device."""
    shares, lengths = settings.style_blend or (1.0,) * len(paintings), spread(settings.style_size, len(paintings))
    placed = {id(part.place): to(part.place, device) for part in parts}  # the very same for those that blend
    sources = []
    for part in parts:
        number, painting = part.painting, paintings[part.painting]
        if not shares[number] and part.place is None:  # without a share it still keeps others from its place
            continue
        check_visible(painting, f"The painting {painting.source or number + 1}")
        colored = painting
        if photo is not None:
            colored = before_painting(under(painting, part.used), under(photo, part.place), settings)
        source = to_source(replace(colored, alpha=painting.alpha), device)
        used, place = to(part.used, device), placed[id(part.place)]
        sources.append(replace(source, share=shares[number], length=lengths[number], used=used, place=place))
    return sources


def to_source(picture: Picture, device: torch.device) -> Source:
    """Bring a picture to the device."""
    return Source(picture.rgb.to(device), to(picture.alpha, device))


def to(tensor: Tensor | None, device: torch.device) -> Tensor | None:
    """Bring what there is to the device."""
    return None if tensor is None else tensor.to(device)


def check_visible(picture: Picture, name: str) -> None:
    """Raise UsageError where nothing of a picture can be seen; `name` begins the message."""
    if picture.alpha is not None and not bool(picture.alpha.any()):
        raise UsageError(f"{name} is wholly transparent: there is nothing to see.")


def spread(values: tuple[Length, ...], count: int) -> tuple[Length, ...]:
    """Give one value for each of `count`: the one that there is for all, or as many as there are."""
    return values if len(values) > 1 else values * count
