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
    with Interrupts("" if quiet else INTERRUPT_NOTICE) as interrupts:
        from impasto.workers.pool import WorkerOptions

        items = [make_item(photo, paintings, each) for each in settings]
        options = WorkerOptions(workers=workers, threads=threads, memory_bytes=memory_bytes, checkpoint_every=0)
        return paint_sheet(items, variations, output, options, interrupts, overwrite=overwrite, quiet=quiet)


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


def make_cells_folder(path: Path, overwrite: bool) -> Path:
    """Make the folder for the cells. An existing one is used only with `overwrite`."""
    try:
        path.mkdir(exist_ok=overwrite)
    except FileExistsError:
        raise PictureError(
            f"{path}, for the single pictures, already exists: choose another `output`, or allow it with `overwrite`"
        ) from None
    except OSError as error:
        raise PictureError(f"{path} can't be made: {error.strerror or error}") from error
    return path


def paint_sheet(
    items: Sequence[BatchItem],
    variations: Sequence[Variation],
    output: Path,
    options: "WorkerOptions",
    interrupts: Interrupts,
    *,
    overwrite: bool,
    quiet: bool,
) -> int:
    """Paint the cells as a batch, and write the sheet: all of it, or after an interrupt what there is."""
    from impasto.batch.run import print_failures

    with suppress(KeyboardInterrupt):
        paint_cells(items, variations, output, options, interrupts, overwrite=overwrite, quiet=quiet)
    interrupts.mode = "hold"
    done = [(item, variation) for item, variation in zip(items, variations, strict=True) if item.status != "waiting"]
    failed = [item for item in items if item.status == "failed"]
    if len(failed) == len(items):
        raise ImpastoError(failed[0].reason)
    if any(item.status != "failed" for item, _ in done):
        write_sheet(done, count_columns(variations), output, overwrite, quiet)
    print_failures(items)
    if len(done) < len(items):
        print_message(f"impasto: interrupted; {len(done)} of {len(items)} pictures are painted")
        return INTERRUPTED
    return FAILED if failed else DONE


def paint_cells(
    items: Sequence[BatchItem],
    variations: Sequence[Variation],
    output: Path,
    options: "WorkerOptions",
    interrupts: Interrupts,
    *,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Paint the pictures into a folder next to the output. Raises PictureError if their files can't be read."""
    from impasto.batch.resolve import resolve_items
    from impasto.batch.run import paint_items

    folder = make_cells_folder(output.with_name(f"{output.stem}_cells"), overwrite).absolute()
    names = [name_cell(number, variation) for number, variation in enumerate(variations, start=1)]
    try:
        resolve_items(items, names, folder, overwrite=overwrite)
        for item, variation in zip(items, variations, strict=True):
            if item.status == "failed":
                raise PictureError(item.reason)
            item.label = ", ".join(describe_variation(variation))
        with TemporaryDirectory() as state_folder:
            for _ in paint_items(items, Path(state_folder), options, interrupts, quiet):
                pass
    finally:
        if not any(folder.iterdir()):
            folder.rmdir()


def describe_variation(variation: Variation) -> list[str]:
    """List the settings of a cell: `style_weight = 3`."""
    return [f"{name} = {value}" for name, value in variation.items()]


def write_sheet(
    cells: Sequence[tuple[BatchItem, Variation]], columns: int, output: Path, overwrite: bool, quiet: bool
) -> None:
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
