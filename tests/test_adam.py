"""Adam walks where torch's own walks, and takes its moments along to a larger canvas."""

import pytest
import torch
from torch import Tensor

from impasto.painting.adam import Adam


def draw(seed: int = 0, height: int = 4, width: int = 5) -> Tensor:
    chance = torch.Generator().manual_seed(seed)
    return torch.randn(1, 3, height, width, dtype=torch.float64, generator=chance)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["plain", "channels_last"])
@pytest.mark.parametrize("chosen", [(0.9, 0.99, 1e-8), (0.5, 0.999, 1e-2), (0.0, 0.0, 1e-6)])
def test_the_iterates_are_torchs(layout: torch.memory_format, chosen: tuple[float, float, float]) -> None:
    theirs, (beta1, beta2, epsilon) = draw().requires_grad_(), chosen
    reference = torch.optim.Adam([theirs], lr=0.05, betas=(beta1, beta2), eps=epsilon)
    ours, optimizer = draw().contiguous(memory_format=layout), Adam(0.05, *chosen)
    for seed in range(1, 31):
        gradient = draw(seed) * seed
        theirs.grad = gradient.clone()
        reference.step()
        optimizer.step(ours, gradient.contiguous(memory_format=layout))
        torch.testing.assert_close(ours, theirs.detach(), rtol=1e-12, atol=1e-12)
    assert ours.is_contiguous(memory_format=layout)


def test_second_moment_averages_a_hundred_steps() -> None:
    given = Adam(0.05)
    assert (given.beta1, given.beta2, given.epsilon) == (0.9, 0.99, 1e-8)


def test_the_moments_are_carried_to_a_larger_canvas() -> None:
    """Under gradients that are alike everywhere, a larger canvas goes on as one that was large from the beginning."""
    carried, whole = Adam(0.1), Adam(0.1)
    small, large = torch.zeros(1, 3, 4, 6), torch.zeros(1, 3, 8, 9)
    for strength in (1.0, -2.0, 0.5):
        carried.step(small, torch.full_like(small, strength))
        whole.step(large, torch.full_like(large, strength))
    carried = carried.resized(9, 8)
    assert carried.first is not None
    assert carried.first.shape == (1, 3, 8, 9)
    enlarged = large.clone()
    carried.step(enlarged, torch.full_like(enlarged, 0.25))
    whole.step(large, torch.full_like(large, 0.25))
    torch.testing.assert_close(enlarged, large)


def test_an_enlarged_second_moment_is_never_negative() -> None:
    optimizer = Adam(0.1)
    edge = torch.zeros(1, 3, 8, 8)
    edge[..., 4:] = 1  # bicubic enlargement undershoots beside an edge
    optimizer.step(torch.zeros_like(edge), edge)
    assert optimizer.second is not None
    optimizer = optimizer.resized(17, 17)
    assert optimizer.second is not None
    assert float(optimizer.second.min()) == 0
    x = torch.zeros(1, 3, 17, 17)
    optimizer.step(x, torch.ones_like(x))
    assert bool(x.isfinite().all())


def test_a_fresh_one_has_nothing_to_carry() -> None:
    optimizer, x = Adam(0.1).resized(6, 6), torch.zeros(1, 3, 6, 6)
    optimizer.step(x, torch.ones_like(x))
    torch.testing.assert_close(x, torch.full_like(x, -0.1))
