"""Job: one picture to paint, as plain data; checked before anything large is loaded."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias, get_args

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from impasto.errors import UsageError
from impasto.images.folders import expand_folders
from impasto.images.formats import DEFAULT_QUALITY
from impasto.images.output import check_output
from impasto.recipes.files import check_recipe_file
from impasto.recipes.recipe import Recipe
from impasto.settings.model import Settings

RecipeMode: TypeAlias = Literal["embed", "none"]


class BaseJob(BaseModel):
    """What a picture's and a film's job have in common.

    What is at `output` before is kept unless `overwrite`, the inputs in any case. `recipe` says whether pictures carry
    theirs; `recipe_file` gets the output's as TOML or JSON. `notes` are for the user.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    paintings: Annotated[tuple[Path, ...], Field(min_length=1)]
    output: Path
    settings: Settings = Field(default_factory=Settings)
    save_every: int = Field(default=0, ge=0)
    overwrite: bool = False
    recipe: RecipeMode = "embed"
    recipe_file: Path | None = None
    notes: list[str] = Field(default_factory=list, exclude=True)

    def expand_folders(self) -> Self:
        """Return the job with folders of paintings replaced by the paintings in them, and notes on what is left out."""
        paintings, settings, notes = expand_folders(self.paintings, self.settings)
        changed = {"paintings": tuple(paintings), "settings": settings, "notes": [*self.notes, *notes]}
        return self.model_copy(update=changed)

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
    quality: int = Field(default=DEFAULT_QUALITY, ge=1, le=100)
    checkpoint: str = "auto"
    first: Recipe | None = None

    _checked_output: Path | None = PrivateAttr(default=None)  # by check_job

    def list_inputs(self) -> list[Path]:
        """List the files that are read, each once; a network that is known by its name is none of them."""
        files = [*([self.photo] if self.photo else []), *self.paintings, *self.settings.list_files()]
        return list(dict.fromkeys(files))

    @property
    def preview_path(self) -> Path:
        """Where the previews go."""
        return self.output.with_name(f"{self.output.stem}.preview{self.output.suffix}")

    def list_pictures(self) -> list[Path]:
        """List the pictures that are written."""
        return [self.output, self.preview_path] if self.save_every else [self.output]


def check_job(job: Job, may_replace: Callable[[Path], bool] = lambda _: False) -> Job:
    """Check where a job writes, and return it with folders of paintings replaced by the paintings in them.

    It needs no torch, and does nothing for a job that it has returned. `may_replace` tells whether an existing file may
    be replaced although the job does not say `overwrite`.

    Errors: UsageError, PictureError.

    Example: start_job(check_job(job))
    """
    if job._checked_output == job.output:
        return job
    job = job.expand_folders()
    inputs = job.list_inputs()
    size = job.settings.size if job.settings.fit == "longest" else 1  # otherwise it takes the photo to know
    for target in job.list_pictures():
        overwrite = job.overwrite or may_replace(target)
        check_output(target, inputs=inputs, overwrite=overwrite, bits=job.bits, size=size)
    if job.recipe_file:
        overwrite = job.overwrite or may_replace(job.recipe_file)
        check_recipe_file(job.recipe_file, inputs=inputs, overwrite=overwrite)
    job._checked_output = job.output
    return job


def check_recipe_mode(recipe: str) -> None:
    """Raise UsageError unless `recipe` is a RecipeMode."""
    if recipe not in get_args(RecipeMode):
        raise UsageError(f"`recipe` takes {' or '.join(get_args(RecipeMode))}; not {recipe!r}", setting="recipe")
