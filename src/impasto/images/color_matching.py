"""Matching colours before painting: one picture's mean and covariance, or histograms, given to another.

Pictures are (1, 3, H, W) sRGB in [0, 1], alphas (1, 1, H, W); what is transparent is left out of the statistics.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from impasto.images.color_spaces import CONVERSIONS, fit_into_gamut, multiply_channels
from impasto.settings.types import ColorMatch

MAX_SAMPLE_PIXELS = 1_000_000  # pixels that a larger picture is reduced to, about, by leaving out rows and columns
MIN_VARIANCE = 1e-5  # in any direction of the painting's colours: what has less is flat but for rounding


class Colors(NamedTuple):
    """The visible colours of a picture, `values` (3, N) or one channel (N), and how much each counts, `shares` (N).

    The shares are 1 in all.
    """

    values: Tensor
    shares: Tensor


def visible_colors(rgb: Tensor, alpha: Tensor | None = None) -> Colors | None:
    """List what is visible of a picture, as float64; None if nothing is."""
    every = math.ceil(math.sqrt(rgb.shape[2] * rgb.shape[3] / MAX_SAMPLE_PIXELS))
    values = rgb[0, :, ::every, ::every].flatten(1).double()  # (3, N)
    weights = torch.ones_like(values[0]) if alpha is None else alpha[0, 0, ::every, ::every].flatten().double()
    seen = weights > 0
    return Colors(values[:, seen], weights[seen] / weights.sum()) if bool(seen.any()) else None


def match_colors(painting: Tensor, source: Colors, goal: Colors, method: ColorMatch = "symmetric") -> Tensor:
    """Map the painting's colours so that `source`, what is visible of it, has the statistics of `goal`.

    `symmetric`, `cholesky` and `pca` match mean and covariance by an affine map; `histogram` goes on from `symmetric`
    and matches the quantiles of red, green and blue, which alone would tear the three apart and make up new hues.
    The results may lie outside [0, 1], see `into_range`. Directions in which the painting's colours don't vary stay so.

    Source: Gatys et al. 2017, "Controlling Perceptual Factors in Neural Style Transfer", section 5; `symmetric` is the
    linear Monge-Kantorovich map of Pitie and Kokaram 2007.

    Example: match_colors(painting, see(painting), see(photo), "pca")
    """
    if method != "histogram":
        return _match_moments(painting, source, goal, method)
    moved = _match_moments(painting, source, goal, "symmetric")
    values = _match_moments(source.values[None], source, goal, "symmetric")[0]
    channels = [
        _match_quantiles(channel, Colors(ours, source.shares), Colors(theirs, goal.shares))
        for channel, ours, theirs in zip(moved[0], values, goal.values, strict=True)
    ]
    return torch.stack(channels)[None]


def clamp_luma_first(rgb: Tensor) -> Tensor:
    """Bring (1, 3, H, W) into [0, 1]: luma clamped, then as much chroma as there can be, so that hues don't shift."""
    yuv = CONVERSIONS["yuv"].from_rgb(rgb)
    return fit_into_gamut(torch.cat([yuv[:, :1].clamp(0, 1), yuv[:, 1:]], 1), CONVERSIONS["yuv"])


def measure_colors(colors: Colors) -> tuple[Tensor, Tensor]:
    """Return the mean (3,) and the covariance (3, 3) of colours."""
    mean = colors.values @ colors.shares
    centred = colors.values - mean[:, None]
    return mean, (centred * colors.shares) @ centred.T


def _match_moments(colors: Tensor, source: Colors, goal: Colors, method: ColorMatch) -> Tensor:
    """Map colours (1, 3, ...) by the affine map that gives `source` the mean and covariance of `goal`."""
    (here, covariance), (there, wanted) = measure_colors(source), measure_colors(goal)
    here, there = (mean.to(colors).view(1, 3, *[1] * (colors.ndim - 2)) for mean in (here, there))
    return multiply_channels(_solve_color_map(covariance, wanted, method), colors - here) + there


def _solve_color_map(covariance: Tensor, wanted: Tensor, method: ColorMatch) -> Tensor:
    """Find A (3 x 3) with A covariance A^T = wanted."""
    root, inverse = _matrix_power(covariance, 0.5), _matrix_power(covariance, -0.5)
    if method == "pca":
        return _matrix_power(wanted, 0.5, 0.0) @ inverse
    if method == "symmetric":
        return inverse @ _matrix_power(root @ wanted @ root, 0.5, 0.0) @ inverse
    triangle: Tensor = _cholesky(_matrix_power(wanted, 0.5, 0.0)) @ torch.linalg.inv(_cholesky(root))
    return triangle


def _matrix_power(matrix: Tensor, exponent: float, least: float = MIN_VARIANCE) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    power: Tensor = (vectors * values.clamp_min(least) ** exponent) @ vectors.T
    return power


def _cholesky(root: Tensor) -> Tensor:
    """Cholesky's factor of root^2; unlike torch's it takes a singular matrix."""
    upper: Tensor = torch.linalg.qr(root).R
    return (upper * torch.where(upper.diagonal() < 0, -1.0, 1.0)[:, None]).T


def _match_quantiles(channel: Tensor, source: Colors, goal: Colors) -> Tensor:
    """Map one channel, of any shape, so that `source`, with values (N), has the quantiles of `goal`."""
    values, ranks = _quantile_ranks(source)
    levels, heights = _quantile_ranks(goal)
    return _interpolate(channel.double(), values, _interpolate(ranks, heights, levels)).to(channel)


def _quantile_ranks(colors: Colors) -> tuple[Tensor, Tensor]:
    """List the values that occur, growing, and the share of all that lies below each, its own counted half."""
    levels, where = torch.unique(colors.values, return_inverse=True)
    counts = torch.zeros_like(levels).index_add_(0, where, colors.shares)
    return levels, counts.cumsum(0) - counts / 2


def _interpolate(x: Tensor, places: Tensor, values: Tensor) -> Tensor:
    """Read at x what is `values` at the growing `places`, straight between them and level beyond."""
    above = torch.searchsorted(places, x.contiguous()).clamp(max=len(places) - 1)
    below = (above - 1).clamp_min(0)
    way = (x - places[below]) / (places[above] - places[below]).clamp_min(1e-12)
    return torch.lerp(values[below], values[above], way.clamp(0, 1))
