"""The painter of a film's frames: one network, one set of paintings, their styles captured once."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from impasto.films.frame_masks import FrameMask
from impasto.images.image import Image
from impasto.painting.objective import TemporalTarget
from impasto.painting.painter import Painter
from impasto.painting.prepare import Prepared
from impasto.painting.warm_start import WarmStart, WarmStartPainter
from impasto.settings.model import Settings

CARRIED_SETTINGS = {"init": "the last picture", "init_blur": 0.0, "init_noise": 0.0}


class FramePainter:
    """Paints frames with one network, one set of paintings, and their styles captured once."""

    def __init__(self, prepared: Prepared, settings: Settings, masks: Mapping[str, FrameMask]) -> None:
        self.prepared, self.masks = replace(prepared, settings=settings, notes=()), masks

    def paint_first(self, frame: int, photo: Image, canvas: Tensor | None) -> Painter:
        """Paint a frame, counted from 0, as a single picture is painted, from `canvas` where it is given."""
        prepared = self._prepare_frame(frame)
        if canvas is not None:
            settings = prepared.settings.model_copy(update=CARRIED_SETTINGS)
            prepared = replace(prepared, settings=settings, initial_picture=canvas)
        return Painter(prepared, photo)

    def paint_next(self, frame: int, photo: Image, warm_start: WarmStart, steps: int) -> WarmStartPainter:
        """Continue from `warm_start`."""
        device = self.prepared.device
        targets = [
            # Laid out in memory as the canvas is.
            TemporalTarget(
                target.picture.to(device).contiguous(memory_format=torch.channels_last), target.weights.to(device)
            )
            for target in warm_start.temporal_targets
        ]
        warm_start = replace(warm_start, temporal_targets=targets)
        return WarmStartPainter(self._prepare_frame(frame), photo, warm_start, steps)

    def _prepare_frame(self, frame: int) -> Prepared:
        """Give each painting its mask in a frame; those with the same mask blend there."""
        prepared = self.prepared
        if not self.masks:
            return prepared
        masks = {name: mask(frame).to(prepared.device) for name, mask in self.masks.items()}
        pairs = zip(prepared.paintings, prepared.settings.mask, strict=True)
        return replace(prepared, paintings=[replace(painting, region=masks.get(name)) for painting, name in pairs])
