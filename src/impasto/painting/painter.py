"""The painter: climbs a ladder of scales, moves the canvas's pixels at each, and yields a Step each time."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from impasto.errors import DivergedError, UsageError
from impasto.images.sizes import fit_size, list_scale_sizes, measure_side, resize, resize_wrapped
from impasto.network.vgg import Network
from impasto.painting.adam import Adam
from impasto.painting.compact_lbfgs import CompactLBFGS
from impasto.painting.device import is_out_of_memory, keep_freed_memory, return_freed_memory
from impasto.painting.histograms import Histogram
from impasto.painting.initial_canvas import make_initial_canvas
from impasto.painting.lbfgs import LBFGS
from impasto.painting.objective import Objective, list_taps, needs_features
from impasto.painting.preconditioner import choose_preconditioner
from impasto.painting.state import CanvasAverage, PainterState
from impasto.painting.strategy import ScaleStrategy
from impasto.painting.style_regions import StyleRegion, make_regions
from impasto.painting.styles import StyleCache, StyleInput, capture_histograms
from impasto.painting.tiled_objective import TiledObjective, cut_tiles_for, why_untileable
from impasto.painting.tiles import Tile
from impasto.settings.model import Settings

MAX_RECOVERIES = (
    4  # how often a scale may diverge, gone on with at a quarter of the step length each time, before it fails
)
MAX_LOSS_RISE = (
    1.02  # times the loss before: an L-BFGS step to more is taken back to BACK of its way, so often in a row at most
)
BACKTRACK_SHARE, MAX_BACKTRACKS = 0.25, 4
# Of a pixel's range, on average: what a network of that precision can tell from no move at all. Where L-BFGS walks in
# bytes, its first step is one byte in all, over all pixels; the gradient's change would be noise.
MIN_FIRST_MOVE = {torch.bfloat16: 5e-4, torch.float16: 5e-4, torch.float32: 1e-4, torch.float64: 0.0}
PLATEAU_STEPS = 10  # steps in which the loss has to fall by `min_improvement`
EXPLOSION_FACTOR = 10.0  # times the loss that the scale began with, where that is more than the loss of a grey canvas
DIVERGENCE_ADVICE = (
    "Lower the weights (--style-weight, --content-weight, --tv-weight, --range-weight), with adam the --learning-rate, "
    "or use --precision float32."
)


@dataclass(frozen=True)
class Step:
    """One step: plain numbers. `scale` and `step` count from 1, `step` over all scales; `seconds` since the start.

    `progress` is the share of the run's work that is done, from 0 to 1, counted in pixels times steps.

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
    progress: float


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
        photo: StyleInput | None,
        paintings: Sequence[StyleInput],
        initial_picture: Tensor | None = None,
        style_cache: StyleCache | None = None,
    ) -> None:
        self.network, self.settings = network, settings
        self.photo, self.paintings, self.initial_picture = photo, paintings, initial_picture
        self.style_cache = StyleCache() if style_cache is None else style_cache
        self.notes: list[str] = []
        self.cell_size = max(network.stride[tap] for tap in list_taps(settings))
        self.is_seamless = settings.padding == "circular"
        # Paintings don't tile: what lies beyond their border is more of the same, not their other side.
        self.style_network = network.with_padding("replicate") if self.is_seamless else network
        self.sizes = self._plan_sizes()
        self._check_inputs()
        self.steps = self._list_steps()
        self.total_steps = sum(self.steps)
        self.strategies = [ScaleStrategy()] * len(self.sizes)  # how each scale is painted; `plan` chooses
        keep_freed_memory()
        self._started = time.perf_counter()
        self.accepted: Tensor | None = None
        self.average: CanvasAverage | None = None
        self.step_scale = 1.0  # what the step length is multiplied by; less after each recovery, at later scales too
        self.rejected: Tensor | None = None  # the canvas, where its last step was taken back
        self.state = PainterState()
        self.optimizer: Adam | LBFGS | CompactLBFGS | None = None
        self._is_steered = False  # since the objective was made
        self._iterator = self._paint()

    def __iter__(self) -> Iterator[Step]:
        return self

    def __next__(self) -> Step:
        return next(self._iterator)

    def picture(self) -> Tensor:
        """Return the picture so far (1, 3, H, W), sRGB in [0, 1], at the scale that the painter has come to."""
        return self.current.clamp(0, 1).cpu().contiguous()

    @property
    def has_begun(self) -> bool:
        """Is there a canvas already?"""
        return self.accepted is not None

    @property
    def current(self) -> Tensor:
        """The picture so far, where the painter keeps it: the next step changes it, and values may be beyond [0, 1]."""
        if self.accepted is None:
            raise UsageError("Nothing is painted yet: ask for a step first.")
        return self.average.value if self.average is not None and self.average.weight else self.accepted

    def steer(self, settings: Settings, paintings: Sequence[StyleInput]) -> None:
        """Go on with other settings, and paintings with other shares or colours; to be asked between two steps.

        From the next step on the same canvas has another objective, and an optimiser that begins anew. What decides the
        ladder, the taps or the network has to stay as it is. Errors: UsageError where a painting becomes too small for
        the taps; all stays as it was then.
        """
        before = self.settings, self.paintings
        self.settings, self.paintings = settings, paintings
        try:
            self._check_inputs()
            self.list_painting_sizes(*self.sizes[self.state.scale - 1])
        except UsageError:
            self.settings, self.paintings = before
            raise
        self._is_steered, self.optimizer, self.rejected = True, None, None
        self.state.forget_losses()

    def _plan_sizes(self) -> list[tuple[int, int]]:
        """Width and height at each scale, without those too small for the deepest tap."""
        settings = self.settings
        if self.photo:
            height, width = self.photo.rgb.shape[2:]
        else:
            width, height = settings.aspect_sides
        size = min(settings.size, max(width, height)) if settings.fit == "shrink" else settings.size
        sides = list_scale_sizes(size, settings.start_size, settings.scale_step)
        sizes = [fit_size(width, height, side, settings.fit) for side in sides]
        if min(sizes[-1]) < self.cell_size:
            raise UsageError(
                f"The picture would be {sizes[-1][0]} x {sizes[-1][1]} pixels; the deepest tap needs "
                f"{self.cell_size} on "
                "each side: choose a larger --size, or shallower --content-taps and --style-taps."
            )
        if self.is_seamless:
            self._check_seamless(sizes[-1])
            sizes = [(self._round_to_cells(wide), self._round_to_cells(high)) for wide, high in sizes]
        return [size for size in sizes if min(size) >= self.cell_size]

    def _round_to_cells(self, side: int) -> int:
        return self.cell_size * max(1, round(side / self.cell_size))

    def _check_seamless(self, size: tuple[int, int]) -> None:
        """Refuse sides that were asked for, and where the grid of the deepest tap would not go round evenly."""
        asked = size if self.photo is None else () if self.settings.fit in ("area", "shrink") else (self.settings.size,)
        for side in asked:
            if side % self.cell_size:
                below = side // self.cell_size * self.cell_size
                near = " or ".join(str(it) for it in (below, below + self.cell_size) if it)
                raise UsageError(
                    f"--size: with --padding circular a side of {side} pixels would not tile, it takes a multiple of "
                    f"{self.cell_size}, such as {near}; or choose another --padding."
                )

    def _list_steps(self) -> list[int]:
        """How many steps there are at each scale."""
        steps = [self.settings.steps] + [self.settings.later_steps] * (len(self.sizes) - 1)
        if len(steps) > 1 and self.settings.final_steps:
            steps[-1] = self.settings.final_steps
        return steps

    @property
    def strategy(self) -> ScaleStrategy:
        """How the present scale is painted."""
        return self.strategies[self.state.scale - 1]

    @property
    def device(self) -> torch.device:
        """Where it paints."""
        return next(self.network.parameters()).device

    def can_compact(self, scale: int) -> bool:
        """Can a scale's optimiser keep its history in bfloat16?"""
        of = self.settings
        low_first = scale < len(self.sizes) and of.lbfgs_preconditioner
        return of.optimizer == "lbfgs" and of.limits != "clamp" and of.lbfgs_range == 1 and not low_first

    def _check_inputs(self) -> None:
        for number, source in enumerate([self.photo, *self.paintings]):
            if source and source.alpha is not None and not bool(source.alpha.any()):
                name = f"painting {number}" if number else "photo"
                raise UsageError(f"The {name} is wholly transparent: there is nothing to see.")

    def _paint(self) -> Iterator[Step]:
        place = self.state
        self._started = time.perf_counter() - place.seconds
        for scale in range(place.scale, len(self.sizes) + 1):
            if place.scale != scale:
                place.scale, place.steps_left = scale, None
            for losses in self._paint_scale():
                place.steps_done += 1
                place.seconds = time.perf_counter() - self._started
                size = self.sizes[scale - 1]
                yield Step(
                    scale, len(self.sizes), place.steps_done, *size, losses, place.seconds, self._measure_progress()
                )
        self._release_memory()

    def _release_memory(self) -> None:
        """Let go of what only another step would need: the picture is still to be written."""
        self.optimizer = None
        self._return_freed_memory()

    def _paint_scale(self) -> Iterator[dict[str, float]]:
        """Take the steps of one scale; where memory runs out, go on in a manner that takes less."""
        while True:
            try:
                yield from self._optimize(*self._start_scale())
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error) or not self._reduce_memory():
                    raise
            else:
                if not self._is_steered or not self.state.steps_left:
                    return
            return_freed_memory()

    def _reduce_memory(self) -> bool:
        """Change to a manner that takes less memory, if there is one, from this scale on."""
        here = self.state.scale - 1
        manner = self.strategy.step_down(can_compact=self.can_compact(self.state.scale))
        if manner is None or not self.can_tile:
            return False
        self.strategies[here:] = [manner] * (len(self.sizes) - here)
        self.optimizer, self.rejected, self.state.backtracks = None, None, 0
        width, height = self.sizes[here]
        self.notes.append(f"Memory ran out at {width} x {height}: going on from where it was, {manner.describe()}.")
        return True

    @property
    def can_tile(self) -> bool:
        """Can its losses be found in tiles?"""
        return not why_untileable(self.settings)

    def _start_scale(self) -> tuple[Tensor, Objective, Tensor | None]:
        """Make a scale's canvas, as it begins or as far as it has come; its objective; and its alpha."""
        place, (width, height) = self.state, self.sizes[self.state.scale - 1]
        self._is_steered = False
        if place.steps_left is None and not isinstance(self.optimizer, Adam):
            self.optimizer = None  # curvature does not carry over
        photo = self.photo and self.photo.resized(width, height)
        objective = self.make_objective(photo, width, height, self.strategy)
        alpha = photo.alpha if photo else None
        if place.steps_left is None:
            canvas = self._make_canvas(width, height, photo)
            if isinstance(self.optimizer, Adam):
                self.optimizer = self.optimizer.resized(width, height, self._resize_canvas)
            else:
                self.optimizer = self._make_optimizer()
            if photo and alpha is not None:  # what is transparent stays as it is
                canvas = torch.where(alpha > 0, canvas, photo.rgb)
            canvas = _to_channels_last(canvas)
            self.average = CanvasAverage(self.settings.average) if self.settings.average else None
            self.accepted = canvas.detach().clone()
            place.start_scale(self.steps[place.scale - 1])
        else:
            assert self.accepted is not None
            canvas = (self.accepted if self.rejected is None else self.rejected).clone()
            self.optimizer = self.optimizer or self._make_optimizer()
        return canvas.requires_grad_(), objective, alpha

    def _optimize(self, canvas: Tensor, objective: Objective, alpha: Tensor | None) -> Iterator[dict[str, float]]:
        """Take the steps of one scale; where the loss explodes, go back to the last good canvas, more carefully.

        It ends early where the painting is steered elsewhere.
        """
        place, steps = self.state, self.steps[self.state.scale - 1]
        assert place.steps_left is not None
        assert self.accepted is not None
        # After an interruption it goes on where it was: this canvas was told about, its step is still to be taken.
        told = place.steps_left < steps and not place.backtracks and not self._is_done
        while (place.steps_left or told) and not self._is_steered:
            if place.steps_left >= steps - 2:  # the optimiser takes its memory in the first two steps
                self._return_freed_memory()
            losses = objective.backward(canvas)
            gradient = canvas.grad
            assert gradient is not None
            if not told and (fault := _describe_fault(losses["total"], gradient, place.max_loss)):
                self._recover(canvas, fault)
                continue
            if place.max_loss == math.inf:
                place.max_loss = max(EXPLOSION_FACTOR * losses["total"], self._measure_gray_loss(objective, canvas))
            if not told:
                place.steps_left -= 1
                if self._backtrack(canvas, losses["total"]):
                    yield place.losses
                    continue
                self._accept_canvas(canvas, losses)
                yield losses
                if self._is_steered:
                    continue
            told = False
            if place.steps_left and self._has_settled(place.totals):
                self._end_early(place.steps_left)
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
        self.total_steps -= left
        self.state.steps_left = 0
        width, height = self.sizes[self.state.scale - 1]
        self.notes.append(
            f"A scale of {width} x {height} ended {left} steps early: {PLATEAU_STEPS} steps lowered the loss "
            "by less than "
            f"{self.settings.min_improvement:g} of it."
        )

    def _measure_progress(self) -> float:
        """Return the share of the work done, in pixels times steps; a step at a finer scale costs that much more."""
        work = [steps * width * height for steps, (width, height) in zip(self.steps, self.sizes, strict=True)]
        here = self.state.scale - 1
        left_here = (self.state.steps_left or 0) / self.steps[here]
        return (sum(work[: here + 1]) - left_here * work[here]) / sum(work)

    @property
    def _is_done(self) -> bool:
        """Was the last step of all told about?"""
        return self.state.scale == len(self.sizes) and self.state.steps_left == 0

    def _has_settled(self, totals: Sequence[float]) -> bool:
        least = self.settings.min_improvement
        if not least or len(totals) <= PLATEAU_STEPS:
            return False
        before = min(totals[:-PLATEAU_STEPS])
        return before - min(totals[-PLATEAU_STEPS:]) < least * abs(before)

    def make_objective(self, photo: StyleInput | None, width: int, height: int, manner: ScaleStrategy) -> Objective:
        """Make the objective of a canvas of that size, which is that of `photo` if there is one."""
        return self._build_objective(photo, self._make_regions(width, height, photo, manner), width, height, manner)

    def _build_objective(
        self, photo: StyleInput | None, regions: Sequence[StyleRegion], width: int, height: int, manner: ScaleStrategy
    ) -> Objective:
        if not manner.tile_size:
            return Objective(self.network, self.settings, photo, regions)
        tiles = cut_tiles_for(self.network, self.settings, width, height, manner.tile_size)
        return TiledObjective(self.network, self.settings, photo, regions, tiles, on_disk=manner.on_disk)

    def _measure_gray_loss(self, objective: Objective, canvas: Tensor) -> float:
        """A canvas that begins at its goal has a loss of almost 0, and no loss has a unit: grey is the measure."""
        grey = objective.evaluate(torch.full_like(canvas, 0.5))["total"]
        return grey if math.isfinite(grey) else 0.0

    def _return_freed_memory(self) -> None:
        return_freed_memory()

    def _accept_canvas(self, canvas: Tensor, losses: dict[str, float]) -> None:
        assert self.accepted is not None
        self.accepted.copy_(canvas.detach())
        self.state.losses, self.state.backtracks, self.rejected = losses, 0, None
        self.state.totals.append(losses["total"])
        if self.average is not None:
            self.average.update(self.accepted)

    def _can_backtrack(self) -> bool:
        """Shall a step that raises the loss be taken back? Where gradients are normalised, they are not the loss's."""
        of = self.settings
        return of.optimizer == "lbfgs" and of.lbfgs_max_step > 0 and not of.normalize_gradients

    def _backtrack(self, canvas: Tensor, loss: float) -> bool:
        """Take a step that has raised the loss back to `BACK` of its way."""
        place = self.state
        if (
            loss <= MAX_LOSS_RISE * place.losses["total"]
            or place.backtracks >= MAX_BACKTRACKS
            or not self._can_backtrack()
        ):
            return False
        assert self.accepted is not None
        assert self.optimizer is not None
        assert not isinstance(self.optimizer, Adam)
        with torch.no_grad():
            canvas.lerp_(self.accepted, 1 - BACKTRACK_SHARE)
        self.optimizer.shorten_last_step(BACKTRACK_SHARE)
        place.backtracks += 1
        self.rejected = canvas.detach()
        return True

    def _recover(self, canvas: Tensor, fault: str) -> None:
        assert self.accepted is not None
        if self.state.max_loss == math.inf:  # no step was taken: a shorter one can't help
            raise DivergedError(
                f"The painting can't go on from what it begins with: {fault}. {DIVERGENCE_ADVICE}", self.picture()
            )
        self.state.recoveries += 1
        if self.state.recoveries > MAX_RECOVERIES:
            raise DivergedError(
                f"The painting diverged: {fault}, and {MAX_RECOVERIES} returns to the last good canvas did not help. "
                + DIVERGENCE_ADVICE,
                picture=self.picture(),
            )
        with torch.no_grad():
            canvas.copy_(self.accepted)
        self.step_scale /= 4
        self.optimizer = self._make_optimizer()
        self.notes.append(
            f"{fault[0].upper()}{fault[1:]}: back to the last good canvas, with a quarter of the step length."
        )

    def _make_optimizer(self) -> Adam | LBFGS | CompactLBFGS:
        return self.make_optimizer(self.state.scale, self.strategy)

    def make_optimizer(self, scale: int, manner: ScaleStrategy) -> Adam | LBFGS | CompactLBFGS:
        """Make the optimiser of a scale."""
        of = self.settings
        if of.optimizer == "adam":
            return Adam(of.learning_rate * self.step_scale, of.adam_beta1, of.adam_beta2, of.adam_epsilon)
        history, longest = min(manner.history or of.lbfgs_history, of.lbfgs_history), of.lbfgs_max_step or math.inf
        if manner.compact and self.can_compact(scale):
            return CompactLBFGS(history, rate=self.step_scale, max_step=longest)
        low_first = scale < len(self.sizes) and of.lbfgs_preconditioner and of.limits != "clamp"
        return LBFGS(
            history,
            rate=self.step_scale,
            max_step=longest,
            preconditioner=choose_preconditioner(of.lbfgs_range, low_first=low_first),
            limits=(0.0, 1.0) if of.limits == "clamp" else None,
            min_first_move=0.0 if of.lbfgs_range == 1 else MIN_FIRST_MOVE[next(self.network.parameters()).dtype],
        )

    def _make_canvas(self, width: int, height: int, photo: StyleInput | None) -> Tensor:
        """Return the canvas that a scale begins with: the last scale's picture, or what the settings say."""
        like = self.paintings[0].rgb
        if self.accepted is not None:
            enlarged = self._resize_canvas(self.picture().to(like), width, height)
            return enlarged.clamp_(0, 1)  # the picture, too, is a copy
        seen = photo.rgb if photo else None
        return make_initial_canvas(self.settings, width, height, seen, self.paintings, self.initial_picture).to(like)

    @property
    def _resize_canvas(self) -> Callable[[Tensor, int, int], Tensor]:
        return resize_wrapped if self.is_seamless else resize

    def _make_regions(
        self, width: int, height: int, photo: StyleInput | None, manner: ScaleStrategy
    ) -> list[StyleRegion]:
        """Lay the paintings' styles on a canvas of that size, which is that of `photo` if there is one."""
        taps, how = list_taps(self.settings), self.settings.mask_propagation
        sizes = self.list_painting_sizes(width, height)
        styles = [
            self.style_cache.get(self.style_network, painting, *size, taps, how, self._cut_painting(size, manner))
            if painting.weight
            else {}
            for painting, size in zip(self.paintings, sizes, strict=True)
        ]
        values: list[dict[str, Histogram]] = [{} for _ in self.paintings]
        if needs_features(self.settings):
            values = [
                capture_histograms(self.style_network, painting.resized(*size), self.settings.style_taps, how)
                for painting, size in zip(self.paintings, sizes, strict=True)
            ]
        return make_regions(self.network, self.settings, photo, self.paintings, styles, values)

    def _cut_painting(self, size: tuple[int, int], manner: ScaleStrategy) -> list[Tile]:
        return cut_tiles_for(self.style_network, self.settings, *size, manner.tile_size) if manner.tile_size else []

    def list_painting_sizes(self, width: int, height: int) -> list[tuple[int, int]]:
        """Give each painting's width and height beside a canvas of that size."""
        return [self._size_painting(painting, width, height) for painting in self.paintings]

    def _size_painting(self, painting: StyleInput, canvas_width: int, canvas_height: int) -> tuple[int, int]:
        """Give a painting's width and height beside a canvas, by the same rule as the canvas's own."""
        # A small painting still grows with the canvas.
        rule = "longest" if self.settings.fit == "shrink" else self.settings.fit
        side, finished = measure_side(canvas_width, canvas_height, rule), measure_side(*self.sizes[-1], rule)
        length = painting.size or self.settings.style_size[0]
        width, height = fit_size(painting.rgb.shape[3], painting.rgb.shape[2], length.to_pixels(side, finished), rule)
        if min(width, height) < self.cell_size:
            raise UsageError(
                f"A painting would be {width} x {height} pixels, but the deepest tap needs {self.cell_size} on each "
                "side: choose a larger --style-size or --start-size, or shallower --style-taps."
            )
        return width, height


def _describe_fault(loss: float, gradient: Tensor, ceiling: float) -> str:
    """Say what is wrong with a look at the canvas; nothing if it is good."""
    if not math.isfinite(loss):
        return f"the loss is {loss:g}"
    if loss > ceiling:
        return f"the loss rose to {loss:g}"
    return (
        "" if math.isfinite(float(torch.linalg.vector_norm(gradient, ord=1))) else "the loss's gradient is not finite"
    )


def _to_channels_last(picture: Tensor) -> Tensor:
    return picture.contiguous(memory_format=torch.channels_last)
