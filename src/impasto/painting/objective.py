"""What the canvas is painted towards: targets captured once at each scale, losses weighed, one gradient."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from impasto.painting import losses
from impasto.painting.variation import vary
from impasto.perception.moments import Moments
from impasto.perception.network import Network
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


class Objective:
    """L = alpha L_content + beta L_style + TV + range for a canvas of the photo's size.

    What is transparent, in the photo or in a painting, is left out of every term. Several paintings blend: their
    moments add, each by its share; the shares sum to 1.

    Source: Gatys et al. 2015, equation 7.
    """

    def __init__(
        self,
        network: Network,
        settings: Settings,
        photo: Source,
        paintings: Sequence[Source],
    ) -> None:
        self.network, self.settings, self.mask = network, settings, photo.alpha
        self.taps = sorted({*settings.content_taps, *settings.style_taps})
        self.masks = {tap: shrink_mask(photo.alpha, network.stride[tap]) for tap in self.taps}
        with torch.no_grad():
            self.style = self._blend(paintings)
            self.content = network(photo.rgb, settings.content_taps)
            self.variance = {
                tap: losses.content_variance(features, self.masks[tap], LEAST_VARIANCE * float(self.style[tap].energy))
                for tap, features in self.content.items()
            }

    def _blend(self, paintings: Sequence[Source]) -> dict[str, Moments]:
        blended: dict[str, Moments] = {}
        for painting in paintings:
            masks = {tap: shrink_mask(painting.alpha, self.network.stride[tap]) for tap in self.taps}
            for tap, moments in self._measure(painting.rgb, (), masks)[1].items():
                share = moments.scaled(painting.share / moments.count)
                blended[tap] = blended[tap] + share if tap in blended else share
        return blended

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
        settings = self.settings
        style_masks = {tap: self.masks[tap] for tap in settings.style_taps}
        features, moments = self._measure(canvas, settings.content_taps, style_masks)
        content: Tensor = sum(  # type: ignore[assignment]
            weight * self._compare_content(tap, features[tap]) for tap, weight in settings.content_taps.items()
        )
        style: Tensor = sum(  # type: ignore[assignment]
            weight * self._compare_style(tap, moments[tap]) for tap, weight in settings.style_taps.items()
        )
        terms = {"content": settings.content_weight * content, "style": settings.style_weight * style}
        if settings.tv_weight:
            terms["tv"] = settings.tv_weight * vary(canvas, settings.tv_loss, settings.tv_exponent, self.mask)
        if settings.range_weight:
            terms["range"] = settings.range_weight * losses.out_of_range(canvas)
        return {**terms, "total": torch.stack(list(terms.values())).sum()}

    def _measure(
        self, rgb: Tensor, taps: Collection[str], masks: Mapping[str, Tensor | None]
    ) -> tuple[dict[str, Tensor], dict[str, Moments]]:
        """Return features at `taps`, and moments at the taps of `masks`, as they are after their mixes."""
        network = self.network
        features, moments = network.look(rgb, taps, masks)
        return (
            {tap: network.mix(tap, seen) for tap, seen in features.items()},
            {tap: network.mix_moments(tap, seen) for tap, seen in moments.items()},
        )

    def _compare_style(self, tap: str, moments: Moments) -> Tensor:
        terms = [
            weight * STYLE_LOSSES[kind](moments, self.style[tap]) for kind, weight in self.settings.style_loss.items()
        ]
        return torch.stack(terms).sum()

    def _compare_content(self, tap: str, features: Tensor) -> Tensor:
        target, mask = self.content[tap], self.masks[tap]
        if self.settings.content_loss == "sum":
            return losses.content_sum(features, target, mask)
        return losses.content_relative(features, target, mask, self.variance[tap])


def shrink_mask(mask: Tensor | None, stride: int) -> Tensor | None:
    """Carry a mask (1, 1, H, W) to the grid of a tap with that stride: each cell's own share of it.

    The rim that pooling crops counts to the cells beside it, so that nothing visible is lost.
    """
    if mask is None:
        return None
    for dimension in (2, 3):
        inner = (mask.shape[dimension] // stride - 1) * stride
        cells, last = mask.tensor_split([inner], dimension)
        cells = torch.unflatten(cells, dimension, (inner // stride, stride)).mean(dimension + 1)
        mask = torch.cat([cells, last.mean(dimension, keepdim=True)], dimension)
    return mask
