"""Pixels to the bytes of a PNG, JPEG, WebP or TIFF file, with a colour profile and an inscription."""

from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from impasto.pictures.inscriptions import KEY, XMP_TAG, pack_xmp
from impasto.pictures.sixteen_bit import write_png, write_tiff


def encode(
    file: BinaryIO, pixels: NDArray[Any], form: str, *, profile: bytes, quality: int = 95, inscription: str = ""
) -> None:
    """Write (H, W, 3 or 4) of 8 or, as PNG or TIFF, 16 bits; `form` is one of `FORMATS`' values.

    `quality` is 1 to 100, for JPEG and WebP; `inscription` is for `read_inscription`.
    """
    if pixels.dtype == np.uint16:
        (write_png if form == "PNG" else write_tiff)(file, pixels, profile, inscription)
        return
    options: dict[str, dict[str, Any]] = {
        "PNG": {},
        "JPEG": {"quality": quality, "subsampling": 0, "optimize": True},
        "WEBP": {"quality": quality, "lossless": quality == 100, "exact": True},  # exact: colour under transparency
        "TIFF": {"compression": "tiff_adobe_deflate"},
    }
    inscribed = _inscribe(form, inscription) if inscription else {}
    Image.fromarray(pixels).save(file, form, icc_profile=profile, **options[form], **inscribed)


def _inscribe(form: str, text: str) -> dict[str, Any]:
    """Give Pillow's options that write a text where `read_inscription` finds it."""
    if form == "PNG":
        chunks = PngInfo()
        chunks.add_itxt(KEY, text)
        return {"pnginfo": chunks}
    return {"tiffinfo": {XMP_TAG: pack_xmp(text)}} if form == "TIFF" else {"xmp": pack_xmp(text)}
