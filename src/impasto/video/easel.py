"""The painter of a film's frames: one network, one set of paintings, their styles captured once."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from impasto.painting.following import Beginning, FollowingPainter
from impasto.painting.objective import Pull
from impasto.painting.painter import Painter
from impasto.painting.style import Source
from impasto.settings import Settings
from impasto.video.masks import Mask

CARRIED = {"init": "the last picture", "init_blur": 0.0, "init_noise": 0.0}


class PainterEasel:
    """Paints frames with one network, one set of paintings, and their styles captured once."""

    def __init__(self, painter: Painter, settings: Settings, places: Mapping[str, Mask]) -> None:
        self.places = places
        self.network, self.paintings, self.begins = painter.network, painter.paintings, painter.begin
        self.palette, self.settings = painter.palette, settings
        self.device = next(painter.network.parameters()).device

    def begin(self, frame: int, photo: Source, canvas: Tensor | None) -> Painter:
        """Paint a frame, counted from 0, as a single picture is painted, from `canvas` where it is given."""
        settings = self.settings if canvas is None else self.settings.model_copy(update=CARRIED)
        begins = self.begins if canvas is None else canvas
        return Painter(self.network, settings, self._move(photo), self._place(frame), begins, self.palette)

    def follow(self, frame: int, photo: Source, beginning: Beginning, steps: int) -> FollowingPainter:
        """Go on from `beginning`."""
        pulls = [Pull(self._lay_out(pull.picture), pull.weights.to(self.device)) for pull in beginning.pulls]
        beginning = replace(beginning, pulls=pulls)
        return FollowingPainter(
            self.network, self.settings, self._move(photo), self._place(frame), beginning, steps, self.palette
        )

    def _place(self, frame: int) -> Sequence[Source]:
        """Give each painting its place in a frame; those with the same mask blend there."""
        if not self.places:
            return self.paintings
        masks = {name: mask(frame).to(self.device) for name, mask in self.places.items()}
        return [
            replace(painting, place=masks.get(name))
            for painting, name in zip(self.paintings, self.settings.mask, strict=True)
        ]

    def _lay_out(self, picture: Tensor) -> Tensor:
        """Lay a picture out in memory as the canvas is."""
        return picture.to(self.device).contiguous(memory_format=torch.channels_last)

    def _move(self, photo: Source) -> Source:
        alpha = None if photo.alpha is None else photo.alpha.to(self.device)
        return Source(photo.rgb.to(self.device), alpha)
