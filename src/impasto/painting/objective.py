"""What the canvas is painted towards: losses from content and style, weighed, and their gradient."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from impasto.painting import losses
from impasto.painting.style import Region, Source, Style
from impasto.painting.tiles import Tile
from impasto.perception.moments import Moments
from impasto.perception.network import Network
from impasto.pictures.masks import shrink_mask
from impasto.settings import Settings, StyleLoss

STYLE_LOSSES: Mapping[StyleLoss, Callable[[Moments, Moments], Tensor]] = {
    "sum": losses.style_sum,
    "gram": losses.style_gram,
    "wasserstein": losses.style_wasserstein,
}

# The relative content loss takes a photo's variance for at least this share of the paintings' energy at the tap.
# Without it, a flat photo would weigh without bounds against the style. Ordinary photos are above it: theirs is 0.06 to
# 1 of a painting's energy (the embedded network's relu4_1); a flat one's 0.0003 or nothing, one in thick fog's 0.005.
LEAST_VARIANCE = 0.05


@dataclass(frozen=True)
class Sums:
    """What a network sees of a canvas: sums, so that those of its windows add up.

    `content` has the squared distance () from the photo by tap; `style`, for each region, moments by tap.
    """

    content: Mapping[str, Tensor]
    style: Sequence[Style]

    def __add__(self, other: "Sums") -> "Sums":
        content = {tap: distance + other.content[tap] for tap, distance in self.content.items()}
        pairs = zip(self.style, other.style, strict=True)
        return Sums(content, [{tap: mine[tap] + theirs[tap] for tap in mine} for mine, theirs in pairs])


class Objective:
    """L = alpha L_content + beta L_style + TV + range for a canvas of the photo's size.

    Each region of the canvas has a style of its own, and its share of L_style; most canvases are one region. What is
    transparent, in the photo or in a painting, is left out of every term.

    The network's part of it is `measure`, which adds up over the canvas, and `compare`, which takes the sums alone.

    Sources: Gatys et al. 2015, equation 7; for regions Gatys et al. 2017, "Controlling Perceptual Factors in Neural
    Style Transfer", section 4.
    """

    def __init__(self, network: Network, settings: Settings, photo: Source, regions: Sequence[Region]) -> None:
        self.network, self.settings, self.mask = network, settings, photo.alpha
        self.regions = [region for region in regions if region.share]
        self.masks = {tap: shrink_mask(photo.alpha, network.stride[tap]) for tap in list_taps(settings)}
        with torch.no_grad():
            self.variance = self._capture(photo.rgb)

    def _capture(self, photo: Tensor) -> dict[str, Tensor]:
        """Keep the photo's features as the content; returns their variance by tap."""
        self.content = self.network(photo, self.settings.content_taps)
        return {
            tap: losses.content_variance(features, self.masks[tap], self._least_variance(tap))
            for tap, features in self.content.items()
        }

    def _least_variance(self, tap: str) -> float:
        whole = sum(region.share for region in self.regions)
        return LEAST_VARIANCE * sum(region.share * float(region.style[tap].energy) for region in self.regions) / whole

    def backward(self, canvas: Tensor) -> dict[str, float]:
        """Fill `canvas.grad` (1, 3, H, W); return the weighted losses by name: content, style, tv, range, total."""
        canvas.grad = None
        terms = self._terms(canvas)
        torch.autograd.backward(terms["total"])
        return {name: float(value.detach()) for name, value in terms.items()}

    @torch.no_grad()
    def evaluate(self, canvas: Tensor) -> dict[str, float]:
        """Return the weighted losses of a canvas (1, 3, H, W) by name, as `backward` does, without a gradient."""
        return {name: float(value) for name, value in self._terms(canvas).items()}

    def _terms(self, canvas: Tensor) -> dict[str, Tensor]:
        terms = {**self.compare(self.measure(canvas)), **self.compare_pixels(canvas)}
        return {**terms, "total": torch.stack(list(terms.values())).sum()}

    def measure(self, canvas: Tensor, tile: Tile | None = None, *, content: bool = True) -> Sums:
        """Sum up what the network sees of a canvas (1, 3, H, W), or in a tile's window; `content` is left out if not.

        Of a tile only what it answers for is summed up, so that the sums of all tiles add up to the canvas's.
        """
        network, settings = self.network, self.settings
        masks = {
            tap: [self._share(self._mask(region, tap), tap, tile) for region in self.regions]
            for tap in settings.style_taps
        }
        features, moments = network.look(
            canvas, settings.content_taps if content else (), masks, tile.inside if tile else None
        )
        distances = {
            tap: losses.squared_distance(
                network.mix(tap, seen), self._target(tap, tile), self._share(self.masks[tap], tap, tile)
            )
            for tap, seen in features.items()
        }
        style = [
            {tap: network.mix_moments(tap, seen[number]) for tap, seen in moments.items()}
            for number in range(len(self.regions))
        ]
        return Sums(distances, style)

    def _target(self, tap: str, tile: Tile | None) -> Tensor:
        del tile  # here it is that of the whole canvas
        return self.content[tap]

    def _share(self, mask: Tensor | None, tap: str, tile: Tile | None) -> Tensor | None:
        return mask if mask is None or tile is None else tile.share(mask, self.network.stride[tap])

    def compare(self, sums: Sums) -> dict[str, Tensor]:
        """Return the weighted terms, each (), of what the network has seen of the whole canvas: content, style."""
        settings, zero = self.settings, torch.zeros(())
        content = sum(
            (weight * self._weigh_content(tap, sums.content[tap]) for tap, weight in settings.content_taps.items()),
            start=zero,
        )
        style = sum(
            (
                region.share * self._compare_style(region.style, seen)
                for region, seen in zip(self.regions, sums.style, strict=True)
            ),
            start=zero,
        )
        return {"content": settings.content_weight * content, "style": settings.style_weight * style}

    def compare_pixels(self, canvas: Tensor) -> dict[str, Tensor]:
        """Return the weighted terms, each (), that need no network: tv and range, where they have weights."""
        settings, terms = self.settings, {}
        if settings.tv_weight:
            terms["tv"] = settings.tv_weight * losses.total_variation(canvas, self.mask)
        if settings.range_weight:
            terms["range"] = settings.range_weight * losses.out_of_range(canvas)
        return terms

    def _mask(self, region: Region, tap: str) -> Tensor | None:
        return self.masks[tap] if region.masks is None else region.masks[tap]

    def _weigh_content(self, tap: str, distance: Tensor) -> Tensor:
        return distance / 2 if self.settings.content_loss == "sum" else distance / self.variance[tap]

    def _compare_style(self, style: Style, seen: Style) -> Tensor:
        settings = self.settings
        taps = [weight * self._compare_moments(seen[tap], style[tap]) for tap, weight in settings.style_taps.items()]
        return sum(taps, start=torch.zeros(()))

    def _compare_moments(self, canvas: Moments, painting: Moments) -> Tensor:
        terms = [weight * STYLE_LOSSES[kind](canvas, painting) for kind, weight in self.settings.style_loss.items()]
        return torch.stack(terms).sum()


def list_taps(settings: Settings) -> list[str]:
    """List the taps at which paintings are measured: the style's, and the content's for what its losses compare to."""
    return sorted({*settings.content_taps, *settings.style_taps})
