"""Reading and writing recipes: inside pictures, and in TOML or JSON files."""

import os
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import tomli_w
from pydantic_core import from_json

from impasto.errors import RecipeError, UsageError
from impasto.images.metadata import MAX_TEXT_BYTES, read_embedded_text
from impasto.images.opening import check_regular_file
from impasto.images.output import atomic_write, check_writable
from impasto.recipes.recipe import Recipe, parse_recipe

RECIPE_SUFFIXES = (".toml", ".json")


def read_recipe(path: str | os.PathLike[str]) -> Recipe:
    """Read the recipe inside a picture, or in a .toml or .json file.

    Nothing in it is run, and no file that it names is opened.

    Errors: RecipeError where there is none, or one that is damaged, too long, too new or wrong; PictureError where
    there is no such picture.

    Example: impasto.read_recipe("picture.png").settings.style_weight
    """
    path = Path(path)
    if path.suffix.lower() in RECIPE_SUFFIXES:
        return parse_recipe(_parse(_read_file(path), path.suffix.lower(), str(path)), str(path))
    text = read_embedded_text(path)
    if text is None:
        raise RecipeError(
            f"{path} carries no recipe: it was not painted by impasto, or was written with `recipe` none, or another "
            "program has dropped the recipe"
        )
    return parse_recipe(_parse(text, ".json", str(path)), str(path))


def write_recipe(recipe: Recipe, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Write a recipe to a .toml or .json file of its own, whole or not at all; returns where it is.

    Errors: UsageError for another suffix; PictureError where the disk refuses, or the file exists.

    Example: write_recipe(read_recipe("picture.png"), "picture.toml")
    """
    path = Path(path)
    _check_suffix(path)
    text = tomli_w.dumps(recipe.to_dict()) if path.suffix.lower() == ".toml" else recipe.to_json(indent=2) + "\n"
    with atomic_write(path, overwrite=overwrite) as file:
        file.write(text.encode())
    return path


def check_recipe_file(
    path: str | os.PathLike[str], *, inputs: Iterable[str | os.PathLike[str]] = (), overwrite: bool = False
) -> None:
    """Raise now what `write_recipe` would raise after hours of painting, or where it would replace an input."""
    _check_suffix(Path(path))
    check_writable(path, inputs=inputs, overwrite=overwrite)


def _check_suffix(path: Path) -> None:
    if path.suffix.lower() not in RECIPE_SUFFIXES:
        raise UsageError(
            f"{path} is no name for a recipe file: end it in {' or '.join(RECIPE_SUFFIXES)}", setting="recipe_file"
        )


def _read_file(path: Path) -> str:
    try:
        check_regular_file(path)
        with path.open("rb") as file:
            data = file.read(MAX_TEXT_BYTES + 1)
        if len(data) > MAX_TEXT_BYTES:
            raise RecipeError(
                f"{path} is longer than any recipe, more than {MAX_TEXT_BYTES:,} bytes: name another file"
            )
        return data.decode()
    except UnicodeDecodeError:
        raise RecipeError(f"{path} is not text: name a recipe, or a picture that carries one") from None
    except OSError as error:
        raise RecipeError(f"{path} can't be read: {error.strerror or error}") from None


def _parse(text: str, suffix: str, source: str) -> Any:
    try:
        return tomllib.loads(text) if suffix == ".toml" else from_json(text, allow_inf_nan=False)
    except (ValueError, RecursionError) as error:
        said = "".join(letter if letter.isprintable() else "?" for letter in str(error))[:200]
        raise RecipeError(f"{source} holds a recipe that is damaged or cut short: {said}") from None
