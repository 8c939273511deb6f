"""A film to paint, as plain data; its inputs by their digests; its recipe."""

import hashlib
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from impasto.errors import PictureError, RecipeError
from impasto.films import encoder
from impasto.films.film_options import FilmOptions
from impasto.films.image_sequence import is_pattern, list_frame_files
from impasto.images import animation
from impasto.images.metadata import read_embedded_text
from impasto.recipes.locate import fingerprint_file
from impasto.recipes.recipe import FileRef, Recipe, plain_name
from impasto.recipes.text import describe_recipe
from impasto.runs.job import BaseJob


class FilmJob(BaseJob):
    """One film to paint, as plain data: where things are, and how to paint.

    `source` is a film, an animation, a folder or a pattern of frames; `output` one as well. `save_every` is the number
    of frames between previews. The rest is as for a picture's Job.
    """

    source: Path
    options: FilmOptions = FilmOptions()

    @property
    def has_frame_files(self) -> bool:
        """Is the source a folder or a pattern of frames?"""
        return _has_frame_files(self.source)

    def list_inputs(self) -> list[Path]:
        """List the files that are read."""
        return [
            file
            for path in (self.source, *self.paintings, *self.settings.list_files())
            for file in (list_frame_files(path) if _has_frame_files(path) else [path])
        ]

    def digest_inputs(self) -> dict[str, str]:
        """Return the digest of each file that is read. Raises PictureError where one can't be."""
        try:
            return {str(path): fingerprint_file(path).sha256 or "" for path in self.list_inputs()}
        except OSError as error:
            raise PictureError(f"{error.filename} can't be read: {error.strerror}") from None


def _has_frame_files(path: Path) -> bool:
    return path.is_dir() or is_pattern(path)


class FilmRecipe(Recipe):
    """How a film was painted: a Recipe whose photo is the film, with the options for films."""

    film: FilmOptions


def film_source_ref(job: FilmJob) -> FileRef:
    """Write down what a film is painted from; a folder's digest is that of its frames' digests."""
    if not job.has_frame_files:
        return fingerprint_file(job.source)
    digest, length = hashlib.sha256(), 0
    for frame in list_frame_files(job.source):
        it = fingerprint_file(frame)
        digest.update((it.sha256 or "").encode())
        length += it.bytes or 0
    return FileRef(name=plain_name(job.source) or "_", bytes=length, sha256=digest.hexdigest())


def describe_film(recipe: FilmRecipe) -> Iterator[str]:
    """Yield the lines that tell a person how a film was painted."""
    given = recipe.film.list_given()
    for line in describe_recipe(recipe):
        if line.startswith("command "):
            line = line.replace("impasto ", "impasto film ", 1)
            line += "".join(f" {_as_option(name, value)}" for name, value in given.items())
        yield line
    for name, value in recipe.film.model_dump(mode="json").items():
        yield f"  film {name} {_format_value(value)}{' *' if name in given else ''}"


def _as_option(name: str, value: Any) -> str:
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{'' if value else 'no-'}{flag}"
    return f"--{flag} {shlex.quote(_format_value(value))}"


def _format_value(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def read_film_recipe(path: Path) -> FilmRecipe | None:
    """Read the recipe inside a film or an animation; None where it carries none, or that of a picture.

    Raises RecipeError where there is one that is not understood.
    """
    suffix = path.suffix.lower()
    text: str | None = None
    if suffix in encoder.FILM_FORMATS:
        text = encoder.read_film_comment(path)
    elif suffix == ".gif":
        text = animation.read_gif_comment(path)
    elif suffix in animation.ANIMATION_SUFFIXES:
        text = read_embedded_text(path)
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
