"""The losses: pure functions of features, moments and pixels; each returns a scalar."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from impasto.network.moments import Moments, solve_symmetric
from impasto.settings.types import ContentLoss, StyleLoss

ROOT_STEPS = 18  # float32 becomes unstable from about 24 on


def choose_content_divisor(
    kind: ContentLoss, target: Tensor, mask: Tensor | None = None, least: float = 0.0
) -> Tensor | float:
    """Return the divisor that makes a content loss of the `squared_distance` from a target (1, N, h, w), M positions.

    `mask` (1, 1, h, w) says how much each position counts; M is then its sum. `sum`: 2. `mean`: N M, for a mean.
    `root`: 2 sqrt(N M), between the two. `relative`: the variance of the target, as `content_variance`; 0 is then the
    photo itself and about 1 its mean feature everywhere, at any size and with any network.

    Sources: Gatys et al. 2015, equation 1; Johnson, neural-style, and others; Smith, neural-style-tf; ours.
    """
    if kind == "sum":
        return 2.0
    if kind == "relative":
        return content_variance(target, mask, least)
    size = target.shape[1] * (target[0, 0].numel() if mask is None else mask.sum())
    return size if kind == "mean" else 2 * size**0.5


def content_variance(target: Tensor, mask: Tensor | None = None, least: float = 0.0) -> Tensor:
    """Sum of a feature map's squared distances from its mean, but at least `least` per position."""
    target = _at_least_float32(target)
    weights = torch.ones_like(target[:, :1]) if mask is None else mask
    mean = (target * weights).sum((2, 3), keepdim=True) / weights.sum()
    variance = ((target - mean).square() * weights).sum()
    return _one_if_zero(torch.maximum(variance, least * weights.sum()))


def content_variance_of_parts(
    parts: Callable[[], Iterable[tuple[Tensor, Tensor | None]]], least: float = 0.0
) -> Tensor:
    """The same as `content_variance` for a map in parts (1, C, h, w), each with its mask; reads all parts twice."""
    count = total = variance = torch.zeros(())
    for target, mask in parts():
        target = _at_least_float32(target)
        weights = torch.ones_like(target[:, :1]) if mask is None else mask
        count = count + weights.sum()
        total = total + (target * weights).sum((2, 3), keepdim=True)
    for target, mask in parts():
        squares = (_at_least_float32(target) - total / count).square()
        variance = variance + (squares if mask is None else squares * mask).sum()
    return _one_if_zero(torch.maximum(variance, least * count))


def style_gatys(canvas: Moments, painting: Moments) -> Tensor:
    """Squared difference of Gram matrices: E = 1/(4 N^2 M^2) sum (G - A)^2 on raw sums over M positions.

    Each Gram matrix is divided by its own M, so that canvas and painting may differ in size; for equal sizes this is
    exactly the paper's number. Source: Gatys et al. 2015, equation 4.
    """
    channels = canvas.total.shape[0]
    return (canvas.second_moment - painting.second_moment).square().sum() / (4 * channels**2)


def style_gram(canvas: Moments, painting: Moments) -> Tensor:
    """Squared difference of Gram matrices, relative to the painting's: |G - A|^2 / |A|^2."""
    target = painting.second_moment
    return (canvas.second_moment - target).square().sum() / _one_if_zero(target.square().sum())


def style_gram_mean(canvas: Moments, painting: Moments) -> Tensor:
    """Mean squared difference of Gram matrices divided by N M: sum ((G - A) / N)^2 / N^2 per position.

    Deep taps, with more channels, count less than in `style_gatys`. Source: Johnson, neural-style; Athalye,
    neural-style.
    """
    channels = len(canvas.total)
    return (canvas.second_moment - painting.second_moment).square().sum() / channels**4


def style_covariance(canvas: Moments, painting: Moments) -> Tensor:
    """Squared difference of covariances, relative to the painting's: |K - D|^2 / |D|^2.

    A nearly flat painting counts as if its covariance had a tenth of the size of its Gram matrix.
    """
    target = painting.covariance
    whole = torch.maximum(target.square().sum(), 0.01 * painting.second_moment.square().sum())
    return (canvas.covariance - target).square().sum() / _one_if_zero(whole)


def style_mean_std(canvas: Moments, painting: Moments) -> Tensor:
    """Squared difference of the channels' means and standard deviations, relative to the painting's energy.

    Source: Li et al., "Demystifying Neural Style Transfer", 2017, their batch normalization statistics.
    """
    means, spreads = canvas.mean - painting.mean, canvas.std - painting.std
    return (means.square().sum() + spreads.square().sum()) / _one_if_zero(painting.energy)


def style_wasserstein(canvas: Moments, painting: Moments) -> Tensor:
    """Squared Wasserstein-2 distance of two normal distributions of features, relative to the painting's energy.

    |m - n|^2 + tr(C + D - 2 (D^1/2 C D^1/2)^1/2), over |n|^2 + tr D. With D = B B^T the last root has the trace of that
    of B^T C B, a matrix as small as the painting's rank. Source: Olkin and Pukelsheim 1982; as a style loss Marron 2018
    and Crowson, style-transfer-pytorch.
    """
    ours, theirs = canvas.covariance, painting.covariance
    energy = _one_if_zero(painting.energy)
    factor = painting.covariance_factor
    # Eigenvalues only: unlike eigenvectors', their gradient is finite where two of them coincide.
    inner = factor.T @ ours @ factor
    # LAPACK makes NaN of denormal numbers, which channels have that fire almost nowhere. A trace of variance for each
    # channel, far below rounding, avoids that.
    inner.diagonal().add_(torch.finfo(inner.dtype).eps ** 2 * inner.detach().diagonal().max())
    floor = 1e-6 * energy / len(theirs)  # relative to the energy, because a flat painting has no variance
    overlap = trace_of_root(inner, floor**2)
    spread = ours.diagonal().sum() + theirs.diagonal().sum() - 2 * overlap
    distance: Tensor = ((canvas.mean - painting.mean).square().sum() + spread) / energy
    return distance


def trace_of_root(matrix: Tensor, least: Tensor | float) -> Tensor:
    """Return the sum of the square roots of the eigenvalues of a symmetric matrix (C, C), each at least `least`.

    On a GPU in float32 by products alone, with an error of about 1e-4: eigenvalues would take most of a step there.
    """
    if matrix.is_cuda and matrix.dtype == torch.float32:
        iterated: Tensor = IteratedRootTrace.apply(matrix + least * torch.eye(len(matrix)).to(matrix))  # type: ignore[no-untyped-call]
        return iterated
    eigenvalues: Tensor = solve_symmetric(torch.linalg.eigvalsh, matrix)
    return eigenvalues.clamp_min(least).sqrt().sum()


def style_wasserstein_mean(canvas: Moments, painting: Moments) -> Tensor:
    """Squared Wasserstein-2 distance of two normal distributions of N-channel features, divided by N.

    Both covariances get 1e-4 added on their diagonals. Source: Crowson, style-transfer-pytorch, which approximates the
    matrix root by twelve steps; here it is exact.
    """
    ridge = 1e-4
    added = ridge * torch.eye(len(canvas.total)).to(canvas.total)
    eigenvalues, vectors = painting.eigen
    root = (vectors * (eigenvalues + ridge).clamp_min(ridge).sqrt()) @ vectors.T
    inner = root @ (canvas.covariance + added) @ root
    least = ridge**2  # smaller ones are rounding errors
    overlap = trace_of_root(inner, least)
    spread = (canvas.covariance + painting.covariance + 2 * added).diagonal().sum() - 2 * overlap
    distance: Tensor = ((canvas.mean - painting.mean).square().sum() + spread) / len(canvas.total)
    return distance


def out_of_range(rgb: Tensor) -> Tensor:
    """Mean squared distance of the values of a canvas (1, 3, H, W) from [0, 1], the range that a picture can show.

    Without it, L-BFGS matches the style with values that are clipped in the end, and the match is lost.
    """
    return squared_distance(rgb, rgb.detach().clamp(0, 1)) / rgb.numel()


# Losses of moments alone, which add up over the tiles of a canvas.
STYLE_LOSSES: Mapping[StyleLoss, Callable[[Moments, Moments], Tensor]] = {
    "gatys": style_gatys,
    "gram_mean": style_gram_mean,
    "gram": style_gram,
    "covariance": style_covariance,
    "mean_std": style_mean_std,
    "wasserstein": style_wasserstein,
    "wasserstein_mean": style_wasserstein_mean,
}
# Losses that need all features of the canvas at once, so not in tiles: see histograms.py.
NEED_FEATURES: frozenset[StyleLoss] = frozenset({"histogram"})
GRAM_LOSSES: frozenset[StyleLoss] = frozenset({"gatys", "gram_mean", "gram"})  # affected by `gram_shift`


def style(weights: Mapping[StyleLoss, float], canvas: Moments, painting: Moments, shift: float = 0.0) -> Tensor:
    """Weighted sum of the style losses that compare moments.

    `shift` is added to all activations before their Gram matrices. Source: Novak and Nikulin, "Improving the Neural
    Algorithm of Artistic Style", 2016, section 3.1.
    """
    shifted = (canvas.shifted(shift), painting.shifted(shift)) if shift else (canvas, painting)
    terms = [
        weight * STYLE_LOSSES[kind](*(shifted if kind in GRAM_LOSSES else (canvas, painting)))
        for kind, weight in weights.items()
        if kind not in NEED_FEATURES
    ]
    return torch.stack(terms).sum() if terms else canvas.total.new_zeros(())


def temporal(rgb: Tensor, carried: Tensor, weights: Tensor) -> Tensor:
    """Mean of c (x - w)^2 over a frame's canvas x (1, 3, H, W), where w is another frame's picture warped to it.

    `weights` c (1, 1, H, W) is the confidence in the warp. Source: Ruder, Dosovitskiy and Brox 2016, equation 7.
    """
    return squared_distance(rgb, carried, weights) / rgb.numel()


def squared_distance(x: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Sum of squared differences of maps (1, C, h, w), in float32 at least; `mask` (1, 1, h, w) weights positions."""
    distance: Tensor = _SquaredDistance.apply(x, target, mask)  # type: ignore[no-untyped-call]
    return distance


class _SquaredDistance(torch.autograd.Function):
    """Sum of m (x - t)^2 with a gradient for x alone, in the maps' own precision except for the sum: float32 maps would
    cost twice as much.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, target: Tensor, mask: Tensor | None) -> Tensor:
        root = None if mask is None else mask.sqrt().to(x.dtype)
        difference = x - target if root is None else (x - target) * root
        ctx.save_for_backward(difference, root)
        precise = torch.promote_types(x.dtype, torch.float32)
        squared: Tensor = torch.linalg.vector_norm(difference, dtype=precise).square()
        return squared

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        difference, root = ctx.saved_tensors
        pulled = difference * (2 * gradient).to(difference.dtype)
        return pulled if root is None else pulled * root, None, None


class IteratedRootTrace(torch.autograd.Function):
    """The trace of a symmetric positive matrix's square root, by Newton's and Schulz's iteration.

    Eigenvalues below 1.5^-36 of the matrix's norm come out too small. Source: Higham, "Functions of Matrices", 2008,
    section 6.7; as a style loss Crowson, style-transfer-pytorch.
    """

    @staticmethod
    def forward(ctx: Any, matrix: Tensor) -> Tensor:
        """Return the trace () of the root of `matrix` (C, C)."""
        scale = _one_if_zero(matrix.norm())
        identity = torch.eye(len(matrix)).to(matrix)
        root, inverse = matrix / scale, identity
        for _ in range(ROOT_STEPS):
            correction = 1.5 * identity - 0.5 * (inverse @ root)
            root, inverse = root @ correction, correction @ inverse
        ctx.save_for_backward(inverse / scale.sqrt())
        return root.trace() * scale.sqrt()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Half the root's inverse."""
        inverse: Tensor
        (inverse,) = ctx.saved_tensors
        return gradient * inverse / 2


def _one_if_zero(whole: Tensor) -> Tensor:
    """Return the divisor of a relative loss; 1 where nothing at all is visible."""
    return torch.where(whole > 0, whole, 1.0)


def _at_least_float32(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
