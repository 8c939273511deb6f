"""Folders of paintings: one where a painting is expected stands for all the pictures in it."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from impasto.errors import PictureError, UsageError
from impasto.settings.model import Settings

IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".dib", ".gif"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".jpf", ".jpx", ".j2c", ".jpc"),
)  # of what `read_image` reads

PaintingLike = TypeVar("PaintingLike")


def list_pictures(folder: str | os.PathLike[str]) -> list[Path]:
    """List the picture files right inside a folder, by their names.

    Hidden files, folders and files of other suffixes are passed over. Raises PictureError where there is none, or the
    folder can't be read.

    Example: list_pictures("paintings")
    """
    folder = Path(folder)
    try:
        inside = sorted(folder.iterdir())
    except OSError as error:
        raise PictureError(f"{folder} can't be looked into: {error.strerror or error}") from error
    found = [path for path in inside if not path.name.startswith(".") and path.suffix.lower() in IMAGE_SUFFIXES]
    pictures = [path for path in found if not path.is_dir()]
    if not pictures:
        raise PictureError(
            f"{folder} is a folder without pictures: put some in it, such as .jpg or .png, or name a picture"
        )
    return pictures


def expand_folders(paintings: Sequence[PaintingLike], settings: Settings) -> tuple[list[PaintingLike | Path], Settings]:
    """Put the pictures of each folder in its place, and give the settings that say the same of them one by one.

    A folder counts as one painting: its pictures share its weight in `style_blend` evenly, and each has its size in
    `style_size`, its mask and its labels. What is no folder's path is left as it is.

    Errors: UsageError where the settings have another number of weights or sizes than there are paintings;
    PictureError as for `list_pictures`.
    """
    _check_count("--style-blend", "weight", len(settings.style_blend), len(paintings))
    if len(settings.style_size) > 1:
        _check_count("--style-size", "size", len(settings.style_size), len(paintings), ", or one for all")
    if settings.style_blend and not any(settings.style_blend):
        raise UsageError("--style-blend: at least one painting needs a weight above 0.")
    groups: list[list[PaintingLike | Path]] = [
        [*list_pictures(painting)]
        if isinstance(painting, str | os.PathLike) and Path(painting).is_dir()
        else [painting]
        for painting in paintings
    ]
    counts = [len(group) for group in groups]
    changed: dict[str, Any] = {}
    if settings.style_blend or len(set(counts)) > 1:
        blend = settings.style_blend or (1.0,) * len(groups)
        changed["style_blend"] = tuple(
            weight / count for weight, count in zip(blend, counts, strict=True) for _ in range(count)
        )
    if len(settings.style_size) > 1:
        changed["style_size"] = tuple(
            size for size, count in zip(settings.style_size, counts, strict=True) for _ in range(count)
        )
    for name in ("mask", "style_mask", "style_labels"):
        if len(named := getattr(settings, name)) == len(counts):
            changed[name] = tuple(file for file, count in zip(named, counts, strict=True) for _ in range(count))
    changed = {name: value for name, value in changed.items() if value != getattr(settings, name)}
    every = [painting for group in groups for painting in group]
    return every, settings.model_copy(update=changed) if changed else settings


def _check_count(flag: str, what: str, given: int, wanted: int, otherwise: str = "") -> None:
    if given not in (0, wanted):
        raise UsageError(
            f"{flag} has {_count(given, what)} for {_count(wanted, 'painting')}: give one for each{otherwise}."
        )


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
