"""L-BFGS, lean in memory and time: two and a half passes over a bounded history at each step."""

import math
from collections.abc import Callable

import torch
from torch import Tensor


class LBFGS:
    """Limited-memory BFGS without a line search, for one tensor of any shape.

    It keeps `history` pairs of moves s and gradient changes y, each of the tensor's size; `rate` scales every step. The
    first step is at most 1 / |g|_1 long, and pairs with too little curvature are dropped: the numbers of
    torch.optim.LBFGS with lr=rate and max_iter=1. A step that would move a value by more than `max_step` is shortened.
    With a `preconditioner`, a symmetric map B of such tensors, it works in the space of u where x = B u. With `limits`,
    no value leaves them; a preconditioner then has to multiply all values alike. The first step moves values by at
    least `min_first_move` on average, unless `scale` was set before.

    Source: Byrd, Nocedal and Schnabel, "Representations of quasi-Newton matrices and their use in limited memory
    methods", 1994, theorem 2.2: the usual two loops over the history, as few products with all of it.
    """

    def __init__(
        self,
        history: int = 10,
        rate: float = 1.0,
        max_step: float = math.inf,
        preconditioner: Callable[[Tensor], Tensor] | None = None,
        limits: tuple[float, float] | None = None,
        min_first_move: float = 0.0,
    ) -> None:
        self.history: int = history
        self.rate: float = rate
        self.max_step: float = max_step
        self.preconditioner: Callable[[Tensor], Tensor] | None = preconditioner
        self.limits: tuple[float, float] | None = limits
        self.min_first_move: float = min_first_move
        self.rows: list[int] = []  # of the history, in use, oldest first
        self.moves: Tensor
        self.changes: Tensor
        self.moves = self.changes = torch.empty(0)  # S and Y, (history, n) from the first pair on
        self.across: Tensor = torch.zeros(history, history, dtype=torch.float64)  # S Y^T
        self.within: Tensor = torch.zeros_like(self.across)  # Y Y^T
        self.last_gradient: Tensor | None = None
        self.last_move: Tensor | None = None
        self.last_slopes: Tensor = torch.zeros(2, history, dtype=torch.float64)  # S g and Y g for the last gradient
        self.scale: float | None = None  # the inverse curvature: length of the first step in gradients, if known

    @torch.no_grad()
    def step(self, x: Tensor, gradient: Tensor) -> None:
        """Move `x` in place, given the gradient there."""
        g = flatten_like(x, self.preconditioner(gradient) if self.preconditioner else gradient)
        slopes = self._project_gradient(g)
        if self.last_gradient is not None and self.last_move is not None:
            self._add_pair(self.last_move, g - self.last_gradient, g, slopes)
            move = self._find_direction(g, slopes).mul_(self.rate)
        else:
            move = g * (-self.rate * (self.scale or 1 / max(1.0, float(g.abs().sum()))))
        moved = flatten_like(x, self.preconditioner(_unflatten_like(x, move))) if self.preconditioner else move
        if (
            self.last_move is None
            and self.scale is None
            and 0 < (mean := float(moved.abs().mean())) < self.min_first_move
        ):
            move, moved = (of * (self.min_first_move / mean) for of in (move, moved))
        farthest = max(map(abs, torch.stack(torch.aminmax(moved)).tolist()))
        if farthest > self.max_step:
            move, moved = (of * (self.max_step / farthest) for of in (move, moved))
        self.last_gradient, self.last_move, self.last_slopes = g.clone(), move, slopes
        flat = flatten_like(x, x)
        if self.limits is None:
            flat.add_(moved)
            return
        before = flat.clone()
        flat.add_(moved).clamp_(*self.limits)
        kept = torch.where(moved != 0, (flat - before) / moved, 1.0)  # share of each move that the limits left
        self.last_move = move * kept

    def shorten_last_step(self, share: float) -> None:
        """Account for the last step being shortened to a `share` of its length."""
        if self.last_move is not None:
            self.last_move *= share

    def _project_gradient(self, g: Tensor) -> Tensor:
        """Return S g and Y g, (2, history)."""
        if not self.rows:
            return torch.zeros_like(self.last_slopes)
        return torch.stack([self.moves @ g, self.changes @ g]).cpu().double()

    def _add_pair(self, move: Tensor, change: Tensor, g: Tensor, slopes: Tensor) -> None:
        """Store one more pair, and its products with all others; y is a difference of gradients, S y one of slopes."""
        if float(change.dot(move)) <= 1e-10:
            return
        if not self.rows:
            self.moves, self.changes = (g.new_zeros(self.history, g.numel()) for _ in range(2))
        row = len(self.rows) if len(self.rows) < self.history else self.rows.pop(0)
        self.rows.append(row)
        self.moves[row], self.changes[row] = move, change
        self.across[:, row], self.within[:, row] = slopes - self.last_slopes
        self.across[row] = (self.changes @ move).cpu().double()
        self.within[row, row] = float(change.dot(change))
        self.within[row] = self.within[:, row]
        slopes[:, row] = torch.stack([move.dot(g), change.dot(g)])

    def _find_direction(self, g: Tensor, slopes: Tensor) -> Tensor:
        """Return minus the estimated inverse Hessian times `g`."""
        if not self.rows:
            return -g
        rows = torch.tensor(self.rows)
        across, within = (of[rows][:, rows] for of in (self.across, self.within))
        scale, along_moves, along_changes = two_loop_coefficients(across, within, slopes[:, rows])
        self.scale = scale
        shares = g.new_zeros(2, self.history)
        shares[:, rows.to(g.device)] = torch.stack([along_moves, along_changes]).to(g)
        return torch.addmv(g, self.moves.T, shares[0], beta=-scale).addmv_(self.changes.T, shares[1])


def two_loop_coefficients(across: Tensor, within: Tensor, slopes: Tensor) -> tuple[float, Tensor, Tensor]:
    """Return the coefficients of a direction -scale g + S^T u + Y^T v: scale, u (m,) and v (m,).

    `across` S Y^T and `within` Y Y^T are (m, m), oldest pair first; `slopes` S g and Y g are (2, m).
    """
    upper = across.triu()  # R of the paper
    curvatures = upper.diagonal()
    along_moves, along_changes = slopes
    scale = float(curvatures[-1] / within[-1, -1])
    a = torch.linalg.solve_triangular(upper, along_moves[:, None], upper=True)[:, 0]
    b = curvatures * a + scale * (within @ a - along_changes)
    b = torch.linalg.solve_triangular(upper.T, b[:, None], upper=False)[:, 0]
    return scale, -b, scale * a


def flatten_like(like: Tensor, x: Tensor) -> Tensor:
    """Flatten `x` in the memory order of `like`: a view if both have the same layout."""
    if like.dim() == 4 and like.is_contiguous(memory_format=torch.channels_last):
        return x.permute(0, 2, 3, 1).flatten()
    return x.flatten()


def _unflatten_like(like: Tensor, flat: Tensor) -> Tensor:
    """Restore the shape of what `flatten_like` flattened."""
    if like.dim() == 4 and like.is_contiguous(memory_format=torch.channels_last):
        return flat.view(like.permute(0, 2, 3, 1).shape).permute(0, 3, 1, 2)
    return flat.view(like.shape)
