"""How large a picture is at each scale, and the one way to resize."""

import math

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from impasto.errors import UsageError
from impasto.settings.types import Fit


def measure_side(width: int, height: int, rule: Fit) -> float:
    """Give the side of a picture that a rule goes by, in pixels.

    `longest`, `shortest`, `width` and `height` are sides; `area` is the side of a square of the same area. `shrink`
    goes by the longest.
    """
    if rule == "area":
        return math.sqrt(width * height)
    sides = {"width": width, "height": height, "shortest": min(width, height)}
    return sides.get(rule, max(width, height))


def fit_size(width: int, height: int, side: int, rule: Fit = "longest") -> tuple[int, int]:
    """Give the width and height, in pixels, that keep the aspect with `side` as the side that the rule goes by.

    Each is at least 1. With `shrink`, a picture whose longest side is below `side` keeps its size. Raises UsageError
    where a side is below 1.

    Example: fit(4000, 3000, 512) == (512, 384); fit(4000, 3000, 512, "shortest") == (683, 512)
    """
    _check_sides(width, height, side)
    scale = side / measure_side(width, height, rule)
    if rule == "shrink":
        scale = min(1.0, scale)
    return max(1, round(width * scale)), max(1, round(height * scale))


def list_scale_sizes(size: int, start: int, step: float) -> list[int]:
    """Give the sides, in pixels, to paint at: growing, about `step` times from one to the next, last `size`.

    They are the sides that `fit` goes by. Counted down from `size`, so that the steps are even: the first is the one
    nearest to `start` by ratio. Raises UsageError where a side is below 1, or `step` is not above 1.

    Example: ladder(512, 128, 2**0.5) == [128, 181, 256, 362, 512]
    """
    _check_sides(size, start)
    if not (1 < step < math.inf):
        raise UsageError(f"scales can't grow by {step:g}: give a number above 1, such as 1.414")
    rungs = max(0, round(math.log(size / start, step)))
    return sorted({round(size / step**rung) for rung in range(rungs + 1)})  # a set: tiny sizes round to the same pixel


def resize(x: Tensor, width: int, height: int) -> Tensor:
    """Resize (B, C, H, W) to (B, C, height, width), bicubic and antialiased; `x` itself if that is its size.

    Bicubic overshoots at edges and nothing is clamped here: whoever needs [0, 1] clamps. Raises UsageError where a side
    is below 1.
    """
    _check_sides(width, height)
    if x.shape[-2:] == (height, width):
        return x
    return interpolate(x, size=(height, width), mode="bicubic", align_corners=False, antialias=True)


def resize_clamped(x: Tensor, width: int, height: int) -> Tensor:
    """Resize as `resize` does, with what overshoots brought back to [0, 1]; no copy more than that takes."""
    resized = resize(x, width, height)
    return resized.clamp(0, 1) if resized is x else resized.clamp_(0, 1)


def resize_wrapped(x: Tensor, width: int, height: int) -> Tensor:
    """Resize (B, C, H, W) as `resize` does, as if it were repeated without end on all sides: what tiles still does."""
    for dimension, new in ((2, height), (3, width)):
        old = x.shape[dimension]
        if old == new:
            continue
        # As many more on both sides as are a whole number of pixels in the new size too, and enough for the filter.
        unit = old // math.gcd(old, new)
        wanted = math.ceil(4 * max(1.0, old / new))
        more = unit * math.ceil(wanted / unit)
        around = torch.arange(-more, old + more, device=x.device) % old
        edge = more * new // old
        framed = x.index_select(dimension, around)
        sides = (framed.shape[3], new + 2 * edge) if dimension == 2 else (new + 2 * edge, framed.shape[2])
        x = resize(framed, *sides).narrow(dimension, edge, new)
    return x


def _check_sides(*sides: int) -> None:
    if min(sides) < 1:
        raise UsageError(f"a side of {min(sides)} pixels is no size: give at least 1")
