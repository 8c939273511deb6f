"""Job lists: pictures row by row, each with settings of its own, in CSV, TOML or JSON lines."""

import csv
import io
import tomllib
from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from impasto.batch.commissions import Commission
from impasto.batch.naming import check_name
from impasto.cli.options import parse_settings
from impasto.errors import UsageError
from impasto.settings.model import Settings

JOB_LIST_SUFFIXES = (".csv", ".toml", ".jsonl")
JOB_FIELDS = ("photo", "painting", "paintings", "output", "bits", "quality")  # what a row has beside settings

Row = tuple[str, dict[str, Any]]  # where it stands, and its values


def _read_number(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.isdecimal() else value  # CSV has words alone


class _JobFields(BaseModel):
    """What a row says beside settings."""

    model_config = ConfigDict(extra="forbid")

    photo: str = Field(min_length=1)
    paintings: list[str] = Field(min_length=1)
    output: str | None = None
    bits: Annotated[Literal[8, 16] | None, BeforeValidator(_read_number)] = None
    quality: int | None = Field(None, ge=1, le=100)


def read_job_list(
    path: Path, given: Mapping[str, Any], *, bits: Literal[8, 16] = 8, quality: int = 95
) -> list[Commission]:
    """Read a job list; `given` are the settings from the command line, which a row's own override.

    A row has `photo`, `painting` (or `paintings`, several), and may have `output`, `bits`, `quality` and any setting;
    what it leaves empty is as the command line says. Files are looked for from the list's folder.

    CSV has a line of these names first, and several paintings have semicolons between them; TOML has a [[job]] for
    each, JSON lines an object on each line.

    Raises UsageError that names the place of whatever is wrong, for a list without rows too.
    """
    rows = list(_read_rows(path))
    if not rows:
        raise UsageError(f"--jobs {path}: holds no jobs")
    faults: list[str] = []
    commissions = []
    for where, row in rows:
        try:
            commissions.append(_read_row(row, where, path.absolute().parent, given, bits, quality))
        except UsageError as error:
            faults += str(error).splitlines()
    if faults:
        more = f"\nand {len(faults) - 10} more" if len(faults) > 10 else ""
        raise UsageError("\n".join(faults[:10]) + more)
    return commissions


def _read_rows(path: Path) -> Iterator[Row]:
    suffix = path.suffix.lower()
    if suffix not in JOB_LIST_SUFFIXES:
        raise UsageError(f"--jobs {path}: takes a list in {', '.join(JOB_LIST_SUFFIXES)}")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"--jobs {path}: is not text in UTF-8 ({error}): save it as UTF-8") from None
    except OSError as error:
        raise UsageError(f"--jobs {path}: can't be read, {error.strerror or error}") from None
    read = {".csv": _read_csv, ".toml": _read_toml, ".jsonl": _read_json_lines}[suffix]
    yield from read(text, path)


def _read_csv(text: str, path: Path) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    names: list[str] | None = None
    try:
        for cells in reader:
            where = f"{path}, line {reader.line_num}"
            if not any(cell.strip() for cell in cells):
                continue
            if names is None:
                names = [cell.strip().replace("-", "_") for cell in cells]
                if twice := next((name for name in names if names.count(name) > 1), None):
                    raise UsageError(f"{where}: there are two columns {twice!r}")
                continue
            if len(cells) > len(names):
                raise UsageError(f"{where}: has {len(cells)} cells for {len(names)} columns; put quotes around commas")
            row: dict[str, Any] = {name: cell.strip() for name, cell in zip(names, cells, strict=False) if cell.strip()}
            if "paintings" in row:
                row["paintings"] = [name.strip() for name in row["paintings"].split(";") if name.strip()]
            yield where, row
    except csv.Error as error:
        raise UsageError(f"{path}, line {reader.line_num}: is no CSV: {error}") from None


def _read_toml(text: str, path: Path) -> Iterator[Row]:
    try:
        data = tomllib.loads(text)
    except ValueError as error:
        raise UsageError(f"--jobs {path}: is no TOML: {error}") from None
    jobs = data.pop("job", [])
    if data or not isinstance(jobs, list) or not all(isinstance(job, dict) for job in jobs):
        raise UsageError(f"--jobs {path}: takes a [[job]] for each picture and nothing beside them")
    for number, job in enumerate(jobs, start=1):
        yield f"{path}, job {number}", job


def _read_json_lines(text: str, path: Path) -> Iterator[Row]:
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            row = from_json(line, allow_inf_nan=False)
        except ValueError as error:
            raise UsageError(f"{where}: is no JSON: {error}") from None
        if not isinstance(row, dict):
            raise UsageError(f'{where}: takes an object, such as {{"photo": "a.jpg", "painting": "b.jpg"}}')
        yield where, row


def _read_row(
    row: dict[str, Any], where: str, folder: Path, given: Mapping[str, Any], bits: Literal[8, 16], quality: int
) -> Commission:
    row = {name: value for name, value in row.items() if value is not None}
    if unknown := [name for name in row if name not in JOB_FIELDS and name not in Settings.model_fields]:
        raise UsageError(
            f"{where}: there is no column and no setting {unknown[0]!r}; columns are "
            f"{', '.join(JOB_FIELDS)}, and all settings"
        )
    if "painting" in row and "paintings" in row:
        raise UsageError(f"{where}: has painting and paintings; leave one of them out")
    own = {name: row.pop(name) for name in JOB_FIELDS if name in row}
    if "painting" in own:
        own["paintings"] = [own.pop("painting")]
    try:
        mine = _JobFields.model_validate(own)
    except ValidationError as error:
        fault = error.errors()[0]
        raise UsageError(f"{where}: {fault['loc'][0]}: {fault['msg']}") from None
    if mine.output is not None:
        check_name(mine.output, f"{where}: output {mine.output}")
    try:
        settings = parse_settings({**given, **{name: _as_words(value) for name, value in row.items()}})
    except UsageError as error:
        raise UsageError("\n".join(f"{where}: {line}" for line in str(error).splitlines())) from None
    return Commission(
        photo=folder / mine.photo,
        paintings=tuple(folder / painting for painting in mine.paintings),
        settings=resolve_files(settings, folder, row),
        bits=mine.bits or bits,
        quality=mine.quality or quality,
        output=mine.output,
        source=where,
    )


def _as_words(value: Any) -> Any:
    """Write a list as the command line's options come: as words."""
    return [str(item) for item in value] if isinstance(value, list) else value


def resolve_files(settings: Settings, folder: Path, among: Container[str]) -> Settings:
    """Make the paths in settings absolute, from `folder`; of those settings alone that are named `among`."""
    return settings.map_files(lambda file: str(folder / Path(file).expanduser()), among)
