"""What the canvas starts as: each kind of noise, and pictures blurred and mixed with it."""

import pytest
import torch
from conftest import make_picture, make_settings

from impasto.errors import UsageError
from impasto.images.color_matching import measure_colors, visible_colors
from impasto.images.image import Image
from impasto.images.sizes import resize
from impasto.painting.initial_canvas import (
    LOST_DETAIL,
    draw_noise,
    find_lost_detail,
    make_initial_canvas,
    recolor_photo,
)
from impasto.painting.styles import StyleInput

PHOTO = make_picture(60, 44)
PAINTINGS = [StyleInput(make_picture(50, 40, 2), weight=0.0), StyleInput(0.5 * make_picture(50, 40, 3) + 0.1)]


def start(photo: torch.Tensor | None = PHOTO, picture: torch.Tensor | None = None, **chosen: object) -> torch.Tensor:
    image = None if photo is None else Image(photo)
    return make_initial_canvas(make_settings(**chosen), 60, 44, image, PAINTINGS, picture)


def noise(width: int = 300, height: int = 200, **chosen: object) -> torch.Tensor:
    return draw_noise(make_settings(init="noise", **chosen), width, height, PAINTINGS)


@pytest.mark.parametrize("kind", ["uniform", "normal", "painting"])
def test_noise_is_seeded_and_in_range(kind: str) -> None:
    first = noise(noise=kind)
    assert first.shape == (1, 3, 200, 300)
    assert torch.equal(first, noise(noise=kind))
    assert not torch.equal(first, noise(noise=kind, seed=1))
    assert 0 <= float(first.min()) < float(first.max()) <= 1


def test_uniform_noise_is_torchs_own() -> None:
    chance = torch.Generator().manual_seed(7)
    assert torch.equal(noise(seed=7), torch.rand(1, 3, 200, 300, generator=chance))


@pytest.mark.parametrize(("kind", "deviation"), [("uniform", 1 / 12**0.5), ("normal", 0.22)])
@pytest.mark.parametrize("strength", [1.0, 0.3])
def test_noise_is_centered_on_gray_by_strength(kind: str, deviation: float, strength: float) -> None:
    drawn = noise(noise=kind, noise_strength=strength)
    assert float(drawn.mean()) == pytest.approx(0.5, abs=0.005)
    if strength < 1 and kind == "normal":
        deviation = 0.25  # hardly anything is cut off
    assert float(drawn.std()) == pytest.approx(deviation * strength, rel=0.03)


def test_painting_noise_matches_color_mean_and_covariance() -> None:
    wanted, found = (visible_colors(rgb) for rgb in (PAINTINGS[1].rgb, noise(noise="painting")))
    assert wanted is not None
    assert found is not None
    for one, other in zip(measure_colors(found), measure_colors(wanted), strict=True):
        torch.testing.assert_close(one, other, rtol=0.1, atol=5e-3)


def test_painting_noise_ignores_transparent_colors() -> None:
    rgb, alpha = torch.ones(1, 3, 20, 20), torch.zeros(1, 1, 20, 20)
    rgb[..., :10], alpha[..., :10] = 0.25, 1.0
    drawn = draw_noise(make_settings(init="noise", noise="painting"), 30, 30, [StyleInput(rgb, alpha)])
    torch.testing.assert_close(drawn, torch.full_like(drawn, 0.25), rtol=0, atol=1e-3)


def test_several_paintings_share_the_noise() -> None:
    sources = [StyleInput(torch.full((1, 3, 9, 9), value), weight=share) for value, share in ((0.2, 3.0), (0.6, 1.0))]
    drawn = draw_noise(make_settings(init="noise", noise="painting"), 200, 200, sources)
    assert float(drawn.mean()) == pytest.approx(0.3, abs=0.01)


def test_no_strength_is_no_noise() -> None:
    for kind in ("uniform", "normal"):
        torch.testing.assert_close(noise(noise=kind, noise_strength=0.0), torch.full((1, 3, 200, 300), 0.5))


def test_gray_is_gray() -> None:
    assert torch.equal(start(init="gray"), torch.full((1, 3, 44, 60), 0.5))


def test_init_photo_is_the_photo() -> None:
    assert torch.equal(start(), PHOTO)


@pytest.mark.parametrize("init", ["photo", "gray", "painting", "begun.png"])
def test_noise_is_mixed_in_by_its_share(init: str) -> None:
    picture = make_picture(60, 44, 5)
    plain, mixed = start(init=init, picture=picture), start(init=init, picture=picture, init_noise=0.25)
    torch.testing.assert_close(mixed, 0.75 * plain + 0.25 * noise(60, 44), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(start(init=init, picture=picture, init_noise=1.0), noise(60, 44))


def test_blur_is_gaussian_relative_to_the_longer_side() -> None:
    dot = torch.zeros(1, 3, 44, 60)
    dot[:, :, 22, 30] = 1
    blurred = start(dot, init_blur=0.05)
    place = torch.arange(60) - 30.0
    along = blurred[0, 0].sum(0)
    assert float(blurred[0, 0].sum()) == pytest.approx(1, abs=1e-3)
    assert float((along * place.square()).sum()) == pytest.approx((0.05 * 60) ** 2, rel=0.02)


def test_blur_wraps_around_a_seamless_picture() -> None:
    blurred = start(init_blur=0.1, padding="circular")
    moved = start(PHOTO.roll((9, 20), (2, 3)), init_blur=0.1, padding="circular")
    torch.testing.assert_close(moved, blurred.roll((9, 20), (2, 3)), rtol=0, atol=1e-5)
    assert not torch.allclose(start(init_blur=0.1), blurred, atol=1e-2)


def test_strong_seamless_blur_keeps_the_mean() -> None:
    blurred = start(init_blur=0.5, padding="circular")
    torch.testing.assert_close(
        blurred, PHOTO.mean((2, 3), keepdim=True).expand_as(PHOTO).contiguous(), rtol=0, atol=5e-3
    )


@pytest.mark.parametrize("init", ["photo", "recolored"])
def test_init_photo_without_a_photo_raises(init: str) -> None:
    with pytest.raises(UsageError, match=f"`init` {init}: there is no photo"):
        start(None, init=init)


def test_recolored_photo_has_the_painting_colors() -> None:
    wanted, found = (measure_colors(visible_colors(rgb)) for rgb in (PAINTINGS[1].rgb, start(init="recolored")))
    torch.testing.assert_close(found, wanted, rtol=0.05, atol=5e-3)


def test_recolored_photo_takes_each_region_from_its_painting() -> None:
    left = torch.zeros(1, 1, 44, 60)
    left[..., :30] = 1
    red, blue = (
        torch.tensor(color).view(1, 3, 1, 1).expand(1, 3, 9, 9) for color in ((0.9, 0.1, 0.1), (0.1, 0.1, 0.9))
    )
    canvas = recolor_photo(Image(PHOTO), [StyleInput(red, region=left), StyleInput(blue, region=1 - left)])
    for half, color in ((canvas[..., :30], red), (canvas[..., 30:], blue)):
        torch.testing.assert_close(half.mean((2, 3)), color.mean((2, 3)), rtol=0, atol=0.01)


def test_recolored_photo_stays_where_no_painting_is() -> None:
    left = torch.zeros(1, 1, 44, 60)
    left[..., :30] = 1
    canvas = recolor_photo(Image(PHOTO), [StyleInput(torch.full((1, 3, 9, 9), 0.2), region=left)])
    torch.testing.assert_close(canvas[..., 30:], PHOTO[..., 30:])


def test_lost_detail_is_what_a_smaller_picture_lacks_but_for_noise() -> None:
    edges = torch.zeros(1, 3, 64, 64)
    edges[:, :, 10:40, 15:45] = 0.8
    noise = 0.5 + 0.1 * torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0)).expand(1, 3, -1, -1)
    for photo, least, most in ((edges, 0.6, LOST_DETAIL), (noise, 0.0, 0.25)):
        lost = (photo - resize(resize(photo, 32, 32), 64, 64))[:, :1]
        detail = find_lost_detail(photo, 32, 32)
        assert detail.shape == lost.shape
        assert least <= float(detail.norm() / lost.norm()) <= most + 1e-5
        assert float((detail * lost).min()) >= -1e-12
