"""Matching colors: the statistics asked for, exactly; and pictures that have none."""

import math

import numpy as np
import pytest
import torch
from conftest import make_picture
from hypothesis import given
from hypothesis import strategies as st
from skimage.exposure import match_histograms
from torch import Tensor

from impasto.images.color_matching import MAX_SAMPLE_PIXELS, clamp_luma_first, match_colors, visible_colors

AFFINE = ("symmetric", "cholesky", "pca")
METHODS = (*AFFINE, "histogram")
methods = pytest.mark.parametrize("method", METHODS)


def match(painting: Tensor, photo: Tensor, method: str, painting_alpha=None, photo_alpha=None) -> Tensor:
    return match_colors(painting, visible_colors(painting, painting_alpha), visible_colors(photo, photo_alpha), method)


def moments(rgb: Tensor) -> tuple[Tensor, Tensor]:
    values = rgb[0].flatten(1).double()
    return values.mean(1), torch.cov(values, correction=0)


def soft(seed: int, width: int = 31, height: int = 23) -> Tensor:
    """A picture with colors about the middle, so that a match leaves nothing outside [0, 1]."""
    return 0.5 + 0.4 * (make_picture(width, height, seed, torch.float64) - 0.5)


def extremes() -> dict[str, Tensor]:
    """Pictures in which colors vary in no direction or in one, or in which there is next to nothing."""
    gray = make_picture(9, 7)[:, :1].expand(1, 3, 7, 9)
    tint = torch.tensor([0.7, 0.2, 0.4]).view(1, 3, 1, 1)
    return {
        "black": torch.zeros(1, 3, 7, 9),
        "white": torch.ones(1, 3, 7, 9),
        "flat": tint.expand(1, 3, 7, 9),
        "gray": gray,
        "black and white": (gray > 0.5).float(),
        "one hue": gray * tint,
        "no blue": make_picture(9, 7) * torch.tensor([1.0, 1, 0]).view(1, 3, 1, 1),
        "two colors": torch.where(gray > 0.5, tint, 1 - tint),
        "one pixel": tint.clone(),
        "two pixels": torch.cat([tint, 1 - tint], 3),
        "colors": make_picture(9, 7, 3),
    }


# Statistics


@pytest.mark.parametrize("method", AFFINE)
@given(seeds=st.tuples(st.integers(0, 99), st.integers(100, 199)))
def test_mean_and_covariance_are_matched(method: str, seeds: tuple[int, int]) -> None:
    painting, photo = soft(seeds[0]), soft(seeds[1], 17, 29)
    mean, covariance = moments(match(painting, photo, method))
    expected_mean, expected_covariance = moments(photo)
    torch.testing.assert_close(mean, expected_mean, atol=1e-9, rtol=0)
    torch.testing.assert_close(covariance, expected_covariance, atol=1e-9, rtol=1e-6)


@pytest.mark.parametrize("method", AFFINE)
def test_colors_in_range_stay_matched(method: str) -> None:
    matched = match(soft(1), soft(2), method)
    assert 0 < float(matched.min()) < float(matched.max()) < 1
    torch.testing.assert_close(clamp_luma_first(matched), matched)


def test_affine_methods_equal_their_definitions() -> None:
    painting, photo = soft(1), soft(2)
    covariances = [moments(picture)[1].numpy() for picture in (painting, photo)]
    mean = moments(painting)[0].view(1, 3, 1, 1)
    unit = mean + torch.eye(3, dtype=torch.float64).view(1, 3, 1, 3)  # what happens to red, green and blue
    maps = {}
    for method in AFFINE:
        moved = match_colors(unit, visible_colors(painting), visible_colors(photo), method) - moments(photo)[0].view(
            1, 3, 1, 1
        )
        maps[method] = moved[0, :, 0].numpy()
    lower = [np.linalg.cholesky(covariance) for covariance in covariances]
    np.testing.assert_allclose(maps["cholesky"], lower[1] @ np.linalg.inv(lower[0]), atol=1e-8)
    np.testing.assert_allclose(maps["symmetric"], maps["symmetric"].T, atol=1e-8)
    assert np.linalg.eigvalsh(maps["symmetric"]).min() > 0
    values, vectors = zip(*map(np.linalg.eigh, covariances), strict=True)
    roots = [v @ np.diag(np.sqrt(w)) @ v.T for w, v in zip(values, vectors, strict=True)]
    np.testing.assert_allclose(maps["pca"], roots[1] @ np.linalg.inv(roots[0]), atol=1e-8)


def test_symmetric_map_moves_colors_least() -> None:
    painting, photo = soft(1), soft(2)
    moved = {method: float((match(painting, photo, method) - painting).square().mean()) for method in AFFINE}
    assert moved["symmetric"] < min(moved["cholesky"], moved["pca"])


def test_quantiles_are_matched() -> None:
    painting, photo = soft(1, 61, 47), soft(2, 47, 61)
    matched = match(painting, photo, "histogram")
    shares = torch.linspace(0.02, 0.98, 49).double()
    for channel in range(3):
        torch.testing.assert_close(
            matched[0, channel].quantile(shares), photo[0, channel].quantile(shares), atol=2e-3, rtol=0
        )
    close = match(painting, photo, "symmetric")
    expected = match_histograms(close[0].numpy(), photo[0].numpy(), channel_axis=0)
    np.testing.assert_allclose(matched[0], expected, atol=6e-3)


def test_histogram_keeps_order_and_equal_values() -> None:
    gray = (soft(1)[:, :1].expand(1, 3, 23, 31) * 20).round() / 20
    painting, matched = gray[0, 0].flatten(), match(gray, soft(2), "histogram")[0, 0].flatten()
    assert float(matched[painting.argsort()].diff().min()) >= 0
    for level in painting.unique():
        assert len(matched[painting == level].unique()) == 1


def test_histogram_invents_no_hues() -> None:
    blue, orange = (torch.tensor(it).view(1, 3, 1, 1) for it in ((0.2, 0.4, 0.8), (0.8, 0.5, 0.2)))
    amount = torch.linspace(0, 1, 600).view(1, 1, 20, 30)
    photo = torch.lerp(blue, orange, amount)
    painting = make_picture(30, 20).double()
    matched = match(painting, photo.double(), "histogram")
    flat = (matched - photo.mean((2, 3), keepdim=True))[0].flatten(1)
    share = torch.linalg.svdvals(flat).square()
    assert float(share[0] / share.sum()) > 0.95  # along the one line that the photo's colors lie on


@methods
def test_matching_a_picture_to_itself_changes_nothing(method: str) -> None:
    painting = make_picture(20, 15)
    torch.testing.assert_close(match(painting, painting, method), painting, atol=1e-5, rtol=0)


# Little to be seen


@methods
@pytest.mark.parametrize("painting", extremes())
@pytest.mark.parametrize("photo", extremes())
def test_degenerate_pictures_stay_finite(method: str, painting: str, photo: str) -> None:
    source, goal = extremes()[painting], extremes()[photo]
    matched = match(source, goal, method)
    assert matched.shape == source.shape
    assert matched.dtype == source.dtype
    shown = clamp_luma_first(matched)
    assert bool(shown.isfinite().all())
    assert 0 <= float(shown.min()) <= float(shown.max()) <= 1


@methods
def test_flat_painting_becomes_the_photo_mean(method: str) -> None:
    photo = soft(2)
    middle = photo[0].flatten(1).median(1).values if method == "histogram" else moments(photo)[0]
    matched = match(extremes()["flat"].double(), photo, method)
    torch.testing.assert_close(matched, middle.view(1, 3, 1, 1).expand_as(matched), atol=1e-3, rtol=0)


@methods
def test_gray_photo_makes_gray_paintings(method: str) -> None:
    photo = soft(3)[:, :1].expand(1, 3, 23, 31)
    matched = match(soft(1), photo, method)
    torch.testing.assert_close(matched[:, :1].expand_as(matched), matched, atol=1e-6, rtol=0)
    assert float(matched.std()) == pytest.approx(float(photo.std()), rel=0.01)


@pytest.mark.parametrize("method", AFFINE)
def test_rounding_noise_is_not_amplified_to_colors(method: str) -> None:
    chance = torch.Generator().manual_seed(1)
    gray = make_picture(40, 30)[:, :1].expand(1, 3, 30, 40)
    rounded = ((gray * 255) + torch.randint(0, 2, gray.shape, generator=chance)).round() / 255
    clean, noisy = match(gray, soft(2).float(), method), match(rounded, soft(2).float(), method)
    assert float((clean - noisy).std()) < 0.05


# Transparency


@methods
def test_transparent_pixels_are_left_out(method: str) -> None:
    painting, photo = make_picture(24, 16, 1), make_picture(24, 16, 2)
    alpha = torch.zeros(1, 1, 16, 24)
    alpha[..., 4:20] = 1
    loud = [torch.where(alpha > 0, picture, torch.tensor(value)) for picture, value in ((painting, 1.0), (photo, 0.0))]
    matched = match(loud[0], loud[1], method, alpha, alpha)[..., 4:20]
    expected = match(painting[..., 4:20], photo[..., 4:20], method)
    torch.testing.assert_close(matched, expected, atol=1e-6, rtol=0)


def test_half_transparent_pixel_counts_half() -> None:
    rgb = torch.tensor([0.2, 0.8]).expand(1, 3, 1, 2)
    colors = visible_colors(rgb, torch.tensor([0.25, 0.75]).view(1, 1, 1, 2))
    assert colors.shares.tolist() == [0.25, 0.75]
    assert visible_colors(rgb, torch.zeros(1, 1, 1, 2)) is None


def test_large_picture_is_sampled() -> None:
    side = math.isqrt(MAX_SAMPLE_PIXELS) * 2
    rgb = torch.zeros(1, 1, 1, 1).expand(1, 3, side, side)
    assert visible_colors(rgb).values.shape == (3, MAX_SAMPLE_PIXELS)
    assert visible_colors(torch.zeros(1, 3, 40, 30)).values.shape == (3, 1200)
