"""Arguments and options that several commands share, and free names for outputs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Group, Parameter
from cyclopts.validators import Number

from impasto.images.formats import DEFAULT_QUALITY
from impasto.images.names import find_free_path, make_file_name

OUTPUT_GROUP = Group("Output", sort_key=1)

PhotoArgument = Annotated[Path, Parameter(help="the photograph")]
PaintingArguments = Annotated[
    Path,
    Parameter(
        name="PAINTING",
        required=True,
        help="one or more paintings, folders of paintings, or names that `impasto paintings` lists",
    ),
]
QuietOption = Annotated[
    bool,
    Parameter(alias="-q", negative=(), show_default=False, help="show only errors, and print only the output's path"),
]

OverwriteOption = Annotated[
    bool,
    Parameter(
        group=OUTPUT_GROUP, negative=(), show_default=False, help="replace the output and its preview if they exist"
    ),
]
BitsOption = Annotated[Literal[8, 16], Parameter(group=OUTPUT_GROUP, help="bits per channel; 16 for PNG and TIFF")]
QualityOption = Annotated[
    int, Parameter(group=OUTPUT_GROUP, validator=Number(gte=1, lte=100), help="quality of JPEG and WebP [1 to 100]")
]
RecipeModeOption = Annotated[
    Literal["embed", "none"],
    Parameter(group=OUTPUT_GROUP, help="embed: store the recipe in the picture, for rerun; none: do not store it"),
]
RecipeFileOption = Annotated[
    Path | None,
    Parameter(group=OUTPUT_GROUP, help="also write the recipe to this file: .toml, .json", show_default=False),
]
JsonOption = Annotated[
    bool,
    Parameter(
        name="--json",
        group=OUTPUT_GROUP,
        negative=(),
        show_default=False,
        help="print the result as one JSON object: file, size, steps, seconds, losses, notes",
    ),
]
QuietOutputOption = Annotated[QuietOption, Parameter(group=OUTPUT_GROUP)]


@dataclass(frozen=True)
class RunOptions:
    """The output options of every command that paints one picture; the names are those of Job's fields."""

    overwrite: OverwriteOption = False
    save_every: Annotated[
        int,
        Parameter(
            group=OUTPUT_GROUP,
            validator=Number(gte=0),
            help="write OUTPUT.preview.png every so many steps; 0: never [0 or more]",
        ),
    ] = 0
    recipe: RecipeModeOption = "embed"
    recipe_file: RecipeFileOption = None
    checkpoint: Annotated[
        str,
        Parameter(
            group=OUTPUT_GROUP,
            metavar="FILE",
            help="save progress to this file, for impasto resume; auto: OUTPUT.checkpoint, if painting will take over "
            "ten minutes; none: do not save",
        ),
    ] = "auto"
    quiet: QuietOutputOption = False
    as_json: JsonOption = False


@dataclass(frozen=True)
class OutputOptions(RunOptions):
    """All output options of a picture but its name."""

    bits: BitsOption = 8
    quality: QualityOption = DEFAULT_QUALITY


FlatRunOptions = Annotated[RunOptions, Parameter(name="*")]
FlatOutputOptions = Annotated[OutputOptions, Parameter(name="*")]
DEFAULT_RUN_OPTIONS, DEFAULT_OUTPUT_OPTIONS = RunOptions(), OutputOptions()


def make_output_option(default: str) -> Parameter:
    """Make the option that names the output picture; `default` describes its name if the option is not given."""
    return Parameter(
        alias="-o", group=OUTPUT_GROUP, help="the picture to write: .png, .jpg, .webp, .tif", show_default=default
    )


def find_free_name(*parts: Path | str, suffix: str = ".png") -> Path:
    """Return a name in the current folder that is not taken: photo_painting.png, photo_painting_2.png, ...

    `parts` are words, or files and folders whose names are taken without their suffix.
    """
    stem = "_".join(part if isinstance(part, str) else part.stem or part.resolve().stem for part in parts)
    return find_free_path(Path(make_file_name(stem + suffix)))
