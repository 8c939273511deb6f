"""Opening picture files: what the disk refuses is reported, and Pillow is told how large a picture may be."""

import difflib
import importlib
import os
import re
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from PIL import Image as PilImage
from PIL import UnidentifiedImageError

from impasto.errors import PictureError
from impasto.images.collection import find_painting, suggest_painting
from impasto.images.formats import HEAD_BYTES, PILLOW_FORMATS, READ_SUFFIXES, describe_foreign, is_heif
from impasto.images.names import IS_WINDOWS, explain_windows_path, parse_file_address

QUOTES = ("'", '"')
NEAR_NAME = 0.81  # of the letters that two names share, so that one is taken for the other

_pillow_lock = threading.Lock()


@contextmanager
def limit_pillow(max_pixels: int) -> Iterator[None]:
    """Replace Pillow's own limit of pixels, one number for the whole process, which warns at half of itself."""
    with _pillow_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        usual, PilImage.MAX_IMAGE_PIXELS = PilImage.MAX_IMAGE_PIXELS, max_pixels
        try:
            yield
        finally:
            PilImage.MAX_IMAGE_PIXELS = usual


@contextmanager
def open_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file to read; raises PictureError where that fails, or reading from it."""
    try:
        check_regular_file(path)
        with path.open("rb") as file:
            yield file
    except FileNotFoundError:
        raise PictureError(explain_missing(path)) from None
    except IsADirectoryError:
        raise PictureError(
            f"{path} is a folder: name a picture inside it; `impasto batch` paints all of them"
        ) from None
    except PermissionError:
        raise PictureError(f"{path} can't be opened, permission denied: make it readable for you") from None
    except OSError as error:
        raise PictureError(f"{path} can't be opened: {error.strerror or error}") from error


def explain_missing(path: Path) -> str:
    """Say why there may be no file of a name, and what may be meant."""
    if path.is_relative_to(Path.cwd()):  # jobs hold absolute paths, and C:\\a.png or an address are none here
        path = path.relative_to(Path.cwd())
    written = str(path)
    if path.is_symlink():
        return f"{path} is a link to {path.readlink()}, which does not exist: mend the link, or name the file itself"
    if named := parse_file_address(path.as_posix()):
        return f"file://{path.as_posix()[5:]} is an address: write the path alone, {named}"
    if address := re.fullmatch(r"([A-Za-z]{2,}):/+(.+)", path.as_posix()):  # in a path the second slash is lost
        return f"{address[1]}://{address[2]} is an address: save what is there, and name that file"
    if re.match(r"www\.[^/]+/|[\w-]+\.(com|org|net)/", path.as_posix()):
        return f"{path} is an address: save what is there, and name that file"
    if why := explain_windows_path(written) or _explain_backslashes(written):
        return f"{path} does not exist: {why}"
    first = written.partition(",")[0]
    if first != written and (os.path.lexists(first) or find_painting(first)):
        return f"{path} does not exist: to name several files, put spaces between them, not commas"
    if near := suggest_painting(path.name):
        return f"{path} does not exist: did you mean {near}, a painting that comes with impasto?"
    return f"{path} does not exist: {_suggest_name(path, written)}"


def _suggest_name(path: Path, written: str) -> str:
    if written[0] in QUOTES and written[-1] == written[0]:
        return "its quotation marks are taken as a part of the name, so leave one pair out"
    if re.search(r"[*?]", written):
        return f"if it is a pattern, impasto batch '{written}' paints what it stands for"
    if re.fullmatch(r"\d*\.?\d+", written):
        return "if it is a number for the option before it, put a comma between the numbers, and no space"
    try:
        names = [each.name for each in path.parent.iterdir()]
    except OSError:
        return f"there is no folder {path.parent}"
    if parted := [name for name in names if name.startswith(f"{path.name} ")]:
        return f'if "{parted[0]}" is meant, put it in quotation marks, as it has spaces'
    same_stem = [name for name in names if Path(name).stem == path.stem]
    if near := same_stem or difflib.get_close_matches(path.name, names, 1, cutoff=NEAR_NAME):
        return f"did you mean {path.with_name(near[0])}?"
    return "check the name and the folder"


def _explain_backslashes(written: str) -> str:
    if IS_WINDOWS or "\\" not in written:
        return ""
    if "\\ " in written:
        return "within quotation marks a space needs no backslash before it"
    mended = written.replace("\\", "/")
    return f"folders are separated by / here: write {mended}"


def check_regular_file(path: Path) -> None:
    """Raise PictureError where a path that is to be read is a pipe or a device, which might never answer.

    Raises OSError where there is nothing.
    """
    kind = path.stat().st_mode
    if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
        raise PictureError(f"{path} is a pipe or a device, not a file: save what comes from it, and name that file")


def read_head(file: BinaryIO, path: Path) -> bytes:
    """Return the first bytes of a picture file, which tell its format.

    Raises PictureError, with what to do, where it holds nothing, or a picture that can't be read.
    """
    head = file.read(HEAD_BYTES)
    file.seek(0)
    if not head:
        raise PictureError(f"{path} is empty (0 bytes): get the picture again")
    if what := describe_foreign(head, path.suffix):
        raise PictureError(f"{path} is {what}")
    return head


def open_picture(file: BinaryIO, path: Path, head: bytes) -> PilImage.Image:
    """Open a file that begins with `head` with Pillow; raises PictureError where it is no picture."""
    try:
        if is_heif(head):  # the class alone: registering it would change Pillow for the whole program
            opened: PilImage.Image = importlib.import_module("pillow_heif").HeifImageFile(file)
            return opened
        return PilImage.open(file, formats=PILLOW_FORMATS)
    except (UnidentifiedImageError, SyntaxError):
        if is_heif(head):
            raise PictureError(f"{path} is a HEIC picture, but damaged: get it again, or save it as JPEG") from None
        formats = ", ".join(READ_SUFFIXES)
        raise PictureError(
            f"{path} is not a picture that can be read, or damaged at its start: give one of {formats}"
        ) from None
