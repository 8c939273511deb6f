"""Histograms of activations: distances with known answers, blends, masks, gradients."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance
from torch import Tensor
from torch.autograd import gradcheck

from impasto.painting.histograms import blend_histograms, collect_histogram, style_histogram


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def row(*values: float) -> Tensor:
    """Make a feature map (1, 1, 1, M) of one channel."""
    return torch.tensor(values, dtype=torch.float64).view(1, 1, 1, -1)


def test_sorted_values_are_compared_in_order() -> None:
    # Sorted: 1, 2, 6 and 0, 4, 5. (1 + 4 + 1) / 3 over the painting's (0 + 16 + 25) / 3
    assert float(style_histogram(row(6, 1, 2), collect_histogram(row(5, 0, 4)))) == pytest.approx(6 / 41)


def test_shift_and_stretch_have_the_expected_distance() -> None:
    painting = draw(1, 3, 6, 7)
    energy = painting.square().sum() / 42
    values = collect_histogram(painting)
    assert float(style_histogram(painting + 0.5, values)) == pytest.approx(float(3 * 0.25 / energy))
    assert float(style_histogram(2 * painting, values)) == pytest.approx(1)


@given(st.integers(0, 99), st.integers(1, 3), st.integers(1, 3))
def test_loss_ignores_position_and_count_of_values(seed: int, down: int, right: int) -> None:
    painting = draw(1, 3, 4, 5, seed=seed)
    shuffled = painting.flatten(2)[..., torch.randperm(20, generator=torch.Generator().manual_seed(seed))]
    assert float(style_histogram(shuffled.view(1, 3, 5, 4), collect_histogram(painting))) == pytest.approx(0, abs=1e-20)
    # Repeated, the values have steps where the single ones are joined by slopes: nearly the same.
    larger = draw(1, 3, 4, 5, seed=seed + 1).tile(1, 1, down, right)
    once, more = (
        style_histogram(larger, collect_histogram(painting)),
        style_histogram(larger, collect_histogram(painting.tile(1, 1, 3, 3))),
    )
    assert float(more) == pytest.approx(float(once), abs=0.1)


def test_distributions_with_equal_moments_differ() -> None:
    two, three = row(-1, -1, 1, 1), row(-(2**0.5), 0, 0, 2**0.5)
    assert float(two.square().mean()) == pytest.approx(float(three.square().mean()))
    assert float(style_histogram(two, collect_histogram(three))) > 0.1


@pytest.mark.parametrize("seed", range(3))
def test_a_mask_counts_positions_as_scipy_weighs_them(seed: int) -> None:
    """SciPy has the distance with exponent 1 alone; for a painting of one value the two are moments of the same."""
    features, mask = draw(1, 1, 5, 6, seed=seed), draw(1, 1, 5, 6, seed=seed + 9).abs()
    painting = row(7.0)
    expected = wasserstein_distance(features.flatten() ** 2, [0.0], mask.flatten()) - 14 * float(
        (features * mask).sum() / mask.sum()
    )
    found = float(style_histogram(features, collect_histogram(painting), mask)) * 49
    assert found == pytest.approx(expected + 49)


def test_binary_mask_equals_cropping() -> None:
    features, painting = draw(1, 2, 4, 6), draw(1, 2, 3, 8, seed=1)
    mask = torch.zeros(1, 1, 4, 6, dtype=torch.float64)
    mask[..., :3] = 1
    part = style_histogram(features[..., :3], collect_histogram(painting))
    assert float(style_histogram(features, collect_histogram(painting), mask)) == pytest.approx(float(part))
    seen = collect_histogram(painting, (mask * 1).view(1, 1, 3, 8))
    assert seen.values.shape == (2, 12)


def test_styles_blend_by_their_shares_whatever_their_sizes() -> None:
    one, other = row(*[0.0] * 20), row(*[1.0] * 60)
    both = blend_histograms([collect_histogram(one), collect_histogram(other)], [3, 1])
    assert float(both.energy) == pytest.approx(0.25)
    assert float(style_histogram(row(0, 0, 0, 1), both)) < 1e-3
    assert float(style_histogram(row(0, 1, 1, 1), both)) > 0.2


def test_cached_quantiles_are_the_same() -> None:
    painting, features = collect_histogram(draw(1, 3, 4, 5)), draw(1, 3, 6, 6, seed=1)
    first = style_histogram(features, painting)
    style_histogram(features[..., :3], painting)
    assert torch.equal(style_histogram(features, painting), first)


@pytest.mark.parametrize("masked", [False, True])
def test_gradients(*, masked: bool) -> None:
    features, painting = draw(1, 2, 3, 4).requires_grad_(), collect_histogram(draw(1, 2, 5, 3, seed=1))
    mask = draw(1, 1, 3, 4, seed=2).abs() if masked else None
    assert gradcheck(lambda x: style_histogram(x, painting, mask), features)


def test_a_painting_without_anything_has_a_finite_loss() -> None:
    features = torch.ones(1, 2, 3, 3, requires_grad=True)
    loss = style_histogram(features, collect_histogram(torch.zeros(1, 2, 4, 4)))
    loss.backward()
    assert float(loss.detach()) == 2
    assert features.grad is not None
    assert bool(features.grad.isfinite().all())
