"""Pictures and films to paint from: those that visitors upload, and those that come with impasto, each by its ID."""

import functools
import io
import re
import secrets
import shutil
import threading
import time
from contextlib import suppress
from importlib.resources import files as resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from impasto.errors import ImpastoError, PictureError, UsageError, describe_install
from impasto.images.collection import COLLECTION
from impasto.images.formats import PICTURE_BRANDS
from impasto.images.image import Image
from impasto.images.output import replace_file
from impasto.images.read import TooManyPixelsError, read_image
from impasto.images.sizes import fit_size
from impasto.images.write import to_pil
from impasto.network.download import digest_file
from impasto.recipes.files import read_recipe
from impasto.recipes.recipe import plain_name

Role = Literal["photo", "painting", "masks"]

MAX_UPLOAD_BYTES = 100_000_000
MAX_UPLOAD_PIXELS = 60_000_000
MAX_NAME_LENGTH = 80
JPEG_QUALITY = 85
PREVIEW_SIDES = (320, 1024)  # longer side in pixels
LIFETIME_SECONDS = 30 * 86400.0
MIN_LIFETIME_SECONDS = 3600.0  # even where there is no space
MAX_RECENT = 48
UPLOAD_ID = re.compile(r"[0-9a-f]{16}")
EXAMPLES = Path(str(resources("impasto.studio") / "examples"))
EXAMPLE_PHOTOS = {name: EXAMPLES / f"{name}.jpg" for name in ("coffee", "cat")}
BUILT_IN = {**EXAMPLE_PHOTOS, **{name: painting.path for name, painting in COLLECTION.items()}}
CAN_READ_FILMS = all(find_spec(name) for name in ("av", "cv2"))
# The first bytes of MP4 and MOV, Matroska and WebM, AVI, GIF. Other kinds, such as lists of files, are not opened.
FILM_SIGNATURES = ((4, b"ftyp"), (0, b"\x1a\x45\xdf\xa3"), (8, b"AVI "), (0, b"GIF8"))

_reading = threading.Lock()  # one picture at a time: a large one takes a gigabyte while it is read


class Upload(BaseModel):
    """A picture or film that can be painted from. `has_recipe`: it was painted by impasto, and says how."""

    id: str
    name: str
    credit: str = ""
    is_built_in: bool = False
    is_film: bool = False
    has_recipe: bool = False


ID_DIGITS = 16  # of a file's digest
BUILT_IN_UPLOADS: dict[Role, list[Upload]] = {
    "photo": [Upload(id=name, name=name, is_built_in=True) for name in EXAMPLE_PHOTOS],
    "painting": [
        Upload(id=name, name=row.title, credit=row.credit, is_built_in=True) for name, row in COLLECTION.items()
    ],
}


@functools.cache
def find_built_in(digest: str) -> Upload | None:
    """Return the picture that comes with impasto and has this digest, or None."""
    known = (upload for uploads in BUILT_IN_UPLOADS.values() for upload in uploads)
    return next((upload for upload in known if digest_file(BUILT_IN[upload.id])[:ID_DIGITS] == digest), None)


class UploadStore:
    """A folder of uploads, by role and ID. An ID is the digest of the file: the same file is there once.

    Requests name files by these IDs alone, or by the names of pictures that come with impasto.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def add(self, source: Path, name: str, role: Role) -> Upload:
        """Copy a file here and check it; of a picture that comes with impasto, return that.

        Raises PictureError if it is no picture, UsageError if it is no film.
        """
        upload_id = digest_file(source)[:ID_DIGITS]
        if built_in := find_built_in(upload_id):
            return built_in
        name = plain_name(name)[-MAX_NAME_LENGTH:].lstrip(".") or "picture"
        folder = self.root / role / upload_id
        try:
            (folder / "file").mkdir(parents=True, exist_ok=True)
            path = next((folder / "file").iterdir(), folder / "file" / name)
            if not path.exists():
                replace_file(shutil.copyfile(source, folder / f"{secrets.token_hex(8)}.part"), path)
            path.touch()
            is_video = _is_painted_as_film(path)
            self._write_previews(folder, path)
        except (ImpastoError, OSError):
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return Upload(id=upload_id, name=path.name, is_film=is_video, has_recipe=not is_video and _has_recipe(path))

    def find(self, upload_id: str, role: str = "*") -> Path:
        """Return the file with an ID, or of a picture that comes with impasto. Raises UsageError if there is none."""
        if upload_id in BUILT_IN and role != "masks":
            return BUILT_IN[upload_id]
        paths = self.root.glob(f"{role}/{upload_id}/file/*") if UPLOAD_ID.fullmatch(upload_id) else iter(())
        path = next(paths, None)
        if path is None or path.is_symlink():
            raise UsageError("This picture was not uploaded here, or is gone by now: choose it again.")
        return path

    def find_preview(self, upload_id: str, side: int) -> Path:
        """Return a small JPEG of a picture. Raises UsageError if there is no such picture."""
        path = self.find(upload_id)
        folder = self.root / "built_in" / upload_id if upload_id in BUILT_IN else path.parents[1]
        side = next((known for known in PREVIEW_SIDES if side <= known), PREVIEW_SIDES[-1])
        if not (folder / f"{side}.jpg").exists():
            self._write_previews(folder, path)
        return folder / f"{side}.jpg"

    def list_recent(self, role: Role) -> list[Upload]:
        """List the pictures uploaded last."""
        paths = sorted((self.root / role).glob("*/file/*"), key=lambda path: -path.stat().st_mtime)[:MAX_RECENT]
        return [Upload(id=path.parents[1].name, name=path.name, is_film=_is_painted_as_film(path)) for path in paths]

    def remove(self, upload_id: str) -> None:
        """Delete an upload; jobs have their own copies. Raises UsageError if there is none, or impasto came with it."""
        if upload_id in BUILT_IN:
            raise UsageError("This picture comes with impasto, and stays.")
        shutil.rmtree(self.find(upload_id).parents[1])

    def remove_old(self, older_than: float = LIFETIME_SECONDS) -> None:
        """Delete old uploads; jobs have their own copies."""
        limit = time.time() - older_than
        for folder in self.root.glob("*/*"):
            with suppress(OSError):
                if max(path.stat().st_mtime for path in (folder, *folder.rglob("*"))) < limit:
                    shutil.rmtree(folder)

    def _write_previews(self, folder: Path, path: Path) -> None:
        picture = read_first_frame(path) if _is_painted_as_film(path) else read_picture(path)
        folder.mkdir(parents=True, exist_ok=True)
        for side in reversed(PREVIEW_SIDES):
            picture = shrink(picture, side)
            write_jpeg(to_pil(picture.rgb, picture.alpha), folder / f"{side}.jpg", side)


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
        except TooManyPixelsError:
            raise PictureError(
                f"{path.name} has more than {MAX_UPLOAD_PIXELS:,} pixels, the most that the studio takes: make it "
                "smaller first, or paint it from the shell."
            ) from None
        except PictureError as error:
            raise PictureError(str(error).replace(str(path), path.name)) from None


def read_first_frame(path: Path) -> Image:
    """Read a film's first frame. Raises PictureError, with the file's name, and UsageError without PyAV."""
    if not CAN_READ_FILMS:
        raise UsageError(f"Films take more than there is here: {describe_install('film')}")
    from impasto.films.reader import FilmReader, find_video_stream, open_film  # brings PyAV

    with _reading:
        try:
            with open_film(path) as container:
                size = find_video_stream(container, path).codec_context
                if size.width * size.height > MAX_UPLOAD_PIXELS:
                    raise PictureError(
                        f"{path.name} has frames of more than {MAX_UPLOAD_PIXELS:,} pixels: scale it down"
                    )
            frame = next(iter(FilmReader(path)))
        except PictureError as error:
            raise PictureError(str(error).replace(str(path), path.name)) from None
    return frame.image.resized(*frame.display_size)


def shrink(picture: Image, longer_side: int) -> Image:
    """Return a picture whose longer side is at most so many pixels."""
    return picture.resized(*fit_size(picture.width, picture.height, longer_side, "shrink"))


def write_jpeg(image: Any, path: Path, longer_side: int) -> None:
    """Write a small copy of a Pillow image, whole or not at all. Raises PictureError if the disk refuses."""
    temporary = path.with_name(f"{secrets.token_hex(8)}.part")  # several may write the same at once
    try:
        temporary.write_bytes(encode_jpeg(image, longer_side))
        replace_file(temporary, path)
    except OSError as error:
        raise PictureError(f"{path.name} can't be written, {error.strerror}: make room on the disk") from None
    finally:
        temporary.unlink(missing_ok=True)


def encode_jpeg(image: Any, longer_side: int) -> bytes:
    """Return a small JPEG of a Pillow image, transparent parts in white."""
    image.thumbnail((longer_side, longer_side))
    if image.mode != "RGB":
        image = image.convert("RGBA")
        paper = image.copy()
        paper.paste((255, 255, 255, 255), (0, 0, *image.size))
        paper.alpha_composite(image)
        image = paper.convert("RGB")
    file = io.BytesIO()
    image.save(file, "JPEG", quality=JPEG_QUALITY)
    return file.getvalue()


def _is_painted_as_film(path: Path) -> bool:
    """Whether an upload is a film: a GIF among the paintings is a picture."""
    return path.parents[2].name == "photo" and is_film(path)


def _has_recipe(path: Path) -> bool:
    try:
        read_recipe(path)
    except ImpastoError:
        return False
    return True
