"""How large a painting's strokes are, and the size at which they show on a canvas."""

import torch
from torch import Tensor

from impasto.images.color_spaces import take_luma
from impasto.images.image import Image
from impasto.images.sizes import fit_size, resize, resize_clamped
from impasto.settings.lengths import AUTO_RANGE

SEEN_SIDE = 512  # pixels that a painting's longer side is measured at
OCTAVES = 6  # detail of 2 to 4 pixels, 4 to 8, ...
BALANCED_OCTAVE = 3.3  # the mean of the octaves, weighted by their energy, at which a painting keeps its size
SIZE_PER_OCTAVE = 0.7  # of an octave that the size changes by, for one of the mean


def choose_style_size(painting: Image) -> float:
    """Choose how large a painting is beside the canvas: fine strokes are enlarged until they show, broad ones fit in.

    The size goes by the mean octave of the painting's detail. Both constants were chosen by eye on sheets of six sizes:
    people rate strokes that are too small lowest (Kitov 2024).
    """
    width, height = fit_size(painting.width, painting.height, SEEN_SIDE, "shrink")
    small = resize_clamped(painting.flattened().float(), width, height)
    energies = _measure_octaves(take_luma(small))
    mean = float((energies * torch.arange(len(energies))).sum() / energies.sum().clamp_min(1e-12))
    low, high = AUTO_RANGE
    return min(high, max(low, 2 ** (SIZE_PER_OCTAVE * (BALANCED_OCTAVE - mean))))


def _measure_octaves(luma: Tensor) -> Tensor:
    """Return the mean square of each octave of a picture (1, 1, H, W), the finest first: the bands of a pyramid."""
    energies: list[Tensor] = []
    while len(energies) < OCTAVES and min(luma.shape[-2:]) >= 8:
        height, width = luma.shape[-2:]
        half = resize(luma, width // 2, height // 2)
        energies.append((luma - resize(half, width, height)).square().mean())
        luma = half
    return torch.stack(energies) if energies else luma.new_zeros(1)
