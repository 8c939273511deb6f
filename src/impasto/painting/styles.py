"""The styles of paintings: captured once for each painting and size, and blended."""

import hashlib
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from typing_extensions import override

from impasto.images.image import Image
from impasto.images.masks import propagate_mask
from impasto.images.sizes import resize_clamped
from impasto.network.moments import Moments
from impasto.network.vgg import Masks, Network
from impasto.painting.histograms import Histogram, collect_histogram
from impasto.painting.tiles import Tile
from impasto.settings.lengths import Length
from impasto.settings.types import Propagation

Style = Mapping[str, Moments]  # by tap, after its mix

MAX_CACHED_BYTES = 256_000_000  # of styles, for each network; one of VGG-19 has 12 MB with what is derived from it


@dataclass(frozen=True, eq=False)
class StyleInput(Image):
    """A painting, and how it is used: its `weight` in a blend, and its `size` relative to the canvas or in pixels.

    `mask` (1, 1, h, w) of any size says which part of the painting is measured; None for all of it. `region` is a mask
    of the canvas; None for what other paintings leave of it. Paintings with the same `region` object blend there.
    `levels` are the moments for one pass where these alone are known of it.
    """

    weight: float = 1.0
    size: Length | None = None
    mask: Tensor | None = None
    region: Tensor | None = None
    levels: Style | None = None

    @override
    def resized(self, width: int, height: int) -> Self:
        mask = None if self.mask is None else resize_clamped(self.mask, width, height)
        return replace(super().resized(width, height), mask=mask)

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of what is measured: pixels, alpha and mask."""
        held = hashlib.sha256()
        for part in (self.rgb, self.alpha, self.mask):
            held.update(repr(None if part is None else (part.dtype, part.shape)).encode())
            if part is not None:
                held.update(part.detach().cpu().contiguous().view(torch.uint8).numpy().data)
        return held.hexdigest()


def group_by_region(paintings: Sequence[StyleInput]) -> list[list[int]]:
    """Return the numbers of the paintings that blend in each region of the canvas."""
    groups: dict[int, list[int]] = {}
    for number, painting in enumerate(paintings):
        groups.setdefault(id(painting.region), []).append(number)
    return [*groups.values()]


def capture_style(
    network: Network,
    painting: StyleInput,
    taps: Collection[str],
    propagation: Propagation = "simple",
    tiles: Sequence[Tile] = (),
) -> Style:
    """Measure the visible part of a painting, within its mask, at `taps`; the moments have a count of 1.

    With `tiles`, features are computed one tile at a time.

    Example: capture_style(network, StyleInput(rgb), ["relu3_1"])["relu3_1"].mean
    """
    masks = {tap: [_weigh_cells(painting, network, tap, propagation)] for tap in taps}
    with torch.no_grad():
        measured = (
            _sum_over_tiles(network, painting.rgb, masks, tiles)
            if tiles
            else network.extract(painting.rgb, (), masks)[1]
        )
        seen = {tap: network.mix_moments(tap, moments) for tap, (moments,) in measured.items()}
    return {tap: moments.scaled(1 / moments.count) for tap, moments in seen.items()}


def _sum_over_tiles(
    network: Network, rgb: Tensor, masks: Mapping[str, Masks], tiles: Sequence[Tile]
) -> dict[str, list[Moments]]:
    added: dict[str, list[Moments]] = {}
    for tile in tiles:
        here = {
            tap: [None if mask is None else tile.crop_map(mask, network.stride[tap]) for mask in of]
            for tap, of in masks.items()
        }
        for tap, seen in network.extract(tile.crop(rgb), (), here, crop=tile.inside)[1].items():
            added[tap] = [a + b for a, b in zip(added[tap], seen, strict=True)] if tap in added else seen
    return added


def capture_histograms(
    network: Network, painting: StyleInput, taps: Collection[str], propagation: Propagation = "simple"
) -> dict[str, Histogram]:
    """Return the features of the visible part of a painting, within its mask, as histograms by tap, after mixes."""
    with torch.no_grad():
        return {
            tap: collect_histogram(features, _weigh_cells(painting, network, tap, propagation))
            for tap, features in network(painting.rgb, taps).items()
        }


def _weigh_cells(painting: StyleInput, network: Network, tap: str, propagation: Propagation) -> Tensor | None:
    """Return how much each cell of a tap's grid counts (1, 1, h, w); None where all count alike."""
    stride, reach = network.stride[tap], network.reach[tap]
    return propagate_mask(painting.mask, painting.alpha, propagation, stride, reach, network.rounding)


def blend_styles(styles: Sequence[Style], shares: Sequence[float]) -> Style:
    """Return the weighted mean of styles at the same taps; where one has all the weight, that style itself."""
    whole = sum(shares)
    parts = [(style, share / whole) for style, share in zip(styles, shares, strict=True) if share]
    if len(parts) == 1:
        return parts[0][0]  # what is derived from its moments is cached there
    (first, weight), *others = parts
    blended = {tap: moments.scaled(weight) for tap, moments in first.items()}
    for style, share in others:
        blended = {tap: moments + style[tap].scaled(share) for tap, moments in blended.items()}
    return blended


class StyleCache:
    """Captured styles by network, painting, size and taps; the least recently used are dropped, but never the last.

    A painting is identified by its pixels. `max_bytes` is for the styles of each network.

    Example: StyleCache().get(network, painting, 512, 384, ["relu3_1"])
    """

    def __init__(self, max_bytes: int = MAX_CACHED_BYTES) -> None:
        self._max_bytes = max_bytes
        self._styles: WeakKeyDictionary[Network, OrderedDict[Any, Style]] = WeakKeyDictionary()

    def get(
        self,
        network: Network,
        painting: StyleInput,
        width: int,
        height: int,
        taps: Collection[str],
        propagation: Propagation = "simple",
        tiles: Sequence[Tile] = (),
    ) -> Style:
        """Return the style of a painting at `width` x `height` pixels; arguments as for `capture_style`."""
        styles = self._styles.setdefault(network, OrderedDict())
        weight = next(network.parameters())
        key = (painting.digest, width, height, tuple(sorted(taps)), propagation, weight.dtype, weight.device)
        style = styles.pop(key, None)
        if style is None:
            style = capture_style(network, painting.resized(width, height), taps, propagation, tiles)
        styles[key] = style
        while len(styles) > 1 and sum(map(_count_bytes, styles.values())) > self._max_bytes:
            styles.popitem(last=False)
        return style


def _count_bytes(style: Style) -> int:
    """Return the bytes of a style's moments, and of what was derived from them and is cached with them."""
    held = [value for moments in style.values() for value in vars(moments).values()]
    tensors = [tensor for value in held for tensor in (value if isinstance(value, tuple) else (value,))]
    return sum(tensor.nbytes for tensor in tensors)
