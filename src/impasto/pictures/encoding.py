"""Pixels to the bytes of a PNG, JPEG, WebP or TIFF file, with a colour profile and an inscription."""

from typing import Any, BinaryIO

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from impasto.pictures.inscriptions import KEY, XMP_TAG, pack_xmp
from impasto.pictures.raster import Raster
from impasto.pictures.sixteen_bit import write_png, write_tiff


def encode(
    file: BinaryIO, raster: Raster, form: str, *, profile: bytes, quality: int = 95, inscription: str = ""
) -> None:
    """Write a picture of 8 or, as PNG or TIFF, 16 bits; `form` is one of `FORMATS`' values.

    `quality` is 1 to 100, for JPEG and WebP; `inscription` is for `read_inscription`.
    """
    if raster.bits == 16:
        (write_png if form == "PNG" else write_tiff)(file, raster, profile, inscription)
        return
    options: dict[str, dict[str, Any]] = {
        "PNG": {},
        "JPEG": {"quality": quality, "subsampling": 0, "optimize": True},
        "WEBP": {"quality": quality, "lossless": quality == 100, "exact": True},  # exact: colour under transparency
        "TIFF": {"compression": "tiff_adobe_deflate"},
    }
    inscribed = _inscribe(form, inscription) if inscription else {}
    assemble(raster).save(file, form, icc_profile=profile, **options[form], **inscribed)


def assemble(raster: Raster) -> Image.Image:
    """Make an image of 8 bits, row by row: 4 bytes for each pixel, and no other copy."""
    image = Image.new("RGB" if raster.channels == 3 else "RGBA", (raster.width, raster.height))
    for top, rows in raster.bands():
        image.paste(Image.fromarray(rows), (0, top))
    return image


def _inscribe(form: str, text: str) -> dict[str, Any]:
    """Give Pillow's options that write a text where `read_inscription` finds it."""
    if form == "PNG":
        chunks = PngInfo()
        chunks.add_itxt(KEY, text)
        return {"pnginfo": chunks}
    return {"tiffinfo": {XMP_TAG: pack_xmp(text)}} if form == "TIFF" else {"xmp": pack_xmp(text)}
