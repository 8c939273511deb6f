"""The losses against numbers worked out by hand, closed forms, and finite differences."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor
from torch.autograd import gradcheck

from impasto.painting import losses
from impasto.perception.moments import Moments, measure

# One channel, 2 x 2: F - P = 1, 0, 2, -1
SEEN = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]], dtype=torch.float64)
PHOTO = torch.tensor([[[[0.0, 2.0], [1.0, 5.0]]]], dtype=torch.float64)
MASK = torch.tensor([[[[1.0, 0.0], [0.5, 1.0]]]], dtype=torch.float64)

STYLES = [losses.style_sum, losses.style_gram, losses.style_wasserstein]
StyleLoss = Callable[[Moments, Moments], Tensor]


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def features(rows: list[list[float]]) -> Tensor:
    """Make a feature map (1, C, 1, M) of `rows` (C, M)."""
    return torch.tensor(rows, dtype=torch.float64)[None, :, None]


def gaussian(mean: Tensor, covariance: Tensor) -> Moments:
    """Make the moments of one position with that mean and covariance."""
    return Moments(mean.new_tensor(1.0), mean, covariance + mean.outer(mean))


# Content


def test_content_is_half_the_sum_of_squares() -> None:
    assert float(losses.content_sum(SEEN, PHOTO)) == pytest.approx(3.0, rel=1e-15)  # (1 + 0 + 4 + 1) / 2
    assert float(losses.content_sum(SEEN, PHOTO, MASK)) == pytest.approx(2.0, rel=1e-15)  # (1 + 0 + 4 / 2 + 1) / 2


def test_relative_content_is_a_share_of_the_photos_variance() -> None:
    # The photo's mean is 2, its squared distances from it 4, 0, 1, 9.
    assert float(losses.content_relative(SEEN, PHOTO)) == pytest.approx(6 / 14, rel=1e-12)
    # Masked, the mean is 5.5 / 2.5 = 2.2, the distances 4.84, 1.44 / 2, 7.84.
    assert float(losses.content_relative(SEEN, PHOTO, MASK)) == pytest.approx(4 / 13.4, rel=1e-12)


def test_relative_content_runs_from_the_photo_to_its_mean_at_any_size_and_scale() -> None:
    photo, seen = draw(1, 3, 4, 5), draw(1, 3, 4, 5, seed=1)
    loss = losses.content_relative(seen, photo)
    assert float(losses.content_relative(photo, photo)) == 0
    assert float(losses.content_relative(photo.mean((2, 3), keepdim=True), photo)) == pytest.approx(1)
    torch.testing.assert_close(losses.content_relative(7 * seen, 7 * photo), loss)
    torch.testing.assert_close(losses.content_relative(seen.tile(1, 1, 2, 3), photo.tile(1, 1, 2, 3)), loss)


@pytest.mark.parametrize("mask", [None, MASK], ids=["whole", "masked"])
def test_a_photo_flatter_than_that_counts_as_if_it_had_the_least_variance(mask: Tensor | None) -> None:
    flat, positions = torch.full_like(PHOTO, 2.0), 4 if mask is None else 2.5
    assert float(losses.content_variance(flat, mask, 0.5)) == pytest.approx(0.5 * positions)
    for least in (0.0, 3.4):  # the photo has 14 / 4, masked 13.4 / 2.5
        assert losses.content_variance(PHOTO, mask, least) == losses.content_variance(PHOTO, mask)


@pytest.mark.parametrize("mask", [None, MASK], ids=["whole", "masked"])
def test_a_variance_asked_for_before_is_what_the_distance_is_a_share_of(mask: Tensor | None) -> None:
    squared = 2 * float(losses.content_sum(SEEN, PHOTO, mask))
    assert float(losses.content_relative(SEEN, PHOTO, mask, 5.0)) == pytest.approx(squared / 5)


def test_where_nothing_at_all_is_seen_differences_are_taken_as_they_are() -> None:
    nothing = torch.zeros_like(SEEN)
    assert float(losses.content_relative(SEEN, nothing)) == 1 + 4 + 9 + 16
    assert float(losses.style_gram(measure(SEEN), measure(nothing))) == (30 / 4) ** 2
    assert float(losses.style_wasserstein(measure(SEEN), measure(nothing))) == pytest.approx(30 / 4)


# Style

# F F^T = [[5, 5], [5, 10]] over 2 positions; the painting's is the identity.
CANVAS = features([[1, 2], [3, 1]])
PAINTING = features([[1, 0], [0, 1]])


def test_style_is_the_papers_on_raw_gram_sums() -> None:
    # G - A = [[4, 5], [5, 9]], squares 16 + 25 + 25 + 81; N = M = 2
    expected = 147 / (4 * 2**2 * 2**2)
    assert float(losses.style_sum(measure(CANVAS), measure(PAINTING))) == pytest.approx(expected, rel=1e-12)


def test_each_gram_matrix_is_taken_per_position() -> None:
    # One position, (2, 0): A = [[4, 0], [0, 0]]; G / 2 - A = [[-1.5, 2.5], [2.5, 5]]
    single = measure(features([[2], [0]]))
    expected = (2.25 + 6.25 + 6.25 + 25) / (4 * 2**2)
    assert float(losses.style_sum(measure(CANVAS), single)) == pytest.approx(expected, rel=1e-12)


def test_relative_style_is_a_share_of_the_paintings_gram_matrix() -> None:
    # |G - A|^2 / 2^2 over |A|^2 / 2^2
    assert float(losses.style_gram(measure(CANVAS), measure(PAINTING))) == pytest.approx(147 / 2, rel=1e-12)
    scaled = losses.style_gram(measure(3 * CANVAS), measure(3 * PAINTING))
    assert float(scaled) == pytest.approx(147 / 2, rel=1e-12)


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


def test_the_deviation_squares_to_the_covariance_and_is_computed_once() -> None:
    factor = draw(6, 4)
    singular = factor @ factor.T  # two eigenvalues are 0
    moments = gaussian(torch.zeros(6, dtype=singular.dtype), singular)
    root = moments.deviation
    torch.testing.assert_close(root, root.T)
    torch.testing.assert_close(root @ root, singular)
    assert moments.deviation is root


@pytest.mark.parametrize("style", STYLES)
def test_a_style_is_no_distance_from_itself_at_any_size_but_some_from_another(style: StyleLoss) -> None:
    painting, other = draw(1, 3, 6, 5), draw(1, 3, 6, 5, seed=1) + 1
    assert float(style(measure(painting), measure(painting))) == pytest.approx(0, abs=1e-9)
    assert float(style(measure(painting.tile(1, 1, 2, 3)), measure(painting))) == pytest.approx(0, abs=1e-9)
    assert float(style(measure(other), measure(painting))) > 0.1


def test_wasserstein_sees_a_faint_channel_beside_a_strong_one() -> None:
    # (3 / 100 - 1 / 100)^2 of the faint channel, over the painting's energy of 1 + 1 / 100^2
    ours, theirs = (
        gaussian(torch.zeros(2).double(), torch.diag(torch.tensor([1.0, faint]).double())) for faint in (9e-4, 1e-4)
    )
    assert float(losses.style_wasserstein(ours, theirs)) == pytest.approx(4e-4 / (1 + 1e-4), rel=1e-6)


@pytest.mark.parametrize("style", STYLES)
def test_a_style_of_fewer_positions_than_channels_has_a_finite_gradient(style: StyleLoss) -> None:
    canvas = draw(1, 8, 1, 3).float().requires_grad_()
    painting = torch.zeros(1, 8, 2, 2)
    style(measure(canvas), measure(painting + draw(1, 8, 1, 1).float())).backward()
    assert canvas.grad is not None
    assert bool(canvas.grad.isfinite().all())
    assert bool(canvas.grad.any())


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("colour", [1.0, 0.0], ids=["flat", "nothing"])
def test_a_flat_painting_has_a_finite_loss_and_gradient(style: StyleLoss, colour: float) -> None:
    painting = measure(torch.full((1, 8, 4, 4), colour))
    for canvas in (draw(1, 8, 4, 4).float(), torch.full((1, 8, 4, 4), 0.9)):
        canvas.requires_grad_()
        loss = style(measure(canvas), painting)
        loss.backward()
        assert 0 < float(loss.detach()) < 1e3
        assert canvas.grad is not None
        assert bool(canvas.grad.isfinite().all())


# Total variation


def test_total_variation_is_the_mean_squared_step_down_plus_right() -> None:
    picture = torch.tensor([[[[0.0, 1.0, 3.0], [2.0, 1.0, 0.0]]]])
    # down 2, 0, -3; right 1, 2, -1, -1
    assert float(losses.total_variation(picture)) == pytest.approx(13 / 3 + 7 / 4)
    mask = torch.tensor([[[[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]]]])
    # Without the corner: down 2, 0; right 1, -1, -1. The means are still over all steps.
    assert float(losses.total_variation(picture, mask)) == pytest.approx(4 / 3 + 3 / 4)


def test_total_variation_weighs_alike_at_every_size() -> None:
    small, large = (torch.linspace(0, 1, 5).tile(1, 3, height, 1) for height in (4, 9))
    assert float(losses.total_variation(small)) == pytest.approx(1 / 16)
    assert float(losses.total_variation(large)) == pytest.approx(1 / 16)


def test_a_single_row_or_column_has_steps_in_one_direction() -> None:
    row = torch.tensor([[[[0.0, 1.0, 3.0]]]])
    assert float(losses.total_variation(row)) == pytest.approx(5 / 2)
    assert float(losses.total_variation(row.mT, torch.ones(1, 1, 3, 1))) == pytest.approx(5 / 2)
    assert float(losses.total_variation(row[..., :1])) == 0


# Gradients against finite differences, in float64


@pytest.mark.parametrize("mask", [None, MASK[..., :1].tile(1, 1, 2, 5)], ids=["whole", "masked"])
def test_gradients_of_content_and_total_variation(mask: Tensor | None) -> None:
    seen, photo = draw(1, 3, 4, 5).requires_grad_(), draw(1, 3, 4, 5, seed=1)
    assert gradcheck(lambda x: losses.content_sum(x, photo, mask), seen)
    assert gradcheck(lambda x: losses.content_relative(x, photo, mask), seen)
    assert gradcheck(lambda x: losses.total_variation(x, mask), seen)


@pytest.mark.parametrize("mask", [None, MASK[..., :1].tile(1, 1, 2, 5)], ids=["whole", "masked"])
@pytest.mark.parametrize("style", STYLES)
def test_gradients_of_styles_through_their_moments(style: StyleLoss, mask: Tensor | None) -> None:
    canvas, painting = draw(1, 3, 4, 5).requires_grad_(), measure(draw(1, 3, 5, 6, seed=1))
    assert gradcheck(lambda x: style(measure(x, mask), painting), canvas)


def test_out_of_range_is_the_mean_squared_excess() -> None:
    rgb = torch.tensor([-0.5, 0.0, 0.3, 1.0, 1.25, 1.0]).view(1, 3, 1, 2)
    assert float(losses.out_of_range(rgb)) == pytest.approx((0.25 + 0.0625) / 6)
    assert float(losses.out_of_range(rgb.clamp(0, 1))) == 0


def test_out_of_range_gradient() -> None:
    rgb = torch.tensor([-0.5, 0.1, 0.3, 0.9, 1.25, 1.5], dtype=torch.float64).view(1, 3, 1, 2).requires_grad_()
    assert torch.autograd.gradcheck(losses.out_of_range, (rgb,))
