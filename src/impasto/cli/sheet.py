"""`impasto sheet`: one picture painted small in several ways, side by side, with the settings below each."""

import math
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from impasto.batch.items import BatchItem, make_item
from impasto.cli.arguments import (
    OverwriteOption,
    PaintingArguments,
    PhotoArgument,
    QuietOutputOption,
    find_free_name,
    make_output_option,
)
from impasto.cli.batch_options import Memory, Threads, Workers, parse_memory
from impasto.cli.options import with_settings
from impasto.errors import ImpastoError, PictureError
from impasto.images.folders import expand_folders
from impasto.images.output import check_output
from impasto.settings.parsing import parse_settings
from impasto.settings.units import format_count
from impasto.settings.variations import Variation, parse_variations
from impasto.terminal.console import DONE, FAILED, INTERRUPTED, print_message, print_result
from impasto.terminal.interrupts import INTERRUPT_NOTICE, Interrupts

if TYPE_CHECKING:
    from impasto.images.contact_sheet import SheetCell
    from impasto.workers.pool import WorkerOptions

MAX_COLUMNS = 10
SHEET_DEFAULTS = {"size": 256}

Cell = tuple[BatchItem, Variation]


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
    workers: Workers = None,
    threads: Threads = None,
    memory: Memory = None,
    **given: Any,
) -> int:
    """Paint PHOTO small in several ways, on one sheet with the settings under each picture.

    The pictures have 256 pixels unless --size says otherwise. Each is also kept in a folder next to the
    sheet, with its recipe: impasto rerun paints it larger.
    """
    chosen = {name: value for name, value in given.items() if value is not None}
    variations = parse_variations(vary, chosen)
    settings = [parse_settings({**chosen, **variation}, SHEET_DEFAULTS) for variation in variations]
    expanded = [expand_folders(paintings, each)[0] for each in settings]
    output = output or find_free_name(photo, paintings[0], "sheet")
    named = [file for each in settings for file in each.list_files()]
    check_output(output, inputs=[photo, *expanded[0], *named], overwrite=overwrite)
    memory_bytes = parse_memory(memory)
    cells = [
        (make_item(photo, paintings, each), variation) for each, variation in zip(settings, variations, strict=True)
    ]
    with Interrupts("" if quiet else INTERRUPT_NOTICE) as interrupts:
        from impasto.workers.pool import WorkerOptions

        options = WorkerOptions(workers=workers, threads=threads, memory_bytes=memory_bytes, checkpoint_every=0)
        folder = make_cells_folder(output, overwrite)
        with suppress(KeyboardInterrupt):
            paint_cells(cells, folder.absolute(), options, interrupts, overwrite, quiet)
        interrupts.mode = "hold"
        return finish_sheet(cells, output, overwrite, quiet)


def count_columns(choices: Sequence[Variation]) -> int:
    """Choose a column for each value of the last setting; a square if that would be too long."""
    last = len({list(choice.values())[-1] for choice in choices})
    if max(last, len(choices) // last) <= MAX_COLUMNS:
        return last
    return math.ceil(math.sqrt(len(choices)))


def name_cell(number: int, choice: Variation) -> str:
    """Name a cell's file: `03_style_weight=3_preset=default.png`."""
    words = re.sub(r"[^\w.=-]+", "-", "_".join(f"{name}={value}" for name, value in choice.items()), flags=re.ASCII)
    return f"{number:02}_{words[:100]}.png"


def make_cells_folder(output: Path, overwrite: bool) -> Path:
    """Make the folder for the cells, next to the sheet. An existing one is used only with `overwrite`."""
    path = output.with_name(f"{output.stem}_cells")
    try:
        path.mkdir(exist_ok=overwrite)
    except FileExistsError:
        raise PictureError(
            f"{path}, for the single pictures, already exists: choose another `output`, or allow it with `overwrite`"
        ) from None
    except OSError as error:
        raise PictureError(f"{path} can't be made: {error.strerror or error}") from error
    return path


def paint_cells(
    cells: Sequence[Cell],
    folder: Path,
    options: "WorkerOptions",
    interrupts: Interrupts,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Paint the pictures into a folder. Raises PictureError if their files can't be read or written."""
    from impasto.batch.batch_run import paint_items
    from impasto.batch.resolve import resolve_items

    items = [item for item, _ in cells]
    names = [name_cell(number, variation) for number, (_, variation) in enumerate(cells, start=1)]
    try:
        resolve_items(items, names, folder, overwrite=overwrite)
        for item, variation in cells:
            if item.status == "failed":
                raise PictureError(item.reason)
            item.label = ", ".join(describe_variation(variation))
        with TemporaryDirectory() as state_folder:
            for _ in paint_items(items, Path(state_folder), options, interrupts, quiet):
                pass
    finally:
        if not any(folder.iterdir()):
            folder.rmdir()


def finish_sheet(cells: Sequence[Cell], output: Path, overwrite: bool, quiet: bool) -> int:
    """Write the sheet, after an interrupt with the pictures so far, and return the exit code."""
    from impasto.batch.batch_run import print_failures

    done = [cell for cell in cells if cell[0].status != "waiting"]
    failed = [item for item, _ in cells if item.status == "failed"]
    if len(failed) == len(cells):
        raise ImpastoError(failed[0].reason)
    if len(done) > len(failed):
        write_sheet(done, count_columns([variation for _, variation in cells]), output, overwrite, quiet)
    print_failures([item for item, _ in cells])
    if len(done) < len(cells):
        print_message(f"impasto: interrupted; {len(done)} of {len(cells)} pictures are painted")
        return INTERRUPTED
    return FAILED if failed else DONE


def describe_variation(variation: Variation) -> list[str]:
    """List the settings of a cell: `style_weight = 3`."""
    return [f"{name} = {value}" for name, value in variation.items()]


def write_sheet(cells: Sequence[Cell], columns: int, output: Path, overwrite: bool, quiet: bool) -> None:
    """Write the sheet, and print where it is."""
    from impasto.images.contact_sheet import compose_sheet
    from impasto.images.read import read_image
    from impasto.images.write import write_image

    composed = compose_sheet([make_cell(item, variation) for item, variation in cells], columns)
    write_image(read_image(composed).rgb, output, overwrite=overwrite)
    count, folder = format_count(len(cells), "picture"), output.with_name(f"{output.stem}_cells")
    details = f": {count} on {composed.width} x {composed.height}, each also in {folder}"
    print_result(f"{output}{'' if quiet else details}")


def make_cell(item: BatchItem, variation: Variation) -> "SheetCell":
    """Make the cell of a picture, or an empty one with the note that it could not be painted."""
    from impasto.images.contact_sheet import SheetCell
    from impasto.images.read import read_image
    from impasto.images.write import to_pil

    lines = describe_variation(variation)
    if item.status == "failed":
        return SheetCell(None, [*lines, "could not be painted"])
    picture = read_image(item.job.output)
    return SheetCell(to_pil(picture.rgb, picture.alpha), lines)
