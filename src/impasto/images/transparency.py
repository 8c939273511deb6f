"""What lies hidden in a picture's transparent pixels, which must change nothing that is seen."""

from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate


def fill_hidden(rgb: Tensor, alpha: Tensor) -> Tensor:
    """Give pixels (1, 3, H, W) where alpha (1, 1, H, W) is 0 the colors of the visible ones around them, smoothly.

    A network sees across the border of what is visible: black or white hidden beside it would be an edge.

    Source: Gortler et al., "The Lumigraph", 1996, section 3.4.3 (pull and push).
    """
    is_visible = alpha > 0
    if bool(is_visible.all()) or not bool(is_visible.any()):
        return rgb
    visible = is_visible.to(rgb)
    color, weight, levels = rgb * visible, visible, []
    while max(weight.shape[2:]) > 1:
        levels.append((color, weight))
        color, weight = (avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False) for x in (color, weight))
    filled = color / weight
    for finer, share in reversed(levels):
        grown = interpolate(filled, finer.shape[2:], mode="bilinear", align_corners=False)
        filled = finer / share.clamp_min(1e-6)
        filled = filled.where(share > 0, grown)
    return rgb.where(is_visible, filled)
