"""What is to be painted, as plain data: what jobs have in common, and Job, a picture's."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias, get_args

from pydantic import BaseModel, ConfigDict, Field

from impasto.errors import UsageError
from impasto.recipes.recipe import Recipe
from impasto.settings.model import Settings

RecipeMode: TypeAlias = Literal["embed", "none"]


class BaseJob(BaseModel):
    """What a picture's and a film's job have in common.

    What is at `output` before is kept unless `overwrite`, the inputs in any case. `recipe` says whether pictures carry
    theirs; `recipe_file` gets the output's as TOML or JSON.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    paintings: Annotated[tuple[Path, ...], Field(min_length=1)]
    output: Path
    settings: Settings = Settings()
    save_every: int = Field(default=0, ge=0)
    overwrite: bool = False
    recipe: RecipeMode = "embed"
    recipe_file: Path | None = None

    def relocate(self, move: Callable[[Path], Path]) -> Self:
        """Return the job with `move(path)` for the path of each file that it reads or writes.

        Example: job.relocate(Path.absolute)
        """

        def move_all(value: Any) -> Any:
            if isinstance(value, Settings):
                return value.map_files(lambda file: str(move(Path(file))))
            if isinstance(value, tuple):
                return tuple(map(move, value))
            return move(value) if isinstance(value, Path) else value

        return self.model_copy(update={name: move_all(value) for name, value in self})


class Job(BaseJob):
    """One picture to paint, as plain data: where things are, and how to paint. A texture has no `photo`.

    `save_every` is the number of steps between previews, written to OUTPUT's folder as NAME.preview.SUFFIX; 0 for none.
    `checkpoint` is the file that the run is saved to, to be resumed; "auto": OUTPUT.checkpoint where it is planned to
    take over ten minutes; "none". `first` is the recipe that this is a rerun of: what differs from it is written down.
    """

    photo: Path | None
    bits: Literal[8, 16] = 8
    quality: int = Field(95, ge=1, le=100)
    checkpoint: str = "auto"
    first: Recipe | None = None

    def list_inputs(self) -> list[Path]:
        """List the files that are read, each once; a network that is known by its name is none of them."""
        files = [*([self.photo] if self.photo else []), *self.paintings, *self.settings.list_files()]
        return list(dict.fromkeys(files))

    @property
    def preview_path(self) -> Path:
        """Where the previews go."""
        return self.output.with_name(f"{self.output.stem}.preview{self.output.suffix}")


def check_recipe_mode(recipe: str) -> None:
    """Raise UsageError where `recipe` is not one of its values."""
    if recipe not in get_args(RecipeMode):
        raise UsageError(f"recipe: takes {' or '.join(get_args(RecipeMode))}; not {recipe!r}")
