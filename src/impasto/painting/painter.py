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
from impasto.painting.frequencies import choose_basis
from impasto.painting.hardware import keep_freed_memory, return_freed_memory
from impasto.painting.histograms import Histogram
from impasto.painting.lbfgs import LBFGS
from impasto.painting.objective import Objective, list_taps, needs_features
from impasto.painting.regions import Region, lay_regions
from impasto.painting.style import Palette, Source, capture_values
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
        self.total = settings.steps + settings.later_steps * (len(self.sizes) - 1)
        keep_freed_memory()
        self._started = time.perf_counter()
        self._accepted: Tensor | None = None
        self._average: Average | None = None
        self._care = 1.0  # what the step length is multiplied by; less after each recovery, at later scales too
        self._coarse = False  # is a larger scale to come?
        self._optimizer = self._make_optimizer()
        self._iterator = self._paint()

    def __iter__(self) -> Iterator[Step]:
        return self

    def __next__(self) -> Step:
        return next(self._iterator)

    def picture(self) -> Tensor:
        """Return the picture so far (1, 3, H, W), sRGB in [0, 1], at the scale that the painter has come to."""
        if self._accepted is None:
            raise UsageError("Nothing is painted yet: ask for a step first.")
        picture = self._average.value if self._average is not None and self._average.weight else self._accepted
        return picture.clamp(0, 1).cpu().contiguous()

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

    def _check_sources(self) -> None:
        for number, source in enumerate([self.photo, *self.paintings]):
            if source and source.alpha is not None and not bool(source.alpha.any()):
                name = f"painting {number}" if number else "photo"
                raise UsageError(f"The {name} is wholly transparent: there is nothing to see.")

    def _paint(self) -> Iterator[Step]:
        self._started = time.perf_counter()
        done = 0
        for scale, (width, height) in enumerate(self.sizes, start=1):
            photo = self.photo and self.photo.scaled(width, height)
            objective = self._make_objective(photo, self._lay_regions(width, height, photo))
            canvas = self._begin(width, height, photo)
            self._coarse = scale < len(self.sizes)
            if isinstance(self._optimizer, Adam):
                self._optimizer = self._optimizer.enlarged(width, height, self._resize)
            else:  # curvature does not carry over
                self._optimizer = self._make_optimizer()
            alpha = photo.alpha if photo else None
            if photo and alpha is not None:  # what is transparent stays as it is
                canvas = torch.where(alpha > 0, canvas, photo.rgb)
            self._average = Average(self.settings.average) if self.settings.average else None
            steps = self.settings.steps if scale == 1 else self.settings.later_steps
            for losses in self._move(_lay_out(canvas).requires_grad_(), objective, alpha, steps):
                done += 1
                seconds = time.perf_counter() - self._started
                yield Step(scale, len(self.sizes), done, width, height, losses, seconds)
        self._return_memory()

    def _move(
        self, canvas: Tensor, objective: Objective, alpha: Tensor | None, steps: int
    ) -> Iterator[dict[str, float]]:
        """Take the steps of one scale; where the loss explodes, go back to the last good canvas, more carefully."""
        self._accepted = canvas.detach().clone()
        totals: list[float] = []
        ceiling, recoveries, settled = math.inf, 0, steps - 2  # the optimiser takes its memory in the first two steps
        accepted, back = {"total": math.inf}, 0
        while steps:
            if steps >= settled:
                self._return_memory()
            losses = objective.backward(canvas)
            gradient = canvas.grad
            assert gradient is not None
            if fault := _find_fault(losses["total"], gradient, ceiling):
                if ceiling == math.inf:  # no step was taken: a shorter one can't help
                    raise DivergedError(
                        f"The painting can't go on from what it begins with: {fault}. {ADVICE}", self.picture()
                    )
                recoveries += 1
                self._go_back(canvas, fault, recoveries)
                continue
            if ceiling == math.inf:
                ceiling = max(EXPLODED * losses["total"], self._measure_grey(objective, canvas))
            if losses["total"] > RISE * accepted["total"] and back < BACKWARD_STEPS and self._is_guarded():
                back += 1
                self._step_back(canvas)
                yield accepted
                steps -= 1
                continue
            accepted, back = losses, 0
            self._accept(canvas)
            totals.append(losses["total"])
            yield losses
            steps -= 1
            if steps and self._has_settled(totals):
                self.total -= steps
                self.notes.append(
                    f"A scale of {canvas.shape[3]} x {canvas.shape[2]} ended {steps} steps early: {PATIENCE} steps "
                    f"lowered the loss by less than {self.settings.min_improvement:g} of it."
                )
                return
            with torch.no_grad():
                if alpha is not None:
                    gradient = gradient * (alpha > 0)
                self._optimizer.step(canvas, gradient)
                if self.settings.optimizer == "adam" and self.settings.limits != "none":
                    canvas.clamp_(0, 1)
                if alpha is not None:  # the moments of a coarser scale have spread over what is transparent here
                    canvas.copy_(torch.where(alpha > 0, canvas, self._accepted))

    def _has_settled(self, totals: Sequence[float]) -> bool:
        least = self.settings.min_improvement
        if not least or len(totals) <= PATIENCE:
            return False
        before = min(totals[:-PATIENCE])
        return before - min(totals[-PATIENCE:]) < least * abs(before)

    def _make_objective(self, photo: Source | None, regions: Sequence[Region]) -> Objective:
        return Objective(self.network, self.settings, photo, regions)

    def _measure_grey(self, objective: Objective, canvas: Tensor) -> float:
        """A canvas that begins at its goal has a loss of almost 0, and no loss has a unit: grey is the measure."""
        grey = objective.evaluate(torch.full_like(canvas, 0.5))["total"]
        return grey if math.isfinite(grey) else 0.0

    def _return_memory(self) -> None:
        return_freed_memory()

    def _accept(self, canvas: Tensor) -> None:
        assert self._accepted is not None
        self._accepted.copy_(canvas.detach())
        if self._average is not None:
            self._average.update(self._accepted)

    def _is_guarded(self) -> bool:
        """Shall a step that raises the loss be taken back? Where gradients are normalised, they are not the loss's."""
        of = self.settings
        return of.optimizer == "lbfgs" and of.lbfgs_longest > 0 and not of.normalize_gradients

    def _step_back(self, canvas: Tensor) -> None:
        """Take a step back to `BACK` of its way."""
        assert isinstance(self._optimizer, LBFGS)
        assert self._accepted is not None
        with torch.no_grad():
            canvas.copy_(torch.lerp(self._accepted, canvas, BACK))
        self._optimizer.shorten(BACK)

    def _go_back(self, canvas: Tensor, fault: str, recoveries: int) -> None:
        assert self._accepted is not None
        if recoveries > RECOVERIES:
            raise DivergedError(
                f"The painting diverged: {fault}, and {RECOVERIES} returns to the last good canvas did not help. "
                + ADVICE,
                picture=self.picture(),
            )
        with torch.no_grad():
            canvas.copy_(self._accepted)
        self._care /= 4
        self._optimizer = self._make_optimizer()
        self.notes.append(
            f"{fault[0].upper()}{fault[1:]}: back to the last good canvas, with a quarter of the step length."
        )

    def _make_optimizer(self) -> Adam | LBFGS:
        of = self.settings
        if of.optimizer == "adam":
            return Adam(of.learning_rate * self._care, of.adam_beta1, of.adam_beta2, of.adam_epsilon)
        low_first = self._coarse and of.lbfgs_low_first and of.limits != "clamp"
        return LBFGS(
            of.lbfgs_history,
            rate=self._care,
            longest=of.lbfgs_longest or math.inf,
            basis=choose_basis(of.lbfgs_range, low_first=low_first),
            limits=(0.0, 1.0) if of.limits == "clamp" else None,
            least=0.0 if of.lbfgs_range == 1 else FIRST_MOVE[next(self.network.parameters()).dtype],
        )

    def _begin(self, width: int, height: int, photo: Source | None) -> Tensor:
        """Return the canvas that a scale begins with: the last scale's picture, or what the settings say."""
        like = self.paintings[0].rgb
        if self._accepted is not None:
            return self._resize(self.picture().to(like), width, height).clamp(0, 1)
        seen = photo.rgb if photo else None
        return begin(self.settings, width, height, seen, self.paintings, self.begin).to(like)

    @property
    def _resize(self) -> Callable[[Tensor, int, int], Tensor]:
        return resize_around if self.tiles else resize

    def _lay_regions(self, width: int, height: int, photo: Source | None) -> list[Region]:
        """Lay the paintings' styles on a canvas of that size, which is that of `photo` if there is one."""
        taps, how = list_taps(self.settings), self.settings.mask_propagation
        sizes = [self._size_painting(painting, width, height) for painting in self.paintings]
        styles = [
            self.palette.ask(self.still, painting, *size, taps, how) if painting.share else {}
            for painting, size in zip(self.paintings, sizes, strict=True)
        ]
        values: list[dict[str, Histogram]] = [{} for _ in self.paintings]
        if needs_features(self.settings):
            values = [
                capture_values(self.still, painting.scaled(*size), self.settings.style_taps, how)
                for painting, size in zip(self.paintings, sizes, strict=True)
            ]
        return lay_regions(self.network, self.settings, photo, self.paintings, styles, values)

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


class Average:
    """The exponential average of canvases, unbiased from the first on."""

    def __init__(self, decay: float) -> None:
        self.decay, self.weight = decay, 0.0
        self.value = torch.empty(0)

    def update(self, canvas: Tensor) -> None:
        """Count one more canvas (1, 3, H, W)."""
        self.weight = self.decay * self.weight + (1 - self.decay)
        if self.value.numel():
            self.value.lerp_(canvas, (1 - self.decay) / self.weight)
        else:
            self.value = canvas.clone()


def _find_fault(loss: float, gradient: Tensor, ceiling: float) -> str:
    """Say what is wrong with a look at the canvas; nothing if it is good."""
    if not math.isfinite(loss):
        return f"the loss is {loss:g}"
    if loss > ceiling:
        return f"the loss rose to {loss:g}"
    return "" if math.isfinite(float(gradient.abs().sum())) else "the loss's gradient is not finite"


def _lay_out(picture: Tensor) -> Tensor:
    return picture.contiguous(memory_format=torch.channels_last)
