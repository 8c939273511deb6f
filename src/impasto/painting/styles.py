"""The style of paintings: captured once for each painting and size, and blended."""

import hashlib
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from impasto.images.masks import propagate_mask
from impasto.images.sizes import resize_clamped
from impasto.network.moments import Moments
from impasto.network.vgg import Masks, Network
from impasto.painting.histograms import Histogram, collect_histogram
from impasto.painting.tiles import Tile
from impasto.settings.lengths import Length
from impasto.settings.types import Propagation

Style = Mapping[str, Moments]  # by tap, after its mix

MAX_CACHED_STYLES = 64  # styles that a palette keeps, a few megabytes each


@dataclass(frozen=True, eq=False)
class StyleInput:
    """A photo or a painting: `rgb` (1, 3, H, W) in [0, 1]; `alpha` (1, 1, H, W) or None; `share` of a blend.

    `length` is how large a painting is beside the canvas, where it is another than for all of them; `used` is a mask
    (1, 1, h, w) of any size on it, None for all of it, and `place` one on the canvas, None for what other paintings
    leave. Paintings with the very same `place` blend there.
    """

    rgb: Tensor
    alpha: Tensor | None = None
    weight: float = 1.0
    size: Length | None = None
    mask: Tensor | None = None
    region: Tensor | None = None

    @property
    def width(self) -> int:
        """Width in pixels."""
        return self.rgb.shape[3]

    @property
    def height(self) -> int:
        """Height in pixels."""
        return self.rgb.shape[2]

    def to(self, device: torch.device) -> "StyleInput":
        """Move the pixels to a device."""
        return replace(self, rgb=self.rgb.to(device), alpha=None if self.alpha is None else self.alpha.to(device))

    def flattened(self) -> Tensor:
        """Return `rgb` over the mean of the colours that are visible."""
        if self.alpha is None:
            return self.rgb
        mean = (self.rgb * self.alpha).sum((2, 3), keepdim=True) / self.alpha.sum()
        return torch.lerp(mean, self.rgb, self.alpha)

    def resized(self, width: int, height: int) -> "StyleInput":
        """Resize it, laid out in memory as networks like it."""
        rgb = resize_clamped(self.rgb, width, height).contiguous(memory_format=torch.channels_last)
        alpha, used = (
            None if mask is None else resize_clamped(mask, width, height) for mask in (self.alpha, self.mask)
        )
        return replace(self, rgb=rgb, alpha=alpha, mask=used)

    @cached_property
    def digest(self) -> str:
        """The digest of what is seen of it, wherever that is used."""
        held = hashlib.sha256()
        for part in (self.rgb, self.alpha, self.mask):
            held.update(repr(None if part is None else (part.dtype, part.shape)).encode())
            if part is not None:
                held.update(part.detach().cpu().contiguous().view(torch.uint8).numpy().data)
        return held.hexdigest()


def capture_style(
    network: Network,
    painting: StyleInput,
    taps: Collection[str],
    propagation: Propagation = "simple",
    tiles: Sequence[Tile] = (),
) -> Style:
    """Measure what is visible and used of a painting at `taps`; the moments have a count of 1.

    It is looked at by `tiles`, if there are any.

    Example: capture_style(network, Source(rgb), ["relu3_1"])["relu3_1"].mean
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
    """Take the features of what is visible and used of a painting at `taps`, after their mixes, as histograms."""
    with torch.no_grad():
        return {
            tap: collect_histogram(features, _weigh_cells(painting, network, tap, propagation))
            for tap, features in network(painting.rgb, taps).items()
        }


def _weigh_cells(painting: StyleInput, network: Network, tap: str, propagation: Propagation) -> Tensor | None:
    """Return how much each cell of a tap's grid counts of a painting."""
    stride, reach = network.stride[tap], network.reach[tap]
    return propagate_mask(painting.mask, painting.alpha, propagation, stride, reach, network.rounding)


def blend_styles(styles: Sequence[Style], shares: Sequence[float]) -> Style:
    """Add styles at the same taps, each by its share; a single style with all of it is returned as it is."""
    whole = sum(shares)
    parts = [(style, share / whole) for style, share in zip(styles, shares, strict=True) if share]
    if len(parts) == 1:
        return parts[0][0]  # what follows from its moments is known already
    (first, weight), *others = parts
    blended = {tap: moments.scaled(weight) for tap, moments in first.items()}
    for style, share in others:
        blended = {tap: moments + style[tap].scaled(share) for tap, moments in blended.items()}
    return blended


class StyleCache:
    """Styles that were captured once, for whoever asks for them again: by network, painting, size and taps.

    A painting is known by its pixels. The styles asked for least recently are let go.

    Example: Palette().ask(network, painting, 512, 384, ["relu3_1"])
    """

    def __init__(self, kept: int = MAX_CACHED_STYLES) -> None:
        self._kept = kept
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
        """Return the style of a painting, seen at `width` x `height` pixels, at `taps`; captured by `tiles` if any."""
        styles = self._styles.setdefault(network, OrderedDict())
        weight = next(network.parameters())
        key = (painting.digest, width, height, tuple(sorted(taps)), propagation, weight.dtype, weight.device)
        style = styles.pop(key, None)
        if style is None:
            style = capture_style(network, painting.resized(width, height), taps, propagation, tiles)
        styles[key] = style
        while len(styles) > self._kept:
            styles.popitem(last=False)
        return style
