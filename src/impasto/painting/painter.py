"""The painter: climbs a ladder of scales, moves the canvas's pixels at each, and yields a Step each time."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from impasto.errors import DivergedError, UsageError
from impasto.painting.adam import Adam
from impasto.painting.compact_lbfgs import CompactLBFGS
from impasto.painting.frequencies import favour_low
from impasto.painting.hardware import is_out_of_memory, keep_freed_memory, return_freed_memory
from impasto.painting.lbfgs import LBFGS
from impasto.painting.manner import Manner
from impasto.painting.objective import Objective, list_taps
from impasto.painting.style import Palette, Region, Source, Style, blend_styles
from impasto.painting.tiled_objective import TiledObjective, tiles_for
from impasto.perception.network import Network
from impasto.pictures.sizes import fit, ladder, resize
from impasto.settings import Settings

RECOVERIES = 4  # how often a scale may diverge, gone on with at a quarter of the step length each time, before it fails
HISTORY = 10  # steps that L-BFGS learns from
LONGEST_MOVE = 0.5  # of a pixel's range in one step of L-BFGS: further away its picture of the loss does not hold
RISE = 1.02  # times the loss before: an L-BFGS step to more is taken back to BACK of its way, so often in a row at most
BACK, BACKWARD_STEPS = 0.25, 4
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
    diverging run. `begin` (1, 3, H, W) is what the canvas starts as where `settings.init` names a file. `palette` keeps
    the styles of paintings from one painter to the next.

    Errors: UsageError where a picture is too small for the taps; DivergedError with the last good picture.
    """

    def __init__(
        self,
        network: Network,
        settings: Settings,
        photo: Source,
        paintings: Sequence[Source],
        begin: Tensor | None = None,
        palette: Palette | None = None,
    ) -> None:
        self.network, self.settings = network, settings
        self.photo, self.paintings, self.begin = photo, paintings, begin
        self.palette = Palette() if palette is None else palette
        self.notes: list[str] = []
        self.cell = max(network.stride[tap] for tap in {**settings.content_taps, **settings.style_taps})
        self.sizes = self._plan_sizes()
        self._check_sources()
        self.steps = self._list_steps()
        self.total = sum(self.steps)
        self.manners = [Manner()] * len(self.sizes)  # how each scale is painted: `plan.choose` knows
        keep_freed_memory()
        self._started = time.perf_counter()
        self.accepted: Tensor | None = None
        self.taken_back: Tensor | None = None  # the canvas, where its last step was taken back
        self.average: Average | None = None
        self.care = 1.0  # what the step length is multiplied by; less after each recovery, at later scales too
        self.place = Place()
        self.optimizer: Adam | LBFGS | CompactLBFGS | None = None
        self._iterator = self._paint()

    def __iter__(self) -> Iterator[Step]:
        return self

    def __next__(self) -> Step:
        return next(self._iterator)

    def picture(self) -> Tensor:
        """Return the picture so far (1, 3, H, W), sRGB in [0, 1], at the scale that the painter has come to."""
        if self.accepted is None:
            raise UsageError("Nothing is painted yet: ask for a step first.")
        picture = self.average.value if self.average is not None and self.average.weight else self.accepted
        return picture.clamp(0, 1).cpu().contiguous()

    def _plan_sizes(self) -> list[tuple[int, int]]:
        """Width and height at each scale, without those too small for the deepest tap."""
        height, width = self.photo.rgb.shape[2:]
        longer_sides = ladder(self.settings.size, self.settings.start_size, self.settings.scale_step)
        sizes = [fit(width, height, longer) for longer in longer_sides]
        if min(sizes[-1]) < self.cell:
            raise UsageError(
                f"The picture would be {sizes[-1][0]} x {sizes[-1][1]} pixels; the deepest tap needs {self.cell} on "
                "each side: choose a larger --size, or shallower --content-taps and --style-taps."
            )
        return [size for size in sizes if min(size) >= self.cell]

    def _list_steps(self) -> list[int]:
        """How many steps there are at each scale."""
        first, *later = [self.settings.steps] + [self.settings.later_steps] * (len(self.sizes) - 1)
        if later and self.settings.final_steps:
            later[-1] = self.settings.final_steps
        return [first, *later]

    def _check_sources(self) -> None:
        for number, source in enumerate([self.photo, *self.paintings]):
            if source.alpha is not None and not bool(source.alpha.any()):
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
        self.optimizer = None
        return_freed_memory()

    def _paint_scale(self) -> Iterator[dict[str, float]]:
        """Take the steps of one scale; where memory runs out, go on in a manner that takes less."""
        while True:
            try:
                yield from self._move(*self._set_up())
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error) or not self._step_down():
                    raise
            else:
                return
            return_freed_memory()

    def _step_down(self) -> bool:
        """Change to a manner that takes less memory, if there is one, from this scale on."""
        here = self.place.scale - 1
        manner = self.manner.lower(can_compact=self.can_compact(self.place.scale))
        if manner is None:
            return False
        self.manners[here:] = [manner] * (len(self.sizes) - here)
        self.optimizer, self.taken_back, self.place.back = None, None, 0
        width, height = self.sizes[here]
        self.notes.append(f"Memory ran out at {width} x {height}: going on from where it was, {manner.describe()}.")
        return True

    def _set_up(self) -> tuple[Tensor, Objective, Tensor | None]:
        """Make a scale's canvas, as it begins or as far as it has come; its objective; and its alpha."""
        place, (width, height) = self.place, self.sizes[self.place.scale - 1]
        if place.left is None and isinstance(self.optimizer, Adam):
            self.optimizer = self.optimizer.enlarged(width, height)
        elif place.left is None or self.optimizer is None:  # curvature does not carry over
            self.optimizer = self.make_optimizer(self.place.scale, self.manner)
        scaled = self.photo.scaled(width, height)
        objective = self.aim(scaled, self.manner)
        if place.left is None:
            canvas = self._begin(scaled.rgb) if place.scale == 1 else self._enlarge(scaled.rgb)
            if scaled.alpha is not None:  # what is transparent stays as it is
                canvas = torch.where(scaled.alpha > 0, canvas, scaled.rgb)
            canvas = _lay_out(canvas)
            self.average = Average(self.settings.average) if self.settings.average else None
            self.accepted = canvas.detach().clone()
            place.begin(self.steps[place.scale - 1])
        else:
            assert self.accepted is not None
            canvas = (self.accepted if self.taken_back is None else self.taken_back).clone()
        return canvas.requires_grad_(), objective, scaled.alpha

    def _enlarge(self, photo: Tensor) -> Tensor:
        """Resize the canvas of the scale before."""
        return resize(self.picture().to(photo), photo.shape[3], photo.shape[2]).clamp_(0, 1)

    def aim(self, photo: Source, manner: Manner) -> Objective:
        """Make the objective of a canvas of the photo's size."""
        height, width = photo.rgb.shape[2:]
        regions = self._list_regions(max(width, height), manner)
        if not manner.side:
            return Objective(self.network, self.settings, photo, regions)
        return TiledObjective(self.network, self.settings, photo, regions, side=manner.side, on_disk=manner.on_disk)

    def _move(self, canvas: Tensor, objective: Objective, alpha: Tensor | None) -> Iterator[dict[str, float]]:
        """Take the steps of one scale; where the loss explodes, go back to the last good canvas, more carefully."""
        place = self.place
        assert place.left is not None
        assert self.accepted is not None
        steps = self.steps[place.scale - 1]
        # Painting goes on after an interruption where it was: the step to this canvas is made and was told about.
        told = place.left < steps and not place.back
        while place.left or told:
            if place.left >= steps - 2:  # the optimiser takes its memory in the first two steps
                return_freed_memory()
            losses = objective.backward(canvas)
            gradient = canvas.grad
            assert gradient is not None
            if not told:
                if fault := _find_fault(losses["total"], gradient, place.ceiling):
                    self._go_back(canvas, fault)
                    continue
                if place.ceiling == math.inf:
                    place.ceiling = _find_ceiling(losses["total"], objective, canvas)
                place.left -= 1
                if self._step_back(canvas, losses["total"]):
                    yield place.losses
                    continue
                self._accept(canvas, losses)
                yield losses
            told = False
            assert self.optimizer is not None
            with torch.no_grad():
                if alpha is not None:
                    gradient.mul_(alpha > 0)
                self.optimizer.step(canvas, gradient)
                if self.settings.optimizer == "adam":
                    canvas.clamp_(0, 1)
                if alpha is not None:  # the moments of a coarser scale have spread over what is transparent here
                    canvas.copy_(torch.where(alpha > 0, canvas, self.accepted))

    def _accept(self, canvas: Tensor, losses: dict[str, float]) -> None:
        assert self.accepted is not None
        self.accepted.copy_(canvas.detach())
        self.place.losses, self.place.back, self.taken_back = losses, 0, None
        if self.average is not None:
            self.average.update(self.accepted)

    def _step_back(self, canvas: Tensor, loss: float) -> bool:
        """Take a step that has raised the loss back to `BACK` of its way."""
        place = self.place
        if loss <= RISE * place.losses["total"] or place.back >= BACKWARD_STEPS:
            return False
        if self.optimizer is None or isinstance(self.optimizer, Adam):
            return False
        assert self.accepted is not None
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
        self.optimizer = self.make_optimizer(self.place.scale, self.manner)
        self.notes.append(
            f"{fault[0].upper()}{fault[1:]}: back to the last good canvas, with a quarter of the step length."
        )

    def make_optimizer(self, scale: int, manner: Manner) -> Adam | LBFGS | CompactLBFGS:
        """Make the optimiser of a scale."""
        if self.settings.optimizer == "adam":
            return Adam(self.settings.learning_rate * self.care)
        history = manner.history or HISTORY
        if manner.compact and self.can_compact(scale):
            return CompactLBFGS(history, rate=self.care, longest=LONGEST_MOVE)
        basis = favour_low if scale < len(self.sizes) else None
        return LBFGS(history, rate=self.care, longest=LONGEST_MOVE, basis=basis)

    @property
    def manner(self) -> Manner:
        """How the present scale is painted."""
        return self.manners[self.place.scale - 1]

    def can_compact(self, scale: int) -> bool:
        """Can a scale's optimiser keep its history in bfloat16?"""
        return self.settings.optimizer == "lbfgs" and scale == len(self.sizes)

    def _begin(self, photo: Tensor) -> Tensor:
        """Return the first canvas, of the photo's size: noise, the photo, the first painting with a share, `begin`."""
        height, width = photo.shape[2:]
        init = self.settings.init
        if init == "photo":
            return photo.clone()
        if init == "noise":
            chance = torch.Generator().manual_seed(self.settings.seed)
            return torch.rand(1, 3, height, width, generator=chance).to(photo)
        if init == "painting":
            source = next(painting for painting in self.paintings if painting.share).opaque()
        elif self.begin is not None:
            source = self.begin
        else:
            raise UsageError(f"--init {init}: the picture to begin with was not given.")
        return _cover(source, width, height).to(photo)

    def _list_regions(self, longer: int, manner: Manner) -> list[Region]:
        """Blend the paintings' styles for a canvas whose longer side is `longer`: one region, all of it."""
        taps = list_taps(self.settings)
        styles = [
            self._ask_palette(painting, width, height, taps, manner)
            for painting, (width, height) in zip(self.paintings, self.list_painting_sizes(longer), strict=True)
        ]
        return [Region(blend_styles(styles, [painting.share for painting in self.paintings]))]

    def _ask_palette(self, painting: Source, width: int, height: int, taps: list[str], manner: Manner) -> Style:
        tiles = tiles_for(self.network, self.settings, width, height, manner.side) if manner.side else ()
        return self.palette.ask(self.network, painting, width, height, taps, tiles)

    def list_painting_sizes(self, longer: int) -> list[tuple[int, int]]:
        """Give each painting's width and height beside a canvas whose longer side is `longer`."""
        return [self._size_painting(painting, longer) for painting in self.paintings]

    def _size_painting(self, painting: Source, longer: int) -> tuple[int, int]:
        """Give a painting's width and height beside a canvas whose longer side is `longer`."""
        height, width = painting.rgb.shape[2:]
        width, height = fit(width, height, max(1, round(longer * self.settings.style_size)))
        if min(width, height) < self.cell:
            raise UsageError(
                f"A painting would be {width} x {height} pixels, but the deepest tap needs {self.cell} on each "
                "side: choose a larger --style-size or --start-size, or shallower --style-taps."
            )
        return width, height


@dataclass
class Place:
    """Where a painter is: at which scale, and how far; what a checkpoint says in numbers."""

    scale: int = 1
    left: int | None = None  # steps still to be told about at the scale; None: it has not begun
    done: int = 0  # over all scales
    seconds: float = 0.0
    ceiling: float = math.inf  # a loss above it has exploded
    recoveries: int = 0
    losses: dict[str, float] = field(default_factory=dict)  # of the accepted canvas
    back: int = 0  # how often in a row a step was taken back

    def begin(self, steps: int) -> None:
        """Be at the start of a scale."""
        self.left, self.ceiling, self.recoveries, self.losses, self.back = steps, math.inf, 0, {"total": math.inf}, 0


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
    return (
        "" if math.isfinite(float(torch.linalg.vector_norm(gradient, ord=1))) else "the loss's gradient is not finite"
    )


def _find_ceiling(loss: float, objective: Objective, canvas: Tensor) -> float:
    # A canvas that begins at its goal has a loss of almost 0, and no loss has a unit: grey is the measure.
    grey = objective.evaluate(torch.full_like(canvas, 0.5))["total"]
    return max(EXPLODED * loss, grey if math.isfinite(grey) else 0.0)


def _lay_out(picture: Tensor) -> Tensor:
    return picture.contiguous(memory_format=torch.channels_last)


def _cover(picture: Tensor, width: int, height: int) -> Tensor:
    """Resize a picture to cover width x height, its aspect kept, and cut off what stands out."""
    scale = max(width / picture.shape[3], height / picture.shape[2])
    wide, high = max(width, round(picture.shape[3] * scale)), max(height, round(picture.shape[2] * scale))
    left, top = (wide - width) // 2, (high - height) // 2
    return resize(picture, wide, high)[..., top : top + height, left : left + width].clamp(0, 1)
