"""`impasto paintings`: list the paintings that come with impasto, and show them on a contact sheet."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from impasto.cli.arguments import OverwriteOption
from impasto.images.collection import COLLECTION
from impasto.images.output import check_output
from impasto.terminal.console import DONE, print_result

COLUMNS = 5


def paintings(
    *,
    output: Annotated[
        Path | None, Parameter(alias="-o", show_default=False, help="write small pictures of them to this file")
    ] = None,
    overwrite: OverwriteOption = False,
) -> int:
    """List the paintings that come with impasto: each name can be given wherever a painting can.

    All are in the public domain. A file or folder of the same name in the current folder wins.
    """
    if output:
        check_output(output, inputs=[], overwrite=overwrite)
        _write_sheet(output, overwrite=overwrite)
        print_result(str(output))
    else:
        for painting in COLLECTION.values():
            print_result(f"{painting.name:<18} {painting.credit}")
    return DONE


def _write_sheet(output: Path, *, overwrite: bool) -> None:
    from impasto.images.contact_sheet import SheetCell, compose_sheet
    from impasto.images.read import read_image
    from impasto.images.write import to_pil, write_image

    cells = [SheetCell(to_pil(read_image(each.path).rgb), [each.name, each.credit]) for each in COLLECTION.values()]
    sheet = read_image(compose_sheet(cells, COLUMNS))
    write_image(sheet.rgb, output, overwrite=overwrite)
