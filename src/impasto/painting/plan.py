"""What a painting will take, in memory and time, and so how each scale is painted."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil

from impasto.amounts import say_bytes, say_seconds
from impasto.errors import UsageError
from impasto.painting.costs import COMPACT_HISTORY, Costs, measure_costs
from impasto.painting.hardware import free_memory
from impasto.painting.manner import LEAST_SIDE, Manner
from impasto.painting.painter import Painter
from impasto.painting.tiled_objective import tiles_for, why_untileable

SIDES = (2048, 1536, 1024, 768, 512, 384, 256, LEAST_SIDE)
# What a shorter history costs: so many more steps to the same loss, measured (docs/print-size.md).
SLOWER = {8: 1.01, 6: 1.02, 4: 1.05, 3: 1.1, 2: 1.15}
MARGIN = 0.9  # of the limit that may be planned with
CANVAS = 12  # bytes of a pixel in float32


@dataclass(frozen=True)
class Estimate:
    """A manner for each scale, and what it takes: the most bytes of memory at once, and seconds."""

    manners: tuple[Manner, ...]
    bytes: int
    seconds: float


@dataclass(frozen=True)
class Plan:
    """How a painting is done: `chosen`; and what it would take `whole`, or in `tiles` with the full history.

    `tiles` is None for losses that can't be found so. `limit` is the memory that may be used, in bytes; `because`
    says where it comes from.
    """

    sizes: tuple[tuple[int, int], ...]
    chosen: Estimate
    whole: Estimate
    tiles: Estimate | None
    limit: int
    because: str

    def describe(self) -> str:
        """Say on one line what was chosen, and why."""
        width, height = self.sizes[-1]
        last = self.chosen.manners[-1]
        taken = f"about {say_bytes(self.chosen.bytes)} and {say_seconds(self.chosen.seconds)}"
        line = f"{width} x {height}, {last.describe()}: {taken}; {self.because}"
        if self.chosen.manners != self.whole.manners:
            line += f", whole it would be {say_bytes(self.whole.bytes)}"
        return line


def make_plan(painter: Painter, limit: int | None = None) -> Plan:
    """Measure, choose how each scale of a painter is painted that has not begun, and set it so.

    `limit` is the memory in bytes that the program may use in all; None: what it has and what is free.
    Raises UsageError where nothing fits, and says what would.
    """
    because = f"--memory allows {say_bytes(limit)}" if limit else ""
    costs = measure_costs(painter)
    if limit is None:
        free = free_memory(painter.device)
        limit = costs.base + free
        because = f"{say_bytes(free)} are free"
    count = len(painter.sizes)
    whole = _estimate(painter, costs, [Manner()] * count)
    tiles = _estimate(painter, costs, [Manner(side=1024)] * count) if painter.can_tile else None
    chosen = _estimate(painter, costs, [_choose(painter, costs, scale, limit) for scale in range(1, count + 1)])
    if chosen.bytes > limit * MARGIN:
        width, height = painter.sizes[-1]
        raise UsageError(
            f"A picture of {width} x {height} takes at least {say_bytes(ceil(chosen.bytes / MARGIN))} of memory, and "
            f"{because}: choose a smaller --size or a lighter --network, or allow more with --memory. "
            + why_untileable(painter.settings)
        )
    begun = painter.place.scale if painter.place.left is not None else 0
    painter.manners[begun:] = chosen.manners[begun:]
    return Plan(tuple(painter.sizes), chosen, whole, tiles, limit, because)


def _choose(painter: Painter, costs: Costs, scale: int, limit: int) -> Manner:
    """Return the fastest manner that fits, or else the one that takes least."""
    fitting: list[tuple[float, int, Manner]] = []
    least: tuple[int, int, Manner] | None = None
    for place, manner in enumerate(_list_manners(painter, scale)):
        taken = _bytes(painter, costs, scale, manner)
        if taken <= limit * MARGIN:
            slower = SLOWER.get(manner.history or 0, 1.0) * (1.02 if manner.on_disk else 1)
            fitting.append((_seconds(painter, costs, scale, manner) * slower, place, manner))
        least = min(least or (taken, place, manner), (taken, place, manner), key=lambda it: it[:2])
    assert least is not None
    return min(fitting, key=lambda it: it[:2])[2] if fitting else least[2]


def _list_manners(painter: Painter, scale: int) -> Iterator[Manner]:
    """List all manners for a scale, what is most precise first."""
    longer, of = max(painter.sizes[scale - 1]), painter.settings
    sides = [side for side in SIDES if side < longer] if painter.can_tile else []
    histories = [it for it in SLOWER if it < of.lbfgs_history] if of.optimizer == "lbfgs" else []
    for side in (0, *sides):
        for compact in (False, True) if painter.can_compact(scale) else (False,):
            for history in (None, *histories):
                for on_disk in (False, True) if side else (False,):
                    yield Manner(side, history, compact, on_disk)


def _estimate(painter: Painter, costs: Costs, manners: Sequence[Manner]) -> Estimate:
    scales = range(1, len(manners) + 1)
    most = max(_bytes(painter, costs, scale, manner) for scale, manner in zip(scales, manners, strict=True))
    seconds = sum(_seconds(painter, costs, scale, manner) for scale, manner in zip(scales, manners, strict=True))
    return Estimate(tuple(manners), most, seconds)


def _bytes(painter: Painter, costs: Costs, scale: int, manner: Manner) -> int:
    """Estimate the most memory that a scale takes at once."""
    width, height = painter.sizes[scale - 1]
    pixels, full = width * height, painter.settings.lbfgs_history
    history = manner.history or full
    copies = 2 + bool(painter.settings.average)  # the canvas, the accepted one
    kept = copies * CANVAS + (0 if painter.photo is None or painter.photo.alpha is None else 4)
    content = 0 if manner.on_disk else costs.content
    compact = manner.compact and painter.can_compact(scale)
    if compact:
        state, step = CANVAS + CANVAS / 2 * (2 * history + 1), CANVAS
    else:
        state = costs.state
        if painter.settings.optimizer == "lbfgs":
            state -= 2 * CANVAS * (full - history)
        step = CANVAS + (costs.step if scale == len(painter.sizes) else costs.coarse_step)
    window = _windows(painter, width, height, manner)[0]
    gradient = (CANVAS + costs.beside) * pixels + costs.tile * window if manner.side else costs.whole * pixels
    steps = (kept + content + state) * pixels + max(gradient, step * pixels)
    return round(costs.base + max(steps, _bytes_to_set_up(painter, costs, scale, manner, content)))


def _bytes_to_set_up(painter: Painter, costs: Costs, scale: int, manner: Manner, content: float) -> float:
    """Estimate the memory for measuring paintings and photo, and for enlarging the canvas, before the first step."""
    width, height = painter.sizes[scale - 1]
    pixels = width * height
    before = 0 if scale == 1 else CANVAS * painter.sizes[scale - 2][0] * painter.sizes[scale - 2][1]
    needs = [before + (content + 4 * CANVAS) * pixels]  # photo, canvas before and after it is laid out, a copy of it
    for wide, high in [(width, height), *painter.list_painting_sizes(width, height)]:
        window = _windows(painter, wide, high, manner)[0]
        kept = (content if (wide, high) == (width, height) else 0) + CANVAS
        needs.append(before + kept * wide * high + max(CANVAS * wide * high, costs.look * window))
    return max(needs)


def _seconds(painter: Painter, costs: Costs, scale: int, manner: Manner) -> float:
    """Estimate how long a scale takes."""
    width, height = painter.sizes[scale - 1]
    pixels, seen = width * height, _windows(painter, width, height, manner)[1]
    history = manner.history or painter.settings.lbfgs_history
    if manner.compact and painter.can_compact(scale):
        step = costs.compact_seconds * (1 + history) / (1 + COMPACT_HISTORY)
    else:
        step = costs.step_seconds if scale == len(painter.sizes) else costs.coarse_step_seconds
    pass_seconds = costs.whole_seconds + (costs.look_seconds if manner.side else 0)
    paintings = sum(wide * high for wide, high in painter.list_painting_sizes(width, height))
    set_up = costs.look_seconds * (2 * seen + paintings)
    return painter.steps[scale - 1] * (pass_seconds * seen + step * pixels) + set_up


def _windows(painter: Painter, width: int, height: int, manner: Manner) -> tuple[int, int]:
    """Return the pixels of the largest window, and those of all windows together."""
    if not manner.side:
        return width * height, width * height
    tiles = tiles_for(painter.network, painter.settings, width, height, manner.side)
    sizes = [(tile.rows.far - tile.rows.near) * (tile.columns.far - tile.columns.near) for tile in tiles]
    return max(sizes), sum(sizes)
