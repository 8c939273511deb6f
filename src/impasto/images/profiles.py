"""ICC profiles: the one that is written, those that files have or imply, and the way from them to sRGB."""

import functools
import io
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, ImageCms
from PIL import Image as PilImage

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

MODES = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK"}  # ICC's color spaces as Pillow calls them

# Chromaticities x, y of white, red, green and blue
SRGB_CORNERS = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
ADOBE_RGB_CORNERS = (0.3127, 0.3290, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
SRGB_GAMMA = 1 / 2.2  # as PNG writes it: files that mean sRGB say so
EXIF_ADOBE_RGB = 2  # the color space of some cameras, beside those of EXIF
D50 = np.array([0.9642, 1, 0.8249])
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


class Profile(NamedTuple):
    """A usable profile: Pillow's mode of the colors that it describes, and their transform to 8-bit sRGB, by rows."""

    mode: str
    to_srgb: Callable[[Bytes], Bytes]


@functools.cache
def make_srgb_profile() -> bytes:
    """Return the sRGB profile that is written into pictures, with a fixed date: equal pictures are equal files."""
    made = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return made[:24] + struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + made[36:]


@functools.cache
def open_srgb() -> ImageCms.ImageCmsProfile:
    """Return the sRGB profile as littleCMS uses it."""
    return ImageCms.ImageCmsProfile(io.BytesIO(make_srgb_profile()))


def open_profile(data: object, channels: int) -> Profile | None:
    """Open the ICC profile of an image of 1, 3 or 4 (CMYK) channels; None where its colors are left as they are.

    That is where the profile is missing, broken or of other channels, and where it hardly differs from sRGB: a
    transform to 8 bits would only cost precision. A gray image may have an RGB profile.
    """
    with suppress(ImageCms.PyCMSError, OSError):
        if isinstance(data, bytes) and data not in (b"", make_srgb_profile()):
            opened = ImageCms.ImageCmsProfile(io.BytesIO(data))
            mode = MODES.get(opened.profile.xcolor_space.strip(), "")
            if len(mode) == channels or (mode, channels) == ("RGB", 1):
                profile = Profile(mode, _make_transform(mode, opened))
                return None if _is_nearly_srgb(profile) else profile
    return None


def _make_transform(mode: str, profile: ImageCms.ImageCmsProfile) -> Callable[[Bytes], Bytes]:
    intent, flags = ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.BLACKPOINTCOMPENSATION
    transform = ImageCms.buildTransform(profile, open_srgb(), mode, "RGB", intent, flags)

    def apply(values: Bytes) -> Bytes:
        image = PilImage.frombytes(mode, (values.shape[1], values.shape[0]), values.tobytes())
        return np.asarray(transform.apply(image))

    return apply


def _is_nearly_srgb(profile: Profile) -> bool:
    if profile.mode == "CMYK":
        return False
    steps = np.linspace(0, 255, 9 if profile.mode == "RGB" else 256).round().astype(np.uint8)
    grid = np.meshgrid(*[steps] * len(profile.mode))
    probe = np.stack(grid, axis=-1).reshape(1, -1, len(profile.mode))
    return bool(np.abs(profile.to_srgb(probe).astype(int) - probe).max() <= 1)


def find_profile(info: Mapping[Any, Any], exif: PilImage.Exif) -> bytes | None:
    """Return the ICC profile of an image, or one made of what else tells its color space; None for sRGB.

    `info` is Pillow's. In PNG a profile comes before the chunk sRGB, and that before gAMA and cHRM. Source: Portable
    Network Graphics, third edition, 4.3; for EXIF, DCF 2.0: a camera's Adobe RGB is told by the index R03.
    """
    if profile := info.get("icc_profile"):
        return profile if isinstance(profile, bytes) else None
    if "srgb" not in info and ("gamma" in info or "chromaticity" in info):
        gamma, corners = info.get("gamma", SRGB_GAMMA), tuple(info.get("chromaticity", SRGB_CORNERS))
        is_srgb = np.allclose(corners, SRGB_CORNERS, atol=0.005) and abs(gamma / SRGB_GAMMA - 1) < 0.05
        return None if is_srgb or not 0.05 < gamma < 5 else make_profile(corners, 1 / gamma)
    with suppress(Exception):  # damaged EXIF
        index = exif.get_ifd(ExifTags.IFD.Interop).get(ExifTags.Interop.InteropIndex, "")
        color_space = exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.ColorSpace)
        if color_space == EXIF_ADOBE_RGB or str(index).startswith("R03"):
            return make_profile(ADOBE_RGB_CORNERS, 563 / 256)
    return None


def make_profile(corners: tuple[float, ...], gamma: float) -> bytes:
    """Make an ICC profile, version 4, of a power curve and the chromaticities x, y of white, red, green and blue.

    Source: ICC.1:2022, with the linear Bradford adaptation to D50 of its annex E.
    """
    xyz = np.array([(x / y, 1, (1 - x - y) / y) for x, y in zip(corners[::2], corners[1::2], strict=True)])
    white, primaries = xyz[0], xyz[1:].T
    cones = np.diag((BRADFORD @ D50) / (BRADFORD @ white))
    adapted = np.linalg.inv(BRADFORD) @ cones @ BRADFORD @ primaries * np.linalg.solve(primaries, white)
    curve = b"para" + struct.pack(">4xHHi", 0, 0, round(gamma * 65536))
    points = dict(zip((b"wtpt", b"rXYZ", b"gXYZ", b"bXYZ"), (D50, *adapted.T), strict=True))
    tags = {
        name: b"XYZ " + struct.pack(">4x3i", *(point * 65536).round().astype(int)) for name, point in points.items()
    }
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    start = 128 + 4 + 12 * len(tags)
    table = b"".join(
        name + struct.pack(">II", start + 20 * at, len(value)) for at, (name, value) in enumerate(tags.items())
    )
    body = struct.pack(">I", len(tags)) + table + b"".join(value.ljust(20, b"\0") for value in tags.values())
    head = struct.pack(">I4xI4s4s4s12x4s28x3i", 128 + len(body), 0x04400000, b"mntr", b"RGB ", b"XYZ ", b"acsp",
                       *(D50 * 65536).round().astype(int))  # fmt: skip
    return head.ljust(128, b"\0") + body
