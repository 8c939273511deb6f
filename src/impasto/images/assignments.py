"""Which part of the canvas takes its style from which part of which painting, as the settings say."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from impasto.errors import UsageError
from impasto.images.image import Image
from impasto.images.labels import format_color, list_unused_colors, match_label_colors, read_labels
from impasto.images.masks import divide_canvas, read_mask, soften_masks
from impasto.images.segmentation import find_regions
from impasto.images.sizes import resize
from impasto.settings.model import Settings
from impasto.settings.types import REST_MASK, WHOLE_MASK


@dataclass(frozen=True, eq=False)
class StyleAssignment:
    """A painting, by its number from 0 on: where it is used, and where on the canvas it is painted with.

    `used` is a mask (1, 1, h, w) on the painting, None for all of it; `place` one on the canvas, None for what other
    parts leave of it. Parts with the very same `place` blend there.
    """

    painting: int
    painting_mask: Tensor | None = None
    canvas_mask: Tensor | None = None


def plan_assignments(
    settings: Settings, photo: Image | None, paintings: Sequence[Image]
) -> tuple[list[StyleAssignment], list[str]]:
    """Read or find the masks that the settings name, and list the parts, with what a user should know of them.

    `photo` has to be as visible as it will be painted; a texture has none, and no places.

    Errors: UsageError that names the option; PictureError.
    """
    if photo is None:
        return [
            StyleAssignment(number, used)
            for number, used in enumerate(_read_painting_masks(settings.style_mask, paintings))
        ], []
    if settings.regions:
        return _assign_by_regions(settings.regions, photo, paintings), []
    if settings.labels:
        return _assign_by_labels(settings, photo, paintings)
    places = _read_canvas_masks(settings.mask, photo, len(paintings))
    used = _read_painting_masks(settings.style_mask, paintings)
    return [StyleAssignment(number, *both) for number, both in enumerate(zip(used, places, strict=True))], []


def read_keep_mask(settings: Settings, photo: Image) -> Tensor | None:
    """Read what stays as it is in the photo, a mask (1, 1, H, W) at the photo's size; None for nothing.

    Errors: UsageError where nothing is left to paint.
    """
    if not settings.preserve_mask:
        return None
    mask = read_mask(settings.preserve_mask, "--preserve-mask", photo, "photo")
    keep = resize(mask, *reversed(photo.rgb.shape[2:])).clamp(0, 1)
    if not photo.is_visible(1 - keep):
        raise UsageError(
            f"--preserve-mask {settings.preserve_mask} keeps all of the photo: there is nothing left to paint"
        )
    return keep


def _read_canvas_masks(names: Sequence[str], photo: Image, count: int) -> list[Tensor | None]:
    if not names:
        return [None] * count
    _check_file_count("--mask", names, count, f"one for each, or {REST_MASK} for what the others leave")
    if all(name == REST_MASK for name in names):
        raise UsageError(
            f"--mask {','.join(names)}: {REST_MASK} is what other masks leave, and there is none: name a file"
        )
    read = {name: read_mask(name, "--mask", photo, "photo") for name in dict.fromkeys(names) if name != REST_MASK}
    for name, mask in read.items():
        if not photo.is_visible(mask):
            raise UsageError(f"--mask {name} is white only where nothing is painted, transparent or kept: widen it")
    if REST_MASK in names:
        height, width = photo.rgb.shape[2:]
        rest = divide_canvas([*(resize(mask, width, height).clamp(0, 1) for mask in read.values()), None])[-1]
        if not photo.is_visible(rest):
            raise UsageError(f"--mask {','.join(names)}: the other masks leave nothing for {REST_MASK}")
        read[REST_MASK] = rest
    return [read[name] for name in names]


def _read_painting_masks(names: Sequence[str], paintings: Sequence[Image]) -> list[Tensor | None]:
    if not names:
        return [None] * len(paintings)
    _check_file_count("--style-mask", names, len(paintings), f"one for each, or {WHOLE_MASK} for all of a painting")
    used: list[Tensor | None] = []
    for number, (name, painting) in enumerate(zip(names, paintings, strict=True), start=1):
        used.append(None if name == WHOLE_MASK else read_mask(name, "--style-mask", painting, f"painting {number}"))
        if not painting.is_visible(used[-1]):
            raise UsageError(f"--style-mask {name} is white only where painting {number} is transparent: widen it")
    return used


def _assign_by_labels(
    settings: Settings, photo: Image, paintings: Sequence[Image]
) -> tuple[list[StyleAssignment], list[str]]:
    names = settings.style_labels
    _check_file_count("--style-labels", names, len(paintings), "one for each")
    canvas = read_labels(settings.labels, "--labels", photo, "photo")
    theirs = [
        read_labels(name, "--style-labels", painting, f"painting {number}")
        for number, (name, painting) in enumerate(zip(names, paintings, strict=True), start=1)
    ]
    parts = []
    for label, match in enumerate(match_label_colors(canvas, theirs)):
        place = soften_masks(canvas.make_mask(label))
        for number, (found, labels) in enumerate(zip(match, theirs, strict=True)):
            if found is None:
                continue
            used = labels.make_mask(found)
            if not paintings[number].is_visible(used):
                raise UsageError(
                    f"--style-labels {labels.name}: what is {format_color(labels.colors[found])} is transparent in "
                    "painting "
                    f"{number + 1}"
                )
            parts.append(StyleAssignment(number, soften_masks(used), place))
    idle = [(labels.name, ", ".join(list_unused_colors(canvas, labels))) for labels in theirs]
    return parts, [f"{name}: {colors} is in no part of the photo, and not used" for name, colors in idle if colors]


def _assign_by_regions(count: int, photo: Image, paintings: Sequence[Image]) -> list[StyleAssignment]:
    canvas = find_regions(photo, count, "the photo")
    places = torch.split(canvas.masks, 1)
    parts = []
    for number, painting in enumerate(paintings):
        theirs = find_regions(painting, count, f"painting {number + 1}").reordered_like(canvas)
        parts += [
            StyleAssignment(number, used, place)
            for used, place in zip(torch.split(theirs.masks, 1), places, strict=True)
        ]
    return parts


def _check_file_count(option: str, names: Sequence[str], count: int, advice: str) -> None:
    if len(names) != count:
        raise UsageError(
            f"{option} has {len(names)} file{'' if len(names) == 1 else 's'} for {count} "
            f"painting{'' if count == 1 else 's'}: give {advice}."
        )
