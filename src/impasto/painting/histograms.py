"""The distribution of each channel's values, and the style loss that compares distributions."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from impasto.images.quantiles import interpolate, rank_weights


@dataclass(frozen=True)
class Histogram:
    """The values of C channels at K positions: `values` (C, K), and how much each position counts, `weights` (K,).

    The sorted values and the last quantiles are cached, because a target is needed at every step.
    """

    values: Tensor
    weights: Tensor
    _last: dict[int, Tensor] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def energy(self) -> Tensor:
        """The weighted mean over positions of the feature vector's squared length, a scalar ()."""
        energy: Tensor = (self.values.square() @ self.weights).sum() / self.weights.sum()
        return energy

    @cached_property
    def _sorted(self) -> tuple[Tensor, Tensor]:
        values, order = self.values.sort(dim=1)
        return values, rank_weights(self.weights[order])

    def quantiles(self, ranks: Tensor) -> Tensor:
        """Return the values (C, M) that lie at `ranks` (C, M) in [0, 1], rising, between two of them in proportion."""
        values, positions = self._sorted
        return interpolate(ranks, positions, values)

    def at_even_ranks(self, count: int) -> Tensor:
        """Return the values (C, count) at `count` ranks that lie evenly."""
        if count not in self._last:
            self._last.clear()
            ranks = (torch.arange(count).to(self.values) + 0.5) / count
            self._last[count] = self.quantiles(ranks.expand(len(self.values), count).contiguous())
        return self._last[count]


def collect_histogram(features: Tensor, mask: Tensor | None = None) -> Histogram:
    """Return all values of a feature map (1, C, h, w); `mask` (1, 1, h, w) says how much each position counts."""
    values = _list_values(features)
    if mask is None:
        return Histogram(values, torch.ones_like(values[0]))
    weights = mask.flatten().to(values)
    seen = weights > 0
    return Histogram(values[:, seen], weights[seen])


def blend_histograms(histograms: Sequence[Histogram], shares: Sequence[float]) -> Histogram:
    """Merge histograms, each with the weight of its share, whatever its number of positions."""
    weights = [share * it.weights / it.weights.sum() for it, share in zip(histograms, shares, strict=True)]
    return Histogram(torch.cat([it.values for it in histograms], 1), torch.cat(weights))


def style_histogram(features: Tensor, painting: Histogram, mask: Tensor | None = None) -> Tensor:
    """Squared Wasserstein-2 distance of each channel's values from the painting's, as a share of its energy.

    `features` (1, C, h, w) are the canvas's; `mask` (1, 1, h, w) says how much each position counts. The smallest value
    is compared with the painting's smallest, the median with the median, and so on. Source: Risser, Wilmot and Barnes,
    "Stable and Controllable Neural Texture Synthesis and Style Transfer Using Histogram Losses", 2017; exact, without
    bins.
    """
    values, order = _list_values(features).sort(dim=1)
    if mask is None:
        distance = (values - painting.at_even_ranks(values.shape[1])).square().sum() / values.shape[1]
    else:
        weights = mask.flatten().to(values)[order]
        target = painting.quantiles(rank_weights(weights))
        distance = ((values - target).square() * weights).sum() / mask.sum()
    energy = painting.energy
    share: Tensor = distance / torch.where(energy > 0, energy, 1.0)
    return share


def _list_values(features: Tensor) -> Tensor:
    return features.flatten(2)[0].to(torch.promote_types(features.dtype, torch.float32))
