"""The painter: climbs a ladder of scales, moves the canvas's pixels at each, and yields a Step each time."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from impasto.errors import DivergedError, UsageError
from impasto.painting.adam import Adam
from impasto.painting.beginnings import begin
from impasto.painting.compact_lbfgs import CompactLBFGS
from impasto.painting.frequencies import choose_basis
from impasto.painting.hardware import is_out_of_memory, keep_freed_memory, return_freed_memory
from impasto.painting.histograms import Histogram
from impasto.painting.lbfgs import LBFGS
from impasto.painting.manner import Manner
from impasto.painting.objective import Objective, list_taps, needs_features
from impasto.painting.place import Average, Place
from impasto.painting.regions import Region, lay_regions
from impasto.painting.style import Palette, Source, capture_values
from impasto.painting.tiled_objective import TiledObjective, tiles_for, why_untileable
from impasto.painting.tiles import Tile
from impasto.perception.network import Network
from impasto.pictures.sizes import fit, ladder, measure_side, resize, resize_around
from impasto.settings import Settings

RECOVERIES = 4  # how often a scale may diverge, gone on with at a quarter of the step length each time, before it fails
RISE = 1.02  # times the loss before: an L-BFGS step to more is taken back to BACK of its way, so often in a row at most
BACK, BACKWARD_STEPS = 0.25, 4
# Of a pixel's range, on average: what a network of that precision can tell from no move at all. Where L-BFGS walks in
# bytes, its first step is one byte in all, over all pixels; the gradient's change would be noise.
FIRST_MOVE = {torch.bfloat16: 5e-4, torch.float16: 5e-4, torch.float32: 1e-4, torch.float64: 0.0}
PATIENCE = 10  # steps in which the loss has to fall by `min_improvement`
EXPLODED = 10.0  # times the loss that the scale began with, where that is more than the loss of a grey canvas
ADVICE = (
    "Lower the weights (--style-weight, --content-weight, --tv-weight, --range-weight), with adam the --learning-rate, "
    "or use --precision float32."
)


@dataclass(frozen=True)
class Step:
    """One step: plain numbers. `scale` and `step` count from 1, `step` over all scales; `seconds` since the start.

    `losses` are those of the canvas at this step: content, style, tv, range, total, weighted. With
    `settings.average`, `Painter.picture()` is an average of the scale's canvases so far, whose losses are others.
    """

    scale: int
    scales: int
    step: int
    width: int
    height: int
    losses: dict[str, float]
    seconds: float


class Painter:
    """An iterator of Steps over all scales; `picture()` is the canvas as far as it has come.

    To stop is not to ask for the next step. `notes` collects what a user should be told, such as the recovery of a
    diverging run. Without a `photo` it paints a texture. `begin` (1, 3, H, W) is what the canvas starts as where
    `settings.init` names a file. `palette` keeps the styles of paintings from one painter to the next.

    Errors: UsageError where a picture is too small for the taps; DivergedError with the last good picture.
    """

    def __init__(
        self,
        network: Network,
        settings: Settings,
        photo: Source | None,
        paintings: Sequence[Source],
        begin: Tensor | None = None,
        palette: Palette | None = None,
    ) -> None:
        self.network, self.settings = network, settings
        self.photo, self.paintings, self.begin = photo, paintings, begin
        self.palette = Palette() if palette is None else palette
        self.notes: list[str] = []
        self.cell = max(network.stride[tap] for tap in list_taps(settings))
        self.tiles = settings.padding == "circular"
        # Paintings don't tile: what lies beyond their border is more of the same, not their other side.
        self.still = network.padded("replicate") if self.tiles else network
        self.sizes = self._plan_sizes()
        self._check_sources()
        self.steps = self._list_steps()
        self.total = sum(self.steps)
        self.manners = [Manner()] * len(self.sizes)  # how each scale is painted; `plan` chooses
        keep_freed_memory()
        self._started = time.perf_counter()
        self.accepted: Tensor | None = None
        self.average: Average | None = None
        self.care = 1.0  # what the step length is multiplied by; less after each recovery, at later scales too
        self.taken_back: Tensor | None = None  # the canvas, where its last step was taken back
        self.place = Place()
        self.optimizer: Adam | LBFGS | CompactLBFGS | None = None
        self._steered = False  # since the objective was made
        self._iterator = self._paint()

    def __iter__(self) -> Iterator[Step]:
        return self

    def __next__(self) -> Step:
        return next(self._iterator)

    def picture(self) -> Tensor:
        """Return the picture so far (1, 3, H, W), sRGB in [0, 1], at the scale that the painter has come to."""
        return self.shown.clamp(0, 1).cpu().contiguous()

    @property
    def has_begun(self) -> bool:
        """Is there a canvas already?"""
        return self.accepted is not None

    @property
    def shown(self) -> Tensor:
        """The picture so far, where the painter keeps it: the next step changes it, and values may be beyond [0, 1]."""
        if self.accepted is None:
            raise UsageError("Nothing is painted yet: ask for a step first.")
        return self.average.value if self.average is not None and self.average.weight else self.accepted

    def steer(self, settings: Settings, paintings: Sequence[Source]) -> None:
        """Go on with other settings, and paintings with other shares or colours; to be asked between two steps.

        From the next step on the same canvas has another objective, and an optimiser that begins anew. What decides the
        ladder, the taps or the network has to stay as it is. Errors: UsageError where a painting becomes too small for
        the taps; all stays as it was then.
        """
        before = self.settings, self.paintings
        self.settings, self.paintings = settings, paintings
        try:
            self._check_sources()
            self.list_painting_sizes(*self.sizes[self.place.scale - 1])
        except UsageError:
            self.settings, self.paintings = before
            raise
        self._steered, self.optimizer, self.taken_back = True, None, None
        self.place.turn()

    def _plan_sizes(self) -> list[tuple[int, int]]:
        """Width and height at each scale, without those too small for the deepest tap."""
        settings = self.settings
        if self.photo:
            height, width = self.photo.rgb.shape[2:]
        else:
            width, height = settings.sides
        size = min(settings.size, max(width, height)) if settings.fit == "shrink" else settings.size
        sides = ladder(size, settings.start_size, settings.scale_step)
        sizes = [fit(width, height, side, settings.fit) for side in sides]
        if min(sizes[-1]) < self.cell:
            raise UsageError(
                f"The picture would be {sizes[-1][0]} x {sizes[-1][1]} pixels; the deepest tap needs {self.cell} on "
                "each side: choose a larger --size, or shallower --content-taps and --style-taps."
            )
        if self.tiles:
            self._check_tiles(sizes[-1])
            sizes = [(self._whole_cells(wide), self._whole_cells(high)) for wide, high in sizes]
        return [size for size in sizes if min(size) >= self.cell]

    def _whole_cells(self, side: int) -> int:
        return self.cell * max(1, round(side / self.cell))

    def _check_tiles(self, size: tuple[int, int]) -> None:
        """Refuse sides that were asked for, and where the grid of the deepest tap would not go round evenly."""
        asked = size if self.photo is None else () if self.settings.fit in ("area", "shrink") else (self.settings.size,)
        for side in asked:
            if side % self.cell:
                below = side // self.cell * self.cell
                near = " or ".join(str(it) for it in (below, below + self.cell) if it)
                raise UsageError(
                    f"--size: with --padding circular a side of {side} pixels would not tile, it takes a multiple of "
                    f"{self.cell}, such as {near}; or choose another --padding."
                )

    def _list_steps(self) -> list[int]:
        """How many steps there are at each scale."""
        steps = [self.settings.steps] + [self.settings.later_steps] * (len(self.sizes) - 1)
        if len(steps) > 1 and self.settings.final_steps:
            steps[-1] = self.settings.final_steps
        return steps

    @property
    def manner(self) -> Manner:
        """How the present scale is painted."""
        return self.manners[self.place.scale - 1]

    @property
    def device(self) -> torch.device:
        """Where it paints."""
        return next(self.network.parameters()).device

    def can_compact(self, scale: int) -> bool:
        """Can a scale's optimiser keep its history in bfloat16?"""
        of = self.settings
        low_first = scale < len(self.sizes) and of.lbfgs_low_first
        return of.optimizer == "lbfgs" and of.limits != "clamp" and of.lbfgs_range == 1 and not low_first

    def _check_sources(self) -> None:
        for number, source in enumerate([self.photo, *self.paintings]):
            if source and source.alpha is not None and not bool(source.alpha.any()):
                name = f"painting {number}" if number else "photo"
                raise UsageError(f"The {name} is wholly transparent: there is nothing to see.")

    def _paint(self) -> Iterator[Step]:
        place = self.place
        self._started = time.perf_counter() - place.seconds
        for scale in range(place.scale, len(self.sizes) + 1):
            if place.scale != scale:
                place.scale, place.left = scale, None
            for losses in self._paint_scale():
                place.done += 1
                place.seconds = time.perf_counter() - self._started
                yield Step(scale, len(self.sizes), place.done, *self.sizes[scale - 1], losses, place.seconds)
        self._finish()

    def _finish(self) -> None:
        """Let go of what only another step would need: the picture is still to be written."""
        self.optimizer = None
        self._return_memory()

    def _paint_scale(self) -> Iterator[dict[str, float]]:
        """Take the steps of one scale; where memory runs out, go on in a manner that takes less."""
        while True:
            try:
                yield from self._move(*self._set_up())
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error) or not self._step_down():
                    raise
            else:
                if not self._steered or not self.place.left:
                    return
            return_freed_memory()

    def _step_down(self) -> bool:
        """Change to a manner that takes less memory, if there is one, from this scale on."""
        here = self.place.scale - 1
        manner = self.manner.lower(can_compact=self.can_compact(self.place.scale))
        if manner is None or not self.can_tile:
            return False
        self.manners[here:] = [manner] * (len(self.sizes) - here)
        self.optimizer, self.taken_back, self.place.back = None, None, 0
        width, height = self.sizes[here]
        self.notes.append(f"Memory ran out at {width} x {height}: going on from where it was, {manner.describe()}.")
        return True

    @property
    def can_tile(self) -> bool:
        """Can its losses be found in tiles?"""
        return not why_untileable(self.settings)

    def _set_up(self) -> tuple[Tensor, Objective, Tensor | None]:
        """Make a scale's canvas, as it begins or as far as it has come; its objective; and its alpha."""
        place, (width, height) = self.place, self.sizes[self.place.scale - 1]
        self._steered = False
        if place.left is None and not isinstance(self.optimizer, Adam):
            self.optimizer = None  # curvature does not carry over
        photo = self.photo and self.photo.scaled(width, height)
        objective = self.aim(photo, width, height, self.manner)
        alpha = photo.alpha if photo else None
        if place.left is None:
            canvas = self._begin(width, height, photo)
            if isinstance(self.optimizer, Adam):
                self.optimizer = self.optimizer.enlarged(width, height, self._resize)
            else:
                self.optimizer = self._make_optimizer()
            if photo and alpha is not None:  # what is transparent stays as it is
                canvas = torch.where(alpha > 0, canvas, photo.rgb)
            canvas = _lay_out(canvas)
            self.average = Average(self.settings.average) if self.settings.average else None
            self.accepted = canvas.detach().clone()
            place.begin(self.steps[place.scale - 1])
        else:
            assert self.accepted is not None
            canvas = (self.accepted if self.taken_back is None else self.taken_back).clone()
            self.optimizer = self.optimizer or self._make_optimizer()
        return canvas.requires_grad_(), objective, alpha

    def _move(self, canvas: Tensor, objective: Objective, alpha: Tensor | None) -> Iterator[dict[str, float]]:
        """Take the steps of one scale; where the loss explodes, go back to the last good canvas, more carefully.

        It ends early where the painting is steered elsewhere.
        """
        place, steps = self.place, self.steps[self.place.scale - 1]
        assert place.left is not None
        assert self.accepted is not None
        # After an interruption it goes on where it was: this canvas was told about, its step is still to be taken.
        told = place.left < steps and not place.back and not self._is_done
        while (place.left or told) and not self._steered:
            if place.left >= steps - 2:  # the optimiser takes its memory in the first two steps
                self._return_memory()
            losses = objective.backward(canvas)
            gradient = canvas.grad
            assert gradient is not None
            if not told and (fault := _find_fault(losses["total"], gradient, place.ceiling)):
                self._go_back(canvas, fault)
                continue
            if place.ceiling == math.inf:
                place.ceiling = max(EXPLODED * losses["total"], self._measure_grey(objective, canvas))
            if not told:
                place.left -= 1
                if self._step_back(canvas, losses["total"]):
                    yield place.losses
                    continue
                self._accept(canvas, losses)
                yield losses
                if self._steered:
                    continue
            told = False
            if place.left and self._has_settled(place.totals):
                self._end_early(place.left)
                return
            assert self.optimizer is not None
            with torch.no_grad():
                if alpha is not None:
                    gradient.mul_(alpha > 0)
                self.optimizer.step(canvas, gradient)
                if self.settings.optimizer == "adam" and self.settings.limits != "none":
                    canvas.clamp_(0, 1)
                if alpha is not None:  # the moments of a coarser scale have spread over what is transparent here
                    canvas.copy_(torch.where(alpha > 0, canvas, self.accepted))

    def _end_early(self, left: int) -> None:
        self.total -= left
        self.place.left = 0
        width, height = self.sizes[self.place.scale - 1]
        self.notes.append(
            f"A scale of {width} x {height} ended {left} steps early: {PATIENCE} steps lowered the loss by less than "
            f"{self.settings.min_improvement:g} of it."
        )

    @property
    def _is_done(self) -> bool:
        """Was the last step of all told about?"""
        return self.place.scale == len(self.sizes) and self.place.left == 0

    def _has_settled(self, totals: Sequence[float]) -> bool:
        least = self.settings.min_improvement
        if not least or len(totals) <= PATIENCE:
            return False
        before = min(totals[:-PATIENCE])
        return before - min(totals[-PATIENCE:]) < least * abs(before)

    def aim(self, photo: Source | None, width: int, height: int, manner: Manner) -> Objective:
        """Make the objective of a canvas of that size, which is that of `photo` if there is one."""
        return self._make_objective(photo, self._lay_regions(width, height, photo, manner), width, height, manner)

    def _make_objective(
        self, photo: Source | None, regions: Sequence[Region], width: int, height: int, manner: Manner
    ) -> Objective:
        if not manner.side:
            return Objective(self.network, self.settings, photo, regions)
        tiles = tiles_for(self.network, self.settings, width, height, manner.side)
        return TiledObjective(self.network, self.settings, photo, regions, tiles, on_disk=manner.on_disk)

    def _measure_grey(self, objective: Objective, canvas: Tensor) -> float:
        """A canvas that begins at its goal has a loss of almost 0, and no loss has a unit: grey is the measure."""
        grey = objective.evaluate(torch.full_like(canvas, 0.5))["total"]
        return grey if math.isfinite(grey) else 0.0

    def _return_memory(self) -> None:
        return_freed_memory()

    def _accept(self, canvas: Tensor, losses: dict[str, float]) -> None:
        assert self.accepted is not None
        self.accepted.copy_(canvas.detach())
        self.place.losses, self.place.back, self.taken_back = losses, 0, None
        self.place.totals.append(losses["total"])
        if self.average is not None:
            self.average.update(self.accepted)

    def _is_guarded(self) -> bool:
        """Shall a step that raises the loss be taken back? Where gradients are normalised, they are not the loss's."""
        of = self.settings
        return of.optimizer == "lbfgs" and of.lbfgs_longest > 0 and not of.normalize_gradients

    def _step_back(self, canvas: Tensor, loss: float) -> bool:
        """Take a step that has raised the loss back to `BACK` of its way."""
        place = self.place
        if loss <= RISE * place.losses["total"] or place.back >= BACKWARD_STEPS or not self._is_guarded():
            return False
        assert self.accepted is not None
        assert self.optimizer is not None
        assert not isinstance(self.optimizer, Adam)
        with torch.no_grad():
            canvas.lerp_(self.accepted, 1 - BACK)
        self.optimizer.shorten(BACK)
        place.back += 1
        self.taken_back = canvas.detach()
        return True

    def _go_back(self, canvas: Tensor, fault: str) -> None:
        assert self.accepted is not None
        if self.place.ceiling == math.inf:  # no step was taken: a shorter one can't help
            raise DivergedError(f"The painting can't go on from what it begins with: {fault}. {ADVICE}", self.picture())
        self.place.recoveries += 1
        if self.place.recoveries > RECOVERIES:
            raise DivergedError(
                f"The painting diverged: {fault}, and {RECOVERIES} returns to the last good canvas did not help. "
                + ADVICE,
                picture=self.picture(),
            )
        with torch.no_grad():
            canvas.copy_(self.accepted)
        self.care /= 4
        self.optimizer = self._make_optimizer()
        self.notes.append(
            f"{fault[0].upper()}{fault[1:]}: back to the last good canvas, with a quarter of the step length."
        )

    def _make_optimizer(self) -> Adam | LBFGS | CompactLBFGS:
        return self.make_optimizer(self.place.scale, self.manner)

    def make_optimizer(self, scale: int, manner: Manner) -> Adam | LBFGS | CompactLBFGS:
        """Make the optimiser of a scale."""
        of = self.settings
        if of.optimizer == "adam":
            return Adam(of.learning_rate * self.care, of.adam_beta1, of.adam_beta2, of.adam_epsilon)
        history, longest = min(manner.history or of.lbfgs_history, of.lbfgs_history), of.lbfgs_longest or math.inf
        if manner.compact and self.can_compact(scale):
            return CompactLBFGS(history, rate=self.care, longest=longest)
        low_first = scale < len(self.sizes) and of.lbfgs_low_first and of.limits != "clamp"
        return LBFGS(
            history,
            rate=self.care,
            longest=longest,
            basis=choose_basis(of.lbfgs_range, low_first=low_first),
            limits=(0.0, 1.0) if of.limits == "clamp" else None,
            least=0.0 if of.lbfgs_range == 1 else FIRST_MOVE[next(self.network.parameters()).dtype],
        )

    def _begin(self, width: int, height: int, photo: Source | None) -> Tensor:
        """Return the canvas that a scale begins with: the last scale's picture, or what the settings say."""
        like = self.paintings[0].rgb
        if self.accepted is not None:
            enlarged = self._resize(self.picture().to(like), width, height)
            return enlarged.clamp_(0, 1)  # the picture, too, is a copy
        seen = photo.rgb if photo else None
        return begin(self.settings, width, height, seen, self.paintings, self.begin).to(like)

    @property
    def _resize(self) -> Callable[[Tensor, int, int], Tensor]:
        return resize_around if self.tiles else resize

    def _lay_regions(self, width: int, height: int, photo: Source | None, manner: Manner) -> list[Region]:
        """Lay the paintings' styles on a canvas of that size, which is that of `photo` if there is one."""
        taps, how = list_taps(self.settings), self.settings.mask_propagation
        sizes = self.list_painting_sizes(width, height)
        styles = [
            self.palette.ask(self.still, painting, *size, taps, how, self._cut(size, manner)) if painting.share else {}
            for painting, size in zip(self.paintings, sizes, strict=True)
        ]
        values: list[dict[str, Histogram]] = [{} for _ in self.paintings]
        if needs_features(self.settings):
            values = [
                capture_values(self.still, painting.scaled(*size), self.settings.style_taps, how)
                for painting, size in zip(self.paintings, sizes, strict=True)
            ]
        return lay_regions(self.network, self.settings, photo, self.paintings, styles, values)

    def _cut(self, size: tuple[int, int], manner: Manner) -> list[Tile]:
        return tiles_for(self.still, self.settings, *size, manner.side) if manner.side else []

    def list_painting_sizes(self, width: int, height: int) -> list[tuple[int, int]]:
        """Give each painting's width and height beside a canvas of that size."""
        return [self._size_painting(painting, width, height) for painting in self.paintings]

    def _size_painting(self, painting: Source, canvas_width: int, canvas_height: int) -> tuple[int, int]:
        """Give a painting's width and height beside a canvas, by the same rule as the canvas's own."""
        # A small painting still grows with the canvas.
        rule = "longest" if self.settings.fit == "shrink" else self.settings.fit
        side, finished = measure_side(canvas_width, canvas_height, rule), measure_side(*self.sizes[-1], rule)
        length = painting.length or self.settings.style_size[0]
        width, height = fit(painting.rgb.shape[3], painting.rgb.shape[2], length.beside(side, finished), rule)
        if min(width, height) < self.cell:
            raise UsageError(
                f"A painting would be {width} x {height} pixels, but the deepest tap needs {self.cell} on each "
                "side: choose a larger --style-size or --start-size, or shallower --style-taps."
            )
        return width, height


def _find_fault(loss: float, gradient: Tensor, ceiling: float) -> str:
    """Say what is wrong with a look at the canvas; nothing if it is good."""
    if not math.isfinite(loss):
        return f"the loss is {loss:g}"
    if loss > ceiling:
        return f"the loss rose to {loss:g}"
    return (
        "" if math.isfinite(float(torch.linalg.vector_norm(gradient, ord=1))) else "the loss's gradient is not finite"
    )


def _lay_out(picture: Tensor) -> Tensor:
    return picture.contiguous(memory_format=torch.channels_last)
