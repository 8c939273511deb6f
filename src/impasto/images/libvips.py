"""16-bit PNG and TIFF, and TIFF that Pillow can't read, through libvips: it keeps 16 bits, also in color profiles."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image as PilImage
from torch import Tensor

from impasto.images.image import Image
from impasto.images.profiles import open_profile
from impasto.images.white_level import describe_dark, scale_to_white

BAND_ROWS = 256  # rows that are converted at once
MAX_CLASSIC_TIFF_BYTES = 4_000_000_000  # of pixels before compression: above, a BigTIFF is written
PIXELS_PER_MILLIMETER = 72 / 25.4  # libvips always writes a resolution: the one that files without any are shown at
WHITES = {"uchar": 255, "ushort": 65535}  # of the kinds of numbers that tell how bright white is


def has_16_bits(image: PilImage.Image) -> bool:
    """Tell whether an opened PNG file holds 16 bits."""
    return image.format == "PNG" and any("16B" in str(tile.args) for tile in getattr(image, "tile", ()))


def read_by_vips(path: Path, page: int | None, profile: bytes | None) -> Image:
    """Decode a PNG, or a page of a TIFF, to sRGB through its ICC profile; it is not turned upright.

    Raises ValueError where the file is damaged, PictureError as `scale_to_white`.
    """
    vips = _import_vips()
    load, options = (vips.Image.pngload, {}) if page is None else (vips.Image.tiffload, {"page": page})
    try:
        image = load(str(path), access="sequential", fail_on="truncated", **options)
        return _to_image(vips, image, path, profile)
    except vips.Error as error:
        raise ValueError(_describe(error)) from error


def _to_image(vips: Any, image: Any, path: Path, profile: bytes | None) -> Image:
    channels = 1 if image.bands < 3 else 4 if image.interpretation == "cmyk" else 3
    kept = image.extract_band(0, n=min(image.bands, channels + 1))
    white, notes = WHITES.get(image.format, 1), tuple[str, ...]()
    if image.format not in WHITES:
        is_float = image.format in ("float", "double")
        scaled, notes = scale_to_white(_fetch_rows(vips, kept).numpy(), str(path), is_float=is_float)
        kept = _to_vips(vips, torch.from_numpy(scaled))
    if usable := open_profile(profile, channels):
        kept = _to_srgb(vips, (kept * (65535 / white)).rint().cast("ushort"), channels, usable.mode, profile)
        white = 65535
    values = _fetch_rows(vips, kept) / white
    has_alpha = image.bands > channels
    if image.format == "ushort" and not usable:
        notes = describe_dark(float(values[:, :channels].max()) * white, str(path))
    colors, alpha = (values[:, :-1], values[:, -1:]) if has_alpha else (values, None)
    if colors.shape[1] == 4:  # CMYK without a profile
        colors = (1 - colors[:, :3]) * (1 - colors[:, 3:])
    return Image(colors.expand(1, 3, -1, -1), alpha, path, notes)


def _to_srgb(vips: Any, image: Any, channels: int, mode: str, profile: bytes | None) -> Any:
    """Convert the colors of a 16-bit image, `channels` and perhaps alpha, through a profile of Pillow's `mode`."""
    color = image.extract_band(0, n=channels)
    if len(mode) > channels:
        color = color.bandjoin([color, color])
    color = color.copy(interpretation={"L": "grey16", "RGB": "rgb16", "CMYK": "cmyk"}[mode])
    color.set_type(vips.GValue.blob_type, "icc-profile-data", profile)
    color = color.icc_transform("srgb", embedded=True, depth=16, intent="relative", black_point_compensation=True)
    return color.bandjoin(image[channels]) if image.bands > channels else color


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
    """Compute a libvips image by bands of rows, as (1, C, H, W)."""
    region, width, height = vips.Region.new(image.cast("float")), image.width, image.height
    values = torch.empty(1, image.bands, height, width)
    for top in range(0, height, BAND_ROWS):
        rows = min(BAND_ROWS, height - top)
        numbers = np.frombuffer(region.fetch(0, top, width, rows), np.float32).reshape(rows, width, -1)
        values[0, :, top : top + rows] = torch.from_numpy(numbers.copy()).permute(2, 0, 1)
    return values


def _describe(error: Any) -> str:
    """Return the last line of what libvips reports."""
    return str(error.detail).strip().rpartition("\n")[2] or str(error.message)


def _import_vips() -> Any:
    """Import libvips, which takes a moment, where it is needed; without its cache, which would not see files change."""
    import pyvips

    pyvips.cache_set_max(0)
    return pyvips
