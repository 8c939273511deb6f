"""Pixels to the bytes of a PNG, JPEG, WebP or TIFF file, with a colour profile and an inscription."""

from typing import Any, BinaryIO

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from impasto.images.metadata import TEXT_KEY, XMP_TAG, pack_xmp
from impasto.images.raster import Raster
from impasto.images.sixteen_bit import write_png16, write_tiff16


def encode_image(
    file: BinaryIO, raster: Raster, form: str, *, profile: bytes, quality: int = 95, embedded_text: str = ""
) -> None:
    """Write a picture of 8 or, as PNG or TIFF, 16 bits; `form` is one of `FORMATS`' values.

    `quality` is 1 to 100, for JPEG and WebP; `inscription` is for `read_embedded_text`.
    """
    if raster.bits == 16:
        (write_png16 if form == "PNG" else write_tiff16)(file, raster, profile, embedded_text)
        return
    options: dict[str, dict[str, Any]] = {
        "PNG": {},
        "JPEG": {"quality": quality, "subsampling": 0, "optimize": True},
        "WEBP": {"quality": quality, "lossless": quality == 100, "exact": True},  # exact: colour under transparency
        "TIFF": {"compression": "tiff_adobe_deflate"},
    }
    inscribed = _text_options(form, embedded_text) if embedded_text else {}
    to_pil_image(raster).save(file, form, icc_profile=profile, **options[form], **inscribed)


def to_pil_image(raster: Raster) -> Image.Image:
    """Make an image of 8 bits, row by row: 4 bytes for each pixel, and no other copy."""
    image = Image.new("RGB" if raster.channels == 3 else "RGBA", (raster.width, raster.height))
    for top, rows in raster.iterate_bands():
        image.paste(Image.fromarray(rows), (0, top))
    return image


def _text_options(form: str, text: str) -> dict[str, Any]:
    """Give Pillow's options that write a text where `read_embedded_text` finds it."""
    if form == "PNG":
        chunks = PngInfo()
        chunks.add_itxt(TEXT_KEY, text)
        return {"pnginfo": chunks}
    return {"tiffinfo": {XMP_TAG: pack_xmp(text)}} if form == "TIFF" else {"xmp": pack_xmp(text)}
