"""Pictures and frames painted in one pass, from what a painter is prepared with."""

from collections.abc import Mapping, Sequence
from functools import cache

import torch
from torch import Tensor

from impasto.errors import UsageError
from impasto.fast.decoder import load_decoder
from impasto.fast.transfer import LevelMaps, Smoothing, StylePart, list_targets, measure_levels, transfer_style
from impasto.fast.transport import StyleTarget
from impasto.images.color import is_gray, to_gray
from impasto.images.image import Image
from impasto.images.masks import divide_canvas, soften_masks
from impasto.images.sizes import resize_clamped
from impasto.network.registry import load_network
from impasto.network.vgg import Network
from impasto.painting.prepare import Prepared
from impasto.painting.schedule import Schedule, Size
from impasto.painting.styles import Style, StyleInput, blend_styles, group_by_region

DEEPEST_TAP = "relu4_1"
MIN_PAINTING_SIDE = 32  # pixels: two cells of the coarsest level
SOFT_EDGE = 0.015  # of a mask's longer side: the blur of its edges, where maps would meet in a line
UNTOUCHED = 0.9  # of the photo that is kept, above which all of it is
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
        self._blends: dict[tuple[int, ...], Mapping[str, StyleTarget]] = {}
        sizes = prepared.list_painting_sizes(schedule, self._size)
        if (least := min(min(size) for size in sizes)) < MIN_PAINTING_SIDE:
            raise UsageError(
                f"A painting would be {least} pixels across, and one pass needs {MIN_PAINTING_SIDE}: choose a larger "
                "`style_size` or `size`.",
                setting="style_size",
            )
        self._styles = [
            self._find_levels(painting, size) if painting.weight else {}
            for painting, size in zip(prepared.paintings, sizes, strict=True)
        ]

    def _find_levels(self, painting: StyleInput, size: Size) -> Style:
        if painting.levels is None:
            return measure_levels(self._network, painting.resized(*size))
        return {name: moments.to(self._device) for name, moments in painting.levels.items()}

    def paint(
        self,
        photo: Image,
        paintings: Sequence[StyleInput] | None = None,
        maps: LevelMaps | None = None,
        smooth: Smoothing | None = None,
    ) -> Tensor:
        """Paint a photo of any size as (1, 3, H, W) in [0, 1]; what is transparent keeps its pixels.

        `paintings` are the same paintings with this frame's masks. `maps` and `smooth` are as for `transfer_style`.
        """
        seen = photo.to(self._device).resized(*self._size)
        parts = self._plan_parts(paintings or self._paintings, seen)
        strength = self._settings.fast_strength
        picture = transfer_style(self._network, self._decoder, seen.rgb, parts, strength, maps, smooth)
        if self._is_gray:
            picture.lerp_(to_gray(picture), strength)
        if strength < 1 or any(part.mask is not None for part in parts):
            self._keep_photo(picture, seen.rgb, parts)
        return picture

    def _keep_photo(self, picture: Tensor, rgb: Tensor, parts: Sequence[StylePart]) -> None:
        """Put the photo itself, in place of the decoder's guess of it, where a picture is to stay like it."""
        painted = sum(
            (torch.ones_like(rgb[:, :1]) if part.mask is None else part.mask for part in parts), 0 * rgb[:, :1]
        )
        kept = 1 - self._settings.fast_strength * painted
        guess = transfer_style(self._network, self._decoder, rgb, [], 0.0)
        picture.add_(kept * (rgb - guess)).clamp_(0, 1)
        picture.lerp_(rgb, ((kept - UNTOUCHED) / (1 - UNTOUCHED)).clamp(0, 1))

    def _plan_parts(self, paintings: Sequence[StyleInput], photo: Image) -> list[StylePart]:
        """Return the parts of the canvas, each with the blend of its paintings' moments."""
        groups = group_by_region(paintings)
        masks = _divide(photo, [paintings[group[0]].region for group in groups])
        kept = None if photo.alpha is None else _surround(photo.alpha)
        if photo.guard_map is not None and (guard := self._settings.guard):
            calm = 1 - guard * GUARDED_SHARE * resize_clamped(photo.guard_map, photo.width, photo.height)
            kept = calm if kept is None else kept * calm
        parts = []
        for group, mask in zip(groups, masks, strict=True):
            weighed = [at for at in group if paintings[at].weight]
            if not weighed:  # the photo stays there
                continue
            where = kept if mask is None else mask if kept is None else mask * kept
            parts.append(StylePart(self._blend(tuple(weighed)), where))
        return parts

    def _blend(self, painting_numbers: tuple[int, ...]) -> Mapping[str, StyleTarget]:
        """Return what the paintings with these numbers, blended, carry a photo to."""
        if painting_numbers not in self._blends:
            weights = [self._paintings[at].weight for at in painting_numbers]
            blend = blend_styles([self._styles[at] for at in painting_numbers], weights)
            self._blends[painting_numbers] = list_targets(blend)
        return self._blends[painting_numbers]

    @property
    def _is_gray(self) -> bool:
        """Are all paintings black and white, everywhere?"""
        used = [painting for painting in self._paintings if painting.weight]
        return all(painting.region is None and is_gray(painting) for painting in used)


def paint_fast_canvas(prepared: Prepared, schedule: Schedule, photo: Image) -> Tensor:
    """Paint the first canvas (1, 3, H, W) in [0, 1] of a schedule. Errors: as FastPainter."""
    return FastPainter(prepared, schedule).paint(photo)


@cache
def load_fast_network(device: torch.device, dtype: torch.dtype) -> Network:
    """Load slim as the decoder knows it, whatever the settings say of pooling and padding."""
    network = load_network("slim", cut=DEEPEST_TAP, pooling="max", padding="reflect").to(device, dtype)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _surround(alpha: Tensor) -> Tensor:
    """Return a mask that is 1 wherever something is seen, and fades out beyond: a fade within would show the photo."""
    is_seen = (alpha > 0).to(alpha)
    return (2 * soften_masks(is_seen, SOFT_EDGE)).clamp(max=1).maximum(is_seen)


def _divide(photo: Image, regions: Sequence[Tensor | None]) -> list[Tensor | None]:
    if all(region is None for region in regions):
        return list(regions)
    fitted = [None if each is None else resize_clamped(each, photo.width, photo.height) for each in regions]
    divided = torch.cat(divide_canvas(fitted))
    return [mask[None] for mask in soften_masks(divided, SOFT_EDGE)]
