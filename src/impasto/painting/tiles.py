"""Exact tiles: rectangles of the picture, each within a window with the margin that its features need."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import ceil

import torch
from torch import Tensor

from impasto.errors import UsageError

BAND_VALUES = 2**22  # of a canvas that are worked on at once


@dataclass(frozen=True)
class Span:
    """A tile along one side of the picture, in pixels: `start` to `stop` is its own, and `near` to `far` its window.

    `stop` is None at the end of the picture, where the tile takes what is less than a cell as well.
    """

    start: int
    stop: int | None
    near: int
    far: int

    def cells(self, stride: int, origin: int = 0) -> slice:
        """Return its own cells on the grid of a tap with that stride, if the grid begins at pixel `origin`."""
        return slice((self.start - origin) // stride, None if self.stop is None else (self.stop - origin) // stride)

    def parts(self, length: int) -> Iterator[tuple[int, int]]:
        """Yield first pixel and size of each part of the window: two where it wraps around the picture's end."""
        place = self.near
        while place < self.far:
            first = place % length
            size = min(self.far - place, length - first)
            yield first, size
            place += size


@dataclass(frozen=True)
class Tile:
    """A rectangle of the picture: its own rows and columns, within a larger window."""

    rows: Span
    columns: Span

    def crop(self, picture: Tensor) -> Tensor:
        """Return the window of a picture (B, C, H, W)."""
        for dimension, span in ((2, self.rows), (3, self.columns)):
            parts = [picture.narrow(dimension, first, size) for first, size in span.parts(picture.shape[dimension])]
            picture = parts[0] if len(parts) == 1 else torch.cat(parts, dimension)
        return picture

    def add_to(self, picture: Tensor, seen: Tensor) -> None:
        """Add values of the window's size to a picture (B, C, H, W)."""
        height, width = picture.shape[2:]
        down = 0
        for top, rows in self.rows.parts(height):
            right = 0
            for left, columns in self.columns.parts(width):
                there = picture[..., top : top + rows, left : left + columns]
                there += seen[..., down : down + rows, right : right + columns]
                right += columns
            down += rows

    def cells(self, stride: int) -> tuple[slice, slice]:
        """Return the tile's own rows and columns on the whole picture's grid of a tap with that stride."""
        return self.rows.cells(stride), self.columns.cells(stride)

    def inside(self, stride: int) -> tuple[slice, slice]:
        """Return the tile's own rows and columns on its window's grid of a tap with that stride."""
        return self.rows.cells(stride, self.rows.near), self.columns.cells(stride, self.columns.near)

    def crop_map(self, whole: Tensor, stride: int) -> Tensor:
        """Return the tile's own part of the whole picture's map (B, C, h, w) at a tap with that stride."""
        return whole[..., *self.cells(stride)]


def cut_into_tiles(width: int, height: int, *, side: int, cell: int, reach: int, wraps: bool = False) -> list[Tile]:
    """Cut a picture into tiles of about `side` pixels, as even as possible, in rows from the top.

    `cell` is the stride of the deepest tap: tiles begin on multiples of it, so that their grids match the whole
    picture's. `reach` is how far the deepest tap's cells see beyond their own pixels. The window has that margin on
    each side, rounded up to whole cells, but ends where the picture ends, because a border is visible only there.
    Features of the tile's own pixels, and their gradients, are then those of the whole picture. All windows have one
    size, because a network prepares itself for each size, in time and memory. A picture that `wraps` has no border:
    windows continue at its other side.

    Errors: UsageError where a picture wraps and its sides are not multiples of `cell`.

    Example: [tile.rows.start for tile in cut_into_tiles(100, 300, side=100, cell=16, reach=70)] == [0, 96, 192]
    """
    halo = ceil(reach / cell) * cell
    rows, columns = (_split(length, side, cell, halo, wraps=wraps) for length in (height, width))
    return [Tile(row, column) for row in rows for column in columns]


def _split(length: int, side: int, cell: int, halo: int, *, wraps: bool) -> list[Span]:
    """Cut one side into even spans; the last one includes what is less than a cell, so that there are no slivers."""
    cells = max(1, length // cell)
    count = min(cells, ceil(length / side))
    if count == 1:
        return [Span(0, None, 0, length)]
    if wraps and length % cell:
        raise UsageError(
            f"A picture with circular padding can be painted in tiles only where its sides are multiples of {cell}, "
            f"and {length} is not: choose another `size`, or allow more `memory`.",
            setting="size",
        )
    ends = [number * cells // count * cell for number in range(count)] + [length]
    size = max(stop - start for start, stop in pairwise(ends)) + 2 * halo
    if wraps:
        return [Span(start, stop, start - halo, start - halo + size) for start, stop in pairwise(ends)]
    # Windows begin on a cell, and the last one ends with the picture.
    size = min(length, size + (length - size) % cell)
    nears = [min(max(0, start - halo), length - size) for start in ends[:-1]]
    return [
        Span(start, None if stop == length else stop, near, near + size)
        for (start, stop), near in zip(pairwise(ends), nears, strict=True)
    ]


def split_into_bands(picture: Tensor) -> Iterator[slice]:
    """Yield bands of rows of a picture (1, C, H, W), of about BAND_VALUES values each, one row at least."""
    height = picture.shape[2]
    rows = max(1, BAND_VALUES // max(1, picture.shape[1] * picture.shape[3]))
    for top in range(0, height, rows):
        yield slice(top, min(height, top + rows))
