"""Image files to (1, 3, H, W) float sRGB in [0, 1]."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ExifTags, ImageCms
from PIL import Image as PilImage
from torch import Tensor

from impasto.errors import PictureError
from impasto.images.formats import MAX_PIXELS, READ_ANIMATIONS, is_tiff
from impasto.images.image import Image
from impasto.images.libvips import has_16_bits, read_by_vips
from impasto.images.opening import limit_pillow, open_file, open_picture, read_head
from impasto.images.profiles import Floats, find_profile, open_profile, open_srgb
from impasto.images.tiff import ICC_PROFILE, choose_page
from impasto.images.white_level import scale_to_white

# EXIF's orientation: quarter turns anticlockwise, then whether to mirror left to right
EXIF_TURNS = {2: (0, True), 3: (2, False), 4: (2, True), 5: (3, True), 6: (3, False), 7: (1, True), 8: (1, False)}


def read_image(source: str | os.PathLike[str] | PilImage.Image, *, max_pixels: int = MAX_PIXELS) -> Image:
    """Read an image upright and in sRGB; of an animation the first frame, of a TIFF the first page in full size.

    Its format is told by what is in the file. PNG and TIFF files keep 16 bits. A broken ICC profile counts as none.
    Raises PictureError where the file is missing, no image, damaged, or of more than `max_pixels` pixels.

    Example: read_image("photo.jpg").rgb.shape
    """
    if isinstance(source, PilImage.Image):
        with _explain_errors("the picture given", max_pixels):
            return _read_by_pillow(source, None, max_pixels)
    path = Path(source)
    with open_file(path) as file, limit_pillow(max_pixels), _explain_errors(str(path), max_pixels):
        head = read_head(file, path)
        if is_tiff(head):
            return _read_tiff(file, path, max_pixels)
        opened = open_picture(file, path, head)
        image = _read_by_pillow(opened, path, max_pixels)
        return replace(image, notes=image.notes + _describe_frames(opened, path))


@contextmanager
def _explain_errors(name: str, max_pixels: int) -> Iterator[None]:
    """Raise PictureError for whatever reading raises."""
    try:
        yield
    except PictureError:
        raise
    except PilImage.DecompressionBombError as error:
        raise PictureError(
            f"{name} has more than {max_pixels:,} pixels ({error}): make it smaller first, or raise `max_pixels`"
        ) from None
    except Exception as error:  # given damaged bytes, a decoder raises anything from SyntaxError to MemoryError
        raise PictureError(f"{name} is damaged or cut short ({error}): get the picture again") from error


def _read_tiff(file: BinaryIO, path: Path, max_pixels: int) -> Image:
    page = choose_page(file, path)
    _check_size(*page.size, str(path), max_pixels)
    opened = None
    if not page.has_16_bits:
        with suppress(Exception):  # Pillow can't read all kinds of TIFF
            file.seek(0)
            opened = PilImage.open(file, formats=("TIFF",))
            opened.seek(page.number)
    if opened:
        image = _read_by_pillow(opened, path, max_pixels)
    else:
        page.check_kind(path)
        exif = page.read_exif(file)
        image = read_by_vips(path, page.number, find_profile({"icc_profile": page.tags.get(ICC_PROFILE)}, exif))
        image = _finish(image, exif)
    note = f"{path} has {page.count} pages, of which page {page.number + 1} is painted"
    return replace(image, notes=image.notes + ((note,) if page.count > 1 else ()))


def _read_by_pillow(opened: PilImage.Image, path: Path | None, max_pixels: int) -> Image:
    """Decode an opened image to sRGB, upright."""
    name = str(path or "the picture given")
    _check_size(*opened.size, name, max_pixels)
    if path and has_16_bits(opened):
        exif = _read_exif(opened)
        return _finish(read_by_vips(path, None, find_profile(opened.info, exif)), exif)
    opened.load()
    exif = _read_exif(opened)
    color, alpha, notes = _split_channels(opened, name)
    if opened.format in ("BMP", "DIB") and alpha is not None and not alpha.any():
        alpha = None  # programs that write no alpha leave the bytes for it at 0
    rgb = torch.from_numpy(np.array(_to_srgb(color, find_profile(opened.info, exif)))).permute(2, 0, 1)[None]
    return _finish(Image(rgb, None if alpha is None else torch.from_numpy(alpha)[None, None], path, notes), exif)


def _check_size(width: int, height: int, name: str, max_pixels: int) -> None:
    if width * height == 0:
        raise PictureError(f"{name} has no pixels ({width} x {height}): get the picture again")
    if width * height > max_pixels:
        raise PilImage.DecompressionBombError(f"it is {width} x {height}")


def _finish(image: Image, exif: PilImage.Exif) -> Image:
    """Turn an image upright by EXIF's orientation, 1 to 8, and leave out an alpha that is 1 all over."""
    quarters, is_mirrored = EXIF_TURNS.get(exif.get(ExifTags.Base.Orientation, 1), (0, False))
    alpha = None if image.alpha is None or image.alpha.min() == 1 else image.alpha

    def turn(x: Tensor) -> Tensor:
        x = torch.rot90(x, quarters, (2, 3)) if quarters else x  # anticlockwise; by 0 it would copy
        return (x.flip(3) if is_mirrored else x).contiguous()

    return replace(image, rgb=turn(image.rgb), alpha=None if alpha is None else turn(alpha))


def _describe_frames(opened: PilImage.Image, path: Path) -> tuple[str, ...]:
    """Say what a file holds besides the picture that was read."""
    frames = 1
    with suppress(Exception):  # what is behind the first frame may be damaged
        frames = getattr(opened, "n_frames", 1)
    if frames == 1 or opened.format not in (*READ_ANIMATIONS, "HEIF"):
        return ()
    if opened.format == "HEIF":
        return (f"{path} holds {frames} pictures, of which the first is painted",)
    return (f"{path} is an animation of {frames} frames, of which the first is painted; `impasto film` paints all",)


def _split_channels(image: PilImage.Image, name: str) -> tuple[Floats, Floats | None, tuple[str, ...]]:
    """Take color (H, W, 1 gray, 3 RGB or 4 CMYK) and alpha (H, W), both in [0, 1], out of an image of any mode."""
    if image.mode.startswith(("I", "F")):
        return _split_deep_channels(image, name)
    if image.mode == "LAB":
        image = ImageCms.profileToProfile(image, ImageCms.createProfile("LAB"), open_srgb(), outputMode="RGB") or image
    is_gray = image.mode in ("1", "L", "LA", "La")
    if image.has_transparency_data:
        values = _to_unit_range(np.asarray(image.convert("LA" if is_gray else "RGBA")))
        return values[..., :-1], values[..., -1], ()
    mode = "L" if is_gray else "CMYK" if image.mode == "CMYK" else "RGB"
    return np.atleast_3d(_to_unit_range(np.asarray(image.convert(mode)))), None, ()


def _to_unit_range(values: NDArray[np.uint8]) -> Floats:
    return values.astype(np.float32) / np.float32(255)


def _split_deep_channels(image: PilImage.Image, name: str) -> tuple[Floats, Floats | None, tuple[str, ...]]:
    """Take gray (H, W, 1) and alpha (H, W) out of an image with more than 8 bits per channel."""
    values = np.atleast_3d(np.asarray(image).astype(np.float32))
    key = image.info.get("transparency")
    alpha = (values[..., 0] != key).astype(np.float32) if key is not None else None
    if ";" in image.mode:  # 16 bits
        return values / np.float32(65535), alpha, ()
    values, notes = scale_to_white(values, name, is_float=image.mode == "F")
    return values, alpha, notes


def _to_srgb(color: Floats, profile: object) -> Floats:
    """Convert (H, W, 1, 3 or 4) to sRGB (H, W, 3), through the ICC profile if it is whole and fits the channels."""
    if usable := open_profile(profile, color.shape[-1]):
        if len(usable.mode) > color.shape[-1]:
            color = color.repeat(3, axis=-1)
        return _to_unit_range(usable.to_srgb(np.rint(color * 255).astype(np.uint8)))
    if color.shape[-1] == 4:
        return (1 - color[..., :3]) * (1 - color[..., 3:])
    return np.broadcast_to(color, (*color.shape[:2], 3))


def _read_exif(image: PilImage.Image) -> PilImage.Exif:
    """Return the EXIF of an image; where it is damaged, an empty one: that is no reason to refuse a picture."""
    with suppress(Exception):
        # The base class's method: that of PNG would decode all pixels to look behind them.
        return PilImage.Image.getexif(image)
    return PilImage.Exif()
