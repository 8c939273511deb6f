"""Tiled and whole are the same loss and the same gradient."""

from typing import Any

import pytest
import torch
from conftest import make_network, make_picture, make_settings
from hypothesis import example, given
from hypothesis import settings as trials
from hypothesis import strategies as st
from torch import Tensor

from impasto.images.masks import shrink_mask
from impasto.painting.objective import Objective, list_taps
from impasto.painting.style_regions import StyleRegion
from impasto.painting.styles import StyleInput, blend_styles, capture_style
from impasto.painting.tiled_objective import TiledObjective, cut_tiles_for
from impasto.settings.model import Settings

DOUBLE = torch.float64
STYLE_LOSSES = (
    "gatys",
    "gram",
    "wasserstein",
    "covariance",
    "mean_std",
    "gram_mean",
    "wasserstein_mean",
    "gram:0.5,gatys:2,wasserstein",
)
# Odd ones, and those with less than a cell of the deepest tap more than tiles have.
SIDES = st.one_of(st.integers(16, 120), st.sampled_from([16, 17, 31, 33, 47, 49, 63, 65, 95, 97]))
SHIFTED = {"gram", "gatys", "gram_mean"}  # a shift does something to these alone
TAPS = ("conv1_1", "relu1_1", "relu1_2", "conv2_1", "relu2_2", "relu3_1", "relu3_4", "relu4_1", "conv5_1", "relu5_1")


def make_alpha(width: int, height: int, seed: int) -> Tensor:
    """A soft mask with a hole and a fully visible part."""
    alpha = torch.rand(1, 1, height, width, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)
    alpha[..., : height // 3, : width // 2] = 0
    alpha[..., height // 2 :, width // 2 :] = 1
    return alpha


def look(objective: Objective, canvas: Tensor) -> tuple[dict[str, float], Tensor]:
    canvas = canvas.clone().requires_grad_()
    values = objective.backward(canvas)
    assert canvas.grad is not None
    return values, canvas.grad


def assert_same(whole: Objective, tiled: Objective, canvas: Tensor, tolerance: float = 1e-12) -> None:
    (values, gradient), (its_values, its_gradient) = look(whole, canvas), look(tiled, canvas)
    assert its_values == pytest.approx(values, rel=tolerance, abs=tolerance)
    assert float((its_gradient - gradient).norm()) <= tolerance * float(gradient.norm())
    assert float((its_gradient - gradient).abs().max()) <= 10 * tolerance * float(gradient.abs().max())
    assert tiled.evaluate(canvas) == pytest.approx(values, rel=tolerance, abs=tolerance)


@given(
    width=SIDES,
    height=SIDES,
    side=st.integers(16, 90),
    content=st.lists(st.sampled_from(TAPS), min_size=1, max_size=2, unique=True),
    style=st.lists(st.sampled_from(TAPS), min_size=1, max_size=3, unique=True),
    pooling=st.sampled_from(["max", "average", "l2"]),
    padding=st.sampled_from(["zero", "replicate", "replicate-first", "reflect", "circular"]),
    content_loss=st.sampled_from(["sum", "relative", "mean", "root"]),
    style_loss=st.sampled_from(STYLE_LOSSES),
    variation=st.sampled_from(["mean", "isotropic", "nine_point"]),
    rounding=st.sampled_from(["down", "up"]),
    has_alpha=st.booleans(),
    regions=st.integers(1, 3),
    shift=st.sampled_from([0.0, -1.0]),
    on_disk=st.booleans(),
)
@example(
    129,
    47,
    32,
    ["relu4_1"],
    ["relu1_1", "relu5_1"],
    "max",
    "replicate-first",
    "relative",
    "gram",
    "mean",
    "down",
    True,
    2,
    0.0,
    False,
)
@example(
    33, 127, 16, ["relu3_1"], ["relu2_2"], "l2", "reflect", "sum", "wasserstein", "mean", "up", False, 1, 0.0, True
)
@example(16, 211, 16, ["relu5_1"], ["relu5_1"], "max", "zero", "relative", "gram", "mean", "up", True, 3, -1.0, True)
@example(
    211,
    17,
    90,
    ["relu1_1"],
    ["relu1_2"],
    "average",
    "reflect",
    "mean",
    "covariance",
    "mean",
    "down",
    False,
    1,
    0.0,
    False,
)
@trials(max_examples=16)
def test_tiled_equals_whole(
    width: int,
    height: int,
    side: int,
    content: list[str],
    style: list[str],
    pooling: Any,
    padding: Any,
    content_loss: str,
    style_loss: str,
    variation: str,
    rounding: Any,
    has_alpha: bool,
    regions: int,
    shift: float,
    on_disk: bool,
) -> None:
    network = make_network(DOUBLE, pooling=pooling, padding=padding, rounding=rounding)
    if padding == "circular":
        width, height = 16 * (1 + width // 16), 16 * (1 + height // 16)
    settings = make_settings(
        padding=padding,
        tv_loss=variation,
        content_taps=dict.fromkeys(content, 0.7),
        style_taps=dict.fromkeys(style, 1.3),
        content_loss=content_loss,
        style_loss=style_loss,
        gram_shift=shift if SHIFTED & {part.partition(":")[0] for part in style_loss.split(",")} else 0.0,
        tv_weight=3.0,
        range_weight=2.0,
    )
    alpha = make_alpha(width, height, 7) if has_alpha else None
    photo = StyleInput(make_picture(width, height, 2, DOUBLE), alpha)
    areas = make_regions(network, settings, width, height, regions)
    canvas = make_picture(width, height, 1, DOUBLE) * 1.5 - 0.25
    whole = Objective(network, settings, photo, areas)
    tiles = cut_tiles_for(network, settings, width, height, side)
    tiled = TiledObjective(network, settings, photo, areas, tiles, on_disk=on_disk)
    assert_same(whole, tiled, canvas)


def make_regions(network: Any, settings: Settings, width: int, height: int, count: int) -> list[StyleRegion]:
    """One region of two blended paintings, one of them transparent in places; or several, with a style each."""
    paintings = [
        StyleInput(make_picture(70, 50, 3, DOUBLE), make_alpha(70, 50, 4)),
        StyleInput(make_picture(64, 48, 5, DOUBLE)),
        StyleInput(make_picture(33, 71, 6, DOUBLE)),
    ][: max(2, count)]
    styles = [capture_style(network, painting, list_taps(settings)) for painting in paintings]
    if count == 1:
        return [StyleRegion(blend_styles(styles, [0.3, 0.7]))]
    masks = [
        {
            tap: shrink_mask(make_alpha(width, height, seed), network.stride[tap], network.rounding)
            for tap in list_taps(settings)
        }
        for seed in range(8, 8 + count)
    ]
    shares = (0.4, 0.6, 0.2)
    return [StyleRegion(style, mask, share) for style, mask, share in zip(styles, masks, shares, strict=False)]


def test_a_painting_is_captured_by_tiles_as_whole() -> None:
    network, settings = make_network(DOUBLE), make_settings(style_taps={"relu1_2": 1.0, "relu5_1": 1.0})
    painting = StyleInput(make_picture(139, 97, 3, DOUBLE), make_alpha(139, 97, 4))
    taps = list_taps(settings)
    tiles = cut_tiles_for(network, settings, 139, 97, 48)
    assert len(tiles) == 9
    whole, tiled = capture_style(network, painting, taps), capture_style(network, painting, taps, tiles=tiles)
    for tap, moments in whole.items():
        for name in ("count", "total", "outer"):
            torch.testing.assert_close(getattr(tiled[tap], name), getattr(moments, name), rtol=1e-12, atol=1e-12)


def test_bfloat16_tiles_are_the_whole_but_for_rounding() -> None:
    network = make_network(torch.bfloat16)
    settings = make_settings(style_taps={"relu1_1": 1.0, "relu4_1": 1.0}, tv_weight=1.0, range_weight=1.0)
    photo, canvas = StyleInput(make_picture(140, 100, 2)), make_picture(140, 100, 1)
    regions = [StyleRegion(capture_style(network, StyleInput(make_picture(64, 64, 3)), list_taps(settings)))]
    values, gradient = look(Objective(network, settings, photo, regions), canvas)
    tiles = cut_tiles_for(network, settings, 140, 100, 48)
    found, slope = look(TiledObjective(network, settings, photo, regions, tiles), canvas)
    assert found == pytest.approx(values, rel=2e-3)
    assert float((slope - gradient).norm()) <= 0.02 * float(gradient.norm())
