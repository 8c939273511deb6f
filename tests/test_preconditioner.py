"""The basis of coarse scales: symmetric, of mean gain 1, and larger for what is lower."""

import pytest
import torch
from torch import Tensor

from impasto.painting.preconditioner import GAIN_EXPONENT, MIN_FREQUENCY, favor_low_frequencies

SIZES = [(16, 24), (15, 9), (1, 7), (8, 1)]


def draw(height: int, width: int, seed: int) -> Tensor:
    chance = torch.Generator().manual_seed(seed)
    return torch.randn(1, 3, height, width, dtype=torch.float64, generator=chance)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_the_map_is_symmetric_and_positive(height: int, width: int) -> None:
    x, y = draw(height, width, 1), draw(height, width, 2)
    torch.testing.assert_close((favor_low_frequencies(x) * y).sum(), (x * favor_low_frequencies(y)).sum())
    assert float((favor_low_frequencies(x) * x).sum()) > 0
    assert favor_low_frequencies(x).shape == x.shape


@pytest.mark.parametrize("cycles", [0, 1, 3, 8])
def test_a_wave_is_scaled_by_its_frequency_alone(cycles: int) -> None:
    wave = torch.cos(2 * torch.pi * cycles * torch.arange(16, dtype=torch.float64) / 16).expand(1, 3, 12, 16)
    flat = torch.ones(1, 3, 12, 16, dtype=torch.float64)
    ratio = (MIN_FREQUENCY / (cycles / 16 + MIN_FREQUENCY)) ** GAIN_EXPONENT
    torch.testing.assert_close(favor_low_frequencies(wave), ratio * favor_low_frequencies(flat)[0, 0, 0, 0] * wave)


def test_white_noise_keeps_its_size() -> None:
    noise = draw(64, 64, 3)
    assert float(favor_low_frequencies(noise).square().mean() / noise.square().mean()) == pytest.approx(1, rel=0.1)


def test_the_layout_is_the_canvass() -> None:
    assert favor_low_frequencies(draw(8, 8, 1)).is_contiguous(memory_format=torch.channels_last)
