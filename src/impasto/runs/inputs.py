"""Reading a photo and paintings within the memory that may be used, and many paintings only as large as needed."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from impasto.fast.style_file import is_style_file, measure_painting, read_style_file
from impasto.images.collection import COLLECTION, find_painting
from impasto.images.demand import ReadingDemand
from impasto.images.image import Image
from impasto.images.read import read_image
from impasto.images.sizes import fit_size, measure_side, resize
from impasto.painting.device import measure_free_memory, measure_used_memory
from impasto.painting.measured import MeasuredPainting
from impasto.painting.prepare import repeat_lengths
from impasto.painting.schedule import measure_canvas
from impasto.settings.changes import merge_settings
from impasto.settings.model import Settings
from impasto.settings.presets import FAST_DEFAULTS
from impasto.settings.types import Fit
from impasto.settings.units import parse_bytes

MAX_FULL_SIZE_PAINTINGS = 8  # of more, only the pixels that the finished picture needs are held in memory
CPU = torch.device("cpu")


def read_photo(photo: Any, settings: Settings) -> Image:
    """Read a photo, a path or PIL image; a large JPEG only as large as it needs to be. Errors: as `read_image`."""
    # The aspect of masks is compared with the whole photo's.
    has_masks = settings.mask or settings.labels or settings.preserve_mask or settings.guard_mask
    return read_image(photo, demand=make_demand(settings, 0 if has_masks else settings.size, settings.fit))


def read_paintings(
    paintings: Sequence[Any],
    settings: Settings,
    photo: Image | None,
    read: Callable[..., Image] = read_image,
) -> list[Image]:
    """Read paintings, paths or PIL images, with `read`, or style files; many only as large as they are painted with."""
    lengths = repeat_lengths(settings.style_size, len(paintings))
    has_masks = settings.style_mask or settings.style_labels
    rule: Fit = "longest" if settings.fit == "shrink" else settings.fit
    demands = [
        make_demand(settings, 0 if has_masks else length.to_pixels(settings.size, settings.size), rule)
        for length in lengths
    ]
    if len(paintings) <= MAX_FULL_SIZE_PAINTINGS or has_masks:
        return [_read_painting(painting, demand, read) for painting, demand in zip(paintings, demands, strict=True)]
    side = measure_side(*measure_canvas(settings, photo), rule)
    return [
        _shrink_painting(_read_painting(painting, demand, read_image), length.to_pixels(side, side), rule)
        for painting, demand, length in zip(paintings, demands, lengths, strict=True)
    ]


def _read_painting(painting: Any, demand: ReadingDemand, read: Callable[..., Image]) -> Image:
    return read_style_file(Path(painting)) if is_style_file(painting) else read(painting, demand=demand)


def measure_style(painting: Any, size: int, trim: str, credit: str | None) -> MeasuredPainting:
    """Read a painting, a path, a name of the collection or a PIL image, and measure it for a style file.

    Without a `credit`, it is that of the collection. Errors: as `read_image` and `measure_painting`; UsageError.
    """
    settings = merge_settings(None, {"size": size, "trim": trim}, FAST_DEFAULTS)
    known = isinstance(painting, str | os.PathLike) and find_painting(painting)
    if credit is None:
        credit = COLLECTION[os.fspath(painting)].credit if known else ""
    image = read_image(known or painting, demand=make_demand(settings, settings.size, "longest"))
    return measure_painting(image, settings.size, settings.trim, credit)


def read_measured(path: Path, settings: Settings) -> MeasuredPainting:
    """Read a style file, or measure a painting for pictures of `settings.size`. Errors: as `measure_style`."""
    return read_style_file(path) if is_style_file(path) else measure_style(path, settings.size, settings.trim, None)


def make_demand(settings: Settings, side: int, rule: Fit) -> ReadingDemand:
    """Return what reading a picture may take, now; `side`, as `rule` measures it, is needed of it, or all if 0."""
    used = measure_used_memory(CPU)
    limit = parse_bytes(settings.memory) or used + measure_free_memory(CPU)
    return ReadingDemand(settings.max_pixels, side, rule, limit, used)


def _shrink_painting(picture: Image, side: int, rule: Any) -> Image:
    height, width = picture.rgb.shape[2:]
    smaller = fit_size(width, height, side, rule)
    if smaller[0] >= width or smaller[1] >= height:
        return picture
    alpha = None if picture.alpha is None else resize(picture.alpha, *smaller).clamp(0, 1)
    return replace(picture, rgb=resize(picture.rgb, *smaller).clamp(0, 1), alpha=alpha)
