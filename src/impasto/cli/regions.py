"""`impasto regions`: find masks in a photo and paintings, and write them as pictures to edit."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from impasto.cli.arguments import OverwriteOption, PaintingArguments, PhotoArgument, QuietOutputOption
from impasto.errors import PictureError, UsageError
from impasto.images.collection import find_painting
from impasto.images.output import check_output
from impasto.terminal.console import DONE, print_result

if TYPE_CHECKING:
    from torch import Tensor

    from impasto.images.image import Image

MAX_REGIONS = 16  # there are colors for so many


def regions(
    photo: PhotoArgument,
    /,
    *paintings: PaintingArguments,
    output: Annotated[Path, Parameter(alias="-o", help="the folder for the pictures; created if it does not exist")],
    count: Annotated[
        int, Parameter(alias="-n", validator=Number(gte=2, lte=MAX_REGIONS), help="how many regions [2 to 16]")
    ] = 3,
    overwrite: OverwriteOption = False,
    quiet: QuietOutputOption = False,
) -> int:
    """Find regions by color and position in PHOTO and PAINTINGs, and write them as pictures to edit.

    Writes a label picture of each, NAME_labels.png, in which matching regions have the same color,
    and a gray mask with soft edges for each region: NAME_region_1.png, NAME_region_2.png, ...
    PHOTO_guard.png shows the faces in PHOTO that are kept readable, if there are any.
    """
    paintings = tuple(find_painting(painting) or painting for painting in paintings)
    names = name_pictures([photo, *paintings])
    targets = [output / f"{name}_{what}.png" for name in names for what in list_picture_kinds(count)]
    guard = output / f"{names[0]}_guard.png"
    if output.exists() and not output.is_dir():
        raise UsageError(f"`output` {output} is a file: name a folder", setting="output")
    if output.is_dir():
        for target in (*targets, guard):
            check_output(target, inputs=(photo, *paintings), overwrite=overwrite)

    from impasto.images.guard import find_faces
    from impasto.images.output import check_place
    from impasto.images.read import read_image
    from impasto.images.segmentation import find_regions
    from impasto.images.sizes import resize_clamped
    from impasto.images.write import write_mask

    check_place(output)
    read = [read_image(path) for path in (photo, *paintings)]
    found = [find_regions(picture, count, str(path)) for picture, path in zip(read, (photo, *paintings), strict=True)]
    found = [found[0], *(theirs.reordered_like(found[0]) for theirs in found[1:])]
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PictureError(f"{output} can't be made: {error.strerror or error}") from error
    for name, picture, its in zip(names, read, found, strict=True):
        write_regions(output, name, picture, its.masks, overwrite)
    faces = find_faces(read[0])
    if faces is not None:
        write_mask(resize_clamped(faces, read[0].width, read[0].height), guard, overwrite=overwrite)
    for target in targets if quiet else [output / f"{name}_labels.png" for name in names]:
        print_result(str(target))
    if not quiet:
        if faces is not None:
            print_result(f"{guard}: the faces that are kept readable; edited, it is given by --guard-mask")
        print_result(f"and {len(names) * count} masks. To paint with the labels, edited or not:")
        print_result(format_paint_command(photo, paintings, output, names))
    return DONE


def list_picture_kinds(count: int) -> list[str]:
    """List the kinds of pictures that are written for each input."""
    return ["labels", *(f"region_{number}" for number in range(1, count + 1))]


def name_pictures(paths: list[Path]) -> list[str]:
    """Give each picture a unique name: its file's, numbered if several are the same."""
    names: list[str] = []
    for path in paths:
        same = sum(path.stem == other.stem for other in paths[: len(names)])
        names.append(f"{path.stem}_{same + 1}" if same else path.stem)
    return names


def write_regions(folder: Path, name: str, picture: "Image", masks: "Tensor", overwrite: bool) -> None:
    """Write the label picture and the gray masks of a picture, at its size."""
    from impasto.images.labels import draw_labels
    from impasto.images.sizes import resize_clamped
    from impasto.images.write import write_image, write_mask

    full = resize_clamped(masks, picture.width, picture.height)
    write_image(draw_labels(full), folder / f"{name}_labels.png", overwrite=overwrite)
    for number, mask in enumerate(full, start=1):
        write_mask(mask[None], folder / f"{name}_region_{number}.png", overwrite=overwrite)


def format_paint_command(photo: Path, paintings: tuple[Path, ...], folder: Path, names: list[str]) -> str:
    """Return the command that paints with the label pictures."""
    labels = [str(folder / f"{name}_labels.png") for name in names]
    words = ["impasto", photo, *paintings, "--labels", labels[0], "--style-labels", ",".join(labels[1:])]
    return shlex.join(map(str, words))
