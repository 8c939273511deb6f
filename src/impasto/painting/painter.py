"""The painter: climbs a ladder of scales, moves the canvas's pixels at each, and yields a Step each time."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from impasto.errors import DivergedError, UsageError
from impasto.painting.adam import Adam
from impasto.painting.frequencies import favour_low
from impasto.painting.hardware import keep_freed_memory, return_freed_memory
from impasto.painting.lbfgs import LBFGS
from impasto.painting.objective import Objective, list_taps
from impasto.painting.style import Palette, Region, Source, blend_styles
from impasto.perception.network import Network
from impasto.pictures.sizes import fit, ladder, resize
from impasto.settings import Settings

RECOVERIES = 4  # how often a scale may diverge, gone on with at a quarter of the step length each time, before it fails
LONGEST_MOVE = 0.5  # of a pixel's range in one step of L-BFGS: further away its picture of the loss does not hold
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
        height, width = self.photo.rgb.shape[2:]
        longer_sides = ladder(self.settings.size, self.settings.start_size, self.settings.scale_step)
        sizes = [fit(width, height, longer) for longer in longer_sides]
        if min(sizes[-1]) < self.cell:
            raise UsageError(
                f"The picture would be {sizes[-1][0]} x {sizes[-1][1]} pixels; the deepest tap needs {self.cell} on "
                "each side: choose a larger --size, or shallower --content-taps and --style-taps."
            )
        return [size for size in sizes if min(size) >= self.cell]

    def _check_sources(self) -> None:
        for number, source in enumerate([self.photo, *self.paintings]):
            if source.alpha is not None and not bool(source.alpha.any()):
                name = f"painting {number}" if number else "photo"
                raise UsageError(f"The {name} is wholly transparent: there is nothing to see.")

    def _paint(self) -> Iterator[Step]:
        self._started = time.perf_counter()
        done = 0
        for scale, (width, height) in enumerate(self.sizes, start=1):
            scaled = self.photo.scaled(width, height)
            photo, alpha = scaled.rgb, scaled.alpha
            objective = Objective(self.network, self.settings, scaled, self._list_regions(max(width, height)))
            canvas = self._begin(photo) if scale == 1 else resize(self.picture().to(photo), width, height).clamp(0, 1)
            self._coarse = scale < len(self.sizes)
            if isinstance(self._optimizer, Adam):
                self._optimizer = self._optimizer.enlarged(width, height)
            else:  # curvature does not carry over
                self._optimizer = self._make_optimizer()
            if alpha is not None:  # what is transparent stays as it is
                canvas = torch.where(alpha > 0, canvas, photo)
            self._average = Average(self.settings.average) if self.settings.average else None
            steps = self.settings.steps if scale == 1 else self.settings.later_steps
            for losses in self._move(_lay_out(canvas).requires_grad_(), objective, alpha, steps):
                done += 1
                seconds = time.perf_counter() - self._started
                yield Step(scale, len(self.sizes), done, width, height, losses, seconds)
        return_freed_memory()

    def _move(
        self, canvas: Tensor, objective: Objective, alpha: Tensor | None, steps: int
    ) -> Iterator[dict[str, float]]:
        """Take the steps of one scale; where the loss explodes, go back to the last good canvas, more carefully."""
        self._accepted = canvas.detach().clone()
        ceiling, recoveries, settled = math.inf, 0, steps - 2  # the optimiser takes its memory in the first two steps
        while steps:
            if steps >= settled:
                return_freed_memory()
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
                # A canvas that begins at its goal has a loss of almost 0, and no loss has a unit: grey is the measure.
                grey = objective.evaluate(torch.full_like(canvas, 0.5))["total"]
                ceiling = max(EXPLODED * losses["total"], grey if math.isfinite(grey) else 0.0)
            self._accept(canvas)
            yield losses
            steps -= 1
            with torch.no_grad():
                if alpha is not None:
                    gradient = gradient * (alpha > 0)
                self._optimizer.step(canvas, gradient)
                if self.settings.optimizer == "adam":
                    canvas.clamp_(0, 1)
                if alpha is not None:  # the moments of a coarser scale have spread over what is transparent here
                    canvas.copy_(torch.where(alpha > 0, canvas, self._accepted))

    def _accept(self, canvas: Tensor) -> None:
        assert self._accepted is not None
        self._accepted.copy_(canvas.detach())
        if self._average is not None:
            self._average.update(self._accepted)

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
        if self.settings.optimizer == "adam":
            return Adam(self.settings.learning_rate * self._care)
        return LBFGS(rate=self._care, longest=LONGEST_MOVE, basis=favour_low if self._coarse else None)

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

    def _list_regions(self, longer: int) -> list[Region]:
        """Blend the paintings' styles for a canvas whose longer side is `longer`: one region, all of it."""
        taps = list_taps(self.settings)
        styles = [
            self.palette.ask(self.network, painting, *self._size_painting(painting, longer), taps)
            for painting in self.paintings
        ]
        return [Region(blend_styles(styles, [painting.share for painting in self.paintings]))]

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


def _cover(picture: Tensor, width: int, height: int) -> Tensor:
    """Resize a picture to cover width x height, its aspect kept, and cut off what stands out."""
    scale = max(width / picture.shape[3], height / picture.shape[2])
    wide, high = max(width, round(picture.shape[3] * scale)), max(height, round(picture.shape[2] * scale))
    left, top = (wide - width) // 2, (high - height) // 2
    return resize(picture, wide, high)[..., top : top + height, left : left + width].clamp(0, 1)
