"""The terms that need no network, in bands: value and gradient without a copy of the canvas."""

import torch
from torch import Tensor

from impasto.painting.tiles import bands, rows_of
from impasto.painting.variation import vary
from impasto.settings import Settings

VALUES = 2**22  # of the canvas that are worked on at once


def add_pixel_terms(
    settings: Settings, canvas: Tensor, mask: Tensor | None, gradient: Tensor | None
) -> dict[str, Tensor]:
    """Return the weighted terms, each (), of `Objective.compare_pixels`; adds their gradient to `gradient` in place."""
    terms = {}
    if settings.tv_weight and goes_by_bands(settings):
        terms["tv"] = _vary(canvas, mask, settings.tv_weight, gradient)
    elif settings.tv_weight:
        terms["tv"] = _vary_at_once(settings, canvas, mask, gradient)
    if settings.range_weight:
        terms["range"] = _exceed(canvas, settings.range_weight, gradient)
    return terms


def goes_by_bands(settings: Settings) -> bool:
    """Is there a total variation that bands add up to? Its rarer forms are found for the whole canvas at once."""
    return settings.tv_loss == "mean" and settings.tv_exponent == 2 and settings.padding != "circular"


def _vary_at_once(settings: Settings, canvas: Tensor, mask: Tensor | None, gradient: Tensor | None) -> Tensor:
    leaf = canvas.detach().requires_grad_(gradient is not None)
    with torch.set_grad_enabled(gradient is not None):
        around = settings.padding == "circular"
        value = settings.tv_weight * vary(leaf, settings.tv_loss, settings.tv_exponent, mask, around=around)
    if gradient is not None:
        gradient += torch.autograd.grad(value, leaf)[0]
    return value.detach()


def _vary(canvas: Tensor, mask: Tensor | None, weight: float, gradient: Tensor | None) -> Tensor:
    """Weigh the total variation of `variation.total_variation`."""
    channels, height, width = canvas.shape[1:]
    down, right = (weight / max(1, channels * of) for of in ((height - 1) * width, height * (width - 1)))
    total = canvas.new_zeros(())
    for band in bands(height, rows_of(canvas, VALUES)):
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


def _exceed(canvas: Tensor, weight: float, gradient: Tensor | None) -> Tensor:
    """Weigh how far values are out of range, as `losses.out_of_range` does."""
    total = canvas.new_zeros(())
    for band in bands(canvas.shape[2], rows_of(canvas, VALUES)):
        beyond = canvas[:, :, band] - canvas[:, :, band].clamp(0, 1)
        total += beyond.square().sum()
        if gradient is not None:
            gradient[:, :, band].add_(beyond, alpha=2 * weight / canvas.numel())
    return total * (weight / canvas.numel())
