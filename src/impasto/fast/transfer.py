"""One pass: a photo's features are carried to the paintings' moments, level by level, and decoded to a picture."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from impasto.fast.decoder import LEVELS, Decoder, Level, join_amounts, reduce_to_view
from impasto.fast.transport import StyleMap, StyleTarget, carry, find_map, measure_features
from impasto.images.masks import shrink_mask
from impasto.network.moments import Moments
from impasto.network.vgg import Network
from impasto.painting.styles import Style, StyleInput
from impasto.painting.tiles import Tile, cut_into_tiles

TILE_SIDE = 1024  # pixels: a larger picture is decoded in tiles
DECODER_REACH = 5  # cells that a level's convolutions see beyond their own, and those that enlarging interpolates
SAMPLED_STRIDE = 1  # of maps of which every second row and column is measured

LevelMaps = list[list[StyleMap]]  # by level and part
# Returns other moments of a level's parts than those of this picture, given the level's number and these.
Smoothing = Callable[[int, Sequence[Moments]], Sequence[Moments]]


@dataclass(frozen=True)
class StylePart:
    """A part of the canvas, `mask` (1, 1, H, W) or None for all of it, and what it is carried to, by level."""

    targets: Mapping[str, StyleTarget]
    mask: Tensor | None = None


class MomentAverage:
    """The moments of frames that follow one another, so that what their maps do changes slowly.

    `share` is the weight of the newest frame. Example: transfer_style(network, decoder, rgb, parts, smooth=average)
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._levels: dict[int, list[Moments]] = {}

    def __call__(self, number: int, sums: Sequence[Moments]) -> Sequence[Moments]:
        """Return the average moments of a level's parts, those of the newest frame included."""
        now = [each.scaled(1 / each.count) for each in sums]
        if before := self._levels.get(number):
            share = self._share
            now = [old.scaled(1 - share) + new.scaled(share) for old, new in zip(before, now, strict=True)]
        self._levels[number] = now
        return now


def list_targets(style: Style) -> dict[str, StyleTarget]:
    """Return the targets of a style by the names of `LEVELS`; compute them once for all frames of one style."""
    return {name: StyleTarget(moments) for name, moments in style.items()}


def measure_levels(network: Network, painting: StyleInput) -> Style:
    """Measure the visible part of a painting, within its mask, by the levels' names; the moments have a count of 1."""
    found = {}
    seen = painting.mask if painting.alpha is None or painting.mask is None else painting.mask * painting.alpha
    seen = painting.alpha if seen is None else seen
    with torch.no_grad():
        for level in LEVELS:
            rgb, mask = (None if each is None else reduce_to_view(each, level.view) for each in (painting.rgb, seen))
            assert rgb is not None
            mask = shrink_mask(mask, network.stride[level.tap])
            sums = None
            for tile in _cut(network, level, rgb):
                features = network.extract(tile.crop(rgb), [level.tap])[0][level.tap]
                part = _measure(network, level, features, tile, mask)
                sums = part if sums is None else sums + part
            assert sums is not None
            found[level.name] = sums.scaled(1 / sums.count)
    return found


@torch.no_grad()
def transfer_style(
    network: Network,
    decoder: Decoder,
    rgb: Tensor,
    parts: Sequence[StylePart],
    strength: float = 1.0,
    maps: LevelMaps | None = None,
    smooth: Smoothing | None = None,
) -> Tensor:
    """Return a photo (1, 3, H, W) in [0, 1] in the style of the parts, `strength` from 0 to 1 of the way.

    `network` is slim, at the decoder's device and precision. Where the masks of the parts leave something out, the
    photo stays as it is. A large picture is decoded in tiles, which are exact: statistics are those of the whole. An
    empty list of `maps` is filled with those of this photo; a filled one is used, so that the frames of a shot, which
    have the same maps, do not flicker. `smooth`, such as a MomentAverage, changes the photo's moments.
    """
    transfer = _Transfer(network, decoder, rgb, parts, strength, [] if maps is None else maps, smooth)
    for number in range(len(LEVELS) - 1):
        transfer.paint_level(number)
    return transfer.draw()


class _Transfer:
    """The maps of a picture's levels, as far as they are computed."""

    def __init__(
        self,
        network: Network,
        decoder: Decoder,
        rgb: Tensor,
        parts: Sequence[StylePart],
        strength: float,
        maps: LevelMaps,
        smooth: Smoothing | None,
    ) -> None:
        self._network, self._decoder, self._strength, self._smooth = network, decoder, strength, smooth
        self._dtype = next(decoder.parameters()).dtype
        self._rgb = rgb
        self._parts, self._maps = parts, maps
        self._photo: dict[Level, Tensor] = {}  # features that later levels need
        self._features: Tensor | None = None  # of the level before, carried
        self._amounts: list[Tensor] = []

    def paint_level(self, number: int) -> None:
        """Predict a level's features, and carry them to the paintings' moments."""
        level, masks = LEVELS[number], self._list_masks(LEVELS[number])
        rgb = reduce_to_view(self._rgb, level.view)
        tiles = _cut(self._network, level, rgb)
        whole = None if len(tiles) == 1 else self._make_map(level, rgb)
        sums: list[Moments] = []
        for tile, predicted in self._predict(number, rgb, tiles):
            sums = self._measure(level, predicted, tile, masks, sums)
            if whole is None:
                whole = predicted.contiguous(memory_format=torch.channels_last)
            else:
                stride = self._network.stride[level.tap]
                tile.crop_map(whole, stride).copy_(predicted[(..., *tile.inside(stride))])
        assert whole is not None
        maps = self._find_maps(number, masks, sums)
        carry(whole, [(mask, *parts[:2]) for mask, parts in zip(masks, maps, strict=True)])
        self._features = whole

    def draw(self) -> Tensor:
        """Paint the finest level, and draw the picture: tile by tile, as that level is the largest by far."""
        number, level = len(LEVELS) - 1, LEVELS[-1]
        masks, tiles = self._list_masks(level), _cut(self._network, level, self._rgb)
        sums: list[Moments] = []
        kept: list[tuple[Tile, Tensor]] = []
        for tile, predicted in self._predict(number, self._rgb, tiles):
            sums = self._measure(level, predicted, tile, masks, sums)
            kept = [(tile, predicted)] if len(tiles) == 1 else []
        maps = self._find_maps(number, masks, sums)
        picture = torch.empty_like(self._rgb, memory_format=torch.contiguous_format)
        told = join_amounts(self._amounts, *self._rgb.shape[2:])
        for tile, predicted in kept or self._predict(number, self._rgb, tiles):
            window = predicted.contiguous(memory_format=torch.channels_last)
            here = [None if mask is None else tile.crop(mask) for mask in masks]
            carry(window, [(mask, *parts[:2]) for mask, parts in zip(here, maps, strict=True)])
            drawn = self._decoder.draw(window, told if told.shape[-1] == 1 else tile.crop(told))
            tile.crop_map(picture, 1).copy_(drawn[(..., *tile.inside(1))])
        return picture.clamp_(0, 1)

    def _predict(self, number: int, rgb: Tensor, tiles: Sequence[Tile]) -> Iterator[tuple[Tile, Tensor]]:
        """Yield each tile with the predicted features of its window."""
        level = LEVELS[number]
        stride = self._network.stride[level.tap]
        told = join_amounts(self._amounts[:number], rgb.shape[2] // stride, rgb.shape[3] // stride) if number else None
        for tile in tiles:
            features = self._extract(level, rgb, tile, is_whole=len(tiles) == 1)
            coarser, amounts = self._features, told
            if coarser is not None and len(tiles) > 1:
                coarser = _crop_cells(coarser, tile, 2 * stride)
            if amounts is not None and amounts.shape[-1] > 1:
                amounts = _crop_cells(amounts, tile, stride)[..., : features.shape[2], : features.shape[3]]
            yield tile, self._decoder.predict(number, features, coarser, amounts)

    def _extract(self, level: Level, rgb: Tensor, tile: Tile, *, is_whole: bool) -> Tensor:
        """Return the photo's features at a level, in a tile's window; of the whole, those of all its levels at once."""
        if not is_whole:
            return self._network.extract(tile.crop(rgb), [level.tap])[0][level.tap]
        if level not in self._photo:
            taps = [each.tap for each in LEVELS if each.view == level.view]
            found = self._network.extract(rgb, taps)[0]
            self._photo |= {each: found[each.tap] for each in LEVELS if each.view == level.view}
        return self._photo.pop(level)

    def _measure(
        self, level: Level, predicted: Tensor, tile: Tile, masks: Sequence[Tensor | None], sums: list[Moments]
    ) -> list[Moments]:
        if len(self._maps) > LEVELS.index(level):
            return []
        found = [_measure(self._network, level, predicted, tile, mask) for mask in masks]
        return [a + b for a, b in zip(sums, found, strict=True)] if sums else found

    def _find_maps(self, number: int, masks: Sequence[Tensor | None], sums: Sequence[Moments]) -> list[StyleMap]:
        """Return a level's maps, and note how much they change it."""
        if len(self._maps) <= number:
            sums = self._smooth(number, sums) if self._smooth else sums
            targets = [part.targets[LEVELS[number].name] for part in self._parts]
            self._maps.append(
                [find_map(each, target, self._strength) for each, target in zip(sums, targets, strict=True)]
            )
        maps = self._maps[number]
        self._amounts.append(self._join(masks, [amount for *_, amount in maps]))
        return maps

    def _join(self, masks: Sequence[Tensor | None], amounts: Sequence[Tensor]) -> Tensor:
        """Return how much a level was changed, (1, 1, h, w), or (1, 1, 1, 1) where that is the same everywhere."""
        total = torch.zeros(1, 1, 1, 1, device=self._rgb.device)
        for mask, amount in zip(masks, amounts, strict=True):
            total = total + (amount if mask is None else mask * amount)
        return total.to(self._dtype)

    def _list_masks(self, level: Level) -> list[Tensor | None]:
        stride = self._network.stride[level.tap]
        masks: list[Tensor | None] = []
        for part in self._parts:
            mask = part.mask if part.mask is None or level.view == 1 else reduce_to_view(part.mask, level.view)
            masks.append(shrink_mask(mask, stride))
        return masks

    def _make_map(self, level: Level, rgb: Tensor) -> Tensor:
        stride = self._network.stride[level.tap]
        channels = self._decoder.widths[LEVELS.index(level)]
        size = (1, channels, rgb.shape[2] // stride, rgb.shape[3] // stride)
        return torch.empty(size, dtype=self._dtype, device=rgb.device, memory_format=torch.channels_last)


def _cut(network: Network, level: Level, rgb: Tensor) -> list[Tile]:
    stride = network.stride[level.tap]
    cell = max(2 * stride, 16)
    reach = network.reach[level.tap] + DECODER_REACH * 2 * stride
    return cut_into_tiles(rgb.shape[3], rgb.shape[2], side=TILE_SIDE, cell=cell, reach=reach)


def _crop_cells(whole: Tensor, tile: Tile, stride: int) -> Tensor:
    """Return the part of a map (B, C, h, w) that a tile's window covers; `stride` is the side of its cells."""
    rows, columns = (slice(span.near // stride, -(-span.far // stride)) for span in (tile.rows, tile.columns))
    return whole[..., rows, columns]


def _measure(network: Network, level: Level, features: Tensor, tile: Tile, mask: Tensor | None) -> Moments:
    """Measure a tile's own cells of its window's features; `mask` is that of the whole map."""
    stride = network.stride[level.tap]
    step = 2 if stride == SAMPLED_STRIDE else 1
    own = features[(..., *tile.inside(stride))][..., ::step, ::step]
    return measure_features(own, None if mask is None else tile.crop_map(mask, stride)[..., ::step, ::step])
