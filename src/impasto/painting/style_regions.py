"""The regions of a canvas: where it is painted in which style."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor

from impasto.images.image import Image
from impasto.images.masks import divide_canvas, propagate_mask
from impasto.images.sizes import resize
from impasto.network.vgg import Network
from impasto.painting.histograms import Histogram, blend_histograms
from impasto.painting.styles import Style, StyleInput, blend_styles
from impasto.settings.model import Settings


@dataclass(frozen=True, eq=False)
class StyleRegion:
    """A part of the canvas: the style that it is painted in, by tap, and where it is.

    `masks` has, for each of the style's taps, a mask (1, 1, h, w) on the canvas, or None for all of it; without
    `masks` the region is all that is visible. `share` is what its style loss counts. A style loss is of means over the
    region, so that the pull on each pixel is as strong in a small region as in a large one where the share is the
    region's part of the canvas. `values` are the style's histograms by tap, where a style loss compares those.
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
    values: Sequence[Mapping[str, Histogram]],
) -> list[StyleRegion]:
    """Make regions of the paintings, each of which has its style and values, on a canvas of the photo's size.

    Paintings that no other one has a place beside are one region, all of it. Otherwise where places meet they share the
    canvas, and what no painting has a place on belongs to no region: there the photo's content is alone. A region's
    style loss counts by its area, times its paintings' mean share relative to that of all: so it weighs against the
    content alike in all regions, whatever their sizes.
    """
    places: dict[int, Tensor | None] = {id(painting.region): painting.region for painting in paintings}
    groups = [[number for number, it in enumerate(paintings) if id(it.region) == place] for place in places]
    shares = [[paintings[number].weight for number in group] for group in groups]
    blends = [
        blend_styles([styles[number] for number in group], its) if sum(its) else None
        for group, its in zip(groups, shares, strict=True)
    ]
    poured = [
        _blend_histograms([values[number] for number in group], its) for group, its in zip(groups, shares, strict=True)
    ]
    if photo is None or all(place is None for place in places.values()):
        return [StyleRegion(style, histograms=its) for style, its in zip(blends, poured, strict=True) if style]
    height, width = photo.rgb.shape[2:]
    masks = divide_canvas([None if it is None else resize(it, width, height).clamp(0, 1) for it in places.values()])
    usual = _mean_positive([painting.weight for painting in paintings])
    return [
        replace(_make_region(network, settings, photo.alpha, mask, style, _mean_positive(its) / usual), histograms=kept)
        for mask, style, its, kept in zip(masks, blends, shares, poured, strict=True)
        if style
    ]


def _blend_histograms(values: Sequence[Mapping[str, Histogram]], shares: Sequence[float]) -> dict[str, Histogram]:
    """Pour the values of paintings together, each by its share."""
    parts = [(its, share) for its, share in zip(values, shares, strict=True) if share]
    taps = parts[0][0] if parts else {}
    return {tap: blend_histograms([its[tap] for its, _ in parts], [share for _, share in parts]) for tap in taps}


def _make_region(
    network: Network, settings: Settings, visible: Tensor | None, mask: Tensor, style: Style, strength: float
) -> StyleRegion:
    seen, whole = (mask.sum(), mask.numel()) if visible is None else ((mask * visible).sum(), float(visible.sum()))
    masks = {
        tap: propagate_mask(
            mask, visible, settings.mask_propagation, network.stride[tap], network.reach[tap], network.rounding
        )
        for tap in settings.style_taps
    }
    return StyleRegion(style, masks, strength * float(seen) / whole)


def _mean_positive(shares: Sequence[float]) -> float:
    """The mean of those that are not 0."""
    positive = [share for share in shares if share]
    return sum(positive) / len(positive)
