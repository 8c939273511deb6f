"""The painter: its ladder and its Steps, where it starts, what it never paints, and how it survives a divergence."""

import itertools
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from conftest import build_painter, make_network, make_objective, make_picture, make_settings
from torch import Tensor

from impasto.errors import DivergedError, UsageError
from impasto.images.sizes import resize
from impasto.network.vgg import Network
from impasto.painting import painter as painter_module
from impasto.painting import styles as style_module
from impasto.painting.adam import Adam
from impasto.painting.lbfgs import LBFGS
from impasto.painting.objective import Objective
from impasto.painting.painter import CanvasAverage, Painter, Step
from impasto.painting.styles import Style, StyleCache, StyleInput, capture_style

PHOTO, PAINTING = make_picture(40, 32, 1), make_picture(36, 36, 2)
NETWORK = make_network()


def make_painter(
    photo: Tensor | StyleInput = PHOTO,
    paintings: Sequence[Tensor | StyleInput] = (PAINTING,),
    begin: Tensor | None = None,
    **chosen: Any,
) -> Painter:
    sources = [item if isinstance(item, StyleInput) else StyleInput(item) for item in (photo, *paintings)]
    return build_painter(NETWORK, make_settings(**chosen), sources[0], sources[1:], begin)


def paint(*arguments: Any, **chosen: Any) -> Tensor:
    painter = make_painter(*arguments, **chosen)
    for _ in painter:
        pass
    return painter.picture()


def first_canvas(*arguments: Any, **chosen: Any) -> Tensor:
    return paint(*arguments, **{"steps": 1, **chosen})


# Steps


def test_steps_go_through_all_scales() -> None:
    painter = make_painter(start_size=20, steps=3, later_steps=2)
    assert painter.total_steps == 5
    steps = list(painter)
    assert [(step.scale, step.step, step.width, step.height) for step in steps] == [
        (1, 1, 20, 16),
        (1, 2, 20, 16),
        (1, 3, 20, 16),
        (2, 4, 40, 32),
        (2, 5, 40, 32),
    ]
    for step in steps:
        assert step.scales == 2
        assert set(step.losses) == {"content", "style", "total"}
        assert {type(value) for value in step.losses.values()} == {float}
        assert step.losses["total"] == pytest.approx(step.losses["content"] + step.losses["style"])
    seconds = [step.seconds for step in steps]
    assert seconds == sorted(seconds)
    assert seconds[0] > 0
    assert painter.picture().shape == (1, 3, 32, 40)


def test_too_small_scales_are_dropped() -> None:
    photo = make_picture(40, 20)  # at half its size 10 pixels high
    for tap, sizes in (("relu4_1", [(20, 10), (40, 20)]), ("relu5_1", [(40, 20)])):
        painter = make_painter(photo, start_size=16, steps=1, later_steps=1, style_taps={tap: 1.0})
        assert [(step.width, step.height) for step in painter] == sizes
        assert painter.total_steps == len(sizes)


@pytest.mark.parametrize(
    ("init", "padding", "times"),
    [
        ("recolored", "reflect", 1),
        ("recolored", "circular", 0),  # the photo has a seam
        ("photo", "reflect", 0),
        ("noise", "reflect", 0),
        ("gray", "reflect", 0),
    ],
)
def test_an_enlarged_canvas_gets_the_photos_detail_back(
    monkeypatch: pytest.MonkeyPatch, init: str, padding: str, times: int
) -> None:
    calls: list[tuple[int, ...]] = []

    def find_no_detail(photo: Tensor, *smaller: int) -> Tensor:
        calls.append(smaller)
        return torch.full_like(photo[:, :1], 2.0)

    monkeypatch.setattr(painter_module, "find_lost_detail", find_no_detail)
    painter = make_painter(
        init=init, padding=padding, start_size=20, steps=1, later_steps=1, optimizer="adam", learning_rate=1e-6
    )
    for _ in painter:
        pass
    assert calls == [(20, 16)] * times
    assert bool((painter.picture() > 0.99).all()) == bool(times)


def test_the_losses_are_those_of_the_picture() -> None:
    painter = make_painter(tv_weight=3.0)
    for step in painter:
        canvas = painter.picture().requires_grad_()
        objective = make_objective(
            NETWORK, painter.settings, StyleInput(PHOTO), [StyleInput(resize(PAINTING, 40, 40).clamp(0, 1))]
        )
        assert objective.backward(canvas) == pytest.approx(step.losses, rel=1e-3)


def test_ema_decay_does_not_change_losses() -> None:
    plain, averaged = (list(make_painter(ema_decay=average)) for average in (0.0, 0.9))
    assert [step.losses for step in averaged] == [step.losses for step in plain]


@pytest.mark.parametrize("style_loss", ["gatys", "gram", "wasserstein"])
@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
@pytest.mark.parametrize("init", ["photo", "noise"])
def test_twenty_steps_lower_the_loss(style_loss: str, optimizer: str, init: str) -> None:
    weight = 100.0 if style_loss == "gatys" else 1.0  # in units of this network's own activations
    painter = make_painter(style_loss=style_loss, style_weight=weight, optimizer=optimizer, init=init, steps=20)
    losses = [step.losses["total"] for step in painter]
    assert len(losses) == 20
    assert losses[-1] < 0.7 * losses[0]
    assert painter.notes == []


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
@pytest.mark.parametrize("average", [0.0, 0.9])
def test_picture_is_always_finite_and_in_range(optimizer: str, average: float) -> None:
    fast = {"learning_rate": 0.3} if optimizer == "adam" else {}
    # So strong a pull towards a painting beyond the photo's colours presses pixels against 0 and 1.
    painter = make_painter(
        PHOTO, [(PAINTING > 0.5).float()], optimizer=optimizer, ema_decay=average, style_weight=50.0, **fast
    )
    for _ in painter:
        picture = painter.picture()
        assert bool(picture.isfinite().all())
        assert float(picture.min()) >= 0
        assert float(picture.max()) <= 1
        assert picture.is_contiguous()


def test_picture_is_a_copy() -> None:
    for average in (0.0, 0.9):
        painter = make_painter(ema_decay=average)
        next(painter)
        kept = painter.picture()
        before = kept.clone()
        for _ in painter:
            pass
        assert torch.equal(kept, before)
        assert not torch.equal(painter.picture(), before)


def test_before_the_first_step_there_is_no_picture() -> None:
    with pytest.raises(UsageError, match="Nothing is painted yet: ask for a step first"):
        make_painter().picture()


def test_no_step_is_computed_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = plant(monkeypatch, spoil(math.nan), at=lambda _: False)
    painter = make_painter(start_size=20, steps=3, later_steps=3)
    assert looks == []
    for _ in range(4):
        next(painter)
    assert len(looks) == 4
    assert painter.picture().shape == (1, 3, 32, 40)
    assert bool(painter.picture().isfinite().all())


def test_the_average_of_canvases_is_unbiased() -> None:
    average = CanvasAverage(0.5)
    for value in (1.0, 4.0, 10.0):
        average.update(torch.tensor([value]))
    # weights 1/4, 1/2, 1 over their sum
    assert float(average.value) == pytest.approx((0.25 * 1 + 0.5 * 4 + 10) / 1.75)


def test_ema_decay_averages_the_last_scale() -> None:
    canvases: list[Tensor] = []
    plain = make_painter(ema_decay=0.0)
    for _ in plain:
        canvases.append(plain.picture())
    expected = CanvasAverage(0.9)
    for canvas in canvases:
        expected.update(canvas)
    torch.testing.assert_close(paint(ema_decay=0.9), expected.value)


# Chance and beginnings


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_seed_determines_the_picture(optimizer: str) -> None:
    chosen = {"init": "noise", "optimizer": optimizer, "start_size": 20, "ema_decay": 0.5}
    first = paint(seed=3, **chosen)
    torch.manual_seed(99)  # nothing is drawn from what others draw from
    assert torch.equal(paint(seed=3, **chosen), first)
    assert not torch.allclose(paint(seed=4, **chosen), first, atol=0.05)
    largest = paint(seed=2**63 - 1, **chosen)
    assert not torch.allclose(largest, first, atol=0.05)
    assert not torch.allclose(largest, paint(seed=2**63 - 2, **chosen), atol=0.05)


def test_the_canvas_starts_as_the_photo() -> None:
    assert torch.equal(first_canvas(init="photo"), PHOTO)
    torch.testing.assert_close(first_canvas(init="photo", size=20), resize(PHOTO, 20, 16).clamp(0, 1))


def test_the_canvas_starts_as_noise() -> None:
    noise = first_canvas(init="noise")
    assert noise.shape == PHOTO.shape
    assert 0.25 < float(noise.std()) < 0.33  # of evenly drawn numbers: 0.289
    neighbours = torch.corrcoef(torch.stack([noise[..., 1:].flatten(), noise[..., :-1].flatten()]))[0, 1]
    assert abs(float(neighbours)) < 0.1


@pytest.mark.parametrize(("width", "height"), [(40, 60), (80, 32)], ids=["taller", "wider"])
@pytest.mark.parametrize("init", ["painting", "begun.png"])
def test_init_picture_is_center_cropped(init: str, width: int, height: int) -> None:
    source = make_picture(width, height, 5)
    paintings, begin = ([source, PAINTING], None) if init == "painting" else ([PAINTING], source)
    left, top = (width - 40) // 2, (height - 32) // 2
    middle = source[..., top : top + 32, left : left + 40]
    torch.testing.assert_close(first_canvas(PHOTO, paintings, begin, init=init), middle)


def test_init_painting_takes_first_weighted_painting() -> None:
    sources = [
        StyleInput(make_picture(40, 32, 5), weight=0.0),
        StyleInput(make_picture(40, 32, 6)),
        StyleInput(PAINTING),
    ]
    torch.testing.assert_close(first_canvas(PHOTO, sources, init="painting"), sources[1].rgb)


def test_init_painting_fills_transparency_with_mean_color() -> None:
    painting, alpha = make_picture(40, 32, 5), torch.ones(1, 1, 32, 40)
    alpha[..., 10:], alpha[..., 5:10] = 0, 0.5
    mean = (painting[..., :5].sum((2, 3)) + painting[..., 5:10].sum((2, 3)) / 2)[..., None, None] / (32 * 7.5)
    begun = first_canvas(PHOTO, [StyleInput(painting, alpha)], init="painting")
    torch.testing.assert_close(begun[..., :5], painting[..., :5])
    torch.testing.assert_close(begun[..., 5:10], (painting[..., 5:10] + mean) / 2)
    torch.testing.assert_close(begun[..., 10:], mean.expand(1, 3, 32, 30))


@pytest.mark.parametrize("size", [(13, 9), (100, 31), (500, 20)])
def test_initial_picture_covers_the_canvas(size: tuple[int, int]) -> None:
    begin = torch.full((1, 3, size[1], size[0]), 0.25)
    torch.testing.assert_close(
        first_canvas(PHOTO, [PAINTING], begin, init="x.png"), torch.full_like(PHOTO, 0.25), rtol=1e-4, atol=1e-4
    )


def test_missing_initial_picture_raises() -> None:
    with pytest.raises(UsageError, match=r"`init` begun\.png: the picture to begin with was not given"):
        next(make_painter(init="begun.png"))


# Paintings


def test_paintings_keep_their_aspect_at_style_size() -> None:
    asked: list[tuple[int, int]] = []

    class Watched(StyleCache):
        def get(self, network: Network, painting: StyleInput, width: int, height: int, *rest: Any) -> Style:
            asked.append((width, height))
            return super().get(network, painting, width, height, *rest)

    paintings = [StyleInput(make_picture(60, 30, 1)), StyleInput(make_picture(10, 20, 2))]
    for chosen in ({"start_size": 20, "steps": 1, "later_steps": 1}, {"style_size": 0.5, "steps": 1}):
        list(build_painter(NETWORK, make_settings(**chosen), StyleInput(PHOTO), paintings, styles=Watched()))
    assert asked == [(20, 10), (10, 20), (40, 20), (20, 40), (20, 10), (10, 20)]


def test_only_relative_weights_matter() -> None:
    one, four = (
        paint(PHOTO, [StyleInput(PAINTING, weight=0.5 * whole), StyleInput(PHOTO, weight=1.5 * whole)], steps=3)
        for whole in (1.0, 4.0)
    )
    assert torch.equal(one, four)


def test_style_cache_captures_each_painting_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[StyleInput] = []

    def watched(network: Network, painting: StyleInput, *rest: Any) -> Style:
        looks.append(painting)
        return capture_style(network, painting, *rest)

    monkeypatch.setattr(style_module, "capture_style", watched)
    cache, pictures = StyleCache(), []
    for share in (0.5, 0.5, 0.9):
        sources = [StyleInput(PAINTING, weight=share), StyleInput(PHOTO.flip(3), weight=1 - share)]
        painter = build_painter(NETWORK, make_settings(start_size=20), StyleInput(PHOTO), sources, styles=cache)
        for _ in painter:
            pass
        pictures.append(painter.picture())
    assert len(looks) == 4  # two paintings at two scales
    assert torch.equal(pictures[0], pictures[1])
    assert not torch.equal(pictures[0], pictures[2])


def test_weights_determine_the_dominant_painting() -> None:
    dark, light = (0.2 * make_picture(36, 36, 3), 0.8 + 0.2 * make_picture(36, 36, 4))
    chosen = {"content_weight": 0.0, "style_taps": {"relu1_1": 1.0}, "steps": 30, "learning_rate": 0.05}
    brightness = [
        float(paint(PHOTO, [StyleInput(dark, weight=first), StyleInput(light, weight=second)], **chosen).mean())
        for first, second in ((1, 0), (3, 1), (1, 3), (0, 1))
    ]
    assert brightness == sorted(brightness)
    assert brightness[0] + 0.05 < brightness[-1]


# Sizes and transparency that can't be painted


def test_too_small_picture_raises() -> None:
    with pytest.raises(UsageError) as refused:
        make_painter(make_picture(100, 12), style_taps={"relu5_1": 1.0}, size=64, start_size=64)
    assert "The picture would be 64 x 8 pixels; the deepest tap needs 16 on each side" in str(refused.value)
    assert refused.value.setting == "size"


def test_too_small_painting_raises() -> None:
    with pytest.raises(UsageError) as refused:
        next(make_painter(PHOTO, [make_picture(80, 20)], style_size=0.3))
    assert "A painting would be 12 x 3 pixels, but the deepest tap needs 4 on each side" in str(refused.value)
    assert refused.value.setting == "style_size"


def test_narrow_painting_begins_where_it_is_wide_enough() -> None:
    chosen = {"size": 64, "start_size": 16, "scale_step": 2.0, "style_size": 1}
    assert make_painter(PHOTO, [make_picture(80, 60)], **chosen).schedule.sizes[0] == (16, 13)
    narrow = make_painter(PHOTO, [make_picture(160, 20)], **chosen)  # at 32 pixels it is 4 high, one cell
    assert [width for width, _ in narrow.schedule.sizes] == [32, 64]
    assert narrow.total_steps == narrow.settings.steps + narrow.settings.later_steps
    next(narrow)


@pytest.mark.parametrize(("hidden", "name"), [(0, "photo"), (1, "painting 1"), (2, "painting 2")])
def test_a_wholly_transparent_picture_is_refused(hidden: int, name: str) -> None:
    sources = [StyleInput(picture, torch.ones_like(picture[:, :1])) for picture in (PHOTO, PAINTING, PAINTING)]
    sources[hidden] = StyleInput(sources[hidden].rgb, torch.zeros_like(sources[hidden].rgb[:, :1]))
    with pytest.raises(UsageError, match=f"The {name} is wholly transparent"):
        make_painter(sources[0], sources[1:])


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
@pytest.mark.parametrize("init", ["photo", "noise"])
@pytest.mark.parametrize("average", [0.0, 0.7])
@pytest.mark.parametrize("scales", [1, 2])
def test_transparent_pixels_never_change(optimizer: str, init: str, average: float, scales: int) -> None:
    alpha = torch.ones(1, 1, 32, 40)
    alpha[..., 22:] = 0
    alpha[..., 20:22] = 0.5
    chosen = {"optimizer": optimizer, "init": init, "ema_decay": average, "start_size": 40 // scales, "tv_weight": 1.0}
    picture = paint(StyleInput(PHOTO, alpha), [PAINTING], **chosen)
    hidden = (alpha == 0).expand_as(PHOTO)
    assert torch.equal(picture[hidden], PHOTO[hidden])
    assert float((picture - PHOTO)[~hidden].abs().mean()) > 0.01


@pytest.mark.parametrize("optimizer", [Adam, LBFGS])
def test_optimizer_gets_no_gradient_of_transparent_pixels(monkeypatch: pytest.MonkeyPatch, optimizer: type) -> None:
    heard: list[Tensor] = []
    step = optimizer.step  # type: ignore[attr-defined]

    def overheard(self: Any, canvas: Tensor, gradient: Tensor) -> None:
        heard.append(gradient.clone())
        step(self, canvas, gradient)

    monkeypatch.setattr(optimizer, "step", overheard)
    alpha = torch.ones(1, 1, 32, 40)
    alpha[..., 20:] = 0
    paint(StyleInput(PHOTO, alpha), [PAINTING], optimizer=optimizer.__name__.lower())
    assert heard
    for gradient in heard:
        assert not gradient[..., 20:].any()
        assert gradient[..., :20].any()


def test_adam_moments_carry_over_to_next_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = plant(monkeypatch, spoil(math.nan), at=lambda _: False)
    paint(start_size=20, steps=6, later_steps=2, learning_rate=0.01)
    small, large = looks[1] - looks[0], looks[7] - looks[6]
    assert float(small.abs().median()) == pytest.approx(0.01, rel=0.01)  # a fresh one moves each pixel by its rate
    assert float(large.abs().median()) < 0.008


# Divergence

Fault = Callable[[dict[str, float], Tensor], dict[str, float]]


def plant(monkeypatch: pytest.MonkeyPatch, fault: Fault, at: Callable[[int], bool]) -> list[Tensor]:
    """Let the objective go wrong at the looks, counted from 1, that `at` names; returns the canvases it looked at."""
    looks: list[Tensor] = []
    backward = Objective.backward

    def planted(self: Objective, canvas: Tensor) -> dict[str, float]:
        looks.append(canvas.detach().clone())
        losses = backward(self, canvas)
        assert canvas.grad is not None
        return fault(losses, canvas.grad) if at(len(looks)) else losses

    monkeypatch.setattr(Objective, "backward", planted)
    return looks


def spoil(value: float) -> Fault:
    return lambda losses, _: {**losses, "total": value}


def spoil_gradient(losses: dict[str, float], gradient: Tensor) -> dict[str, float]:
    gradient[0, 1, 3, 4] = math.nan
    return losses


FAULTS = pytest.mark.parametrize(
    "fault",
    [spoil(math.nan), spoil(math.inf), spoil(1e9), spoil_gradient],
    ids=["nan", "infinite", "exploding", "gradient"],
)


@FAULTS
@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_explosion_returns_to_last_good_canvas(monkeypatch: pytest.MonkeyPatch, fault: Fault, optimizer: str) -> None:
    looks = plant(monkeypatch, fault, lambda look: look == 4)
    painter = make_painter(optimizer=optimizer, steps=8)
    steps = [(step, painter.picture()) for step in painter]
    assert [step.step for step, _ in steps] == list(range(1, 9))
    assert all(math.isfinite(value) for step, _ in steps for value in step.losses.values())
    (note,) = painter.notes
    assert "back to the last good canvas" in note
    assert torch.equal(looks[4], looks[2])
    assert not torch.equal(looks[3], looks[2])
    assert torch.equal(steps[3][1], steps[2][1].clamp(0, 1))  # it is accepted once more
    assert steps[-1][0].losses["total"] < steps[2][0].losses["total"]


def test_each_recovery_quarters_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = plant(monkeypatch, spoil(math.nan), lambda look: look in (2, 4))
    painter = make_painter(0.25 + 0.5 * PHOTO, learning_rate=0.04, steps=4)
    list(painter)
    moves = [float((after - before).abs().median()) for before, after in itertools.pairwise(looks)]
    # The first step of a fresh Adam is the rate itself; then back, then a quarter, back, a sixteenth.
    assert moves[:5] == pytest.approx([0.04, 0.04, 0.01, 0.01, 0.0025], rel=0.01)
    assert len(painter.notes) == 2


def test_step_that_raises_the_loss_is_shortened(monkeypatch: pytest.MonkeyPatch) -> None:
    def raise_a_little(losses: dict[str, float], _: Tensor) -> dict[str, float]:
        return {**losses, "total": 6 * losses["total"]}

    looks = plant(monkeypatch, raise_a_little, lambda look: look in (5, 6))
    painter = make_painter(optimizer="lbfgs", steps=10)
    steps = [(step, painter.picture()) for step in painter]
    torch.testing.assert_close(looks[5] - looks[3], (looks[4] - looks[3]) / 4, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(looks[6] - looks[3], (looks[4] - looks[3]) / 16, rtol=1e-3, atol=1e-6)
    assert len(looks) == len(steps) == 10  # a look is a step, whether what it sees is accepted or not
    assert steps[4][0].losses == steps[5][0].losses == steps[3][0].losses  # those of the picture
    assert torch.equal(steps[5][1], steps[3][1])
    assert not painter.notes
    assert steps[-1][0].losses["total"] < steps[3][0].losses["total"]


@FAULTS
@pytest.mark.parametrize("average", [0.0, 0.9])
def test_diverging_raises_with_last_good_picture(monkeypatch: pytest.MonkeyPatch, fault: Fault, average: float) -> None:
    looks = plant(monkeypatch, fault, lambda look: look >= 4)
    painter = make_painter(steps=100, ema_decay=average)
    for _ in range(3):
        next(painter)
    good = painter.picture()
    with pytest.raises(DivergedError) as failed:
        list(painter)
    assert isinstance(failed.value.picture, Tensor)
    assert torch.equal(failed.value.picture, good)
    assert torch.equal(painter.picture(), good)
    assert bool(good.isfinite().all())
    message = str(failed.value)
    assert "The painting diverged" in message
    assert "`learning_rate`" in message
    assert len(looks) < 12  # it gives up soon


def test_diverging_after_each_recovery_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, spoil(math.nan), lambda look: look % 2 == 0)
    painter = make_painter(steps=100)
    with pytest.raises(DivergedError):
        list(painter)
    assert len(painter.notes) == painter_module.MAX_RECOVERIES


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (spoil(math.nan), "the loss is nan"),
        (spoil(math.inf), "the loss is inf"),
        (spoil_gradient, "the loss's gradient is not finite"),
    ],
)
def test_diverging_at_once_raises_with_initial_picture(
    monkeypatch: pytest.MonkeyPatch, fault: Fault, said: str
) -> None:
    looks = plant(monkeypatch, fault, lambda _: True)
    painter = make_painter()
    with pytest.raises(DivergedError, match=f"can't go on from what it begins with: {said}") as failed:
        next(painter)
    assert isinstance(failed.value.picture, Tensor)
    assert torch.equal(failed.value.picture, PHOTO)
    assert len(looks) == 1
    assert painter.notes == []


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_diverging_at_a_later_scale_raises_with_initial_picture(
    monkeypatch: pytest.MonkeyPatch, average: float
) -> None:
    looks = plant(monkeypatch, spoil(math.nan), lambda look: look > 3)
    painter = make_painter(start_size=20, steps=3, ema_decay=average)
    for _ in range(3):
        next(painter)
    enlarged = resize(painter.picture(), 40, 32).clamp(0, 1)
    with pytest.raises(DivergedError, match="can't go on from what it begins with") as failed:
        next(painter)
    assert len(looks) == 4
    assert isinstance(failed.value.picture, Tensor)
    torch.testing.assert_close(failed.value.picture, enlarged)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (spoil(math.nan), "The loss is nan: back"),
        (spoil(1e9), r"The loss rose to 1e\+09: back"),
        (spoil_gradient, "The loss's gradient is not finite: back"),
    ],
)
def test_notes_and_failure_name_the_fault(monkeypatch: pytest.MonkeyPatch, fault: Fault, said: str) -> None:
    plant(monkeypatch, fault, lambda look: look > 1)
    painter = make_painter()
    with pytest.raises(DivergedError, match=said[1:].removesuffix(": back")):
        list(painter)
    assert len(painter.notes) == painter_module.MAX_RECOVERIES
    for note in painter.notes:
        assert re.match(said, note)


def test_infinite_gray_loss_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Objective, "evaluate", lambda *_: {"total": math.inf})
    plant(monkeypatch, spoil(1e30), lambda look: look == 3)
    painter = make_painter()
    assert len(list(painter)) == 5
    assert len(painter.notes) == 1


def test_gray_canvas_is_measured_only_where_the_loss_rises(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[float] = []
    measure = Objective.evaluate

    def watch(self: Objective, canvas: Tensor) -> dict[str, float]:
        found = measure(self, canvas)
        measured.append(found["total"])
        return found

    monkeypatch.setattr(Objective, "evaluate", watch)
    assert len(list(make_painter())) == 5
    assert measured == []
    monkeypatch.setattr(painter_module, "EXPLOSION_FACTOR", 1e-6)  # as if the first canvas had been almost perfect
    painter = make_painter()
    assert len(list(painter)) == 5
    assert len(measured) == 1
    assert painter.notes == []


@pytest.mark.parametrize(("optimizer", "rate"), [(Adam, 0.02), (LBFGS, 1.0)])
def test_recovery_shortens_steps_of_later_scales(monkeypatch: pytest.MonkeyPatch, optimizer: type, rate: float) -> None:
    rates: list[float] = []
    step = optimizer.step  # type: ignore[attr-defined]

    def watched(self: Any, canvas: Tensor, gradient: Tensor) -> None:
        rates.append(self.learning_rate if isinstance(self, Adam) else self.rate)
        step(self, canvas, gradient)

    monkeypatch.setattr(optimizer, "step", watched)
    plant(monkeypatch, spoil(math.nan), lambda look: look in (2, 5))
    painter = make_painter(start_size=20, steps=2, later_steps=6, optimizer=optimizer.__name__.lower())
    steps = list(painter)
    assert [step.scale for step in steps] == [1, 1, 2, 2, 2, 2, 2, 2]
    assert rates == [rate, rate / 4, rate / 4, *[rate / 16] * 5]
    assert len(painter.notes) == 2


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
@pytest.mark.parametrize("style_loss", ["gatys", "gram", "wasserstein"])
def test_loss_rising_from_zero_is_no_explosion(optimizer: str, style_loss: str) -> None:
    """Photo, painting and beginning are one picture: there is nothing to do, and whatever is done is not drastic."""
    painter = make_painter(PHOTO, [PHOTO], optimizer=optimizer, style_loss=style_loss, steps=12)
    steps: list[Step] = list(painter)
    assert len(steps) == 12
    assert painter.notes == []
    assert steps[0].losses["total"] < 1e-5
    assert float((painter.picture() - PHOTO).abs().mean()) < 0.05
