"""The terms that need no network, in bands: value and gradient without a copy of the canvas."""

import torch
from torch import Tensor

from impasto.painting.tiles import count_band_rows, split_into_bands
from impasto.painting.variation import measure_variation
from impasto.settings.model import Settings

BAND_VALUES = 2**22  # of the canvas that are worked on at once


def add_pixel_terms(
    settings: Settings, canvas: Tensor, mask: Tensor | None, gradient: Tensor | None
) -> dict[str, Tensor]:
    """Return the weighted terms, each (), of `Objective.compare_pixels`; adds their gradient to `gradient` in place."""
    terms = {}
    if settings.tv_weight and can_use_bands(settings):
        terms["tv"] = _add_tv_term(canvas, mask, settings.tv_weight, gradient)
    elif settings.tv_weight:
        terms["tv"] = _vary_at_once(settings, canvas, mask, gradient)
    if settings.range_weight:
        terms["range"] = _add_range_term(canvas, settings.range_weight, gradient)
    return terms


def can_use_bands(settings: Settings) -> bool:
    """Is there a total variation that bands add up to? Its rarer forms are found for the whole canvas at once."""
    return settings.tv_loss == "mean" and settings.tv_exponent == 2 and settings.padding != "circular"


def _vary_at_once(settings: Settings, canvas: Tensor, mask: Tensor | None, gradient: Tensor | None) -> Tensor:
    leaf = canvas.detach().requires_grad_(gradient is not None)
    with torch.set_grad_enabled(gradient is not None):
        around = settings.padding == "circular"
        value = settings.tv_weight * measure_variation(
            leaf, settings.tv_loss, settings.tv_exponent, mask, around=around
        )
    if gradient is not None:
        gradient += torch.autograd.grad(value, leaf)[0]
    return value.detach()


def _add_tv_term(canvas: Tensor, mask: Tensor | None, weight: float, gradient: Tensor | None) -> Tensor:
    """Weigh the total variation of `variation.total_variation`."""
    channels, height, width = canvas.shape[1:]
    down, right = (weight / max(1, channels * of) for of in ((height - 1) * width, height * (width - 1)))
    total = canvas.new_zeros(())
    for band in split_into_bands(height, count_band_rows(canvas, BAND_VALUES)):
        total += _pull_together(canvas, mask, 3, band, right, gradient)
        total += _pull_together(canvas, mask, 2, slice(band.start, min(band.stop + 1, height)), down, gradient)
    return total


def _pull_together(
    canvas: Tensor, mask: Tensor | None, dimension: int, band: slice, weight: float, gradient: Tensor | None
) -> Tensor:
    steps = canvas[:, :, band].diff(dim=dimension)
    pull = steps * weight
    if mask is not None:
        seen, count = mask[:, :, band], steps.shape[dimension]
        pull *= (seen.narrow(dimension, 1, count) * seen.narrow(dimension, 0, count)).square()
    if gradient is not None:
        there = gradient[:, :, band]
        there.narrow(dimension, 1, steps.shape[dimension]).add_(pull, alpha=2)
        there.narrow(dimension, 0, steps.shape[dimension]).sub_(pull, alpha=2)
    return (steps * pull).sum()


def _add_range_term(canvas: Tensor, weight: float, gradient: Tensor | None) -> Tensor:
    """Weigh how far values are out of range, as `losses.out_of_range` does."""
    total = canvas.new_zeros(())
    for band in split_into_bands(canvas.shape[2], count_band_rows(canvas, BAND_VALUES)):
        beyond = canvas[:, :, band] - canvas[:, :, band].clamp(0, 1)
        total += beyond.square().sum()
        if gradient is not None:
            gradient[:, :, band].add_(beyond, alpha=2 * weight / canvas.numel())
    return total * (weight / canvas.numel())
