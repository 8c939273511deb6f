"""Picture files to (1, 3, H, W) float sRGB in [0, 1], and back."""

import functools
import io
import os
import struct
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, ImageFile, UnidentifiedImageError
from torch import Tensor

from impasto.errors import PictureError, UsageError
from impasto.images.encoding import encode_image, to_pil_image
from impasto.images.metadata import check_text_length
from impasto.images.output import FORMATS, atomic_write, check_output, check_regular_file
from impasto.images.raster import BAND_ROWS, Raster

__all__ = ["MAX_PIXELS", "Picture", "check_output", "read_image", "to_pil", "write_image"]

MAX_PIXELS = 180_000_000
READ_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "JPEG2000")
# EXIF's orientation -> quarter turns anticlockwise, then mirrored left to right
EXIF_TURNS = {2: (0, True), 3: (2, False), 4: (2, True), 5: (3, True), 6: (3, False), 7: (1, True), 8: (1, False)}

Floats = NDArray[np.float32]

_pillow_lock = threading.Lock()


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture as read: `rgb` (1, 3, H, W) and, where anything is transparent, `alpha` (1, 1, H, W), in [0, 1]."""

    rgb: Tensor
    alpha: Tensor | None
    source: Path | None


def read_image(source: str | os.PathLike[str] | Image.Image, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read a picture upright and in sRGB; of an animation the first frame.

    16 bits are kept for grey and RGB(A), but not through a profile other than sRGB. A broken profile counts as none.
    Raises PictureError where there is no file, or it is no picture, damaged, or of more than `max_pixels` pixels.

    Example: read("photo.jpg").rgb.shape
    """
    if isinstance(source, Image.Image):
        with _pillow_limited_to(max_pixels):
            return _decode(source, None, "the picture given", max_pixels)
    path = Path(source)
    try:
        check_regular_file(path)
        with path.open("rb") as file, _pillow_limited_to(max_pixels):
            if not file.read(1):
                raise PictureError(f"{path} is empty (0 bytes): get the picture again")
            return _decode(file, path, str(path), max_pixels)
    except FileNotFoundError:
        raise PictureError(f"{path} does not exist: check the name and the folder") from None
    except IsADirectoryError:
        raise PictureError(f"{path} is a folder: name a picture inside it") from None
    except PermissionError:
        raise PictureError(f"{path} can't be opened, permission denied: make it readable for you") from None
    except OSError as error:
        raise PictureError(f"{path} can't be opened: {error.strerror or error}") from error


def write_image(
    picture_rgb: Tensor,
    path: str | os.PathLike[str],
    *,
    alpha: Tensor | None = None,
    bits: int = 8,
    quality: int = 95,
    embedded_text: str = "",
    overwrite: bool = False,
) -> Path:
    """Write (1, 3, H, W) and alpha (1, 1, H, W) to PNG, JPEG, WebP or TIFF, by the suffix, tagged as sRGB.

    Values outside of [0, 1] are clamped. `bits` is 8, or 16 for PNG and TIFF. `quality` is 1 to 100, for JPEG and WebP;
    a WebP of 100 is lossless. `inscription` is a text that goes inside, for `read_embedded_text`. The file appears
    whole or not at all.
    Raises UsageError for what a format can't hold, PictureError for NaN or where the disk refuses.

    Example: write(picture.rgb, "copy.png", alpha=picture.alpha)
    """
    path = Path(path)
    check_output(path, overwrite=overwrite, alpha=alpha is not None, bits=bits, size=max(picture_rgb.shape[-2:]))
    if not 1 <= quality <= 100:
        raise UsageError(f"{path} can't be written with quality {quality}: give 1 to 100")
    check_text_length(path, len(embedded_text.encode()))
    raster = _quantize(picture_rgb, alpha, bits, str(path))
    with atomic_write(path, overwrite=overwrite) as file:
        form = FORMATS[path.suffix.lower()]
        encode_image(file, raster, form, profile=_srgb_bytes(), quality=quality, embedded_text=embedded_text)
    return path


def to_pil(rgb: Tensor, alpha: Tensor | None = None) -> Image.Image:
    """Make an 8-bit sRGB image, RGB or RGBA, of (1, 3, H, W) and alpha (1, 1, H, W); raises PictureError for NaN."""
    image = to_pil_image(_quantize(rgb, alpha, 8, "the picture"))
    image.info["icc_profile"] = _srgb_bytes()
    return image


@contextmanager
def _pillow_limited_to(max_pixels: int) -> Iterator[None]:
    # Pillow's guard against decompression bombs is one global number that half warns: lend it ours while we read
    with _pillow_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        usual, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, max_pixels
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = usual


def _decode(source: BinaryIO | Image.Image, path: Path | None, name: str, max_pixels: int) -> Picture:
    try:
        image = source if isinstance(source, Image.Image) else Image.open(source, formats=READ_FORMATS)
        width, height = image.size
        if width * height == 0:
            raise PictureError(f"{name} has no pixels ({width} x {height}): get the picture again")
        if width * height > max_pixels:
            raise Image.DecompressionBombError(f"it is {width} x {height}")
        low = _decode_low_bytes(image, source, name)
        colour, alpha = _split_channels(image, low, name)  # (H, W, 1, 3 or 4), (H, W) or None
        rgb = _to_srgb(colour, image.info.get("icc_profile"))
        turn = _read_orientation(image)
    except PictureError:
        raise
    except UnidentifiedImageError:
        formats = ", ".join(READ_FORMATS)
        raise PictureError(f"{name} is not a picture, or damaged at its start: give one of {formats}") from None
    except Image.DecompressionBombError as error:
        raise PictureError(
            f"{name} has more than {max_pixels:,} pixels ({error}): make it smaller first, or allow it by --max-pixels"
        ) from None
    except Exception as error:  # over damaged bytes a decoder raises anything, from SyntaxError to MemoryError
        raise PictureError(f"{name} is damaged or cut short ({error}): get the picture again") from error
    upright = _orient(torch.from_numpy(np.array(rgb)).permute(2, 0, 1)[None], turn)
    if alpha is None or alpha.min() == 1:
        return Picture(upright, None, path)
    return Picture(upright, _orient(torch.from_numpy(alpha)[None, None], turn), path)


def _decode_low_bytes(image: Image.Image, source: BinaryIO | Image.Image, name: str) -> NDArray[np.uint8] | None:
    """Decode the image and, for a file of 16-bit colour, return the low bytes (H, W, 3 or 4), which Pillow drops.

    Read in the right byte order, Pillow keeps the high byte of each number; read in the other one, the low byte.
    """
    swapped = _swapped_tiles(image, name)
    image.load()
    if isinstance(source, Image.Image) or not swapped:
        return None
    again = Image.open(source, formats=READ_FORMATS)
    again.tile = swapped
    return np.array(again)


def _swapped_tiles(image: Image.Image, name: str) -> list[Any]:
    """Describe the tiles of 16-bit colour in the other byte order, or nothing where there is no such colour."""
    other = {"16L": "16B", "16B": "16L", "16N": "16B" if sys.byteorder == "little" else "16L"}
    swapped = []
    for tile in image.tile if isinstance(image, ImageFile.ImageFile) else []:
        rawmode, *rest = [tile.args] if isinstance(tile.args, str) else tile.args or [None]
        mode, _, order = str(rawmode).partition(";")
        if mode not in ("RGB", "RGBA", "RGBX") or order not in other:
            if mode in ("R", "G", "B", "A") and 16 in getattr(image, "tag_v2", {}).get(258, ()):
                raise PictureError(f"{name} keeps 16-bit colours in separate planes: save it interleaved")
            return []
        rawmode = f"{mode};{other[order]}"
        swapped.append(tile._replace(args=(rawmode, *rest) if rest else rawmode))
    return swapped


def _split_channels(image: Image.Image, low: NDArray[np.uint8] | None, name: str) -> tuple[Floats, Floats | None]:
    """Take (H, W, 1 grey, 3 RGB or 4 CMYK) and alpha (H, W), both in [0, 1], out of an image of any mode."""
    if low is not None or image.mode.startswith(("I", "F")):
        return _split_deep_channels(image, low, name)
    if image.mode == "LAB":
        image = (
            ImageCms.profileToProfile(image, ImageCms.createProfile("LAB"), _srgb_profile(), outputMode="RGB") or image
        )
    grey = image.mode in ("1", "L", "LA", "La")
    if image.has_transparency_data:
        values = _to_unit_range(np.asarray(image.convert("LA" if grey else "RGBA")))
        return values[..., :-1], values[..., -1]
    mode = "L" if grey else "CMYK" if image.mode == "CMYK" else "RGB"
    return np.atleast_3d(_to_unit_range(np.asarray(image.convert(mode)))), None


def _to_unit_range(values: NDArray[np.uint8]) -> Floats:
    return values.astype(np.float32) / np.float32(255)


def _split_deep_channels(image: Image.Image, low: NDArray[np.uint8] | None, name: str) -> tuple[Floats, Floats | None]:
    values = np.atleast_3d(np.asarray(image).astype(np.float32))
    if low is not None:
        values = values * 256 + low
    if not np.isfinite(values).all():
        raise PictureError(f"{name} holds values that are no numbers (NaN or infinite): repair it first")
    # Only 16 bits say how bright white is. Of other numbers, take the smallest usual white that none exceeds.
    whites = [65535.0] if low is not None or ";" in image.mode else [255.0, 65535.0, 2.0**31]
    if image.mode == "F":
        whites.insert(0, 1.0)
    brightest = float(values.max())
    white = next((white for white in whites if brightest <= white), brightest)
    key = image.info.get("transparency")
    alpha = (values != key).any(axis=-1).astype(np.float32) if key is not None else None
    values = np.clip(values / np.float32(white), 0, 1)
    if ";" in image.mode and getattr(image, "tag_v2", {}).get(262) == 0:
        values = 1 - values  # TIFF's WhiteIsZero, which Pillow heeds in 8 bits only
    return values[..., :3], values[..., 3] if values.shape[-1] == 4 else alpha


def _to_srgb(colour: Floats, profile: object) -> Floats:
    """Convert (H, W, 1, 3 or 4) to sRGB (H, W, 3), through the ICC profile if it is whole and fits the channels."""
    with suppress(ImageCms.PyCMSError, OSError):
        if isinstance(profile, bytes) and profile:
            opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            mode = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK"}.get(opened.profile.xcolor_space.strip(), "")
            if mode == "RGB" and colour.shape[-1] == 1:
                colour = colour.repeat(3, axis=-1)
            if len(mode) == colour.shape[-1]:
                return _apply_profile(colour, mode, opened)
    if colour.shape[-1] == 4:
        return (1 - colour[..., :3]) * (1 - colour[..., 3:])
    return np.broadcast_to(colour, (*colour.shape[:2], 3))


def _apply_profile(colour: Floats, mode: str, profile: ImageCms.ImageCmsProfile) -> Floats:
    intent, flags = ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.BLACKPOINTCOMPENSATION
    transform = ImageCms.buildTransform(profile, _srgb_profile(), mode, "RGB", intent, flags)

    def apply(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
        image = Image.frombytes(mode, (values.shape[1], values.shape[0]), values.tobytes())
        return np.asarray(transform.apply(image))

    if mode != "CMYK":
        # The transform has 8 bits: a profile that hardly differs from sRGB is left out, to keep 16 bits and exactness
        steps = np.linspace(0, 255, 9 if mode == "RGB" else 256).round().astype(np.uint8)
        probe = np.stack(np.meshgrid(*[steps] * len(mode)), axis=-1).reshape(1, -1, len(mode))
        if np.abs(apply(probe).astype(int) - probe).max() <= 1:
            return np.broadcast_to(colour, (*colour.shape[:2], 3))
    return _to_unit_range(apply(np.rint(colour * 255).astype(np.uint8)))


def _orient(x: Tensor, orientation: int) -> Tensor:
    """Turn (B, C, H, W) by EXIF's orientation, 1 to 8."""
    quarters, mirrored = EXIF_TURNS.get(orientation, (0, False))
    x = torch.rot90(x, quarters, (2, 3))  # anticlockwise
    return (x.flip(3) if mirrored else x).contiguous()


def _read_orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # damaged EXIF is no reason to refuse a picture
        return 1


def _quantize(rgb: Tensor, alpha: Tensor | None, bits: int, name: str) -> Raster:
    """Round (1, 3, H, W) and alpha (1, 1, H, W) to whole numbers, whose rows are found when they are asked for."""
    height, width = rgb.shape[-2:]
    for x, channels in ((rgb, 3), (alpha, 1)):
        if x is None:
            continue
        if x.shape != (1, channels, height, width) or x.numel() == 0:
            raise UsageError(f"a picture is (1, 3, H, W) and its alpha (1, 1, H, W), not {tuple(x.shape)}")
        if not all(bool(torch.isfinite(band).all()) for band in torch.split(x, BAND_ROWS, 2)):
            raise PictureError(f"{name} is not written, its pixels are NaN or infinite: try smaller weights")

    def round_rows(top: int, bottom: int) -> NDArray[Any]:
        x = rgb[..., top:bottom, :].detach()
        if alpha is not None:
            x = torch.cat([x, alpha[..., top:bottom, :].to(x)], dim=1)
        whole = (x[0].permute(1, 2, 0).float().clamp(0, 1) * (2**bits - 1)).round().int().cpu().numpy()
        return np.ascontiguousarray(whole, np.uint8 if bits == 8 else np.uint16)

    return Raster(width, height, 3 if alpha is None else 4, bits, round_rows)


@functools.cache
def _srgb_profile() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(io.BytesIO(_srgb_bytes()))


@functools.cache
def _srgb_bytes() -> bytes:
    made = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return made[:24] + struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + made[36:]  # a fixed date: same picture, same bytes
