"""The losses: pure functions of features, moments and pixels, each a scalar."""

import torch
from torch import Tensor

from impasto.perception.moments import Moments


def content_sum(features: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Half the squared difference of two feature maps (1, C, h, w): 1/2 sum (F - P)^2.

    `mask` (1, 1, h, w) says how much each position counts. Source: Gatys et al. 2015, equation 1.
    """
    squared = (features - target).square()
    return (squared if mask is None else squared * mask).sum() / 2


def content_relative(features: Tensor, target: Tensor, mask: Tensor | None = None, least: float = 0.0) -> Tensor:
    """Squared difference of two feature maps (1, C, h, w) as a share of the target's own variance.

    0 is the photo itself, about 1 its mean feature everywhere; neither size nor network changes the scale. A target
    whose variance per position is below `least` counts as if it had that: a flat one has almost none to be a share of.
    """
    weights = torch.ones_like(target[:, :1]) if mask is None else mask
    mean = (target * weights).sum((2, 3), keepdim=True) / weights.sum()
    variance = ((target - mean).square() * weights).sum()
    return ((features - target).square() * weights).sum() / _or_one(torch.maximum(variance, least * weights.sum()))


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
    squared = target.square().sum()
    return (canvas.second_moment - target).square().sum() / _or_one(squared)


def style_wasserstein(canvas: Moments, painting: Moments) -> Tensor:
    """Squared Wasserstein-2 distance of two normal distributions of features, as a share of the painting's energy.

    |m - n|^2 + tr(C + D - 2 (D^1/2 C D^1/2)^1/2), over |n|^2 + tr D. Source: Olkin and Pukelsheim 1982; as a style loss
    Marron 2018 and Crowson, style-transfer-pytorch.
    """
    ours, theirs = canvas.covariance, painting.covariance
    energy = _or_one(painting.mean.square().sum() + theirs.diagonal().sum())
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
    down, right = rgb[..., 1:, :] - rgb[..., :-1, :], rgb[..., 1:] - rgb[..., :-1]
    if mask is not None:
        down, right = down * mask[..., 1:, :] * mask[..., :-1, :], right * mask[..., 1:] * mask[..., :-1]
    # A single row or column has no steps in one direction, and so no mean of them.
    return down.square().sum() / max(1, down.numel()) + right.square().sum() / max(1, right.numel())


def out_of_range(rgb: Tensor) -> Tensor:
    """Mean squared distance of the values of a canvas (1, 3, H, W) from what a picture can show, [0, 1].

    Without it L-BFGS matches the style with values that are cut off in the end, and the match with them.
    """
    return (rgb - rgb.clamp(0, 1)).square().mean()


def _or_one(whole: Tensor) -> Tensor:
    """What differences are a share of; where nothing at all is seen, they are taken as they are."""
    return torch.where(whole > 0, whole, 1.0)
