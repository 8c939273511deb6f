"""Frames prepared ahead of the painting in a thread of their own: read, resized, motion estimated, faces found."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor

from impasto.errors import PictureError
from impasto.films.flow import Motion, estimate_motion
from impasto.films.frames import Frame
from impasto.images.guard import find_faces
from impasto.images.image import Image
from impasto.images.read import read_image
from impasto.images.sizes import resize_clamped
from impasto.images.write import write_image

NEGLIGIBLE_SHARE = 0.005  # of a frame; no more distant motion is estimated for so few pixels

FrameSource: TypeAlias = Callable[[int], Image]  # frame, counted from 0 -> image at the size that is painted


class SequentialFrames:
    """A FrameSource that reads a film in order and keeps the last frames. Going further back reads it again."""

    def __init__(self, open_frames: Callable[[], Iterator[Frame]], width: int, height: int, kept_frames: int) -> None:
        self.open_frames: Callable[[], Iterator[Frame]] = open_frames
        self.width: int = width
        self.height: int = height
        self.kept_frames: int = kept_frames
        self._recent: dict[int, Image] = {}
        self._frames: Iterator[tuple[int, Frame]] = iter(())
        self._last: int | None = None

    def __call__(self, number: int) -> Image:
        """Return a frame, counted from 0. Raises PictureError if the film has become shorter."""
        if number in self._recent:
            return self._recent[number]
        if self._last is None or number <= self._last:
            self._frames, self._recent = enumerate(self.open_frames()), {}
        for index, frame in self._frames:
            self._last = index
            if index > number - self.kept_frames:
                self._recent[index] = _prepare_image(frame.image, self.width, self.height)
                self._recent.pop(index - self.kept_frames, None)
            if index == number:
                return self._recent[number]
        raise PictureError(f"frame {number + 1} can't be read any more: was the film changed meanwhile?")


class FrameCache:
    """A FrameSource that keeps frames on disk, to be read in any order."""

    def __init__(self, folder: Path, source: FrameSource, frames: int, bits: int) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        for frame in range(frames):
            if not self._file_path(frame).exists():
                image = source(frame)
                write_image(image.rgb, self._file_path(frame), alpha=image.alpha, bits=bits)

    def __call__(self, frame: int) -> Image:
        """Return a frame, counted from 0."""
        image = read_image(self._file_path(frame))
        return _prepare_image(image, image.width, image.height)

    def _file_path(self, frame: int) -> Path:
        return self.folder / f"{frame + 1:06}.png"


def _prepare_image(image: Image, width: int, height: int) -> Image:
    """Resize an image, in the memory layout that networks want."""
    rgb = resize_clamped(image.rgb, width, height).contiguous(memory_format=torch.channels_last)
    return replace(image, rgb=rgb, alpha=None if image.alpha is None else resize_clamped(image.alpha, width, height))


def find_frame_faces(photos: FrameSource, kept_frames: int) -> FrameSource:
    """Return the same frames with their faces as guard maps. Errors, of a frame: UsageError where dlib is missing."""
    found: dict[int, Tensor | None] = {}  # a frame's neighbors ask for it too

    def add_faces(frame: int) -> Image:
        photo = photos(frame)
        if frame not in found:
            found[frame] = find_faces(photo)
            for old in [*found][:-kept_frames]:
                del found[old]
        return replace(photo, guard_map=found[frame])

    return add_faces


@dataclass(frozen=True, eq=False)
class PreparedFrame:
    """A frame to be painted, and its motion to others. `is_repeat`: it equals the frame before."""

    number: int
    photo: Image
    motions: Mapping[int, Motion]
    is_repeat: bool


def prefetch_frames(
    photos: FrameSource, frames: Sequence[int], neighbors: Mapping[int, Sequence[int]], *, carries_guard: bool = False
) -> Generator[PreparedFrame]:
    """Yield each of `frames`, prepared; the next one is prepared in a thread meanwhile.

    `neighbors` lists, for each frame, the frames to which its motion is wanted, the most important first. With
    `carries_guard` a frame also has their guard maps, carried along the motion.
    """

    def prepare(number: int) -> PreparedFrame:
        return _prepare_frame(photos, number, neighbors[number], carries_guard=carries_guard)

    with ThreadPoolExecutor(1, "impasto-prefetch") as thread:
        pending = [thread.submit(prepare, number) for number in frames[:1]]
        for number in frames[1:]:
            pending.append(thread.submit(prepare, number))
            yield pending.pop(0).result()
        yield from (future.result() for future in pending)


def _prepare_frame(photos: FrameSource, number: int, neighbors: Sequence[int], *, carries_guard: bool) -> PreparedFrame:
    # In ascending order, as the film is read in order.
    seen = {other: photos(other) for other in sorted(neighbors) if other < number}
    photo = photos(number)
    motions: dict[int, Motion] = {}
    uncovered = torch.ones_like(photo.rgb[:, :1])
    for other in neighbors:
        if other < number - 1 and float(uncovered.mean()) < NEGLIGIBLE_SHARE:
            continue
        if other not in seen:
            seen[other] = photos(other)
        motions[other] = estimate_motion(photo.rgb, seen[other].rgb, fine=abs(other - number) == 1)
        uncovered = (uncovered - motions[other].trust).clamp_min(0)
    last = seen.get(number - 1)
    is_repeat = last is not None and _are_equal(last, photo)
    guarded = _carry_guard(photo, motions, seen) if carries_guard else photo
    return PreparedFrame(number, guarded, motions, is_repeat)


def _carry_guard(photo: Image, motions: Mapping[int, Motion], others: Mapping[int, Image]) -> Image:
    """Add what must stay readable in other frames, carried along the motion: a face is not found in each frame."""
    carried = [
        motion.move(resize_clamped(guard_map, photo.width, photo.height)).clamp(0, 1)
        * torch.maximum(motion.trust, motion.likeness)
        for other, motion in motions.items()
        if (guard_map := others[other].guard_map) is not None
    ]
    if not carried:
        return photo
    own = [] if photo.guard_map is None else [resize_clamped(photo.guard_map, photo.width, photo.height)]
    return replace(photo, guard_map=torch.cat([*own, *carried]).amax(0, keepdim=True))


def _are_equal(one: Image, other: Image) -> bool:
    if one.alpha is None or other.alpha is None:
        return one.alpha is other.alpha and torch.equal(one.rgb, other.rgb)
    return torch.equal(one.rgb, other.rgb) and torch.equal(one.alpha, other.alpha)
