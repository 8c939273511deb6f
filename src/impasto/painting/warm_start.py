"""A frame of a film after the first: painted from where the picture before it was carried, in few steps."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from impasto.network.vgg import Network
from impasto.painting.adam import Adam
from impasto.painting.compact_lbfgs import CompactLBFGS
from impasto.painting.lbfgs import LBFGS
from impasto.painting.objective import Objective, TemporalTarget
from impasto.painting.painter import Painter
from impasto.painting.strategy import ScaleStrategy
from impasto.painting.style_regions import StyleRegion
from impasto.painting.styles import StyleCache, StyleInput
from impasto.settings.model import Settings


@dataclass(frozen=True, eq=False)
class WarmStart:
    """What a frame begins with: its first canvas (1, 3, H, W), and what holds it to the pictures around it.

    `scale` is that of L-BFGS's first step, as the frame before had it at last; `grey` the loss of a grey canvas: both
    spare a look at the canvas, and are None where they are not known.
    """

    canvas: Tensor
    temporal_targets: Sequence[TemporalTarget] = ()
    lbfgs_scale: float | None = None
    gray_loss: float | None = None


class WarmStartPainter(Painter):
    """A Painter at the last scale alone, `steps` steps at most, that goes on from what other frames have come to."""

    def __init__(
        self,
        network: Network,
        settings: Settings,
        photo: StyleInput,
        paintings: Sequence[StyleInput],
        warm_start: WarmStart,
        steps: int,
        style_cache: StyleCache | None = None,
    ) -> None:
        self.warm_start = warm_start
        self.gray_loss = warm_start.gray_loss  # for the next frame's beginning
        super().__init__(
            network, settings.model_copy(update={"steps": steps}), photo, paintings, style_cache=style_cache
        )

    @property
    def lbfgs_scale(self) -> float | None:
        """The scale of L-BFGS's last step, for the next frame's first one; None for other optimisers."""
        return self.optimizer.scale if isinstance(self.optimizer, LBFGS) else None

    def _plan_sizes(self) -> list[tuple[int, int]]:
        return super()._plan_sizes()[-1:]

    def _make_canvas(self, width: int, height: int, photo: StyleInput | None) -> Tensor:  # noqa: ARG002
        return self.warm_start.canvas.to(self.paintings[0].rgb).clone()

    @property
    def can_tile(self) -> bool:
        """What holds a frame to its neighbours is no sum over tiles."""
        return False

    def _build_objective(
        self,
        photo: StyleInput | None,
        regions: Sequence[StyleRegion],
        width: int,  # noqa: ARG002
        height: int,  # noqa: ARG002
        manner: ScaleStrategy,  # noqa: ARG002
    ) -> Objective:
        return Objective(self.network, self.settings, photo, regions, self.warm_start.temporal_targets)

    def _make_optimizer(self) -> Adam | LBFGS | CompactLBFGS:
        optimizer = super()._make_optimizer()
        if isinstance(optimizer, LBFGS):
            optimizer.scale = self.warm_start.lbfgs_scale
        return optimizer

    def _measure_gray_loss(self, objective: Objective, canvas: Tensor) -> float:
        if self.gray_loss is None:
            self.gray_loss = super()._measure_gray_loss(objective, canvas)
        return self.gray_loss

    def _return_freed_memory(self) -> None:
        """The next frame needs it again."""

    def _release_memory(self) -> None:
        """The next frame asks for the optimiser's scale."""
