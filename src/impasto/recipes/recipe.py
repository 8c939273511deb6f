"""Recipe: how a picture was painted, as plain data, and the result."""

import hashlib
import json
from collections.abc import Iterator
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    JsonValue,
    ValidationError,
    model_validator,
)

from impasto.errors import RecipeError
from impasto.images.formats import DEFAULT_QUALITY, WRITE_FORMATS
from impasto.settings.model import Settings
from impasto.settings.types import FILE_SETTINGS

RECIPE_FORMAT = 1


def plain_name(path: str | Path) -> str:
    """Return a file's name without its folders, with unprintable characters replaced."""
    return "".join(letter if letter.isprintable() and letter not in "/\\:" else "_" for letter in Path(path).name)


def _check_text(text: str) -> str:
    if not text.isprintable():
        raise ValueError("holds characters that can't be printed")
    return text


def _check_name(name: str) -> str:
    if name != plain_name(name) or name in (".", ".."):
        raise ValueError("is no plain file name")
    return name


Text = Annotated[str, Field(max_length=200), AfterValidator(_check_text)]
PlainName = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_check_name)]
Count = Annotated[int, Field(ge=0)]


class _RecipePart(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")


class FileRef(_RecipePart):
    """A file that a picture was painted from: its name, for people, and its digest, which is what counts.

    A network of the registry has no `bytes`. For an image in memory, all three are None.
    """

    name: PlainName | None = None
    bytes: Count | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None

    @model_validator(mode="after")
    def _check_whole(self) -> Self:
        if (self.name is None) != (self.sha256 is None):
            raise ValueError("a name and its sha256 belong together")
        return self


class RecipeResult(_RecipePart):
    """The result: the picture's size and bits, the last step, and its weighted losses."""

    width: Annotated[int, Field(ge=1)]
    height: Annotated[int, Field(ge=1)]
    bits: Literal[8, 16]
    quality: Annotated[int, Field(ge=1, le=100)]
    step: Count
    steps: Count
    losses: dict[Text, FiniteFloat]


class Environment(_RecipePart):
    """The software and machine; with others, the same recipe is painted a little differently."""

    impasto: Text
    torch: Text
    python: Text
    platform: Text
    device: Text
    precision: Text
    threads: Count


class Recipe(_RecipePart):
    """How a picture was painted. `settings` are all of them, `given` those that the user chose; a texture has no photo.

    `files` has a FileRef for each value of each setting that names files, an empty one where the value is no file. In a
    rerun, `overridden` has the first picture's values of the settings that reruns have changed.
    """

    recipe: Literal[1] = 1  # RECIPE_FORMAT
    photo: FileRef | None = None
    paintings: Annotated[tuple[FileRef, ...], Field(min_length=1)]
    files: dict[Text, tuple[FileRef, ...]] = {}
    network: FileRef
    settings: Settings
    given: tuple[Text, ...] = ()
    overridden: dict[Text, JsonValue] = {}
    result: RecipeResult | None = None
    painted_with: Environment

    @model_validator(mode="after")
    def _check_settings(self) -> Self:
        unknown = [name for name in (*self.given, *self.overridden) if name not in Settings.model_fields]
        if unknown:
            raise ValueError(f"there is no setting {unknown[0]!r}")
        for name, value in self.settings.model_dump(mode="json").items():
            parts = value if isinstance(value, list) else [value]
            if any(isinstance(part, str) and not part.isprintable() for part in parts):
                raise ValueError(f"the setting {name} holds characters that can't be printed")
        # Files are found by their digests. Their names in the settings are for people, and must agree.
        if self.settings.network != self.network.name:
            raise ValueError("the setting network names another file than the recipe's network")
        for name in dict.fromkeys([*self.files, *FILE_SETTINGS]):
            self._check_files(name)
        return self

    def _check_files(self, name: str) -> None:
        if name not in FILE_SETTINGS:
            raise ValueError(f"there is no setting {name!r} that names files")
        value, files = getattr(self.settings, name), self.files.get(name, ())
        values = (value,) if isinstance(value, str) else value
        words = FILE_SETTINGS[name]
        if not files and all(value in words for value in values):
            return
        pairs = zip(values, files, strict=False)
        if len(files) != len(values) or any(
            word != file.name and not (file.name is None and word in words) for word, file in pairs
        ):
            raise ValueError(f"the setting {name} names another file than the recipe's {name}")

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data, without empty fields."""
        return self.model_dump(mode="json", exclude_none=True)

    def to_json(self, indent: int | None = None) -> str:
        """Return it as JSON, on one line unless `indent` is given."""
        return self.model_dump_json(exclude_none=True, indent=indent)

    def get_output_quality(self, output: str | PathLike[str]) -> tuple[Literal[8, 16], int]:
        """Return the bits and quality of the written picture, as far as the format of `output` has them."""
        if self.result is None:
            return 8, DEFAULT_QUALITY
        deep = WRITE_FORMATS.get(Path(output).suffix.lower()) in ("PNG", "TIFF")
        return self.result.bits if deep else 8, self.result.quality

    def iterate_files(self) -> Iterator[tuple[str, FileRef]]:
        """Yield each file with its role: photo, painting (numbered if several), the settings' files, network."""
        if self.photo:
            yield "photo", self.photo
        for number, painting in enumerate(self.paintings, start=1):
            yield f"painting {number}" if len(self.paintings) > 1 else "painting", painting
        for role, _, _, file in self.iterate_setting_files():
            yield role, file
        yield "network", self.network

    def iterate_setting_files(self) -> Iterator[tuple[str, str, int, FileRef]]:
        """Yield each file that a setting names: its role, the setting, the index of its value, the file."""
        for name in FILE_SETTINGS:
            files = self.files.get(name, ())
            for index, file in enumerate(files):
                if file.name is not None:
                    role = name.replace("_", " ")
                    yield f"{role} {index + 1}" if len(files) > 1 else role, name, index, file


def identify_recipe(recipe: Recipe) -> str:
    """Return a digest of all that decides the picture: the contents of its files, and its settings.

    Recipes with the same digest paint the same picture. The names of files, the result, the machine, and which settings
    were given or left to the preset do not count.

    Example: identify_recipe(read_recipe("picture.png")) == identify_recipe(read_recipe("copy.png"))
    """
    files = {role: file.sha256 for role, file in recipe.iterate_files()}
    settings = recipe.settings.model_dump(mode="json", exclude={"network", *recipe.files})
    return hashlib.sha256(json.dumps([files, settings], sort_keys=True).encode()).hexdigest()


def parse_recipe(data: Any, source: str) -> Recipe:
    """Make a Recipe of plain data, which may come from a stranger; `source` is named in errors.

    Errors: RecipeError where it is no recipe, one of another format, or a wrong one.
    """
    if not isinstance(data, dict) or "recipe" not in data:
        raise RecipeError(f"{source} holds no recipe of impasto")
    if data["recipe"] != RECIPE_FORMAT:
        raise RecipeError(
            f"{source} holds a recipe of another format than {RECIPE_FORMAT}, the one that impasto "
            f"{version('impasto')} "
            "reads: it takes a newer impasto"
        )
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        raise RecipeError(
            f"{source} holds a recipe that is not understood: {_list_faults(error)}{_format_writer(data)}"
        ) from None


def _list_faults(error: ValidationError) -> str:
    faults = [
        f"{'.'.join(map(str, fault['loc']))}: {fault['msg'].removeprefix('Value error, ')}" for fault in error.errors()
    ]
    return "".join(letter if letter.isprintable() else "?" for letter in "; ".join(faults[:5]))[:1000]


def _format_writer(data: dict[str, Any]) -> str:
    """Say which impasto wrote a recipe, if it is not this version."""
    painted_with = data.get("painted_with")
    writer = painted_with.get("impasto") if isinstance(painted_with, dict) else None
    here = version("impasto")
    if not isinstance(writer, str) or writer == here or not writer.isprintable():
        return ""
    return f". It was written by impasto {writer[:40]}, this is {here}"
