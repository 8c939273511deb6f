"""The painter: goes through the scales, moves the canvas's pixels at each, and yields a Step each time."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from impasto.errors import DivergedError, UsageError, is_out_of_memory
from impasto.images.color import to_gray
from impasto.images.image import Image
from impasto.images.sizes import resize, resize_wrapped
from impasto.painting.adam import Adam
from impasto.painting.checkpoint_file import Checkpoint
from impasto.painting.device import keep_freed_memory, return_freed_memory
from impasto.painting.initial_canvas import find_lost_detail, make_initial_canvas
from impasto.painting.optimizers import Optimizer, can_compact, make_optimizer
from impasto.painting.prepare import Prepared, check_visible
from impasto.painting.schedule import Schedule, Size
from impasto.painting.state import CanvasAverage, PainterState, capture_state, restore_state
from impasto.painting.tiled_objective import why_untileable
from impasto.painting.views import CanvasObjective
from impasto.settings.changes import changes_painting
from impasto.settings.model import Settings

MAX_RECOVERIES = 4  # of one scale
RECOVERY_STEP_SCALE = 0.25
MAX_LOSS_RISE = 1.02  # an L-BFGS step that multiplies the loss by more is shortened
MAX_BACKTRACKS = 4  # in a row
BACKTRACK_SHARE = 0.25  # of a step that is left when it is shortened
PLATEAU_STEPS = 10  # within which the loss must fall by `min_improvement`
EXPLOSION_FACTOR = 10.0  # over the scale's first loss, or that of a gray canvas if higher
DIVERGENCE_ADVICE = (
    "Lower the weights (`style_weight`, `content_weight`, `tv_weight`, `range_weight`), with adam the `learning_rate`, "
    "or use `precision` float32."
)


@dataclass(frozen=True)
class Step:
    """One step, in plain numbers.

    `scale` and `step` count from 1, `step` over all scales; `seconds` are those since the start. `losses` are the
    weighted losses of the canvas at this step: content, style, tv, range, total. With `settings.ema_decay`, the picture
    is an average of canvases, and has other losses. `progress` is the share of the work that is done, from 0 to 1, in
    pixels times steps. `notes` are for the user, new since the step before.
    """

    scale: int
    scales: int
    step: int
    width: int
    height: int
    losses: dict[str, float]
    seconds: float
    progress: float
    notes: tuple[str, ...]

    @property
    def stage(self) -> str:
        """The part of the work that the step belongs to: `scale 2/5, 181 x 136`."""
        return f"scale {self.scale}/{self.scales}, {self.width} x {self.height}"


class Painter:
    """An iterator of Steps over all scales; `picture()` is the canvas so far.

    To stop, don't ask for the next step. Without a `photo` it paints a texture. `schedule` is planned from the settings
    if it is not given.

    Errors: UsageError where a picture is too small for the taps; DivergedError with the last good picture.

    Example: losses = [step.losses["total"] for step in Painter(prepared, photo)]
    """

    def __init__(self, prepared: Prepared, photo: Image | None, schedule: Schedule | None = None) -> None:
        self.prepared: Prepared = prepared
        self.photo: Image | None = photo and photo.to(prepared.device)
        self._check_visible()
        photo_size = (photo.width, photo.height) if photo else None
        self.schedule: Schedule = schedule or prepared.plan_schedule(photo_size)
        self.state: PainterState = PainterState.at_start(self.schedule)
        self.state.notes += prepared.notes
        self._reported_notes = 0
        self._is_steered = False  # since the objective was made
        keep_freed_memory()
        self._started = time.perf_counter()
        self._iterator = self._paint()

    def __iter__(self) -> Iterator[Step]:
        return self

    def __next__(self) -> Step:
        try:
            return next(self._iterator)
        except KeyboardInterrupt:  # in a notebook, the run can be continued from the last good canvas
            self._restart_from_accepted()
            self._iterator = self._paint()
            raise

    @property
    def settings(self) -> Settings:
        """What it paints with now."""
        return self.prepared.settings

    @property
    def total_steps(self) -> int:
        """The number of steps over all scales."""
        return self.state.total_steps

    @property
    def notes(self) -> list[str]:
        """What the user should know, such as the recovery of a diverging run."""
        return self.state.notes

    @property
    def has_begun(self) -> bool:
        """Whether there is a canvas already."""
        return self.state.accepted is not None

    @property
    def current(self) -> Tensor:
        """The picture so far, not a copy: the next step changes it, and values may be outside of [0, 1]."""
        state = self.state
        if state.accepted is None:
            raise UsageError("Nothing is painted yet: ask for a step first.")
        return state.average.value if state.average is not None and state.average.weight else state.accepted

    def picture(self) -> Tensor:
        """Return the picture so far (1, 3, H, W), sRGB in [0, 1], at the current scale."""
        return self.current.clamp(0, 1).cpu().contiguous()

    def steer(self, settings: Settings) -> None:
        """Continue with other weights, blend, stroke size or colors; call it between two steps.

        The same canvas then has another objective, and a fresh optimizer. Errors: UsageError where a painting becomes
        too small for the taps, or the picture is finished and would have to be painted on; nothing changes then.
        """
        repaints = changes_painting(self.settings, settings)
        if repaints and self._is_finished:
            raise UsageError(
                "The picture is finished: only the colors that it is given afterwards can still change, by `color` "
                "none, keep or only, `color_space` and `color_strength`. Paint it anew for other changes."
            )
        before, self.prepared = self.prepared, self.prepared.change_settings(settings)
        try:
            self._check_visible()
            self.prepared.list_painting_sizes(self.schedule, self._size)
        except UsageError:
            self.prepared = before
            raise
        if repaints:
            self._is_steered = True
            self.state.forget_optimizer()
            self.state.forget_losses()

    def capture_state(self, texts: Mapping[str, str], *, with_optimizer: bool = True) -> Checkpoint:
        """Return where it is, as `state.capture_state` does."""
        return capture_state(self.state, self.schedule, texts, with_optimizer=with_optimizer)

    def restore_state(self, checkpoint: Checkpoint) -> None:
        """Continue where another painter of the same settings and pictures was. Errors: CheckpointError."""
        device, ema_decay = self.prepared.device, self.settings.ema_decay
        self.state = restore_state(checkpoint, self.schedule, device, ema_decay, self._make_optimizer)

    @property
    def can_tile(self) -> bool:
        """Whether its losses can be computed in tiles."""
        return not why_untileable(self.settings)

    @property
    def _size(self) -> Size:
        return self.schedule.sizes[self.state.scale - 1]

    @property
    def _is_last_scale(self) -> bool:
        return self.state.scale == len(self.schedule.sizes)

    @property
    def _is_finished(self) -> bool:
        return self._is_last_scale and self.state.steps_left == 0

    def _check_visible(self) -> None:
        for number, each in enumerate([self.photo, *self.prepared.paintings]):
            if each:
                check_visible(each, f"The painting {number}" if number else "The photo")

    def _paint(self) -> Iterator[Step]:
        """Go through the scales; where memory runs out, repeat a scale's rest with a strategy that takes less."""
        state = self.state
        self._started = time.perf_counter() - state.seconds
        if self.settings.is_one_pass:
            yield self._paint_at_once()
            return
        while True:
            try:
                for losses in self._optimize(*self._start_scale()):
                    yield self._make_step(losses)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error) or not self._reduce_memory():
                    raise
            else:
                if not self._is_steered or not state.steps_left:
                    if self._is_last_scale:
                        break
                    state.scale, state.steps_left = state.scale + 1, None
                    continue
            return_freed_memory()
        self._release_memory()

    def _paint_at_once(self) -> Step:
        """Paint the first canvas, which is the picture; its losses are not measured."""
        self._begin_canvas(self.photo and self.photo.resized(*self._size))
        self.state.steps_left = 0
        return self._make_step({})

    def _make_step(self, losses: dict[str, float]) -> Step:
        state, (width, height) = self.state, self._size
        state.steps_done += 1
        state.seconds = time.perf_counter() - self._started
        notes = tuple(state.notes[self._reported_notes :])
        self._reported_notes = len(state.notes)
        return Step(
            scale=state.scale,
            scales=len(self.schedule.sizes),
            step=state.steps_done,
            width=width,
            height=height,
            losses=losses,
            seconds=state.seconds,
            progress=self._measure_progress(),
            notes=notes,
        )

    def _measure_progress(self) -> float:
        """Return the share of the work done, in pixels times steps; what an early end skips counts as done."""
        work, scale = self.schedule.work, self.state.scale
        left_here = (self.state.steps_left or 0) / self.schedule.steps[scale - 1]
        return (sum(work[:scale]) - left_here * work[scale - 1]) / sum(work)

    def _reduce_memory(self) -> bool:
        """Change to a strategy that takes less memory, from this scale on; return whether there is one."""
        state, (width, height) = self.state, self._size
        compact = can_compact(self.settings, is_last_scale=self._is_last_scale)
        strategy = state.strategy.step_down(max(width, height), can_compact=compact)
        if strategy is None or not self.can_tile:
            return False
        state.strategies[state.scale - 1] = strategy
        state.strategies[state.scale :] = [later.limited_by(strategy) for later in state.strategies[state.scale :]]
        self._restart_from_accepted()
        state.notes.append(f"Memory ran out at {width} x {height}: going on from where it was, {strategy.describe()}.")
        return True

    def _restart_from_accepted(self) -> None:
        """Drop what an unfinished step may have left half done."""
        self.state.forget_optimizer()
        self.state.backtracks = 0

    def _start_scale(self) -> tuple[Tensor, CanvasObjective, Tensor | None]:
        """Make the canvas of the current scale, at its beginning or as far as it has come, its objective and alpha."""
        state, self._is_steered = self.state, False
        is_new = state.steps_left is None
        if is_new and not isinstance(state.optimizer, Adam):
            state.optimizer = None  # curvature does not carry over
        photo = self.photo and self.photo.resized(*self._size)
        alpha = photo.alpha if photo else None
        objective = self._make_objective(photo)
        if is_new:
            self._begin_canvas(photo)
        assert state.accepted is not None
        state.optimizer = state.optimizer or self._make_optimizer(state)
        canvas = (state.accepted if state.rejected is None else state.rejected).detach().clone()
        return canvas.requires_grad_(), objective, alpha

    def _begin_canvas(self, photo: Image | None) -> None:
        """Start a scale with its first canvas, and carry Adam's moments over to its size."""
        state = self.state
        canvas = self._make_canvas(photo)
        if self.prepared.is_gray:
            canvas = to_gray(canvas)
        if isinstance(state.optimizer, Adam):
            state.optimizer = state.optimizer.resized(*self._size, self._resize_canvas)
        if photo and photo.alpha is not None:  # the transparent part of the photo is never painted
            canvas = torch.where(photo.alpha > 0, canvas, photo.rgb)
        state.average = CanvasAverage(self.settings.ema_decay) if self.settings.ema_decay else None
        state.accepted, state.rejected = canvas.contiguous(memory_format=torch.channels_last), None
        state.start_scale(self.schedule.steps[state.scale - 1])

    def _make_canvas(self, photo: Image | None) -> Tensor:
        """Return a scale's first canvas: the picture of the scale before, or what `settings.init` asks for."""
        like = self.prepared.paintings[0].rgb
        if self.has_begun:
            canvas = self._resize_canvas(self.picture().to(like), *self._size)
            gets_detail = self.settings.init in ("recolored", "fast") and self.settings.padding != "circular"
            if photo and gets_detail and self.state.scale > 1:
                smaller = self.schedule.sizes[self.state.scale - 2]
                canvas = canvas + find_lost_detail(photo.rgb, *smaller).to(canvas)
            return canvas.clamp_(0, 1)
        prepared = self.prepared
        picture = prepared.initial_picture
        if self.settings.init == "fast" and photo and prepared.paint_fast:
            picture = prepared.paint_fast(prepared, self.schedule, photo)
        return make_initial_canvas(self.settings, *self._size, photo, prepared.paintings, picture).to(like)

    @property
    def _resize_canvas(self) -> Callable[[Tensor, int, int], Tensor]:
        return resize_wrapped if self.settings.padding == "circular" else resize

    def _make_objective(self, photo: Image | None) -> CanvasObjective:
        return self.prepared.make_objective(photo, self.schedule, self._size, self.state.strategy)

    def _make_optimizer(self, state: PainterState) -> Optimizer:
        is_last_scale = state.scale == len(self.schedule.sizes)
        return make_optimizer(
            self.settings,
            state.strategy,
            self.prepared.dtype,
            is_last_scale=is_last_scale,
            is_first_scale=state.scale == 1,
            step_scale=state.step_scale,
        )

    def _optimize(self, canvas: Tensor, objective: CanvasObjective, alpha: Tensor | None) -> Iterator[dict[str, float]]:
        """Yield the losses at each step of a scale; end early where the run is steered.

        Where the loss explodes, return to the last good canvas and take shorter steps.
        """
        state, steps = self.state, self.schedule.steps[self.state.scale - 1]
        assert state.steps_left is not None
        # A canvas that was reported before an interruption is evaluated again, for the step that was still to come.
        is_replaying = state.steps_left < steps and not state.backtracks and not self._is_finished
        while (state.steps_left or is_replaying) and not self._is_steered:
            if state.steps_left >= steps - 2:  # the optimizer takes its memory in the first two steps
                self._return_freed_memory()
            losses = _evaluate(objective, canvas)
            gradient = canvas.grad
            assert gradient is not None
            if losses["total"] > state.max_loss:
                state.max_loss = max(state.max_loss, self._measure_gray_loss(objective, canvas))
            if not is_replaying and (fault := _describe_fault(losses["total"], gradient, state.max_loss)):
                self._recover(canvas, fault)
                continue
            if state.max_loss == math.inf:
                state.max_loss = EXPLOSION_FACTOR * losses["total"]
            if not is_replaying:
                state.steps_left -= 1
                if self._backtrack(canvas, losses["total"]):
                    yield state.losses
                    continue
                self._accept_canvas(canvas, losses)
                yield losses
                if self._is_steered:
                    continue
            elif state.losses["total"] == math.inf:  # forgotten by a steer
                state.losses = losses
            is_replaying = False
            if state.steps_left and self._has_settled():
                self._end_early()
                return
            self._move_canvas(canvas, gradient, alpha)

    @torch.no_grad()
    def _move_canvas(self, canvas: Tensor, gradient: Tensor, alpha: Tensor | None) -> None:
        """Take the optimizer's step; what is transparent stays."""
        state = self.state
        assert state.accepted is not None
        assert state.optimizer is not None
        if alpha is not None:
            gradient.mul_(alpha > 0)
        if self.prepared.is_gray:
            gradient.copy_(gradient.mean(1, keepdim=True).expand_as(gradient))
        state.optimizer.step(canvas, gradient)
        if self.settings.optimizer == "adam" and self.settings.clamp != "never":
            canvas.clamp_(0, 1)
        if alpha is not None:  # Adam's moments, enlarged, reach into the transparent part
            canvas.copy_(torch.where(alpha > 0, canvas, state.accepted))

    def _end_early(self) -> None:
        state, (width, height) = self.state, self._size
        assert state.steps_left is not None
        state.total_steps -= state.steps_left
        state.notes.append(
            f"A scale of {width} x {height} ended {state.steps_left} steps early: {PLATEAU_STEPS} steps lowered the "
            f"loss by less than {self.settings.min_improvement:g} of it."
        )
        state.steps_left = 0

    def _has_settled(self) -> bool:
        """Whether the last steps of the scale improved its best loss by too little."""
        needed, totals = self.settings.min_improvement, self.state.totals
        if not needed or len(totals) <= PLATEAU_STEPS:
            return False
        before = min(totals[:-PLATEAU_STEPS])
        return before - min(totals[-PLATEAU_STEPS:]) < needed * abs(before)

    def _measure_gray_loss(self, objective: CanvasObjective, canvas: Tensor) -> float:
        """Return the loss of a gray canvas, the yardstick for explosions: the first canvas's may be almost 0."""
        loss = objective.evaluate(torch.full_like(canvas, 0.5))["total"]
        return loss if math.isfinite(loss) else 0.0

    def _accept_canvas(self, canvas: Tensor, losses: dict[str, float]) -> None:
        state = self.state
        assert state.accepted is not None
        state.accepted.copy_(canvas.detach())
        state.losses, state.backtracks, state.rejected = losses, 0, None
        state.totals.append(losses["total"])
        if state.average is not None:
            state.average.update(state.accepted)

    def _can_backtrack(self) -> bool:
        """Whether steps that raise the loss are shortened; normalized gradients are not those of the loss."""
        settings = self.settings
        return settings.optimizer == "lbfgs" and settings.lbfgs_max_step > 0 and not settings.normalize_gradients

    def _backtrack(self, canvas: Tensor, loss: float) -> bool:
        """Shorten the last step where it has raised the loss; return whether it was."""
        state = self.state
        is_raised = loss > MAX_LOSS_RISE * state.losses["total"]
        if not is_raised or state.backtracks >= MAX_BACKTRACKS or not self._can_backtrack():
            return False
        assert state.accepted is not None
        assert state.optimizer is not None
        assert not isinstance(state.optimizer, Adam)
        with torch.no_grad():
            canvas.lerp_(state.accepted, 1 - BACKTRACK_SHARE)
        state.optimizer.shorten_last_step(BACKTRACK_SHARE)
        state.backtracks += 1
        state.rejected = canvas.detach()
        return True

    def _recover(self, canvas: Tensor, fault: str) -> None:
        """Return to the last good canvas with shorter steps. Errors: DivergedError where that does not help."""
        state = self.state
        assert state.accepted is not None
        if state.max_loss == math.inf:  # no step was taken yet: a shorter one can't help
            raise DivergedError(
                f"The painting can't go on from what it begins with: {fault}. {DIVERGENCE_ADVICE}", self.picture()
            )
        state.recoveries += 1
        if state.recoveries > MAX_RECOVERIES:
            returns = f"{MAX_RECOVERIES} returns to the last good canvas did not help"
            raise DivergedError(f"The painting diverged: {fault}, and {returns}. {DIVERGENCE_ADVICE}", self.picture())
        with torch.no_grad():
            canvas.copy_(state.accepted)
        state.step_scale *= RECOVERY_STEP_SCALE
        state.optimizer = self._make_optimizer(state)
        state.notes.append(
            f"{fault[0].upper()}{fault[1:]}: back to the last good canvas, with a quarter of the step length."
        )

    def _return_freed_memory(self) -> None:
        return_freed_memory()

    def _release_memory(self) -> None:
        """Free what only another step would need: the picture is still to be written."""
        self.state.optimizer = None
        self._return_freed_memory()


def _evaluate(objective: CanvasObjective, canvas: Tensor) -> dict[str, float]:
    """Return the losses of a canvas and fill its gradient; a loss that can't be computed is not a number."""
    try:
        return objective.backward(canvas)
    except torch.linalg.LinAlgError:  # type: ignore[attr-defined]  # of values far beyond those of pictures
        canvas.grad = torch.zeros_like(canvas)
        return {"total": math.nan}


def _describe_fault(loss: float, gradient: Tensor, max_loss: float) -> str:
    """Say what is wrong with a loss or its gradient; nothing if both are good."""
    if not math.isfinite(loss):
        return f"the loss is {loss:g}"
    if loss > max_loss:
        return f"the loss rose to {loss:g}"
    is_finite = math.isfinite(float(torch.linalg.vector_norm(gradient, ord=1)))
    return "" if is_finite else "the loss's gradient is not finite"
