"""The objective of a canvas: weighted losses of content, style and pixels, and their gradient."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from impasto.images.image import Image
from impasto.images.masks import shrink_mask
from impasto.images.sizes import resize_clamped
from impasto.network.vgg import GradientNorms, Network
from impasto.painting import losses
from impasto.painting.histograms import style_histogram
from impasto.painting.structure import Structure
from impasto.painting.style_regions import StyleRegion
from impasto.painting.styles import Style
from impasto.painting.tiles import Tile
from impasto.painting.variation import measure_variation
from impasto.settings.model import Settings

# In the relative content loss, a photo's variance counts as at least this share of the paintings' energy at the tap:
# otherwise the weight of a flat photo is unbounded. Ordinary photos have 0.06 to 1 of a painting's energy (the embedded
# network's relu4_1), one in thick fog 0.005, and a flat one 0.0003 or less.
MIN_VARIANCE_SHARE = 0.05
MAX_GUARD = 3.0  # how much more the content counts where the photo must stay readable, at a `guard` of 1


@dataclass(frozen=True)
class Sums:
    """What a network measures of a canvas. These are sums, so those of its tiles add up.

    `content` is the squared distance () from the photo by tap; `style`, for each region, moments by tap; `places`, of
    the structure, features (1, C, g, k) by tap. `histograms`, for each region, are the style losses () of histograms by
    tap, which don't add up over tiles.
    """

    content: Mapping[str, Tensor]
    style: Sequence[Style]
    places: Mapping[str, Tensor] = field(default_factory=dict)
    histograms: Sequence[Mapping[str, Tensor]] = ()

    def __add__(self, other: "Sums") -> "Sums":
        if self.histograms or other.histograms:
            raise ValueError("Style losses of histograms are not sums.")
        content = {tap: distance + other.content[tap] for tap, distance in self.content.items()}
        pairs = zip(self.style, other.style, strict=True)
        style = [{tap: mine[tap] + theirs[tap] for tap in mine} for mine, theirs in pairs]
        return Sums(content, style, {tap: seen + other.places[tap] for tap, seen in self.places.items()})


@dataclass(frozen=True, eq=False)
class TemporalTarget:
    """A target that holds a film's frame to another frame's picture, warped along the flow.

    `picture` (1, 3, H, W), and its weight at each pixel, `weights` (1, 1, H, W): gamma c.
    """

    picture: Tensor
    weights: Tensor


class Objective:
    """L = alpha L_content + beta L_style + TV + range for a canvas of the size of the photo, if there is one.

    Each region of the canvas has a style of its own, and its share of L_style; most canvases are one region.
    Transparent parts of the photo and of paintings are left out of every term.

    The network's terms are split into `measure_features`, whose sums add up over tiles, and `compare_features`, which
    needs the sums alone.

    Sources: Gatys et al. 2015, equation 7; for regions Gatys et al. 2017, "Controlling Perceptual Factors in Neural
    Style Transfer", section 4.

    Example: losses = Objective(network, settings, photo, regions).backward(canvas)
    """

    def __init__(
        self,
        network: Network,
        settings: Settings,
        photo: Image | None,
        regions: Sequence[StyleRegion],
        temporal_targets: Sequence[TemporalTarget] = (),
    ) -> None:
        self.network: Network = network
        self.settings: Settings = settings
        self.mask: Tensor | None = photo.alpha if photo else None
        self.has_photo: bool = photo is not None
        self.temporal_targets: Sequence[TemporalTarget] = temporal_targets
        self.regions: list[StyleRegion] = [region for region in regions if region.weight]
        self.masks: dict[str, Tensor | None] = {
            tap: shrink_mask(self.mask, network.stride[tap], network.rounding) for tap in list_taps(settings)
        }
        self.content_masks: dict[str, Tensor | None] = self._weigh_content(photo) if photo else {}
        self.content: Mapping[str, Tensor] = {}
        self.structure: Structure | None = self._make_structure(photo) if photo else None
        with torch.no_grad():
            self.content_divisors: dict[str, Tensor | float] = self._capture_content(photo.rgb) if photo else {}
        self.gradient_norms: GradientNorms | None = (
            self._plan_gradient_norms() if settings.normalize_gradients else None
        )

    def _weigh_content(self, photo: Image) -> dict[str, Tensor | None]:
        """Return how much each position counts in the content loss, by tap: more where the photo must stay readable."""
        strength = MAX_GUARD * self.settings.guard
        if photo.guard_map is None or not strength:
            return self.masks
        weighed: dict[str, Tensor | None] = {}
        for tap in {*self.settings.active_content_taps, *self.settings.active_structure_taps}:
            mask, (height, width) = self.masks[tap], self._map_size(tap, photo)
            guarded = 1 + strength * resize_clamped(photo.guard_map, width, height)
            weighed[tap] = guarded if mask is None else mask * guarded
        return weighed

    @property
    def structure_taps(self) -> Sequence[str]:
        """The taps of the structure: none without a photo."""
        return self.settings.active_structure_taps if self.structure else ()

    def _map_size(self, tap: str, photo: Image) -> tuple[int, int]:
        stride, is_up = self.network.stride[tap], self.network.rounding == "up"
        height, width = (-(-side // stride) if is_up else side // stride for side in photo.rgb.shape[2:])
        return height, width

    def _make_structure(self, photo: Image) -> Structure | None:
        taps = self.settings.active_structure_taps
        sizes = {tap: self._map_size(tap, photo) for tap in taps}
        return Structure(self.network, sizes, self.content_masks, photo.rgb) if taps else None

    def _capture_content(self, photo: Tensor) -> dict[str, Tensor | float]:
        """Store the photo's features and structure as the content; return the divisors of the content loss by tap."""
        taps = self.settings.active_content_taps
        features, _ = self.network.extract(photo, {*taps, *self.structure_taps})
        self.content = {tap: self.network.apply_mix(tap, features[tap]) for tap in taps}
        if self.structure:
            self.structure.capture(self.structure.add_up(features))
        return {
            tap: losses.choose_content_divisor(
                self.settings.content_loss, features, self.masks[tap], self._min_variance(tap)
            )
            for tap, features in self.content.items()
        }

    def _min_variance(self, tap: str) -> float:
        whole = sum(region.weight for region in self.regions) or 1.0
        return (
            MIN_VARIANCE_SHARE * sum(region.weight * float(region.style[tap].energy) for region in self.regions) / whole
        )

    def backward(self, canvas: Tensor) -> dict[str, float]:
        """Fill `canvas.grad` (1, 3, H, W); return the weighted losses by name: content, style, tv, range, total."""
        canvas.grad = None
        terms = self._terms(canvas)
        if terms["total"].requires_grad:
            torch.autograd.backward(terms["total"])
        else:  # a view with no weight at all
            canvas.grad = torch.zeros_like(canvas)
        return {name: float(value.detach()) for name, value in terms.items()}

    @torch.no_grad()
    def evaluate(self, canvas: Tensor) -> dict[str, float]:
        """Return the weighted losses of a canvas (1, 3, H, W) by name, as `backward` does, without a gradient."""
        return {name: float(value) for name, value in self._terms(canvas).items()}

    def _terms(self, canvas: Tensor) -> dict[str, Tensor]:
        terms = {**self.compare_features(self.measure_features(canvas)), **self.compare_pixels(canvas)}
        return {**terms, "total": torch.stack(list(terms.values())).sum()}

    def measure_features(self, canvas: Tensor, tile: Tile | None = None, *, content: bool = True) -> Sums:
        """Sum up the network's features of a canvas (1, 3, H, W), or of a tile's window, without its margin.

        Without `content`, the distances from the photo are left out.
        """
        network, settings = self.network, self.settings
        masks = {
            tap: [self._crop_mask(self._region_mask(region, tap), tap, tile) for region in self.regions]
            for tap in settings.active_style_taps
        }
        targets = self._content_targets(tile) if content else {}
        kept = {*targets, *(settings.active_style_taps if needs_features(settings) else ())}
        taps = {*kept, *self.structure_taps}
        if not taps and not masks:
            return Sums({}, [{} for _ in self.regions])
        crop = tile.inside if tile else None
        features, moments = network.extract(canvas, taps, masks, self.gradient_norms, crop)
        mixed = {tap: network.apply_mix(tap, features[tap]) for tap in kept}
        distances = {
            tap: losses.squared_distance(mixed[tap], target, self._crop_mask(self.content_masks[tap], tap, tile))
            for tap, target in targets.items()
        }
        style = [
            {tap: network.mix_moments(tap, seen[number]) for tap, seen in moments.items()}
            for number in range(len(self.regions))
        ]
        places = self.structure.add_up(features, tile) if self.structure else {}
        return Sums(distances, style, places, self._compare_values(mixed) if needs_features(settings) else ())

    def _content_targets(self, tile: Tile | None) -> Mapping[str, Tensor]:
        del tile  # a tiled objective has a target for each
        return self.content

    def _crop_mask(self, mask: Tensor | None, tap: str, tile: Tile | None) -> Tensor | None:
        return mask if mask is None or tile is None else tile.crop_map(mask, self.network.stride[tap])

    def compare_features(self, sums: Sums) -> dict[str, Tensor]:
        """Return the weighted terms (), content and style, of the sums over the whole canvas."""
        settings, zero = self.settings, torch.zeros((), device=next(self.network.parameters()).device)
        content = sum(
            (settings.content_taps[tap] * (seen / self.content_divisors[tap]) for tap, seen in sums.content.items()),
            start=zero,
        )
        if self.structure:
            content = content + settings.structure_weight * self.structure.compare(sums.places)
        style = sum(
            (
                region.weight * self._compare_style(region.style, seen)
                for region, seen in zip(self.regions, sums.style, strict=True)
            ),
            start=zero,
        )
        for region, distances in zip(self.regions, sums.histograms, strict=bool(sums.histograms)):
            share = region.weight * settings.style_loss["histogram"]
            style = style + share * sum(weight * distances[tap] for tap, weight in settings.active_style_taps.items())
        alpha, beta = settings.weights
        return {**({"content": alpha * content} if self.has_photo else {}), "style": beta * style}

    def compare_pixels(self, canvas: Tensor) -> dict[str, Tensor]:
        """Return the weighted terms () that need no network: tv, range and temporal, if they have weights."""
        settings, terms = self.settings, {}
        if settings.tv_weight:
            is_seamless = settings.padding == "circular"
            variation = measure_variation(canvas, settings.tv_loss, settings.tv_exponent, self.mask, around=is_seamless)
            terms["tv"] = settings.tv_weight * variation
        if settings.range_weight:
            terms["range"] = settings.range_weight * losses.out_of_range(canvas)
        if self.temporal_targets:
            targets = [losses.temporal(canvas, target.picture, target.weights) for target in self.temporal_targets]
            terms["temporal"] = torch.stack(targets).sum()
        return terms

    def _region_mask(self, region: StyleRegion, tap: str) -> Tensor | None:
        return self.masks[tap] if region.masks is None else region.masks[tap]

    def _compare_style(self, style: Style, seen: Style) -> Tensor:
        settings = self.settings
        taps = [
            weight * losses.style(settings.style_loss, seen[tap], style[tap], settings.gram_shift)
            for tap, weight in settings.active_style_taps.items()
        ]
        return sum(taps, start=torch.zeros(()))

    def _compare_values(self, features: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
        return [
            {
                tap: style_histogram(features[tap], region.histograms[tap], self._region_mask(region, tap))
                for tap in self.settings.active_style_taps
            }
            for region in self.regions
        ]

    def _plan_gradient_norms(self) -> GradientNorms:
        """Return the norms of each tap's gradients if they are normalized: the weights in the loss."""
        settings = self.settings
        alpha, beta = settings.weights
        features = {tap: alpha * settings.content_taps[tap] for tap in self.content}
        for tap in self.structure_taps:
            features[tap] = features.get(tap, 0.0) + alpha * settings.structure_weight
        moments = {}
        for tap, weight in settings.active_style_taps.items():
            shares = [beta * weight * region.weight for region in self.regions]
            if needs_features(settings):
                features[tap] = features.get(tap, 0.0) + sum(shares) * settings.style_loss["histogram"]
            moments[tap] = shares
        return GradientNorms(features, moments)


def needs_features(settings: Settings) -> bool:
    """Tell whether a style loss needs all features of the canvas at once."""
    return any(weight and kind in losses.NEED_FEATURES for kind, weight in settings.style_loss.items())


def list_taps(settings: Settings) -> list[str]:
    """List the taps of the style, the content and the structure.

    Paintings are measured at all of them, as the relative content loss needs their energy.
    """
    coarse = settings.coarse_taps if len(settings.views) > 1 else {}
    content = {*settings.content_taps, *coarse} if settings.content_weight else set()
    return sorted({*content, *settings.active_structure_taps, *settings.style_taps})
