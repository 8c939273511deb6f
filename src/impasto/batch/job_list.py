"""Job lists: one picture in each row, with its own settings, as CSV, TOML or JSON lines."""

import csv
import io
import re
import tomllib
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from impasto.batch.items import BatchItem, make_item
from impasto.batch.naming import check_name
from impasto.errors import UsageError
from impasto.images.formats import DEFAULT_QUALITY
from impasto.images.opening import explain_missing
from impasto.settings.model import Settings
from impasto.settings.parsing import list_schemas, parse_settings
from impasto.settings.types import ListedFile

JOB_LIST_SUFFIXES = (".csv", ".toml", ".jsonl")
JOB_FIELDS = ("photo", "painting", "paintings", "output", "bits", "quality")  # the columns that are not settings
MAX_QUOTED = 40  # letters of an unknown name that an error repeats
CSV_DELIMITERS = (",", ";", "\t")  # where numbers have decimal commas, programs write semicolons or tabs
MAX_FAULTS_SHOWN = 10

Row = tuple[str, dict[str, Any]]  # its place in the list, and its values


def _read_number(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.isdecimal() else value  # all cells of CSV are text


class _JobFields(BaseModel):
    """The values of a row that are not settings."""

    model_config = ConfigDict(extra="forbid")

    photo: ListedFile
    paintings: list[ListedFile] = Field(min_length=1)
    output: str = ""
    bits: Annotated[Literal[8, 16] | None, BeforeValidator(_read_number)] = None
    quality: int | None = Field(None, ge=1, le=100)


def read_job_list(
    path: Path, given: Mapping[str, Any], *, bits: Literal[8, 16] = 8, quality: int = DEFAULT_QUALITY
) -> list[BatchItem]:
    """Read a job list. `given` are the settings from the command line; those of a row take precedence.

    A row has `photo`, `painting` (or `paintings`, several), and may have `output`, `bits`, `quality` and any setting.
    Paths are relative to the list's folder.

    CSV begins with a line of these names, and has semicolons between several paintings. Where its columns are parted by
    semicolons or tabs, numbers may have decimal commas. TOML has a [[job]] for each picture, JSON lines an object on
    each line.

    Raises UsageError that names the place of each fault; also for a list without rows.
    """
    rows = list(_read_rows(path))
    if not rows:
        raise UsageError(f"`jobs` {path}: has no jobs")
    faults: list[str] = []
    items = []
    for source, row in rows:
        try:
            items.append(_read_row(row, source, path.absolute().parent, given, bits, quality))
        except UsageError as error:
            faults += str(error).splitlines()
    if len(faults) > MAX_FAULTS_SHOWN:
        faults[MAX_FAULTS_SHOWN:] = [f"and {len(faults) - MAX_FAULTS_SHOWN} more"]
    if faults:
        raise UsageError("\n".join(faults), setting="jobs")
    return items


def _read_rows(path: Path) -> Iterator[Row]:
    suffix = path.suffix.lower()
    if suffix not in JOB_LIST_SUFFIXES:
        raise UsageError(f"`jobs` {path}: takes a list in {', '.join(JOB_LIST_SUFFIXES)}")
    try:
        data = path.read_bytes()
        text = data.decode("utf-16" if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"`jobs` {path}: is not text in UTF-8 ({error}): save it as UTF-8") from None
    except FileNotFoundError:
        raise UsageError(f"`jobs` {explain_missing(path)}") from None
    except OSError as error:
        raise UsageError(f"`jobs` {path}: can't be read, {error.strerror or error}") from None
    if "\0" in text:
        raise UsageError(f"`jobs` {path}: is not text, or damaged: save the list again, in UTF-8")
    read = {".csv": _read_csv, ".toml": _read_toml, ".jsonl": _read_json_lines}[suffix]
    yield from read(text, path)


def _read_csv(text: str, path: Path) -> Iterator[Row]:
    delimiter = max(CSV_DELIMITERS, key=text.partition("\n")[0].count)
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True, restval="", delimiter=delimiter)
    try:
        names = [name.strip().replace("-", "_") for name in reader.fieldnames or ()]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise UsageError(f"{path}, line 1: there are two columns {twice!r}")
        reader.fieldnames = names
        for cells in reader:
            source = f"{path}, line {reader.line_num}"
            if more := cells.pop(None, []):
                count = len(names) + len(more)
                raise UsageError(
                    f"{source}: has {count} cells for {len(names)} columns; put quotes around {delimiter!r}"
                )
            row: dict[str, Any] = {name: cell.strip() for name, cell in cells.items() if cell.strip()}
            if delimiter != ",":
                row = {name: _read_decimal_comma(name, cell) for name, cell in row.items()}
            if "paintings" in row:
                row["paintings"] = [name.strip() for name in row["paintings"].split(";") if name.strip()]
            if row:
                yield source, row
    except csv.Error as error:
        raise UsageError(f"{path}, line {reader.line_num}: is not CSV: {error}") from None


def _read_decimal_comma(name: str, cell: str) -> str:
    kind = list_schemas(Settings).get(name, {}).get("type")
    return cell.replace(",", ".") if kind == "number" and re.fullmatch(r"-?\d+,\d+", cell) else cell


def _read_toml(text: str, path: Path) -> Iterator[Row]:
    try:
        data = tomllib.loads(text)
    except ValueError as error:
        raise UsageError(f"`jobs` {path}: is not TOML: {error}") from None
    jobs = data.pop("job", [])
    if data or not isinstance(jobs, list) or not all(isinstance(job, dict) for job in jobs):
        raise UsageError(f"`jobs` {path}: takes a [[job]] for each picture and nothing else")
    for number, job in enumerate(jobs, start=1):
        yield f"{path}, job {number}", job


def _read_json_lines(text: str, path: Path) -> Iterator[Row]:
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        source = f"{path}, line {number}"
        try:
            row = from_json(line, allow_inf_nan=False)
        except ValueError as error:
            raise UsageError(f"{source}: is not JSON: {error}") from None
        if not isinstance(row, dict):
            raise UsageError(f'{source}: takes an object, such as {{"photo": "a.jpg", "painting": "b.jpg"}}')
        yield source, row


def _read_row(
    row: dict[str, Any], source: str, folder: Path, given: Mapping[str, Any], bits: Literal[8, 16], quality: int
) -> BatchItem:
    row = {name: value for name, value in row.items() if value is not None}
    fields = _read_fields({name: row.pop(name) for name in JOB_FIELDS if name in row}, [*row], source)
    return make_item(
        folder / fields.photo,
        tuple(folder / painting for painting in fields.paintings),
        _read_settings({**given, **row}, source).map_files(lambda file: str(folder / file), row),
        bits=fields.bits or bits,
        quality=fields.quality or quality,
        name=fields.output,
        source=source,
    )


def _read_fields(values: dict[str, Any], settings: list[str], source: str) -> _JobFields:
    if unknown := [name for name in settings if name not in Settings.model_fields]:
        columns = f"columns are {', '.join(JOB_FIELDS)}, and all settings"
        raise UsageError(f"{source}: there is no column and no setting {unknown[0][:MAX_QUOTED]!r}; {columns}")
    if "painting" in values and "paintings" in values:
        raise UsageError(f"{source}: has painting and paintings; leave one of them out")
    if "painting" in values:
        values["paintings"] = [values.pop("painting")]
    try:
        fields = _JobFields.model_validate(values)
    except ValidationError as error:
        fault = error.errors()[0]
        raise UsageError(f"{source}: {fault['loc'][0]}: {fault['msg']}") from None
    if "output" in values:
        check_name(fields.output, f"{source}: output {fields.output}")
    return fields


def _read_settings(values: Mapping[str, Any], source: str) -> Settings:
    # Lists are written as options are given on the command line: as words.
    words = {name: list(map(str, value)) if isinstance(value, list) else value for name, value in values.items()}
    try:
        return parse_settings(words)
    except UsageError as error:
        raise UsageError("\n".join(f"{source}: {line}" for line in str(error).splitlines())) from None
