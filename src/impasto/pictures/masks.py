"""Soft masks: carried from a picture's pixels to the grid of a tap."""

import torch
from torch import Tensor


def shrink_mask(mask: Tensor | None, stride: int) -> Tensor | None:
    """Carry a mask (1, 1, H, W) to the grid of a tap with that stride: each cell's own share of it.

    The rim that pooling crops counts to the cells beside it, so that nothing visible is lost.
    """
    if mask is None:
        return None
    for dimension in (2, 3):
        inner = (mask.shape[dimension] // stride - 1) * stride
        cells, last = mask.tensor_split([inner], dimension)
        cells = torch.unflatten(cells, dimension, (inner // stride, stride)).mean(dimension + 1)
        mask = torch.cat([cells, last.mean(dimension, keepdim=True)], dimension)
    return mask
