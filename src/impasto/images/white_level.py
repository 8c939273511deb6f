"""How bright white is where a file does not say so: in floats, and in whole numbers of 32 bits."""

import numpy as np

from impasto.errors import PictureError
from impasto.images.profiles import Floats

USUAL_WHITES = (255.0, 65535.0, 2.0**31)
USUAL_BITS = (8, 10, 12)  # of what cameras and scanners measure, and some programs leave so in 16
MAX_OVERSHOOT = 1.25  # over white, as sharpening leaves it


def scale_to_white(values: Floats, name: str, *, is_float: bool) -> tuple[Floats, tuple[str, ...]]:
    """Scale numbers to [0, 1], and cut those beyond; returns also what to tell the user about it.

    White is the smallest usual one that none exceeds by much. For floats, it is 1 where half of a picture is at most 1,
    however bright its lights are. Raises PictureError for numbers that are not finite.
    """
    if not np.isfinite(values).all():
        raise PictureError(f"{name} holds values that are no numbers (NaN or infinite): repair it first")
    brightest = float(values.max())
    overshoot = MAX_OVERSHOOT if is_float else 1
    white = next((white for white in USUAL_WHITES if brightest <= overshoot * white), brightest)
    if is_float and (brightest <= 1 or float(np.median(values[values > 0])) <= 1):
        white = 1.0
    scaled = np.clip(values / np.float32(white), 0, 1)
    if white == 1 and brightest <= 1:
        return scaled, ()
    return scaled, (f"{name} does not say how bright white is: it is taken to be {white:g}, of up to {brightest:g}",)


def describe_dark(brightest: float, name: str) -> tuple[str, ...]:
    """Say of a file of 16 bits whose numbers are at most `brightest` that it may hold numbers of fewer bits."""
    bits = next((bits for bits in USUAL_BITS if 0 < brightest < 2**bits), None)
    if bits is None:
        return ()
    return (
        f"{name} is nearly black, its brightest value is {brightest:.0f} of 65535: it may hold {bits}-bit numbers; "
        f"multiply all by {2 ** (16 - bits)} in the program that it comes from, and paint that",
    )
