"""Films that are pictures: folders and patterns of frames, GIF and animated WebP and PNG."""

import fnmatch
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from impasto.errors import PictureError, UsageError
from impasto.films.frames import Frame, FrameReader
from impasto.films.reader import FilmReader
from impasto.images import animation
from impasto.images.output import FORMATS
from impasto.images.read import read_image

READABLE_SUFFIXES = (*FORMATS, ".bmp", ".ppm", ".jp2", ".gif")
FRAME_NUMBER = re.compile(r"%0?(\d*)d")


def open_reader(path: Path, rate: float) -> FrameReader:
    """Open a film, an animation, a folder or a pattern of frames, of which `rate` are shown in a second.

    Raises PictureError where it can't be read, UsageError where it is a single picture.
    """
    if path.is_dir() or is_pattern(path):
        return ImageSequence(path, Fraction(rate).limit_denominator(100_000))
    if animation.is_animated(path):
        return AnimationReader(path)
    if path.suffix.lower() in READABLE_SUFFIXES and path.is_file():
        raise UsageError(f"{path} is a single picture: impasto paint paints it")
    return FilmReader(path)


class ImageSequence:
    """Pictures in the order of the numbers in their names, so many a second."""

    sound_path = None

    def __init__(self, path: Path, rate: Fraction) -> None:
        self.path, self.clock = path, 1 / rate
        self.notes: list[str] = []
        self.files = list_frame_files(path)

    def __iter__(self) -> Iterator[Frame]:
        for index, file in enumerate(self.files):
            picture = read_image(file)
            yield Frame(picture.rgb, picture.alpha, index * self.clock, self.clock, name=str(file))


class AnimationReader:
    """A GIF, or an animated WebP or PNG."""

    sound_path = None

    def __init__(self, path: Path) -> None:
        self.path, self.clock = path, Fraction(1, 1000)
        self.notes: list[str] = []

    def __iter__(self) -> Iterator[Frame]:
        time = Fraction(0)
        for picture, milliseconds in animation.read_animation(self.path):
            duration = Fraction(milliseconds, 1000)
            yield Frame(picture.rgb, picture.alpha, time, duration)
            time += duration


def list_frame_files(path: Path) -> list[Path]:
    """List the frames that a folder, a pattern such as frame_%04d.png or a glob such as frame_*.png names, in order.

    Raises PictureError where there are none.
    """
    if path.is_dir():
        found = [it for it in path.iterdir() if it.suffix.lower() in READABLE_SUFFIXES and not it.name.startswith(".")]
        missing = f"{path} holds no pictures ({', '.join(READABLE_SUFFIXES)})"
    elif is_pattern(path):
        number = FRAME_NUMBER.search(path.name)
        # Of the name alone: a folder may have brackets of its own in its name.
        wanted = re.compile(_number_pattern(path.name, number) if number else fnmatch.translate(path.name))
        found = [it for it in path.parent.glob("*") if wanted.fullmatch(it.name)]
        missing = f"there is no file {path}"
    else:
        raise UsageError(f"{path} is no folder of frames and no pattern such as frame_%04d.png")
    if not found:
        raise PictureError(f"{missing}: name a folder of frames, or a pattern such as frame_%04d.png")
    return sorted(found, key=_natural_key)


def is_pattern(path: Path) -> bool:
    """Tell whether a path that is no file stands for several."""
    return not path.exists() and bool(FRAME_NUMBER.search(path.name) or set("*?[") & set(path.name))


def _number_pattern(name: str, number: re.Match[str]) -> str:
    return re.escape(name[: number.start()]) + r"\d+" + re.escape(name[number.end() :])


def name_frame_file(pattern: Path, index: int) -> Path:
    """Name the frame of that index from 0: numbers begin with 1; a folder's are frame_000001.png and so on."""
    if FRAME_NUMBER.search(pattern.name):
        return pattern.with_name(FRAME_NUMBER.sub(lambda found: f"{index + 1:0{found[1] or 1}}", pattern.name, count=1))
    return pattern / f"frame_{index + 1:06}.png"


def _natural_key(path: Path) -> tuple[list[tuple[int, int, str]], str]:
    """Sort frame2 before frame10."""
    parts = re.split(r"(\d+)", path.name)
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts if part], path.name
