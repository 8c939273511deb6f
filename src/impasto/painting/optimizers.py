"""The optimizer of a scale, as the settings and the scale's strategy ask for it."""

import math
from typing import TypeAlias

import torch

from impasto.painting.adam import Adam
from impasto.painting.compact_lbfgs import CompactLBFGS
from impasto.painting.lbfgs import LBFGS
from impasto.painting.preconditioner import choose_preconditioner
from impasto.painting.strategy import ScaleStrategy
from impasto.settings.model import Settings

Optimizer: TypeAlias = Adam | LBFGS | CompactLBFGS

# The least mean length of L-BFGS's first step at a scale after the first, as a share of a pixel's range. Without known
# curvature it is tiny, and two or three steps are lost to it. A step that raises the loss is shortened anyway.
FIRST_MOVE = 0.01
# The same where `lbfgs_range` makes it tiny: with 255, the first step moves all pixels together by one byte, and a
# network of that precision sees nothing but noise.
MIN_FIRST_MOVE = {torch.bfloat16: 5e-4, torch.float16: 5e-4, torch.float32: 1e-4, torch.float64: 0.0}


def make_optimizer(
    settings: Settings,
    strategy: ScaleStrategy,
    dtype: torch.dtype,
    *,
    is_last_scale: bool,
    is_first_scale: bool = True,
    step_scale: float = 1.0,
) -> Optimizer:
    """Make a scale's optimizer. `dtype` is the network's; `step_scale` shortens all steps."""
    if settings.optimizer == "adam":
        rate = settings.learning_rate * step_scale
        return Adam(rate, settings.adam_beta1, settings.adam_beta2, settings.adam_epsilon)
    history = min(strategy.history or settings.lbfgs_history, settings.lbfgs_history)
    max_step = settings.lbfgs_max_step or math.inf
    first_move = step_scale * _choose_first_move(settings, dtype, is_first_scale=is_first_scale)
    if strategy.compact and can_compact(settings, is_last_scale=is_last_scale):
        return CompactLBFGS(history, step_scale, max_step, first_move)
    low_first = not is_last_scale and settings.lbfgs_preconditioner and settings.clamp != "always"
    return LBFGS(
        history,
        rate=step_scale,
        max_step=max_step,
        preconditioner=choose_preconditioner(settings.lbfgs_range, low_first=low_first),
        limits=(0.0, 1.0) if settings.clamp == "always" else None,
        min_first_move=first_move,
    )


def _choose_first_move(settings: Settings, dtype: torch.dtype, *, is_first_scale: bool) -> float:
    if settings.lbfgs_range != 1:
        return MIN_FIRST_MOVE[dtype]
    return FIRST_MOVE if settings.lbfgs_max_step and not is_first_scale else 0.0  # without a limit they are torch's


def can_compact(settings: Settings, *, is_last_scale: bool) -> bool:
    """Tell whether a scale's optimizer can keep its history in bfloat16."""
    is_preconditioned = not is_last_scale and settings.lbfgs_preconditioner
    is_plain = settings.clamp != "always" and settings.lbfgs_range == 1 and not is_preconditioned
    return settings.optimizer == "lbfgs" and is_plain
