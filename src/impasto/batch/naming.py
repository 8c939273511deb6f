"""Names for outputs, from a template: predictable, and never two the same."""

import hashlib
import os
import string
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from impasto.batch.commissions import Commission
from impasto.errors import UsageError
from impasto.images.output import FORMATS
from impasto.settings.model import Settings

DEFAULT_TEMPLATE = "{photo}_{painting}.png"
TEMPLATE_FIELDS = ("photo", "painting", "number", *Settings.model_fields)
MAX_NAME_BYTES = 200  # bytes of one part of a name: file systems end at 255, and a temporary name needs room as well


def name_outputs(commissions: Sequence[Commission], template: str = DEFAULT_TEMPLATE) -> list[str]:
    """Name each commission's file below the output folder, in their order.

    {photo} and {painting} are file names without suffix; several paintings are joined by +. Where two photos would be
    called the same, they have their suffixes too (a.jpg, a.png), or the folders that tell them apart (2023_a, 2024_a).
    Names that are the same all the same are numbered in the order of the commissions, from _2 on. No two differ by
    capitals alone, as some disks don't tell those apart. Raises UsageError for a template that names no place inside
    the output folder, and for a name that a job list gives twice.

    Example: name_outputs(commissions, "{painting}/{photo}.png")
    """
    check_template(template)
    photos = make_distinct_names(commission.photo for commission in commissions)
    paintings = make_distinct_names(painting for commission in commissions for painting in commission.paintings)
    wished = []
    for number, it in enumerate(commissions, start=1):
        words = {
            "photo": photos[it.photo],
            "painting": "+".join(paintings[painting] for painting in it.paintings),
            "number": number,
        }
        wished.append(it.output or _fill_template(template, words, it.settings))
    return _number_duplicates(wished, commissions)


def check_template(template: str) -> None:
    """Raise UsageError where a template names unknown things, or no picture inside the output folder."""
    try:
        parts = list(string.Formatter().parse(template))
        named = [name for _, name, _, _ in parts if name is not None]
        if unknown := [name for name in named if name not in TEMPLATE_FIELDS]:
            raise UsageError(
                f"--name {template}: there is no {{{unknown[0]}}}; there are {{photo}}, {{painting}}, {{number}} and "
                "every setting, such as {size}"
            )
        sample = template.format_map(dict.fromkeys(TEMPLATE_FIELDS, 1) | {"photo": "photo", "painting": "painting"})
    except (ValueError, KeyError, IndexError, AttributeError) as error:
        raise UsageError(f"--name {template}: is no template ({error}); write it like {DEFAULT_TEMPLATE}") from None
    check_name(sample, f"--name {template}")


def check_name(name: str, source: str) -> None:
    """Raise UsageError where a name is not that of a picture inside the output folder; `source` is who gave it."""
    path = PurePosixPath(name)
    if not name.isprintable():
        raise UsageError(f"{source}: holds characters that can't be printed")
    if path.is_absolute() or ".." in path.parts or Path(name).is_absolute() or not path.name:
        raise UsageError(f"{source}: names no place inside the output folder; leave out / at the start and ..")
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"{source}: end the name in {', '.join(FORMATS)}")


def make_distinct_names(paths: Iterable[Path]) -> dict[Path, str]:
    """Give each path a word: its name without suffix where that is enough, else with suffix or with its folders."""
    distinct = list(dict.fromkeys(paths))
    words = {path: path.stem for path in distinct}
    for group in _group_same_names(distinct, words):
        if len({_fold_case(path.name) for path in group}) == len(group):
            words.update({path: path.name for path in group})
            continue
        for path, prefix in _folder_prefixes(group).items():
            words[path] = f"{prefix}_{path.stem}" if prefix else path.stem
        for still in _group_same_names(group, words):
            words.update({path: words[path].removesuffix(path.stem) + path.name for path in still})
    return words


def _folder_prefixes(paths: Sequence[Path]) -> dict[Path, str]:
    """Join as many of the folders above each path as tell their folders apart."""
    folders = {path: path.parent.parts for path in paths}
    depth = 1
    while len({parts[-depth:] for parts in folders.values()}) < len(set(folders.values())):
        depth += 1
    return {path: "_".join(part for part in parts[-depth:] if part != path.anchor) for path, parts in folders.items()}


def _group_same_names(paths: Sequence[Path], words: Mapping[Path, str]) -> list[list[Path]]:
    """Return the groups of paths that have one word."""
    groups: dict[str, list[Path]] = {}
    for path in paths:
        groups.setdefault(_fold_case(words[path]), []).append(path)
    return [group for group in groups.values() if len(group) > 1]


def _fill_template(template: str, words: Mapping[str, object], settings: Settings) -> str:
    values = {**settings.model_dump(mode="json"), **words}
    # What is put into a name makes no folder: a slash is the template's alone.
    fields = {
        name: value if isinstance(value, int | float) else _to_plain_text(value) for name, value in values.items()
    }
    return "/".join(map(_shorten_part, template.format_map(fields).split("/")))


def _to_plain_text(value: object) -> str:
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return "".join("_" if letter in "/\\\0" else letter for letter in text)


def _shorten_part(part: str) -> str:
    """Cut one part of a name that no disk takes, and put digits in that tell it from others cut alike."""
    if len(os.fsencode(part)) <= MAX_NAME_BYTES:
        return part
    suffix = Path(part).suffix if Path(part).suffix.lower() in FORMATS else ""
    digits = hashlib.sha256(os.fsencode(part)).hexdigest()[:8]
    kept = os.fsencode(part.removesuffix(suffix))[: MAX_NAME_BYTES - len(suffix) - 9]
    return f"{kept.decode(errors='ignore')}-{digits}{suffix}"


def _number_duplicates(wished: Sequence[str], commissions: Sequence[Commission]) -> list[str]:
    given: dict[str, Commission] = {}
    for commission in commissions:
        if commission.output is None:
            continue
        if first := given.get(_fold_case(commission.output)):
            raise UsageError(f"{commission.source}: {commission.output} is the output of {first.source} too")
        given[_fold_case(commission.output)] = commission
    taken = {*map(_fold_case, wished)}
    numbers: dict[str, int] = {}
    named = []
    for name, commission in zip(wished, commissions, strict=True):
        folded = _fold_case(name)
        is_first = folded not in numbers
        numbers.setdefault(folded, 1)
        if commission.output is not None or (is_first and folded not in given):
            named.append(name)
            continue
        path = PurePosixPath(name)
        while _fold_case(name) in taken:
            numbers[folded] += 1
            name = str(path.with_name(f"{path.stem}_{numbers[folded]}{path.suffix}"))
        taken.add(_fold_case(name))
        named.append(name)
    return named


def _fold_case(name: str) -> str:
    """Make one of names that some disks take for the same: capitals, composed and decomposed letters."""
    return unicodedata.normalize("NFC", name).casefold()
