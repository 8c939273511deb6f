"""What a painting will take, in memory and time, and so how each scale is painted."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from impasto.errors import UsageError
from impasto.painting.cost_model import TIMED_COMPACT_HISTORY, PixelCosts, measure_costs
from impasto.painting.device import measure_free_memory
from impasto.painting.painter import Painter
from impasto.painting.strategy import MIN_TILE_SIZE, ScaleStrategy
from impasto.painting.tiled_objective import cut_tiles_for, why_untileable
from impasto.settings.units import format_bytes, format_count, format_seconds

TILE_SIZES = (2048, 1536, 1024, 768, 512, 384, 256, MIN_TILE_SIZE)
# What a shorter history costs: so many more steps to the same loss, measured (docs/print-size.md).
HISTORY_SLOWDOWNS = {8: 1.01, 6: 1.02, 4: 1.1, 3: 1.15, 2: 1.2}
TILES_SLOWDOWN, DISK_SLOWDOWN, COMPACT_SLOWDOWN = 1.4, 0.02, 1.02
# What lies unused between tensors where maps of all sizes come and go, beside large ones that stay: so many times what
# a network's maps take, and in tiles the others, measured at 4 and 16 megapixels.
MAPS_FRAGMENTATION, FRAGMENTATION = 1.8, 1.08
USABLE_SHARE = 0.93  # of the limit that may be planned with
MEMORY_ADVICE = "choose a smaller --size or a lighter --network, or allow more with --memory"
CANVAS_PIXEL_BYTES = 12  # bytes of a pixel in float32
LARGEST = 4000  # bytes that a pixel of VGG-19 takes in float32, and more
SHORT = 40_000_000  # pixels looked at, over all steps: minutes in VGG-19 on one old core
# Ways to paint that a plan compares. In tiles all features are found twice, first for their sums and then for the
# gradient, so that none has to be kept from one tile to the next.
WHOLE, RECOMPUTING, TILED = "whole", "recomputing", "tiled"


@dataclass(frozen=True)
class Estimate:
    """A manner for each scale, and what it takes: the most bytes of memory at once, and seconds."""

    strategies: tuple[ScaleStrategy, ...]
    bytes: int
    seconds: float


@dataclass(frozen=True)
class PaintingPlan:
    """How a painting is done: `chosen`; and what it would take otherwise, `ways` by what they are called.

    `limit` is the memory that may be used, in bytes; `because` says where it comes from. `untileable` says why there is
    no way in tiles, if there is none.
    """

    sizes: tuple[tuple[int, int], ...]
    steps: int
    chosen: Estimate
    alternatives: Mapping[str, Estimate]
    limit: int
    limit_reason: str
    untileable: str

    @property
    def is_feasible(self) -> bool:
        """Is the memory that may be used enough for what was chosen?"""
        return self.chosen.bytes <= self.limit * USABLE_SHARE

    def describe(self) -> str:
        """Say on one line what was chosen, and why."""
        (width, height), whole = self.sizes[-1], self.alternatives[WHOLE]
        taken = f"about {format_bytes(self.chosen.bytes)} and {format_seconds(self.chosen.seconds)}"
        line = f"{width} x {height}, {self.chosen.strategies[-1].describe()}: {taken}; {self.limit_reason}"
        if self.chosen.strategies != whole.strategies:
            line += f", whole it would take {format_bytes(whole.bytes)}"
        return f"{line}; {self.untileable}" if self.untileable else line

    def format_table(self) -> Iterator[str]:
        """Yield the lines that say what each way takes, which was chosen (the smallest if none fits), and why."""
        width, height = self.sizes[-1]
        yield f"{width} x {height} pixels, {format_count(len(self.sizes), 'scale')}, {format_count(self.steps, 'step')}"
        yield ""
        rows = [*self.alternatives.items(), ("chosen" if self.is_feasible else "smallest", self.chosen)]
        for name, way in rows:
            manner = way.strategies[-1].describe()
            yield f"{name:<12}{format_bytes(way.bytes):>10}{format_seconds(way.seconds):>9}  {manner}"
        yield ""
        if self.untileable:
            yield self.untileable[0].upper() + self.untileable[1:] + "."
        yield self.limit_reason[0].upper() + self.limit_reason[1:] + f": {self._explain()}"

    def _explain(self) -> str:
        if not self.is_feasible:
            return f"nothing fits, it takes at least {self._say_least()}: {MEMORY_ADVICE}."
        if self.chosen.strategies == self.alternatives[WHOLE].strategies:
            return "it is painted whole, with all features of a step kept until its gradient has come back."
        if len({*self.chosen.strategies}) == 1:
            return "this is the fastest way that fits."
        whole = sum(not manner.tile_size for manner in self.chosen.strategies)
        return (
            f"this is the fastest way that fits; the first {format_count(whole, 'scale')} whole."
            if whole
            else ("this is the fastest way that fits; its first scales in other ways.")
        )

    def _say_least(self) -> str:
        return format_bytes(ceil(self.chosen.bytes / USABLE_SHARE))

    def apply_to(self, painter: Painter) -> None:
        """Have a painter paint so, from the next scale on if it has begun.

        Raises UsageError where it takes more memory than may be used.
        """
        if not self.is_feasible:
            width, height = self.sizes[-1]
            raise UsageError(
                f"A picture of {width} x {height} takes at least {self._say_least()} of memory, and "
                f"{self.limit_reason}: "
                f"{MEMORY_ADVICE}. {why_untileable(painter.settings)}".rstrip()
            )
        begun = painter.state.scale if painter.has_begun else 0
        painter.strategies[begun:] = self.chosen.strategies[begun:]


def plan_painting(painter: Painter, limit: int | None = None) -> PaintingPlan:
    """Measure what a painter takes, and choose how each scale is to be painted; nothing is changed.

    `limit` is the memory in bytes that the program may use in all; None: what it has and what is free.
    """
    because = f"{format_bytes(limit)} may be used" if limit else ""
    costs = measure_costs(painter)
    if limit is None:
        free = measure_free_memory(painter.device)
        limit = costs.base + free
        because = f"{format_bytes(free)} are free"
    scales = range(1, len(painter.sizes) + 1)
    ways = {WHOLE: _estimate(painter, costs, [ScaleStrategy()] * len(scales))}
    if painter.can_tile:
        ways[RECOMPUTING] = _estimate(painter, costs, [ScaleStrategy(tile_size=TILE_SIZES[0])] * len(scales))
        ways[TILED] = _estimate(painter, costs, [_find_smallest(painter, costs, scale) for scale in scales])
    chosen = _estimate(painter, costs, [_choose_strategy(painter, costs, scale, limit) for scale in scales])
    return PaintingPlan(
        tuple(painter.sizes), painter.total_steps, chosen, ways, limit, because, _say_untileable(painter)
    )


def estimate_small(painter: Painter) -> PaintingPlan:
    """Measure what a painter of a small picture takes that is painted whole anyway: sooner, and of that way alone."""
    costs = measure_costs(painter, whole_only=True)
    free = measure_free_memory(painter.device)
    whole = _estimate(painter, costs, [ScaleStrategy()] * len(painter.sizes))
    limit, because = costs.base + free, f"{format_bytes(free)} are free"
    return PaintingPlan(
        tuple(painter.sizes), painter.total_steps, whole, {WHOLE: whole}, limit, because, _say_untileable(painter)
    )


def _say_untileable(painter: Painter) -> str:
    return "" if painter.can_tile else f"it can't be tiled: {why_untileable(painter.settings)}".rstrip(".")


def is_small(painter: Painter) -> bool:
    """Would a plan tell nothing: does the picture fit whole, and soon end, in whatever network and on most machines?"""
    width, height = painter.sizes[-1]
    history = painter.settings.lbfgs_history if painter.settings.optimizer == "lbfgs" else 0
    needed = width * height * (LARGEST + 3 * CANVAS_PIXEL_BYTES * history)
    looked_at = sum(steps * wide * high for steps, (wide, high) in zip(painter.steps, painter.sizes, strict=True))
    return needed < measure_free_memory(painter.device) / 2 and looked_at < SHORT


def _find_smallest(painter: Painter, costs: PixelCosts, scale: int) -> ScaleStrategy:
    """Return the manner that takes the least memory at a scale."""
    return min(_list_strategies(painter, scale), key=lambda manner: _estimate_bytes(painter, costs, scale, manner))


def _choose_strategy(painter: Painter, costs: PixelCosts, scale: int, limit: int) -> ScaleStrategy:
    """Return the fastest manner that fits, or else the one that takes least.

    How fast they are is told without a clock, so that the same picture is painted in the same manner each time.
    """
    fitting = [
        (_rate_slowdown(painter, scale, manner), place, manner)
        for place, manner in enumerate(_list_strategies(painter, scale))
        if _estimate_bytes(painter, costs, scale, manner) <= limit * USABLE_SHARE
    ]
    return min(fitting, key=lambda it: it[:2])[2] if fitting else _find_smallest(painter, costs, scale)


def _rate_slowdown(painter: Painter, scale: int, manner: ScaleStrategy) -> float:
    """Say how many times as long as whole, with the full history, a manner takes to the same loss, or so."""
    width, height = painter.sizes[scale - 1]
    seen = _measure_windows(painter, width, height, manner)[1] / (width * height)
    slower = HISTORY_SLOWDOWNS.get(manner.history or 0, 1.0) * (COMPACT_SLOWDOWN if manner.compact else 1.0)
    return slower * seen * ((TILES_SLOWDOWN if manner.tile_size else 1.0) + (DISK_SLOWDOWN if manner.on_disk else 0.0))


def _list_strategies(painter: Painter, scale: int) -> Iterator[ScaleStrategy]:
    """List all manners for a scale, what is most precise first."""
    longer, of = max(painter.sizes[scale - 1]), painter.settings
    sides = [side for side in TILE_SIZES if side < longer] if painter.can_tile else []
    histories = [it for it in HISTORY_SLOWDOWNS if it < of.lbfgs_history] if of.optimizer == "lbfgs" else []
    for side in (0, *sides):
        for compact in (False, True) if painter.can_compact(scale) else (False,):
            for history in (None, *histories):
                for on_disk in (False, True) if side else (False,):
                    yield ScaleStrategy(side, history, compact, on_disk)


def _estimate(painter: Painter, costs: PixelCosts, manners: Sequence[ScaleStrategy]) -> Estimate:
    scales = range(1, len(manners) + 1)
    most = max(_estimate_bytes(painter, costs, scale, manner) for scale, manner in zip(scales, manners, strict=True))
    seconds = sum(
        _estimate_seconds(painter, costs, scale, manner) for scale, manner in zip(scales, manners, strict=True)
    )
    return Estimate(tuple(manners), most, seconds)


def _estimate_bytes(painter: Painter, costs: PixelCosts, scale: int, manner: ScaleStrategy) -> int:
    """Estimate the most memory that a scale takes at once."""
    width, height = painter.sizes[scale - 1]
    pixels, full = width * height, painter.settings.lbfgs_history
    history = manner.history or full
    copies = 2 + bool(painter.settings.average)  # the canvas, the accepted one
    kept = copies * CANVAS_PIXEL_BYTES + (0 if painter.photo is None or painter.photo.alpha is None else 4)
    content = 0 if manner.on_disk else costs.content
    compact = manner.compact and painter.can_compact(scale)
    if compact:
        state, step = CANVAS_PIXEL_BYTES + CANVAS_PIXEL_BYTES / 2 * (2 * history + 1), float(CANVAS_PIXEL_BYTES)
    else:
        state = costs.state
        if painter.settings.optimizer == "lbfgs":
            state -= 2 * CANVAS_PIXEL_BYTES * (full - history)
        step = CANVAS_PIXEL_BYTES + (costs.step if scale == len(painter.sizes) else costs.coarse_step)
    window = _measure_windows(painter, width, height, manner)[0]
    held = kept + content + state
    if manner.tile_size:
        gradient = (CANVAS_PIXEL_BYTES + costs.beside) * pixels
        steps = (
            FRAGMENTATION * (held * pixels + max(gradient, step * pixels)) + MAPS_FRAGMENTATION * costs.tile * window
        )
    else:
        steps = (held + max(MAPS_FRAGMENTATION * costs.whole, step)) * pixels
    return round(costs.base + max(steps, _bytes_to_set_up(painter, costs, scale, manner, content)))


def _bytes_to_set_up(painter: Painter, costs: PixelCosts, scale: int, manner: ScaleStrategy, content: float) -> float:
    """Estimate the memory for measuring paintings and photo, and for enlarging the canvas, before the first step."""
    width, height = painter.sizes[scale - 1]
    pixels = width * height
    before = 0 if scale == 1 else CANVAS_PIXEL_BYTES * painter.sizes[scale - 2][0] * painter.sizes[scale - 2][1]
    needs = [
        before + (content + 4 * CANVAS_PIXEL_BYTES) * pixels
    ]  # photo, canvas before and after it is laid out, a copy of it
    for wide, high in [(width, height), *painter.list_painting_sizes(width, height)]:
        window = _measure_windows(painter, wide, high, manner)[0]
        kept = (content if (wide, high) == (width, height) else 0) + CANVAS_PIXEL_BYTES
        needs.append(before + kept * wide * high + max(CANVAS_PIXEL_BYTES * wide * high, costs.look * window))
    return max(needs)


def _estimate_seconds(painter: Painter, costs: PixelCosts, scale: int, manner: ScaleStrategy) -> float:
    """Estimate how long a scale takes."""
    width, height = painter.sizes[scale - 1]
    pixels, seen = width * height, _measure_windows(painter, width, height, manner)[1]
    history = manner.history or painter.settings.lbfgs_history
    if manner.compact and painter.can_compact(scale):
        step = costs.compact_seconds * (1 + history) / (1 + TIMED_COMPACT_HISTORY)
    else:
        step = costs.step_seconds if scale == len(painter.sizes) else costs.coarse_step_seconds
    pass_seconds = costs.whole_seconds + (costs.look_seconds if manner.tile_size else 0)
    paintings = sum(wide * high for wide, high in painter.list_painting_sizes(width, height))
    set_up = costs.look_seconds * (2 * seen + paintings)
    return painter.steps[scale - 1] * (pass_seconds * seen + step * pixels) + set_up


def _measure_windows(painter: Painter, width: int, height: int, manner: ScaleStrategy) -> tuple[int, int]:
    """Return the pixels of the largest window, and those of all windows together."""
    if not manner.tile_size:
        return width * height, width * height
    tiles = cut_tiles_for(painter.network, painter.settings, width, height, manner.tile_size)
    sizes = [(tile.rows.far - tile.rows.near) * (tile.columns.far - tile.columns.near) for tile in tiles]
    return max(sizes), sum(sizes)
