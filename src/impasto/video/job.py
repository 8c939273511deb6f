"""A film to paint, as plain data; its inputs by their digests; its recipe."""

import hashlib
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import from_json

from impasto.errors import PictureError, RecipeError
from impasto.perception.weights import REGISTRY
from impasto.pictures import animations
from impasto.pictures.inscriptions import read_inscription
from impasto.recipes.inputs import weigh
from impasto.recipes.recipe import Ingredient, Recipe, plain_name
from impasto.recipes.words import describe
from impasto.settings import Settings
from impasto.video import writing
from impasto.video.folders import is_pattern, list_frames
from impasto.video.options import FilmOptions


class FilmJob(BaseModel):
    """One film to paint, as plain data: where things are, and how to paint.

    `source` is a film, an animation, a folder or a pattern of frames; `output` one as well. `save_every` is the number
    of frames between previews. The rest is as for a picture's Job.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Path
    paintings: Annotated[tuple[Path, ...], Field(min_length=1)]
    output: Path
    settings: Settings = Settings()
    options: FilmOptions = FilmOptions()
    save_every: int = Field(default=0, ge=0)
    overwrite: bool = False
    recipe: Literal["embed", "none"] = "embed"
    recipe_file: Path | None = None

    def anchored(self) -> "FilmJob":
        """Return it with absolute paths, to be gone on with from anywhere."""
        settings = self.settings
        named: dict[str, Any] = {}
        for name, number, file in settings.files():
            value, whole = named.get(name, getattr(settings, name)), str(Path(file).absolute())
            named[name] = whole if isinstance(value, str) else (*value[:number], whole, *value[number + 1 :])
        if settings.network not in REGISTRY:
            named["network"] = str(Path(settings.network).expanduser().absolute())
        return self.model_copy(
            update={
                "source": self.source.absolute(),
                "paintings": tuple(path.absolute() for path in self.paintings),
                "output": self.output.absolute(),
                "recipe_file": self.recipe_file.absolute() if self.recipe_file else None,
                "settings": settings.model_copy(update=named),
            }
        )

    @property
    def gives_frames(self) -> bool:
        """Is the source a folder or a pattern of frames?"""
        return _gives_frames(self.source)

    def list_inputs(self) -> list[Path]:
        """List the files that are read."""
        named = [Path(file) for _, _, file in self.settings.files()]
        others = [it for file in named for it in (list_frames(file) if _gives_frames(file) else [file])]
        if self.settings.network not in REGISTRY:
            others.append(Path(self.settings.network).expanduser())
        return [*(list_frames(self.source) if self.gives_frames else [self.source]), *self.paintings, *others]

    def digest_inputs(self) -> dict[str, str]:
        """Return the digest of each file that is read. Raises PictureError where one can't be."""
        try:
            return {str(path): weigh(path).sha256 or "" for path in self.list_inputs()}
        except OSError as error:
            raise PictureError(f"{error.filename} can't be read: {error.strerror}") from None


def _gives_frames(path: Path) -> bool:
    return path.is_dir() or is_pattern(path)


class FilmRecipe(Recipe):
    """How a film was painted: a Recipe whose photo is the film, with the options for films."""

    film: FilmOptions


def weigh_source(job: FilmJob) -> Ingredient:
    """Write down what a film is painted from; a folder's digest is that of its frames' digests."""
    if not job.gives_frames:
        return weigh(job.source)
    digest, length = hashlib.sha256(), 0
    for frame in list_frames(job.source):
        it = weigh(frame)
        digest.update((it.sha256 or "").encode())
        length += it.bytes or 0
    return Ingredient(name=plain_name(job.source) or "_", bytes=length, sha256=digest.hexdigest())


def describe_film(recipe: FilmRecipe) -> Iterator[str]:
    """Yield the lines that tell a person how a film was painted."""
    given = recipe.film.given()
    for line in describe(recipe):
        if line.startswith("command "):
            line = line.replace("impasto ", "impasto film ", 1)
            line += "".join(f" {_as_option(name, value)}" for name, value in given.items())
        yield line
    for name, value in recipe.film.model_dump(mode="json").items():
        yield f"  film {name} {_show(value)}{' *' if name in given else ''}"


def _as_option(name: str, value: Any) -> str:
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{'' if value else 'no-'}{flag}"
    return f"--{flag} {shlex.quote(_show(value))}"


def _show(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def read_film_recipe(path: Path) -> FilmRecipe | None:
    """Read the recipe inside a film or an animation; None where it carries none, or that of a picture.

    Raises RecipeError where there is one that is not understood.
    """
    suffix = path.suffix.lower()
    text: str | None = None
    if suffix in writing.FORMATS:
        text = writing.read_comment(path)
    elif suffix == ".gif":
        text = animations.read_comment(path)
    elif suffix in animations.SUFFIXES:
        text = read_inscription(path)
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
