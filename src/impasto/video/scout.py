"""Frames made ready ahead of the painting, in a thread of their own: read, resized, their motion found."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import torch

from impasto.errors import PictureError
from impasto.painting.style import Source
from impasto.pictures import files
from impasto.video.clips import Frame
from impasto.video.flow import Motion, follow

NEGLIGIBLE = 0.005  # share of a frame for which no motion is sought farther away


@dataclass(frozen=True, eq=False)
class Ready:
    """A frame to be painted, and its motion to others; `repeats`: it is the frame before again."""

    frame: int
    photo: Source
    motions: Mapping[int, Motion]
    repeats: bool


class Photos(Protocol):
    """The frames at the size at which they are painted, by number from 0."""

    def __call__(self, frame: int) -> Source:
        """Return one frame."""


class Stream:
    """Frames as they come by, the last few kept: asked for out of order, it begins again."""

    def __init__(self, begin: Callable[[], Iterator[Frame]], width: int, height: int, kept: int) -> None:
        self.begin, self.width, self.height, self.kept = begin, width, height, kept
        self._recent: dict[int, Source] = {}
        self._coming: Iterator[tuple[int, Frame]] = iter(())
        self._last: int | None = None

    def __call__(self, frame: int) -> Source:
        """Return one frame."""
        if frame in self._recent:
            return self._recent[frame]
        if self._last is None or frame <= self._last:
            self._coming, self._recent = enumerate(self.begin()), {}
        for number, found in self._coming:
            self._last = number
            if number > frame - self.kept:
                self._recent[number] = Source(found.rgb, found.alpha).scaled(self.width, self.height)
                self._recent.pop(number - self.kept, None)
            if number == frame:
                return self._recent[frame]
        raise PictureError(f"frame {frame + 1} can't be read any more: was the film changed meanwhile?")


class Album:
    """Frames kept on the disk, for going over them in any order."""

    def __init__(self, folder: Path, photos: Photos, frames: int, bits: int) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        for frame in range(frames):
            if not self._name(frame).exists():
                photo = photos(frame)
                files.write(photo.rgb, self._name(frame), alpha=photo.alpha, bits=bits)

    def __call__(self, frame: int) -> Source:
        """Return one frame."""
        picture = files.read(self._name(frame))
        height, width = picture.rgb.shape[2:]
        return Source(picture.rgb, picture.alpha).scaled(width, height)

    def _name(self, frame: int) -> Path:
        return self.folder / f"{frame + 1:06}.png"


class Scout:
    """An iterator that makes each of `frames` ready while the one before is painted.

    `neighbours` lists for each frame those to which its motion is wanted, the most important first.
    """

    def __init__(self, photos: Photos, frames: Sequence[int], neighbours: Mapping[int, Sequence[int]]) -> None:
        self.photos, self.frames, self.neighbours = photos, frames, neighbours

    def __enter__(self) -> Self:
        self._thread = ThreadPoolExecutor(1, "impasto-scout")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._thread.shutdown(cancel_futures=True)

    def __iter__(self) -> Iterator[Ready]:
        ahead = [self._thread.submit(self._prepare, frame) for frame in self.frames[:1]]
        for following in [*self.frames[1:], None]:
            if not ahead:
                return
            ready = ahead.pop().result()
            if following is not None:
                ahead.append(self._thread.submit(self._prepare, following))
            yield ready

    def _prepare(self, frame: int) -> Ready:
        others = {other: self.photos(other) for other in sorted(self.neighbours[frame]) if other < frame}
        photo = self.photos(frame)
        motions: dict[int, Motion] = {}
        unsure = torch.ones_like(photo.rgb[:, :1])
        for other in self.neighbours[frame]:
            if other < frame - 1 and float(unsure.mean()) < NEGLIGIBLE:
                continue
            beside = others[other] if other in others else self.photos(other)
            motions[other] = follow(photo.rgb, beside.rgb, fine=abs(other - frame) == 1)
            unsure = (unsure - motions[other].trust).clamp_min(0)
        before = others.get(frame - 1)
        repeats = before is not None and torch.equal(before.rgb, photo.rgb) and _same(before.alpha, photo.alpha)
        return Ready(frame, photo, motions, repeats)


def _same(one: torch.Tensor | None, other: torch.Tensor | None) -> bool:
    if one is None or other is None:
        return one is other
    return torch.equal(one, other)
