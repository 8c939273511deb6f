"""The loss over several views: a weighted mean, exact in tiles, antialiased, each view seen by its network."""

from typing import Any

import pytest
import torch
from conftest import make_network, make_picture, make_settings
from torch import Tensor

from impasto.images.image import Image
from impasto.images.sizes import resize
from impasto.painting.initial_canvas import recolor_photo
from impasto.painting.objective import Objective
from impasto.painting.prepare import Prepared
from impasto.painting.schedule import Size, plan_schedule
from impasto.painting.strategy import ScaleStrategy
from impasto.painting.styles import StyleInput
from impasto.painting.views import REDUCED_CONTENT, MultiViewObjective, choose_network, plan_views
from impasto.settings.model import Settings

DOUBLE = torch.float64
SIZE = (96, 64)
SCHEDULE = plan_schedule(make_settings(size=96), SIZE, 4)


def prepare_double(**chosen: Any) -> Prepared:
    painting = StyleInput(make_picture(80, 70, 2, DOUBLE))
    settings = make_settings(**{"size": 96, "views": (1.0, 2.0, 3.0), "network": "tiny", **chosen})
    return Prepared(make_network(DOUBLE), settings, [painting])


def measure(objective: Objective | MultiViewObjective, canvas: Tensor) -> tuple[dict[str, float], Tensor]:
    canvas = canvas.clone().requires_grad_()
    losses = objective.backward(canvas)
    assert canvas.grad is not None
    return losses, canvas.grad


def make_objective(prepared: Prepared, tile_size: int = 0) -> Objective | MultiViewObjective:
    photo = Image(make_picture(*SIZE, 1, DOUBLE))
    return prepared.make_objective(photo, SCHEDULE, SIZE, ScaleStrategy(tile_size=tile_size))


def test_style_loss_is_the_weighted_mean_of_the_views() -> None:
    prepared, canvas = prepare_double(content_weight=0.0), make_picture(*SIZE, 3, DOUBLE)
    expected = 0.0
    for weight, size in ((1.0, (96, 64)), (2.0, (48, 32)), (3.0, (24, 16))):
        alone = Prepared(prepared.network, make_settings(content_weight=0.0), prepared.paintings)
        objective = alone.make_objective(Image(resize(canvas, *size)), SCHEDULE, size, ScaleStrategy())
        expected += weight / 6 * objective.evaluate(resize(canvas, *size))["style"]
    assert make_objective(prepared).evaluate(canvas)["style"] == pytest.approx(expected, rel=1e-12)


def test_gradient_is_that_of_the_loss() -> None:
    objective, canvas = make_objective(prepare_double(tv_weight=0.3)), make_picture(*SIZE, 3, DOUBLE)
    _, gradient = measure(objective, canvas)
    chance = torch.Generator().manual_seed(0)
    direction = torch.randn(canvas.shape, generator=chance, dtype=DOUBLE)
    ahead, behind = (objective.evaluate(canvas + step * direction)["total"] for step in (1e-8, -1e-8))
    assert float((gradient * direction).sum()) == pytest.approx((ahead - behind) / 2e-8, rel=1e-4)


@pytest.mark.parametrize("tile_size", [16, 32])
def test_tiles_give_the_loss_and_gradient_of_the_whole(tile_size: int) -> None:
    prepared, canvas = (
        prepare_double(tv_weight=0.3, range_weight=2.0, structure_weight=0.4),
        make_picture(*SIZE, 3, DOUBLE) * 1.2,
    )
    losses, gradient = measure(make_objective(prepared), canvas)
    tiled_losses, tiled_gradient = measure(make_objective(prepared, tile_size), canvas)
    assert tiled_losses == pytest.approx(losses, rel=1e-12)
    torch.testing.assert_close(tiled_gradient, gradient, rtol=1e-12, atol=1e-15)


def test_one_view_is_the_plain_objective() -> None:
    assert isinstance(make_objective(prepare_double(views=(1.0,))), Objective)


def test_pixel_terms_count_once() -> None:
    canvas = make_picture(*SIZE, 3, DOUBLE)
    one, three = (make_objective(prepare_double(tv_weight=0.3, views=views)) for views in ((1.0,), (1.0, 1.0, 1.0)))
    assert three.evaluate(canvas)["tv"] == pytest.approx(one.evaluate(canvas)["tv"], rel=1e-12)


def test_content_counts_most_at_full_size_and_structure_alike_in_each_view() -> None:
    prepared, canvas = prepare_double(style_weight=0.0, structure_weight=0.7), make_picture(*SIZE, 3, DOUBLE)
    photo, expected, whole = Image(make_picture(*SIZE, 1, DOUBLE)), 0.0, 1 + 2 * REDUCED_CONTENT

    def measure(size: Size, structure_weight: float) -> float:
        settings = make_settings(style_weight=0.0, structure_weight=structure_weight)
        alone = Prepared(prepared.network, settings, prepared.paintings)
        objective = alone.make_objective(photo.resized(*size), SCHEDULE, size, ScaleStrategy())
        return objective.evaluate(resize(canvas, *size))["content"]

    for size, share in (((96, 64), 1.0), ((48, 32), REDUCED_CONTENT), ((24, 16), REDUCED_CONTENT)):
        content = measure(size, 0.0)
        expected += content * share / whole + (measure(size, 0.7) - content) / 3
    assert make_objective(prepared).evaluate(canvas)["content"] == pytest.approx(expected, rel=1e-12)


def test_smallest_view_compares_the_content_at_its_own_taps() -> None:
    settings = Settings(content_taps="relu4_2", coarse_taps="relu2_1,relu3_1:0.5")
    assert [view.settings.content_taps for view in plan_views(settings, (512, 384), 16)] == [
        {"relu4_2": 1.0},
        {"relu4_2": 1.0},
        {"relu2_1": 1.0, "relu3_1": 0.5},
    ]
    (view,) = plan_views(settings.model_copy(update={"views": (1.0,)}), (512, 384), 16)
    assert view.settings.content_taps == {"relu4_2": 1.0}


@pytest.mark.parametrize("colors", ["painting", "photo"])
def test_reduced_views_have_the_chosen_colors(colors: str) -> None:
    prepared, photo = prepare_double(content_colors=colors), Image(make_picture(*SIZE, 1, DOUBLE))
    objective = prepared.make_objective(photo, SCHEDULE, SIZE, ScaleStrategy())
    assert isinstance(objective, MultiViewObjective)
    assert objective.full.evaluate(photo.rgb)["content"] == pytest.approx(0, abs=1e-12)
    for size, reduced in objective.reduced:
        small = photo.resized(*size)
        canvases = {"painting": recolor_photo(small, prepared.paintings), "photo": small.rgb}
        found = {name: reduced.evaluate(canvas)["content"] for name, canvas in canvases.items()}
        assert found.pop(colors) == pytest.approx(0, abs=1e-12)
        assert all(loss > 0.01 for loss in found.values())


def test_views_too_small_for_the_taps_are_left_out() -> None:
    assert [view.size for view in plan_views(Settings(views=(1, 1, 1)), (64, 48), 16)] == [(64, 48)]
    assert [view.size for view in plan_views(Settings(views=(1, 1, 1)), (512, 384), 16)] == [
        (512, 384),
        (256, 192),
        (128, 96),
    ]


def test_views_without_weight_are_left_out() -> None:
    views = plan_views(Settings(views=(1.0, 0.0, 1.0)), (512, 384), 16)
    assert [view.size for view in views] == [(512, 384), (128, 96)]
    assert [view.settings.style_weight for view in views] == [0.5, 0.5]


def test_style_keeps_its_weight_on_a_canvas_too_small_for_views() -> None:
    (view,) = plan_views(Settings(views=(0.0, 1.0)), (40, 40), 16)
    assert view.settings.style_weight == 1.0


def test_views_too_small_for_a_painting_are_left_out() -> None:
    prepared = prepare_double(style_size=0.06)
    assert [view.size for view in prepared.plan_views(SCHEDULE, SIZE)] == [SIZE]


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({}, ["slim", "vgg19", "vgg19"]),
        ({"large_view_size": 2000}, ["vgg19"] * 3),
        ({"large_view_network": "same"}, ["vgg19"] * 3),
        ({"network": "slim"}, ["slim"] * 3),
        ({"network": "own.pth"}, ["own.pth"] * 3),
        ({"network": "own.pth", "large_view_network": "slim"}, ["slim", "own.pth", "own.pth"]),
    ],
)
def test_large_views_are_seen_by_their_network(chosen: dict[str, Any], expected: list[str]) -> None:
    settings = Settings(**{"network": "vgg19", "views": (1, 1, 1), **chosen})
    assert [view.network for view in plan_views(settings, (1600, 1200), 16)] == expected


def test_no_network_sees_less_than_its_limit() -> None:
    settings = Settings(network="vgg19", large_view_size=640)
    assert choose_network(settings, (640, 480)) == "vgg19"
    assert choose_network(settings, (641, 480)) == "slim"


def test_views_without_any_weight_are_refused() -> None:
    with pytest.raises(ValueError, match="no view has a weight"):
        Settings(views=(0.0, 0.0))


def test_textures_view_without_style_needs_no_tiles() -> None:
    prepared, canvas = prepare_double(views=(0.0, 1.0)), make_picture(*SIZE, 3, DOUBLE)
    whole, tiled = (
        measure(prepared.make_objective(None, SCHEDULE, SIZE, ScaleStrategy(tile_size=side)), canvas)
        for side in (0, 32)
    )
    assert tiled[0] == pytest.approx(whole[0])
    torch.testing.assert_close(tiled[1], whole[1])


@pytest.mark.parametrize("tile_size", [0, 32])
@pytest.mark.parametrize("content_weight", [0.0, 1.0])
def test_a_view_without_style_measures_none(
    tile_size: int, content_weight: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared, canvas = prepare_double(content_weight=content_weight, views=(0.0, 1.0)), make_picture(*SIZE, 3, DOUBLE)
    objective = make_objective(prepared, tile_size)
    losses, gradient = measure(objective, canvas)
    assert isinstance(objective, MultiViewObjective)
    (_, half), asked = objective.reduced[0], []
    expected = measure(half, resize(canvas, 48, 32))[0]["style"]
    assert losses["style"] == pytest.approx(expected)
    assert float(gradient.abs().sum()) > 0
    extract = prepared.network.extract
    monkeypatch.setattr(prepared.network, "extract", lambda *given: asked.append([*given[2]]) or extract(*given))
    measure(objective.full, canvas)
    assert not any(asked)
    assert bool(asked) == bool(content_weight)
