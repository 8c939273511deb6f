"""The report on a batch: a table as CSV, and a gallery to look at, as HTML."""

import csv
import html
import io
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from impasto.errors import PictureError
from impasto.images.output import atomic_write

CSV_NAME, HTML_NAME = "report.csv", "report.html"
COLUMNS = ("output", "state", "photo", "paintings", "width", "height", "seconds", "tries", "resumed_at", "worker")
LAST_COLUMNS = ("settings", "reason")
GENERATOR_TAG = '<meta name="generator" content="impasto batch">'
PICTURES_PER_PAGE = 300  # pictures
BROWSER_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")  # by browsers

State = Literal["painted", "kept", "failed", "waiting"]

CSS = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 2rem; background: #f6f5f2; color: #222 }
h1 { font-size: 1.3rem } a { color: inherit }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1.5rem }
figure { margin: 0 } img { width: 100%; height: auto; display: block; background: #ddd }
figcaption { padding-top: .4rem; overflow-wrap: anywhere } small { color: #666; display: block }
.failed { border-left: 3px solid #b3261e; padding-left: .8rem; overflow-wrap: anywhere }
""".strip()


@dataclass
class ReportRow:
    """What is known of one picture."""

    output: Path
    photo: Path
    paintings: Sequence[Path]
    settings: dict[str, object] = field(default_factory=dict)
    state: State = "waiting"
    width: int | None = None
    height: int | None = None
    seconds: float | None = None
    tries: int | None = None
    resumed_at: int | None = None
    worker: str = ""
    losses: dict[str, float] = field(default_factory=dict)
    reason: str = ""


def check_report(folder: Path) -> None:
    """Raise PictureError where a file has a report's name that is none; reports of earlier runs are replaced."""
    heads = {CSV_NAME: ",".join(COLUMNS[:3]), HTML_NAME: GENERATOR_TAG}
    for name, head in heads.items():
        path = folder / name
        if os.path.lexists(path) and (
            not path.is_file() or head not in path.read_bytes()[:500].decode(errors="replace")
        ):
            raise PictureError(
                f"{path} is not a report of impasto's, which would replace it: move it, or choose another --output"
            )


def read_times(folder: Path) -> dict[str, float]:
    """Return the seconds that pictures took by their names, from an earlier run's report."""
    try:
        text = (folder / CSV_NAME).read_bytes().decode(errors="surrogateescape")
        return {row["output"]: float(row["seconds"]) for row in csv.DictReader(io.StringIO(text)) if row["seconds"]}
    except (OSError, KeyError, TypeError, ValueError):
        return {}  # they are for information only


def write_report(lines: Sequence[ReportRow], folder: Path) -> None:
    """Write both files, each whole or not at all."""
    pages = [lines[first : first + PICTURES_PER_PAGE] for first in range(0, len(lines), PICTURES_PER_PAGE)] or [[]]
    names = [HTML_NAME, *(f"report_{number}.html" for number in range(2, len(pages) + 1))]
    _write(folder / CSV_NAME, _make_table(lines, folder))
    for name, page in zip(names, pages, strict=True):
        _write(folder / name, "\n".join(_make_page(page, lines, names, name, folder)))


def _write(path: Path, text: str) -> None:
    with atomic_write(path, overwrite=True) as file:
        file.write(text.encode(errors="surrogateescape"))


def _make_table(lines: Sequence[ReportRow], folder: Path) -> str:
    names = list(dict.fromkeys(name for line in lines for name in line.losses))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, *names, *LAST_COLUMNS])
    for line in lines:
        writer.writerow(
            [
                relative_name(line.output, folder),
                line.state,
                line.photo,
                ";".join(map(str, line.paintings)),
                line.width,
                line.height,
                None if line.seconds is None else f"{line.seconds:.2f}",
                line.tries,
                line.resumed_at,
                line.worker,
                *(f"{line.losses[name]:.6g}" if name in line.losses else None for name in names),
                json.dumps(line.settings),
                line.reason,
            ]
        )
    return text.getvalue()


def _make_page(
    page: Sequence[ReportRow], lines: Sequence[ReportRow], names: Sequence[str], name: str, folder: Path
) -> Iterator[str]:
    yield f'<!doctype html><html lang="en"><head><meta charset="utf-8">{GENERATOR_TAG}'
    yield '<meta name="viewport" content="width=device-width"><title>impasto batch</title>'
    yield f"<style>{CSS}</style></head>"
    yield f"<body><h1>{html.escape(count_states(lines))}</h1>"
    if len(names) > 1:
        links = (f"<b>{n}</b>" if it == name else f'<a href="{it}">{n}</a>' for n, it in enumerate(names, start=1))
        yield f"<p>{' '.join(links)}</p>"
    for line in page:
        if line.state == "failed":
            yield f'<p class="failed">{_escape(_describe_inputs(line))}<small>{_escape(line.reason)}</small></p>'
    yield "<main>"
    for line in page:
        if line.state in ("painted", "kept"):
            yield _make_figure(line, folder)
    yield "</main></body></html>"


def _make_figure(line: ReportRow, folder: Path) -> str:
    name = relative_name(line.output, folder)
    link = quote(os.fsencode(name).replace(os.fsencode(os.sep), b"/"))
    shown = line.output.suffix.lower() in BROWSER_SUFFIXES
    size = f' width="{line.width}" height="{line.height}"' if line.width else ""
    picture = f'<img src="{link}" alt="" loading="lazy" decoding="async"{size}>' if shown else _escape(name)
    facts = [f"{line.width} x {line.height}"] if line.width else []
    facts += [f"{line.seconds:.1f} s"] if line.seconds is not None else []
    facts += [f"{loss} {line.losses[loss]:.3g}" for loss in ("content", "style", "total") if loss in line.losses]
    chosen = ", ".join(f"{setting} {value}" for setting, value in line.settings.items())
    return (
        f'<figure><a href="{link}">{picture}</a><figcaption>{_escape(_describe_inputs(line))}'
        f"<small>{_escape(', '.join(facts))}</small><small>{_escape(chosen)}</small></figcaption></figure>"
    )


def count_states(lines: Sequence[ReportRow]) -> str:
    """Count in words: `72 pictures: 60 painted, 10 kept, 2 failed`."""
    words = {"painted": "painted", "kept": "there already", "failed": "failed", "waiting": "not painted yet"}
    counts = {state: sum(line.state == state for line in lines) for state in words}
    parts = [f"{count} {words[state]}" for state, count in counts.items() if count]
    return f"{len(lines)} picture{'' if len(lines) == 1 else 's'}: {', '.join(parts)}"


def relative_name(path: Path, folder: Path) -> str:
    """Return a path as seen from the folder, where it is inside."""
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)


def _describe_inputs(line: ReportRow) -> str:
    return f"{line.photo.name} \N{MULTIPLICATION SIGN} {' + '.join(painting.name for painting in line.paintings)}"


def _escape(text: str) -> str:
    """Escape text, and what no page can hold."""
    return html.escape("".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text))
