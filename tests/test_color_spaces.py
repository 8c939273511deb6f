"""Colour spaces: there and back, as scikit-image has them; colors that sRGB has not keep luminance and hue."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage import color as reference
from torch import Tensor

from impasto.images.color_spaces import CONVERSIONS, fit_into_gamut

spaces = pytest.mark.parametrize("space", CONVERSIONS)
lightness = st.floats(0, 1, width=32)
WHITE_AT = {"lab": 100.0, "luv": 100.0, "yuv": 1.0, "ycbcr": 1.0}
NEUTRAL = 1e-3  # chroma that is none, in Lab and Luv


def all_colors(side: int = 17) -> Tensor:
    """A cube of sRGB as a picture (1, 3, side, side^2), with its darkest corner in finer steps."""
    steps = torch.cat([torch.logspace(-6, -2, 5), torch.linspace(0, 1, side - 5)]).double()
    return torch.cartesian_prod(steps, steps, steps).T.reshape(1, 3, side, side * side)


def hue(colors: Tensor) -> Tensor:
    return torch.atan2(colors[:, 2], colors[:, 1])


@spaces
@given(color=st.tuples(lightness, lightness, lightness))
def test_conversion_round_trips(space: str, color: tuple[float, float, float]) -> None:
    rgb = torch.tensor(color).view(1, 3, 1, 1)
    torch.testing.assert_close(CONVERSIONS[space].to_rgb(CONVERSIONS[space].from_rgb(rgb)), rgb, atol=1e-5, rtol=0)


@spaces
def test_conversion_round_trips_over_the_cube(space: str) -> None:
    for rgb in (all_colors(), all_colors().float()):
        torch.testing.assert_close(CONVERSIONS[space].to_rgb(CONVERSIONS[space].from_rgb(rgb)), rgb, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("space", "theirs", "tolerance"),
    [
        ("lab", reference.rgb2lab, 0.01),
        ("luv", reference.rgb2luv, 0.02),  # type: ignore[attr-defined]
        ("yuv", reference.rgb2yuv, 0.001),
        # theirs leaves head and foot room: 16 to 235 and 16 to 240 of 255
        ("ycbcr", lambda rgb: (reference.rgb2ycbcr(rgb) - [16, 128, 128]) / [219, 224, 224], 0.001),
    ],
)
def test_conversion_equals_scikit_image(space: str, theirs, tolerance: float) -> None:
    rgb = all_colors()
    ours = CONVERSIONS[space].from_rgb(rgb)[0].permute(1, 2, 0)
    expected = torch.from_numpy(theirs(rgb[0].permute(1, 2, 0).numpy()))
    torch.testing.assert_close(ours, expected, atol=tolerance, rtol=0)


@spaces
def test_grays_have_no_chroma(space: str) -> None:
    grays = torch.linspace(0, 1, 256).expand(1, 3, 1, 256)
    colors = CONVERSIONS[space].from_rgb(grays)
    assert float(colors[:, 1:].abs().max()) < NEUTRAL
    assert float(colors[0, 0, 0, 0]) == pytest.approx(0, abs=1e-4)
    assert float(colors[0, 0, 0, -1]) == pytest.approx(WHITE_AT[space], rel=1e-5)
    assert bool((colors[0, 0, 0].diff() > 0).all())


@spaces
def test_red_has_its_published_values(space: str) -> None:
    published = {
        "lab": (53.24, 80.09, 67.20),
        "luv": (53.24, 175.01, 37.76),
        "yuv": (0.299, -0.147, 0.615),
        "ycbcr": (0.299, -0.168736, 0.5),
    }
    red = CONVERSIONS[space].from_rgb(torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1)).flatten()
    torch.testing.assert_close(red, torch.tensor(published[space]), atol=0.01, rtol=1e-3)


# The gamut


@spaces
def test_colors_in_the_gamut_are_kept(space: str) -> None:
    rgb = all_colors().float()
    torch.testing.assert_close(
        fit_into_gamut(CONVERSIONS[space].from_rgb(rgb), CONVERSIONS[space]), rgb, atol=1e-4, rtol=0
    )


@spaces
@given(first=st.tuples(lightness, lightness, lightness), second=st.tuples(lightness, lightness, lightness))
def test_any_color_fits_into_the_gamut(space: str, first: tuple[float, ...], second: tuple[float, ...]) -> None:
    luminance_of, chroma_of = (
        CONVERSIONS[space].from_rgb(torch.tensor(it).double().view(1, 3, 1, 1)) for it in (first, second)
    )
    wanted = torch.cat([luminance_of[:, :1], chroma_of[:, 1:]], 1)
    rgb = fit_into_gamut(wanted, CONVERSIONS[space])
    assert bool(rgb.isfinite().all())
    assert 0 <= float(rgb.min()) <= float(rgb.max()) <= 1
    shown = CONVERSIONS[space].from_rgb(rgb)
    assert abs(float(shown[0, 0] - wanted[0, 0])) < 0.005 * WHITE_AT[space]
    assert float(shown[:, 1:].norm()) <= float(wanted[:, 1:].norm()) + 0.005 * WHITE_AT[space]


@spaces
def test_chroma_is_reduced_no_more_than_needed(space: str) -> None:
    way = CONVERSIONS[space]
    red = way.from_rgb(torch.tensor([0.8, 0.1, 0.2]).double().view(1, 3, 1, 1))
    wanted = red.repeat(1, 1, 1, 9)
    wanted[:, 0] *= torch.linspace(0.3, 1.8, 9)
    rgb = fit_into_gamut(wanted, way)
    shown = way.from_rgb(rgb)
    torch.testing.assert_close(shown[:, 0], wanted[:, 0], atol=1e-3 * WHITE_AT[space], rtol=0)
    torch.testing.assert_close(hue(shown), hue(wanted), atol=0.02, rtol=0)
    less = shown[:, 1:].norm(dim=1) < 0.99 * wanted[:, 1:].norm(dim=1)
    at_the_edge = (rgb.amin(1) < 2e-3) | (rgb.amax(1) > 1 - 2e-3)
    assert int(less.sum()) >= 2
    assert bool((at_the_edge | ~less).all())


@spaces
def test_black_and_white_have_no_chroma(space: str) -> None:
    colors = CONVERSIONS[space].from_rgb(torch.tensor([[0.9, 0.9], [0.1, 0.1], [0.5, 0.5]]).view(1, 3, 1, 2))
    colors[0, 0, 0] = torch.tensor([0.0, WHITE_AT[space]])
    expected = torch.tensor([0.0, 1.0]).expand(1, 3, 1, 2)
    torch.testing.assert_close(fit_into_gamut(colors, CONVERSIONS[space]), expected, atol=1e-3, rtol=0)
