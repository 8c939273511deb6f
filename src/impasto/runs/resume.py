"""Resuming a picture from its checkpoint, if its files have not changed."""

import os
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import from_json

from impasto.errors import CheckpointError, ImpastoError, RecipeError, UsageError
from impasto.images.names import explain_windows_path
from impasto.network.download import DownloadProgress
from impasto.painting.checkpoint_file import Checkpoint, is_checkpoint, read_checkpoint
from impasto.painting.painter import Step
from impasto.recipes.build import compare_environments
from impasto.recipes.files import read_recipe
from impasto.recipes.locate import fingerprint_file
from impasto.recipes.recipe import FileRef, Recipe, identify_recipe, parse_recipe
from impasto.recipes.text import list_differences
from impasto.runs.checkpoints import CHECKPOINT_SUFFIX, get_checkpoint_path, is_own_output, load_step
from impasto.runs.job import Job
from impasto.runs.run import Run
from impasto.runs.start import start_job


def resume(
    checkpoint: str | os.PathLike[str], *, overwrite: bool = False, fetch_progress: DownloadProgress | None = None
) -> Run:
    """Continue a painting that was not finished: returns its Run, from the step after the checkpoint's.

    `checkpoint` is the file, or the output that it is next to. On the same machine, the picture becomes the same, bit
    for bit, as without the interruption. An unfinished picture at the output is replaced; any other file there only
    with `overwrite`. `Run.write()` writes the picture to the job's output, and deletes the checkpoint.

    Errors: CheckpointError where there is no checkpoint, it is damaged, or a file that it was painted from has changed;
    UsageError where something else is there; the others as for `paint`.

    Example:
        run = impasto.resume("picture.png.checkpoint")
        for step in run:
            print(step.step, run.total_steps)
        run.write()
    """
    return read_unfinished(Path(checkpoint)).start(fetch_progress, overwrite=overwrite)


@dataclass(frozen=True)
class UnfinishedRun:
    """What a checkpoint holds: the job, the recipe with which it began, the last step, and the painter's state."""

    path: Path
    checkpoint: Checkpoint
    job: Job
    recipe: Recipe
    step: Step

    def start(self, fetch_progress: DownloadProgress | None = None, *, overwrite: bool = False) -> Run:
        """Start the job again and restore its state. Errors as for `resume`."""
        job = self.job.model_copy(update={"overwrite": True}) if overwrite else self.job
        self._compare_files()
        run = start_job(job, fetch_progress, may_replace=self._may_replace)
        here = run.recipe()
        if identify_recipe(here) != identify_recipe(self.recipe):
            lines = [
                line.replace(" in A,", " in it,").removesuffix(" in B") for line in list_differences(self.recipe, here)
            ]
            raise CheckpointError(f"{self.path} is of another recipe ({'; '.join(lines[:3])} now): begin anew")
        run.resume(self.checkpoint, self.path, self.recipe.model_copy(update={"painted_with": here.painted_with}))
        if difference := compare_environments(here, self.recipe):
            run.notes.append(difference)
        return run

    def _may_replace(self, path: Path) -> bool:
        return is_own_output(path, self.recipe)

    def _compare_files(self) -> None:
        """Raise CheckpointError if a file is missing or has changed, before anything large is read."""
        files = [*([self.job.photo] if self.job.photo else []), *self.job.paintings]
        for file in [*files, *self.job.settings.list_files()]:
            _compare_file(file, self.recipe, self.path)


def _compare_file(file: Path, recipe: Recipe, checkpoint: Path) -> None:
    if file.is_dir():  # of paintings, whose recipe is compared as a whole
        return
    try:
        found = fingerprint_file(file)
    except OSError as error:
        raise CheckpointError(
            f"{file}, which {checkpoint} is painted from, can't be read ({error.strerror or error}): put it back there"
        ) from None
    known = [ingredient for _, ingredient in recipe.iterate_files()]
    if found.sha256 in {ingredient.sha256 for ingredient in known}:
        return
    before = next((file for file in known if file.name == found.name), FileRef())
    raise CheckpointError(
        f"{file} has changed since {checkpoint} was begun: its sha256 is {found.sha256}, it was {before.sha256}. Put "
        "the right file there, or begin anew"
    )


def read_unfinished(path: Path) -> UnfinishedRun:
    """Read a checkpoint of a picture, by its own name or the output's. Errors as for `resume`."""
    path = _find_checkpoint_file(path)
    checkpoint = read_checkpoint(path)
    try:
        job = Job.model_validate_json(checkpoint.texts["job"])
        recipe = parse_recipe(from_json(checkpoint.texts["recipe"]), str(path))
        step = load_step(checkpoint)
    except KeyError:
        raise CheckpointError(
            f"{path} was written by a batch, which continues when its command is repeated: repeat it"
        ) from None
    except (ValidationError, ValueError, TypeError, RecipeError, CheckpointError) as error:
        said = str(error).partition("\n")[0]
        raise CheckpointError(f"{path} is not understood ({said}): it takes the impasto that wrote it") from None
    return UnfinishedRun(path, checkpoint, job, recipe, step)


def _find_checkpoint_file(path: Path) -> Path:
    """Return the checkpoint that a path means: the file itself, or the one next to the output of that name."""
    if not path.name:
        raise UsageError(f"{path} is a folder: name a checkpoint, or a picture that was not finished")
    if is_checkpoint(path):
        return path
    beside = get_checkpoint_path(path)
    if os.path.lexists(beside):
        return beside
    if not os.path.lexists(path):
        advice = explain_windows_path(str(path)) or "name a checkpoint"
        raise CheckpointError(f"{path} does not exist, and neither does {beside}: {advice}")
    if _is_unfinished_picture(path):
        raise CheckpointError(
            f"{path} is not finished, but has no checkpoint: short runs keep one only where `checkpoint` names it. "
            f"impasto rerun {path} paints it anew"
        )
    if path.suffix != CHECKPOINT_SUFFIX or not path.is_file():
        raise UsageError(
            f"{path} is no unfinished picture or film, and no checkpoint, or one that is cut short; "
            "name a checkpoint, or a picture or film that was not finished"
        )
    return path


def _is_unfinished_picture(path: Path) -> bool:
    try:
        result = read_recipe(path).result
    except ImpastoError:
        return False
    return result is not None and result.step < result.steps
