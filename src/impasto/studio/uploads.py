"""Files that visitors send: only those that were uploaded here, within limits, read by the one careful reader."""

import base64
import io
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from impasto.errors import PictureError, UsageError
from impasto.images.image import Image
from impasto.images.read import read_image
from impasto.images.sizes import fit_size, resize
from impasto.images.write import to_pil

MAX_UPLOAD_BYTES = 100_000_000
MAX_UPLOAD_PIXELS = 60_000_000
MAX_PAINTINGS = 6
THUMBNAIL_PIXELS = 480  # pixels of the longer side

CAN_READ_FILMS = all(find_spec(name) for name in ("av", "cv2"))
# What films begin with: MP4 and MOV, Matroska and WebM, AVI, GIF. Other kinds, such as lists of files, are not opened.
FILM_SIGNATURES = ((4, b"ftyp"), (0, b"\x1a\x45\xdf\xa3"), (8, b"AVI "), (0, b"GIF8"))

_reading = threading.Lock()  # one picture at a time: a large one takes a gigabyte while it is read


def check_upload(uploads: Path, given: Any) -> Path:
    """Return the uploaded file that `given` names, a path or Gradio's data of a file.

    Raises UsageError for whatever is not a plain file in the folder `uploads`, however it is spelt.
    """
    if isinstance(given, dict):
        given = given.get("path")
    if not isinstance(given, str) or not given or "\0" in given:
        raise UsageError("Choose a picture first.")
    path = Path(given)
    try:
        inside = path.is_absolute() and path.resolve().is_relative_to(uploads) and path.resolve().is_file()
        length = path.stat().st_size if inside else 0
    except OSError:
        inside = False
    if not inside:
        raise UsageError("This file was not uploaded here, or is gone by now: choose it again.")
    if length > MAX_UPLOAD_BYTES:
        raise UsageError(f"{path.name} is larger than {MAX_UPLOAD_BYTES / 1e6:.0f} MB: make it smaller first.")
    return path.resolve()


def is_film(path: Path) -> bool:
    """Tell by its first bytes whether a file is a film of a kind that is painted here."""
    with path.open("rb") as file:
        head = file.read(16)
    return any(head[place:].startswith(mark) for place, mark in FILM_SIGNATURES)


def read_picture(path: Path) -> Image:
    """Read a visitor's picture; raises PictureError that names the file alone, not where it is kept."""
    with _reading:
        try:
            return read_image(path, max_pixels=MAX_UPLOAD_PIXELS)
        except PictureError as error:
            raise PictureError(str(error).replace(str(path), path.name)) from None


def make_thumbnail(picture: Image, longest: int = THUMBNAIL_PIXELS) -> bytes:
    """Return a small JPEG of a picture, what is transparent in white."""
    height, width = picture.rgb.shape[2:]
    small = fit_size(width, height, min(longest, max(width, height)))
    rgb = resize(picture.rgb, *small).clamp(0, 1)
    if picture.alpha is not None:
        alpha = resize(picture.alpha, *small).clamp(0, 1)
        rgb = rgb * alpha + (1 - alpha)
    file = io.BytesIO()
    to_pil(rgb).save(file, "JPEG", quality=82)
    return file.getvalue()


def as_jpeg_url(jpeg: bytes) -> str:
    """Write a JPEG as the source of an image on the page."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()
