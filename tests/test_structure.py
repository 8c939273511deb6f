"""The structure loss: which places of the photo are alike, whatever their colors."""

from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_network, make_picture, make_settings
from torch import Tensor

from impasto.images.image import Image
from impasto.painting.objective import Objective
from impasto.painting.structure import Grid, StructureTarget, measure_self_similarity
from impasto.painting.tiled_objective import TiledObjective, cut_tiles_for

DOUBLE = torch.float64
SIZE = (77, 61)


def make_maps(seed: int = 0) -> dict[str, Tensor]:
    chance = torch.Generator().manual_seed(seed)
    return {
        tap: torch.rand(1, channels, 4, 5, generator=chance, dtype=DOUBLE) for tap, channels in (("a", 3), ("b", 7))
    }


def make_objective(photo: Image, tile_size: int = 0, **chosen: Any) -> Objective:
    network = make_network(DOUBLE, padding="reflect")
    settings = make_settings(**{"style_weight": 0.0, "structure_weight": 1.0, **chosen})
    if "content_taps" not in chosen:  # the structure alone
        settings = settings.model_copy(update={"content_taps": {}})
    if not tile_size:
        return Objective(network, settings, photo, [])
    tiles = cut_tiles_for(network, settings, *SIZE, tile_size)
    assert len(tiles) > 1
    return TiledObjective(network, settings, photo, [], tiles)


def measure(objective: Objective, canvas: Tensor) -> tuple[float, Tensor]:
    canvas = canvas.clone().requires_grad_()
    losses = objective.backward(canvas)
    assert canvas.grad is not None
    return losses["content"], canvas.grad


def test_loss_is_one_minus_the_correlation_of_the_cosines() -> None:
    counts = torch.ones(1, 1, 4, 5, dtype=DOUBLE)
    similarities = []
    for maps in (make_maps(1), make_maps(2)):
        scaled = [m[0].flatten(1).numpy() for m in maps.values()]
        places = np.concatenate([m / np.linalg.norm(m, axis=0).mean() for m in scaled])
        places = places - places.mean(1, keepdims=True)
        unit = places / np.linalg.norm(places, axis=0)
        similarities.append(unit.T @ unit)
    upper = np.triu_indices(20, 1)
    expected = 1 - np.corrcoef(*(each[upper] for each in similarities))[0, 1]
    ours = [measure_self_similarity(make_maps(seed), counts) for seed in (1, 2)]
    assert float(StructureTarget.make(ours[1], counts).compare(ours[0])) == pytest.approx(expected, rel=1e-12)


def test_it_is_the_same_for_features_that_are_scaled_and_shifted() -> None:
    maps, counts = make_maps(), torch.ones(1, 1, 4, 5, dtype=DOUBLE)
    before = measure_self_similarity(maps, counts)
    scaled = measure_self_similarity({tap: 3 * features for tap, features in maps.items()}, counts)
    torch.testing.assert_close(scaled, before)


def test_a_place_is_the_mean_of_its_cells() -> None:
    features = torch.rand(1, 2, 6, 9, dtype=DOUBLE)
    grid = Grid.make(6, 9, 2, 3, None, features)
    means = grid.average(grid.add_up(features, None, slice(None), slice(None)))
    torch.testing.assert_close(means, torch.nn.functional.avg_pool2d(features, 3))
    uneven = Grid.make(7, 5, 3, 2, None, features)
    assert float(uneven.counts.sum()) == pytest.approx(35)
    torch.testing.assert_close(uneven.counts, torch.full((1, 1, 3, 2), 35 / 6, dtype=DOUBLE))


def test_the_photo_itself_has_no_loss_nor_a_photo_of_fewer_values() -> None:
    rgb = make_picture(*SIZE, 1, DOUBLE)
    objective = make_objective(Image(rgb))
    assert objective.evaluate(rgb)["content"] == pytest.approx(0, abs=1e-9)
    paler, other = objective.evaluate(0.1 + 0.8 * rgb)["content"], objective.evaluate(rgb.flip(3))["content"]
    assert paler < 0.1 < 0.3 < other


@pytest.mark.parametrize("weight", ["photo", "alpha", "guard"])
def test_tiles_give_the_loss_and_gradient_of_the_whole(weight: str) -> None:
    rgb, soft = make_picture(*SIZE, 1, DOUBLE), make_picture(*SIZE, 5, DOUBLE)[:, :1]
    hole = (soft > 0.4).to(DOUBLE)
    photo = {"photo": Image(rgb), "alpha": Image(rgb, alpha=hole), "guard": Image(rgb, guard_map=soft)}[weight]
    chosen = {"guard": 0.7, "content_taps": {"relu2_1": 0.5, "relu4_1": 1.0}}
    canvas = make_picture(*SIZE, 3, DOUBLE)
    loss, gradient = measure(make_objective(photo, **chosen), canvas)
    for side in (16, 32):
        tiled_loss, tiled_gradient = measure(make_objective(photo, side, **chosen), canvas)
        assert tiled_loss == pytest.approx(loss, rel=1e-12)
        torch.testing.assert_close(tiled_gradient, gradient, rtol=1e-12, atol=1e-15)


def test_transparent_parts_say_nothing() -> None:
    rgb, canvas = (make_picture(64, 64, seed, DOUBLE) for seed in (1, 2))
    alpha = torch.ones(1, 1, 64, 64, dtype=DOUBLE)
    alpha[..., 32:] = 0
    grid = Grid.make(8, 8, 4, 4, alpha[..., ::8, ::8], rgb)
    features = torch.rand(1, 3, 8, 8, dtype=DOUBLE)
    changed = features.clone()
    changed[..., 4:] = 7.0
    similar = []
    for each in (features, changed):
        means = grid.average(grid.add_up(each, alpha[..., ::8, ::8], slice(None), slice(None)))
        similar.append(measure_self_similarity({"a": means}, grid.counts))
    assert float(StructureTarget.make(similar[0], grid.counts).compare(similar[1])) == pytest.approx(0, abs=1e-12)
    loss, gradient = measure(make_objective(Image(rgb, alpha=alpha)), canvas)
    assert 0 < loss < 2
    assert float(gradient[..., 63].abs().max()) == 0


def test_gradient_is_that_of_the_loss() -> None:
    objective, canvas = make_objective(Image(make_picture(*SIZE, 1, DOUBLE))), make_picture(*SIZE, 3, DOUBLE)
    _, gradient = measure(objective, canvas)
    direction = torch.randn(canvas.shape, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    ahead, behind = (objective.evaluate(canvas + step * direction)["total"] for step in (1e-7, -1e-7))
    assert float((gradient * direction).sum()) == pytest.approx((ahead - behind) / 2e-7, rel=1e-4)


def test_a_flat_photo_has_no_structure_to_keep() -> None:
    objective = make_objective(Image(torch.full((1, 3, *reversed(SIZE)), 0.5, dtype=DOUBLE)))
    loss, gradient = measure(objective, make_picture(*SIZE, 3, DOUBLE))
    assert loss == pytest.approx(1, abs=1e-3)
    assert float(gradient.abs().max()) < 1e-6


def test_no_structure_without_weights() -> None:
    photo = Image(make_picture(*SIZE, 1, DOUBLE))
    for chosen in ({"structure_weight": 0.0}, {"content_weight": 0.0}):
        assert measure(make_objective(photo, **chosen, tv_weight=1.0), photo.rgb)[0] == 0
