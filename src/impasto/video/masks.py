"""Masks of a film: a picture for all frames, or a film, folder or pattern with one for each."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from impasto.errors import UsageError
from impasto.painting.style import Source
from impasto.pictures import animations
from impasto.pictures.files import Picture
from impasto.pictures.masks import read_mask
from impasto.pictures.sizes import fit, resize
from impasto.settings import Settings
from impasto.values import REST
from impasto.video.clips import Choice, Frame, Reader, Timeline, show_size
from impasto.video.folders import READABLE, is_pattern, open_reader
from impasto.video.scout import Album, Photos, Stream

Mask = Callable[[int], Tensor]  # of a frame, counted from 0: (1, 1, H, W) in [0, 1]


def open_mask(
    name: str, option: str, timeline: Timeline, size: tuple[int, int], rate: float, album: Path | None = None
) -> Mask:
    """Open a mask for frames of `size`; white is 1. With `album`, a folder, frames may be asked for in any order.

    One with as many frames as are painted is taken frame by frame, another by the frames' numbers in the film.
    Errors: UsageError where it has too few frames, or another shape than the film; PictureError.
    """
    width, height = size
    if not moves(name):
        film = Picture(torch.zeros(1).expand(1, 3, timeline.height, timeline.width), None, None)
        still = resize(read_mask(name, option, film, "film"), width, height).clamp(0, 1)
        return lambda _: still
    reader = open_reader(Path(name), rate)
    count = _check(reader, f"{option} {name}", timeline)
    painted = len(timeline.numbers)
    wanted = range(1, painted + 1) if count == painted else timeline.numbers
    if count < wanted[-1]:
        raise UsageError(
            f"{option} {name} has {count} frames, but {painted} are painted, the last of them number {wanted[-1]} of "
            "the film: give as many as are painted, or as the film has"
        )
    frames: Photos = Stream(lambda: _pick(reader, wanted), width, height, 1)
    if album:
        frames = Album(album, frames, painted, bits=8)
    return lambda frame: _as_mask(frames(frame))


def check_masks(settings: Settings, paintings: int) -> None:
    """Raise UsageError for what says where in a way that films can't follow, or not for each painting."""
    names = settings.mask
    if names and len(names) != paintings:
        raise UsageError(f"--mask has {len(names)} for {paintings} paintings: give one for each, or {REST}")
    if names and all(name == REST for name in names):
        raise UsageError(f"--mask: {REST} is what other masks leave, and there is none: name a film or a picture")
    if names and 0 in settings.style_blend:
        raise UsageError("--mask with a --style-blend of 0 leaves a place without style: leave that painting out")
    for name in ("regions", "labels"):
        if getattr(settings, name):
            raise UsageError(
                f"--{name} can't be told from frame to frame: give --mask, with a film or folder of masks for each "
                "painting"
            )


def list_masks(settings: Settings) -> list[tuple[str, str]]:
    """List the masks on the canvas with their options: pictures, films, folders."""
    names = [("--mask", name) for name in settings.mask if name != REST]
    return names + ([("--keep-mask", settings.keep_mask)] if settings.keep_mask else [])


def moves(name: str) -> bool:
    """Tell whether a mask has a picture for each frame."""
    path = Path(name)
    return path.is_dir() or is_pattern(path) or animations.is_animated(path) or path.suffix.lower() not in READABLE


def _check(reader: Reader, name: str, timeline: Timeline) -> int:
    """Count the frames of a mask; raise UsageError where it has another shape than the film."""
    count, size = 0, (0, 0)
    for frame in Choice().of(reader):
        count, size = count + 1, show_size(frame)
    wide, high = fit(timeline.width, timeline.height, max(size))
    if max(abs(wide - size[0]), abs(high - size[1])) > 1:
        raise UsageError(
            f"{name} is {size[0]} x {size[1]} pixels, but the film {timeline.width} x {timeline.height}: give it the "
            f"same size, or the same aspect, such as {wide} x {high}"
        )
    return count


def _pick(reader: Reader, numbers: Sequence[int]) -> Iterator[Frame]:
    wanted = set(numbers)
    return (frame for number, frame in enumerate(reader, start=1) if number in wanted)


def _as_mask(frame: Source) -> Tensor:
    mask = frame.rgb.mean(1, keepdim=True)
    return mask if frame.alpha is None else mask * frame.alpha


class Covered:
    """Frames of which a mask keeps parts as they are: those are transparent to whoever paints."""

    def __init__(self, photos: Photos, keep: Mask) -> None:
        self.photos, self.keep = photos, keep

    def __call__(self, frame: int) -> Source:
        """Return one frame."""
        photo, left = self.photos(frame), 1 - self.keep(frame)
        return Source(photo.rgb, left if photo.alpha is None else photo.alpha * left)
