"""Pictures in folders: which files are pictures; and a folder given as a painting stands for all those in it."""

import os
from collections.abc import Iterable, Sequence
from itertools import chain, repeat
from pathlib import Path
from typing import Any, TypeVar

from impasto.errors import PictureError, UsageError
from impasto.images.collection import find_painting
from impasto.images.formats import HEAD_BYTES, IMAGE_SUFFIXES, RAW_SUFFIXES, describe_foreign
from impasto.settings.model import Settings
from impasto.settings.units import format_count

PaintingLike = TypeVar("PaintingLike")

SYSTEM_FILES = ("Thumbs.db", "desktop.ini")  # of folders, which nobody takes for pictures
MAX_NAMES_SHOWN = 3


def list_pictures(folder: str | os.PathLike[str]) -> tuple[list[Path], list[str]]:
    """List the picture files directly inside a folder, by name, and notes on the files that are left out.

    Raises PictureError where there is none, or the folder can't be read.

    Example: list_pictures("paintings")[0]
    """
    folder = Path(folder)
    try:
        inside = sorted(folder.iterdir())
    except OSError as error:
        raise PictureError(f"{folder} can't be looked into: {error.strerror or error}") from error
    pictures, notes = select_pictures(inside)
    if not pictures:
        why = "".join(f"\n{note}" for note in notes)
        raise PictureError(
            f"{folder} is a folder without pictures: put some in it, such as .jpg or .png, or name a picture{why}"
        )
    return pictures, notes


def select_pictures(paths: Iterable[Path]) -> tuple[list[Path], list[str]]:
    """Select the pictures among files; the notes say which others there are, and why they are left out.

    Folders, hidden files and those that systems put into folders are left out without a word.
    """
    pictures: list[Path] = []
    others: dict[str, list[str]] = {}
    for path in paths:
        if path.name.startswith(".") or path.name in SYSTEM_FILES or path.is_dir():
            continue
        if why := why_left_out(path):
            others.setdefault(why, []).append(path.name)
        else:
            pictures.append(path)
    return pictures, [_describe_left_out(names, why) for why, names in others.items()]


def why_left_out(path: Path) -> str:
    """Say why a file in a folder is not taken for a picture; "" where it is."""
    suffix = path.suffix.lower()
    if suffix not in (*IMAGE_SUFFIXES, *RAW_SUFFIXES):
        return "of a suffix that no picture has; name such a file alone to paint it"
    try:
        with path.open("rb") as file:
            return describe_foreign(file.read(HEAD_BYTES), suffix)
    except OSError:  # reading it will report the error
        return ""


def _describe_left_out(names: list[str], why: str) -> str:
    shown, more = ", ".join(names[:MAX_NAMES_SHOWN]), len(names) - MAX_NAMES_SHOWN
    return f"left out: {shown}{f' and {more} more' if more > 0 else ''}, {why}"


def expand_folders(
    paintings: Sequence[PaintingLike], settings: Settings
) -> tuple[list[PaintingLike | Path], Settings, list[str]]:
    """Replace each folder by its pictures, and repeat the settings of a folder for each of its pictures.

    Returns the paintings, the settings, and notes on the files that are left out.

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
    groups: list[list[PaintingLike | Path]] = []
    notes: list[str] = []
    for painting in paintings:
        found: list[PaintingLike | Path] = [painting]
        if isinstance(painting, str | os.PathLike):
            if Path(painting).is_dir():
                pictures, left_out = list_pictures(painting)
                found, notes = [*pictures], notes + left_out
            else:
                found = [find_painting(painting) or painting]
        groups.append(found)
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
    settings = settings.model_copy(update=changed) if changed else settings
    return list(chain.from_iterable(groups)), settings, notes


def check_count(setting: str, thing: str, values: Sequence[Any], painting_count: int, or_else: str = "") -> None:
    """Raise UsageError where a setting has values, each a `thing`, but not one for each painting."""
    if len(values) not in (0, painting_count):
        given, wanted = format_count(len(values), thing), format_count(painting_count, "painting")
        raise UsageError(f"`{setting}` has {given} for {wanted}: give one for each{or_else}, with commas between them.")
