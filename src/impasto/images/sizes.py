"""The size of a picture at each scale, and resizing."""

import math

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from impasto.errors import UsageError
from impasto.settings.types import Fit


def measure_side(width: int, height: int, rule: Fit) -> float:
    """Return the side of a picture that a rule measures, in pixels.

    `area` measures the side of a square of the same area, `shrink` the longest side; the others measure what they
    are called.
    """
    if rule == "area":
        return math.sqrt(width * height)
    sides = {"width": width, "height": height, "shortest": min(width, height)}
    return sides.get(rule, max(width, height))


def fit_size(width: int, height: int, side: int, rule: Fit = "longest") -> tuple[int, int]:
    """Return the width and height, in pixels, of the same aspect where the side that the rule measures is `side`.

    Each is at least 1. With `shrink`, a picture whose longest side is below `side` keeps its size. Raises UsageError
    where a side is below 1.

    Example: fit_size(4000, 3000, 512) == (512, 384); fit_size(4000, 3000, 512, "shortest") == (683, 512)
    """
    _check_sides(width, height, side)
    scale = side / measure_side(width, height, rule)
    if rule == "shrink":
        scale = min(1.0, scale)
    return max(1, round(width * scale)), max(1, round(height * scale))


def find_expected_size(size: tuple[int, int], reference: tuple[int, int]) -> tuple[int, int] | None:
    """Return the size, with this longer side, that has the reference's aspect; None if `size` is that, to a pixel.

    Example: find_expected_size((512, 300), (4000, 3000)) == (512, 384)
    """
    expected = fit_size(*reference, max(size))
    is_same = all(abs(ours - theirs) <= 1 for ours, theirs in zip(size, expected, strict=True))
    return None if is_same else expected


def list_scale_sizes(size: int, start: int, step: float) -> list[int]:
    """List the sides, in pixels, of all scales: each about `step` times the one before, the last `size`.

    They are sides as `fit_size` takes them. The ratios are even: the first side is the one nearest to `start` by ratio.
    Raises UsageError where a side is below 1, or `step` is not above 1.

    Example: list_scale_sizes(512, 128, 2**0.5) == [128, 181, 256, 362, 512]
    """
    _check_sides(size, start)
    if not (1 < step < math.inf):
        raise UsageError(f"scales can't grow by {step:g}: give a number above 1, such as 1.414")
    smaller = max(0, round(math.log(size / start, step)))
    return sorted({round(size / step**power) for power in range(smaller + 1)})  # a set: tiny sizes may round to one


def resize(x: Tensor, width: int, height: int) -> Tensor:
    """Resize (B, C, H, W) to (B, C, height, width), bicubic and antialiased; `x` itself if that is its size.

    Bicubic overshoots at edges, and nothing is clamped here, see `resize_clamped`. Raises UsageError where a side is
    below 1.
    """
    _check_sides(width, height)
    if x.shape[-2:] == (height, width):
        return x
    return interpolate(x, size=(height, width), mode="bicubic", align_corners=False, antialias=True)


def resize_clamped(x: Tensor, width: int, height: int) -> Tensor:
    """Resize as `resize` does, clamped to [0, 1] without another copy."""
    resized = resize(x, width, height)
    return resized.clamp(0, 1) if resized is x else resized.clamp_(0, 1)


def resize_wrapped(x: Tensor, width: int, height: int) -> Tensor:
    """Resize (B, C, H, W) as `resize` does, as if it repeated endlessly on all sides: seamless tiles stay seamless."""
    for dimension, new in ((2, height), (3, width)):
        old = x.shape[dimension]
        if old == new:
            continue
        # The margin is wide enough for the filter, and a whole number of pixels at both sizes.
        unit = old // math.gcd(old, new)
        margin = unit * math.ceil(math.ceil(4 * max(1.0, old / new)) / unit)
        new_margin = margin * new // old
        padded = x.index_select(dimension, torch.arange(-margin, old + margin, device=x.device) % old)
        padded_new = new + 2 * new_margin
        sides = (padded.shape[3], padded_new) if dimension == 2 else (padded_new, padded.shape[2])
        x = resize(padded, *sides).narrow(dimension, new_margin, new)
    return x


def _check_sides(*sides: int) -> None:
    if min(sides) < 1:
        raise UsageError(f"a side of {min(sides)} pixels is no size: give at least 1")
