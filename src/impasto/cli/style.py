"""`impasto style`: save what one pass needs of a painting in a style file."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from impasto.cli.arguments import OUTPUT_GROUP, OverwriteOption, QuietOutputOption, find_free_name
from impasto.settings.model import Settings
from impasto.settings.types import Trim
from impasto.terminal.console import DONE, print_message, print_result


def style(
    painting: Annotated[
        Path, Parameter(help="the painting: a picture, or one of the names that `impasto paintings` lists")
    ],
    /,
    *,
    output: Annotated[
        Path | None,
        Parameter(alias="-o", group=OUTPUT_GROUP, help="the file to write", show_default="PAINTING.safetensors"),
    ] = None,
    overwrite: OverwriteOption = False,
    quiet: QuietOutputOption = False,
    size: Annotated[
        int, Parameter(help="size in pixels of the pictures that will be painted with it")
    ] = Settings.model_fields["size"].default,
    trim: Annotated[
        Trim, Parameter(help="auto: a flat white or black border of the painting is left out; none: it is kept")
    ] = "auto",
    credit: Annotated[
        str | None, Parameter(help="whose painting it is, on one line; shown to those who paint with it")
    ] = None,
) -> int:
    """Save the style of PAINTING in a small file, which takes its place in impasto fast and --preset instant.

    The file holds statistics of the painting and a thumbnail of it, and can be passed on. Its strokes
    have the size that they have in pictures of --size pixels.
    """
    from impasto.fast.style_file import write_style_file
    from impasto.runs.inputs import measure_style

    output = output or find_free_name(painting, suffix=".safetensors")
    measured = measure_style(painting, size, trim, credit)
    write_style_file(measured, output, overwrite=overwrite)
    for note in () if quiet else measured.notes:
        print_message(note)
    print_result(str(output) if quiet else f"{output}: {output.stat().st_size / 1000:.0f} kB, for {size} pixels")
    return DONE
