"""Pictures and frames painted in one pass, from what a painter is prepared with."""

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from impasto.fast.decoder import load_decoder
from impasto.fast.transfer import LevelMaps, StylePart, blend_levels, measure_levels, transfer_style
from impasto.images.image import Image
from impasto.images.masks import divide_canvas
from impasto.images.sizes import resize_clamped
from impasto.network.registry import load_network
from impasto.network.vgg import Network
from impasto.painting.prepare import Prepared
from impasto.painting.schedule import Schedule
from impasto.painting.styles import StyleInput, group_by_region

DEEPEST_TAP = "relu4_1"
GUARDED_SHARE = 0.7  # of the change that is left out where a photo must stay readable, at a `guard` of 1


class FastPainter:
    """Paints the first canvas of a schedule in one pass, for one photo or for each frame of a film.

    Errors: UsageError where a painting becomes too small.

    Example: FastPainter(prepared, prepared.plan_schedule((640, 480))).paint(photo)
    """

    def __init__(self, prepared: Prepared, schedule: Schedule) -> None:
        self._settings, self._device, self._size = prepared.settings, prepared.device, schedule.sizes[0]
        self._network = load_fast_network(prepared.device, prepared.dtype)
        self._decoder = load_decoder(prepared.device, prepared.dtype)
        self._paintings = prepared.paintings
        sizes = prepared.list_painting_sizes(schedule, self._size)
        self._styles = [
            measure_levels(self._network, painting.resized(*size)) if painting.weight else []
            for painting, size in zip(prepared.paintings, sizes, strict=True)
        ]

    def paint(
        self, photo: Image, paintings: Sequence[StyleInput] | None = None, maps: LevelMaps | None = None
    ) -> Tensor:
        """Paint a photo of any size as (1, 3, H, W) in [0, 1]; what is transparent keeps its pixels.

        `paintings` are the same paintings with this frame's masks. `maps` are as for `transfer_style`.
        """
        seen = photo.to(self._device).resized(*self._size)
        parts = self._plan_parts(paintings or self._paintings, seen)
        return transfer_style(self._network, self._decoder, seen.rgb, parts, self._settings.fast_strength, maps)

    def _plan_parts(self, paintings: Sequence[StyleInput], photo: Image) -> list[StylePart]:
        """Return the parts of the canvas, each with the blend of its paintings' moments."""
        groups = group_by_region(paintings)
        masks = _divide(photo, [paintings[group[0]].region for group in groups])
        kept = photo.alpha
        if photo.detail is not None and (guard := self._settings.guard):
            calm = 1 - guard * GUARDED_SHARE * resize_clamped(photo.detail, photo.width, photo.height)
            kept = calm if kept is None else kept * calm
        parts = []
        for group, mask in zip(groups, masks, strict=True):
            weighed = [at for at in group if paintings[at].weight]
            if not weighed:  # the photo stays there
                continue
            where = kept if mask is None else mask if kept is None else mask * kept
            blend = blend_levels([self._styles[at] for at in weighed], [paintings[at].weight for at in weighed])
            parts.append(StylePart(blend, where))
        return parts


def paint_fast_canvas(prepared: Prepared, photo: Image) -> Tensor:
    """Paint the first canvas (1, 3, H, W) in [0, 1] of a photo, at its size. Errors: as FastPainter."""
    return FastPainter(prepared, prepared.plan_schedule((photo.width, photo.height))).paint(photo)


@cache
def load_fast_network(device: torch.device, dtype: torch.dtype) -> Network:
    """Load slim as the decoder knows it, whatever the settings say of pooling and padding."""
    network = load_network("slim", cut=DEEPEST_TAP, pooling="max", padding="replicate-first").to(device, dtype)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _divide(photo: Image, regions: Sequence[Tensor | None]) -> list[Tensor | None]:
    if all(region is None for region in regions):
        return list(regions)
    fitted = [None if each is None else resize_clamped(each, photo.width, photo.height) for each in regions]
    return list(divide_canvas(fitted))
