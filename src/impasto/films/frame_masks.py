"""Masks of a film: a picture for all frames, or a film, folder or pattern with one for each."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from impasto.errors import UsageError
from impasto.films.frames import Frame, FrameReader, FrameSelection, Timeline, measure_display_size
from impasto.films.image_sequence import READABLE_SUFFIXES, is_pattern, open_reader
from impasto.films.prefetch import FrameCache, FrameSource, SequentialFrames
from impasto.images import animation
from impasto.images.image import Image
from impasto.images.masks import read_mask
from impasto.images.sizes import fit_size, resize
from impasto.painting.styles import StyleInput
from impasto.settings.model import Settings
from impasto.settings.types import REST_MASK

FrameMask = Callable[[int], Tensor]  # of a frame, counted from 0: (1, 1, H, W) in [0, 1]


def open_frame_mask(
    name: str, option: str, timeline: Timeline, size: tuple[int, int], rate: float, album: Path | None = None
) -> FrameMask:
    """Open a mask for frames of `size`; white is 1. With `album`, a folder, frames may be asked for in any order.

    One with as many frames as are painted is taken frame by frame, another by the frames' numbers in the film.
    Errors: UsageError where it has too few frames, or another shape than the film; PictureError.
    """
    width, height = size
    if not is_moving_mask(name):
        film = Image(torch.zeros(1).expand(1, 3, timeline.height, timeline.width))
        still = resize(read_mask(name, option, film, "film"), width, height).clamp(0, 1)
        return lambda _: still
    reader = open_reader(Path(name), rate)
    count = _count_mask_frames(reader, f"{option} {name}", timeline)
    painted = len(timeline.numbers)
    wanted = range(1, painted + 1) if count == painted else timeline.numbers
    if count < wanted[-1]:
        raise UsageError(
            f"{option} {name} has {count} frames, but {painted} are painted, the last of them number {wanted[-1]} of "
            "the film: give as many as are painted, or as the film has"
        )
    frames: FrameSource = SequentialFrames(lambda: _select_numbers(reader, wanted), width, height, 1)
    if album:
        frames = FrameCache(album, frames, painted, bits=8)
    return lambda frame: _to_mask(frames(frame))


def check_film_masks(settings: Settings, paintings: int) -> None:
    """Raise UsageError for what says where in a way that films can't follow, or not for each painting."""
    names = settings.mask
    if names and len(names) != paintings:
        raise UsageError(f"--mask has {len(names)} for {paintings} paintings: give one for each, or {REST_MASK}")
    if names and all(name == REST_MASK for name in names):
        raise UsageError(f"--mask: {REST_MASK} is what other masks leave, and there is none: name a film or a picture")
    if names and 0 in settings.style_blend:
        raise UsageError("--mask with a --style-blend of 0 leaves a place without style: leave that painting out")
    for name in ("regions", "labels"):
        if getattr(settings, name):
            raise UsageError(
                f"--{name} can't be told from frame to frame: give --mask, with a film or folder of masks for each "
                "painting"
            )


def list_film_masks(settings: Settings) -> list[tuple[str, str]]:
    """List the masks on the canvas with their options: pictures, films, folders."""
    names = [("--mask", name) for name in settings.mask if name != REST_MASK]
    return names + ([("--preserve-mask", settings.preserve_mask)] if settings.preserve_mask else [])


def is_moving_mask(name: str) -> bool:
    """Tell whether a mask has a picture for each frame."""
    path = Path(name)
    return (
        path.is_dir() or is_pattern(path) or animation.is_animated(path) or path.suffix.lower() not in READABLE_SUFFIXES
    )


def _count_mask_frames(reader: FrameReader, name: str, timeline: Timeline) -> int:
    """Count the frames of a mask; raise UsageError where it has another shape than the film."""
    count, size = 0, (0, 0)
    for frame in FrameSelection().apply(reader):
        count, size = count + 1, measure_display_size(frame)
    wide, high = fit_size(timeline.width, timeline.height, max(size))
    if max(abs(wide - size[0]), abs(high - size[1])) > 1:
        raise UsageError(
            f"{name} is {size[0]} x {size[1]} pixels, but the film {timeline.width} x {timeline.height}: give it the "
            f"same size, or the same aspect, such as {wide} x {high}"
        )
    return count


def _select_numbers(reader: FrameReader, numbers: Sequence[int]) -> Iterator[Frame]:
    wanted = set(numbers)
    return (frame for number, frame in enumerate(reader, start=1) if number in wanted)


def _to_mask(frame: StyleInput) -> Tensor:
    mask = frame.rgb.mean(1, keepdim=True)
    return mask if frame.alpha is None else mask * frame.alpha


class MaskedFrames:
    """Frames of which a mask keeps parts as they are: those are transparent to whoever paints."""

    def __init__(self, photos: FrameSource, keep: FrameMask) -> None:
        self.photos, self.preserve_mask = photos, keep

    def __call__(self, frame: int) -> StyleInput:
        """Return one frame."""
        photo, left = self.photos(frame), 1 - self.preserve_mask(frame)
        return StyleInput(photo.rgb, left if photo.alpha is None else photo.alpha * left)
