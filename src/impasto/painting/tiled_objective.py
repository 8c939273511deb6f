"""The objective in tiles: first the sums over all tiles, then the gradient through each tile."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from impasto.errors import UsageError
from impasto.images.image import Image
from impasto.network.moments import Moments
from impasto.network.vgg import Network
from impasto.painting import losses
from impasto.painting.content_store import ContentStore
from impasto.painting.objective import Objective, Sums, list_taps, needs_features
from impasto.painting.pixel_terms import add_pixel_terms
from impasto.painting.style_regions import StyleRegion
from impasto.painting.tiles import Tile, cut_into_tiles
from impasto.settings.model import Settings


class TiledObjective(Objective):
    """The loss of `Objective` and its gradient, with features of only one tile of the canvas at a time.

    Style losses are functions of sums. A first pass without gradients adds up all tiles; the gradient of the losses at
    these small sums is then known, and a second pass sends it back through each tile. The photo's features are stored
    by tile, in memory or `on_disk`.

    Errors: UsageError for losses that are not functions of sums.
    """

    def __init__(
        self,
        network: Network,
        settings: Settings,
        photo: Image | None,
        regions: Sequence[StyleRegion],
        tiles: Sequence[Tile],
        *,
        on_disk: bool = False,
    ) -> None:
        if fault := why_untileable(settings):
            raise UsageError(fault)
        self.tiles: Sequence[Tile] = tiles
        self.store: ContentStore = ContentStore(on_disk=on_disk)
        self.content_taps: Sequence[str] = list(settings.active_content_taps) if photo else []
        super().__init__(network, settings, photo, regions)

    def _capture_content(self, photo: Tensor) -> dict[str, Tensor | float]:
        places: dict[str, Tensor] = {}
        for tile in self.tiles:
            features, _ = self.network.extract(
                tile.crop(photo), {*self.content_taps, *self.structure_taps}, crop=tile.inside
            )
            for tap in self.content_taps:
                self.store.put(tap, tile, self.network.apply_mix(tap, features[tap]))
            if self.structure:
                places = {
                    tap: seen + places.get(tap, 0.0) for tap, seen in self.structure.add_up(features, tile).items()
                }
        if self.structure:
            self.structure.capture(places)
        return {tap: self._measure_whole(tap, photo) for tap in self.content_taps}

    def _measure_whole(self, tap: str, photo: Tensor) -> Tensor | float:
        mask, stride, kind = self.masks[tap], self.network.stride[tap], self.settings.content_loss

        def parts() -> Iterator[tuple[Tensor, Tensor | None]]:
            for tile, features in self.store.iterate_tiles(tap):
                yield features, None if mask is None else tile.crop_map(mask, stride)

        if kind == "relative":
            return losses.content_variance_of_parts(parts, self._min_variance(tap))
        channels = next(parts())[0].shape[1]
        positions = sum(features[0, 0].numel() for features, _ in parts())
        return losses.choose_content_divisor(kind, photo.new_zeros(()).expand(1, channels, 1, positions), mask)

    def _content_targets(self, tile: Tile | None) -> Mapping[str, Tensor]:
        assert tile is not None
        return {tap: self.store.get(tap, tile) for tap in self.content_taps}

    @torch.no_grad()
    def backward(self, canvas: Tensor) -> dict[str, float]:
        """Fill `canvas.grad` (1, 3, H, W); return the weighted losses by name: content, style, tv, range, total."""
        # Reuse the gradient's memory: between the allocations of tiles there is no gap of a canvas's size.
        gradient = torch.empty_like(canvas) if canvas.grad is None else canvas.grad
        whole = self._measure_tiles(canvas, content=False)
        slopes = self._differentiate_sums(whole, canvas)
        gradient.zero_()
        content = {tap: canvas.new_zeros(()) for tap in self.content_taps}
        for tile in self.tiles:
            window = tile.crop(canvas).clone(memory_format=torch.channels_last).requires_grad_()
            with torch.enable_grad():
                sums = self.measure_features(window, tile)
                pulled = [pair for pair in zip(_list_tensors(sums), slopes, strict=True) if pair[1] is not None]
                torch.autograd.backward([seen for seen, _ in pulled], [slope for _, slope in pulled])
            assert window.grad is not None
            tile.add_to(gradient, window.grad)
            content = {tap: content[tap] + distance.detach() for tap, distance in sums.content.items()}
        terms = self.compare_features(replace(whole, content=content))
        terms |= add_pixel_terms(self.settings, canvas, self.mask, gradient)
        canvas.grad = gradient
        return _total(terms)

    @torch.no_grad()
    def evaluate(self, canvas: Tensor) -> dict[str, float]:
        """Return the weighted losses of a canvas (1, 3, H, W) by name, as `backward` does, without a gradient."""
        terms = self.compare_features(self._measure_tiles(canvas, content=True))
        return _total(terms | add_pixel_terms(self.settings, canvas, self.mask, None))

    def _measure_tiles(self, canvas: Tensor, *, content: bool) -> Sums:
        first, *others = self.tiles
        sums = self.measure_features(first.crop(canvas), first, content=content)
        for tile in others:
            sums = sums + self.measure_features(tile.crop(canvas), tile, content=content)
        return sums

    def _differentiate_sums(self, whole: Sums, canvas: Tensor) -> list[Tensor | None]:
        """Return the loss's gradient at each sum, in the order of `_list_tensors`; None where there is none."""
        with torch.enable_grad():
            # Content losses are linear in the distances, so their gradients are the same everywhere.
            distances = {tap: canvas.new_zeros((), requires_grad=True) for tap in self.content_taps}
            style = [{tap: _as_leaves(moments) for tap, moments in seen.items()} for seen in whole.style]
            sums = Sums(distances, style, {tap: seen.detach().requires_grad_() for tap, seen in whole.places.items()})
            total = torch.stack(list(self.compare_features(sums).values())).sum()
            tensors = _list_tensors(sums)
            return list(torch.autograd.grad(total, tensors, allow_unused=True))


def why_untileable(settings: Settings) -> str:
    """Say which setting can't be computed in tiles; nothing if all can."""
    if needs_features(settings):
        return "`style_loss` histogram sorts all values of the picture, which can't be done in tiles: leave it out."
    if settings.normalize_gradients:
        return "`normalize_gradients` scales gradients by those of the whole picture, not of tiles: leave it out."
    return ""


def cut_tiles_for(network: Network, settings: Settings, width: int, height: int, side: int) -> list[Tile]:
    """Cut a picture into tiles of about `side` pixels whose features at the settings' taps are exact."""
    taps = list_taps(settings)
    cell, reach = (max(of[tap] for tap in taps) for of in (network.stride, network.reach))
    return cut_into_tiles(width, height, side=side, cell=cell, reach=reach, wraps=network.padding == "circular")


def _as_leaves(moments: Moments) -> Moments:
    return Moments(moments.count, *(of.detach().requires_grad_() for of in (moments.total, moments.outer)))


def _list_tensors(sums: Sums) -> list[Tensor]:
    """List the sums that depend on the canvas's pixels, in the order of their taps' names."""
    moments = [seen[tap] for seen in sums.style for tap in sorted(seen)]
    return [
        *(sums.content[tap] for tap in sorted(sums.content)),
        *(sums.places[tap] for tap in sorted(sums.places)),
        *(of for each in moments for of in (each.total, each.outer)),
    ]


def _total(terms: dict[str, Tensor]) -> dict[str, float]:
    terms["total"] = torch.stack(list(terms.values())).sum()
    return {name: float(value) for name, value in terms.items()}
