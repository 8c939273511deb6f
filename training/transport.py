"""What the fast path's decoder learns from: features of pictures, moments of paintings, and the map between them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from impasto.fast.decoder import LEVELS, reduce_to_view
from impasto.fast.transport import MAX_AMOUNT, MIN_RIDGE, RIDGE
from kernels import find_roots, mean_outer
from student import Trunk, sample_positions

MAX_GAIN = 1e3  # of a map; others are failures of rounding
MIN_PHOTO_RIDGE = 2e-5  # of the trace of the photo's covariance
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

    def put(self, first: "StyleMoments") -> "StyleMoments":
        """Put some paintings in the place of the first."""
        rest = [(getattr(first, part), getattr(self, part)) for part in ("mean", "root", "ridge")]
        return StyleMoments(*[torch.cat([new, old[len(new) :]]) for new, old in rest])


def encode(trunk: Trunk, rgb: Tensor) -> list[Tensor]:
    """Return the features of pictures (B, 3, H, W) at each level."""
    dtype = next(trunk.parameters()).dtype
    found: dict[float, dict[str, Tensor]] = {}
    for view in sorted({level.view for level in LEVELS}):
        taps = [level.tap for level in LEVELS if level.view == view]
        found[view] = trunk(reduce_to_view(rgb, view), taps, dtype)
    return [found[level.view][level.tap] for level in LEVELS]


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
    x = sample_positions(features)
    with torch.no_grad():
        center, covariance = measure_moments(features)
        root = style.root.double() if features.is_cuda else style.root  # products would have negative eigenvalues
        # Products diverge where rounding made an eigenvalue negative, for which a flat painting's ridge is too small.
        ridge = torch.maximum(style.ridge, MIN_PHOTO_RIDGE * covariance.diagonal(dim1=1, dim2=2).sum(1))
        _, inverse = find_roots(root @ _add(covariance, ridge).to(root) @ root, INVERSE_ITERATIONS)
        matrix = (root @ inverse @ root).float()
        is_found = (matrix.abs() < MAX_GAIN).all(2, keepdim=True).all(1, keepdim=True)
        identity = torch.eye(matrix.shape[1], device=matrix.device)
        matrix = torch.where(is_found, matrix, identity)
        part = strength.view(-1, 1, 1)
        mixed = torch.lerp(identity.expand_as(matrix), matrix, part)
        change = mixed - identity
        shift = strength[:, None] * (style.mean - center)
        moved = ((change @ covariance) * change).sum((1, 2)) + shift.square().sum(1)
        variance = covariance.diagonal(dim1=1, dim2=2).sum(1)
        amount = (moved / (variance + 1e-8)).clamp_min(0).sqrt().clamp_max(MAX_AMOUNT).view(-1, 1, 1, 1)
    # y = part (mean_s + k (x - mean) T) + (1 - part) x, where k is 1 and has the gradient of a normalization.
    mean = x.float().mean(1) if x.shape[1] < 4096 else x.mean(1, dtype=torch.float32)
    spread = (x.square().mean((1, 2), dtype=torch.float32) - mean.square().mean(1)).clamp_min(1e-8).sqrt()
    k = (spread.detach() / spread).view(-1, 1, 1) if x.requires_grad else torch.ones_like(part)
    matrix = part * k * matrix
    whole = (matrix + (1 - part) * identity).to(x.dtype)
    offset = part[:, 0] * style.mean - (mean[:, None] @ matrix)[:, 0]
    y = torch.baddbmm(offset[:, None].to(x.dtype), x, whole)
    back = y.view(features.shape[0], *features.shape[2:], -1).permute(0, 3, 1, 2)
    return back, amount


def _add(covariance: Tensor, ridge: Tensor) -> Tensor:
    return covariance + torch.diag_embed(ridge[:, None].expand(-1, covariance.shape[1]))
