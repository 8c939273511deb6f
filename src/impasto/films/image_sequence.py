"""Films made of images: folders and patterns of frames, GIF, animated WebP and PNG."""

import fnmatch
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from typing_extensions import override

from impasto.errors import PictureError, UsageError
from impasto.films.frames import Frame, FrameReader
from impasto.films.reader import FilmReader
from impasto.images.animation import is_animated, read_animation
from impasto.images.folders import select_pictures
from impasto.images.formats import IMAGE_SUFFIXES
from impasto.images.read import read_image

FRAME_NUMBER = re.compile(r"%0?(\d*)d")


def open_reader(path: Path, rate: float) -> FrameReader:
    """Open a film, an animation, or a folder or pattern of frames, which are shown at `rate` per second.

    Raises PictureError if it can't be read, UsageError if it is a single picture.
    """
    if has_frame_files(path):
        return ImageSequence(path, Fraction(rate).limit_denominator(100_000))
    if is_animated(path):
        return AnimationReader(path)
    if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file():
        raise UsageError(f"{path} is a single picture, not a film: name a film, or paint it with `impasto paint`")
    return FilmReader(path)


class ImageSequence(FrameReader):
    """Images in the order of the numbers in their names, `rate` per second."""

    def __init__(self, path: Path, rate: Fraction) -> None:
        super().__init__(path, 1 / rate)
        self.files: list[Path] = list_frame_files(path)
        if path.is_dir():
            self.notes.extend(select_pictures(path.iterdir())[1])

    @override
    def __iter__(self) -> Iterator[Frame]:
        for index, file in enumerate(self.files):
            yield Frame(read_image(file), index * self.clock, self.clock)


class AnimationReader(FrameReader):
    """A GIF, or an animated WebP or PNG."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, Fraction(1, 1000))

    @override
    def __iter__(self) -> Iterator[Frame]:
        time = Fraction(0)
        for image, milliseconds in read_animation(self.path):
            duration = Fraction(milliseconds, 1000)
            yield Frame(image, time, duration)
            time += duration


def has_frame_files(path: Path) -> bool:
    """Tell whether a path is a folder, or a pattern that stands for several files."""
    is_pattern = FRAME_NUMBER.search(path.name) or set("*?[") & set(path.name)
    return path.is_dir() or (bool(is_pattern) and not path.exists())


def list_files(path: Path) -> list[Path]:
    """List the files of a path: its frames in order if it is a folder or a pattern, otherwise itself."""
    return list_frame_files(path) if has_frame_files(path) else [path]


def list_frame_files(path: Path) -> list[Path]:
    """List the frames of a folder, a pattern like frame_%04d.png or a glob like frame_*.png, in order.

    Raises PictureError if there are none.
    """
    if path.is_dir():
        found, _ = select_pictures(path.iterdir())
        missing = f"{path} holds no pictures ({', '.join(IMAGE_SUFFIXES)})"
    else:
        number = FRAME_NUMBER.search(path.name)
        # Only the name is matched, as the folder's own name may contain brackets.
        head, tail = (path.name[: number.start()], path.name[number.end() :]) if number else ("", "")
        wanted = re.compile(rf"{re.escape(head)}\d+{re.escape(tail)}" if number else fnmatch.translate(path.name))
        found = [file for file in path.parent.glob("*") if wanted.fullmatch(file.name)]
        missing = f"there is no file {path}"
    if not found:
        raise PictureError(f"{missing}: name a folder of frames, or a pattern such as frame_%04d.png")
    return sorted(found, key=_natural_key)


def name_frame_file(pattern: Path, index: int) -> Path:
    """Name the frame with that index from 0; names count from 1. In a folder they are frame_000001.png and so on."""
    if FRAME_NUMBER.search(pattern.name):
        return pattern.with_name(FRAME_NUMBER.sub(lambda found: f"{index + 1:0{found[1] or 1}}", pattern.name, count=1))
    return pattern / f"frame_{index + 1:06}.png"


def find_frame_folder(frames: Path) -> Path:
    """Name the folder that holds the files of a folder or pattern of frames."""
    is_name_pattern = FRAME_NUMBER.search(frames.name) or set("*?[") & set(frames.name)
    return (frames.parent if is_name_pattern else frames).resolve()


def _natural_key(path: Path) -> tuple[list[tuple[int, int, str]], str]:
    """Return a sort key by which frame2 comes before frame10."""
    parts = re.split(r"(\d+)", path.name)
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts if part], path.name
