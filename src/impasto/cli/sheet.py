"""`impasto sheet`: the same picture painted small in several ways, side by side, with the settings under each."""

import difflib
import itertools
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from impasto.cli.arguments import (
    OverwriteOption,
    PaintingArguments,
    PhotoArgument,
    QuietOutputOption,
    find_free_name,
    get_stem,
    make_output_option,
)
from impasto.cli.options import parse_settings, with_settings
from impasto.cli.paint import PictureView
from impasto.errors import DivergedError, PictureError, UsageError
from impasto.images.folders import expand_folders
from impasto.images.output import check_output
from impasto.settings.model import Settings
from impasto.terminal.console import DONE, FAILED, INTERRUPTED, print_message, print_result
from impasto.terminal.interrupts import INTERRUPT_NOTICE, Interrupts
from impasto.terminal.progress import ProgressDisplay, show_download

if TYPE_CHECKING:
    from impasto.images.contact_sheet import SheetCell
    from impasto.runs.job import Job

MAX_CELLS = 100
MAX_COLUMNS = 10
SHEET_DEFAULTS = {"size": 256}

Variation = dict[str, str]  # a cell's values of the settings that are varied, as the user wrote them


@with_settings(SHEET_DEFAULTS)
def sheet(
    photo: PhotoArgument,
    /,
    *paintings: PaintingArguments,
    vary: Annotated[
        list[str],
        Parameter(
            group=Group("Sheet", sort_key=0),
            metavar="NAME=VALUE,...",
            help="a setting and its values, such as style_weight=0.3,1,3; values that have commas stand between "
            "semicolons. Given several times, every value meets every other",
        ),
    ],
    output: Annotated[Path | None, make_output_option("PHOTO_PAINTING_sheet.png, numbered if that exists")] = None,
    overwrite: OverwriteOption = False,
    quiet: QuietOutputOption = False,
    **given: Any,
) -> int:
    """Paint PHOTO small in several ways, on one sheet with the settings under each picture.

    They have 256 pixels unless --size says otherwise. Each is kept in a folder beside the sheet as
    well, with its recipe: impasto rerun paints it larger.
    """
    chosen = {name: value for name, value in given.items() if value is not None}
    choices = parse_variations(vary, chosen)
    settings = [parse_settings({**chosen, **choice}, SHEET_DEFAULTS) for choice in choices]
    output = output or find_free_name(f"{photo.stem}_{get_stem(paintings[0])}_sheet")
    named = [file for its in settings for file in its.list_files()]
    check_output(output, inputs=[photo, *expand_folders(paintings, Settings())[0], *named], overwrite=overwrite)
    cells_folder = make_cells_folder(output.with_name(f"{output.stem}_cells"), overwrite)
    with Interrupts("" if quiet else INTERRUPT_NOTICE) as interrupts:
        from impasto.runs.job import Job

        jobs = [
            Job(
                photo=photo,
                paintings=paintings,
                output=cells_folder / name_cell(number, choice),
                settings=its,
                save_every=0,
                overwrite=overwrite,
                quality=95,
                checkpoint="none",
            )
            for number, (choice, its) in enumerate(zip(choices, settings, strict=True), start=1)
        ]
        return paint_sheet(jobs, choices, output, interrupts, quiet)


def parse_variations(texts: Sequence[str], given: Mapping[str, Any]) -> list[Variation]:
    """Read `--vary NAME=VALUE,...`, and give the values of each cell, the last setting's varying first.

    Raises UsageError for what is no setting, varied twice or given too, and for more than 100 cells.
    """
    varied: dict[str, list[str]] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        name = name.strip().lstrip("-").replace("-", "_")
        if not equals or not values.strip(" ,;"):
            raise UsageError(f"--vary {text}: takes a setting and its values, such as style_weight=0.3,1,3")
        if name not in Settings.model_fields:
            near = difflib.get_close_matches(name, Settings.model_fields, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(Settings.model_fields)}"
            raise UsageError(f"--vary {text}: there is no setting {name!r}; {hint}")
        if name in varied:
            raise UsageError(f"--vary {text}: {name} is varied twice; give all its values at once")
        if name in given:
            raise UsageError(f"--vary {text}: `{name}` is given as well; leave one of them out")
        pieces = values.split(";" if ";" in values else ",")
        varied[name] = [piece.strip() for piece in pieces if piece.strip()]
    count = math.prod(map(len, varied.values()))
    if count > MAX_CELLS:
        sizes = " x ".join(str(len(values)) for values in varied.values())
        raise UsageError(f"--vary: {sizes} = {count} pictures are too many for a sheet: vary less, {MAX_CELLS} at most")
    return [dict(zip(varied, values, strict=True)) for values in itertools.product(*varied.values())]


def count_columns(choices: Sequence[Variation]) -> int:
    """Give the last setting a column for each value where others vary too, and make a square of what is too long."""
    last = len({list(choice.values())[-1] for choice in choices})
    if max(last, len(choices) // last) <= MAX_COLUMNS:
        return last
    return math.ceil(math.sqrt(len(choices)))


def name_cell(number: int, choice: Variation) -> str:
    """Name a cell's file: `03_style_weight=3_preset=default.png`."""
    words = re.sub(r"[^\w.=-]+", "-", "_".join(f"{name}={value}" for name, value in choice.items()), flags=re.ASCII)
    return f"{number:02}_{words[:100]}.png"


def make_cells_folder(path: Path, overwrite: bool) -> Path:
    """Make the folder for the cells; one that is there is taken only with `overwrite`."""
    try:
        path.mkdir(exist_ok=overwrite)
    except FileExistsError:
        raise PictureError(
            f"{path}, for the pictures one by one, already exists: choose another --output, or allow it with "
            "--overwrite"
        ) from None
    except OSError as error:
        raise PictureError(f"{path} can't be made: {error.strerror or error}") from error
    return path


def paint_sheet(
    jobs: Sequence["Job"], choices: Sequence[Variation], output: Path, interrupts: Interrupts, quiet: bool
) -> int:
    """Paint the cells one by one and write the sheet, or what there is of it after an interrupt."""
    from impasto.images.contact_sheet import SheetCell

    cells: list[SheetCell] = []
    failures: list[Exception] = []
    try:
        for number, (job, choice) in enumerate(zip(jobs, choices, strict=True), start=1):
            if interrupts.count:
                break
            lines = [f"{name} = {value}" for name, value in choice.items()]
            try:
                cell, outcome = paint_cell(job, lines, interrupts, quiet)
            except (DivergedError, UsageError) as error:  # of these settings: others may do
                failures.append(error)
                cell, outcome = SheetCell(None, [*lines, "could not be painted"]), str(error)
            if cell is None:
                break
            cells.append(cell)
            if not quiet:
                print_message(f"{number}/{len(jobs)} {', '.join(lines)}: {outcome}")
    except KeyboardInterrupt:
        pass  # what is painted is kept, as after the first one
    finally:
        interrupts.mode = "hold"
        if not any(jobs[0].output.parent.iterdir()):
            jobs[0].output.parent.rmdir()
    if len(failures) == len(jobs):
        raise failures[0]
    if cells:
        write_sheet(cells, count_columns(choices), output, jobs[0], quiet)
    if len(cells) < len(jobs):
        print_message(f"impasto: interrupted; {len(cells)} of {len(jobs)} pictures are painted")
        return INTERRUPTED
    return FAILED if failures else DONE


def paint_cell(job: "Job", lines: list[str], interrupts: Interrupts, quiet: bool) -> "tuple[SheetCell | None, str]":
    """Paint and write one picture; None where an interrupt came before it was finished."""
    from impasto.api import start_job
    from impasto.images.contact_sheet import SheetCell

    with show_download(job.settings.network, quiet) as fetching:
        run = start_job(job, fetch_progress=fetching)
    with ProgressDisplay(quiet, seconds_between_lines=None) as shown:
        for step in run:
            shown.update(step.progress, *PictureView().describe_step(step, run))
            shown.show_new_notes(run.notes)
            outcome = f"total {step.losses['total']:.3g}, {step.seconds:.1f} s"
            interrupts.mode = "ask"
            if interrupts.count and step.step < run.total_steps:
                return None, ""
    run.write()
    return SheetCell(run.picture(), lines), outcome


def write_sheet(cells: "Sequence[SheetCell]", columns: int, output: Path, job: "Job", quiet: bool) -> None:
    """Write the sheet and say on stdout where it is."""
    from impasto.images.contact_sheet import compose_sheet
    from impasto.images.read import read_image
    from impasto.images.write import write_image

    picture = compose_sheet(cells, columns)
    write_image(read_image(picture).rgb, output, overwrite=job.overwrite)
    count = f"{len(cells)} picture{'' if len(cells) == 1 else 's'}"
    words = f": {count} on {picture.width} x {picture.height}, each also in {job.output.parent}"
    print_result(f"{output}{'' if quiet else words}")
