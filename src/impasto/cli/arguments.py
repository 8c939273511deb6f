"""The arguments and options that several commands share, and names for outputs that nothing has yet."""

import itertools
import os
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Group, Parameter
from cyclopts.validators import Number

from impasto.cli.options import QuietOption

OUTPUT_GROUP = Group("Output", sort_key=1)

PhotoArgument = Annotated[Path, Parameter(help="the photograph")]
PaintingArguments = Annotated[
    Path, Parameter(name="PAINTING", required=True, help="one or more paintings, or folders of them")
]

OverwriteOption = Annotated[
    bool,
    Parameter(
        group=OUTPUT_GROUP, negative=(), show_default=False, help="replace the output, and its preview, if they exist"
    ),
]
BitsOption = Annotated[Literal[8, 16], Parameter(group=OUTPUT_GROUP, help="per channel; 16 for PNG and TIFF")]
QualityOption = Annotated[
    int, Parameter(group=OUTPUT_GROUP, validator=Number(gte=1, lte=100), help="of JPEG and WebP [1 to 100]")
]
SaveEveryOption = Annotated[
    int,
    Parameter(
        group=OUTPUT_GROUP,
        validator=Number(gte=0),
        help="steps between previews, OUTPUT.preview.png; 0: none [0 or more]",
    ),
]
RecipeModeOption = Annotated[
    Literal["embed", "none"],
    Parameter(group=OUTPUT_GROUP, help="embed: the picture carries how it was painted, for rerun; none: it does not"),
]
RecipeFileOption = Annotated[
    Path | None,
    Parameter(group=OUTPUT_GROUP, help="write the recipe to a file as well: .toml, .json", show_default=False),
]
CheckpointOption = Annotated[
    str,
    Parameter(
        group=OUTPUT_GROUP,
        metavar="FILE",
        help="what the painting is kept in as it goes, for impasto resume; auto: OUTPUT.checkpoint, where it will "
        "take over ten minutes; none",
    ),
]
QuietOutputOption = Annotated[QuietOption, Parameter(group=OUTPUT_GROUP)]


def make_output_option(default: str) -> Parameter:
    """Make the option that names the output; `default` says which name it has otherwise."""
    return Parameter(
        alias="-o", group=OUTPUT_GROUP, help="where the picture goes: .png, .jpg, .webp, .tif", show_default=default
    )


def get_stem(path: Path) -> str:
    """Return the name of a picture without its suffix, or of a folder."""
    return path.stem or path.resolve().stem


def find_free_name(stem: str, suffix: str = ".png") -> Path:
    """Find a name in the current folder that nothing has: stem.png, stem_2.png, ..."""
    numbers = itertools.chain([""], (f"_{number}" for number in itertools.count(2)))
    return next(name for name in (Path(f"{stem}{number}{suffix}") for number in numbers) if not os.path.lexists(name))
