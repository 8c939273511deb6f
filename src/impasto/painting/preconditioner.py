"""A change of basis that speeds up coarse scales: low frequencies move farther than high ones."""

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

# A frequency f, in cycles per pixel, is scaled by (f + MIN_FREQUENCY)^-GAIN_EXPONENT; in a step, by the square of that.
GAIN_EXPONENT = 0.5
MIN_FREQUENCY = 0.02


def choose_preconditioner(pixel_range: float, *, low_first: bool) -> Callable[[Tensor], Tensor] | None:
    """Return the map from the values that L-BFGS works on to pixels in [0, 1]; None for the identity.

    `pixel_range` of those values make a pixel's whole range; with `low_first`, `favor_low_frequencies` scales them too.
    """
    if pixel_range == 1:
        return favor_low_frequencies if low_first else None
    return lambda x: (favor_low_frequencies(x) if low_first else x) / pixel_range


def favor_low_frequencies(x: Tensor) -> Tensor:
    """Scale the frequencies of a picture or its gradient (1, 3, H, W); the map is symmetric, its mean square gain 1.

    Source of the idea: Olah, Mordvintsev and Schubert, "Feature Visualization", 2017, on preconditioning.
    """
    height, width = x.shape[2:]
    gain = _make_gain(height, width, x.device, x.dtype)
    scaled: Tensor = torch.fft.irfft2(torch.fft.rfft2(x) * gain, s=(height, width))
    return scaled.contiguous(memory_format=torch.channels_last)


@lru_cache(maxsize=2)
def _make_gain(height: int, width: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return the gain of each frequency, (H, W // 2 + 1), in the order of rfft2."""
    down = torch.fft.fftfreq(height, device=device, dtype=dtype)[:, None]
    right = torch.fft.rfftfreq(width, device=device, dtype=dtype)
    gain = (torch.hypot(down, right) + MIN_FREQUENCY) ** -GAIN_EXPONENT
    return gain / gain.square().mean().sqrt()
