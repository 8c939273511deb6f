"""What a picture will take, in memory and time, and so how each of its scales is painted."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from impasto.errors import UsageError
from impasto.images.image import Image
from impasto.painting.cost_model import (
    TIMED_COMPACT_HISTORY,
    PixelCosts,
    ViewCosts,
    estimate_whole_bytes,
    measure_costs,
)
from impasto.painting.device import measure_free_memory
from impasto.painting.optimizers import can_compact
from impasto.painting.painter import Painter
from impasto.painting.prepare import Prepared
from impasto.painting.schedule import Schedule, Size
from impasto.painting.strategy import MIN_TILE_SIZE, ScaleStrategy
from impasto.painting.tiled_objective import cut_tiles_for, why_untileable
from impasto.painting.views import View
from impasto.settings.model import Settings
from impasto.settings.units import USABLE_MEMORY_SHARE, format_bytes, format_count, format_seconds

TILE_SIZES = (2048, 1536, 1024, 768, 512, 384, 256, MIN_TILE_SIZE)
# By length of L-BFGS's history: how many times as many steps reach the same loss (docs/explanation/print-size.md).
HISTORY_SLOWDOWNS = {8: 1.01, 6: 1.02, 4: 1.1, 3: 1.15, 2: 1.2}
TILES_SLOWDOWN, DISK_SLOWDOWN, COMPACT_SLOWDOWN = 1.4, 0.02, 1.02
# Allocator fragmentation, as resident memory over live tensors, measured at 4 and 16 megapixels: of feature maps, and
# of everything else in tiles.
MAPS_FRAGMENTATION, FRAGMENTATION = 1.8, 1.08
CANVAS_BYTES = 12  # of a pixel: three channels in float32
SMALL_WORK_PIXELS = 40_000_000  # over all steps: minutes with VGG-19 on one old core
MEMORY_ADVICE = "choose a smaller `size` or a lighter `network`, or allow more `memory`"
# The alternatives of a plan. In tiles all features are computed twice, for their sums and then for the gradient, so
# that none is kept from one tile to the next.
WHOLE, RECOMPUTING, TILED = "whole", "recomputing", "tiled"


@dataclass(frozen=True)
class Estimate:
    """A strategy for each scale, and what they take: the peak of memory in bytes, and seconds."""

    strategies: tuple[ScaleStrategy, ...]
    bytes: int
    seconds: float


@dataclass(frozen=True)
class PaintingPlan:
    """How a picture is painted, `chosen`, and the `alternatives` by name.

    `sizes` are those of the scales, coarsest first; `steps` is the total over them. `limit` is the memory that may be
    used, in bytes, and `limit_reason` where that number comes from. `untileable` says why there are no alternatives in
    tiles; it is empty if there are.
    """

    sizes: tuple[Size, ...]
    steps: int
    chosen: Estimate
    alternatives: Mapping[str, Estimate]
    limit: int
    limit_reason: str
    untileable: str

    @property
    def is_feasible(self) -> bool:
        """Whether what was chosen fits into the memory that may be used."""
        return self.chosen.bytes <= self.limit * USABLE_MEMORY_SHARE

    def describe(self) -> str:
        """Say on one line what was chosen, and why."""
        (width, height), whole = self.sizes[-1], self.alternatives[WHOLE]
        taken = f"about {format_bytes(self.chosen.bytes)} and {format_seconds(self.chosen.seconds)}"
        line = f"{width} x {height}, {self.chosen.strategies[-1].describe()}: {taken}; {self.limit_reason}"
        if self.chosen.strategies != whole.strategies:
            line += f", whole it would take {format_bytes(whole.bytes)}"
        return f"{line}; it can't be tiled: {self.untileable}".rstrip(".") if self.untileable else line

    def format_table(self) -> Iterator[str]:
        """Yield lines that say what each alternative takes, which was chosen (the smallest if none fits), and why."""
        width, height = self.sizes[-1]
        yield f"{width} x {height} pixels, {format_count(len(self.sizes), 'scale')}, {format_count(self.steps, 'step')}"
        yield ""
        yield f"{'':<12}{'memory':>10}{'time':>9}"
        rows = [*self.alternatives.items(), ("chosen" if self.is_feasible else "smallest", self.chosen)]
        for name, way in rows:
            strategy = way.strategies[-1].describe()
            yield f"{name:<12}{format_bytes(way.bytes):>10}{format_seconds(way.seconds):>9}  {strategy}"
        yield ""
        if self.untileable:
            yield f"It can't be tiled: {self.untileable}"
        yield self.limit_reason[0].upper() + self.limit_reason[1:] + f": {self._explain()}"

    def apply_to(self, painter: Painter) -> None:
        """Have a painter paint so, from the next scale on if it has begun.

        Errors: UsageError where it takes more memory than may be used.
        """
        if not self.is_feasible:
            width, height = self.sizes[-1]
            raise UsageError(
                f"A picture of {width} x {height} takes at least {self._format_needed()} of memory, and "
                f"{self.limit_reason}: {MEMORY_ADVICE}. {self.untileable}".rstrip(),
                setting="memory",
            )
        begun = painter.state.scale if painter.has_begun else 0
        painter.state.strategies[begun:] = self.chosen.strategies[begun:]

    def _explain(self) -> str:
        if not self.is_feasible:
            return f"nothing fits, it takes at least {self._format_needed()}: {MEMORY_ADVICE}."
        if self.chosen.strategies == self.alternatives[WHOLE].strategies:
            return "it is painted whole, with all features of a step kept until its gradient has come back."
        if len({*self.chosen.strategies}) == 1:
            return "this is the fastest way that fits."
        whole = sum(not strategy.tile_size for strategy in self.chosen.strategies)
        first = f"the first {format_count(whole, 'scale')} whole" if whole else "its first scales in other ways"
        return f"this is the fastest way that fits; {first}."

    def _format_needed(self) -> str:
        return format_bytes(ceil(self.chosen.bytes / USABLE_MEMORY_SHARE))


class Planner:
    """Estimates what each strategy takes at each scale, and chooses.

    `costs` are measured if they are not given; nothing of what is planned is changed. `reading_bytes` is the memory of
    the program while the pictures were read.

    Example: Planner(prepared, photo, schedule).plan(limit=2**32).describe()
    """

    def __init__(
        self,
        prepared: Prepared,
        photo: Image | None,
        schedule: Schedule,
        costs: PixelCosts | None = None,
        reading_bytes: int = 0,
    ) -> None:
        self.reading_bytes = reading_bytes
        self.prepared: Prepared = prepared
        self.settings: Settings = prepared.settings
        self.schedule: Schedule = schedule
        self.costs: PixelCosts = costs or measure_costs(prepared, photo, schedule)
        self.has_alpha: bool = photo is not None and photo.alpha is not None
        self.untileable: str = why_untileable(self.settings)
        self._scales = range(1, len(schedule.sizes) + 1)
        self._views = {scale: prepared.plan_views(schedule, schedule.sizes[scale - 1]) for scale in self._scales}

    def plan(self, limit: int | None = None) -> PaintingPlan:
        """Choose how each scale is painted within `limit` bytes for the whole program; None: what is free."""
        reason = f"{format_bytes(limit)} may be used" if limit else ""
        if limit is None:
            free = measure_free_memory(self.prepared.device)
            limit, reason = self.costs.base_bytes + free, f"{format_bytes(free)} are free"
        scales = self._scales
        ways = {WHOLE: self._estimate([ScaleStrategy()] * len(scales))}
        if not self.untileable:
            ways[RECOMPUTING] = self._estimate([ScaleStrategy(tile_size=TILE_SIZES[0])] * len(scales))
            ways[TILED] = self._estimate([self._find_smallest(scale) for scale in scales])
        chosen = self._estimate([self._choose_strategy(scale, limit) for scale in scales])
        steps = sum(self.schedule.steps)
        return PaintingPlan(self.schedule.sizes, steps, chosen, ways, limit, reason, self.untileable)

    def _estimate(self, strategies: Sequence[ScaleStrategy]) -> Estimate:
        pairs = list(zip(self._scales, strategies, strict=True))
        peak = max(self.reading_bytes, *(self._estimate_scale_bytes(*pair) for pair in pairs))
        return Estimate(tuple(strategies), peak, sum(self._estimate_seconds(*pair) for pair in pairs))

    def _find_smallest(self, scale: int) -> ScaleStrategy:
        """Return the strategy that takes the least memory at a scale."""
        return min(self._list_strategies(scale), key=lambda strategy: self._estimate_scale_bytes(scale, strategy))

    def _choose_strategy(self, scale: int, limit: int) -> ScaleStrategy:
        """Return the fastest strategy that fits, or else the one that takes least.

        Speeds are rated without a clock, so that the same picture is always painted with the same strategy.
        """
        fitting = [
            (self._rate_slowdown(scale, strategy), number, strategy)
            for number, strategy in enumerate(self._list_strategies(scale))
            if self._estimate_scale_bytes(scale, strategy) <= limit * USABLE_MEMORY_SHARE
        ]
        return min(fitting, key=lambda each: each[:2])[2] if fitting else self._find_smallest(scale)

    def _rate_slowdown(self, scale: int, strategy: ScaleStrategy) -> float:
        """Return how many times as long as painting whole, with the full history, a strategy takes to the same loss."""
        width, height = self.schedule.sizes[scale - 1]
        overlap = self._measure_windows((width, height), strategy)[1] / (width * height)
        history = HISTORY_SLOWDOWNS.get(strategy.history or 0, 1.0) * (COMPACT_SLOWDOWN if strategy.compact else 1.0)
        tiles = TILES_SLOWDOWN if strategy.tile_size else 1.0
        return history * overlap * (tiles + (DISK_SLOWDOWN if strategy.on_disk else 0.0))

    def _list_strategies(self, scale: int) -> Iterator[ScaleStrategy]:
        """List all strategies for a scale, the most precise first."""
        settings, longer = self.settings, max(self.schedule.sizes[scale - 1])
        tile_sizes = [] if self.untileable else [size for size in TILE_SIZES if size < longer]
        is_lbfgs = settings.optimizer == "lbfgs"
        histories = [length for length in HISTORY_SLOWDOWNS if length < settings.lbfgs_history] if is_lbfgs else []
        for tile_size in (0, *tile_sizes):
            for compact in (False, True) if self._can_compact(scale) else (False,):
                for history in (None, *histories):
                    for on_disk in (False, True) if tile_size else (False,):
                        yield ScaleStrategy(tile_size, history, compact, on_disk)

    def _can_compact(self, scale: int) -> bool:
        return can_compact(self.settings, is_last_scale=scale == len(self._scales))

    def _estimate_scale_bytes(self, scale: int, strategy: ScaleStrategy) -> int:
        """Estimate the peak of memory at a scale."""
        costs, pixels = self.costs, _count_pixels(self.schedule.sizes[scale - 1])
        content = 0.0 if strategy.on_disk else self._estimate_content(scale)
        optimizer, step = self._estimate_optimizer(scale, strategy)
        canvases = 2 + bool(self.settings.ema_decay)  # the canvas, and the accepted one
        kept = canvases * CANVAS_BYTES + 4 * self.has_alpha + optimizer
        # Views are evaluated one after the other. A reduced one also needs the canvas's gradient and its own pixels.
        maps = 0.0
        for view in self._views[scale]:
            each, window = self._view_costs(view), self._measure_windows(view.size, strategy)[0]
            beside = 0 if _count_pixels(view.size) == pixels else CANVAS_BYTES * (pixels + _count_pixels(view.size))
            maps = max(
                maps,
                MAPS_FRAGMENTATION * window * (each.tile_backward if strategy.tile_size else each.backward) + beside,
            )
        if strategy.tile_size:
            steps = FRAGMENTATION * ((kept + max(CANVAS_BYTES + costs.pixel_terms, step)) * pixels + content) + maps
        else:
            steps = kept * pixels + content + max(maps, step * pixels)
        return round(costs.base_bytes + max(steps, self._estimate_start_bytes(scale, strategy, content)))

    def _view_costs(self, view: View) -> ViewCosts:
        return self.costs.views[self.prepared.get_network(view)]

    def _estimate_content(self, scale: int) -> float:
        """Return the bytes of the photo's features that are kept at a scale."""
        views = [view for view in self._views[scale] if view.settings.active_content_taps]
        return sum(self._view_costs(view).content * _count_pixels(view.size) for view in views)

    def _estimate_optimizer(self, scale: int, strategy: ScaleStrategy) -> tuple[float, float]:
        """Return the bytes for each pixel that the optimizer keeps, and those of its step."""
        costs, full = self.costs, self.settings.lbfgs_history
        history = strategy.history or full
        if strategy.compact and self._can_compact(scale):
            return CANVAS_BYTES + CANVAS_BYTES / 2 * (2 * history + 1), CANVAS_BYTES
        dropped = 2 * CANVAS_BYTES * (full - history) if self.settings.optimizer == "lbfgs" else 0
        step = costs.step if scale == len(self._scales) else costs.coarse_step
        return costs.optimizer - dropped, CANVAS_BYTES + step

    def _estimate_start_bytes(self, scale: int, strategy: ScaleStrategy, content: float) -> float:
        """Estimate the peak before a scale's first step: measuring paintings and photo, enlarging the canvas."""
        canvas = self.schedule.sizes[scale - 1]
        before = 0 if scale == 1 else CANVAS_BYTES * _count_pixels(self.schedule.sizes[scale - 2])
        # The photo, the canvas before and after it is laid out, and a copy of it.
        needs = [before + content + 4 * CANVAS_BYTES * _count_pixels(canvas)]
        for view in self._views[scale]:
            for size in [view.size, *self.prepared.list_painting_sizes(self.schedule, view.size)]:
                pixels, window = _count_pixels(size), self._measure_windows(size, strategy)[0]
                kept = (content if size == view.size else 0) + CANVAS_BYTES * pixels
                if size == view.size != canvas:  # the photo and, recolored, its reduced copy
                    kept += CANVAS_BYTES * (_count_pixels(canvas) + pixels)
                forward = self._view_costs(view).forward * window
                needs.append(before + kept + max(CANVAS_BYTES * pixels, forward))
        return max(needs)

    def _estimate_seconds(self, scale: int, strategy: ScaleStrategy) -> float:
        """Estimate how long a scale takes."""
        costs, canvas = self.costs, self.schedule.sizes[scale - 1]
        history = strategy.history or self.settings.lbfgs_history
        if strategy.compact and self._can_compact(scale):
            step = costs.compact_step_seconds * (1 + history) / (1 + TIMED_COMPACT_HISTORY)
        else:
            step = costs.step_seconds if scale == len(self._scales) else costs.coarse_step_seconds
        evaluation = start = 0.0
        for view in self._views[scale]:
            each, seen = self._view_costs(view), self._measure_windows(view.size, strategy)[1]
            paintings = sum(map(_count_pixels, self.prepared.list_painting_sizes(self.schedule, view.size)))
            evaluation += (each.backward_seconds + (each.forward_seconds if strategy.tile_size else 0)) * seen
            start += each.forward_seconds * (2 * seen + paintings)
        return self.schedule.steps[scale - 1] * (evaluation + step * _count_pixels(canvas)) + start

    def _measure_windows(self, size: Size, strategy: ScaleStrategy) -> tuple[int, int]:
        """Return the pixels of the largest window, and those of all windows together."""
        if not strategy.tile_size:
            return _count_pixels(size), _count_pixels(size)
        tiles = cut_tiles_for(self.prepared.network, self.settings, *size, strategy.tile_size)
        windows = [(tile.rows.far - tile.rows.near) * (tile.columns.far - tile.columns.near) for tile in tiles]
        return max(windows), sum(windows)


def is_small(prepared: Prepared, schedule: Schedule) -> bool:
    """Tell whether a plan would change nothing: the picture surely fits whole, and is soon finished."""
    needed = estimate_whole_bytes(prepared.settings, _count_pixels(schedule.last_size), prepared.dtype.itemsize)
    return needed < measure_free_memory(prepared.device) / 2 and sum(schedule.work) < SMALL_WORK_PIXELS


def _count_pixels(size: Size) -> int:
    return size[0] * size[1]
