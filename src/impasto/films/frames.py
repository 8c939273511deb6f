"""A film's frames in time: the frames that are painted, their sizes, and where the film is cut."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import torch
from torch import Tensor

from impasto.errors import PictureError, UsageError
from impasto.images.image import Image
from impasto.images.sizes import fit_size, resize_clamped
from impasto.settings.types import Fit

THUMBNAIL_SIDE = 64  # pixels
MIN_CUT_DIFFERENCE = 12 / 255  # mean difference of two thumbnails
MIN_CUT_RATIO = 3.0  # of the difference at a cut to that of the frames around it
CUT_NEIGHBORS = 2  # frames compared with a cut, on each side
COLOR_GRID_SIDE = 4  # thumbnails across and down in a film's color sample


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame: its image, and its time and duration in seconds on the film's own clock.

    `aspect` is the width of a pixel relative to its height. `number` is its place in the film, from 1, once selected.
    """

    image: Image
    time: Fraction
    duration: Fraction
    aspect: Fraction = Fraction(1)
    number: int = 0

    @property
    def display_size(self) -> tuple[int, int]:
        """Width and height with square pixels: the shorter side of each pixel is stretched, so no pixel is lost."""
        if self.aspect >= 1:
            return max(1, round(self.image.width * self.aspect)), self.image.height
        return self.image.width, max(1, round(self.image.height / self.aspect))


class FrameReader(ABC):
    """A film that can be read from its beginning any number of times.

    `clock` is the unit of its times, in seconds. `sound_path` is the file with its sound and subtitles, if it has
    any, and `start_time` is when that file begins.
    """

    sound_path: Path | None = None
    start_time: Fraction = Fraction(0)

    def __init__(self, path: Path, clock: Fraction) -> None:
        self.path: Path = path
        self.clock: Fraction = clock
        self.notes: list[str] = []

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]: ...


@dataclass(frozen=True)
class TimePoint:
    """A point in a film: a time in seconds, or a frame's number from 1. It may be neither."""

    seconds: Fraction | None = None
    number: int | None = None

    def is_after(self, frame: Frame, number: int) -> bool:
        """Tell whether this point comes after the start of a frame; False if it is empty."""
        if self.number is not None:
            return number < self.number
        return self.seconds is not None and frame.time < self.seconds


def parse_time_point(text: str, setting: str) -> TimePoint:
    """Read `12.5` and `1:02.5` as times, `90f` as a frame's number. Raises UsageError for anything else.

    Example: parse_time_point("1:02.5", "start").seconds == Fraction("62.5")
    """
    if found := re.fullmatch(r"(\d{1,9})f", text.strip()):
        if int(found[1]) < 1:
            raise UsageError(f"`{setting}` is {text}, but frames are counted from 1f")
        return TimePoint(number=int(found[1]))
    if found := re.fullmatch(r"(?:(?:(\d{1,4}):)?(\d{1,6}):)?(\d{1,9}(?:\.\d{1,9})?)", text.strip()):
        hours, minutes, seconds = found.groups()
        return TimePoint(seconds=3600 * Fraction(hours or 0) + 60 * Fraction(minutes or 0) + Fraction(seconds))
    raise UsageError(
        f"`{setting}` must be a time, such as 12.5 or 1:02.5, or a frame's number, such as 90f; not {text}"
    )


@dataclass(frozen=True)
class FrameSelection:
    """The frames of a film that are painted: from `start` to `end`, and of these one out of `every`.

    `end` is the number of the last frame, or the time at which the first frame is left out.
    """

    start: TimePoint = TimePoint()
    end: TimePoint = TimePoint()
    every: int = 1

    def apply(self, reader: FrameReader) -> Iterator[Frame]:
        """Yield the selected frames; each lasts as long as it and the frames left out after it.

        Raises PictureError if the frames differ in size.
        """
        size, kept, selected_count = None, None, 0
        for number, frame in enumerate(reader, start=1):
            size = _check_size(frame, size, reader.path)
            if self.start.is_after(frame, number):
                continue
            if self._is_past_end(frame, number):
                break
            if selected_count % self.every == 0:
                if kept:
                    yield replace(kept, duration=frame.time - kept.time)
                kept = replace(frame, number=number)
            elif kept:
                kept = replace(kept, duration=frame.time + frame.duration - kept.time)
            selected_count += 1
        if kept:
            yield kept

    def _is_past_end(self, frame: Frame, number: int) -> bool:
        if self.end == TimePoint() or number == self.end.number:
            return False
        return not self.end.is_after(frame, number)


def _check_size(frame: Frame, expected: tuple[int, int] | None, path: Path) -> tuple[int, int]:
    size = frame.image.width, frame.image.height
    if expected and size != expected:
        raise PictureError(
            f"{frame.image.path or path} is {size[0]} x {size[1]}, but the frames before it are {expected[0]} x "
            f"{expected[1]}: all frames of a film must have the same size"
        )
    return size


@dataclass(frozen=True)
class Timeline:
    """What is known about the selected frames before any is painted.

    `times` and `durations` are in seconds, `numbers` are places in the film from 1, `cuts` the indices of frames that
    begin a shot, except 0. `width` and `height` are the size with square pixels.
    """

    width: int
    height: int
    times: tuple[Fraction, ...]
    durations: tuple[Fraction, ...]
    numbers: tuple[int, ...]
    cuts: tuple[int, ...]
    has_transparency: bool
    colors: Tensor = field(compare=False)  # (1, 3, h, w): thumbnails from all over the film, in a frame's aspect

    def get_end_time(self, count: int) -> Fraction:
        """Return when the last of the first `count` frames ends."""
        return self.times[count - 1] + self.durations[count - 1]


def scan(reader: FrameReader, selection: FrameSelection) -> Timeline:
    """Read the selected frames once. Raises PictureError if there are none."""
    moments: list[tuple[Fraction, Fraction, int]] = []  # time, duration, number
    differences = [0.0]
    thumbnails: list[Tensor] = []
    last: Tensor | None = None
    size, has_transparency = (0, 0), False
    for frame in selection.apply(reader):
        size = size if moments else frame.display_size
        thumbnail = resize_clamped(frame.image.rgb, *fit_size(*frame.display_size, THUMBNAIL_SIDE))
        if last is not None:
            differences.append(float((thumbnail - last).abs().mean()))
        last = thumbnail
        thumbnails.append((thumbnail * 255).round().byte())
        moments.append((frame.time, frame.duration, frame.number))
        has_transparency = has_transparency or frame.image.alpha is not None
    if not moments:
        raise PictureError(f"{reader.path} has no frames between `start` and `end`: choose other values")
    times, durations, numbers = zip(*moments, strict=True)
    cuts = tuple(find_cuts(differences))
    return Timeline(*size, times, durations, numbers, cuts, has_transparency, _tile_thumbnails(thumbnails))


def find_cuts(differences: Sequence[float]) -> Iterator[int]:
    """Yield the frames at which a shot begins, given the mean difference of each frame from the one before it.

    At a cut the difference is large, and much larger than around it: in fast motion it is large for several frames.
    Source: the adaptive detector of PySceneDetect, on colors.
    """
    for index in range(1, len(differences)):
        around = [
            *differences[max(1, index - CUT_NEIGHBORS) : index],
            *differences[index + 1 : index + 1 + CUT_NEIGHBORS],
        ]
        usual = sum(around) / len(around) if around else 0.0
        if differences[index] > max(MIN_CUT_DIFFERENCE, MIN_CUT_RATIO * usual):
            yield index


def choose_frame_size(width: int, height: int, side: int, even: bool, rule: Fit = "longest") -> tuple[int, int]:
    """Return the size at which frames are painted; with `even` sides for codecs that need them."""
    wide, high = fit_size(width, height, side, rule)
    return (max(2, wide // 2 * 2), max(2, high // 2 * 2)) if even else (wide, high)


def _tile_thumbnails(thumbnails: Sequence[Tensor]) -> Tensor:
    """Tile thumbnails, taken evenly from all over the film, into a grid."""
    side = COLOR_GRID_SIDE
    chosen = [thumbnails[index * len(thumbnails) // side**2] for index in range(side**2)]
    rows = [torch.cat(chosen[row * side : (row + 1) * side], 3) for row in range(side)]
    return torch.cat(rows, 2).float() / 255
