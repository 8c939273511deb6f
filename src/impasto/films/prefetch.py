"""Frames made ready ahead of the painting, in a thread of their own: read, resized, their motion found."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import torch

from impasto.errors import PictureError
from impasto.films.flow import Motion, estimate_motion
from impasto.films.frames import Frame
from impasto.images.read import read_image
from impasto.images.write import write_image
from impasto.painting.styles import StyleInput

NEGLIGIBLE_SHARE = 0.005  # share of a frame for which no motion is sought farther away


@dataclass(frozen=True, eq=False)
class PreparedFrame:
    """A frame to be painted, and its motion to others; `repeats`: it is the frame before again."""

    frame: int
    photo: StyleInput
    motions: Mapping[int, Motion]
    is_repeat: bool


class FrameSource(Protocol):
    """The frames at the size at which they are painted, by number from 0."""

    def __call__(self, frame: int) -> StyleInput:
        """Return one frame."""


class SequentialFrames:
    """Frames as they come by, the last few kept: asked for out of order, it begins again."""

    def __init__(self, begin: Callable[[], Iterator[Frame]], width: int, height: int, kept: int) -> None:
        self.open_frames, self.width, self.height, self.kept_frames = begin, width, height, kept
        self._recent: dict[int, StyleInput] = {}
        self._coming: Iterator[tuple[int, Frame]] = iter(())
        self._last: int | None = None

    def __call__(self, frame: int) -> StyleInput:
        """Return one frame."""
        if frame in self._recent:
            return self._recent[frame]
        if self._last is None or frame <= self._last:
            self._coming, self._recent = enumerate(self.open_frames()), {}
        for number, found in self._coming:
            self._last = number
            if number > frame - self.kept_frames:
                self._recent[number] = StyleInput(found.rgb, found.alpha).resized(self.width, self.height)
                self._recent.pop(number - self.kept_frames, None)
            if number == frame:
                return self._recent[frame]
        raise PictureError(f"frame {frame + 1} can't be read any more: was the film changed meanwhile?")


class FrameCache:
    """Frames kept on the disk, for going over them in any order."""

    def __init__(self, folder: Path, photos: FrameSource, frames: int, bits: int) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        for frame in range(frames):
            if not self._file_path(frame).exists():
                photo = photos(frame)
                write_image(photo.rgb, self._file_path(frame), alpha=photo.alpha, bits=bits)

    def __call__(self, frame: int) -> StyleInput:
        """Return one frame."""
        picture = read_image(self._file_path(frame))
        height, width = picture.rgb.shape[2:]
        return StyleInput(picture.rgb, picture.alpha).resized(width, height)

    def _file_path(self, frame: int) -> Path:
        return self.folder / f"{frame + 1:06}.png"


class FramePrefetcher:
    """An iterator that makes each of `frames` ready while the one before is painted.

    `neighbours` lists for each frame those to which its motion is wanted, the most important first.
    """

    def __init__(self, photos: FrameSource, frames: Sequence[int], neighbours: Mapping[int, Sequence[int]]) -> None:
        self.photos, self.frames, self.neighbors = photos, frames, neighbours

    def __enter__(self) -> Self:
        self._thread = ThreadPoolExecutor(1, "impasto-scout")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._thread.shutdown(cancel_futures=True)

    def __iter__(self) -> Iterator[PreparedFrame]:
        ahead = [self._thread.submit(self._prepare, frame) for frame in self.frames[:1]]
        for following in [*self.frames[1:], None]:
            if not ahead:
                return
            ready = ahead.pop().result()
            if following is not None:
                ahead.append(self._thread.submit(self._prepare, following))
            yield ready

    def _prepare(self, frame: int) -> PreparedFrame:
        others = {other: self.photos(other) for other in sorted(self.neighbors[frame]) if other < frame}
        photo = self.photos(frame)
        motions: dict[int, Motion] = {}
        unsure = torch.ones_like(photo.rgb[:, :1])
        for other in self.neighbors[frame]:
            if other < frame - 1 and float(unsure.mean()) < NEGLIGIBLE_SHARE:
                continue
            beside = others[other] if other in others else self.photos(other)
            motions[other] = estimate_motion(photo.rgb, beside.rgb, fine=abs(other - frame) == 1)
            unsure = (unsure - motions[other].trust).clamp_min(0)
        before = others.get(frame - 1)
        repeats = (
            before is not None and torch.equal(before.rgb, photo.rgb) and _is_same_alpha(before.alpha, photo.alpha)
        )
        return PreparedFrame(frame, photo, motions, repeats)


def _is_same_alpha(one: torch.Tensor | None, other: torch.Tensor | None) -> bool:
    if one is None or other is None:
        return one is other
    return torch.equal(one, other)
