"""The terms that need no network: their values and gradients in bands, without a copy of the canvas."""

import torch
from torch import Tensor

from impasto.painting.tiles import split_into_bands
from impasto.painting.variation import add_total_variation, measure_variation
from impasto.settings.model import Settings


def add_pixel_terms(
    settings: Settings, canvas: Tensor, mask: Tensor | None, gradient: Tensor | None
) -> dict[str, Tensor]:
    """Return the terms of `Objective.compare_pixels`; add their gradient to `gradient` in place, if it is given."""
    terms = {}
    if settings.tv_weight and can_use_bands(settings):
        terms["tv"] = add_total_variation(canvas, mask, gradient, settings.tv_weight)
    elif settings.tv_weight:
        terms["tv"] = _add_whole_variation(settings, canvas, mask, gradient)
    if settings.range_weight:
        terms["range"] = _add_range_term(canvas, settings.range_weight, gradient)
    return terms


def can_use_bands(settings: Settings) -> bool:
    """Tell whether total variation is computed in bands; its rarer forms take the whole canvas at once."""
    return settings.tv_loss == "mean" and settings.tv_exponent == 2 and settings.padding != "circular"


def _add_whole_variation(settings: Settings, canvas: Tensor, mask: Tensor | None, gradient: Tensor | None) -> Tensor:
    leaf = canvas.detach().requires_grad_(gradient is not None)
    with torch.set_grad_enabled(gradient is not None):
        around = settings.padding == "circular"
        value = settings.tv_weight * measure_variation(
            leaf, settings.tv_loss, settings.tv_exponent, mask, around=around
        )
    if gradient is not None:
        gradient += torch.autograd.grad(value, leaf)[0]
    return value.detach()


def _add_range_term(canvas: Tensor, weight: float, gradient: Tensor | None) -> Tensor:
    """Return the weighted `losses.out_of_range`, and add its gradient."""
    total = canvas.new_zeros(())
    for band in split_into_bands(canvas):
        beyond = canvas[:, :, band] - canvas[:, :, band].clamp(0, 1)
        total += beyond.square().sum()
        if gradient is not None:
            gradient[:, :, band].add_(beyond, alpha=2 * weight / canvas.numel())
    return total * (weight / canvas.numel())
