"""What the fast path's decoder learns from: features of pictures, moments of paintings, and the map between them."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from decoder import LEVELS
from kernels import find_roots, mean_outer
from student import Trunk, sample_positions

RIDGE = 3e-3  # of the mean eigenvalue of the painting's covariance
MIN_RIDGE = 1e-4  # of a flat painting's; slim's features are about 1
ROOT_ITERATIONS, INVERSE_ITERATIONS = 22, 28


@dataclass(frozen=True)
class StyleMoments:
    """The painting's moments at a level: `mean` (B, C), `root` (B, C, C) of the covariance, with its `ridge` (B,)."""

    mean: Tensor
    root: Tensor
    ridge: Tensor

    def take(self, which: Tensor) -> "StyleMoments":
        """Take some paintings of many."""
        return StyleMoments(self.mean[which], self.root[which], self.ridge[which])


def encode(trunk: Trunk, rgb: Tensor) -> list[Tensor]:
    """Return the features of pictures (B, 3, H, W) at each level."""
    dtype = next(trunk.parameters()).dtype
    found: dict[float, dict[str, Tensor]] = {}
    for view in sorted({level.view for level in LEVELS}):
        taps = [level.tap for level in LEVELS if level.view == view]
        found[view] = trunk(reduce(rgb, view), taps, dtype)
    return [found[level.view][level.tap] for level in LEVELS]


def reduce(rgb: Tensor, view: float) -> Tensor:
    """Reduce pictures to a part of their size."""
    if view == 1:
        return rgb
    size = (round(rgb.shape[2] * view), round(rgb.shape[3] * view))
    return F.interpolate(rgb, size, mode="bilinear", antialias=True, align_corners=False)


def measure_moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean (B, C) and covariance (B, C, C) of feature maps (B, C, h, w), in float32."""
    f = sample_positions(features).float()
    mean = f.mean(1)
    return mean, mean_outer(f - mean[:, None])


def measure_style(features: Tensor) -> StyleMoments:
    """Measure what a map to these features' moments needs."""
    mean, covariance = measure_moments(features)
    ridge = RIDGE * covariance.diagonal(dim1=1, dim2=2).mean(1).clamp_min(MIN_RIDGE / RIDGE)
    root, _ = find_roots(_add(covariance, ridge), ROOT_ITERATIONS)
    return StyleMoments(mean, root, ridge)


def transport(features: Tensor, style: StyleMoments, strength: Tensor) -> tuple[Tensor, Tensor]:
    """Carry features (B, C, h, w) to other moments, `strength` (B,) of the way; returns them and the amount of change.

    T = R (R C R)^-1/2 R with R = S^1/2 is the optimal map of normal distributions. It is a constant for the gradient,
    but for the features' mean and scale, which it takes away: otherwise the decoder would try to change those.
    """
    with torch.autocast(features.device.type, enabled=False):  # covariances would lose their small eigenvalues
        return _transport(features, style, strength)


def _transport(features: Tensor, style: StyleMoments, strength: Tensor) -> tuple[Tensor, Tensor]:
    x = sample_positions(features).float()
    mean, covariance = measure_moments(features)
    scale = covariance.diagonal(dim1=1, dim2=2).mean(1).clamp_min(1e-8).sqrt()
    with torch.no_grad():
        root = style.root.double()  # in float32, the product's smallest eigenvalues may be negative
        _, inverse = find_roots(root @ _add(covariance, style.ridge).double() @ root, INVERSE_ITERATIONS)
        matrix = (root @ inverse @ root).float()
        is_found = matrix.isfinite().all(2, keepdim=True).all(1, keepdim=True)
        matrix = torch.where(is_found, matrix, torch.eye(matrix.shape[1], device=matrix.device))
    part = strength.view(-1, 1, 1)
    centered = (x - mean[:, None]) * (scale.detach() / scale).view(-1, 1, 1)
    carried = torch.baddbmm(style.mean[:, None], centered, matrix)
    y = x + part * (carried - x)
    with torch.no_grad():
        moved = (y - x).square().sum((1, 2)) / (centered.square().sum((1, 2)) + 1e-8)
        amount = moved.sqrt().clamp_max(2).view(-1, 1, 1, 1)
    back = y.to(features.dtype).view(features.shape[0], *features.shape[2:], -1).permute(0, 3, 1, 2)
    return back, amount


def _add(covariance: Tensor, ridge: Tensor) -> Tensor:
    return covariance + torch.diag_embed(ridge[:, None].expand(-1, covariance.shape[1]))
