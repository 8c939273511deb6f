"""A film being painted: an iterator of FrameSteps, which can write the film at the end or at any time before."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from impasto.errors import UsageError
from impasto.films.film_job import FilmJob, FilmRecipe
from impasto.films.film_output import FilmOutput
from impasto.films.sequence import FilmSequence, FrameStep
from impasto.films.work_folder import WorkFolder
from impasto.images.display import MimeBundle, make_mime_bundle
from impasto.images.write import to_pil
from impasto.recipes.files import write_recipe
from impasto.recipes.locate import fingerprint_file
from impasto.recipes.recipe import Recipe, RecipeResult
from impasto.settings.units import format_count

if TYPE_CHECKING:
    from PIL import Image as PilImage


class FilmRun:
    """A film being painted: iterate over it for FrameSteps. After the last one, the film is written.

    Work is done only when a step is requested. Painted frames are kept in `folder`, from which `impasto.resume_film`
    continues after any interruption. `notes` are for the user. Errors while iterating: DivergedError; PictureError if
    the disk refuses.
    """

    def __init__(
        self,
        job: FilmJob,
        sequence: FilmSequence,
        output: FilmOutput,
        work_folder: WorkFolder,
        recipe: Recipe,
        notes: list[str],
    ) -> None:
        self._job, self._output, self._work_folder = job, output, work_folder
        self._recipe, self._own_notes = recipe, notes
        self.sequence = sequence
        self.last_step: FrameStep | None = None
        self.is_finished: bool = False
        self._started = time.monotonic()

    def __iter__(self) -> Iterator[FrameStep]:
        return self

    def __next__(self) -> FrameStep:
        try:
            self.last_step = next(self.sequence)
        except StopIteration:
            if not self.is_finished and self.list_shots():
                raise UsageError(
                    f"The film was stopped before its end: impasto.resume_film({str(self.folder)!r}) continues it."
                ) from None
            if not self.is_finished:
                self._write_film()
                self._work_folder.delete()
                self.is_finished = True
            raise
        return self.last_step

    @property
    def output(self) -> Path:
        """Where the film will be written."""
        return self._job.output

    @property
    def folder(self) -> Path:
        """The folder that keeps the frames until the film is finished."""
        return self._work_folder.folder

    @property
    def resume_path(self) -> Path | None:
        """The folder from which `impasto.resume_film` continues; None once the film is finished."""
        return None if self.is_finished else self.folder

    def begin(self) -> list[str]:
        """Return no lines: a film has no plan."""
        return []

    def describe_result(self) -> str:
        """Describe the film so far: `12 frames, 8.0 s`."""
        if not self.is_finished:
            return f"unfinished, {self.painted_frames} of {format_count(self.frame_count, 'frame')}"
        return f"{format_count(self.frame_count, 'frame')}, {self.seconds:.1f} s"

    @property
    def seconds(self) -> float:
        """How long it was painted."""
        return time.monotonic() - self._started

    @property
    def frame_count(self) -> int:
        """The number of frames."""
        return self.sequence.frames

    @property
    def painted_frames(self) -> int:
        """The number of frames before the first one that is not painted in any pass."""
        frames = range(self.frame_count)
        return next((it for it in frames if self._work_folder.get_latest_pass(it) is None), self.frame_count)

    @property
    def notes(self) -> list[str]:
        """Notes for the user, in order."""
        return [*self._own_notes, *self.sequence.notes]

    def list_shots(self) -> list[range]:
        """List the unfinished parts of the film that can be painted independently, as ranges of frames."""
        passes = range(1, self._job.options.passes + 1)
        return [
            shot
            for shot in self.sequence.list_shots()
            if not all(self._work_folder.is_done(pass_number, frame) for pass_number in passes for frame in shot)
        ]

    def reload_progress(self) -> None:
        """Load the frames that other processes have painted, so that they are not painted again."""
        self._work_folder.reload()

    def picture(self) -> "PilImage.Image":
        """Return the frame that is being painted, as far as it is, as a PIL image in sRGB."""
        painter, picture = self.sequence.painter, self.sequence.picture
        if painter is not None:
            picture = painter.picture()
        if picture is None:
            raise UsageError("Nothing is painted yet: request a step first.")
        return to_pil(picture)

    def _repr_mimebundle_(self, **_: object) -> MimeBundle:
        """Show in a notebook the frame that is being painted, as far as it is."""
        if self.last_step is None:
            return {"text/plain": self.describe_result()}, {}
        return make_mime_bundle(self.picture(), self.sequence.width, self.sequence.height, self.describe_result())

    def recipe(self) -> FilmRecipe:
        """Return how the film is painted, and how far it is."""
        result = RecipeResult(
            width=self.sequence.width,
            height=self.sequence.height,
            bits=8,
            quality=self._job.options.quality,
            step=self.painted_frames,
            steps=self.frame_count,
            losses=dict(self.last_step.losses) if self.last_step else {},
        )
        return FilmRecipe(**{**self._recipe.model_dump(), "film": self._job.options, "result": result})

    def save_checkpoint(self) -> bool:
        """Return whether any frame is kept; frames are stored as soon as they are painted."""
        return self.painted_frames > 0

    def write_result(self) -> Path | None:
        """Stop, and write the film as far as it is painted; None if there is no frame. It can be continued later."""
        if self.is_finished:
            return self.output
        self.sequence.close()
        if has_frames := self.painted_frames > 0:
            self._write_film()
            digest = fingerprint_file(self.output).sha256 if self.output.is_file() else None
            self._work_folder.write_plan({**self._work_folder.read_plan(), "unfinished": digest})
        self.close()
        return self.output if has_frames else None

    def close(self) -> None:
        """Stop without writing anything; the frames are kept in the folder."""
        self.sequence.close()
        self._output.close_live_film()
        self._work_folder.release()

    def _write_film(self) -> None:
        recipe = self.recipe()
        self._output.embedded_text = recipe.to_json() if self._job.recipe == "embed" else ""
        self._output.write_film(self.painted_frames)
        if self._job.recipe_file:
            write_recipe(recipe, self._job.recipe_file, overwrite=True)
        self._output.overwrite = True  # the file there is now this film's own
