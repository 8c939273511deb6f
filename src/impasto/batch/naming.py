"""Names of a batch's pictures, made from a template: the same in every run, and all different."""

import string
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from impasto.batch.items import BatchItem
from impasto.errors import UsageError
from impasto.images.formats import WRITE_FORMATS
from impasto.images.names import make_file_name
from impasto.settings.model import Settings

DEFAULT_TEMPLATE = "{photo}_{painting}.png"
TEMPLATE_FIELDS = ("photo", "painting", "number", *Settings.model_fields)


def name_outputs(items: Sequence[BatchItem], template: str = DEFAULT_TEMPLATE) -> list[str]:
    """Name each item's file below the output folder, in their order.

    {photo} and {painting} are file names without suffix; several paintings are joined by +. If two photos have the
    same name, their suffixes are added (a.jpg, a.png), or the folders that differ (2023_a, 2024_a). Names that are
    still the same are numbered in the order of the items, from _2 on. No two names differ by capitals alone, because
    some disks ignore those. Raises UsageError for a template that names no place inside the output folder, and for a
    name that a job list gives twice.

    Example: name_outputs(items, "{painting}/{photo}.png")
    """
    check_template(template)
    photos = make_distinct_names(item.photo for item in items)
    paintings = make_distinct_names(painting for item in items for painting in item.job.paintings)
    wanted = []
    for number, item in enumerate(items, start=1):
        words = {
            "photo": photos[item.photo],
            "painting": "+".join(paintings[painting] for painting in item.job.paintings),
            "number": number,
        }
        wanted.append(item.name or _fill_template(template, words, item.job.settings))
    return _number_duplicates(wanted, items)


def check_template(template: str) -> None:
    """Raise UsageError if a template has unknown fields, or names no picture inside the output folder."""
    source = f"`name` {template}"
    try:
        parts = list(string.Formatter().parse(template))
        fields = [field for _, field, _, _ in parts if field is not None]
        if unknown := [field for field in fields if field not in TEMPLATE_FIELDS]:
            raise UsageError(
                f"{source}: there is no {{{unknown[0]}}}; there are {{photo}}, {{painting}}, {{number}} and every "
                "setting, such as {size}",
            )
        sample = template.format_map(dict.fromkeys(TEMPLATE_FIELDS, 1) | {"photo": "photo", "painting": "painting"})
    except (ValueError, KeyError, IndexError, AttributeError) as error:
        raise UsageError(f"{source}: is not a template ({error}); write it like {DEFAULT_TEMPLATE}") from None
    check_name(sample, source)


def check_name(name: str, source: str) -> None:
    """Raise UsageError if a name is not that of a picture inside the output folder; `source` is who gave it."""
    path = PurePosixPath(name)
    if not name.isprintable():
        raise UsageError(f"{source}: has characters that can't be printed")
    if path.is_absolute() or ".." in path.parts or Path(name).is_absolute() or not path.name:
        raise UsageError(f"{source}: names no place inside the output folder; leave out / at the start and ..")
    if path.suffix.lower() not in WRITE_FORMATS:
        raise UsageError(f"{source}: end the name in {', '.join(WRITE_FORMATS)}")


def make_distinct_names(paths: Iterable[Path]) -> dict[Path, str]:
    """Return a name for each path.

    It is its stem; if stems clash, its file name; if those clash, the stem after the folders that differ.
    """
    distinct = list(dict.fromkeys(paths))
    names = {path: path.stem for path in distinct}
    for group in _group_same_names(distinct, names):
        if len({_fold_case(path.name) for path in group}) == len(group):
            names.update({path: path.name for path in group})
            continue
        for path, prefix in _folder_prefixes(group).items():
            names[path] = f"{prefix}_{path.stem}" if prefix else path.stem
        for still_same in _group_same_names(group, names):
            names.update({path: names[path].removesuffix(path.stem) + path.name for path in still_same})
    return names


def _folder_prefixes(paths: Sequence[Path]) -> dict[Path, str]:
    """Join as many of the folders above each path as it takes to tell the folders apart."""
    folders = {path: path.parent.parts for path in paths}
    depth = 1
    while len({parts[-depth:] for parts in folders.values()}) < len(set(folders.values())):
        depth += 1
    return {path: "_".join(part for part in parts[-depth:] if part != path.anchor) for path, parts in folders.items()}


def _group_same_names(paths: Sequence[Path], names: Mapping[Path, str]) -> list[list[Path]]:
    """Return the groups of paths that have the same name."""
    groups: dict[str, list[Path]] = {}
    for path in paths:
        groups.setdefault(_fold_case(names[path]), []).append(path)
    return [group for group in groups.values() if len(group) > 1]


def _fill_template(template: str, words: Mapping[str, object], settings: Settings) -> str:
    values = {**settings.model_dump(mode="json"), **words}
    # Only a slash of the template makes a folder, not one in a value.
    fields = {
        name: value if isinstance(value, int | float) else _to_plain_text(value) for name, value in values.items()
    }
    return "/".join(map(make_file_name, template.format_map(fields).split("/")))


def _to_plain_text(value: object) -> str:
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return text.replace("/", "_")


def _number_duplicates(wanted: Sequence[str], items: Sequence[BatchItem]) -> list[str]:
    given = _check_given_names(items)
    taken = {*map(_fold_case, wanted)}
    numbers: dict[str, int] = {}
    names = []
    for name, item in zip(wanted, items, strict=True):
        folded = _fold_case(name)
        is_first = folded not in numbers
        numbers.setdefault(folded, 1)
        if item.name or (is_first and folded not in given):
            names.append(name)
            continue
        path = PurePosixPath(name)
        while _fold_case(name) in taken:
            numbers[folded] += 1
            name = str(path.with_name(f"{path.stem}_{numbers[folded]}{path.suffix}"))
        taken.add(_fold_case(name))
        names.append(name)
    return names


def _check_given_names(items: Sequence[BatchItem]) -> set[str]:
    """Return the names that the job list gives; raises UsageError if one is given twice."""
    given: dict[str, BatchItem] = {}
    for item in (item for item in items if item.name):
        if first := given.get(_fold_case(item.name)):
            raise UsageError(f"{item.source}: {item.name} is the output of {first.source} too")
        given[_fold_case(item.name)] = item
    return {*given}


def _fold_case(name: str) -> str:
    """Make names equal that some disks take for the same: capitals, composed and decomposed letters."""
    return unicodedata.normalize("NFC", name).casefold()
