"""Pictures (1, 3, H, W) to PNG, JPEG, WebP and TIFF files, tagged as sRGB, whole or not at all."""

import os
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as PilImage
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from impasto.errors import PictureError, UsageError
from impasto.images.formats import DEFAULT_QUALITY, WRITE_FORMATS
from impasto.images.libvips import write_16_bit
from impasto.images.metadata import PNG_XMP, XMP_TAG, check_text_length, pack_xmp
from impasto.images.output import atomic_write, check_output
from impasto.images.profiles import make_srgb_profile

BAND_ROWS = 64  # rows that are converted at once


def write_image(
    rgb: Tensor,
    path: str | os.PathLike[str],
    *,
    alpha: Tensor | None = None,
    bits: int = 8,
    quality: int = DEFAULT_QUALITY,
    embedded_text: str = "",
    overwrite: bool = False,
    png_level: int = 6,
) -> Path:
    """Write (1, 3, H, W) and alpha (1, 1, H, W) to PNG, JPEG, WebP or TIFF, by the suffix, tagged as sRGB.

    Values outside [0, 1] are clamped. `bits` is 8, or 16 for PNG and TIFF. `quality` is 1 to 100, for JPEG and WebP; a
    WebP of 100 is lossless. `embedded_text` goes inside, for `read_embedded_text`. `png_level`, 0 to 9, is how hard an
    8-bit PNG is compressed.
    Raises UsageError for what a format can't hold, PictureError for NaN or where the disk refuses.

    Example: write_image(picture.rgb, "copy.png", alpha=picture.alpha)
    """
    path = Path(path)
    check_output(path, overwrite=overwrite, alpha=alpha is not None, bits=bits, size=max(rgb.shape[-2:]))
    if not 1 <= quality <= 100:
        raise UsageError(f"{path} can't be written with quality {quality}: give 1 to 100", setting="quality")
    check_text_length(path, len(embedded_text.encode()))
    _check_pixels(rgb, alpha, str(path))
    form, xmp = WRITE_FORMATS[path.suffix.lower()], pack_xmp(embedded_text) if embedded_text else b""
    with atomic_write(path, overwrite=overwrite) as file:
        if bits == 16:
            write_16_bit(Path(file.name), form, rgb, alpha, profile=make_srgb_profile(), xmp=xmp)
        else:
            _save(_to_8_bits(rgb, alpha), file, form, quality, xmp, png_level)
    return path


def write_mask(mask: Tensor, path: Path, *, overwrite: bool) -> None:
    """Write a mask (1, 1, H, W) in [0, 1] as a gray picture. Errors: as `write_image`."""
    write_image(mask.expand(1, 3, *mask.shape[2:]), path, overwrite=overwrite)


def to_pil(rgb: Tensor, alpha: Tensor | None = None) -> PilImage.Image:
    """Make an 8-bit sRGB image, RGB or RGBA, of (1, 3, H, W) and alpha (1, 1, H, W); raises PictureError for NaN."""
    _check_pixels(rgb, alpha, "the picture")
    image = _to_8_bits(rgb, alpha)
    image.info["icc_profile"] = make_srgb_profile()
    return image


def make_png_text(xmp: bytes) -> PngInfo:
    """Make the chunks of a PNG that hold an XMP packet."""
    chunks = PngInfo()
    chunks.add_itxt(PNG_XMP, xmp.decode())
    return chunks


def _save(image: PilImage.Image, file: BinaryIO, form: str, quality: int, xmp: bytes, png_level: int) -> None:
    options: dict[str, dict[str, Any]] = {
        "PNG": {"compress_level": png_level} | ({"pnginfo": make_png_text(xmp)} if xmp else {}),
        "JPEG": {"quality": quality, "subsampling": 0, "optimize": True, "xmp": xmp},
        # exact: the color under transparency is kept
        "WEBP": {"quality": quality, "lossless": quality == 100, "exact": True, "xmp": xmp},
        "TIFF": {"compression": "tiff_adobe_deflate", "tiffinfo": {XMP_TAG: xmp} if xmp else {}},
    }
    image.save(file, form, icc_profile=make_srgb_profile(), **options[form])


def _check_pixels(rgb: Tensor, alpha: Tensor | None, name: str) -> None:
    """Raise UsageError for shapes that are no picture's, and PictureError for numbers that are not finite."""
    for x, channels in ((rgb, 3), (alpha, 1)):
        if x is None:
            continue
        if x.shape != (1, channels, *rgb.shape[-2:]) or x.numel() == 0:
            raise UsageError(f"a picture is (1, 3, H, W) and its alpha (1, 1, H, W), not {tuple(x.shape)}")
        if not all(bool(torch.isfinite(band).all()) for band in torch.split(x, BAND_ROWS, 2)):
            raise PictureError(f"{name} is not written, its pixels are NaN or infinite: try smaller weights")


def _to_8_bits(rgb: Tensor, alpha: Tensor | None) -> PilImage.Image:
    """Round to an image of 8 bits, band by band: 4 bytes for each pixel, and no other copy."""
    height, width = rgb.shape[-2:]
    image = PilImage.new("RGB" if alpha is None else "RGBA", (width, height))
    for top in range(0, height, BAND_ROWS):
        band = rgb[..., top : top + BAND_ROWS, :].detach()
        if alpha is not None:
            band = torch.cat([band, alpha[..., top : top + BAND_ROWS, :].to(band)], dim=1)
        image.paste(PilImage.fromarray(_round(band)), (0, top))
    return image


def _round(rows: Tensor) -> NDArray[np.uint8]:
    """Round (1, C, H, W) in [0, 1] to whole numbers (H, W, C), 0 to 255."""
    whole = (rows[0].permute(1, 2, 0).float().clamp(0, 1) * 255).round()
    return np.ascontiguousarray(whole.to(torch.uint8).cpu().numpy())
