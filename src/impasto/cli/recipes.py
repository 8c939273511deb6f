"""`impasto recipe`, `rerun` and `diff`: print a picture's recipe, paint it again, compare two recipes."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from impasto.cli.arguments import (
    DEFAULT_RUN_OPTIONS,
    OUTPUT_GROUP,
    BitsOption,
    FlatRunOptions,
    OutputOptions,
    QualityOption,
    find_free_name,
    make_output_option,
)
from impasto.cli.options import with_settings
from impasto.cli.paint import make_job, start_picture
from impasto.cli.run_loop import paint_run
from impasto.errors import ImpastoError, UsageError
from impasto.images.formats import ANIMATION_FORMATS, WRITE_FORMATS
from impasto.recipes.files import read_recipe
from impasto.recipes.text import describe_recipe, list_differences
from impasto.settings.parsing import parse_settings
from impasto.terminal.console import DONE, FAILED, print_message, print_result

if TYPE_CHECKING:
    from collections.abc import Iterable

    from impasto.recipes.recipe import Recipe

RecipeArgument = Annotated[Path, Parameter(help="a picture that carries its recipe, or a recipe file: .toml, .json")]


def show_recipe(
    source: RecipeArgument, /, *, json: Annotated[bool, Parameter(negative=(), help="print JSON")] = False
) -> int:
    """Print how a picture was painted: its files, settings and result."""
    film = _read_film_recipe(source)
    recipe = film[0] if film else read_recipe(source)
    for line in [recipe.to_json(indent=2)] if json else film[1] if film else describe_recipe(recipe):
        print_result(line)
    return DONE


def _read_film_recipe(source: Path) -> "tuple[Recipe, Iterable[str]] | None":
    """Read the recipe of a film, and describe it; None if it is no film, or impasto[film] is not installed."""
    if source.suffix.lower() not in (".mp4", ".m4v", ".mov", ".mkv", *ANIMATION_FORMATS):
        return None
    try:
        from impasto.films.film_job import describe_film, read_film_recipe
    except ModuleNotFoundError:
        return None
    recipe = read_film_recipe(source)
    return (recipe, describe_film(recipe)) if recipe else None


@with_settings(None)
def rerun(
    source: RecipeArgument,
    /,
    *,
    output: Annotated[Path | None, make_output_option("SOURCE_rerun.png, numbered if that exists")] = None,
    search: Annotated[
        list[Path] | None,
        Parameter(
            group=OUTPUT_GROUP,
            metavar="FOLDER",
            help="a folder to search for its photo and paintings, with subfolders; SOURCE's and the current folder are "
            "always searched",
        ),
    ] = None,
    bits: BitsOption | None = None,
    quality: QualityOption | None = None,
    options: FlatRunOptions = DEFAULT_RUN_OPTIONS,
    **given: Any,
) -> int:
    """Paint a picture again from its recipe, with the same settings except those given.

    Its files are found by their digests, even if they were renamed, and refused if they have
    changed. Without options, and on the same machine, the picture is the same, bit for bit.
    """
    from impasto.recipes.locate import locate_files

    first = read_recipe(source)
    replaced = {name for name, value in given.items() if value is not None}
    if output is None:
        suffix = source.suffix.lower()
        output = find_free_name(source, "rerun", suffix=suffix if suffix in WRITE_FORMATS else ".png")
    written = first.get_output_quality(output)
    outputs = OutputOptions(**vars(options), bits=bits or written[0], quality=quality or written[1])
    found = locate_files(first, folders=[source.parent, Path()], search=search or (), replaced=replaced)
    job = make_job(found.photo, found.paintings, output, parse_settings(given, found.values), outputs, first)
    if (result := first.result) and result.step < result.steps and not options.quiet:
        print_message(f"{source} was left at step {result.step} of {result.steps}: it is painted to the end now")
    return paint_run(lambda fetch: start_picture(job, fetch), job.settings.network, options.quiet, options.as_json)


def diff(a: RecipeArgument, b: RecipeArgument, /) -> int:
    """Compare the recipes of two pictures: files, settings, versions, losses.

    Exits with 0 if they are the same, 1 if they differ, 2 if one has no recipe.
    """
    try:
        one, other = read_recipe(a), read_recipe(b)
    except ImpastoError as error:
        raise UsageError(str(error)) from error  # 1 means that they differ
    lines = list(list_differences(one, other))
    for line in [f"A is {a}", f"B is {b}", *lines] if lines else [f"{a} and {b} have the same recipe"]:
        print_result(line)
    return FAILED if lines else DONE
