"""Which part of the canvas takes its style from which part of which painting, as the settings say."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from impasto.errors import UsageError
from impasto.pictures.files import Picture
from impasto.pictures.labels import list_idle, match_labels, read_labels, show
from impasto.pictures.masks import divide, read_mask, soften
from impasto.pictures.regions import find_regions
from impasto.pictures.sizes import resize
from impasto.settings import Settings
from impasto.values import ALL, REST


@dataclass(frozen=True, eq=False)
class Part:
    """A painting, by its number from 0 on: where it is used, and where on the canvas it is painted with.

    `used` is a mask (1, 1, h, w) on the painting, None for all of it; `place` one on the canvas, None for what other
    parts leave of it. Parts with the very same `place` blend there.
    """

    painting: int
    used: Tensor | None = None
    place: Tensor | None = None


def plan_parts(settings: Settings, photo: Picture | None, paintings: Sequence[Picture]) -> tuple[list[Part], list[str]]:
    """Read or find the masks that the settings name, and list the parts, with what a user should know of them.

    `photo` has to be as visible as it will be painted; a texture has none, and no places.

    Errors: UsageError that names the option; PictureError.
    """
    if photo is None:
        return [Part(number, used) for number, used in enumerate(_read_used(settings.style_mask, paintings))], []
    if settings.regions:
        return _find_parts(settings.regions, photo, paintings), []
    if settings.labels:
        return _label_parts(settings, photo, paintings)
    places = _read_places(settings.mask, photo, len(paintings))
    used = _read_used(settings.style_mask, paintings)
    return [Part(number, *both) for number, both in enumerate(zip(used, places, strict=True))], []


def read_keep(settings: Settings, photo: Picture) -> Tensor | None:
    """Read what stays as it is in the photo, a mask (1, 1, H, W) at the photo's size; None for nothing.

    Errors: UsageError where nothing is left to paint.
    """
    if not settings.keep_mask:
        return None
    mask = read_mask(settings.keep_mask, "--keep-mask", photo, "photo")
    keep = resize(mask, *reversed(photo.rgb.shape[2:])).clamp(0, 1)
    if not _sees(1 - keep, photo):
        raise UsageError(f"--keep-mask {settings.keep_mask} keeps all of the photo: there is nothing left to paint")
    return keep


def without(photo: Picture, keep: Tensor | None) -> Picture:
    """Return the photo with what is kept of it transparent."""
    if keep is None:
        return photo
    return replace(photo, alpha=1 - keep if photo.alpha is None else photo.alpha * (1 - keep))


def under(picture: Picture, mask: Tensor | None) -> Picture:
    """Return a picture with what a mask (1, 1, h, w) leaves out of it transparent."""
    return without(picture, None if mask is None else 1 - resize(mask, *reversed(picture.rgb.shape[2:])).clamp(0, 1))


def _read_places(names: Sequence[str], photo: Picture, count: int) -> list[Tensor | None]:
    if not names:
        return [None] * count
    _check_count("--mask", names, count, f"one for each, or {REST} for what the others leave")
    if all(name == REST for name in names):
        raise UsageError(f"--mask {','.join(names)}: {REST} is what other masks leave, and there is none: name a file")
    read = {name: read_mask(name, "--mask", photo, "photo") for name in dict.fromkeys(names) if name != REST}
    for name, mask in read.items():
        if not _sees(mask, photo):
            raise UsageError(f"--mask {name} is white only where nothing is painted, transparent or kept: widen it")
    if REST in names:
        height, width = photo.rgb.shape[2:]
        rest = divide([*(resize(mask, width, height).clamp(0, 1) for mask in read.values()), None])[-1]
        if not _sees(rest, photo):
            raise UsageError(f"--mask {','.join(names)}: the other masks leave nothing for {REST}")
        read[REST] = rest
    return [read[name] for name in names]


def _read_used(names: Sequence[str], paintings: Sequence[Picture]) -> list[Tensor | None]:
    if not names:
        return [None] * len(paintings)
    _check_count("--style-mask", names, len(paintings), f"one for each, or {ALL} for all of a painting")
    used: list[Tensor | None] = []
    for number, (name, painting) in enumerate(zip(names, paintings, strict=True), start=1):
        used.append(None if name == ALL else read_mask(name, "--style-mask", painting, f"painting {number}"))
        if not _sees(used[-1], painting):
            raise UsageError(f"--style-mask {name} is white only where painting {number} is transparent: widen it")
    return used


def _label_parts(settings: Settings, photo: Picture, paintings: Sequence[Picture]) -> tuple[list[Part], list[str]]:
    names = settings.style_labels
    _check_count("--style-labels", names, len(paintings), "one for each")
    canvas = read_labels(settings.labels, "--labels", photo, "photo")
    theirs = [
        read_labels(name, "--style-labels", painting, f"painting {number}")
        for number, (name, painting) in enumerate(zip(names, paintings, strict=True), start=1)
    ]
    parts = []
    for label, match in enumerate(match_labels(canvas, theirs)):
        place = soften(canvas.mask(label))
        for number, (found, labels) in enumerate(zip(match, theirs, strict=True)):
            if found is None:
                continue
            used = labels.mask(found)
            if not _sees(used, paintings[number]):
                raise UsageError(
                    f"--style-labels {labels.name}: what is {show(labels.colors[found])} is transparent in painting "
                    f"{number + 1}"
                )
            parts.append(Part(number, soften(used), place))
    idle = [(labels.name, ", ".join(list_idle(canvas, labels))) for labels in theirs]
    return parts, [f"{name}: {colors} is in no part of the photo, and not used" for name, colors in idle if colors]


def _find_parts(count: int, photo: Picture, paintings: Sequence[Picture]) -> list[Part]:
    canvas = find_regions(photo, count, "the photo")
    places = torch.split(canvas.masks, 1)
    parts = []
    for number, painting in enumerate(paintings):
        theirs = find_regions(painting, count, f"painting {number + 1}").in_order_of(canvas)
        parts += [Part(number, used, place) for used, place in zip(torch.split(theirs.masks, 1), places, strict=True)]
    return parts


def _check_count(option: str, names: Sequence[str], count: int, advice: str) -> None:
    if len(names) != count:
        raise UsageError(
            f"{option} has {len(names)} file{'' if len(names) == 1 else 's'} for {count} "
            f"painting{'' if count == 1 else 's'}: give {advice}."
        )


def _sees(mask: Tensor | None, picture: Picture) -> bool:
    """Is anything of a picture visible through a mask?"""
    if mask is None or picture.alpha is None:
        return mask is None or bool((mask > 0).any())
    height, width = picture.rgb.shape[2:]
    return bool((resize(mask, width, height).clamp(0, 1) * picture.alpha > 1e-3).any())
