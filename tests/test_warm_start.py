"""A film's frame after the first: begun where it is told to, held by what it is held by."""

import pytest
import torch
from conftest import make_network, make_picture, make_settings
from torch import Tensor

from impasto.painting import losses
from impasto.painting.objective import TemporalTarget
from impasto.painting.prepare import Prepared
from impasto.painting.styles import StyleInput
from impasto.painting.warm_start import WarmStart, WarmStartPainter

NETWORK = make_network()
PHOTO, PAINTING, OTHER = make_picture(40, 32, 1), make_picture(36, 36, 2), make_picture(40, 32, 3)


def follow(beginning: WarmStart, steps: int = 1, **chosen: object) -> WarmStartPainter:
    settings = make_settings(optimizer="lbfgs", start_size=20, **chosen)
    return WarmStartPainter(Prepared(NETWORK, settings, [StyleInput(PAINTING)]), StyleInput(PHOTO), beginning, steps)


def paint(beginning: WarmStart, steps: int = 1, **chosen: object) -> Tensor:
    painter = follow(beginning, steps, **chosen)
    assert [(step.scale, step.scales, step.width, step.height) for step in painter] == [(1, 1, 40, 32)] * steps
    return painter.picture()


def test_first_canvas_is_the_given_one() -> None:
    assert torch.equal(paint(WarmStart(OTHER)), OTHER)


def test_temporal_loss_and_gradient_match_the_formula() -> None:
    canvas = OTHER.double().requires_grad_()
    weights = torch.linspace(0, 2, 40, dtype=torch.float64).expand(1, 1, 32, 40)
    plain = (weights * (canvas - PHOTO.double()).square()).mean()
    (expected,) = torch.autograd.grad(plain, canvas)
    loss = losses.temporal(canvas, PHOTO.double(), weights)
    (gradient,) = torch.autograd.grad(loss, canvas)
    assert float(loss.detach()) == pytest.approx(float(plain.detach()))
    torch.testing.assert_close(gradient, expected)


def test_temporal_target_holds_weighted_pixels() -> None:
    weights = torch.zeros(1, 1, 32, 40)
    weights[..., 20:] = 1000
    painted = paint(WarmStart(PHOTO, [TemporalTarget(OTHER, weights)]), 30)
    assert float((painted - OTHER)[..., 20:].abs().mean()) < 0.1 * float((painted - OTHER)[..., :20].abs().mean())


def test_step_reports_the_temporal_loss() -> None:
    weights = torch.ones(1, 1, 32, 40)
    step = next(follow(WarmStart(PHOTO, [TemporalTarget(OTHER, weights), TemporalTarget(OTHER, 2 * weights)])))
    assert step.losses["temporal"] == pytest.approx(3 * float((PHOTO - OTHER).square().mean()), rel=1e-5)
    assert step.losses["total"] == pytest.approx(sum(step.losses[name] for name in ("content", "style", "temporal")))


def test_lbfgs_scale_carries_over_to_next_frame() -> None:
    first = follow(WarmStart(OTHER), 6)
    totals = [step.losses["total"] for step in first]
    assert first.lbfgs_scale
    carried = [step.losses["total"] for step in follow(WarmStart(OTHER, (), first.lbfgs_scale), 6)]
    assert totals[0] == carried[0]
    assert totals[0] - carried[1] > 2 * (totals[0] - totals[1])
