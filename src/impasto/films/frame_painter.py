"""The painter of a film's frames: one network, one set of paintings, their styles captured once."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from impasto.films.frame_masks import FrameMask
from impasto.images.image import Image
from impasto.painting.objective import TemporalTarget
from impasto.painting.painter import Painter
from impasto.painting.styles import StyleInput
from impasto.painting.warm_start import WarmStart, WarmStartPainter
from impasto.settings.model import Settings

CARRIED_SETTINGS = {"init": "the last picture", "init_blur": 0.0, "init_noise": 0.0}


class FramePainter:
    """Paints frames with one network, one set of paintings, and their styles captured once."""

    def __init__(self, painter: Painter, settings: Settings, places: Mapping[str, FrameMask]) -> None:
        self.masks = places
        self.network, self.paintings, self.initial_canvas = painter.network, painter.paintings, painter.initial_picture
        self.palette, self.settings = painter.style_cache, settings
        self.device = next(painter.network.parameters()).device

    def paint_first(self, frame: int, photo: Image, canvas: Tensor | None) -> Painter:
        """Paint a frame, counted from 0, as a single picture is painted, from `canvas` where it is given."""
        settings = self.settings if canvas is None else self.settings.model_copy(update=CARRIED_SETTINGS)
        begins = self.initial_canvas if canvas is None else canvas
        return Painter(
            self.network, settings, self._to_device(photo), self._mask_paintings(frame), begins, self.palette
        )

    def paint_next(self, frame: int, photo: Image, beginning: WarmStart, steps: int) -> WarmStartPainter:
        """Go on from `beginning`."""
        pulls = [
            TemporalTarget(self._to_channels_last(pull.picture), pull.weights.to(self.device))
            for pull in beginning.temporal_targets
        ]
        beginning = replace(beginning, temporal_targets=pulls)
        return WarmStartPainter(
            self.network,
            self.settings,
            self._to_device(photo),
            self._mask_paintings(frame),
            beginning,
            steps,
            self.palette,
        )

    def _mask_paintings(self, frame: int) -> Sequence[StyleInput]:
        """Give each painting its place in a frame; those with the same mask blend there."""
        if not self.masks:
            return self.paintings
        masks = {name: mask(frame).to(self.device) for name, mask in self.masks.items()}
        return [
            replace(painting, region=masks.get(name))
            for painting, name in zip(self.paintings, self.settings.mask, strict=True)
        ]

    def _to_channels_last(self, picture: Tensor) -> Tensor:
        """Lay a picture out in memory as the canvas is."""
        return picture.to(self.device).contiguous(memory_format=torch.channels_last)

    def _to_device(self, photo: Image) -> StyleInput:
        alpha = None if photo.alpha is None else photo.alpha.to(self.device)
        return StyleInput(photo.rgb.to(self.device), alpha)
