"""ICC profiles: the one that is written, and the way from others to sRGB."""

import functools
import io
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage
from PIL import ImageCms

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

MODES = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK"}  # ICC's color spaces as Pillow calls them


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
        if isinstance(data, bytes) and data:
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
