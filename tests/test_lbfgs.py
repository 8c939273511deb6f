"""The lean L-BFGS walks where torch's own walks."""

from collections.abc import Callable

import pytest
import torch
from conftest import make_settings
from torch import Tensor

from impasto.painting.lbfgs import LBFGS
from impasto.painting.optimizers import FIRST_MOVE, make_optimizer
from impasto.painting.strategy import ScaleStrategy

SHAPE = (1, 3, 4, 5)


def draw(seed: int = 0) -> Tensor:
    return torch.randn(SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def valley(x: Tensor) -> Tensor:
    """A smooth function with scales from 1 to 30, not quadratic, its least value away from 0."""
    scales = torch.linspace(1, 30, x.numel(), dtype=x.dtype).view(SHAPE)
    return (scales * (x - 0.3) ** 2 / 2).sum() + (x - x.roll(1, 3)).cosh().log().sum()


def gradient_of(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad(function(x := x.detach().requires_grad_()), x)
    return gradient


@pytest.mark.parametrize("rate", [1.0, 0.5])
@pytest.mark.parametrize("history", [1, 3, 100])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["plain", "channels_last"])
def test_the_iterates_are_torchs(history: int, layout: torch.memory_format, rate: float) -> None:
    theirs = draw().requires_grad_()
    reference = torch.optim.LBFGS(
        [theirs], lr=rate, max_iter=1, history_size=history, tolerance_grad=0, tolerance_change=0
    )

    def closure() -> Tensor:
        reference.zero_grad()
        loss = valley(theirs)
        loss.backward()
        return loss

    ours, optimizer = draw().contiguous(memory_format=layout), LBFGS(history, rate)
    for _ in range(25):
        reference.step(closure)
        optimizer.step(ours, gradient_of(valley, ours).contiguous(memory_format=layout))
        torch.testing.assert_close(ours, theirs.detach(), rtol=1e-9, atol=1e-11)
    assert ours.is_contiguous(memory_format=layout)
    assert float(valley(ours)) < 0.2 * float(valley(draw()))


def test_converges_on_an_ill_conditioned_quadratic() -> None:
    scales = torch.logspace(0, 3, 60, dtype=torch.float64).view(SHAPE)
    x, optimizer = draw(), LBFGS(history=10)
    for _ in range(200):
        optimizer.step(x, scales * (x - 1))
    torch.testing.assert_close(x, torch.ones_like(x), rtol=1e-3, atol=1e-3)


def test_the_first_step_is_short_and_downhill() -> None:
    x, gradient = draw(), 100 * draw(1)
    moved = x.clone()
    LBFGS().step(moved, gradient)
    torch.testing.assert_close(moved - x, -gradient / gradient.abs().sum())


@pytest.mark.parametrize("bend", [0.0, -0.5], ids=["none", "negative"])
def test_a_pair_without_curvature_is_left_out(bend: float) -> None:
    x, optimizer = draw(), LBFGS()
    slope = draw(1)
    optimizer.step(x, slope)
    moved = x.clone()
    assert optimizer.last_move is not None
    gradient = slope + bend * optimizer.last_move.view(SHAPE)  # s . y = bend |s|^2
    optimizer.step(moved, gradient)
    assert optimizer.rows == []
    torch.testing.assert_close(moved - x, -gradient)


def test_no_more_pairs_are_kept_than_asked_for() -> None:
    x, optimizer = draw(), LBFGS(history=3)
    for count in range(8):
        optimizer.step(x, gradient_of(valley, x))
        assert len(optimizer.rows) == min(count, 3)
    assert optimizer.moves is not None
    assert optimizer.moves.shape == (3, 60)


def test_a_flat_place_is_stayed_at() -> None:
    x, optimizer = draw(), LBFGS()
    for _ in range(3):
        optimizer.step(x, torch.zeros(SHAPE, dtype=torch.float64))
    assert torch.equal(x, draw())


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["plain", "channels_last"])
def test_preconditioner_equals_a_change_of_basis(layout: torch.memory_format) -> None:
    weights = torch.linspace(0.2, 2, 60, dtype=torch.float64).view(SHAPE)  # a diagonal map, and so a symmetric one
    x, optimizer = draw().contiguous(memory_format=layout), LBFGS(preconditioner=lambda of: weights * of)
    u, plain = x / weights, LBFGS()
    for _ in range(15):
        optimizer.step(x, gradient_of(valley, x))
        plain.step(u, weights * gradient_of(valley, weights * u))
        torch.testing.assert_close(x, weights * u, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("wide", [1.0, 255.0])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["plain", "channels_last"])
def test_limits_give_the_constrained_optimum(layout: torch.memory_format, wide: float) -> None:
    scales = torch.logspace(0, 2, 60, dtype=torch.float64).view(SHAPE)
    goal = draw(1)  # much of it lies outside
    x, optimizer = (
        torch.full_like(goal, 0.5).contiguous(memory_format=layout),
        LBFGS(preconditioner=lambda of: of / wide, limits=(0.0, 1.0)),
    )
    for _ in range(150):
        optimizer.step(x, scales * (x - goal))
        assert float(x.min()) >= 0
        assert float(x.max()) <= 1
    torch.testing.assert_close(x, goal.clamp(0, 1).contiguous(memory_format=layout), rtol=0, atol=1e-3)


@pytest.mark.parametrize("basis", [None, lambda of: of / 255], ids=["plain", "in bytes"])
def test_first_step_moves_by_the_minimum(basis: Callable[[Tensor], Tensor] | None) -> None:
    x, optimizer = draw(), LBFGS(preconditioner=basis, min_first_move=0.25)
    slope = draw(1)
    optimizer.step(moved := x.clone(), slope)
    torch.testing.assert_close((moved - x) / 0.25, -slope / slope.abs().mean())
    far = x.clone()
    LBFGS(preconditioner=basis, min_first_move=1e-9).step(far, slope)
    short = x.clone()
    LBFGS(preconditioner=basis).step(short, slope)
    assert torch.equal(far, short)
    optimizer.step(again := moved.clone(), gradient_of(valley, moved))
    assert not torch.equal(again, moved)


def test_limits_that_are_not_reached_change_nothing() -> None:
    free, bound = draw(), draw()
    walks, walled = LBFGS(), LBFGS(limits=(-1e3, 1e3))
    for _ in range(10):
        walks.step(free, gradient_of(valley, free))
        walled.step(bound, gradient_of(valley, bound))
    torch.testing.assert_close(free, bound, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("basis", [None, lambda of: 100 * of], ids=["plain", "in a basis"])
def test_no_value_moves_farther_than_the_longest_step(basis: Callable[[Tensor], Tensor] | None) -> None:
    x, optimizer = torch.zeros(3, dtype=torch.float64), LBFGS(max_step=0.5, preconditioner=basis)
    for scale in (1e-3, 1.0, 1e3):  # a gradient that hardly changes: its curvature asks for ever longer steps
        before = x.clone()
        optimizer.step(x, torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64) * (1 - 1e-9 * scale))
        assert float((x - before).abs().max()) <= 0.5 * (1 + 1e-12)
    assert float((x - before).abs().max()) == pytest.approx(0.5)


def test_shortened_step_counts_at_its_length() -> None:
    cut, optimizer, other, plain = draw(), LBFGS(), draw(), LBFGS(rate=0.5)
    optimizer.step(cut, gradient_of(valley, cut))
    optimizer.shorten_last_step(0.5)
    cut.lerp_(draw(), 0.5)
    plain.step(other, gradient_of(valley, other))
    torch.testing.assert_close(cut, other)
    plain.rate = 1.0
    for _ in range(3):
        optimizer.step(cut, gradient_of(valley, cut))
        plain.step(other, gradient_of(valley, other))
        torch.testing.assert_close(cut, other)


@pytest.mark.parametrize("compact", [False, True])
def test_first_move_at_later_scales_is_not_tiny(compact: bool) -> None:
    settings, strategy = make_settings(optimizer="lbfgs"), ScaleStrategy(compact=compact)
    canvas, gradient = torch.rand(1, 3, 40, 50), torch.randn(1, 3, 40, 50)
    moves = []
    for is_first_scale in (True, False):
        moved = canvas.clone()
        optimizer = make_optimizer(settings, strategy, torch.float32, is_last_scale=True, is_first_scale=is_first_scale)
        optimizer.step(moved, gradient)
        moves.append(float((moved - canvas).abs().mean()))
    assert moves[0] < 0.001
    assert moves[1] == pytest.approx(FIRST_MOVE, rel=0.01)
