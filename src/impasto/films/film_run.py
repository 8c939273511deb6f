"""A film being painted: an iterator of FrameSteps, and the film at the end or at any time before."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from impasto.errors import UsageError
from impasto.films.film_job import FilmJob, FilmRecipe
from impasto.films.film_output import FilmOutput
from impasto.films.sequence import FilmSequence, FrameStep
from impasto.films.work_folder import WorkFolder
from impasto.images.write import to_pil
from impasto.recipes.files import write_recipe
from impasto.recipes.locate import fingerprint_file
from impasto.recipes.recipe import Recipe, RecipeResult

if TYPE_CHECKING:
    from PIL import Image as PilImage


class FilmRun:
    """A film being painted: iterate over it for FrameSteps; with the last one the film is written.

    Nothing is painted that is not asked for. What is painted is kept in `folder`, from which `impasto.resume_film`
    goes on whatever has happened. `notes` holds what a user should know. Errors while iterating: DivergedError;
    PictureError where the disk refuses.
    """

    def __init__(
        self,
        job: FilmJob,
        sequence: FilmSequence,
        delivery: FilmOutput,
        storage: WorkFolder,
        recipe: Recipe,
        notes: list[str],
    ) -> None:
        self._job, self._sequence, self._film_output, self._work_folder = job, sequence, delivery, storage
        self._recipe, self._own_notes = recipe, notes
        self._last: FrameStep | None = None
        self.is_finished = False

    def __iter__(self) -> Iterator[FrameStep]:
        return self

    def __next__(self) -> FrameStep:
        try:
            self._last = step = next(self._sequence)
        except StopIteration:
            if not self.is_finished:
                self._finish()
            raise
        return step

    @property
    def output(self) -> Path:
        """Where the film goes."""
        return self._job.output

    @property
    def folder(self) -> Path:
        """Where it is kept while it is painted."""
        return self._work_folder.folder

    @property
    def frame_count(self) -> int:
        """How many frames there are in all."""
        return self._sequence.frames

    @property
    def sequence(self) -> FilmSequence:
        """What paints the frames."""
        return self._sequence

    def list_shots(self) -> list[range]:
        """List the frames of each part that can be painted without the others, and is not finished yet."""
        last = self._job.options.passes
        return [
            shot
            for shot in self._sequence.list_shots()
            if not all(self._work_folder.is_done(turn, frame) for turn in range(1, last + 1) for frame in shot)
        ]

    def reload_progress(self) -> None:
        """Take in what others have painted, who were given shots; it is not painted again."""
        self._work_folder.reload()

    @property
    def painted_frames(self) -> int:
        """How many frames from the first on have been painted at least once."""
        return next(
            (it for it in range(self.frame_count) if self._work_folder.latest_pass(it) is None), self.frame_count
        )

    @property
    def notes(self) -> list[str]:
        """What happened that a user should know, in order."""
        return [*self._own_notes, *self._sequence.notes]

    def picture(self) -> "PilImage.Image":
        """Return the frame that is being painted, as far as it is, as a PIL image in sRGB."""
        if self._sequence.painter is None:
            raise UsageError("Nothing is painted yet: ask for a step first.")
        return to_pil(self._sequence.painter.picture())

    def recipe(self, frames: int | None = None) -> FilmRecipe:
        """Return how the film is painted, and how far it is."""
        frames = self.painted_frames if frames is None else frames
        timeline, options = self._film_output.timeline, self._job.options
        last = dict(self._last.losses) if self._last else {}
        result = RecipeResult(
            width=self._sequence.width,
            height=self._sequence.height,
            bits=8,
            quality=options.quality,
            step=frames,
            steps=len(timeline.times),
            losses=last,
        )
        return FilmRecipe(**{**self._recipe.model_dump(), "film": options, "result": result})

    def write_unfinished(self) -> Path | None:
        """Write the film as far as it is painted; None where not even one frame is. It is gone on with all the same."""
        self._sequence.close()
        frames = self.painted_frames
        if frames:
            self._write(frames)
            self._work_folder.write_plan(json.dumps({**self._read_plan(), "unfinished": self._fingerprint_output()}))
        self._film_output.close_live_film()
        self._work_folder.release()
        return self.output if frames else None

    @property
    def resume_path(self) -> Path:
        """The folder from which `resume_film` goes on."""
        return self.folder

    def save_checkpoint(self) -> None:
        """Do nothing: every painted frame is saved already."""

    def write_result(self) -> Path | None:
        """Write the film so far, unless it is finished and written; None if no frame is painted."""
        return self.output if self.is_finished else self.write_unfinished()

    def close(self) -> None:
        """Stop, and write nothing; the folder stays."""
        self._sequence.close()
        self._film_output.close_live_film()
        self._work_folder.release()

    def _finish(self) -> None:
        self._write(self.frame_count)
        self._work_folder.delete()
        self.is_finished = True

    def _write(self, frames: int) -> None:
        recipe = self.recipe(frames)
        self._film_output.inscription = recipe.to_json() if self._job.recipe == "embed" else ""
        self._film_output.write(frames)
        if self._job.recipe_file:
            write_recipe(recipe, self._job.recipe_file, overwrite=True)
        self._film_output.overwrite = True  # what is there is this film from now on

    def _read_plan(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "film.json").read_text(encoding="utf-8")))

    def _fingerprint_output(self) -> str | None:
        return fingerprint_file(self.output).sha256 if self.output.is_file() else None
