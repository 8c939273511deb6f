"""Style statistics as sums, so that masks, blends of paintings and tiles simply add up."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from impasto.network.frozen import Probe

MAX_BFLOAT16_PARTS = 16  # of a map, each summed in bfloat16


@dataclass(frozen=True)
class Moments:
    """Sums over the positions of a feature map with C channels.

    `count` () is the number of positions, `total` (C,) the sum of the features F, `outer` (C, C) the sum of F F^T: the
    Gram matrix of Gatys et al. 2015. Moments of disjoint parts add up to those of the whole; `scaled` weighs a part.
    Derived statistics are cached, as every step needs those of the target.

    Example: gram = measure_moments(features).second_moment
    """

    count: Tensor
    total: Tensor
    outer: Tensor

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(self.count + other.count, self.total + other.total, self.outer + other.outer)

    def scaled(self, weight: float | Tensor) -> "Moments":
        """Count every position `weight` times."""
        return Moments(self.count * weight, self.total * weight, self.outer * weight)

    def to(self, device: torch.device) -> "Moments":
        """Move the sums to a device."""
        return Moments(self.count.to(device), self.total.to(device), self.outer.to(device))

    def mapped(self, weight: Tensor, bias: Tensor) -> "Moments":
        """Return the moments of R F + b, for `weight` R (D, C) and `bias` b (D,)."""
        total, across = weight @ self.total, (weight @ self.total).outer(bias)
        outer = weight @ self.outer @ weight.T + across + across.T + self.count * bias.outer(bias)
        return Moments(self.count, total + self.count * bias, outer)

    def shifted(self, shift: float) -> "Moments":
        """Return the moments of F + shift."""
        across = shift * self.total[:, None].expand_as(self.outer)
        outer = self.outer + across + across.T + shift**2 * self.count
        return Moments(self.count, self.total + shift * self.count, outer)

    @cached_property
    def mean(self) -> Tensor:
        """The mean feature (C,)."""
        return self.total / self.count

    @cached_property
    def second_moment(self) -> Tensor:
        """The Gram matrix per position (C, C)."""
        return self.outer / self.count

    @cached_property
    def covariance(self) -> Tensor:
        """The covariance between channels (C, C)."""
        return self.second_moment - self.mean.outer(self.mean)

    @cached_property
    def std(self) -> Tensor:
        """The standard deviation of each channel (C,)."""
        # Rounding may bring a variance below 0, and the root's slope at 0 is infinite.
        return self.covariance.diagonal().clamp_min(1e-12).sqrt()

    @cached_property
    def energy(self) -> Tensor:
        """The mean squared length of a feature ()."""
        return self.second_moment.trace()

    @cached_property
    def eigen(self) -> tuple[Tensor, Tensor]:
        """The covariance's eigenvalues (C,), rising, and its eigenvectors (C, C), one in each column."""
        eigenvalues, vectors = solve_symmetric(torch.linalg.eigh, self.covariance)
        return eigenvalues, vectors

    @cached_property
    def covariance_factor(self) -> Tensor:
        """A factor B (C, k) of the covariance, B B^T, where k is its rank: fewer than C of fewer positions than C."""
        eigenvalues, vectors = self.eigen
        is_kept = eigenvalues > torch.finfo(eigenvalues.dtype).eps * self.energy  # others are rounding errors
        is_kept[-1] = True  # of a flat painting
        factor: Tensor = vectors[:, is_kept] * eigenvalues[is_kept].clamp_min(0).sqrt()
        return factor


def solve_symmetric(solver: Callable[[Tensor], Any], matrix: Tensor) -> Any:
    """Return `solver(matrix)`, in float64 where float32 does not converge or gives values that are no numbers.

    The covariance of a few positions has many eigenvalues of 0, which LAPACK's float32 solvers do not always separate;
    and they make NaN of denormal numbers, which channels have that fire almost nowhere.
    """
    try:
        solved = solver(matrix)
        if all(bool(each.isfinite().all()) for each in _as_tuple(solved)) or not bool(matrix.isfinite().all()):
            return solved
    except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
        pass
    solved = solver(matrix.cpu().double())  # MPS has no float64
    return solved.to(matrix) if isinstance(solved, Tensor) else tuple(each.to(matrix) for each in solved)


def _as_tuple(solved: Any) -> tuple[Tensor, ...]:
    return (solved,) if isinstance(solved, Tensor) else tuple(solved)


def measure_moments(features: Tensor, mask: Tensor | None = None) -> Moments:
    """Sum up a feature map (1, C, h, w), its positions weighted by `mask` (1, 1, h, w) in [0, 1].

    The sums are float32 or better, whatever the precision of the features.
    """
    return Moments(*_sum_up(features, mask))


def make_moment_probe(mask: Tensor | None) -> Probe:
    """Make a probe of count, total and outer of a layer's output (1, C, h, w): one product forward, one backward."""
    return Probe(partial(_sum_up, mask=mask), partial(_backward_sums, mask=mask))


def _sum_up(x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    f = _to_positions(x) if mask is None else _to_positions(x)[_find_masked_span(mask)]
    weights = torch.ones_like(f[:, :1]) if mask is None else _list_weights(mask, f.dtype)  # (M, 1)
    weighted = f if mask is None else f * weights
    precise = torch.promote_types(f.dtype, torch.float32)
    count = torch.tensor(float(len(f)), dtype=precise, device=f.device) if mask is None else mask.to(precise).sum()
    if f.dtype == precise:
        return count, weighted.sum(0), weighted.T @ f
    # A product of bfloat16 is rounded to bfloat16. Of parts, summed in float32, it has a fraction of the error.
    parts = max(1, min(MAX_BFLOAT16_PARTS, len(f) // (2 * f.shape[1])))
    whole = len(f) // parts * parts
    by_part, weighted_by_part, weights_by_part = (
        rows[:whole].view(parts, whole // parts, rows.shape[1]) for rows in (f, weighted, weights)
    )
    total = torch.bmm(weights_by_part.mT, by_part).to(precise).sum(0)[0] + weighted[whole:].to(precise).sum(0)
    outer = torch.bmm(weighted_by_part.mT, by_part).to(precise).sum(0)
    return count, total, outer + weighted[whole:].to(precise).T @ f[whole:].to(precise)


def _backward_sums(
    x: Tensor,
    g: Tensor | None,
    count: Tensor | None,
    total: Tensor | None,
    outer: Tensor | None,
    *,
    mask: Tensor | None,
) -> Tensor:
    """Return `g` plus the gradient of the features F, given those of the sums: m ((O + O^T) F + t)."""
    del count  # it does not depend on the features
    f = _to_positions(x)
    across = torch.zeros_like(f[0]).outer(f[0]) if outer is None else (outer + outer.T).to(f.dtype)
    if mask is not None:
        span, weights = _find_masked_span(mask), _list_weights(mask, f.dtype)
        grad = _to_positions(torch.zeros_like(x) if g is None else g)
        grad[span].addmm_(f[span] * weights, across)  # in place: another map would cost more
        if total is not None:
            grad[span].addmm_(weights, total.to(f.dtype)[None])
        return _to_map(grad, x)
    if g is not None and total is None:
        return _to_map(_to_positions(g).addmm_(f, across), x)
    grad = torch.addmm(torch.zeros_like(f[0]) if total is None else total.to(f.dtype), f, across)
    return _to_map(grad, x) if g is None else g.add_(_to_map(grad, x))


def _find_masked_span(mask: Tensor) -> slice:
    """Return the span of positions from the first row of a mask (1, 1, h, w) that is not all 0 to the last."""
    if mask.device.type != "cpu":  # finding it would take longer than computing with all positions
        return slice(None)
    rows = mask[0, 0].amax(1).nonzero()[:, 0]
    width = mask.shape[3]
    return slice(int(rows[0]) * width, (int(rows[-1]) + 1) * width) if len(rows) else slice(0, 0)


def _list_weights(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the weight of each position of the span (M, 1)."""
    return mask.flatten()[_find_masked_span(mask), None].to(dtype)


def _to_positions(x: Tensor) -> Tensor:
    """Return a map (1, C, h, w) as (hw, C): a view where it is channels_last."""
    return x.permute(0, 2, 3, 1).flatten(0, 2)


def _to_map(f: Tensor, like: Tensor) -> Tensor:
    return f.view(1, *like.shape[2:], like.shape[1]).permute(0, 3, 1, 2)
