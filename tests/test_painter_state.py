"""Resumed is uninterrupted, bit for bit: a painter taken apart after any step, written down, and put together again."""

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import build_painter, make_network, make_picture, make_settings
from torch import Tensor

from impasto.errors import CheckpointError, DivergedError, UsageError
from impasto.painting import painter as painter_module
from impasto.painting.checkpoint_file import read_checkpoint, write_checkpoint
from impasto.painting.lbfgs import LBFGS
from impasto.painting.painter import Painter
from impasto.painting.strategy import ScaleStrategy
from impasto.painting.styles import StyleInput

NETWORK = make_network()
PHOTO, PAINTING = make_picture(40, 32, 1), make_picture(36, 36, 2)
WHOLE = ScaleStrategy()
TILED = ScaleStrategy(tile_size=16, history=2, compact=True, on_disk=True)


def make_painter(strategy: ScaleStrategy = WHOLE, alpha: Tensor | None = None, **chosen: Any) -> Painter:
    settings = make_settings(**{"start_size": 20, "steps": 5, "later_steps": 6, **chosen})
    painter = build_painter(NETWORK, settings, StyleInput(PHOTO, alpha), [StyleInput(PAINTING)])
    painter.state.strategies = [strategy] * len(painter.schedule.sizes)
    return painter


def told(painter: Painter) -> list[Any]:
    return [(step.step, step.scale, step.losses) for step in painter]


def make_alpha() -> Tensor:
    alpha = torch.ones(1, 1, 32, 40)
    alpha[..., :9] = 0
    return alpha


WAYS: dict[str, dict[str, Any]] = {
    "adam": {"optimizer": "adam"},
    "adam, averaged": {"optimizer": "adam", "ema_decay": 0.9},
    "lbfgs": {"optimizer": "lbfgs"},
    "lbfgs, clamped": {"optimizer": "lbfgs", "clamp": "always", "lbfgs_range": 255.0},
    "lbfgs, all as torch": {"optimizer": "lbfgs", "lbfgs_max_step": 0.0, "lbfgs_preconditioner": False},
    "compact": {"optimizer": "lbfgs", "lbfgs_preconditioner": False, "strategy": TILED},
    "compact, steps taken back": {"optimizer": "lbfgs", "lbfgs_preconditioner": False, "strategy": TILED, "rise": 0.9},
    "steps taken back": {"optimizer": "lbfgs", "rise": 0.9},
    "ended early": {"optimizer": "adam", "min_improvement": 0.9, "steps": 14, "later_steps": 13},
    "transparent": {"optimizer": "adam", "alpha": make_alpha()},
    "tiles that go round": {
        "optimizer": "lbfgs",
        "padding": "circular",
        "strategy": ScaleStrategy(tile_size=16),
        "size": 48,
        "steps": 3,
        "later_steps": 4,
    },
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.slow
def test_resuming_equals_running_through(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = dict(WAYS[way])
    if rise := chosen.pop("rise", None):
        monkeypatch.setattr(painter_module, "MAX_LOSS_RISE", rise)
    whole = make_painter(**chosen)
    wanted = told(whole)
    assert len(wanted) == whole.total_steps
    for kept_at in range(1, len(wanted) + 1):
        begun = make_painter(**chosen)
        for _ in range(kept_at):
            step = next(begun)
        write_checkpoint(tmp_path / "checkpoint", begun.capture_state({}))
        del begun
        resumed = make_painter(**chosen)
        resumed.restore_state(read_checkpoint(tmp_path / "checkpoint"))
        assert resumed.state.steps_done == step.step
        assert told(resumed) == wanted[kept_at:]
        assert torch.equal(resumed.picture(), whole.picture())
        assert resumed.total_steps == whole.total_steps
        assert resumed.notes == whole.notes


def test_resuming_keeps_the_recovery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Resumed after a return to the last good canvas it is as careful as it would have been."""
    steps = iter(range(1000))

    def explode(self: LBFGS, x: Tensor, gradient: Tensor) -> None:
        x += 1e4 if next(steps) == 1 else -0.001 * gradient.sign() * self.rate

    monkeypatch.setattr(LBFGS, "step", explode)
    begun = make_painter(optimizer="lbfgs", steps=12)
    for _ in range(9):  # some of them taken back
        next(begun)
    assert begun.state.step_scale == 0.25
    write_checkpoint(tmp_path / "checkpoint", begun.capture_state({}))
    resumed = make_painter(optimizer="lbfgs", steps=12)
    resumed.restore_state(read_checkpoint(tmp_path / "checkpoint"))
    assert resumed.notes == begun.notes
    assert told(resumed) == told(begun)
    assert torch.equal(resumed.picture(), begun.picture())


def test_restoring_another_paintings_checkpoint_raises(tmp_path: Path) -> None:
    begun = make_painter()
    next(begun)
    write_checkpoint(tmp_path / "checkpoint", begun.capture_state({}))
    for chosen in ({"steps": 9}, {"start_size": 40}):
        with pytest.raises(CheckpointError, match="another painting"):
            make_painter(**chosen).restore_state(read_checkpoint(tmp_path / "checkpoint"))


def test_capturing_before_the_first_step_raises() -> None:
    with pytest.raises(UsageError, match="Nothing is painted yet"):
        make_painter().capture_state({})


def test_loss_that_has_no_eigenvalues_counts_as_diverged(monkeypatch: pytest.MonkeyPatch) -> None:
    painter = make_painter()
    next(painter)

    def fail(*_: Any) -> None:
        raise torch.linalg.LinAlgError

    monkeypatch.setattr("impasto.painting.objective.Objective.backward", fail)
    with pytest.raises(DivergedError, match="the loss is nan"):
        list(painter)
