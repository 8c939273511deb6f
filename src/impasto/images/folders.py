"""Folders of paintings: a folder given as a painting stands for all the pictures in it."""

import os
from collections.abc import Sequence
from itertools import chain, repeat
from pathlib import Path
from typing import Any, TypeVar

from impasto.errors import PictureError, UsageError
from impasto.images.collection import find_painting
from impasto.settings.model import Settings
from impasto.settings.units import format_count

# The suffixes of files that `read_image` reads.
IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".dib", ".gif"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".jpf", ".jpx", ".j2c", ".jpc"),
)

PaintingLike = TypeVar("PaintingLike")


def list_pictures(folder: str | os.PathLike[str]) -> list[Path]:
    """List the picture files directly inside a folder, by name; hidden files and files of other suffixes are skipped.

    Raises PictureError where there is none, or the folder can't be read.

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
    """Replace each folder by its pictures, and repeat the settings of a folder for each of its pictures.

    The name of a painting of the collection is replaced by its file.
    A folder counts as one painting: its pictures share its weight in `style_blend` evenly, and each has its size in
    `style_size`, its mask and its labels.

    Errors: UsageError where the settings have another number of weights or sizes than there are paintings;
    PictureError as for `list_pictures`.
    """
    check_count("style_blend", "weight", settings.style_blend, len(paintings))
    if len(settings.style_size) > 1:
        check_count("style_size", "size", settings.style_size, len(paintings), ", or one for all")
    if settings.style_blend and not any(settings.style_blend):
        raise UsageError("`style_blend`: at least one painting needs a weight above 0.")
    groups: list[list[PaintingLike | Path]] = [
        [painting]
        if not isinstance(painting, str | os.PathLike)
        else [*list_pictures(painting)]
        if Path(painting).is_dir()
        else [find_painting(painting) or painting]
        for painting in paintings
    ]
    counts = [len(group) for group in groups]

    def repeat_for_each(values: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(chain.from_iterable(map(repeat, values, counts)))

    changed: dict[str, Any] = {}
    if settings.style_blend or len(set(counts)) > 1:
        blend = settings.style_blend or (1.0,) * len(groups)
        changed["style_blend"] = repeat_for_each([weight / count for weight, count in zip(blend, counts, strict=True)])
    for name in ("style_size", "mask", "style_mask", "style_labels"):
        values = getattr(settings, name)
        if len(values) == len(counts) and not (name == "style_size" and len(values) == 1):
            changed[name] = repeat_for_each(values)
    changed = {name: value for name, value in changed.items() if value != getattr(settings, name)}
    return list(chain.from_iterable(groups)), settings.model_copy(update=changed) if changed else settings


def check_count(setting: str, thing: str, values: Sequence[Any], painting_count: int, or_else: str = "") -> None:
    """Raise UsageError where a setting has values, each a `thing`, but not one for each painting."""
    if len(values) not in (0, painting_count):
        given, wanted = format_count(len(values), thing), format_count(painting_count, "painting")
        raise UsageError(f"`{setting}` has {given} for {wanted}: give one for each{or_else}.")
