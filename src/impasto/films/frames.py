"""A film as frames in time, whatever it is kept in: what a reader gives, what of it is chosen, where it is cut."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from impasto.errors import PictureError, UsageError
from impasto.images.sizes import fit_size, resize
from impasto.settings.types import Fit

THUMBNAIL_SIDE = 64  # longer side on which shots are told apart
MIN_CUT_DIFFERENCE = 12 / 255  # mean difference of two thumbnails from which there may be a cut between them
MIN_CUT_RATIO = 3.0  # and how many times the difference of the frames around it that is
CUT_NEIGHBORS = 2  # frames before and after that are looked at for it
COLOR_GRID_SIDE = 4  # frames across and down in the picture from which a film's colours are taken


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame: `rgb` (1, 3, H, W) and, where anything is transparent, `alpha` (1, 1, H, W); seconds as fractions.

    `time` is on the film's own clock. `aspect` is the width of a pixel relative to its height, `number` the place in
    the film, from 1, once it is chosen.
    """

    rgb: Tensor
    alpha: Tensor | None
    time: Fraction
    duration: Fraction
    aspect: Fraction = Fraction(1)
    name: str = ""
    number: int = 0


class FrameReader(Protocol):
    """A film that can be read from its beginning, any number of times."""

    path: Path
    clock: Fraction  # the unit, in seconds, in which it keeps time
    notes: list[str]

    def __iter__(self) -> Iterator[Frame]: ...

    @property
    def sound_path(self) -> Path | None:
        """Where sound and subtitles are, if there may be any."""


@dataclass(frozen=True)
class TimePoint:
    """A place in a film: a time in seconds, or a frame's number from 1."""

    seconds: Fraction | None = None
    number: int | None = None


def parse_time_point(text: str, option: str) -> TimePoint:
    """Read `12.5` and `1:02.5` as times, `90f` as the number of a frame. Raises UsageError for what is neither.

    Example: read_place("1:02.5", "--start").seconds == Fraction("62.5")
    """
    if found := re.fullmatch(r"(\d{1,9})f", text.strip()):
        if int(found[1]) < 1:
            raise UsageError(f"{option} {text}: frames are counted from 1f")
        return TimePoint(number=int(found[1]))
    if found := re.fullmatch(r"(?:(?:(\d{1,4}):)?(\d{1,6}):)?(\d{1,9}(?:\.\d{1,9})?)", text.strip()):
        hours, minutes, seconds = found.groups()
        return TimePoint(seconds=3600 * Fraction(hours or 0) + 60 * Fraction(minutes or 0) + Fraction(seconds))
    raise UsageError(f"{option} {text}: takes a time, such as 12.5 or 1:02.5, or a frame's number, such as 90f")


@dataclass(frozen=True)
class FrameSelection:
    """What of a film is painted: from `start`, up to `end`, of that each `every`th frame."""

    start: TimePoint = TimePoint()
    end: TimePoint = TimePoint()
    every: int = 1

    def apply(self, reader: FrameReader) -> Iterator[Frame]:
        """Yield the frames that are chosen; each lasts until the next one, or as long as those left out after it.

        Raises PictureError where the frames are not all of one size.
        """
        shape, kept, taken = None, None, 0
        for number, frame in enumerate(reader, start=1):
            if shape and frame.rgb.shape != shape:
                raise PictureError(
                    f"{frame.name or reader.path} is {frame.rgb.shape[3]} x {frame.rgb.shape[2]}, the frames before it "
                    f"{shape[3]} x {shape[2]}: a film's frames have one size"
                )
            shape = frame.rgb.shape
            if self._is_before(frame, number):
                continue
            if self._is_after(frame, number):
                break
            if taken % self.every == 0:
                if kept:
                    yield replace(kept, duration=frame.time - kept.time)
                kept = replace(frame, number=number)
            elif kept:
                kept = replace(kept, duration=frame.time + frame.duration - kept.time)
            taken += 1
        if kept:
            yield kept

    def _is_before(self, frame: Frame, number: int) -> bool:
        if self.start.number is not None:
            return number < self.start.number
        return self.start.seconds is not None and frame.time < self.start.seconds

    def _is_after(self, frame: Frame, number: int) -> bool:
        if self.end.number is not None:
            return number > self.end.number
        return self.end.seconds is not None and frame.time >= self.end.seconds


@dataclass(frozen=True)
class Timeline:
    """What is known of the chosen frames before any is painted.

    `times` and `durations` in seconds, `numbers` their places in the film from 1, `cuts` the indices of frames that
    begin a shot, never 0. `width` and `height` are those of the frames shown with square pixels.
    """

    width: int
    height: int
    times: tuple[Fraction, ...]
    durations: tuple[Fraction, ...]
    numbers: tuple[int, ...]
    cuts: tuple[int, ...]
    has_transparency: bool
    colors: Tensor = field(compare=False)  # (1, 3, h, w): small frames from all over the film, of a frame's aspect

    @property
    def end(self) -> Fraction:
        """When the last frame is over."""
        return self.times[-1] + self.durations[-1]


def scan(reader: FrameReader, choice: FrameSelection) -> Timeline:
    """Look through the chosen frames once. Raises PictureError where there are none."""
    times: list[Fraction] = []
    durations: list[Fraction] = []
    numbers: list[int] = []
    differences = [0.0]
    thumbs: list[Tensor] = []
    before: Tensor | None = None
    width = height = 0
    transparent = False
    for frame in choice.apply(reader):
        if not times:
            width, height = measure_display_size(frame)
        thumb = _make_thumbnail(frame)
        if before is not None:
            differences.append(float((thumb - before).abs().mean()))
        before = thumb
        thumbs.append((thumb * 255).round().byte())
        times.append(frame.time)
        durations.append(frame.duration)
        numbers.append(frame.number)
        transparent = transparent or frame.alpha is not None
    if not times:
        raise PictureError(f"{reader.path} has no frames between --start and --end: choose others")
    cuts = tuple(find_cuts(differences))
    return Timeline(
        width, height, tuple(times), tuple(durations), tuple(numbers), cuts, transparent, _tile_thumbnails(thumbs)
    )


def find_cuts(differences: Sequence[float]) -> Iterator[int]:
    """Yield the frames at which a shot begins, given each frame's mean difference from the one before it.

    A cut differs by much, and by much more than the frames around it: fast motion differs by much for a while.
    Source: the adaptive detector of PySceneDetect, on colours.
    """
    last = 0
    for index in range(1, len(differences)):
        around = [
            *differences[max(1, index - CUT_NEIGHBORS) : index],
            *differences[index + 1 : index + 1 + CUT_NEIGHBORS],
        ]
        usual = sum(around) / len(around) if around else 0.0
        if differences[index] > max(MIN_CUT_DIFFERENCE, MIN_CUT_RATIO * usual) and index > last:
            yield index
            last = index


def measure_display_size(frame: Frame) -> tuple[int, int]:
    """Give a frame's width and height with square pixels; none are thrown away."""
    height, width = frame.rgb.shape[2:]
    if frame.aspect >= 1:
        return max(1, round(width * frame.aspect)), height
    return width, max(1, round(height / frame.aspect))


def choose_frame_size(width: int, height: int, side: int, even: bool, rule: Fit = "longest") -> tuple[int, int]:
    """Give the size to paint at, by the rule; `even` sides where a codec takes no others."""
    wide, high = fit_size(width, height, side, rule)
    return (max(2, wide // 2 * 2), max(2, high // 2 * 2)) if even else (wide, high)


def _tile_thumbnails(thumbs: Sequence[Tensor]) -> Tensor:
    """Lay small frames, evenly from all over the film, out in a square of them."""
    chosen = [thumbs[index * len(thumbs) // COLOR_GRID_SIDE**2] for index in range(COLOR_GRID_SIDE**2)]
    rows = [torch.cat(chosen[row * COLOR_GRID_SIDE : (row + 1) * COLOR_GRID_SIDE], 3) for row in range(COLOR_GRID_SIDE)]
    return torch.cat(rows, 2).float() / 255


def _make_thumbnail(frame: Frame) -> Tensor:
    wide, high = fit_size(*measure_display_size(frame), THUMBNAIL_SIDE)
    return resize(frame.rgb, wide, high).clamp(0, 1)
