"""What a painting will take, in memory and time, and so how each scale is painted."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from impasto.amounts import count, say_bytes, say_seconds
from impasto.errors import UsageError
from impasto.painting.costs import COMPACT_HISTORY, Costs, measure_costs
from impasto.painting.hardware import free_memory
from impasto.painting.manner import LEAST_SIDE, Manner
from impasto.painting.painter import Painter
from impasto.painting.tiled_objective import tiles_for, why_untileable

SIDES = (2048, 1536, 1024, 768, 512, 384, 256, LEAST_SIDE)
# What a shorter history costs: so many more steps to the same loss, measured (docs/print-size.md).
SLOWER = {8: 1.01, 6: 1.02, 4: 1.1, 3: 1.15, 2: 1.2}
TILES_SLOWER, DISK_SLOWER, COMPACT_SLOWER = 1.4, 0.02, 1.02
# What lies unused between tensors where maps of all sizes come and go, beside large ones that stay: so many times what
# a network's maps take, and in tiles the others, measured at 4 and 16 megapixels.
LOOSE_MAPS, LOOSE = 1.8, 1.08
MARGIN = 0.93  # of the limit that may be planned with
ADVICE = "choose a smaller --size or a lighter --network, or allow more with --memory"
CANVAS = 12  # bytes of a pixel in float32
LARGEST = 4000  # bytes that a pixel of VGG-19 takes in float32, and more
SHORT = 40_000_000  # pixels looked at, over all steps: minutes in VGG-19 on one old core
# Ways to paint that a plan compares. In tiles all features are found twice, first for their sums and then for the
# gradient, so that none has to be kept from one tile to the next.
WHOLE, RECOMPUTING, TILED = "whole", "recomputing", "tiled"


@dataclass(frozen=True)
class Estimate:
    """A manner for each scale, and what it takes: the most bytes of memory at once, and seconds."""

    manners: tuple[Manner, ...]
    bytes: int
    seconds: float


@dataclass(frozen=True)
class Plan:
    """How a painting is done: `chosen`; and what it would take otherwise, `ways` by what they are called.

    `limit` is the memory that may be used, in bytes; `because` says where it comes from. `untileable` says why there is
    no way in tiles, if there is none.
    """

    sizes: tuple[tuple[int, int], ...]
    steps: int
    chosen: Estimate
    ways: Mapping[str, Estimate]
    limit: int
    because: str
    untileable: str

    @property
    def fits(self) -> bool:
        """Is the memory that may be used enough for what was chosen?"""
        return self.chosen.bytes <= self.limit * MARGIN

    def describe(self) -> str:
        """Say on one line what was chosen, and why."""
        (width, height), whole = self.sizes[-1], self.ways[WHOLE]
        taken = f"about {say_bytes(self.chosen.bytes)} and {say_seconds(self.chosen.seconds)}"
        line = f"{width} x {height}, {self.chosen.manners[-1].describe()}: {taken}; {self.because}"
        if self.chosen.manners != whole.manners:
            line += f", whole it would take {say_bytes(whole.bytes)}"
        return f"{line}; {self.untileable}" if self.untileable else line

    def table(self) -> Iterator[str]:
        """Yield the lines that say what each way takes, which was chosen (the smallest if none fits), and why."""
        width, height = self.sizes[-1]
        yield f"{width} x {height} pixels, {count(len(self.sizes), 'scale')}, {count(self.steps, 'step')}"
        yield ""
        rows = [*self.ways.items(), ("chosen" if self.fits else "smallest", self.chosen)]
        for name, way in rows:
            manner = way.manners[-1].describe()
            yield f"{name:<12}{say_bytes(way.bytes):>10}{say_seconds(way.seconds):>9}  {manner}"
        yield ""
        if self.untileable:
            yield self.untileable[0].upper() + self.untileable[1:] + "."
        yield self.because[0].upper() + self.because[1:] + f": {self._explain()}"

    def _explain(self) -> str:
        if not self.fits:
            return f"nothing fits, it takes at least {self._say_least()}: {ADVICE}."
        if self.chosen.manners == self.ways[WHOLE].manners:
            return "it is painted whole, with all features of a step kept until its gradient has come back."
        if len({*self.chosen.manners}) == 1:
            return "this is the fastest way that fits."
        whole = sum(not manner.side for manner in self.chosen.manners)
        return (
            f"this is the fastest way that fits; the first {count(whole, 'scale')} whole."
            if whole
            else ("this is the fastest way that fits; its first scales in other ways.")
        )

    def _say_least(self) -> str:
        return say_bytes(ceil(self.chosen.bytes / MARGIN))

    def apply(self, painter: Painter) -> None:
        """Have a painter paint so, from the next scale on if it has begun.

        Raises UsageError where it takes more memory than may be used.
        """
        if not self.fits:
            width, height = self.sizes[-1]
            raise UsageError(
                f"A picture of {width} x {height} takes at least {self._say_least()} of memory, and {self.because}: "
                f"{ADVICE}. {why_untileable(painter.settings)}".rstrip()
            )
        begun = painter.place.scale if painter.has_begun else 0
        painter.manners[begun:] = self.chosen.manners[begun:]


def estimate(painter: Painter, limit: int | None = None) -> Plan:
    """Measure what a painter takes, and choose how each scale is to be painted; nothing is changed.

    `limit` is the memory in bytes that the program may use in all; None: what it has and what is free.
    """
    because = f"{say_bytes(limit)} may be used" if limit else ""
    costs = measure_costs(painter)
    if limit is None:
        free = free_memory(painter.device)
        limit = costs.base + free
        because = f"{say_bytes(free)} are free"
    scales = range(1, len(painter.sizes) + 1)
    ways = {WHOLE: _estimate(painter, costs, [Manner()] * len(scales))}
    if painter.can_tile:
        ways[RECOMPUTING] = _estimate(painter, costs, [Manner(side=SIDES[0])] * len(scales))
        ways[TILED] = _estimate(painter, costs, [_find_least(painter, costs, scale) for scale in scales])
    chosen = _estimate(painter, costs, [_choose(painter, costs, scale, limit) for scale in scales])
    return Plan(tuple(painter.sizes), painter.total, chosen, ways, limit, because, _say_untileable(painter))


def estimate_small(painter: Painter) -> Plan:
    """Measure what a painter of a small picture takes that is painted whole anyway: sooner, and of that way alone."""
    costs = measure_costs(painter, whole_only=True)
    free = free_memory(painter.device)
    whole = _estimate(painter, costs, [Manner()] * len(painter.sizes))
    limit, because = costs.base + free, f"{say_bytes(free)} are free"
    return Plan(tuple(painter.sizes), painter.total, whole, {WHOLE: whole}, limit, because, _say_untileable(painter))


def _say_untileable(painter: Painter) -> str:
    return "" if painter.can_tile else f"it can't be tiled: {why_untileable(painter.settings)}".rstrip(".")


def is_small(painter: Painter) -> bool:
    """Would a plan tell nothing: does the picture fit whole, and soon end, in whatever network and on most machines?"""
    width, height = painter.sizes[-1]
    history = painter.settings.lbfgs_history if painter.settings.optimizer == "lbfgs" else 0
    needed = width * height * (LARGEST + 3 * CANVAS * history)
    looked_at = sum(steps * wide * high for steps, (wide, high) in zip(painter.steps, painter.sizes, strict=True))
    return needed < free_memory(painter.device) / 2 and looked_at < SHORT


def _find_least(painter: Painter, costs: Costs, scale: int) -> Manner:
    """Return the manner that takes the least memory at a scale."""
    return min(_list_manners(painter, scale), key=lambda manner: _bytes(painter, costs, scale, manner))


def _choose(painter: Painter, costs: Costs, scale: int, limit: int) -> Manner:
    """Return the fastest manner that fits, or else the one that takes least.

    How fast they are is told without a clock, so that the same picture is painted in the same manner each time.
    """
    fitting = [
        (_slowness(painter, scale, manner), place, manner)
        for place, manner in enumerate(_list_manners(painter, scale))
        if _bytes(painter, costs, scale, manner) <= limit * MARGIN
    ]
    return min(fitting, key=lambda it: it[:2])[2] if fitting else _find_least(painter, costs, scale)


def _slowness(painter: Painter, scale: int, manner: Manner) -> float:
    """Say how many times as long as whole, with the full history, a manner takes to the same loss, or so."""
    width, height = painter.sizes[scale - 1]
    seen = _windows(painter, width, height, manner)[1] / (width * height)
    slower = SLOWER.get(manner.history or 0, 1.0) * (COMPACT_SLOWER if manner.compact else 1.0)
    return slower * seen * ((TILES_SLOWER if manner.side else 1.0) + (DISK_SLOWER if manner.on_disk else 0.0))


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
        state, step = CANVAS + CANVAS / 2 * (2 * history + 1), float(CANVAS)
    else:
        state = costs.state
        if painter.settings.optimizer == "lbfgs":
            state -= 2 * CANVAS * (full - history)
        step = CANVAS + (costs.step if scale == len(painter.sizes) else costs.coarse_step)
    window = _windows(painter, width, height, manner)[0]
    held = kept + content + state
    if manner.side:
        gradient = (CANVAS + costs.beside) * pixels
        steps = LOOSE * (held * pixels + max(gradient, step * pixels)) + LOOSE_MAPS * costs.tile * window
    else:
        steps = (held + max(LOOSE_MAPS * costs.whole, step)) * pixels
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
