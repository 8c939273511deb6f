"""The optimal map between features' moments and a painting's: what carries a photo's features to its style."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from impasto.network.moments import Moments, measure_moments, solve_symmetric

RIDGE = 3e-3  # of the mean eigenvalue of the painting's covariance: added to both covariances
MIN_RIDGE = 1e-4  # of a flat painting's; slim's features are about 1
MIN_CONTENT = 0.1  # of the painting's variance, to which a flat photo's is raised: its grain must not be amplified
MIN_EIGENVALUE = 1e-6  # of the largest
StyleMap = tuple[Tensor, Tensor, Tensor]  # A (C, C), c (C,) and the amount of change ()
MAX_AMOUNT = 2.0  # that a decoder was told in its training
BAND_CELLS = 2**20  # of a map that are carried at once


@dataclass(frozen=True)
class StyleTarget:
    """A painting's moments at a level, and the root of its covariance that every map to them needs."""

    moments: Moments

    @property
    def mean(self) -> Tensor:
        """The mean feature (C,)."""
        return self.moments.mean

    @cached_property
    def ridge(self) -> Tensor:
        """What is added to the eigenvalues of both covariances ()."""
        return (RIDGE * self.moments.covariance.diagonal().mean()).clamp_min(MIN_RIDGE)

    @cached_property
    def root(self) -> Tensor:
        """The square root of the covariance and its ridge (C, C)."""
        return take_power(add_ridge(self.moments.covariance, self.ridge), 0.5)


def add_ridge(covariance: Tensor, ridge: Tensor) -> Tensor:
    """Add a ridge () to a covariance (C, C)."""
    return covariance + ridge * torch.eye(len(covariance)).to(covariance)


def take_power(matrix: Tensor, power: float) -> Tensor:
    """Return the power of a symmetric positive matrix (C, C).

    Eigenvalues as small as MIN_EIGENVALUE are rounding errors in float32, which differ from machine to machine.
    """
    precise = matrix if matrix.device.type == "mps" else matrix.double()  # mps has no float64
    values, vectors = solve_symmetric(torch.linalg.eigh, precise)
    raised: Tensor = (vectors * values.clamp_min(MIN_EIGENVALUE * values[-1]).pow(power)) @ vectors.mT
    return raised.to(matrix)


def find_map(content: Moments, style: StyleTarget, strength: float) -> StyleMap:
    """Return A (C, C), c (C,) and the amount of change () of y = x A + c, `strength` of the way to the style.

    T = R (R C R)^-1/2 R with R = S^1/2 is the optimal map between normal distributions of covariances C and S. The
    amount is the root of the mean squared change over the features' variance.

    Source: Lu et al., "A Closed-form Solution to Universal Style Transfer", 2019.
    """
    if not float(content.count):  # nothing is there to be carried
        identity = torch.eye(len(style.mean)).to(style.mean)
        return identity, 0 * style.mean, 0 * style.ridge
    covariance, root = content.covariance, style.root.to(content.covariance)  # style files are float32
    wanted, found = (each.diagonal().mean() for each in (style.moments.covariance, covariance))
    lacking = (MIN_CONTENT - found / wanted.clamp_min(MIN_RIDGE)).clamp_min(0)
    known = add_ridge(covariance + lacking * style.moments.covariance, style.ridge)
    matrix = root @ take_power(root @ known @ root, -0.5) @ root
    identity = torch.eye(len(matrix)).to(matrix)
    mixed = torch.lerp(identity, matrix, strength)
    change, shift = mixed - identity, strength * (style.mean - content.mean)
    moved = ((change @ covariance) * change).sum() + shift.square().sum()
    amount = (moved / (covariance.diagonal().sum() + 1e-8)).clamp_min(0).sqrt().clamp_max(MAX_AMOUNT)
    return mixed, content.mean + shift - content.mean @ mixed, amount


def measure_features(features: Tensor, mask: Tensor | None = None) -> Moments:
    """Sum up a map (1, C, h, w) in float64: a flat photo's predicted features may have means a thousand times the rest.

    In float32 the covariance would have eigenvalues far below 0, and a map would amplify rounding errors to stripes.
    """
    precise = torch.float32 if features.device.type == "mps" else torch.float64  # which mps has not
    return measure_moments(features.to(precise), None if mask is None else mask.to(precise))


def carry(features: Tensor, maps: Sequence[tuple[Tensor | None, Tensor, Tensor]]) -> None:
    """Carry a channels_last map (1, C, h, w) in place: x + sum of m (x A + c - x), for masks m (1, 1, h, w) or None."""
    _, channels, height, width = features.shape
    rows = max(1, BAND_CELLS // width)
    for top in range(0, height, rows):
        band = features[:, :, top : top + rows]
        x = band.permute(0, 2, 3, 1).reshape(-1, channels)
        y = x
        for mask, matrix, offset in maps:
            if mask is None:  # the only one
                y = torch.addmm(offset.to(x), x, matrix.to(x))
                continue
            change = torch.addmm(offset.to(x), x, (matrix - torch.eye(channels).to(matrix)).to(x))
            y = y + mask[:, :, top : top + rows].reshape(-1, 1).to(x) * change
        band.copy_(y.view(1, -1, width, channels).permute(0, 3, 1, 2))
