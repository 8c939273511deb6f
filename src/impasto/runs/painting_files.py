"""Reading paintings: a few at full size, many only as large as they are painted with."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from impasto.images.image import Image
from impasto.images.read import read_image
from impasto.images.sizes import fit_size, measure_side, resize
from impasto.painting.prepare import repeat_lengths
from impasto.painting.schedule import measure_canvas
from impasto.settings.model import Settings

MAX_FULL_SIZE_PAINTINGS = 8  # of more, only the pixels that the finished picture needs are held in memory


def read_paintings(
    paintings: Sequence[Any],
    settings: Settings,
    photo: Image | None,
    read: Callable[..., Image] = read_image,
) -> list[Image]:
    """Read paintings, paths or PIL images, with `read`; many of them only as large as they are painted with."""
    read = partial(read, max_pixels=settings.max_pixels)
    # The aspect of masks and labels is compared with that of whole paintings.
    if len(paintings) <= MAX_FULL_SIZE_PAINTINGS or settings.style_mask or settings.style_labels:
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
