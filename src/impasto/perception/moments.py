"""Style statistics as sums, so that masks, blends of paintings and tiles simply add."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class Moments:
    """Sums over the positions of a feature map with C channels.

    `count` () is the number of positions, `total` (C,) the sum of the features F, `outer` (C, C) the sum of F F^T: the
    Gram matrix of Gatys et al. 2015. Moments of disjoint parts add up to those of the whole; `scaled` weighs a part.

    Example: gram = measure(features).second_moment
    """

    count: Tensor
    total: Tensor
    outer: Tensor

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(self.count + other.count, self.total + other.total, self.outer + other.outer)

    def scaled(self, weight: float | Tensor) -> "Moments":
        """Count every position `weight` times."""
        return Moments(self.count * weight, self.total * weight, self.outer * weight)

    @property
    def mean(self) -> Tensor:
        """The mean feature (C,)."""
        return self.total / self.count

    @property
    def second_moment(self) -> Tensor:
        """The Gram matrix per position (C, C)."""
        return self.outer / self.count

    @property
    def covariance(self) -> Tensor:
        """The covariance between channels (C, C)."""
        return self.second_moment - self.mean.outer(self.mean)

    @cached_property
    def deviation(self) -> Tensor:
        """The symmetric square root of the covariance (C, C); kept, as a target is asked for it at every step."""
        eigenvalues, vectors = torch.linalg.eigh(self.covariance)
        root: Tensor = (vectors * eigenvalues.clamp_min(0).sqrt()) @ vectors.T
        return root


def measure(features: Tensor, mask: Tensor | None = None) -> Moments:
    """Sum up a feature map (1, C, h, w); `mask` (1, 1, h, w) in [0, 1] says how much each position counts.

    The sums are float32 at least, whatever the precision of the features.
    """
    f = features.flatten(2)[0]  # (C, hw)
    f = f if f.is_floating_point() and f.element_size() >= 4 else f.float()
    if mask is None:
        return Moments(f.new_tensor(float(f.shape[1])), f.sum(1), f @ f.T)
    weights = mask.flatten(2)[0].to(f.dtype)  # (1, hw)
    weighed = f * weights
    return Moments(weights.sum(), weighed.sum(1), weighed @ f.T)
