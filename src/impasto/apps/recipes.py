"""`impasto recipe`, `rerun` and `diff`: read how a picture was painted, paint it again, compare two."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from impasto.apps.arguments import (
    OUTPUT,
    Bits,
    Keeping,
    KeptIn,
    Overwrite,
    Quality,
    RecipeFile,
    SaveEvery,
    Silent,
    free_name,
    output_option,
)
from impasto.apps.options import read_settings, with_settings
from impasto.apps.painting import paint_files
from impasto.apps.terminal import DONE, FAILED, answer
from impasto.errors import ImpastoError, UsageError
from impasto.pictures.targets import FORMATS
from impasto.recipes.storage import read_recipe
from impasto.recipes.words import describe, differences

if TYPE_CHECKING:
    from collections.abc import Iterable

    from impasto.recipes.recipe import Recipe

Source = Annotated[Path, Parameter(help="a picture that carries its recipe, or a recipe file: .toml, .json")]


def show_recipe(source: Source, /, *, json: Annotated[bool, Parameter(negative=(), help="as JSON")] = False) -> int:
    """Print how a picture was painted: from which files, with which settings, and what came of it."""
    film = _read_film(source)
    recipe = film[0] if film else read_recipe(source)
    for line in [recipe.to_json(indent=2)] if json else film[1] if film else describe(recipe):
        answer(line)
    return DONE


def _read_film(source: Path) -> "tuple[Recipe, Iterable[str]] | None":
    """Read the recipe of a film, and tell it; None where it is no film, or nothing here reads films."""
    if source.suffix.lower() not in (".mp4", ".m4v", ".mov", ".mkv", ".gif", ".webp", ".png", ".apng"):
        return None
    try:
        from impasto.video.job import describe_film, read_film_recipe
    except ModuleNotFoundError:
        return None
    recipe = read_film_recipe(source)
    return (recipe, describe_film(recipe)) if recipe else None


@with_settings(None)
def rerun(
    source: Source,
    /,
    *,
    output: Annotated[Path | None, output_option("SOURCE_rerun.png, numbered if that exists")] = None,
    search: Annotated[
        list[Path] | None,
        Parameter(
            group=OUTPUT,
            metavar="FOLDER",
            help="where its photo and paintings are, there or further in; SOURCE's folder and the current one are "
            "looked into anyway",
        ),
    ] = None,
    overwrite: Overwrite = False,
    bits: Bits | None = None,
    quality: Quality | None = None,
    save_every: SaveEvery = 0,
    recipe: Keeping = "embed",
    recipe_file: RecipeFile = None,
    checkpoint: KeptIn = "auto",
    quiet: Silent = False,
    **given: Any,
) -> int:
    """Paint a picture again from its recipe; what is not given is as it was.

    Its files are found by their digests, whatever they are called now, and refused if they have
    changed. Without any option, and on the same machine, it is the same picture, bit for bit.
    """
    from impasto.recipes.inputs import find

    first = read_recipe(source)
    replaced = {name for name, value in given.items() if value is not None}
    if output is None:
        suffix = source.suffix.lower()
        output = free_name(f"{source.stem}_rerun", suffix if suffix in FORMATS else ".png")
    written = first.written_as(output)
    bits, quality = bits or written[0], quality or written[1]
    found = find(first, beside=[source.parent, Path()], search=search or (), replaced=replaced)
    settings = read_settings(given, found.values)
    left = ""
    if (result := first.result) and result.step < result.steps:
        left = f"{source} was left at step {result.step} of {result.steps}: it is painted to the end here"
    return paint_files(
        found.photo,
        found.paintings,
        output,
        settings,
        overwrite=overwrite,
        bits=bits,
        quality=quality,
        save_every=save_every,
        recipe=recipe,
        recipe_file=recipe_file,
        checkpoint=checkpoint,
        first=first,
        quiet=quiet,
        announcement=left,
    )


def diff(a: Source, b: Source, /) -> int:
    """Say what differs between the recipes of two pictures: files, settings, versions, losses.

    Exits with 0 if nothing does, 1 if something does, 2 if there is no recipe to compare.
    """
    try:
        one, other = read_recipe(a), read_recipe(b)
    except ImpastoError as error:
        raise UsageError(str(error)) from error  # and not 1, which says that they differ
    lines = list(differences(one, other))
    for line in [f"A is {a}", f"B is {b}", *lines] if lines else [f"{a} and {b} have the same recipe"]:
        answer(line)
    return FAILED if lines else DONE
