"""16-bit PNG and TIFF through libvips: Pillow has no 16-bit color, and littleCMS through Pillow has 8 bits."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image as PilImage
from torch import Tensor

from impasto.images.profiles import open_profile

BAND_ROWS = 256  # rows that are converted at once
MAX_CLASSIC_TIFF_BYTES = 4_000_000_000  # of pixels before compression: above, a BigTIFF is written
PIXELS_PER_MILLIMETER = 72 / 25.4  # libvips always writes a resolution: the one that files without any are shown at


def has_16_bits(image: PilImage.Image) -> bool:
    """Tell whether an opened PNG or TIFF file holds whole numbers of 16 bits."""
    if image.format == "PNG":
        return any("16B" in str(tile.args) for tile in getattr(image, "tile", ()))
    tags = getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}
    bits_per_sample, sample_formats = tags.get(258, ()), tags.get(339, (1,))
    return set(bits_per_sample) == {16} and set(sample_formats) == {1}


def read_16_bit(path: Path, form: str, profile: object) -> tuple[Tensor, Tensor | None]:
    """Decode a 16-bit PNG or TIFF, `form`, to sRGB (1, 3, H, W) and alpha (1, 1, H, W), through its ICC profile.

    The image is not turned upright. Raises ValueError where the file is damaged.
    """
    vips = _import_vips()
    load = vips.Image.pngload if form == "PNG" else vips.Image.tiffload
    try:
        image = load(str(path), access="sequential", fail_on="truncated")
        channels = 1 if image.bands < 3 else 4 if image.interpretation == "cmyk" else 3
        color = image.extract_band(0, n=channels)
        if usable := open_profile(profile, channels):
            if len(usable.mode) > channels:
                color = color.bandjoin([color, color]).copy(interpretation="rgb16")
            color.set_type(vips.GValue.blob_type, "icc-profile-data", profile)
            color = color.icc_transform(
                "srgb", embedded=True, depth=16, intent="relative", black_point_compensation=True
            )
        has_alpha = image.bands > channels
        values = _fetch_rows(vips, color.bandjoin(image[channels]) if has_alpha else color)
    except vips.Error as error:
        raise ValueError(_describe(error)) from error
    colors, alpha = (values[:, :-1], values[:, -1:]) if has_alpha else (values, None)
    if colors.shape[1] == 4:  # CMYK without a profile
        colors = (1 - colors[:, :3]) * (1 - colors[:, 3:])
    return colors.expand(1, 3, -1, -1), alpha


def write_16_bit(path: Path, form: str, rgb: Tensor, alpha: Tensor | None, *, profile: bytes, xmp: bytes) -> None:
    """Write sRGB (1, 3, H, W) and alpha (1, 1, H, W) over `path`, by bands, as PNG or TIFF.

    Raises OSError where the disk refuses.
    """
    vips = _import_vips()
    image = _to_vips(vips, rgb)
    if alpha is not None:
        image = image.bandjoin(_to_vips(vips, alpha))
    image = (image * 65535).rint().cast("ushort")  # the cast clamps
    image = image.copy(interpretation="rgb16", xres=PIXELS_PER_MILLIMETER, yres=PIXELS_PER_MILLIMETER)
    image.set_type(vips.GValue.blob_type, "icc-profile-data", profile)
    if xmp:
        image.set_type(vips.GValue.blob_type, "xmp-data", xmp)
    try:
        if form == "PNG":
            image.pngsave(str(path), filter="up", keep="icc|xmp")
        else:
            is_large = 2 * image.bands * image.width * image.height > MAX_CLASSIC_TIFF_BYTES
            image.tiffsave(str(path), compression="deflate", predictor="horizontal", bigtiff=is_large, keep="icc|xmp")
    except vips.Error as error:
        raise OSError(_describe(error)) from error


def _to_vips(vips: Any, x: Tensor) -> Any:
    """Return (1, C, H, W) as a libvips image that shares its memory, where that is float32 on the CPU."""
    pixels = x[0].detach().float().cpu()
    height, width = pixels.shape[1:]
    by_pixel = pixels.permute(1, 2, 0)
    if by_pixel.is_contiguous():
        return vips.Image.new_from_memory(by_pixel.numpy(), width, height, len(pixels), "float")
    planes = [vips.Image.new_from_memory(plane.contiguous().numpy(), width, height, 1, "float") for plane in pixels]
    return planes[0].bandjoin(planes[1:])


def _fetch_rows(vips: Any, image: Any) -> Tensor:
    """Compute a libvips image of 16 bits by bands of rows, as (1, C, H, W) in [0, 1]."""
    region, width, height = vips.Region.new(image), image.width, image.height
    values = torch.empty(1, image.bands, height, width)
    for top in range(0, height, BAND_ROWS):
        rows = min(BAND_ROWS, height - top)
        numbers = np.frombuffer(region.fetch(0, top, width, rows), np.uint16).reshape(rows, width, -1)
        band = torch.from_numpy(numbers.astype(np.float32) / np.float32(65535))
        values[0, :, top : top + rows] = band.permute(2, 0, 1)
    return values


def _describe(error: Any) -> str:
    """Return the last line of what libvips reports."""
    return str(error.detail).strip().rpartition("\n")[2] or str(error.message)


def _import_vips() -> Any:
    """Import libvips, which takes a moment, where it is needed; without its cache, which would not see files change."""
    import pyvips

    pyvips.cache_set_max(0)
    return pyvips
