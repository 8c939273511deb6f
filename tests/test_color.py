"""Whose colors: what keep and only keep, what they take, and how far."""

import pytest
import torch
from conftest import make_picture
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from impasto.images.color import BAND_ROWS, keep_photo_colors, recolor_painting, recolor_result, transfer_chroma
from impasto.images.color_spaces import CONVERSIONS
from impasto.images.image import Image
from impasto.settings.model import Settings

spaces = pytest.mark.parametrize("space", CONVERSIONS)
UNIT = {"lab": 100.0, "luv": 100.0, "yuv": 1.0, "ycbcr": 1.0}


def luminance(rgb: Tensor, space: str = "lab") -> Tensor:
    return CONVERSIONS[space].from_rgb(rgb)[:, :1] / UNIT[space]


def chroma(rgb: Tensor, space: str = "lab") -> Tensor:
    return CONVERSIONS[space].from_rgb(rgb)[:, 1:] / UNIT[space]


def muted(seed: int, width: int = 20, height: int = 15) -> Tensor:
    """A picture of soft colors, whose chroma fits any luminance of another."""
    return 0.5 + 0.2 * (make_picture(width, height, seed) - 0.5)


def stripes(width: int, height: int) -> Tensor:
    """Strokes: fine stripes of light and of color, wholly blue to the left, wholly orange to the right."""
    tint = torch.tensor([[0.2, 0.3, 0.6], [0.6, 0.4, 0.2]]).T.repeat_interleave(width // 2, 1).view(1, 3, 1, width)
    flicker = torch.where(torch.arange(height) % 4 > 1, 0.15, -0.15).view(1, 1, height, 1)
    return tint + flicker * torch.tensor([1.0, 0.5, 0.2]).view(1, 3, 1, 1)


# keep


@spaces
@given(seed=st.integers(0, 99))
def test_keep_has_photo_chroma_and_painted_luminance(space: str, seed: int) -> None:
    painted, photo = muted(seed), muted(seed + 100)
    kept = keep_photo_colors(painted, photo, space)
    torch.testing.assert_close(luminance(kept, space), luminance(painted, space), atol=1e-4, rtol=0)
    torch.testing.assert_close(chroma(kept, space), chroma(photo, space), atol=1 / 255, rtol=0)


@spaces
def test_keep_has_painted_luminance_outside_the_gamut(space: str) -> None:
    painted, photo = make_picture(20, 15, 1).pow(3), make_picture(20, 15, 2)
    kept = keep_photo_colors(painted, photo, space)
    assert 0 <= float(kept.min()) <= float(kept.max()) <= 1
    torch.testing.assert_close(luminance(kept, space), luminance(painted, space), atol=2e-3, rtol=0)


@spaces
def test_half_strength_has_half_the_chroma_of_each(space: str) -> None:
    painted, photo = muted(1), muted(2)
    half = chroma(keep_photo_colors(painted, photo, space, 0.5), space)
    torch.testing.assert_close(half, (chroma(painted, space) + chroma(photo, space)) / 2, atol=1 / 255, rtol=0)


def test_zero_strength_changes_nothing() -> None:
    painted, photo = make_picture(20, 15, 1), make_picture(20, 15, 2)
    assert keep_photo_colors(painted, photo, strength=0) is painted
    assert transfer_chroma(photo, painted, strength=0) is photo


@spaces
def test_gray_photo_leaves_no_color(space: str) -> None:
    gray = make_picture(20, 15, 2)[:, :1].expand(1, 3, 15, 20)
    assert float(chroma(keep_photo_colors(make_picture(20, 15), gray, space), space).abs().max()) < 1e-3


def test_converting_in_bands_leaves_no_seams() -> None:
    painted, photo = make_picture(6, 2 * BAND_ROWS + 7, 1), make_picture(6, 2 * BAND_ROWS + 7, 2)
    whole = torch.cat(
        [keep_photo_colors(painted[..., :3], photo[..., :3]), keep_photo_colors(painted[..., 3:], photo[..., 3:])], 3
    )
    torch.testing.assert_close(keep_photo_colors(painted, photo), whole)
    assert transfer_chroma(photo, painted).shape == photo.shape


# only


@spaces
def test_only_has_the_photo_luminance(space: str) -> None:
    painted, photo = make_picture(40, 30, 1), make_picture(40, 30, 2)
    taken = transfer_chroma(photo, painted, space)
    assert 0 <= float(taken.min()) <= float(taken.max()) <= 1
    torch.testing.assert_close(luminance(taken, space), luminance(photo, space), atol=2e-3, rtol=0)


def test_only_has_painted_colors_without_strokes() -> None:
    painted, photo = stripes(64, 48), torch.full((1, 3, 48, 64), 0.5)
    taken = transfer_chroma(photo, painted)
    left, right = chroma(taken)[..., 8:20], chroma(taken)[..., -20:-8]
    torch.testing.assert_close(left.mean((2, 3)), chroma(painted)[..., :20].mean((2, 3)), atol=0.02, rtol=0)
    torch.testing.assert_close(right.mean((2, 3)), chroma(painted)[..., -20:].mean((2, 3)), atol=0.02, rtol=0)
    assert float(left.std(2).max()) < 0.08 * float(chroma(painted)[..., :20].std(2).max())


def test_only_changes_color_at_the_photo_edges() -> None:
    photo = torch.full((1, 3, 48, 64), 0.3)
    photo[..., 32:] = 0.7
    taken = chroma(transfer_chroma(photo, stripes(64, 48)))[0, 1].mean(0)  # b*, by columns
    assert float(taken[33] - taken[30]) > 0.6 * float(taken[50] - taken[14]) > 0


def test_only_ignores_transparent_pixels() -> None:
    photo, painted = muted(1, 32, 24), muted(2, 32, 24)
    alpha = torch.ones(1, 1, 24, 32)
    alpha[..., 16:] = 0
    loud = torch.where(alpha > 0, painted, torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1))
    taken = transfer_chroma(photo, loud, alpha=alpha)
    assert torch.equal(taken[..., 16:], photo[..., 16:])
    torch.testing.assert_close(taken, transfer_chroma(photo, painted, alpha=alpha))


def test_only_takes_alpha_from_the_photo() -> None:
    alpha = torch.ones(1, 1, 24, 32)
    alpha[..., 16:] = 0
    photo, painted = Image(muted(1, 32, 24), alpha), muted(2, 32, 24)
    assert torch.equal(recolor_result(painted, photo, Settings(color="only"))[..., 16:], photo.rgb[..., 16:])


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (1, 9), (300, 2)])
@spaces
def test_tiny_and_flat_pictures_stay_in_range(space: str, size: tuple[int, int]) -> None:
    for painted in (make_picture(*size), torch.zeros(1, 3, *size[::-1]), torch.ones(1, 3, *size[::-1])):
        for photo in (make_picture(*size, 2), torch.zeros_like(painted), torch.ones_like(painted)):
            for shown in (keep_photo_colors(painted, photo, space), transfer_chroma(photo, painted, space)):
                assert shown.shape == painted.shape
                assert bool(shown.isfinite().all())
                assert 0 <= float(shown.min()) <= float(shown.max()) <= 1


# From settings


def test_settings_choose_recoloring_before_or_after() -> None:
    photo, painting = Image(make_picture(40, 30, 1)), Image(make_picture(24, 18, 2))
    painted = make_picture(20, 15, 3)
    for mode, before, after in (
        ("none", False, False),
        ("keep", False, True),
        ("match", True, False),
        ("only", False, True),
    ):
        settings = Settings(color=mode)
        assert (recolor_painting(painting, photo, settings) is not painting) == before
        assert (recolor_result(painted, photo, settings) is not painted) == after
        assert recolor_result(painted, photo, settings).shape == painted.shape


def test_each_setting_changes_the_colors() -> None:
    photo, painting = Image(make_picture(40, 30, 1)), Image(make_picture(24, 18, 2))

    def matched(**chosen: object) -> Tensor:
        return recolor_painting(painting, photo, Settings(color="match", **chosen)).rgb

    def kept(mode: str, **chosen: object) -> Tensor:
        return recolor_result(make_picture(20, 15, 3), photo, Settings(color=mode, **chosen))

    ways = [matched(color_match=way) for way in ("symmetric", "cholesky", "pca", "histogram")]
    ways += [kept(mode, color_space=space) for mode in ("keep", "only") for space in ("lab", "luv", "yuv")]
    for number, way in enumerate(ways):
        for other in ways[:number]:
            assert way.shape != other.shape or not torch.allclose(way, other, atol=1e-3)
    half = matched(color_strength=0.5)
    torch.testing.assert_close(half, (painting.rgb + matched()) / 2, atol=0.05, rtol=0)
    assert matched(color_strength=0) is painting.rgb
    torch.testing.assert_close(kept("keep", color_space="yuv"), kept("keep", color_space="ycbcr"), atol=1e-3, rtol=0)


def test_invisible_pictures_are_not_matched() -> None:
    rgb = make_picture(24, 18)
    seen, unseen = Image(rgb), Image(rgb, torch.zeros(1, 1, 18, 24))
    for painting, photo in ((seen, unseen), (unseen, seen)):
        assert recolor_painting(painting, photo, Settings(color="match")) is painting
