"""Files that visitors upload: checked to be such files, within limits, and read."""

import base64
import io
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from impasto.errors import PictureError, UsageError
from impasto.images.formats import PICTURE_BRANDS
from impasto.images.image import Image
from impasto.images.read import read_image
from impasto.images.sizes import fit_size, resize
from impasto.images.write import to_pil

MAX_UPLOAD_BYTES = 100_000_000
MAX_UPLOAD_PIXELS = 60_000_000
MAX_PAINTINGS = 6
THUMBNAIL_PIXELS = 480  # longer side
THUMBNAIL_QUALITY = 82

CAN_READ_FILMS = all(find_spec(name) for name in ("av", "cv2"))
# The first bytes of MP4 and MOV, Matroska and WebM, AVI, GIF. Other kinds, such as lists of files, are not opened.
FILM_SIGNATURES = ((4, b"ftyp"), (0, b"\x1a\x45\xdf\xa3"), (8, b"AVI "), (0, b"GIF8"))

_reading = threading.Lock()  # one picture at a time: a large one takes a gigabyte while it is read


def check_upload(uploads: Path, given: Any) -> Path:
    """Return the uploaded file that `given` names: a path, or a dict with a `path`.

    Raises UsageError for anything but a plain file in the folder `uploads`, however it is spelled.
    """
    if isinstance(given, dict):
        given = given.get("path")
    if not isinstance(given, str) or not given or "\0" in given:
        raise UsageError("Choose a picture first.")
    path = Path(given)
    try:
        resolved = path.resolve()
        is_upload = path.is_absolute() and resolved.is_relative_to(uploads) and resolved.is_file()
        size = resolved.stat().st_size if is_upload else 0
    except OSError:
        is_upload = False
    if not is_upload:
        raise UsageError("This file was not uploaded here, or is gone by now: choose it again.")
    if size > MAX_UPLOAD_BYTES:
        raise UsageError(f"{path.name} is larger than {MAX_UPLOAD_BYTES / 1e6:.0f} MB: make it smaller first.")
    return resolved


def is_film(path: Path) -> bool:
    """Tell whether a file's first bytes are those of a supported film format: pictures of phones begin as MP4 does."""
    with path.open("rb") as file:
        head = file.read(16)
    has_signature = any(head[offset:].startswith(signature) for offset, signature in FILM_SIGNATURES)
    return has_signature and head[8:12] not in PICTURE_BRANDS


def read_picture(path: Path) -> Image:
    """Read a visitor's picture. Raises PictureError, which tells the file's name but not its folder."""
    with _reading:
        try:
            return read_image(path, max_pixels=MAX_UPLOAD_PIXELS)
        except PictureError as error:
            raise PictureError(str(error).replace(str(path), path.name)) from None


def make_thumbnail(picture: Image, longer_side: int = THUMBNAIL_PIXELS) -> bytes:
    """Return a small JPEG of a picture, transparent parts in white."""
    height, width = picture.rgb.shape[2:]
    size = fit_size(width, height, min(longer_side, max(width, height)))
    rgb = resize(picture.rgb, *size).clamp(0, 1)
    if picture.alpha is not None:
        alpha = resize(picture.alpha, *size).clamp(0, 1)
        rgb = rgb * alpha + (1 - alpha)
    file = io.BytesIO()
    to_pil(rgb).save(file, "JPEG", quality=THUMBNAIL_QUALITY)
    return file.getvalue()


def as_jpeg_url(jpeg: bytes) -> str:
    """Return a JPEG as the address of an image on the page."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()
