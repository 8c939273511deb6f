"""Weighted quantiles: the ranks of sorted values, and reading between them."""

import torch
from torch import Tensor


def rank_weights(weights: Tensor) -> Tensor:
    """Return the rank in [0, 1] of each of K sorted values, given their `weights` (..., K).

    A value's rank is the share of all weight that lies below it, half of its own included.

    Example: rank_weights(torch.tensor([1.0, 2.0, 1.0])) gives 0.125, 0.5, 0.875
    """
    exact = weights.cpu().double()  # not every device has float64
    reached = exact.cumsum(-1)
    return ((reached - exact / 2) / reached[..., -1:]).to(weights)


def interpolate(x: Tensor, positions: Tensor, values: Tensor) -> Tensor:
    """Read a piecewise linear function at `x` (..., M): `values` (..., K) at rising `positions` (..., K), flat beyond.

    With ranks as positions it gives the quantiles at `x`; with ranks as values, the ranks of `x`.
    """
    count = positions.shape[-1]
    if count == 1:
        return values.expand_as(x)
    above = torch.searchsorted(positions, x.contiguous()).clamp_(1, count - 1)
    low, high = (positions.gather(-1, at) for at in (above - 1, above))
    share = ((x - low) / (high - low).clamp_min(1e-30)).clamp_(0, 1)
    return torch.lerp(values.gather(-1, above - 1), values.gather(-1, above), share)
