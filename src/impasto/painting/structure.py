"""The photo's structure: which of its places are alike, whatever their colors and strokes.

A picture keeps the structure where places that are alike in the photo are alike in the picture too: the roof is one
thing, and the sky another. Unlike features, this says nothing of how either is painted, so it leaves the style free.

Source: Kolkin, Salavon and Shakhnarovich 2019, "Style Transfer by Relaxed Optimal Transport and Self-Similarity",
section 3.2. There self-similarities are compared by their distance, here by their correlation.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from impasto.network.vgg import Network
from impasto.painting.tiles import Tile

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
        positions = seen[0].permute(1, 2, 0)  # (h, w, C), as it lies in memory
        _, width, channels = positions.shape
        added = self.down[:, rows] @ positions.reshape(-1, width * channels)
        added = self.across[:, columns] @ added.view(-1, width, channels)  # (g, k, C)
        return added.permute(2, 0, 1)[None]

    def average(self, sums: Tensor) -> Tensor:
        """Return the means of the places from their sums; 0 for a place that holds nothing."""
        return torch.where(self.counts > 0, sums / self.counts.clamp_min(1e-12), 0.0)


def measure_self_similarity(maps: Mapping[str, Tensor], counts: Tensor) -> Tensor:
    """Return the cosines (P, P) between the features of all P places, given their means (1, C, g, k) by tap.

    Each tap counts alike. The features are taken from their mean over the places, which count by `counts` (1, 1, g, k).
    """
    shares = counts.flatten() / counts.sum()
    flat = [places[0].flatten(1) for places in maps.values()]
    joined = torch.cat([places / (places.norm(dim=0) @ shares).clamp_min(1e-12) for places in flat])
    joined = normalize(joined - (joined @ shares)[:, None], dim=0, eps=MIN_LENGTH)
    return joined.T @ joined


@dataclass(frozen=True, eq=False)
class StructureTarget:
    """A self-similarity to compare with: the weights of its pairs of places (P, P), and its values, standardized."""

    pairs: Tensor
    values: Tensor

    @staticmethod
    def make(similarity: Tensor, counts: Tensor) -> "StructureTarget":
        """Make the target of a self-similarity (P, P) of places that count by `counts` (1, 1, g, k)."""
        flat = counts.flatten()
        pairs = (flat[:, None] * flat).fill_diagonal_(0.0)
        pairs = pairs / pairs.sum().clamp_min(1e-12)
        return StructureTarget(pairs, _standardize(similarity, pairs))

    def compare(self, seen: Tensor) -> Tensor:
        """Return 1 minus the correlation () with another self-similarity (P, P): 0 if alike, about 1 if unrelated."""
        return 1 - (self.pairs * self.values * _standardize(seen, self.pairs)).sum()


class Structure:
    """The structure loss of a canvas: its places on the map of each tap, and the photo's self-similarity.

    `map_sizes` are the taps' sizes (h, w), and `weights` (1, 1, h, w) or None how much their cells count. What a canvas
    has in each place are sums, so those of its tiles add up.
    """

    def __init__(
        self,
        network: Network,
        map_sizes: Mapping[str, tuple[int, int]],
        weights: Mapping[str, Tensor | None],
        like: Tensor,
    ) -> None:
        rows, columns = (min(GRID_SIDE, *sides) for sides in zip(*map_sizes.values(), strict=True))
        self._network: Network = network
        self._weights: Mapping[str, Tensor | None] = weights
        self._grids: Mapping[str, Grid] = {
            tap: Grid.make(*size, rows, columns, weights[tap], like) for tap, size in map_sizes.items()
        }
        *_, self._coarsest = self._grids.values()
        self._target: StructureTarget | None = None

    def add_up(self, features: Mapping[str, Tensor], tile: Tile | None = None) -> dict[str, Tensor]:
        """Add up features before mixes, of the canvas or of a tile, in each place: (1, C, g, k) by tap."""
        sums = {}
        for tap, grid in self._grids.items():
            stride, weights = self._network.stride[tap], self._weights[tap]
            if tile is None:
                sums[tap] = grid.add_up(features[tap], weights, slice(None), slice(None))
            else:
                seen = weights if weights is None else tile.crop_map(weights, stride)
                sums[tap] = grid.add_up(features[tap], seen, *tile.cells(stride))
        return sums

    def capture(self, sums: Mapping[str, Tensor]) -> None:
        """Take what was added up of the photo as the target."""
        self._target = StructureTarget.make(self._compare_places(sums), self._coarsest.counts)

    def compare(self, sums: Mapping[str, Tensor]) -> Tensor:
        """Return the loss () of what was added up of a canvas."""
        assert self._target is not None
        return self._target.compare(self._compare_places(sums))

    def _compare_places(self, sums: Mapping[str, Tensor]) -> Tensor:
        maps = {tap: self._network.apply_mix(tap, grid.average(sums[tap])) for tap, grid in self._grids.items()}
        return measure_self_similarity(maps, self._coarsest.counts)


def _standardize(similarity: Tensor, pairs: Tensor) -> Tensor:
    """Return a self-similarity with mean 0 and variance 1 over its weighed pairs; less variance where it is flat."""
    centered = similarity - (pairs * similarity).sum()
    return centered / (pairs * centered.square()).sum().clamp_min(MIN_VARIANCE).sqrt()


def _divide(length: int, count: int) -> Tensor:
    """Return how much of each of `length` cells lies in each of `count` equal places (count, length)."""
    edges = torch.arange(count + 1, dtype=torch.float64) * length / count
    cells = torch.arange(length, dtype=torch.float64)
    ends = torch.minimum(edges[1:, None], cells + 1)
    return (ends - torch.maximum(edges[:-1, None], cells)).clamp_min(0.0)
