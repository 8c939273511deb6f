"""The photo's structure: which of its places are alike, whatever their colors and strokes.

A picture keeps the structure where places that are alike in the photo are alike in the picture too: the roof is one
thing, and the sky another. Unlike features, this says nothing of how either is painted, so it leaves the style free.

Source: Kolkin, Salavon and Shakhnarovich 2019, "Style Transfer by Relaxed Optimal Transport and Self-Similarity",
section 3.2. There self-similarities are compared by their distance, here by their correlation.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

GRID_SIDE = 24  # places along each side
MIN_LENGTH = 0.01  # of a place's features, of 1 on average: those of a flat photo are rounding errors
MIN_VARIANCE = 1e-4  # of the cosines


@dataclass(frozen=True, eq=False)
class Grid:
    """Where the places are on a tap's map of h x w cells: matrices (g, h) and (k, w) of what belongs to each place.

    `counts` (1, 1, g, k) is how much each place holds: the sum of its cells' weights.
    """

    down: Tensor
    across: Tensor
    counts: Tensor

    @staticmethod
    def make(height: int, width: int, rows: int, columns: int, weights: Tensor | None, like: Tensor) -> "Grid":
        """Divide a map of that size evenly; its cells have `weights` (1, 1, h, w), or count alike."""
        down, across = (_divide(*sides).to(like) for sides in ((height, rows), (width, columns)))
        cells = like.new_ones(1, 1, height, width) if weights is None else weights.to(like)
        return Grid(down, across, down @ cells @ across.T)

    def add_up(self, features: Tensor, weights: Tensor | None, rows: slice, columns: slice) -> Tensor:
        """Add up a part of a map (1, C, h, w), its cells weighted, in each place: (1, C, g, k). Parts add up."""
        seen = features.to(self.down) if weights is None else features.to(self.down) * weights.to(self.down)
        return self.down[:, rows] @ seen @ self.across[:, columns].T

    def average(self, sums: Tensor) -> Tensor:
        """Return the means of the places from their sums; 0 for a place that holds nothing."""
        return torch.where(self.counts > 0, sums / self.counts.clamp_min(1e-12), 0.0)


def choose_grid_size(map_sizes: Iterable[tuple[int, int]]) -> tuple[int, int]:
    """Return how many rows and columns of places maps of these sizes (h, w) have: no more than any has cells."""
    return tuple(min(GRID_SIDE, *sides) for sides in zip(*map_sizes, strict=True))


def measure_self_similarity(maps: Mapping[str, Tensor], counts: Tensor) -> Tensor:
    """Return the cosines (P, P) between the features of all P places, given their means (1, C, g, k) by tap.

    Each tap counts alike. The features are taken from their mean over the places, which count by `counts` (1, 1, g, k).
    """
    shares = counts.flatten() / counts.sum()
    flat = [places[0].flatten(1) for places in maps.values()]
    joined = torch.cat([places / (places.norm(dim=0) @ shares).clamp_min(1e-12) for places in flat])
    joined = normalize(joined - (joined @ shares)[:, None], dim=0, eps=MIN_LENGTH)
    return joined.T @ joined


def compare_structure(seen: Tensor, target: Tensor, counts: Tensor) -> Tensor:
    """Return 1 minus the correlation () of two self-similarities (P, P): 0 is the photo itself, about 1 unrelated."""
    counted = counts.flatten()
    pairs = (counted[:, None] * counted).fill_diagonal_(0.0)
    pairs = pairs / pairs.sum().clamp_min(1e-12)
    one, other = (each - (pairs * each).sum() for each in (seen, target))
    lengths = [(pairs * each.square()).sum().clamp_min(MIN_VARIANCE) for each in (one, other)]
    return 1 - (pairs * one * other).sum() / (lengths[0] * lengths[1]).sqrt()


def _divide(length: int, count: int) -> Tensor:
    """Return how much of each of `length` cells lies in each of `count` equal places (count, length)."""
    edges = torch.arange(count + 1, dtype=torch.float64) * length / count
    cells = torch.arange(length, dtype=torch.float64)
    ends = torch.minimum(edges[1:, None], cells + 1)
    return (ends - torch.maximum(edges[:-1, None], cells)).clamp_min(0.0)
