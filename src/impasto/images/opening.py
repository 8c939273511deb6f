"""Opening picture files: what the disk refuses is reported, and Pillow is told how large a picture may be."""

import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from PIL import Image as PilImage

from impasto.errors import PictureError

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
        raise PictureError(f"{path} does not exist: check the name and the folder") from None
    except IsADirectoryError:
        raise PictureError(f"{path} is a folder: name a picture inside it") from None
    except PermissionError:
        raise PictureError(f"{path} can't be opened, permission denied: make it readable for you") from None
    except OSError as error:
        raise PictureError(f"{path} can't be opened: {error.strerror or error}") from error


def check_regular_file(path: Path) -> None:
    """Raise PictureError where a path that is to be read is a pipe or a device, which might never answer.

    Raises OSError where there is nothing.
    """
    kind = path.stat().st_mode
    if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
        raise PictureError(f"{path} is a pipe or a device, not a file: save what comes from it, and name that file")
