"""A film's frame after the first: painted in few steps from where the frame before it came to."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor
from typing_extensions import override

from impasto.images.image import Image
from impasto.painting.lbfgs import LBFGS
from impasto.painting.objective import TemporalTarget
from impasto.painting.optimizers import Optimizer
from impasto.painting.painter import Painter
from impasto.painting.prepare import Prepared
from impasto.painting.schedule import plan_schedule
from impasto.painting.state import PainterState
from impasto.painting.views import CanvasObjective


@dataclass(frozen=True, eq=False)
class WarmStart:
    """What a frame begins with: its first canvas (1, 3, H, W), and the targets that hold it to other frames.

    `lbfgs_scale` is the length of L-BFGS's first step relative to the gradient, as it was at the end of the frame
    before, which saves one evaluation of the canvas; None if not known.
    """

    canvas: Tensor
    temporal_targets: Sequence[TemporalTarget] = ()
    lbfgs_scale: float | None = None


class WarmStartPainter(Painter):
    """A Painter of the last scale alone, for at most `steps` steps."""

    def __init__(self, prepared: Prepared, photo: Image, warm_start: WarmStart, steps: int) -> None:
        self.warm_start = warm_start
        self._last_optimizer: Optimizer | None = None
        schedule = plan_schedule(prepared.settings, (photo.width, photo.height), prepared.cell_size)
        super().__init__(prepared, photo, schedule.keep_last_scale(steps))

    @property
    def lbfgs_scale(self) -> float | None:
        """The `lbfgs_scale` for the next frame; None with another optimizer."""
        return self._last_optimizer.scale if isinstance(self._last_optimizer, LBFGS) else None

    @property
    @override
    def can_tile(self) -> bool:
        return False  # temporal targets are not sums over tiles

    @override
    def _make_canvas(self, photo: Image | None) -> Tensor:
        return self.warm_start.canvas.to(self.prepared.paintings[0].rgb).clone()

    @override
    def _make_objective(self, photo: Image | None) -> CanvasObjective:
        targets = self.warm_start.temporal_targets
        return self.prepared.make_objective(photo, self.schedule, self._size, self.state.strategy, targets)

    @override
    def _make_optimizer(self, state: PainterState) -> Optimizer:
        self._last_optimizer = optimizer = super()._make_optimizer(state)
        if isinstance(optimizer, LBFGS):
            optimizer.scale = self.warm_start.lbfgs_scale
        return optimizer

    @override
    def _return_freed_memory(self) -> None:
        pass  # the next frame needs it again
