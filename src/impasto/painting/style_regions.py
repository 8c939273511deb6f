"""The regions of a canvas: which part is painted in which style."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor

from impasto.images.image import Image
from impasto.images.masks import divide_canvas, propagate_mask
from impasto.images.sizes import resize
from impasto.network.vgg import Network
from impasto.painting.histograms import Histogram, blend_histograms
from impasto.painting.styles import Style, StyleInput, blend_styles, group_by_region
from impasto.settings.model import Settings


@dataclass(frozen=True, eq=False)
class StyleRegion:
    """A part of the canvas and its style, by tap.

    `masks` is its mask (1, 1, h, w) at each of the style's taps, or None for the whole grid; without `masks` the region
    is the whole visible canvas. `weight` is that of its style loss. Style losses are means over the region: pixels of
    small and large regions are pulled alike if the weight is the region's share of the canvas. `histograms` are the
    style's, by tap, if a style loss compares those.
    """

    style: Style
    masks: Mapping[str, Tensor | None] | None = None
    weight: float = 1.0
    histograms: Mapping[str, Histogram] = field(default_factory=dict)


def make_regions(
    network: Network,
    settings: Settings,
    photo: Image | None,
    paintings: Sequence[StyleInput],
    styles: Sequence[Style],
    histograms: Sequence[Mapping[str, Histogram]],
) -> list[StyleRegion]:
    """Make the regions of a canvas, which has the photo's size, from the paintings' styles and histograms.

    Paintings without masks share one region: the whole canvas. Otherwise overlapping masks share the canvas, and parts
    without a painting have no style loss, only content. A region's weight is its share of the area, times its
    paintings' mean weight relative to that of all, so that style and content are balanced alike in regions of all
    sizes.
    """
    groups = group_by_region(paintings)
    masks = [paintings[group[0]].region for group in groups]
    weights = [[paintings[number].weight for number in group] for group in groups]
    blended = [
        _blend_group([styles[number] for number in group], [histograms[number] for number in group], parts)
        for group, parts in zip(groups, weights, strict=True)
    ]
    if photo is None or all(mask is None for mask in masks):
        return [region for region in blended if region]
    resized = [None if mask is None else resize(mask, photo.width, photo.height).clamp(0, 1) for mask in masks]
    usual = _mean_positive([painting.weight for painting in paintings])
    return [
        _place_region(network, settings, photo.alpha, mask, region, _mean_positive(parts) / usual)
        for mask, region, parts in zip(divide_canvas(resized), blended, weights, strict=True)
        if region
    ]


def _blend_group(
    styles: Sequence[Style], histograms: Sequence[Mapping[str, Histogram]], weights: Sequence[float]
) -> StyleRegion | None:
    """Blend the styles and histograms of paintings with the same mask; None where none of them has a weight."""
    parts = [(each, weight) for each, weight in zip(histograms, weights, strict=True) if weight]
    if not parts:
        return None
    shares = [weight for _, weight in parts]
    merged = {tap: blend_histograms([each[tap] for each, _ in parts], shares) for tap in parts[0][0]}
    return StyleRegion(blend_styles(styles, weights), histograms=merged)


def _place_region(
    network: Network, settings: Settings, visible: Tensor | None, mask: Tensor, region: StyleRegion, weight: float
) -> StyleRegion:
    """Give a region its mask (1, 1, H, W) on the canvas, and the weight of its visible area."""
    area, whole = (mask.sum(), mask.numel()) if visible is None else ((mask * visible).sum(), float(visible.sum()))
    propagation, rounding = settings.mask_propagation, network.rounding
    masks = {
        tap: propagate_mask(mask, visible, propagation, network.stride[tap], network.reach[tap], rounding)
        for tap in settings.style_taps
    }
    return replace(region, masks=masks, weight=weight * float(area) / whole)


def _mean_positive(shares: Sequence[float]) -> float:
    """Return the mean of the positive values."""
    positive = [share for share in shares if share]
    return sum(positive) / len(positive)
