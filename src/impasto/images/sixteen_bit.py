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
        raise ValueError(str(error.detail).strip().rpartition("\n")[2] or error.message) from error
    colors, alpha = (values[:, :-1], values[:, -1:]) if has_alpha else (values, None)
    if colors.shape[1] == 4:  # CMYK without a profile
        colors = (1 - colors[:, :3]) * (1 - colors[:, 3:])
    return colors.expand(1, 3, -1, -1), alpha


def write_16_bit(path: Path, form: str, rgb: Tensor, alpha: Tensor | None, *, profile: bytes, xmp: bytes) -> None:
    """Write sRGB (1, 3, H, W) and alpha (1, 1, H, W) over `path`, by bands, as PNG or TIFF; no copy of it is made.

    Raises OSError where the disk refuses.
    """
    vips = _import_vips()
    height, width = rgb.shape[2:]
    channels = [*rgb[0], *(() if alpha is None else alpha[0])]
    planes = [
        vips.Image.new_from_memory(plane.detach().float().cpu().contiguous().numpy(), width, height, 1, "float")
        for plane in channels
    ]
    resolution = {"xres": PIXELS_PER_MILLIMETER, "yres": PIXELS_PER_MILLIMETER}
    image = (planes[0].bandjoin(planes[1:]) * 65535).rint().cast("ushort")  # the cast clamps
    image = image.copy(interpretation="rgb16", **resolution)
    image.set_type(vips.GValue.blob_type, "icc-profile-data", profile)
    if xmp:
        image.set_type(vips.GValue.blob_type, "xmp-data", xmp)
    try:
        if form == "PNG":
            image.pngsave(str(path), filter="up", keep="icc|xmp")
        else:
            large = 2 * len(channels) * width * height > MAX_CLASSIC_TIFF_BYTES
            image.tiffsave(str(path), compression="deflate", predictor="horizontal", bigtiff=large, keep="icc|xmp")
    except vips.Error as error:
        raise OSError(str(error.detail).strip().rpartition("\n")[2] or error.message) from error


def _fetch_rows(vips: Any, image: Any) -> Tensor:
    """Compute a libvips image of 16 bits by bands of rows, as (1, C, H, W) in [0, 1]."""
    region, width, height = vips.Region.new(image), image.width, image.height
    values = torch.empty(1, image.bands, height, width)
    for top in range(0, height, BAND_ROWS):
        rows = min(BAND_ROWS, height - top)
        numbers = np.frombuffer(region.fetch(0, top, width, rows), np.uint16).reshape(rows, width, -1)
        values[0, :, top : top + rows] = torch.from_numpy(numbers.astype(np.float32) / np.float32(65535)).permute(
            2, 0, 1
        )
    return values


def _import_vips() -> Any:
    """Import libvips, which takes a moment, where it is needed; without its cache, which would not see files change."""
    import pyvips

    pyvips.cache_set_max(0)
    return pyvips
