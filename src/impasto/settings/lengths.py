"""How long paintings are, as a person writes it: relative to the canvas, in pixels, or auto."""

import math
from typing import Any, NamedTuple

RELATIVE_RANGE, PIXEL_RANGE = (0.05, 10.0), (16, 32768)
AUTO_RANGE = (0.6, 2.0)  # relative to the canvas, that auto chooses from


class Length(NamedTuple):
    """How long a painting's side is that `fit` goes by: so many pixels of the finished picture, or times its side.

    An automatic length has the largest value that may be chosen for a painting, until one is.
    """

    value: float
    in_pixels: bool = False
    is_auto: bool = False

    def to_pixels(self, side: float, finished: float) -> int:
        """Give the pixels beside a canvas of that side, which will have `finished` in the end."""
        return max(1, round(self.value * side / finished if self.in_pixels else self.value * side))


AUTO = Length(AUTO_RANGE[1], is_auto=True)


def parse_lengths(value: Any) -> Any:
    """Read `1,400px,auto` as (Length(1), Length(400, in_pixels=True), AUTO); a number alone is one length."""
    if isinstance(value, str):
        value = value.split(",")
    if isinstance(value, Length) or not isinstance(value, list | tuple):
        value = (value,)
    return tuple(map(_parse_length, value or ("",)))


def _parse_length(value: Any) -> Length:
    text = format_lengths((value,)) if isinstance(value, Length) else str(value).strip()
    if text == "auto":
        return AUTO
    pixels = text.endswith("px")
    try:
        number = float(text.removesuffix("px"))
    except ValueError:
        number = math.nan
    least, most = PIXEL_RANGE if pixels else RELATIVE_RANGE
    if not least <= number <= most:
        raise ValueError(
            f"takes sizes relative to the canvas, {RELATIVE_RANGE[0]:g} to {RELATIVE_RANGE[1]:g}, or in "
            f"pixels, {PIXEL_RANGE[0]}px to "
            f"{PIXEL_RANGE[1]}px, or auto, with commas between them; not {text!r}"
        )
    return Length(number, pixels)


def format_lengths(lengths: tuple[Length, ...]) -> str:
    """Write lengths as `parse_lengths` reads them."""
    return ",".join(map(_format_length, lengths))


def _format_length(length: Length) -> str:
    if length.is_auto:
        return "auto"
    return f"{repr(float(length.value)).removesuffix('.0')}{'px' if length.in_pixels else ''}"
