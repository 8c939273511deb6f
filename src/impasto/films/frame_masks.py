"""Masks of a film: one image for all frames, or a film, folder or pattern with an image per frame."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor

from impasto.errors import PictureError, UsageError
from impasto.films.frames import Frame, FrameReader, FrameSelection, Timeline
from impasto.films.image_sequence import has_frame_files, open_reader
from impasto.films.prefetch import FrameCache, FrameSource, SequentialFrames
from impasto.images.animation import is_animated
from impasto.images.formats import IMAGE_SUFFIXES
from impasto.images.image import Image
from impasto.images.masks import read_mask
from impasto.images.sizes import find_expected_size, resize_clamped
from impasto.settings.model import Settings
from impasto.settings.types import REST_MASK

FrameMask: TypeAlias = Callable[[int], Tensor]  # frame, counted from 0 -> (1, 1, H, W) in [0, 1]


def open_frame_mask(
    name: str, setting: str, timeline: Timeline, size: tuple[int, int], rate: float, cache: Path | None = None
) -> FrameMask:
    """Open a mask for frames of `size`; white is 1. With a `cache` folder, frames can be read in any order.

    A mask with as many frames as are painted is used frame by frame, any other by the frames' numbers in the film.
    Errors: UsageError if it has too few frames, or another shape than the film; PictureError.
    """
    if not is_moving_mask(name):
        film = Image(torch.zeros(1).expand(1, 3, timeline.height, timeline.width))
        mask = resize_clamped(read_mask(name, setting, film, "film"), *size)
        return lambda _: mask
    try:
        reader = open_reader(Path(name), rate)
        count = _count_mask_frames(reader, name, setting, timeline)
    except PictureError as error:
        raise PictureError(f"`{setting}` {error}") from None
    painted = len(timeline.numbers)
    numbers = range(1, painted + 1) if count == painted else timeline.numbers
    if count < numbers[-1]:
        raise UsageError(
            f"`{setting}` {name} has {count} frames, but {painted} frames are painted, of which the last is number "
            f"{numbers[-1]} of the film: give as many as are painted, or as the film has",
        )
    frames: FrameSource = SequentialFrames(lambda: _select_numbers(reader, numbers), *size, kept_frames=1)
    if cache:
        frames = FrameCache(cache, frames, painted, bits=8)
    return lambda frame: _to_mask(frames(frame))


def check_film_masks(settings: Settings, paintings: int) -> None:
    """Raise UsageError for masks that films can't follow, or that do not fit the number of paintings."""
    names = settings.mask
    if names and len(names) != paintings:
        raise UsageError(f"`mask` names {len(names)} for {paintings} paintings: give one for each, or {REST_MASK}")
    if names and all(name == REST_MASK for name in names):
        raise UsageError(f"`mask` has only {REST_MASK}, which is what other masks leave: name a film or a picture")
    if names and 0 in settings.style_blend:
        raise UsageError("`mask` with a `style_blend` of 0 leaves an area without style: leave that painting out")
    for name in ("regions", "labels"):
        if getattr(settings, name):
            raise UsageError(
                f"`{name}` can't be followed from frame to frame: give `mask`, with a film or folder of masks for each "
                "painting",
            )


def list_film_masks(settings: Settings) -> list[tuple[str, str]]:
    """List the masks on the canvas: pairs of a setting and a file or folder."""
    names = [("mask", name) for name in settings.mask if name != REST_MASK]
    return names + [(name, file) for name in ("preserve_mask", "guard_mask") if (file := getattr(settings, name))]


def is_moving_mask(name: str) -> bool:
    """Tell whether a mask has an image for each frame."""
    path = Path(name)
    return has_frame_files(path) or is_animated(path) or path.suffix.lower() not in IMAGE_SUFFIXES


def _count_mask_frames(reader: FrameReader, name: str, setting: str, timeline: Timeline) -> int:
    """Count the frames of a mask. Raises UsageError if its shape is not the film's."""
    sizes = [frame.display_size for frame in FrameSelection().apply(reader)]
    expected = find_expected_size(sizes[-1], (timeline.width, timeline.height))
    if expected:
        raise UsageError(
            f"`{setting}` {name} is {sizes[-1][0]} x {sizes[-1][1]} pixels, but the film is {timeline.width} x "
            f"{timeline.height}: give it the same size, or the same aspect, such as {expected[0]} x {expected[1]}",
        )
    return len(sizes)


def _select_numbers(reader: FrameReader, numbers: Sequence[int]) -> Iterator[Frame]:
    wanted = set(numbers)
    return (frame for number, frame in enumerate(reader, start=1) if number in wanted)


def _to_mask(image: Image) -> Tensor:
    mask = image.rgb.mean(1, keepdim=True)
    return mask if image.alpha is None else mask * image.alpha
