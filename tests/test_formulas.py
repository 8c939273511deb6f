"""What the settings of the formulas do in the objective, the network and the painter."""

from typing import Any, get_args

import pytest
import torch
import torch.nn.functional as F
from conftest import build_painter, make_network, make_objective, make_picture, make_settings
from torch import Tensor

from impasto.errors import UsageError
from impasto.images.masks import shrink_mask
from impasto.network.moments import measure_moments
from impasto.network.vgg import CAFFE, IMAGENET, rescale_normalization
from impasto.painting import losses, variation
from impasto.painting.histograms import blend_histograms, collect_histogram, style_histogram
from impasto.painting.objective import Objective, Sums, needs_features
from impasto.painting.painter import PLATEAU_STEPS, Painter
from impasto.painting.style_regions import StyleRegion
from impasto.painting.styles import StyleInput, capture_histograms, capture_style
from impasto.settings.model import Settings
from impasto.settings.types import ContentLoss, StyleLoss, Variation

DOUBLE = torch.float64
PHOTO, PAINTING, CANVAS = (make_picture(24, 20, seed, DOUBLE) for seed in (1, 2, 3))


def aim(**chosen: Any) -> Objective:
    settings = make_settings(**chosen)
    network = make_network(DOUBLE)
    if not needs_features(settings):
        return make_objective(network, settings, StyleInput(PHOTO), [StyleInput(PAINTING)])
    taps = [*settings.style_taps, *settings.content_taps]
    style = capture_style(network, StyleInput(PAINTING), taps)
    values = capture_histograms(network, StyleInput(PAINTING), settings.style_taps)
    return Objective(network, settings, StyleInput(PHOTO), [StyleRegion(style, histograms=values)])


def gradient_of(objective: Objective) -> Tensor:
    canvas = CANVAS.clone().requires_grad_()
    objective.backward(canvas)
    assert canvas.grad is not None
    return canvas.grad


# Every name does what it says


@pytest.mark.parametrize("kind", get_args(StyleLoss))
@pytest.mark.parametrize("shift", [0.0, -1.0])
def test_style_loss_matches_its_formula(kind: StyleLoss, shift: float) -> None:
    if shift and kind not in losses.GRAM_LOSSES:
        return
    objective = aim(style_loss=f"{kind}:3", style_taps="relu2_1:2", gram_shift=shift, content_weight=0)
    network = make_network(DOUBLE)
    ours, theirs = (network(of, ["relu2_1"])["relu2_1"] for of in (CANVAS, PAINTING))
    if kind == "histogram":
        expected = style_histogram(ours, collect_histogram(theirs))
    else:
        expected = losses.STYLE_LOSSES[kind](measure_moments(ours + shift), measure_moments(theirs + shift))
    assert objective.evaluate(CANVAS)["style"] == pytest.approx(2 * 3 * float(expected), rel=1e-9)


@pytest.mark.parametrize("kind", get_args(ContentLoss))
def test_content_loss_matches_its_formula(kind: ContentLoss) -> None:
    objective = aim(content_loss=kind, content_taps="relu2_1:2", style_weight=0)
    network = make_network(DOUBLE)
    ours, photos = (network(of, ["relu2_1"])["relu2_1"] for of in (CANVAS, PHOTO))
    expected = losses.squared_distance(ours, photos) / losses.choose_content_divisor(kind, photos)
    assert objective.evaluate(CANVAS)["content"] == pytest.approx(2 * float(expected), rel=1e-9)


@pytest.mark.parametrize("form", get_args(Variation))
def test_total_variation_is_the_form_of_its_name(form: Variation) -> None:
    objective = aim(tv_weight=2.0, tv_loss=form, tv_exponent=1.5)
    assert objective.evaluate(CANVAS)["tv"] == pytest.approx(2 * float(variation.measure_variation(CANVAS, form, 1.5)))


def test_every_style_loss_needs_either_moments_or_features() -> None:
    assert {*losses.STYLE_LOSSES, *losses.NEED_FEATURES} == {*get_args(StyleLoss)}
    assert not {*losses.STYLE_LOSSES} & losses.NEED_FEATURES


@pytest.mark.parametrize("kind", get_args(StyleLoss))
@pytest.mark.parametrize("normalize", [False, True])
def test_gradients_point_uphill(kind: StyleLoss, *, normalize: bool) -> None:
    objective = aim(style_loss={kind: 1.0}, normalize_gradients=normalize)
    gradient = gradient_of(objective)
    before, after = (objective.evaluate(CANVAS + step * gradient / gradient.norm()) for step in (-1e-4, 1e-4))
    rise = (after["total"] - before["total"]) / 2e-4
    assert rise > 0
    if not normalize:
        assert rise == pytest.approx(float(gradient.norm()), rel=1e-3)


# Histograms among the sums


def test_histogram_loss_adds_to_other_losses() -> None:
    kinds = ("gram:2", "histogram:0.5", "gram:2,histogram:0.5")
    parts = [aim(style_loss=kind).evaluate(CANVAS)["style"] for kind in kinds]
    assert parts[2] == pytest.approx(parts[0] + parts[1])
    assert not needs_features(make_settings(style_loss="gram:1,histogram:0"))


def test_histograms_are_refused_where_sums_are_added() -> None:
    sums = Sums({}, [], histograms=[{"relu1_1": torch.zeros(())}])
    with pytest.raises(ValueError, match="histogram"):
        sums + sums


def test_histogram_excludes_transparent_cells() -> None:
    alpha = torch.ones(1, 1, 20, 24, dtype=DOUBLE)
    alpha[..., 16:] = 0
    network = make_network(DOUBLE)
    values = capture_histograms(network, StyleInput(PAINTING, alpha), ["relu1_1"])["relu1_1"]
    assert values.values.shape == (4, 20 * 16)


def test_the_painter_pours_histograms_of_paintings_together() -> None:
    settings = make_settings(style_loss="histogram", size=24, steps=1)
    paintings = [StyleInput(PAINTING, weight=3.0), StyleInput(CANVAS, weight=1.0)]
    network = make_network(DOUBLE)
    (step,) = build_painter(network, settings.model_copy(update={"start_size": 24}), StyleInput(PHOTO), paintings)
    expected = 0.0
    for tap in settings.style_taps:
        seen = [collect_histogram(network(painting.rgb, [tap])[tap]) for painting in paintings]
        expected += float(style_histogram(network(PHOTO, [tap])[tap], blend_histograms(seen, [0.75, 0.25])))
    assert step.losses["style"] == pytest.approx(expected)


# Normalised gradients


def test_normalized_gradient_is_independent_of_loss_size() -> None:
    alone = {"content_weight": 0, "normalize_gradients": True}
    gradients = [gradient_of(aim(style_loss=f"gram:{of}", **alone)) for of in (1, 1000)]
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-6, atol=1e-9)
    weights = [gradient_of(aim(style_weight=of, **alone)) for of in (1, 7)]
    torch.testing.assert_close(7 * weights[0], weights[1], rtol=1e-6, atol=1e-9)


def test_a_tap_without_weight_adds_nothing_when_normalised() -> None:
    objective = aim(style_taps="relu1_1:1,relu2_1:0", content_weight=0, normalize_gradients=True)
    alone = aim(style_taps="relu1_1:1", content_weight=0, normalize_gradients=True)
    torch.testing.assert_close(gradient_of(objective), gradient_of(alone))


# The network


@pytest.mark.parametrize("pooling", ["max", "average", "l2"])
@pytest.mark.parametrize("size", [(24, 16), (23, 16), (24, 17), (27, 21)])
def test_ceil_mode_pooling_matches_torch(pooling: Any, size: tuple[int, int]) -> None:
    network = make_network(DOUBLE, pooling=pooling, rounding="up", keep_activation_size=False)
    weights = network.state_dict()
    ours, theirs = (make_picture(*size, 1, DOUBLE).requires_grad_() for _ in range(2))
    x = (theirs - theirs.new_tensor(IMAGENET.mean).view(3, 1, 1)) / theirs.new_tensor(IMAGENET.std).view(3, 1, 1)
    for name in ("1_1", "1_2", "pool", "2_1", "2_2", "pool", "3_1"):
        if name != "pool":
            x = F.conv2d(x, weights[f"convs.conv{name}.weight"], weights[f"convs.conv{name}.bias"], padding=1).relu()
        elif pooling == "max":
            x = F.max_pool2d(x, 2, ceil_mode=True)
        elif pooling == "average":
            x = F.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False)
        else:
            x = (F.avg_pool2d(x * x, 2, ceil_mode=True, count_include_pad=False) * 4 + 1e-12).sqrt()
    found = network(ours, ["relu3_1"])["relu3_1"]
    torch.testing.assert_close(found, x)
    found.square().sum().backward()
    x.square().sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize("stride", [1, 2, 4, 8])
def test_mask_grid_matches_ceil_mode(stride: int) -> None:
    mask = torch.rand(1, 1, 21, 27)
    grid = shrink_mask(mask, stride, "up")
    assert grid is not None
    assert grid.shape[2:] == (-(-21 // stride), -(-27 // stride))
    assert float(grid.max()) <= 1
    assert torch.equal(shrink_mask(torch.ones_like(mask), stride, "up"), torch.ones_like(grid))


def test_transparent_photo_works_with_ceil_mode() -> None:
    alpha = torch.ones(1, 1, 21, 27)
    alpha[..., :9] = 0
    photo = StyleInput(make_picture(27, 21), alpha)
    settings = make_settings(size=27, start_size=27, steps=2, style_loss="gram,histogram")
    network = make_network(rounding="up")
    painter = build_painter(
        network, settings, photo, [StyleInput(make_picture(25, 23, 2), alpha[..., :23].mT[..., :25].mT)]
    )
    for _ in painter:
        pass
    assert torch.equal(painter.picture()[..., :9], photo.rgb[..., :9])


def test_input_is_scaled_as_programs_scale_it() -> None:
    rgb = make_picture(9, 7, 1, DOUBLE)
    for scaling, normalization, expected in (
        ("own", CAFFE, 255 * rgb - torch.tensor((123.68, 116.779, 103.939), dtype=DOUBLE).view(3, 1, 1)),
        ("256", CAFFE, 256 * rgb - torch.tensor((123.68, 116.779, 103.939), dtype=DOUBLE).view(3, 1, 1)),
        ("255", IMAGENET, 255 * rgb - torch.tensor((123.675, 116.28, 103.53), dtype=DOUBLE).view(3, 1, 1)),
    ):
        scaled = rescale_normalization(normalization, scaling)  # type: ignore[arg-type]
        found = make_network(DOUBLE, normalization=scaled)._normalize(rgb)
        torch.testing.assert_close(found.flip(1) if scaled.bgr else found, expected)


# The painter


def paint(**chosen: Any) -> Painter:
    settings = make_settings(**{"size": 24, "start_size": 24, **chosen})
    return build_painter(make_network(), settings, StyleInput(PHOTO.float()), [StyleInput((PAINTING > 0.5).float())])


def test_a_scale_ends_where_little_is_gained() -> None:
    long = paint(steps=200, min_improvement=0.02)
    totals = [step.losses["total"] for step in long]
    assert PLATEAU_STEPS < len(totals) < 200
    assert long.total_steps == len(totals)
    assert min(totals[:-PLATEAU_STEPS]) - min(totals[-PLATEAU_STEPS:]) < 0.02 * min(totals[:-PLATEAU_STEPS])
    assert min(totals[: -PLATEAU_STEPS - 1]) - min(totals[-PLATEAU_STEPS - 1 : -1]) >= 0.02 * min(
        totals[: -PLATEAU_STEPS - 1]
    )
    assert "early" in long.notes[0]
    assert len(list(paint(steps=30))) == 30


def test_each_scale_may_end_early() -> None:
    painter = paint(steps=60, later_steps=60, start_size=17, scale_step=1.5, min_improvement=0.9)
    steps = list(painter)
    assert [step.scale for step in steps] == [1] * (PLATEAU_STEPS + 1) + [2] * (PLATEAU_STEPS + 1)
    assert painter.total_steps == len(steps) == steps[-1].step


@pytest.mark.parametrize(
    ("optimizer", "clamp", "held"),
    [("adam", "auto", True), ("adam", "never", False), ("lbfgs", "auto", False), ("lbfgs", "always", True)],
)
def test_the_canvas_is_held_within_its_limits(optimizer: str, clamp: str, *, held: bool) -> None:
    painter = paint(optimizer=optimizer, clamp=clamp, steps=12, style_weight=1e3, ema_decay=0.0)
    farthest = 0.0
    for _ in painter:
        assert painter.state.accepted is not None
        farthest = max(farthest, float(painter.state.accepted.max()) - 1, -float(painter.state.accepted.min()))
    assert (farthest <= 0) == held


@pytest.mark.parametrize(
    "chosen",
    [
        {"optimizer": "lbfgs", "lbfgs_history": 2},
        {"optimizer": "lbfgs", "lbfgs_max_step": 0.01},
        {"optimizer": "lbfgs", "lbfgs_range": 255},
        {"optimizer": "lbfgs", "lbfgs_preconditioner": False, "start_size": 17, "scale_step": 1.5},
        {"optimizer": "adam", "adam_beta1": 0.5},
        {"optimizer": "adam", "adam_beta2": 0.5},
        {"optimizer": "adam", "adam_epsilon": 0.1},
        {"optimizer": "adam", "learning_rate": 0.1},
    ],
)
def test_each_setting_of_an_optimizer_changes_the_painting(chosen: dict[str, Any]) -> None:
    plain = {name: value for name, value in chosen.items() if name in ("optimizer", "start_size", "scale_step")}
    pictures = []
    for settings in (plain, chosen):
        painter = paint(**settings, steps=8)
        for _ in painter:
            pass
        pictures.append(painter.picture())
    assert not torch.allclose(*pictures)


@pytest.mark.parametrize("fit", ["longest", "shortest", "width", "height", "area", "shrink"])
def test_scale_sizes_follow_fit(fit: str) -> None:
    painter = build_painter(
        make_network(),
        make_settings(size=64, start_size=32, scale_step=2.0, fit=fit),
        StyleInput(make_picture(96, 48)),
        [StyleInput(make_picture(50, 90, 2))],
    )
    expected = {
        "longest": [(32, 16), (64, 32)],
        "shortest": [(64, 32), (128, 64)],
        "width": [(32, 16), (64, 32)],
        "height": [(64, 32), (128, 64)],
        "area": [(45, 23), (91, 45)],
        "shrink": [(32, 16), (64, 32)],
    }
    assert list(painter.schedule.sizes) == expected[fit]


def test_shrink_never_enlarges_the_photo() -> None:
    painter = build_painter(
        make_network(),
        make_settings(size=640, start_size=20, scale_step=2.0, fit="shrink"),
        StyleInput(make_picture(40, 32)),
        [StyleInput(make_picture(20, 20, 2))],
    )
    assert list(painter.schedule.sizes) == [(20, 16), (40, 32)]


def test_too_small_size_after_fit_raises() -> None:
    with pytest.raises(UsageError, match="larger `size`"):
        build_painter(
            make_network(), Settings(fit="width", size=16), StyleInput(make_picture(300, 20)), [StyleInput(PHOTO)]
        )
