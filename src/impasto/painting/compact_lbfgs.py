"""L-BFGS for canvases that fill the memory: its history in bfloat16, processed in chunks."""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from impasto.painting.lbfgs import flatten_like, two_loop_coefficients

CHUNK_VALUES = 2**20  # values that are worked on at once


class CompactLBFGS:
    """The steps of `LBFGS`, with 4 bytes for each value and pair of the history instead of 8, and no other copies.

    A move is rounded to bfloat16 before it is made, so the history holds the exact moves. Gradient changes are computed
    in full precision and rounded afterwards. Besides the history it keeps the last gradient.
    """

    def __init__(
        self, history: int, rate: float = 1.0, max_step: float = math.inf, min_first_move: float = 0.0
    ) -> None:
        self.history: int = history
        self.rate: float = rate
        self.max_step: float = max_step
        self.min_first_move: float = min_first_move
        self.moves: list[Tensor] = []  # (n,), oldest first; one more than changes: that of the last step
        self.changes: list[Tensor] = []
        self.across: Tensor = torch.zeros(0, 0, dtype=torch.float64)  # S Y^T
        self.within: Tensor = torch.zeros(0, 0, dtype=torch.float64)  # Y Y^T
        self.last_gradient: Tensor | None = None

    @torch.no_grad()
    def step(self, x: Tensor, gradient: Tensor) -> None:
        """Move `x` (1, C, H, W) in place, given the gradient there."""
        flat, g = flatten_like(x, x), flatten_like(x, gradient)
        scale, shares, free = 1.0, list[tuple[Tensor, float]](), None
        if self.last_gradient is None:
            self.last_gradient = g.clone()
            size = sum(float(g[piece].abs().sum()) for piece in _split_chunks(g))
            scale = max(1 / max(1.0, size), self.min_first_move / self.rate * len(g) / size if size else 0.0)
        else:
            slopes, free = self._add_pair(g, self.last_gradient)
            if self.changes:
                scale, along_moves, along_changes = two_loop_coefficients(self.across, self.within, slopes)
                shares += zip(self.moves, along_moves.tolist(), strict=True)
                shares += zip(self.changes, along_changes.tolist(), strict=True)
        self._take_step(flat, g, scale, shares, torch.empty_like(g, dtype=torch.bfloat16) if free is None else free)

    def shorten_last_step(self, share: float) -> None:
        """Account for the last step being shortened to a `share` of its length, a power of 2."""
        if self.moves:
            self.moves[-1].mul_(share)

    def _add_pair(self, g: Tensor, last: Tensor) -> tuple[Tensor, Tensor | None]:
        """Complete the pair of the last step; return S g and Y g (2, m), and a free row for the next move, if any."""
        free, change = self._drop_oldest() if len(self.changes) == self.history else (None, None)
        if change is None:
            change = torch.empty_like(g, dtype=torch.bfloat16)
        products = torch.zeros(5, len(self.moves), dtype=torch.float64)  # S y, Y y, Y s, S g, Y g
        for piece in _split_chunks(g):
            here = g[piece]
            change[piece] = here - last[piece]
            last[piece] = here
            y, s = change[piece].float(), self.moves[-1][piece].float()
            rows = [
                (a[piece].float(), b[piece].float()) for a, b in zip(self.moves, [*self.changes, change], strict=True)
            ]
            found = [[a.dot(y), b.dot(y), b.dot(s), a.dot(here), b.dot(here)] for a, b in rows]
            products += torch.stack([torch.stack(row) for row in found], 1).cpu().double()
        if float(products[0, -1]) <= 1e-10:  # too little curvature
            return products[3:, :-1], self.moves.pop()
        self.changes.append(change)
        self.across = _append_border(self.across, products[0], products[2])
        self.within = _append_border(self.within, products[1], products[1])
        return products[3:], free

    def _drop_oldest(self) -> tuple[Tensor, Tensor]:
        self.across, self.within = self.across[1:, 1:], self.within[1:, 1:]
        return self.moves.pop(0), self.changes.pop(0)

    def _take_step(
        self, x: Tensor, g: Tensor, scale: float, shares: Sequence[tuple[Tensor, float]], row: Tensor
    ) -> None:
        """Move `x` (n,) by -scale g plus shares of the history, times the rate; `row` becomes the move."""
        farthest = 0.0
        for piece in _split_chunks(g):
            move = g[piece] * (-scale * self.rate)
            for held, share in shares:
                move.add_(held[piece], alpha=share * self.rate)
            row[piece] = move
            farthest = max(farthest, float(row[piece].abs().max()))
        for piece in _split_chunks(g):
            if farthest > self.max_step:
                row[piece] *= self.max_step / farthest
            x[piece] += row[piece]
        self.moves.append(row)


def _split_chunks(flat: Tensor) -> Iterator[slice]:
    for first in range(0, len(flat), CHUNK_VALUES):
        yield slice(first, first + CHUNK_VALUES)


def _append_border(matrix: Tensor, column: Tensor, row: Tensor) -> Tensor:
    """Add a column and a row to a matrix (m, m); both (m + 1,) contain the corner."""
    return torch.cat([torch.cat([matrix, column[:-1, None]], 1), row[None]])
