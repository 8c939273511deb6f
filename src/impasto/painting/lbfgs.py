"""L-BFGS, lean in memory: a bounded history in two buffers, one evaluation of the gradient a step."""

import math

import torch
from torch import Tensor


class LBFGS:
    """Limited-memory BFGS without a line search, for one tensor of any shape.

    `history` pairs of moves and gradient changes are kept, each of the tensor's size; `rate` scales every step. The
    first step is at most 1 / |g|_1 long, a pair with too little curvature is left out: the numbers of torch.optim.LBFGS
    with lr=rate and max_iter=1, but for a step that would move a value farther than `longest`, which is shortened.
    Source: Nocedal and Wright, Numerical Optimization, algorithm 7.4.
    """

    def __init__(self, history: int = 10, rate: float = 1.0, longest: float = math.inf) -> None:
        self.history, self.rate, self.longest = history, rate, longest
        self.moves: Tensor | None = None  # (history, n)
        self.changes: Tensor | None = None  # (history, n)
        self.curvatures: list[float] = []  # s . y of each pair, oldest first
        self.newest = -1
        self.last_gradient: Tensor | None = None
        self.last_move: Tensor | None = None
        self.diagonal = 1.0

    @torch.no_grad()
    def step(self, x: Tensor, gradient: Tensor) -> None:
        """Move `x` in place, given the gradient there."""
        g = gradient.flatten()
        first = self.last_gradient is None
        if not first:
            self._remember(g)
        direction = self._direction(g)
        rate = self.rate / max(1.0, float(g.abs().sum())) if first else self.rate
        self.last_gradient = g.clone()
        self.last_move = direction.mul_(rate)
        farthest = float(self.last_move.abs().max())
        if farthest > self.longest:
            self.last_move.mul_(self.longest / farthest)
        x.add_(self.last_move.view_as(x))

    def enlarged(self, width: int, height: int) -> "LBFGS":  # noqa: ARG002
        """Begin anew for a canvas of another size: curvature does not carry over."""
        return LBFGS(self.history, self.rate, self.longest)

    def _remember(self, g: Tensor) -> None:
        assert self.last_gradient is not None
        assert self.last_move is not None
        if self.moves is None or self.changes is None:
            self.moves, self.changes = (g.new_empty(self.history, g.numel()) for _ in range(2))
        change = g - self.last_gradient
        curvature = float(change.dot(self.last_move))
        if curvature <= 1e-10:
            return
        self.newest = (self.newest + 1) % self.history
        self.moves[self.newest], self.changes[self.newest] = self.last_move, change
        self.curvatures = [*self.curvatures, curvature][-self.history :]
        self.diagonal = curvature / float(change.dot(change))

    def _direction(self, g: Tensor) -> Tensor:
        """The two-loop recursion: minus the inverse Hessian's estimate times `g`."""
        direction = g.neg()
        if self.moves is None or self.changes is None:
            return direction
        kept = len(self.curvatures)
        slots = [(self.newest - age) % self.history for age in range(kept)]  # newest first
        shares = []
        for slot, curvature in zip(slots, reversed(self.curvatures), strict=True):
            share = float(self.moves[slot].dot(direction)) / curvature
            direction.sub_(self.changes[slot], alpha=share)
            shares.append(share)
        direction.mul_(self.diagonal)
        for slot, curvature, share in zip(reversed(slots), self.curvatures, reversed(shares), strict=True):
            correction = float(self.changes[slot].dot(direction)) / curvature
            direction.add_(self.moves[slot], alpha=share - correction)
        return direction
