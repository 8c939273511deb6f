"""The losses against numbers worked out by hand, closed forms, and finite differences."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import sqrtm
from torch import Tensor
from torch.autograd import gradcheck

from impasto.network.moments import Moments, measure_moments
from impasto.painting import losses
from impasto.settings.types import ContentLoss

# One channel, 2 x 2: F - P = 1, 0, 2, -1
SEEN = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]], dtype=torch.float64)
PHOTO = torch.tensor([[[[0.0, 2.0], [1.0, 5.0]]]], dtype=torch.float64)
MASK = torch.tensor([[[[1.0, 0.0], [0.5, 1.0]]]], dtype=torch.float64)

STYLES = [
    losses.style_gatys,
    losses.style_gram_mean,
    losses.style_gram,
    losses.style_covariance,
    losses.style_mean_std,
    losses.style_wasserstein,
    losses.style_wasserstein_mean,
]
# The divisors of the absolute losses.
SMALL = {losses.style_gram_mean: 64, losses.style_gatys: 4, losses.style_wasserstein_mean: 1}
StyleLoss = Callable[[Moments, Moments], Tensor]


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def content(kind: ContentLoss, seen: Tensor, photo: Tensor, mask: Tensor | None = None) -> Tensor:
    return losses.squared_distance(seen, photo, mask) / losses.choose_content_divisor(kind, photo, mask)


def features(rows: list[list[float]]) -> Tensor:
    """Make a feature map (1, C, 1, M) of `rows` (C, M)."""
    return torch.tensor(rows, dtype=torch.float64)[None, :, None]


def gaussian(mean: Tensor, covariance: Tensor) -> Moments:
    """Make the moments of one position with that mean and covariance."""
    return Moments(mean.new_tensor(1.0), mean, covariance + mean.outer(mean))


# Content


def test_content_is_half_the_sum_of_squares() -> None:
    assert float(content("sum", SEEN, PHOTO)) == pytest.approx(3.0, rel=1e-15)  # (1 + 0 + 4 + 1) / 2
    assert float(content("sum", SEEN, PHOTO, MASK)) == pytest.approx(2.0, rel=1e-15)  # (1 + 0 + 4 / 2 + 1) / 2


def test_mean_and_root_content_scale_the_sum() -> None:
    # The squares 1, 0, 4, 1 sum to 6: over N M = 4; over 2 sqrt(4)
    assert float(content("mean", SEEN, PHOTO)) == pytest.approx(6 / 4, rel=1e-15)
    assert float(content("root", SEEN, PHOTO)) == pytest.approx(6 / 4, rel=1e-15)
    both = (torch.cat([SEEN, SEEN], 1), torch.cat([PHOTO, PHOTO], 1))
    assert float(content("mean", *both)) == pytest.approx(12 / 8, rel=1e-15)
    assert float(content("root", *both)) == pytest.approx(12 / (2 * 8**0.5), rel=1e-15)
    # Masked, 1 + 4 / 2 + 1 over 2.5 positions
    assert float(content("mean", SEEN, PHOTO, MASK)) == pytest.approx(4 / 2.5, rel=1e-15)
    assert float(content("root", SEEN, PHOTO, MASK)) == pytest.approx(4 / (2 * 2.5**0.5), rel=1e-15)


@given(st.integers(1, 4), st.integers(1, 4))
def test_mean_and_relative_content_ignore_size(down: int, right: int) -> None:
    small = draw(1, 3, 4, 5), draw(1, 3, 4, 5, seed=1)
    large = [of.tile(1, 1, down, right) for of in small]
    growths = {"mean": 1.0, "relative": 1.0, "root": (down * right) ** 0.5, "sum": down * right}
    for kind, growth in growths.items():
        assert float(content(kind, *large)) == pytest.approx(growth * float(content(kind, *small)))


def test_relative_content_is_relative_to_photo_variance() -> None:
    # The photo's mean is 2, its squared distances from it 4, 0, 1, 9.
    assert float(content("relative", SEEN, PHOTO)) == pytest.approx(6 / 14, rel=1e-12)
    # Masked, the mean is 5.5 / 2.5 = 2.2, the distances 4.84, 1.44 / 2, 7.84.
    assert float(content("relative", SEEN, PHOTO, MASK)) == pytest.approx(4 / 13.4, rel=1e-12)


def test_relative_content_is_zero_at_photo_one_at_mean() -> None:
    photo, seen = draw(1, 3, 4, 5), draw(1, 3, 4, 5, seed=1)
    loss = content("relative", seen, photo)
    assert float(content("relative", photo, photo)) == 0
    assert float(content("relative", photo.mean((2, 3), keepdim=True), photo)) == pytest.approx(1)
    torch.testing.assert_close(content("relative", 7 * seen, 7 * photo), loss)
    torch.testing.assert_close(content("relative", seen.tile(1, 1, 2, 3), photo.tile(1, 1, 2, 3)), loss)


@pytest.mark.parametrize("mask", [None, MASK], ids=["whole", "masked"])
def test_flat_photo_counts_with_minimum_variance(mask: Tensor | None) -> None:
    flat, positions = torch.full_like(PHOTO, 2.0), 4 if mask is None else 2.5
    assert float(losses.content_variance(flat, mask, 0.5)) == pytest.approx(0.5 * positions)
    for least in (0.0, 3.4):  # the photo has 14 / 4, masked 13.4 / 2.5
        assert losses.content_variance(PHOTO, mask, least) == losses.content_variance(PHOTO, mask)


def test_invisible_painting_gives_absolute_differences() -> None:
    nothing = torch.zeros_like(SEEN)
    assert float(content("relative", SEEN, nothing)) == 1 + 4 + 9 + 16
    assert float(losses.style_gram(measure_moments(SEEN), measure_moments(nothing))) == (30 / 4) ** 2
    assert float(losses.style_wasserstein(measure_moments(SEEN), measure_moments(nothing))) == pytest.approx(30 / 4)


# Style

# F F^T = [[5, 5], [5, 10]] over 2 positions; the painting's is the identity.
CANVAS = features([[1, 2], [3, 1]])
PAINTING = features([[1, 0], [0, 1]])


def test_style_is_the_papers_on_raw_gram_sums() -> None:
    # G - A = [[4, 5], [5, 9]], squares 16 + 25 + 25 + 81; N = M = 2
    expected = 147 / (4 * 2**2 * 2**2)
    assert float(losses.style_gatys(measure_moments(CANVAS), measure_moments(PAINTING))) == pytest.approx(
        expected, rel=1e-12
    )


def test_each_gram_matrix_is_taken_per_position() -> None:
    # One position, (2, 0): A = [[4, 0], [0, 0]]; G / 2 - A = [[-1.5, 2.5], [2.5, 5]]
    single = measure_moments(features([[2], [0]]))
    expected = (2.25 + 6.25 + 6.25 + 25) / (4 * 2**2)
    assert float(losses.style_gatys(measure_moments(CANVAS), single)) == pytest.approx(expected, rel=1e-12)


def test_gram_loss_is_relative_to_the_painting() -> None:
    # |G - A|^2 / 2^2 over |A|^2 / 2^2
    assert float(losses.style_gram(measure_moments(CANVAS), measure_moments(PAINTING))) == pytest.approx(
        147 / 2, rel=1e-12
    )
    scaled = losses.style_gram(measure_moments(3 * CANVAS), measure_moments(3 * PAINTING))
    assert float(scaled) == pytest.approx(147 / 2, rel=1e-12)


def test_mean_style_counts_a_deep_tap_less() -> None:
    # sum (G - A)^2 = 147 over raw sums, (147 / 2^2) / 2^4 for two channels and two positions
    assert float(losses.style_gram_mean(measure_moments(CANVAS), measure_moments(PAINTING))) == pytest.approx(
        147 / 2**2 / 2**4, rel=1e-12
    )


def test_covariance_loss_is_relative_to_the_painting() -> None:
    # K = [[2.5, 2.5], [2.5, 5]] - (1.5, 2) (1.5, 2)^T = [[.25, -.5], [-.5, 1]]; D = [[.25, -.25], [-.25, .25]]
    expected = (0.25**2 * 2 + 0.75**2) / (4 * 0.25**2)
    assert float(losses.style_covariance(measure_moments(CANVAS), measure_moments(PAINTING))) == pytest.approx(
        expected, rel=1e-9
    )
    shifted = losses.style_covariance(measure_moments(CANVAS + 1), measure_moments(PAINTING))
    assert float(shifted) == pytest.approx(expected, rel=1e-9)


def test_mean_std_loss_is_relative_to_energy() -> None:
    # Means 1.5, 2 against .5, .5; deviations .5, 1 against .5, .5; the painting's energy is 1.
    found = losses.style_mean_std(measure_moments(CANVAS), measure_moments(PAINTING))
    assert float(found) == pytest.approx(1 + 2.25 + 0 + 0.25, rel=1e-9)


def test_deviations_see_no_correlation_and_covariances_no_mean() -> None:
    straight, across = features([[1, -1, 1, -1], [1, -1, 1, -1]]), features([[1, -1, 1, -1], [1, -1, -1, 1]])
    assert float(losses.style_mean_std(measure_moments(straight), measure_moments(across))) == pytest.approx(
        0, abs=1e-12
    )
    assert float(losses.style_covariance(measure_moments(straight), measure_moments(across))) == pytest.approx(1)


def test_wasserstein_mean_matches_hand_calculation() -> None:
    ours = gaussian(torch.tensor([1.0, 2.0]).double(), torch.diag(torch.tensor([4.0, 9.0])).double())
    theirs = gaussian(torch.tensor([3.0, 0.0]).double(), torch.diag(torch.tensor([1.0, 4.0])).double())
    # As below, (8 + 2) / 2 channels, but for 1e-4 added to the variances
    roots = [((4 + 1e-4) ** 0.5 - (1 + 1e-4) ** 0.5) ** 2, ((9 + 1e-4) ** 0.5 - (4 + 1e-4) ** 0.5) ** 2]
    found = losses.style_wasserstein_mean(ours, theirs)
    assert float(found) == pytest.approx((8 + sum(roots)) / 2, rel=1e-9)


@given(st.floats(-3, 3))
def test_shifted_moments_equal_shifted_features(shift: float) -> None:
    canvas = draw(1, 3, 4, 5)
    found, expected = measure_moments(canvas).shifted(shift), measure_moments(canvas + shift)
    torch.testing.assert_close(found.outer, expected.outer)
    torch.testing.assert_close(found.total, expected.total)
    assert found.count == expected.count


def test_wasserstein_between_normal_distributions_worked_out_by_hand() -> None:
    ours = gaussian(torch.tensor([1.0, 2.0]).double(), torch.diag(torch.tensor([4.0, 9.0])).double())
    theirs = gaussian(torch.tensor([3.0, 0.0]).double(), torch.diag(torch.tensor([1.0, 4.0])).double())
    # |m - n|^2 = 4 + 4; (2 - 1)^2 + (3 - 2)^2 = 2; the painting's energy is 9 + 1 + 4.
    assert float(losses.style_wasserstein(ours, theirs)) == pytest.approx(10 / 14, rel=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_wasserstein_between_any_covariances_as_scipy_has_it(seed: int) -> None:
    draws = draw(2, 5, 8, seed=seed)
    ours, theirs = (factor @ factor.T / 8 for factor in draws)
    m, n = draw(2, 5, seed=seed + 10)
    root = sqrtm(theirs.numpy())
    overlap = np.trace(sqrtm(root @ ours.numpy() @ root)).real
    distance = float((m - n).square().sum() + ours.trace() + theirs.trace()) - 2 * overlap
    expected = distance / float(n.square().sum() + theirs.trace())
    found = losses.style_wasserstein(gaussian(m, ours), gaussian(n, theirs))
    assert float(found) == pytest.approx(expected, rel=1e-8)


def test_covariance_factor_has_as_many_columns_as_the_rank_and_is_cached() -> None:
    drawn = draw(6, 4)
    singular = drawn @ drawn.T  # two eigenvalues are 0
    moments = gaussian(torch.zeros(6, dtype=singular.dtype), singular)
    factor = moments.covariance_factor
    assert factor.shape == (6, 4)
    torch.testing.assert_close(factor @ factor.T, singular)
    assert moments.covariance_factor is factor


@pytest.mark.parametrize("positions", [1, 5, 12])  # of 8 channels; one position has no covariance
def test_covariance_factor_of_few_positions_in_float32(positions: int) -> None:
    features = draw(1, 8, 1, positions).float() + 3
    moments = measure_moments(features)
    assert moments.covariance_factor.shape == (8, max(1, min(8, positions - 1)))
    torch.testing.assert_close(
        moments.covariance_factor @ moments.covariance_factor.T, moments.covariance, atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("style", STYLES)
def test_style_loss_is_zero_only_for_its_style(style: StyleLoss) -> None:
    painting, other = draw(1, 3, 6, 5), draw(1, 3, 6, 5, seed=1) + 1
    assert float(style(measure_moments(painting), measure_moments(painting))) == pytest.approx(0, abs=1e-9)
    assert float(style(measure_moments(painting.tile(1, 1, 2, 3)), measure_moments(painting))) == pytest.approx(
        0, abs=1e-9
    )
    assert float(style(measure_moments(other), measure_moments(painting))) > 0.1 / SMALL.get(style, 1)


@pytest.mark.parametrize("positions", [6, 400])  # fewer than channels, and many more
def test_iterated_trace_of_root_and_its_gradient_as_eigenvalues_have_them(positions: int) -> None:
    features = draw(64, positions, seed=5) * torch.logspace(0, -2, 64)[:, None]
    exact = (features @ features.T / positions).requires_grad_()
    (expected := losses.trace_of_root(exact, 1e-6)).backward()
    single = exact.detach().float().requires_grad_()
    (found := losses.IteratedRootTrace.apply(single + 1e-6 * torch.eye(64))).backward()
    assert found.item() == pytest.approx(expected.item(), rel=1e-2)
    assert exact.grad is not None
    assert single.grad is not None
    seen = exact.detach()  # what the gradient says of directions without variance does not matter
    torch.testing.assert_close(single.grad.double() @ seen, exact.grad @ seen, rtol=0.02, atol=0.02 * float(seen.max()))


def test_wasserstein_detects_a_faint_channel() -> None:
    # (3 / 100 - 1 / 100)^2 of the faint channel, over the painting's energy of 1 + 1 / 100^2
    ours, theirs = (
        gaussian(torch.zeros(2).double(), torch.diag(torch.tensor([1.0, faint]).double())) for faint in (9e-4, 1e-4)
    )
    assert float(losses.style_wasserstein(ours, theirs)) == pytest.approx(4e-4 / (1 + 1e-4), rel=1e-6)


@pytest.mark.parametrize("style", STYLES)
def test_fewer_positions_than_channels_gives_finite_gradient(style: StyleLoss) -> None:
    canvas = draw(1, 8, 1, 3).float().requires_grad_()
    painting = torch.zeros(1, 8, 2, 2)
    style(measure_moments(canvas), measure_moments(painting + draw(1, 8, 1, 1).float())).backward()
    assert canvas.grad is not None
    assert bool(canvas.grad.isfinite().all())
    assert bool(canvas.grad.any())


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("colour", [1.0, 0.0], ids=["flat", "nothing"])
def test_flat_painting_gives_finite_loss_and_gradient(style: StyleLoss, colour: float) -> None:
    painting = measure_moments(torch.full((1, 8, 4, 4), colour))
    for canvas in (draw(1, 8, 4, 4).float(), torch.full((1, 8, 4, 4), 0.9)):
        canvas.requires_grad_()
        loss = style(measure_moments(canvas), painting)
        loss.backward()
        assert 0 < float(loss.detach()) < 1e3
        assert canvas.grad is not None
        assert bool(canvas.grad.isfinite().all())


# Gradients against finite differences, in float64


@pytest.mark.parametrize("mask", [None, MASK[..., :1].tile(1, 1, 2, 5)], ids=["whole", "masked"])
def test_gradients_of_contents(mask: Tensor | None) -> None:
    seen, photo = draw(1, 3, 4, 5).requires_grad_(), draw(1, 3, 4, 5, seed=1)
    assert gradcheck(lambda x: content("sum", x, photo, mask), seen)
    assert gradcheck(lambda x: content("relative", x, photo, mask), seen)
    assert gradcheck(lambda x: content("mean", x, photo, mask), seen)
    assert gradcheck(lambda x: content("root", x, photo, mask), seen)


@pytest.mark.parametrize("mask", [None, MASK[..., :1].tile(1, 1, 2, 5)], ids=["whole", "masked"])
@pytest.mark.parametrize("style", STYLES)
def test_gradients_of_styles_through_their_moments(style: StyleLoss, mask: Tensor | None) -> None:
    canvas, painting = draw(1, 3, 4, 5).requires_grad_(), measure_moments(draw(1, 3, 5, 6, seed=1))
    assert gradcheck(lambda x: style(measure_moments(x, mask), painting), canvas)


def test_out_of_range_is_the_mean_squared_excess() -> None:
    rgb = torch.tensor([-0.5, 0.0, 0.3, 1.0, 1.25, 1.0]).view(1, 3, 1, 2)
    assert float(losses.out_of_range(rgb)) == pytest.approx((0.25 + 0.0625) / 6)
    assert float(losses.out_of_range(rgb.clamp(0, 1))) == 0


def test_out_of_range_gradient() -> None:
    rgb = torch.tensor([-0.5, 0.1, 0.3, 0.9, 1.25, 1.5], dtype=torch.float64).view(1, 3, 1, 2).requires_grad_()
    assert torch.autograd.gradcheck(losses.out_of_range, (rgb,))
