"""The report of a batch: a table as CSV, and a gallery as HTML, both written while the batch runs."""

import csv
import functools
import io
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, Template

from impasto.batch.inputs import REPORT_NAMES
from impasto.batch.items import BatchItem
from impasto.errors import PictureError
from impasto.images.output import atomic_write
from impasto.runs.checkpoints import Throttle
from impasto.settings.units import format_count

CSV_NAME, HTML_NAME = REPORT_NAMES
COLUMNS = ("output", "status", "photo", "paintings", "width", "height", "seconds", "attempts", "resumed_at", "worker")
LAST_COLUMNS = ("settings", "reason")
GENERATOR_TAG = '<meta name="generator" content="impasto batch">'
PICTURES_PER_PAGE = 300
BROWSER_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
SHOWN_LOSSES = ("content", "style", "total")
STATUS_WORDS = {"painted": "painted", "kept": "there already", "failed": "failed", "waiting": "not painted yet"}
WRITE_INTERVAL_SECONDS = 20.0
MAX_WRITE_SHARE = 0.05  # of the time; the report of a million pictures takes long to write


class BatchReport:
    """Writes the report of a batch's items into the output folder."""

    def __init__(self, items: Sequence[BatchItem], folder: Path) -> None:
        self.items: Sequence[BatchItem] = items
        self._folder = folder
        seconds = read_seconds(folder)
        for item in items:
            if item.status == "kept":
                item.result = replace(item.result, seconds=seconds.get(item.label))
        self._throttle = Throttle(MAX_WRITE_SHARE, WRITE_INTERVAL_SECONDS)

    def write_if_due(self) -> None:
        """Write the report if the last one is old enough."""
        if self._throttle.is_due:
            self.write()

    def write(self) -> None:
        """Write the report."""
        with self._throttle.measure():
            write_report(self.items, self._folder)


def check_report(folder: Path, count: int) -> None:
    """Raise PictureError if another file has the name of a file of the report of so many pictures.

    Reports of earlier runs may be replaced.
    """
    heads = {CSV_NAME: "output,", **dict.fromkeys(_name_pages(count), GENERATOR_TAG)}
    for name, head in heads.items():
        path = folder / name
        if os.path.lexists(path) and (
            not path.is_file() or head not in path.read_bytes()[:500].decode(errors="replace")
        ):
            raise PictureError(
                f"{path} is not a report of impasto, which would replace it: move it, or choose another `output`"
            )


def read_seconds(folder: Path) -> dict[str, float]:
    """Return the seconds that pictures took, by their names, from the report of an earlier run."""
    try:
        text = (folder / CSV_NAME).read_bytes().decode(errors="surrogateescape")
        return {row["output"]: float(row["seconds"]) for row in csv.DictReader(io.StringIO(text)) if row["seconds"]}
    except (OSError, KeyError, TypeError, ValueError):
        return {}  # they are for information only


def write_report(items: Sequence[BatchItem], folder: Path) -> None:
    """Write the table and the pages of the gallery, each whole or not at all."""
    _write(folder / CSV_NAME, _make_table(items))
    pages = _name_pages(len(items))
    for number, page in enumerate(pages):
        shown = items[number * PICTURES_PER_PAGE : (number + 1) * PICTURES_PER_PAGE]
        text = _load_template().render(items=shown, summary=count_statuses(items), pages=pages, page=page)
        _write(folder / page, text)


def count_statuses(items: Sequence[BatchItem]) -> str:
    """Count in words: `72 pictures: 60 painted, 10 there already, 2 failed`."""
    counts = {status: sum(item.status == status for item in items) for status in STATUS_WORDS}
    parts = [f"{count} {STATUS_WORDS[status]}" for status, count in counts.items() if count]
    return f"{format_count(len(items), 'picture')}: {', '.join(parts)}"


def _name_pages(count: int) -> list[str]:
    """Name the pages of the gallery of so many pictures."""
    pages = -(-count // PICTURES_PER_PAGE)
    return [HTML_NAME, *(f"report_{number}.html" for number in range(2, pages + 1))]


def _write(path: Path, text: str) -> None:
    with atomic_write(path, overwrite=True) as file:
        file.write(text.encode(errors="surrogateescape"))


def _make_table(items: Sequence[BatchItem]) -> str:
    losses = list(dict.fromkeys(name for item in items for name in item.result.losses))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, *losses, *LAST_COLUMNS])
    writer.writerows(_make_row(item, losses) for item in items)
    return text.getvalue()


def _make_row(item: BatchItem, losses: Sequence[str]) -> list[object]:
    result = item.result
    return [
        item.label,
        item.status,
        item.photo,
        ";".join(map(str, item.job.paintings)),
        result.width or None,
        result.height or None,
        None if result.seconds is None else f"{result.seconds:.2f}",
        item.attempts or None,
        result.resumed_at,
        item.worker,
        *(f"{result.losses[name]:.6g}" if name in result.losses else None for name in losses),
        json.dumps(item.given_settings),
        item.reason,
    ]


@functools.cache
def _load_template() -> Template:
    environment = Environment(autoescape=True, trim_blocks=True, finalize=_replace_unprintable)
    environment.filters |= {"link": _link, "facts": _list_facts}
    environment.globals |= {"generator_tag": GENERATOR_TAG, "browser_suffixes": BROWSER_SUFFIXES}
    return environment.from_string(Path(__file__).with_name("report.html.j2").read_text(encoding="utf-8"))


def _replace_unprintable(value: object) -> object:
    if not isinstance(value, str) or value.isprintable():
        return value
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in value)


def _link(item: BatchItem) -> str:
    return quote(os.fsencode(item.label).replace(os.fsencode(os.sep), b"/"))


def _list_facts(item: BatchItem) -> Iterator[str]:
    result = item.result
    if result.width:
        yield f"{result.width} x {result.height}"
    if result.seconds is not None:
        yield f"{result.seconds:.1f} s"
    yield from (f"{loss} {result.losses[loss]:.3g}" for loss in SHOWN_LOSSES if loss in result.losses)
