"""The arguments and options that several commands share, and names for outputs that nothing has yet."""

import itertools
import os
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Group, Parameter
from cyclopts.validators import Number

from impasto.apps.options import Quiet

OUTPUT = Group("Output", sort_key=1)

Photo = Annotated[Path, Parameter(help="the photograph")]
Paintings = Annotated[Path, Parameter(name="PAINTING", required=True, help="one or more paintings, or folders of them")]

Overwrite = Annotated[
    bool,
    Parameter(group=OUTPUT, negative=(), show_default=False, help="replace the output, and its preview, if they exist"),
]
Bits = Annotated[Literal[8, 16], Parameter(group=OUTPUT, help="per channel; 16 for PNG and TIFF")]
Quality = Annotated[int, Parameter(group=OUTPUT, validator=Number(gte=1, lte=100), help="of JPEG and WebP [1 to 100]")]
SaveEvery = Annotated[
    int,
    Parameter(
        group=OUTPUT, validator=Number(gte=0), help="steps between previews, OUTPUT.preview.png; 0: none [0 or more]"
    ),
]
Keeping = Annotated[
    Literal["embed", "none"],
    Parameter(group=OUTPUT, help="embed: the picture carries how it was painted, for rerun; none: it does not"),
]
RecipeFile = Annotated[
    Path | None, Parameter(group=OUTPUT, help="write the recipe to a file as well: .toml, .json", show_default=False)
]
KeptIn = Annotated[
    str,
    Parameter(
        group=OUTPUT,
        metavar="FILE",
        help="what the painting is kept in as it goes, for impasto resume; auto: OUTPUT.checkpoint, where it will "
        "take over ten minutes; none",
    ),
]
Silent = Annotated[Quiet, Parameter(group=OUTPUT)]


def output_option(default: str) -> Parameter:
    """Make the option that names the output; `default` says which name it has otherwise."""
    return Parameter(
        alias="-o", group=OUTPUT, help="where the picture goes: .png, .jpg, .webp, .tif", show_default=default
    )


def stem_of(path: Path) -> str:
    """Return the name of a picture without its suffix, or of a folder."""
    return path.stem or path.resolve().stem


def free_name(stem: str, suffix: str = ".png") -> Path:
    """Find a name in the current folder that nothing has: stem.png, stem_2.png, ..."""
    numbers = itertools.chain([""], (f"_{number}" for number in itertools.count(2)))
    return next(name for name in (Path(f"{stem}{number}{suffix}") for number in numbers) if not os.path.lexists(name))
