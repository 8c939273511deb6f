"""The style of paintings: captured once for each painting and size, blended, and laid on regions of the canvas."""

import hashlib
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from impasto.painting.tiles import Tile
from impasto.perception.moments import Moments
from impasto.perception.network import Masks, Network
from impasto.pictures.masks import shrink_mask
from impasto.pictures.sizes import resize

Style = Mapping[str, Moments]  # by tap, after its mix

KEPT = 64  # styles that a palette keeps, a few megabytes each


@dataclass(frozen=True, eq=False)
class Source:
    """A photo or a painting: `rgb` (1, 3, H, W) in [0, 1]; `alpha` (1, 1, H, W) or None; `share` of a blend."""

    rgb: Tensor
    alpha: Tensor | None = None
    share: float = 1.0

    def opaque(self) -> Tensor:
        """Return `rgb` over the mean of the colours that are visible."""
        if self.alpha is None:
            return self.rgb
        mean = (self.rgb * self.alpha).sum((2, 3), keepdim=True) / self.alpha.sum()
        return torch.lerp(mean, self.rgb, self.alpha)

    def scaled(self, width: int, height: int) -> "Source":
        """Resize it, laid out in memory as networks like it."""
        rgb = resize(self.rgb, width, height).clamp(0, 1).contiguous(memory_format=torch.channels_last)
        alpha = None if self.alpha is None else resize(self.alpha, width, height).clamp(0, 1)
        return Source(rgb, alpha, self.share)

    @cached_property
    def digest(self) -> str:
        """The digest of its pixels and their alpha, whatever its share."""
        held = hashlib.sha256()
        for part in (self.rgb, self.alpha):
            held.update(repr(None if part is None else (part.dtype, part.shape)).encode())
            if part is not None:
                held.update(part.detach().cpu().contiguous().view(torch.uint8).numpy().data)
        return held.hexdigest()


@dataclass(frozen=True, eq=False)
class Region:
    """A part of the canvas: the style that it is painted in, by tap, and where it is.

    `masks` has, for each of the style's taps, a mask (1, 1, h, w) on the canvas, or None for all of it; without
    `masks` the region is all that is visible. `share` is what its style loss counts. A style loss is of means over the
    region, so that the pull on each pixel is as strong in a small region as in a large one where the share is the
    region's part of the canvas.
    """

    style: Style
    masks: Mapping[str, Tensor | None] | None = None
    share: float = 1.0


def capture_style(network: Network, painting: Source, taps: Collection[str], tiles: Sequence[Tile] = ()) -> Style:
    """Measure what is visible of a painting at `taps`, by `tiles` if there are any; the moments have a count of 1.

    Example: capture_style(network, Source(rgb), ["relu3_1"])["relu3_1"].mean
    """
    masks = {tap: [shrink_mask(painting.alpha, network.stride[tap])] for tap in taps}
    with torch.no_grad():
        measured = _add_up(network, painting.rgb, masks, tiles) if tiles else network.look(painting.rgb, (), masks)[1]
        seen = {tap: network.mix_moments(tap, moments) for tap, (moments,) in measured.items()}
    return {tap: moments.scaled(1 / moments.count) for tap, moments in seen.items()}


def _add_up(
    network: Network, rgb: Tensor, masks: Mapping[str, Masks], tiles: Sequence[Tile]
) -> dict[str, list[Moments]]:
    added: dict[str, list[Moments]] = {}
    for tile in tiles:
        here = {
            tap: [None if mask is None else tile.share(mask, network.stride[tap]) for mask in of]
            for tap, of in masks.items()
        }
        for tap, seen in network.look(tile.window(rgb), (), here, tile.inside)[1].items():
            added[tap] = [a + b for a, b in zip(added[tap], seen, strict=True)] if tap in added else seen
    return added


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


class Palette:
    """Styles that were captured once, for whoever asks for them again: by network, painting, size and taps.

    A painting is known by its pixels. The styles asked for least recently are let go.

    Example: Palette().ask(network, painting, 512, 384, ["relu3_1"])
    """

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._styles: WeakKeyDictionary[Network, OrderedDict[Any, Style]] = WeakKeyDictionary()

    def ask(
        self,
        network: Network,
        painting: Source,
        width: int,
        height: int,
        taps: Collection[str],
        tiles: Sequence[Tile] = (),
    ) -> Style:
        """Return the style of a painting, seen at `width` x `height` pixels, at `taps`; captured by `tiles` if any."""
        styles = self._styles.setdefault(network, OrderedDict())
        weight = next(network.parameters())
        key = (painting.digest, width, height, tuple(sorted(taps)), weight.dtype, weight.device)
        style = styles.pop(key, None) or capture_style(network, painting.scaled(width, height), taps, tiles)
        styles[key] = style
        while len(styles) > self._kept:
            styles.popitem(last=False)
        return style
