"""A frame of a film after the first: painted from where the picture before it was carried, in few steps."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from impasto.painting.adam import Adam
from impasto.painting.compact_lbfgs import CompactLBFGS
from impasto.painting.lbfgs import LBFGS
from impasto.painting.manner import Manner
from impasto.painting.objective import Objective, Pull
from impasto.painting.painter import Painter
from impasto.painting.regions import Region
from impasto.painting.style import Palette, Source
from impasto.perception.network import Network
from impasto.settings import Settings


@dataclass(frozen=True, eq=False)
class Beginning:
    """What a frame begins with: its first canvas (1, 3, H, W), and what holds it to the pictures around it.

    `scale` is that of L-BFGS's first step, as the frame before had it at last; `grey` the loss of a grey canvas: both
    spare a look at the canvas, and are None where they are not known.
    """

    canvas: Tensor
    pulls: Sequence[Pull] = ()
    scale: float | None = None
    grey: float | None = None


class FollowingPainter(Painter):
    """A Painter at the last scale alone, `steps` steps at most, that goes on from what other frames have come to."""

    def __init__(
        self,
        network: Network,
        settings: Settings,
        photo: Source,
        paintings: Sequence[Source],
        beginning: Beginning,
        steps: int,
        palette: Palette | None = None,
    ) -> None:
        self.beginning = beginning
        self.grey = beginning.grey  # for the next frame's beginning
        super().__init__(network, settings.model_copy(update={"steps": steps}), photo, paintings, palette=palette)

    @property
    def scale(self) -> float | None:
        """The scale of L-BFGS's last step, for the next frame's first one; None for other optimisers."""
        return self.optimizer.scale if isinstance(self.optimizer, LBFGS) else None

    def _plan_sizes(self) -> list[tuple[int, int]]:
        return super()._plan_sizes()[-1:]

    def _begin(self, width: int, height: int, photo: Source | None) -> Tensor:  # noqa: ARG002
        return self.beginning.canvas.to(self.paintings[0].rgb).clone()

    @property
    def can_tile(self) -> bool:
        """What holds a frame to its neighbours is no sum over tiles."""
        return False

    def _make_objective(
        self,
        photo: Source | None,
        regions: Sequence[Region],
        width: int,  # noqa: ARG002
        height: int,  # noqa: ARG002
        manner: Manner,  # noqa: ARG002
    ) -> Objective:
        return Objective(self.network, self.settings, photo, regions, self.beginning.pulls)

    def _make_optimizer(self) -> Adam | LBFGS | CompactLBFGS:
        optimizer = super()._make_optimizer()
        if isinstance(optimizer, LBFGS):
            optimizer.scale = self.beginning.scale
        return optimizer

    def _measure_grey(self, objective: Objective, canvas: Tensor) -> float:
        if self.grey is None:
            self.grey = super()._measure_grey(objective, canvas)
        return self.grey

    def _return_memory(self) -> None:
        """The next frame needs it again."""

    def _finish(self) -> None:
        """The next frame asks for the optimiser's scale."""
