"""The fast path's parts: optimal transport of features, and the decoder that makes a picture of them."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kernels import find_roots, mean_outer
from student import sample_positions

RIDGE = 1e-3  # of the mean eigenvalue, the mean of content's and style's: equal statistics give the identity exactly
ITERATIONS = 24
INNER_WIDTHS = (24, 48, 96, 128, 96)


class Decoder(nn.Module):
    """Mapped features of relu1_1 ... relu5_1, (B, C, h, w) each -> pictures (B, 3, H, W), about in [0, 1].

    From the coarsest level on: a 1x1 convolution brings a level's features in, a residual block joins them to what came
    from below, a convolution goes to the next level's width, and interpolation to its size.
    """

    def __init__(self, widths: Sequence[int], inner: Sequence[int] = INNER_WIDTHS) -> None:
        super().__init__()
        self.skip = nn.ModuleList([nn.Conv2d(width, own, 1) for width, own in zip(widths, inner, strict=True)])
        self.one = nn.ModuleList([nn.Conv2d(own, own, 3, padding=1) for own in inner])
        self.two = nn.ModuleList([nn.Conv2d(own, own, 3, padding=1) for own in inner])
        kernels = [3] * (len(inner) - 1) + [1]  # the coarsest level's is 1x1
        outer = (3, *inner[:-1])
        self.up = nn.ModuleList(
            [nn.Conv2d(own, out, k, padding=k // 2) for own, out, k in zip(inner, outer, kernels, strict=True)]
        )
        for block in self.two:
            assert isinstance(block, nn.Conv2d)
            assert block.bias is not None
            nn.init.zeros_(block.weight)
            nn.init.zeros_(block.bias)
        bias = self.up[0].bias
        assert isinstance(bias, Tensor)
        nn.init.constant_(bias, 0.5)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Decode the levels, finest first."""
        x: Tensor | None = None
        for level in reversed(range(len(features))):
            brought: Tensor = self.skip[level](features[level])
            size = brought.shape[-2:]
            x = brought if x is None else brought + F.interpolate(x, size, mode="bilinear", align_corners=False)
            x = x + self.two[level](F.relu(self.one[level](F.relu(x))))
            x = self.up[level](F.relu(x))
        assert x is not None
        return x


def measure_moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean (B, C) and covariance (B, C, C) of feature maps (B, C, h, w), in float32."""
    f = sample_positions(features).float()
    mean = f.mean(1)
    return mean, mean_outer(f - mean[:, None])


def find_monge_map(content: Tensor, style: Tensor) -> Tensor:
    """Return T = C^-1/2 (C^1/2 S C^1/2)^1/2 C^-1/2, the optimal map of normal distributions, (B, D, D)."""
    ridge = (content + style).diagonal(dim1=1, dim2=2).mean(1).clamp_min(2e-8) * RIDGE / 2
    added = torch.diag_embed(ridge[:, None].expand(-1, content.shape[1])).double()
    root, inverse = find_roots(content.double() + added, ITERATIONS)
    middle, _ = find_roots(root @ (style.double() + added) @ root, ITERATIONS + 4)
    return (inverse @ middle @ inverse).float()


@torch.no_grad()
def transport(content: Sequence[Tensor], style: Sequence[Tensor], strength: Tensor) -> list[Tensor]:
    """Carry features of each level to another picture's moments, `strength` (B,) of the way from 0 to 1."""
    mapped = []
    for f, g in zip(content, style, strict=True):
        (mean, covariance), (target, wanted) = measure_moments(f), measure_moments(g)
        x = sample_positions(f).float()
        y = target[:, None] + torch.bmm(x - mean[:, None], find_monge_map(covariance, wanted))
        y = x + strength.view(-1, 1, 1) * (y - x)
        mapped.append(y.to(f.dtype).view(f.shape[0], *f.shape[2:], -1).permute(0, 3, 1, 2))
    return mapped
