"""Matching colors before painting: one picture's mean and covariance, or histograms, given to another.

Pictures are (1, 3, H, W) sRGB in [0, 1], alphas (1, 1, H, W); transparent pixels are left out of the statistics.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from impasto.images.color_spaces import CONVERSIONS, fit_into_gamut, multiply_channels
from impasto.images.quantiles import interpolate, rank_weights
from impasto.settings.types import ColorMatch

MAX_SAMPLE_PIXELS = 1_000_000  # about: of larger pictures, rows and columns are left out
MIN_VARIANCE = 1e-5  # in any direction of the painting's colors: below, they are flat but for rounding


class Colors(NamedTuple):
    """The visible colors of a picture: `values` (3, N) and their weights, `shares` (N,), which sum to 1."""

    values: Tensor
    shares: Tensor


def visible_colors(rgb: Tensor, alpha: Tensor | None = None) -> Colors | None:
    """Return the visible colors of a picture as float64; None if there are none."""
    step = math.ceil(math.sqrt(rgb.shape[2] * rgb.shape[3] / MAX_SAMPLE_PIXELS))
    values = rgb[0, :, ::step, ::step].flatten(1).double()  # (3, N)
    weights = torch.ones_like(values[0]) if alpha is None else alpha[0, 0, ::step, ::step].flatten().double()
    is_visible = weights > 0
    return Colors(values[:, is_visible], weights[is_visible] / weights.sum()) if bool(is_visible.any()) else None


def match_colors(
    painting: Tensor,
    source: Colors,
    goal: Colors,
    method: ColorMatch = "symmetric",
    min_variance: float = MIN_VARIANCE,
) -> Tensor:
    """Map the painting's colors so that `source`, its visible colors, gets the statistics of `goal`.

    `symmetric`, `cholesky` and `pca` match mean and covariance by an affine map. `histogram` matches the quantiles of
    red, green and blue after `symmetric`: alone it would pull the channels apart and invent hues. The result may lie
    outside [0, 1], see `clamp_luma_first`. Directions in which the painting's colors vary by less than `min_variance`
    stay flatter than the goal.

    Source: Gatys et al. 2017, "Controlling Perceptual Factors in Neural Style Transfer", section 5; `symmetric` is the
    linear Monge-Kantorovich map of Pitie and Kokaram 2007.

    Example: match_colors(painting, visible_colors(painting), visible_colors(photo), "pca")
    """
    if method != "histogram":
        return _match_moments(painting, source, goal, method, min_variance)
    moved = _match_moments(painting, source, goal, "symmetric")[0]
    values = _match_moments(source.values[None], source, goal, "symmetric")[0]
    channels = [
        _match_quantiles(channel, ours, source.shares, theirs, goal.shares)
        for channel, ours, theirs in zip(moved, values, goal.values, strict=True)
    ]
    return torch.stack(channels)[None]


def clamp_luma_first(rgb: Tensor) -> Tensor:
    """Bring (1, 3, H, W) into [0, 1]: luma clamped, then as much chroma as fits, so that hues don't shift."""
    yuv = CONVERSIONS["yuv"].from_rgb(rgb)
    return fit_into_gamut(torch.cat([yuv[:, :1].clamp(0, 1), yuv[:, 1:]], 1), CONVERSIONS["yuv"])


def measure_colors(colors: Colors) -> tuple[Tensor, Tensor]:
    """Return the mean (3,) and the covariance (3, 3) of colors."""
    mean = colors.values @ colors.shares
    centered = colors.values - mean[:, None]
    return mean, (centered * colors.shares) @ centered.T


def _match_moments(
    colors: Tensor, source: Colors, goal: Colors, method: ColorMatch, min_variance: float = MIN_VARIANCE
) -> Tensor:
    """Map colors (1, 3, ...) by the affine map that gives `source` the mean and covariance of `goal`."""
    (source_mean, covariance), (goal_mean, wanted) = measure_colors(source), measure_colors(goal)
    shape = (1, 3, *[1] * (colors.ndim - 2))
    matrix = _solve_color_map(covariance, wanted, method, min_variance)
    return multiply_channels(matrix, colors - source_mean.to(colors).view(shape)) + goal_mean.to(colors).view(shape)


def _solve_color_map(covariance: Tensor, wanted: Tensor, method: ColorMatch, min_variance: float) -> Tensor:
    """Find A (3 x 3) with A covariance A^T = wanted."""
    root, inverse = (_matrix_power(covariance, exponent, min_variance) for exponent in (0.5, -0.5))
    if method == "pca":
        return _matrix_power(wanted, 0.5, 0.0) @ inverse
    if method == "symmetric":
        return inverse @ _matrix_power(root @ wanted @ root, 0.5, 0.0) @ inverse
    solved: Tensor = _cholesky(_matrix_power(wanted, 0.5, 0.0)) @ torch.linalg.inv(_cholesky(root))
    return solved


def _matrix_power(matrix: Tensor, exponent: float, min_eigenvalue: float) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    power: Tensor = (vectors * values.clamp_min(min_eigenvalue) ** exponent) @ vectors.T
    return power


def _cholesky(root: Tensor) -> Tensor:
    """Return the Cholesky factor of root^2; torch's takes no singular matrix."""
    upper: Tensor = torch.linalg.qr(root).R
    return (upper * torch.where(upper.diagonal() < 0, -1.0, 1.0)[:, None]).T


def _match_quantiles(channel: Tensor, values: Tensor, shares: Tensor, goal: Tensor, goal_shares: Tensor) -> Tensor:
    """Map a channel of any shape so that its visible `values` (N,) get the quantiles of `goal` (M,)."""
    levels, ranks = _rank_levels(values, shares)
    goal_levels, goal_ranks = _rank_levels(goal, goal_shares)
    mapped = interpolate(channel.double().flatten(), levels, interpolate(ranks, goal_ranks, goal_levels))
    return mapped.view(channel.shape).to(channel)


def _rank_levels(values: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
    """Return the values that occur, rising, and their ranks."""
    levels, indices = torch.unique(values, return_inverse=True)
    return levels, rank_weights(torch.zeros_like(levels).index_add_(0, indices, shares))
