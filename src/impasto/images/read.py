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
from PIL import ExifTags, ImageCms, ImageOps
from PIL import Image as PilImage
from torch import Tensor

from impasto.errors import ImpastoError, PictureError, UsageError
from impasto.images.demand import DEEP_BYTES, ReadingDemand, estimate_reading
from impasto.images.formats import MAX_PIXELS, READ_ANIMATIONS, is_tiff
from impasto.images.image import Image
from impasto.images.libvips import has_16_bits, read_by_vips
from impasto.images.opening import limit_pillow, open_file, open_picture, read_head
from impasto.images.profiles import Floats, find_profile, open_profile, open_srgb
from impasto.images.tiff import ICC_PROFILE, choose_page
from impasto.images.white_level import scale_to_white

# EXIF's orientation: quarter turns anticlockwise, then whether to mirror left to right
EXIF_TURNS = {2: (0, True), 3: (2, False), 4: (2, True), 5: (3, True), 6: (3, False), 7: (1, True), 8: (1, False)}
BAND_ROWS = 256  # that are converted at once


class TooManyPixelsError(PictureError):
    """A picture has more pixels than may be read."""


def read_image(
    source: str | os.PathLike[str] | PilImage.Image,
    *,
    max_pixels: int = MAX_PIXELS,
    demand: ReadingDemand | None = None,
) -> Image:
    """Read an image upright and in sRGB; of an animation the first frame, of a TIFF the first page in full size.

    Its format is told by what is in the file. PNG and TIFF files keep 16 bits. A broken ICC profile counts as none.
    With a `demand`, large JPEG files are read smaller if that is enough.
    Raises PictureError where the file is missing, no image, damaged, or of more than `max_pixels` pixels; UsageError
    where reading it takes more memory than the demand allows.

    Example: read_image("photo.jpg").rgb.shape
    """
    demand = demand or ReadingDemand(max_pixels)
    max_pixels = demand.max_pixels
    if isinstance(source, PilImage.Image):
        with _explain_errors("the picture given", max_pixels):
            return _read_by_pillow(source, None, demand)
    if not isinstance(source, str | os.PathLike):
        kind = type(source).__name__
        raise UsageError(f"A picture is a path or a PIL image, not {kind}: PIL.Image.fromarray makes one of an array.")
    path = Path(source)
    with open_file(path) as file, limit_pillow(max_pixels), _explain_errors(str(path), max_pixels):
        head = read_head(file, path)
        if is_tiff(head):
            return _read_tiff(file, path, demand)
        opened = open_picture(file, path, head)
        image = _read_by_pillow(opened, path, demand)
        return replace(image, notes=image.notes + _describe_frames(opened, path))


@contextmanager
def _explain_errors(name: str, max_pixels: int) -> Iterator[None]:
    """Raise PictureError for whatever reading raises."""
    try:
        yield
    except ImpastoError:
        raise
    except PilImage.DecompressionBombError as error:
        raise TooManyPixelsError(
            f"{name} has more than {max_pixels:,} pixels ({error}): make it smaller first, or raise `max_pixels`"
        ) from None
    except Exception as error:  # given damaged bytes, a decoder raises anything from SyntaxError to MemoryError
        raise PictureError(f"{name} is damaged or cut short ({error}): get the picture again") from error


def _read_tiff(file: BinaryIO, path: Path, demand: ReadingDemand) -> Image:
    page = choose_page(file, path)
    _check_size(*page.size, str(path), demand.max_pixels)
    opened = None
    if not page.has_16_bits:
        with suppress(Exception):  # Pillow can't read all kinds of TIFF
            file.seek(0)
            opened = PilImage.open(file, formats=("TIFF",))
            opened.seek(page.number)
    if opened:
        image = _read_by_pillow(opened, path, demand)
    else:
        page.check_kind(path)
        demand.check_memory(str(path), page.size, DEEP_BYTES * page.size[0] * page.size[1])
        exif = page.read_exif(file)
        image = read_by_vips(path, page.number, find_profile({"icc_profile": page.tags.get(ICC_PROFILE)}, exif))
        image = _finish(image, exif)
    note = f"{path} has {page.count} pages, of which page {page.number + 1} is painted"
    return replace(image, notes=image.notes + ((note,) if page.count > 1 else ()))


def _read_by_pillow(opened: PilImage.Image, path: Path | None, demand: ReadingDemand) -> Image:
    """Decode an opened image to sRGB, upright."""
    name, size, has_deep_png = str(path or "the picture given"), opened.size, bool(path) and has_16_bits(opened)
    _check_size(*size, name, demand.max_pixels)
    if path:  # a picture that the caller opened is left as it is
        demand.reduce(opened)
    pixels = size[0] * size[1]
    taken = demand.check_memory(name, size, DEEP_BYTES * pixels if has_deep_png else estimate_reading(opened, pixels))
    if path and has_deep_png:
        exif = _read_exif(opened)
        image = read_by_vips(path, None, find_profile(opened.info, exif))
        return replace(_finish(image, exif), reading_bytes=taken)
    opened.load()
    exif = _read_exif(opened)
    rgb, alpha, notes = _to_planes(_turn_upright(opened, exif), find_profile(opened.info, exif), name)
    if opened.format in ("BMP", "DIB") and alpha is not None and not alpha.any():
        alpha = None  # programs that write no alpha leave the bytes for it at 0
    return _drop_opaque_alpha(Image(rgb, alpha, path, notes, taken))


def _to_planes(image: PilImage.Image, profile: object, name: str) -> tuple[Tensor, Tensor | None, tuple[str, ...]]:
    """Convert a decoded image to sRGB (1, 3, H, W) and alpha (1, 1, H, W), by bands of rows: that saves memory."""
    if image.mode.startswith(("I", "F")):  # how bright white is, only the whole picture tells
        color, alpha, notes = _split_deep_channels(image, name)
        rgb = torch.from_numpy(np.array(_to_srgb(color, profile))).permute(2, 0, 1)[None]
        return rgb, None if alpha is None else torch.from_numpy(alpha)[None, None], notes
    width, height = image.size
    planes = torch.empty(1, 3 + image.has_transparency_data, height, width)
    for top in range(0, height, BAND_ROWS):
        bottom = min(height, top + BAND_ROWS)
        color, alpha = _split_channels(image.crop((0, top, width, bottom)))
        planes[0, :3, top:bottom] = torch.from_numpy(np.array(_to_srgb(color, profile))).permute(2, 0, 1)
        if alpha is not None:
            planes[0, 3, top:bottom] = torch.from_numpy(alpha)
    return planes[:, :3], planes[:, 3:] if image.has_transparency_data else None, ()


def _check_size(width: int, height: int, name: str, max_pixels: int) -> None:
    if width * height == 0:
        raise PictureError(f"{name} has no pixels ({width} x {height}): get the picture again")
    if width * height > max_pixels:
        raise PilImage.DecompressionBombError(f"it is {width} x {height}")


def _finish(image: Image, exif: PilImage.Exif) -> Image:
    """Turn an image upright by EXIF's orientation, 1 to 8, and leave out an alpha that is 1 all over."""
    quarters, is_mirrored = _get_turn(exif)

    def turn(x: Tensor) -> Tensor:
        x = torch.rot90(x, quarters, (2, 3)) if quarters else x  # anticlockwise; by 0 it would copy
        return (x.flip(3) if is_mirrored else x).contiguous()

    image = _drop_opaque_alpha(image)
    return replace(image, rgb=turn(image.rgb), alpha=None if image.alpha is None else turn(image.alpha))


def _drop_opaque_alpha(image: Image) -> Image:
    return replace(image, alpha=None) if image.alpha is not None and image.alpha.min() == 1 else image


def _get_turn(exif: PilImage.Exif) -> tuple[int, bool]:
    return EXIF_TURNS.get(exif.get(ExifTags.Base.Orientation, 1), (0, False))


def _turn_upright(image: PilImage.Image, exif: PilImage.Exif) -> PilImage.Image:
    """Turn a decoded image as `_finish` does: its bytes take less memory than the numbers made of them."""
    quarters, is_mirrored = _get_turn(exif)
    image = image.rotate(90 * quarters, expand=True) if quarters else image
    return ImageOps.mirror(image) if is_mirrored else image


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


def _split_channels(image: PilImage.Image) -> tuple[Floats, Floats | None]:
    """Take color (H, W, 1 gray, 3 RGB or 4 CMYK) and alpha (H, W), both in [0, 1], out of an image of 8 bits."""
    if image.mode == "LAB":
        image = ImageCms.profileToProfile(image, ImageCms.createProfile("LAB"), open_srgb(), outputMode="RGB") or image
    is_gray = image.mode in ("1", "L", "LA", "La")
    if image.has_transparency_data:
        values = _to_unit_range(np.asarray(image.convert("LA" if is_gray else "RGBA")))
        return values[..., :-1], values[..., -1]
    mode = "L" if is_gray else "CMYK" if image.mode == "CMYK" else "RGB"
    return np.atleast_3d(_to_unit_range(np.asarray(image.convert(mode)))), None


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
