"""The losses: pure functions of features, moments and pixels, each a scalar."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from impasto.perception.moments import Moments


def content_sum(features: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Half the squared difference of two feature maps (1, C, h, w): 1/2 sum (F - P)^2.

    `mask` (1, 1, h, w) says how much each position counts. Source: Gatys et al. 2015, equation 1.
    """
    return squared_distance(features, target, mask) / 2


def content_relative(
    features: Tensor, target: Tensor, mask: Tensor | None = None, whole: Tensor | float | None = None
) -> Tensor:
    """Squared difference of two feature maps (1, C, h, w) as a share of the target's own variance.

    0 is the photo itself, about 1 its mean feature everywhere; neither size nor network changes the scale. `whole` is
    what it is a share of, where `content_variance` has been asked before.
    """
    return squared_distance(features, target, mask) / (content_variance(target, mask) if whole is None else whole)


def content_variance(target: Tensor, mask: Tensor | None = None, least: float = 0.0) -> Tensor:
    """Sum of a feature map's squared distances from its mean; a flat map's counts as `least` per position."""
    target = _at_least_float32(target)
    weights = torch.ones_like(target[:, :1]) if mask is None else mask
    mean = (target * weights).sum((2, 3), keepdim=True) / weights.sum()
    variance = ((target - mean).square() * weights).sum()
    return _or_one(torch.maximum(variance, least * weights.sum()))


def content_variance_of_parts(
    parts: Callable[[], Iterable[tuple[Tensor, Tensor | None]]], least: float = 0.0
) -> Tensor:
    """Do as `content_variance` for a map in parts (1, C, h, w), each with its mask; `parts` goes through them twice."""
    count, total, variance = 0.0, 0.0, 0.0
    for target, mask in parts():
        weights = torch.ones_like(target[:, :1], dtype=torch.float32) if mask is None else mask
        count = count + weights.sum()
        total = total + (_at_least_float32(target) * weights).sum((2, 3), keepdim=True)
    for target, mask in parts():
        squares = (_at_least_float32(target) - total / count).square()
        variance = variance + (squares if mask is None else squares * mask).sum()
    return _or_one(torch.maximum(torch.as_tensor(variance), torch.as_tensor(least * count)))


def style_sum(canvas: Moments, painting: Moments) -> Tensor:
    """Squared difference of Gram matrices: E = 1/(4 N^2 M^2) sum (G - A)^2 on raw sums over M positions.

    Each Gram matrix is divided by its own M, so that canvas and painting may differ in size; for equal sizes this is
    the paper's number exactly. Source: Gatys et al. 2015, equation 4.
    """
    channels = canvas.total.shape[0]
    return (canvas.second_moment - painting.second_moment).square().sum() / (4 * channels**2)


def style_gram(canvas: Moments, painting: Moments) -> Tensor:
    """Squared difference of Gram matrices as a share of the painting's: |G - A|^2 / |A|^2."""
    target = painting.second_moment
    return (canvas.second_moment - target).square().sum() / _or_one(target.square().sum())


def style_wasserstein(canvas: Moments, painting: Moments) -> Tensor:
    """Squared Wasserstein-2 distance of two normal distributions of features, as a share of the painting's energy.

    |m - n|^2 + tr(C + D - 2 (D^1/2 C D^1/2)^1/2), over |n|^2 + tr D. Source: Olkin and Pukelsheim 1982; as a style loss
    Marron 2018 and Crowson, style-transfer-pytorch.
    """
    ours, theirs = canvas.covariance, painting.covariance
    energy = _or_one(painting.energy)
    root = painting.deviation
    # Only eigenvalues are asked for: their gradient, unlike that of eigenvectors, is safe where two coincide.
    inner = root @ ours @ root
    floor = 1e-6 * energy / len(theirs)  # of the energy, as a flat painting has no variance
    overlap = torch.linalg.eigvalsh(inner).clamp_min(floor**2).sqrt().sum()
    spread = ours.diagonal().sum() + theirs.diagonal().sum() - 2 * overlap
    distance: Tensor = ((canvas.mean - painting.mean).square().sum() + spread) / energy
    return distance


def total_variation(rgb: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean squared step from each pixel to the one below and the one to the right: (1, 3, H, W) in [0, 1].

    A mean, so that it weighs alike at every size. Source: Mahendran and Vedaldi 2015, with exponent 2.
    """
    variation: Tensor = _TotalVariation.apply(rgb, mask)  # type: ignore[no-untyped-call]
    return variation


def out_of_range(rgb: Tensor) -> Tensor:
    """Mean squared distance of the values of a canvas (1, 3, H, W) from what a picture can show, [0, 1].

    Without it L-BFGS matches the style with values that are cut off in the end, and the match with them.
    """
    return squared_distance(rgb, rgb.detach().clamp(0, 1)) / rgb.numel()


def squared_distance(x: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Sum of squared differences of two maps (1, C, h, w), float32 at least; `mask` (1, 1, h, w) weighs positions."""
    distance: Tensor = _SquaredDistance.apply(x, target, mask)  # type: ignore[no-untyped-call]
    return distance


class _SquaredDistance(torch.autograd.Function):
    """Sum m (x - t)^2 by x alone, in the maps' own precision but for the sum: a map in float32 costs twice as much."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, target: Tensor, mask: Tensor | None) -> Tensor:
        """Return the sum, and keep sqrt(m) (x - t)."""
        root = None if mask is None else mask.sqrt().to(x.dtype)
        difference = x - target if root is None else (x - target) * root
        ctx.save_for_backward(difference, root)
        precise = torch.promote_types(x.dtype, torch.float32)
        squared: Tensor = torch.linalg.vector_norm(difference, dtype=precise).square()
        return squared

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        """2 m (x - t)."""
        difference, root = ctx.saved_tensors
        pulled = difference * (2 * gradient).to(difference.dtype)
        return pulled if root is None else pulled * root, None, None


class _TotalVariation(torch.autograd.Function):
    """Total variation and its gradient, for which autograd would go over eight copies of the picture."""

    @staticmethod
    def forward(ctx: Any, rgb: Tensor, mask: Tensor | None) -> Tensor:
        """Return the mean over steps down plus that over steps to the right."""
        variation, ctx.gradient = rgb.new_zeros(()), torch.zeros_like(rgb)
        for dimension in (2, 3):
            step = rgb.diff(dim=dimension)
            count = max(1, step.numel())  # a single row or column has no steps in one direction, and so no mean of them
            pull = (step if mask is None else step * _of_both(mask, dimension).square()) / count
            variation += (step * pull).sum()
            ctx.gradient.narrow(dimension, 1, step.shape[dimension]).add_(pull, alpha=2)
            ctx.gradient.narrow(dimension, 0, step.shape[dimension]).sub_(pull, alpha=2)
        return variation

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Each step draws its two pixels together."""
        return ctx.gradient * gradient, None


def _of_both(mask: Tensor, dimension: int) -> Tensor:
    """The mask of steps between neighbours: where both are seen."""
    steps = mask.shape[dimension] - 1
    return mask.narrow(dimension, 1, steps) * mask.narrow(dimension, 0, steps)


def _or_one(whole: Tensor) -> Tensor:
    """What differences are a share of; where nothing at all is seen, they are taken as they are."""
    return torch.where(whole > 0, whole, 1.0)


def _at_least_float32(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
