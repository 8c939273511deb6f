"""Style assignments: the part of the canvas that each painting, or a part of it, is the style of."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from impasto.errors import UsageError
from impasto.images.folders import check_count
from impasto.images.image import Image
from impasto.images.labels import LabelMap, format_color, list_unused_colors, match_label_colors, read_labels
from impasto.images.masks import divide_canvas, read_mask, soften_masks
from impasto.images.segmentation import find_regions
from impasto.images.sizes import resize_clamped
from impasto.settings.model import Settings
from impasto.settings.types import REST_MASK, WHOLE_MASK

Masks = list[Tensor | None]


@dataclass(frozen=True, eq=False)
class StyleAssignment:
    """A painting, by its number from 0 on; the part of it that is used; the part of the canvas that takes its style.

    `painting_mask` is a mask (1, 1, h, w) on the painting, None for all of it; `canvas_mask` is one on the canvas, None
    for the rest that other assignments leave. Assignments with the same `canvas_mask` object blend there.
    """

    painting: int
    painting_mask: Tensor | None = None
    canvas_mask: Tensor | None = None


def plan_assignments(
    settings: Settings, photo: Image | None, paintings: Sequence[Image]
) -> tuple[list[StyleAssignment], list[str]]:
    """Read or find the masks that the settings name; return the assignments, and notes for the user.

    `photo` must be as transparent as it will be painted; a texture has none, and no masks on the canvas.

    Errors: UsageError that carries the setting; PictureError.
    """
    if photo is not None and settings.regions:
        return _assign_by_regions(settings.regions, photo, paintings), []
    if photo is not None and settings.labels:
        return _assign_by_labels(settings, photo, paintings)
    painting_masks = _read_painting_masks(settings.style_mask, paintings)
    canvas_masks = _read_canvas_masks(settings.mask, photo, len(paintings)) if photo else [None] * len(paintings)
    both = zip(painting_masks, canvas_masks, strict=True)
    return [StyleAssignment(number, *masks) for number, masks in enumerate(both)], []


def read_preserve_mask(settings: Settings, photo: Image) -> Tensor | None:
    """Read the mask (1, 1, H, W), at the photo's size, of what stays as it is in the photo; None for nothing.

    Errors: UsageError where nothing is left to paint.
    """
    name = settings.preserve_mask
    if not name:
        return None
    mask = resize_clamped(read_mask(name, "preserve_mask", photo, "photo"), photo.width, photo.height)
    if not photo.is_visible(1 - mask):
        raise UsageError(f"`preserve_mask` {name} keeps all of the photo: there is nothing left to paint")
    return mask


def _read_canvas_masks(names: Sequence[str], photo: Image, count: int) -> Masks:
    if not names:
        return [None] * count
    check_count("mask", "file", names, count, f", or {REST_MASK} for what the others leave")
    given = f"`mask` {','.join(names)}"
    if all(name == REST_MASK for name in names):
        raise UsageError(f"{given}: {REST_MASK} is what other masks leave, and there is none: name a file")
    masks = {name: read_mask(name, "mask", photo, "photo") for name in dict.fromkeys(names) if name != REST_MASK}
    for name, mask in masks.items():
        if not photo.is_visible(mask):
            raise UsageError(f"`mask` {name} is white only where nothing is painted, transparent or kept: widen it")
    if REST_MASK in names:
        rest = divide_canvas([*(resize_clamped(mask, photo.width, photo.height) for mask in masks.values()), None])[-1]
        if not photo.is_visible(rest):
            raise UsageError(f"{given}: the other masks leave nothing for {REST_MASK}")
        masks[REST_MASK] = rest
    return [masks[name] for name in names]


def _read_painting_masks(names: Sequence[str], paintings: Sequence[Image]) -> Masks:
    if not names:
        return [None] * len(paintings)
    check_count("style_mask", "file", names, len(paintings), f", or {WHOLE_MASK} for all of a painting")
    return [
        None if name == WHOLE_MASK else _read_painting_mask(name, painting, number)
        for number, (name, painting) in enumerate(zip(names, paintings, strict=True), start=1)
    ]


def _read_painting_mask(name: str, painting: Image, number: int) -> Tensor:
    mask = read_mask(name, "style_mask", painting, f"painting {number}")
    if not painting.is_visible(mask):
        raise UsageError(f"`style_mask` {name} is white only where painting {number} is transparent: widen it")
    return mask


def _assign_by_labels(
    settings: Settings, photo: Image, paintings: Sequence[Image]
) -> tuple[list[StyleAssignment], list[str]]:
    names = settings.style_labels
    check_count("style_labels", "file", names, len(paintings))
    canvas = read_labels(settings.labels, "labels", photo, "photo")
    label_maps = [
        read_labels(name, "style_labels", painting, f"painting {number}")
        for number, (name, painting) in enumerate(zip(names, paintings, strict=True), start=1)
    ]
    assignments = []
    for label, matches in enumerate(match_label_colors(canvas, label_maps)):
        canvas_mask = soften_masks(canvas.make_mask(label))
        assignments += [
            StyleAssignment(number, _mask_label(label_maps[number], match, paintings[number], number + 1), canvas_mask)
            for number, match in enumerate(matches)
            if match is not None
        ]
    unused = [(label_map.name, ", ".join(list_unused_colors(canvas, label_map))) for label_map in label_maps]
    return assignments, [
        f"{name}: {colors} is not used, no part of the photo has it" for name, colors in unused if colors
    ]


def _mask_label(label_map: LabelMap, label: int, painting: Image, number: int) -> Tensor:
    """Return the soft mask of a label in a painting."""
    mask = label_map.make_mask(label)
    if not painting.is_visible(mask):
        color = format_color(label_map.colors[label])
        raise UsageError(f"`style_labels` {label_map.name}: the part in {color} is transparent in painting {number}")
    return soften_masks(mask)


def _assign_by_regions(count: int, photo: Image, paintings: Sequence[Image]) -> list[StyleAssignment]:
    canvas = find_regions(photo, count, "the photo")
    canvas_masks = torch.split(canvas.masks, 1)
    assignments = []
    for number, painting in enumerate(paintings):
        matched = find_regions(painting, count, f"painting {number + 1}").reordered_like(canvas)
        both = zip(torch.split(matched.masks, 1), canvas_masks, strict=True)
        assignments += [StyleAssignment(number, *masks) for masks in both]
    return assignments
