"""Image files to (1, 3, H, W) float sRGB in [0, 1]."""

import os
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ExifTags, ImageCms, UnidentifiedImageError
from PIL import Image as PilImage
from torch import Tensor

from impasto.errors import PictureError
from impasto.images.image import Image
from impasto.images.opening import limit_pillow, open_file
from impasto.images.profiles import Floats, open_profile, open_srgb
from impasto.images.sixteen_bit import has_16_bits, read_16_bit

MAX_PIXELS = 180_000_000
READ_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "JPEG2000")
# EXIF's orientation: quarter turns anticlockwise, then whether to mirror left to right
EXIF_TURNS = {2: (0, True), 3: (2, False), 4: (2, True), 5: (3, True), 6: (3, False), 7: (1, True), 8: (1, False)}


def read_image(source: str | os.PathLike[str] | PilImage.Image, *, max_pixels: int = MAX_PIXELS) -> Image:
    """Read an image upright and in sRGB; of an animation the first frame.

    PNG and TIFF files keep 16 bits. A broken ICC profile counts as none.
    Raises PictureError where the file is missing, no image, damaged, or of more than `max_pixels` pixels.

    Example: read_image("photo.jpg").rgb.shape
    """
    if isinstance(source, PilImage.Image):
        return _decode(source, None, "the picture given", max_pixels)
    path = Path(source)
    with open_file(path) as file, limit_pillow(max_pixels):
        if not file.read(1):
            raise PictureError(f"{path} is empty (0 bytes): get the picture again")
        return _decode(file, path, str(path), max_pixels)


def _decode(source: BinaryIO | PilImage.Image, path: Path | None, name: str, max_pixels: int) -> Image:
    try:
        image = source if isinstance(source, PilImage.Image) else PilImage.open(source, formats=READ_FORMATS)
        width, height = image.size
        if width * height == 0:
            raise PictureError(f"{name} has no pixels ({width} x {height}): get the picture again")
        if width * height > max_pixels:
            raise PilImage.DecompressionBombError(f"it is {width} x {height}")
        if path and has_16_bits(image):
            rgb, alpha = read_16_bit(path, str(image.format), image.info.get("icc_profile"))
        else:
            rgb, alpha = _read_by_pillow(image, name)
        turn = _read_orientation(image)
    except PictureError:
        raise
    except UnidentifiedImageError:
        formats = ", ".join(READ_FORMATS)
        raise PictureError(f"{name} is not a picture, or damaged at its start: give one of {formats}") from None
    except PilImage.DecompressionBombError as error:
        raise PictureError(
            f"{name} has more than {max_pixels:,} pixels ({error}): make it smaller first, or raise `max_pixels`"
        ) from None
    except Exception as error:  # given damaged bytes, a decoder raises anything from SyntaxError to MemoryError
        raise PictureError(f"{name} is damaged or cut short ({error}): get the picture again") from error
    if alpha is None or alpha.min() == 1:
        return Image(_orient(rgb, turn), None, path)
    return Image(_orient(rgb, turn), _orient(alpha, turn), path)


def _read_by_pillow(image: PilImage.Image, name: str) -> tuple[Tensor, Tensor | None]:
    """Decode an image to sRGB (1, 3, H, W) and alpha (1, 1, H, W)."""
    image.load()
    color, alpha = _split_channels(image, name)
    rgb = torch.from_numpy(np.array(_to_srgb(color, image.info.get("icc_profile")))).permute(2, 0, 1)[None]
    return rgb, None if alpha is None else torch.from_numpy(alpha)[None, None]


def _split_channels(image: PilImage.Image, name: str) -> tuple[Floats, Floats | None]:
    """Take color (H, W, 1 gray, 3 RGB or 4 CMYK) and alpha (H, W), both in [0, 1], out of an image of any mode."""
    if image.mode.startswith(("I", "F")):
        return _split_deep_channels(image, name)
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


def _split_deep_channels(image: PilImage.Image, name: str) -> tuple[Floats, Floats | None]:
    """Take gray (H, W, 1) and alpha (H, W) out of an image with more than 8 bits per channel."""
    values = np.atleast_3d(np.asarray(image).astype(np.float32))
    if not np.isfinite(values).all():
        raise PictureError(f"{name} holds values that are no numbers (NaN or infinite): repair it first")
    # Only 16 bits say how bright white is. For other numbers, take the smallest usual white that none exceeds.
    whites = [65535.0] if ";" in image.mode else [255.0, 65535.0, 2.0**31]
    if image.mode == "F":
        whites.insert(0, 1.0)
    brightest = float(values.max())
    white = next((white for white in whites if brightest <= white), brightest)
    key = image.info.get("transparency")
    alpha = (values[..., 0] != key).astype(np.float32) if key is not None else None
    return np.clip(values / np.float32(white), 0, 1), alpha


def _to_srgb(color: Floats, profile: object) -> Floats:
    """Convert (H, W, 1, 3 or 4) to sRGB (H, W, 3), through the ICC profile if it is whole and fits the channels."""
    if usable := open_profile(profile, color.shape[-1]):
        if len(usable.mode) > color.shape[-1]:
            color = color.repeat(3, axis=-1)
        return _to_unit_range(usable.to_srgb(np.rint(color * 255).astype(np.uint8)))
    if color.shape[-1] == 4:
        return (1 - color[..., :3]) * (1 - color[..., 3:])
    return np.broadcast_to(color, (*color.shape[:2], 3))


def _orient(x: Tensor, orientation: int) -> Tensor:
    """Turn (B, C, H, W) upright by EXIF's orientation, 1 to 8."""
    quarters, is_mirrored = EXIF_TURNS.get(orientation, (0, False))
    x = torch.rot90(x, quarters, (2, 3)) if quarters else x  # anticlockwise; by 0 it would copy
    return (x.flip(3) if is_mirrored else x).contiguous()


def _read_orientation(image: PilImage.Image) -> int:
    try:
        # The base class's method: that of PNG would decode all pixels to look behind them.
        return int(PilImage.Image.getexif(image).get(ExifTags.Base.Orientation, 1))
    except Exception:  # damaged EXIF is no reason to refuse a picture
        return 1
