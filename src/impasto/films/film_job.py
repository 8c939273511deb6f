"""A film to paint, as plain data, and its recipe."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic_core import from_json

from impasto.errors import PictureError, RecipeError, UsageError
from impasto.films.encoder import FILM_FORMATS, read_film_comment
from impasto.films.film_options import FilmOptions
from impasto.films.image_sequence import FRAME_NUMBER, has_frame_files, list_files
from impasto.images.animation import read_gif_comment
from impasto.images.formats import ANIMATION_FORMATS, WRITE_FORMATS
from impasto.images.metadata import read_embedded_text
from impasto.recipes.locate import fingerprint_file
from impasto.recipes.recipe import FileRef, Recipe, plain_name
from impasto.recipes.text import describe_recipe
from impasto.runs.job import BaseJob


class FilmJob(BaseJob):
    """One film to paint, as plain data: where its files are, and how to paint.

    `source` and `output` are each a film, an animation, or a folder or pattern of frames. `save_every` is the number of
    frames between previews.
    """

    source: Path
    options: FilmOptions = FilmOptions()

    @property
    def output_kind(self) -> Literal["film", "animation", "images"]:
        """What the film is written as, by the output's name. Raises UsageError for a name that does not say."""
        suffix, is_pattern = self.output.suffix.lower(), FRAME_NUMBER.search(self.output.name)
        if suffix in FILM_FORMATS and not is_pattern:
            return "film"
        if suffix in ANIMATION_FORMATS and not is_pattern:
            return "animation"
        if (suffix in WRITE_FORMATS) if is_pattern else (not suffix or self.output.is_dir()):
            return "images"
        raise UsageError(
            f"{self.output} does not say what to write: end it in {', '.join([*FILM_FORMATS, *ANIMATION_FORMATS])}, "
            "or name a folder, or a pattern such as frame_%04d.png",
            setting="output",
        )

    def list_inputs(self) -> list[Path]:
        """List the files that are read."""
        paths = self.source, *self.paintings, *self.settings.list_files()
        return [file for path in paths for file in list_files(path)]

    def digest_inputs(self) -> dict[str, str]:
        """Return the digest of each input file. Raises PictureError if one can't be read."""
        try:
            return {str(path): fingerprint_file(path).sha256 or "" for path in self.list_inputs()}
        except OSError as error:
            raise PictureError(f"{error.filename} can't be read: {error.strerror}") from None


class FilmRecipe(Recipe):
    """How a film was painted: a Recipe whose photo is the film, with the film's options."""

    film: FilmOptions


def fingerprint_frames(path: Path) -> FileRef:
    """Return the name, length and digest of a file, a folder or a pattern; a folder's is of its frames' digests."""
    if not has_frame_files(path):
        return fingerprint_file(path)
    frames = [fingerprint_file(frame) for frame in list_files(path)]
    digest = hashlib.sha256("".join(frame.sha256 or "" for frame in frames).encode())
    length = sum(frame.bytes or 0 for frame in frames)
    return FileRef(name=plain_name(path) or "_", bytes=length, sha256=digest.hexdigest())


def describe_film(recipe: FilmRecipe) -> Iterator[str]:
    """Yield the lines that tell a person how a film was painted."""
    return describe_recipe(recipe, "impasto film", recipe.film.model_dump(mode="json"), recipe.film.list_given())


def read_film_recipe(path: Path) -> FilmRecipe | None:
    """Read the recipe in a film or an animation; None if it has none, or a picture's.

    Raises RecipeError for a film's recipe that is not understood.
    """
    text = _read_text(path, path.suffix.lower())
    data: Any = None
    try:
        data = from_json(text) if text and text.lstrip().startswith("{") else None
    except ValueError:
        return None
    if not isinstance(data, dict) or "film" not in data:
        return None
    try:
        return FilmRecipe.model_validate(data)
    except ValueError as error:
        raise RecipeError(f"{path} holds a film's recipe that is not understood: {error}") from None


def _read_text(path: Path, suffix: str) -> str | None:
    if suffix in FILM_FORMATS:
        return read_film_comment(path)
    if suffix == ".gif":
        return read_gif_comment(path)
    return read_embedded_text(path) if suffix in ANIMATION_FORMATS else None
