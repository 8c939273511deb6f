"""The loss over several views of the canvas: at full size, half of it, a quarter ...

A style loss at one size sees strokes of one size: the deepest tap of VGG-19 looks at about 270 pixels, and large forms
are beyond that. Views of smaller sizes show them to the same taps.

Sources: Snelgrove 2017, "High-Resolution Multi-Scale Neural Texture Synthesis"; Gonthier, Gousseau and Ladjal 2020,
"High resolution neural texture synthesis with long range constraints".
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from impasto.images.sizes import resize, resize_wrapped
from impasto.painting.objective import Objective
from impasto.painting.schedule import Size
from impasto.settings.model import Settings

MIN_VIEW_CELLS = 2  # of the deepest tap, along the shorter side of a reduced view
REDUCED_CONTENT = 0.25  # how much the content of each reduced view counts, relative to that at full size


@dataclass(frozen=True)
class View:
    """The canvas at a size in pixels, the name of the network that sees it, and its share of the settings' weights."""

    size: Size
    network: str
    settings: Settings


def plan_views(
    settings: Settings, canvas: Size, cell_size: int, can_measure: Callable[[Size], bool] = lambda _: True
) -> list[View]:
    """Plan the views of a canvas, the canvas itself first.

    A reduced view is left out if it is smaller than two cells of the deepest tap, if `can_measure` refuses its size, or
    if its weight is 0. The style's weight is divided among the views by `settings.views`, the content's mostly to the
    full size, the structure's equally; the smallest of several views compares the content at taps of its own. Terms of
    pixels belong to the full size.

    Example: [view.size for view in plan_views(Settings(), (512, 384), 16)]
    """
    weights = dict(zip(_halve(canvas, len(settings.views)), settings.views, strict=True))
    wraps = settings.padding == "circular"
    sizes = [canvas] + [
        size
        for size, weight in weights.items()
        if weight and size != canvas and _is_large_enough(size, cell_size, wraps=wraps) and can_measure(size)
    ]
    whole = sum(weights[size] for size in sizes) or 1.0
    full_content = 1 / (1 + REDUCED_CONTENT * (len(sizes) - 1))
    if not any(weights[size] for size in sizes):
        weights[canvas] = 1.0  # of a canvas too small for the views that have weights
    return [
        View(
            size,
            choose_network(settings, size),
            _share(
                settings,
                weights[size] / whole,
                full_content if size == canvas else REDUCED_CONTENT * full_content,
                1 / len(sizes),
                has_pixel_terms=size == canvas,
                is_coarse=size == sizes[-1] != canvas,
            ),
        )
        for size in sizes
    ]


def choose_network(settings: Settings, size: Size) -> str:
    """Return the name of the network that sees a view of that size."""
    if max(size) <= settings.large_view_size or settings.large_view_network == "same":
        return settings.network
    if settings.large_view_network == "auto":
        return "slim" if settings.network == "vgg19" else settings.network
    return settings.large_view_network


def _halve(canvas: Size, count: int) -> list[Size]:
    return [(max(1, round(canvas[0] / 2**number)), max(1, round(canvas[1] / 2**number))) for number in range(count)]


def _is_large_enough(size: Size, cell_size: int, *, wraps: bool) -> bool:
    """A canvas that wraps around must keep whole cells."""
    return min(size) >= MIN_VIEW_CELLS * cell_size and not (wraps and any(side % cell_size for side in size))


def _share(
    settings: Settings, style: float, content: float, structure: float, *, has_pixel_terms: bool, is_coarse: bool
) -> Settings:
    """Return the settings of a view, which has these shares of the weights."""
    changed = {
        "style_weight": settings.style_weight * style,
        "content_weight": settings.content_weight * content,
        "structure_weight": settings.structure_weight * structure / content,  # it is within the content
        "views": (1.0,),
    }
    if is_coarse:
        changed["content_taps"] = settings.coarse_taps
    if not has_pixel_terms:
        changed |= {"tv_weight": 0.0, "range_weight": 0.0}
    return settings.model_copy(update=changed)


class MultiViewObjective:
    """The sum of the losses of several views: of the canvas itself, and of the canvas reduced to other sizes.

    Each view's loss may be computed whole or in tiles: the sum is as exact as its parts. Views are reduced by an
    antialiased filter: means over squares of pixels would leave a grid in the picture.
    """

    def __init__(self, full: Objective, reduced: Sequence[tuple[Size, Objective]], *, wraps: bool = False) -> None:
        self.full: Objective = full
        self.reduced: Sequence[tuple[Size, Objective]] = reduced
        self._resize = resize_wrapped if wraps else resize

    def backward(self, canvas: Tensor) -> dict[str, float]:
        """Fill `canvas.grad` (1, 3, H, W); return the weighted losses by name, as `Objective.backward` does."""
        losses = [self.full.backward(canvas)]
        for size, objective in self.reduced:
            with torch.enable_grad():
                view = self._resize(canvas, *size)
            leaf = view.detach().contiguous(memory_format=torch.channels_last).requires_grad_()
            losses.append(objective.backward(leaf))
            torch.autograd.backward(view, leaf.grad)
        return _add_by_name(losses)

    @torch.no_grad()
    def evaluate(self, canvas: Tensor) -> dict[str, float]:
        """Return the weighted losses of a canvas (1, 3, H, W) by name, without a gradient."""
        losses = [self.full.evaluate(canvas)]
        losses += [objective.evaluate(self._resize(canvas, *size)) for size, objective in self.reduced]
        return _add_by_name(losses)


CanvasObjective = Objective | MultiViewObjective


def _add_by_name(losses: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Add losses of several views; `total` comes last."""
    names = dict.fromkeys(name for each in losses for name in each if name != "total")
    return {name: sum(each.get(name, 0.0) for each in losses) for name in [*names, "total"]}
