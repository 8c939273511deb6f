"""Total variation: how much neighboring pixels differ, in the forms of other programs."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

from impasto.painting.tiles import split_into_bands
from impasto.settings.types import Variation

MIN_SQUARED_STEP = 1e-24  # below it, the slope of a root counts as 0


def measure_variation(
    rgb: Tensor, kind: Variation, exponent: float, mask: Tensor | None = None, *, around: bool = False
) -> Tensor:
    """Return the total variation of a canvas (1, 3, H, W) in [0, 1]; `mask` (1, 1, H, W) says how much pixels count.

    With steps d down and r to the right, one pixel apart, and the exponent p: `mean`: mean |d|^p + mean |r|^p; `sum`:
    sum |d|^p + sum |r|^p; `isotropic`: mean (d^2 + r^2)^(p/2) over the pixels that have both; `isotropic_sum`: the sum
    of the same; `nine_point`: 2/3 of the means along the axes and 1/6 of those along the diagonals, with the border
    repeated. Steps are multiplied by the mask at both of their pixels; means are over all steps. `around` continues at
    the other side of the picture, for seamless ones.

    Source: Rudin, Osher and Fatemi 1992; Mahendran and Vedaldi 2015; the programs named in docs/reference/presets.md.
    """
    if kind == "mean" and exponent == 2 and not around:
        return total_variation(rgb, mask)
    return FORMS[kind](rgb, exponent, mask, around)


def total_variation(rgb: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean squared step from each pixel to the one below and the one to the right: (1, 3, H, W) in [0, 1].

    It is a mean, so that a weight means the same at every size. Source: Mahendran and Vedaldi 2015, with exponent 2.
    """
    variation: Tensor = _TotalVariation.apply(rgb, mask)  # type: ignore[no-untyped-call]
    return variation


def add_total_variation(rgb: Tensor, mask: Tensor | None, gradient: Tensor | None, weight: float = 1.0) -> Tensor:
    """Return `total_variation` times a weight, and add its gradient to `gradient` in place, in bands of rows."""
    value, height = rgb.new_zeros(()), rgb.shape[2]
    for band in split_into_bands(rgb):
        to_next = slice(band.start, min(band.stop + 1, height))
        for dimension, rows in ((2, to_next), (3, band)):
            steps = rgb[:, :, rows].diff(dim=dimension)
            pull = steps if mask is None else steps * _mask_steps(mask[:, :, rows], dimension).square()
            # A single row or column has no steps in one direction, and so no mean of them.
            size = rgb.shape[dimension]
            pull = pull / (max(1, rgb.numel() // size * (size - 1)) / weight)
            value += (steps * pull).sum()
            if gradient is not None:
                there, count = gradient[:, :, rows], steps.shape[dimension]
                there.narrow(dimension, 1, count).add_(pull, alpha=2)
                there.narrow(dimension, 0, count).sub_(pull, alpha=2)
    return value


def _sum_axes(rgb: Tensor, exponent: float, mask: Tensor | None, around: bool, *, mean: bool) -> Tensor:
    total = rgb.new_zeros(())
    for dimension in (2, 3):
        steps = _step(rgb, mask, dimension, around)
        total = total + _raise_root(steps.square(), exponent).sum() / (max(1, steps.numel()) if mean else 1)
    return total


def _sum_isotropic(rgb: Tensor, exponent: float, mask: Tensor | None, around: bool, *, mean: bool) -> Tensor:
    down, right = _step(rgb, mask, 2, around), _step(rgb, mask, 3, around)
    if not around:
        down, right = down[..., :-1], right[..., :-1, :]
    steps = _raise_root(down.square() + right.square(), exponent)
    return steps.sum() / (max(1, steps.numel()) if mean else 1)


def _nine_point(rgb: Tensor, exponent: float, mask: Tensor | None, around: bool) -> Tensor:
    look = _neighbors_around if around else _neighbors
    framed = rgb if around else pad(rgb, (1, 1, 1, 1), "replicate")
    seen = framed.new_ones(()).expand_as(framed)
    if mask is not None:
        seen = mask if around else pad(mask, (1, 1, 1, 1), "replicate")
    total = rgb.new_zeros(())
    for down, right, weight in ((0, 1, 1 / 3), (1, 0, 1 / 3), (1, 1, 1 / 12), (1, -1, 1 / 12)):
        first, second = look(framed, down, right)
        one, other = look(seen, down, right)
        total = total + weight * _raise_root(((second - first) * one * other).square(), exponent).mean()
    return 2 * total


def _neighbors(framed: Tensor, down: int, right: int) -> tuple[Tensor, Tensor]:
    """Return all pixels, and those so far below and to the right of them, in a picture with a frame of one pixel."""
    if not (down and right):
        framed = framed[..., 1 : framed.shape[2] - (not down), 1 : framed.shape[3] - (not right)]
    height, width = framed.shape[2] - down, framed.shape[3] - abs(right)
    left = max(0, -right)
    first = framed[..., :height, left : left + width]
    return first, framed[..., down : down + height, left + right : left + right + width]


def _neighbors_around(x: Tensor, down: int, right: int) -> tuple[Tensor, Tensor]:
    """Return all pixels, and for each the one so far below and to the right, wrapping around the border."""
    return x, x.roll((-down, -right), (2, 3))


FORMS: Mapping[Variation, Callable[[Tensor, float, Tensor | None, bool], Tensor]] = {
    "mean": partial(_sum_axes, mean=True),
    "sum": partial(_sum_axes, mean=False),
    "isotropic": partial(_sum_isotropic, mean=True),
    "isotropic_sum": partial(_sum_isotropic, mean=False),
    "nine_point": _nine_point,
}


def _raise_root(squared: Tensor, exponent: float) -> Tensor:
    """Return the square root of `squared` to a power."""
    if exponent == 2:
        return squared
    return torch.where(squared > MIN_SQUARED_STEP, squared.clamp_min(MIN_SQUARED_STEP) ** (exponent / 2), 0.0)


class _TotalVariation(torch.autograd.Function):
    """Total variation and its gradient at once: autograd would keep eight copies of the canvas."""

    @staticmethod
    def forward(ctx: Any, rgb: Tensor, mask: Tensor | None) -> Tensor:
        ctx.gradient = torch.zeros_like(rgb)
        return add_total_variation(rgb, mask, ctx.gradient)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.gradient * gradient, None


def _step(rgb: Tensor, mask: Tensor | None, dimension: int, around: bool) -> Tensor:
    if around:  # one more step, from the last pixel to the first
        rgb = torch.cat([rgb, rgb.narrow(dimension, 0, 1)], dimension)
        mask = None if mask is None else torch.cat([mask, mask.narrow(dimension, 0, 1)], dimension)
    steps = rgb.diff(dim=dimension)
    return steps if mask is None else steps * _mask_steps(mask, dimension)


def _mask_steps(mask: Tensor, dimension: int) -> Tensor:
    """Return the mask of the steps between neighbors: the product of both pixels' masks."""
    steps = mask.shape[dimension] - 1
    return mask.narrow(dimension, 1, steps) * mask.narrow(dimension, 0, steps)
