"""How a picture is cut into tiles: what each answers for, and what it has to look at for that."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

import torch
from torch import Tensor


@dataclass(frozen=True)
class Span:
    """A tile along one side of the picture, in pixels: it answers for `start` to `stop` and looks at `near` to `far`."""

    start: int
    stop: int
    near: int
    far: int

    def cells(self, stride: int) -> slice:
        """Return what it answers for on the grid of a tap with that stride, within what it looks at."""
        return slice(self.start // stride - self.near // stride, self.stop // stride - self.near // stride)

    def cells_of_whole(self, stride: int) -> slice:
        """Return what it answers for on the whole picture's grid of a tap with that stride."""
        return slice(self.start // stride, self.stop // stride)


@dataclass(frozen=True)
class Tile:
    """A rectangle of the picture: the rows and columns that it answers for, within a window that it looks at."""

    rows: Span
    columns: Span

    def window(self, picture: Tensor) -> Tensor:
        """Return what it looks at of a picture (B, C, H, W)."""
        return picture[..., self.rows.near : self.rows.far, self.columns.near : self.columns.far]

    def inside(self, stride: int) -> tuple[slice, slice]:
        """Return the rows and columns that it answers for, on its window's grid of a tap with that stride."""
        return self.rows.cells(stride), self.columns.cells(stride)

    def share(self, whole: Tensor, stride: int) -> Tensor:
        """Return what it answers for of the whole picture's map (B, C, h, w) at a tap with that stride."""
        return whole[..., self.rows.cells_of_whole(stride), self.columns.cells_of_whole(stride)]


def cut_into_tiles(width: int, height: int, *, side: int, cell: int, reach: int) -> list[Tile]:
    """Cut a picture into tiles that are about `side` pixels wide and high, as even as can be, in rows from the top.

    `cell` is the deepest tap's stride: tiles begin on multiples of it, so that their grids are the whole picture's.
    `reach` is how far the deepest tap's cells see beyond their own pixels: the window has so much more on each side,
    in whole cells, but ends where the picture does, as only there a border is to be seen. What features there are of
    a tile's own pixels, and what of their gradient comes back, is then that of the whole picture.

    Example: [tile.rows.start for tile in cut_into_tiles(100, 300, side=100, cell=16, reach=70)] == [0, 96, 192]
    """
    halo = ceil(reach / cell) * cell
    return [
        Tile(rows, columns)
        for rows in _split(height, side, cell, halo)
        for columns in _split(width, side, cell, halo)
    ]


def _split(length: int, side: int, cell: int, halo: int) -> list[Span]:
    """Cut one side into even spans; the last has what is less than a cell as well, and so there are no slivers."""
    cells = max(1, length // cell)
    count = min(cells, ceil(length / side))
    ends = [number * cells // count * cell for number in range(count)] + [length]
    return [
        Span(start, stop, max(0, start - halo), min(length, stop + halo))
        for start, stop in zip(ends, ends[1:], strict=False)
    ]


def bands(height: int, rows: int) -> Iterator[slice]:
    """Cut `height` rows into bands of at most `rows`."""
    for top in range(0, height, rows):
        yield slice(top, min(height, top + rows))


def rows_of(picture: Tensor, values: int) -> int:
    """Tell how many rows of a picture (1, C, H, W) hold about so many values, one at least."""
    return max(1, values // max(1, picture.shape[1] * picture.shape[3]))
