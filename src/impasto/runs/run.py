"""Run: a picture being painted; and PaintingRun, what it has in common with a film's run."""

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import torch
from torch import Tensor

from impasto.errors import PictureError, UsageError
from impasto.images.color import recolor_result
from impasto.images.display import MimeBundle, make_mime_bundle
from impasto.images.formats import DEFAULT_QUALITY
from impasto.images.image import Image
from impasto.images.output import write_beside
from impasto.images.sizes import resize_clamped
from impasto.images.write import to_pil, write_image
from impasto.painting.checkpoint_file import Checkpoint
from impasto.painting.cost_model import estimate_pass_bytes
from impasto.painting.painter import Painter, Step
from impasto.painting.planner import PaintingPlan, Planner, is_small
from impasto.recipes.files import write_recipe
from impasto.recipes.recipe import Recipe, RecipeResult
from impasto.runs.checkpoints import CheckpointWriter, choose_checkpoint_path, dump_step, is_own_output, load_step
from impasto.runs.job import Job, RecipeMode, check_recipe_mode
from impasto.settings.changes import STEERABLE, change_settings
from impasto.settings.model import Settings
from impasto.settings.units import format_bytes, parse_bytes

if TYPE_CHECKING:
    from PIL import Image as PilImage


class PaintingRun(Protocol):
    """What a picture's Run and a FilmRun have in common: iterate to paint, and write what there is."""

    @property
    def is_finished(self) -> bool:
        """Is everything painted?"""

    @property
    def notes(self) -> list[str]:
        """What the user should know, in order."""

    @property
    def seconds(self) -> float:
        """How long it was painted."""

    @property
    def resume_path(self) -> Path | None:
        """The file or folder from which `impasto resume` continues; None if nothing is saved."""

    def __iter__(self) -> Iterator[Any]: ...

    def begin(self) -> list[str]:
        """Do what comes before the first step; returns what to tell the user then."""

    def describe_result(self) -> str:
        """Describe what is painted so far in a few words."""

    def save_checkpoint(self) -> bool:
        """Save the state between two steps, if the run is to be saved; returns whether it is."""

    def write_result(self) -> Path | None:
        """Write what is painted so far; returns where, None if nothing is painted."""

    def picture(self) -> "PilImage.Image":
        """Return what is painted so far, as a PIL image in sRGB."""

    def recipe(self) -> Recipe:
        """Return how it is painted, and what has come of it so far."""


class Run:
    """A picture being painted: iterate over it for Steps, ask it for the picture at any time.

    `preserve_mask` (1, 1, H, W) is white where the photo stays as it is.

    It paints only when asked for the next Step. To stop, stop iterating. `notes` holds what happened that a user should
    know. Errors while iterating: DivergedError.
    """

    def __init__(
        self,
        painter: Painter,
        photo: Image | None,
        recipe: Recipe,
        job: Job | None = None,
        preserve_mask: Tensor | None = None,
    ) -> None:
        self.painter = painter
        self._photo, self._first_recipe, self._first_job = photo, recipe, job
        self._preserve_mask = preserve_mask
        self.reading_bytes = 0  # of memory, while its pictures were read
        self.last_step: Step | None = None
        self.checkpoint_writer: CheckpointWriter | None = None
        self._plan: PaintingPlan | None = None
        self._is_planned = False
        self._steered: set[str] = set()  # names of settings
        self._wanted: Settings = painter.settings  # with values that have no effect now, and may have it again
        self._own_files: set[Path] = set()  # which it may replace
        self._resumed_recipe: Recipe | None = None  # with which files that stand at the output are its own

    def __iter__(self) -> Iterator[Step]:
        return self

    def __next__(self) -> Step:
        if not self.painter.has_begun:
            self.apply_plan()
        self.last_step = step = next(self.painter)
        job = self._first_job
        if not self.is_finished and self.checkpoint_writer and self.checkpoint_writer.is_due(step):
            self.save_checkpoint()
        if not self.is_finished and job and job.save_every and step.step % job.save_every == 0:
            self._write_preview(job)
        return step

    def _write_preview(self, job: Job) -> None:
        path = job.preview_path
        try:
            self.write_picture(path, job.recipe, overwrite=self._may_replace(path))
            self._own_files.add(path)
        except PictureError as error:
            if (note := f"There is no preview: {error}") not in self.notes:
                self.notes.append(note)

    @property
    def is_finished(self) -> bool:
        """Is the last step done?"""
        return self.last_step is not None and self.last_step.step >= self.total_steps

    @property
    def resume_path(self) -> Path | None:
        """The checkpoint to go on from, if one is written."""
        writer = self.checkpoint_writer
        return writer.path if writer and writer.written_step else None

    @property
    def plan(self) -> PaintingPlan:
        """How it is painted, and what that will take: measured in about a second when it is first asked for."""
        if self.settings.is_one_pass:
            raise UsageError(
                "One pass has no plan: it is painted in tiles as large as they need to be.", setting="preset"
            )
        if self._plan is None:
            self._plan = self._make_plan(parse_bytes(self.settings.memory))
        return self._plan

    def _make_plan(self, limit: int | None) -> PaintingPlan:
        painter = self.painter
        planner = Planner(painter.prepared, painter.photo, painter.schedule, reading_bytes=self.reading_bytes)
        return planner.plan(limit)

    def apply_plan(self, limit: int | None = None) -> None:
        """Choose how to paint and where checkpoints go, once; the first step does it where nobody has.

        `limit` is the memory in bytes that may be used, in place of what the settings say. A small picture is painted
        whole without a plan.

        Errors: UsageError where the memory is too little, CheckpointError where another checkpoint is in the way.
        """
        if self._is_planned:
            return
        if self.settings.is_one_pass:
            self._check_pass_fits(limit)
            self._is_planned = True
            if self._first_job and self._first_job.checkpoint not in ("auto", "none"):
                self.notes.append(f"One pass has no checkpoint: {self._first_job.checkpoint} is not written.")
            return
        if limit is not None:
            self._plan = self._make_plan(limit)
        small = self.settings.memory == "auto" and is_small(self.painter.prepared, self.painter.schedule)
        if self._plan or not small:
            self.plan.apply_to(self.painter)
        self._is_planned = True
        if (job := self._first_job) is None:
            return
        seconds = self._plan.chosen.seconds if self._plan else 0.0
        path = choose_checkpoint_path(
            job.checkpoint, seconds, job.output, inputs=job.list_inputs(), overwrite=job.overwrite
        )
        if path:
            self.checkpoint_writer = CheckpointWriter(path.absolute(), self._make_checkpoint_texts)

    def _check_pass_fits(self, limit: int | None) -> None:
        """Raise UsageError where the one pass takes more memory than may be used."""
        width, height = self.painter.schedule.last_size
        needed, allowed = estimate_pass_bytes(width * height), limit or parse_bytes(self.settings.memory)
        if allowed is not None and needed > allowed:
            raise UsageError(
                f"A picture of {width} x {height} in one pass takes about {format_bytes(needed)} of memory, and "
                f"{format_bytes(allowed)} may be used: choose a smaller `size`, or allow more `memory`.",
                setting="memory",
            )

    def begin(self) -> list[str]:
        """Apply the plan; returns what to tell the user before the first step."""
        self.apply_plan()
        width, height = self.painter.schedule.last_size
        plan = self._plan.describe() if self._plan else f"{width} x {height}, painted whole"
        writer = self.checkpoint_writer
        saved = [f"saved to {writer.path} every few minutes until it is finished"] if writer else []
        return [*([] if self.last_step else [plan]), *saved]

    def describe_result(self) -> str:
        """Describe the picture so far: `48 x 36, 3.1 s, unfinished: scale 1 of 2, step 3 of 9`."""
        step = self.last_step
        if step is None:
            return "nothing is painted yet"
        state = f", unfinished: scale {step.scale} of {step.scales}, step {step.step} of {self.total_steps}"
        return f"{step.width} x {step.height}, {self.seconds:.1f} s{'' if self.is_finished else state}"

    def resume(self, checkpoint: Checkpoint, path: Path, recipe: Recipe) -> None:
        """Go on from a checkpoint of the same job, in place of the start; errors: CheckpointError.

        `recipe` is the one with which it began: an unfinished picture that carries it may be replaced.
        """
        self._first_recipe = self._resumed_recipe = recipe
        self.load_state(checkpoint)
        self._is_planned = True
        self.checkpoint_writer = CheckpointWriter(path, self._make_checkpoint_texts)
        self.checkpoint_writer.written_step = self.last_step

    def load_state(self, checkpoint: Checkpoint) -> None:
        """Continue where an earlier run of the same job was. Errors: CheckpointError."""
        last_step = load_step(checkpoint)
        self.painter.restore_state(checkpoint)
        self.last_step = last_step
        if self._first_job:
            self._own_files.add(self._first_job.preview_path)

    def capture_state(self, *, with_optimizer: bool = True) -> Checkpoint:
        """Return where it is, for `load_state`; write it before the next step."""
        if self.last_step is None:
            raise UsageError("Nothing is painted yet: ask for a step first.")
        return self.painter.capture_state(dump_step(self.last_step), with_optimizer=with_optimizer)

    def save_checkpoint(self) -> bool:
        """Write a checkpoint now, between two steps.

        Returns False if there is no checkpoint file, no step yet, or the write failed; a failed write adds a note.
        """
        if self.checkpoint_writer is None or self.last_step is None:
            return False
        if fault := self.checkpoint_writer.write(self.painter.capture_state, self.last_step):
            self.notes.append(fault)
        return not fault

    def _make_checkpoint_texts(self) -> dict[str, str]:
        """Return what resuming takes besides the painter's state."""
        assert self._first_job
        job = self._first_job
        if self._steered:
            job = job.model_copy(update={"settings": self.settings})
        return {"job": job.relocate(Path.absolute).model_dump_json(), "recipe": self._make_recipe().to_json()}

    def steer(self, **changes: Any) -> None:
        """Go on with other weights, blend, stroke size or colors from the next step on.

        A finished picture can only be given other colors, by `color` none, keep or only and their settings. Errors:
        UsageError for a setting that can't change while painting, or a wrong value; nothing changes then.

        Example: run.steer(style_weight=3, style_size=0.5)
        """
        settings = change_settings(self._wanted, changes, len(self._first_recipe.paintings))
        if settings != self.settings:
            self.painter.steer(settings)
            self._steered |= changes.keys()
            self._wanted = self._wanted.model_copy(update={name: getattr(settings, name) for name in changes})

    @property
    def settings(self) -> Settings:
        """The settings that it is painted with now."""
        return self.painter.settings

    @property
    def seconds(self) -> float:
        """How long it was painted."""
        return self.last_step.seconds if self.last_step else 0.0

    @property
    def total_steps(self) -> int:
        """The number of steps over all scales."""
        return self.painter.total_steps

    @property
    def notes(self) -> list[str]:
        """What happened that a user should know, in order."""
        return self.painter.notes

    def picture(self) -> "PilImage.Image":
        """Return the picture so far, at the size of the scale that it has come to, as a PIL image in sRGB."""
        return to_pil(*self._render())

    def _repr_mimebundle_(self, **_: object) -> MimeBundle:
        """Show the picture so far in a notebook."""
        if self.last_step is None:
            return {"text/plain": self.describe_result()}, {}
        return make_mime_bundle(self.picture(), *self.painter.schedule.last_size, self.describe_result())

    def recipe(self) -> Recipe:
        """Return how the picture is painted, and what has come of it so far."""
        if (step := self.last_step) is None:
            return self._make_recipe()
        result = RecipeResult(
            width=step.width,
            height=step.height,
            bits=self._bits,
            quality=self._quality,
            step=step.step,
            steps=self.total_steps,
            losses=step.losses,
        )
        return self._make_recipe().model_copy(update={"result": result})

    def _make_recipe(self) -> Recipe:
        """Return the recipe with the settings to which the run was steered."""
        recipe = self._first_recipe
        if not self._steered:
            return recipe
        changed = {name: getattr(self.settings, name) for name in STEERABLE}
        given = tuple(name for name in Settings.model_fields if name in {*recipe.given, *self._steered})
        return recipe.model_copy(update={"settings": recipe.settings.model_copy(update=changed), "given": given})

    def write(self, path: str | os.PathLike[str] | None = None, *, recipe: RecipeMode | None = None) -> Path:
        """Write the picture so far, to the job's output where `path` is not given; returns where it is.

        It carries its recipe unless `recipe`, or where that is not given the job's, is "none".
        Errors: PictureError where it can't be written, or exists and the job does not say `overwrite`.
        """
        job = self._first_job
        if path is None and job is None:
            raise UsageError("This run has no output of its own: say where the picture must go.")
        mode = recipe or (job.recipe if job else "embed")
        check_recipe_mode(mode)
        if path is not None:
            return self.write_picture(Path(path), mode, overwrite=self._may_replace(Path(path)))
        return self._write_outputs(mode, lambda path, write: write(path))

    def write_result(self) -> Path | None:
        """Write the picture so far, as `write` does, and return where it is; None if nothing is painted yet.

        If something else has taken the output's name since the start, the picture gets the next free number instead,
        and a note says so. Raises PictureError where the disk refuses; a finished picture is then kept in the system's
        folder for temporary files, if that takes it, and the error says where: it is not lost.
        """
        job = self._first_job
        if not (self.last_step and job):
            return None
        written = self._write_outputs(job.recipe, self._write_or_keep)
        if written != job.output:
            self.notes.append(f"{job.output} was taken while this was painted: it is written to {written}")
        return written

    def _write_or_keep(self, path: Path, write: Callable[[Path], Path]) -> Path:
        """Call `write` for a path whose name is free; a finished picture that fails goes to a temporary folder."""
        try:
            return write_beside(path, write)
        except PictureError as error:
            if not self.is_finished or (self._first_job and path != self._first_job.output):
                raise
            try:
                kept = write(Path(tempfile.mkdtemp(prefix="impasto-")) / path.name)
            except (OSError, PictureError):
                raise error from None
            raise PictureError(f"{error}; the picture is kept in {kept}") from None

    def _write_outputs(self, mode: RecipeMode, put: Callable[[Path, Callable[[Path], Path]], Path]) -> Path:
        """Write the job's output and recipe file; `put(path, write)` decides which paths are written."""
        job = self._first_job
        assert job
        written = put(job.output, lambda path: self.write_picture(path, mode, overwrite=self._may_replace(path)))
        if job.recipe_file:
            recipe = self.recipe()
            put(job.recipe_file, lambda path: write_recipe(recipe, path, overwrite=self._may_replace(path)))
        if self.checkpoint_writer and self.is_finished:
            self.checkpoint_writer.discard()
        return written

    def _may_replace(self, path: Path) -> bool:
        if (self._first_job and self._first_job.overwrite) or path in self._own_files:
            return True
        return self._resumed_recipe is not None and is_own_output(path, self._resumed_recipe)

    @property
    def _bits(self) -> Literal[8, 16]:
        return self._first_job.bits if self._first_job else 8

    @property
    def _quality(self) -> int:
        return self._first_job.quality if self._first_job else DEFAULT_QUALITY

    def write_picture(self, path: Path, mode: RecipeMode, *, overwrite: bool) -> Path:
        """Write the picture so far to `path` alone, whatever the job says."""
        rgb, alpha = self._render()
        return write_image(
            rgb,
            path,
            alpha=alpha,
            bits=self._bits,
            quality=self._quality,
            embedded_text=self.recipe().to_json() if mode == "embed" else "",
            overwrite=overwrite,
        )

    def _render(self) -> tuple[Tensor, Tensor | None]:
        """Return the picture and its alpha: perhaps the painter's own tensor, with values beyond [0, 1]."""
        rgb, settings = self.painter.current, self.painter.settings
        if self._photo is None:
            return rgb, None
        width, height = rgb.shape[3], rgb.shape[2]
        alpha = None if self._photo.alpha is None else resize_clamped(self._photo.alpha, width, height)
        if settings.color in ("keep", "only") or self._preserve_mask is not None:
            # The painter's photo has no hidden colors, which would be seen at the edges of what is transparent.
            assert self.painter.photo
            photo = Image(resize_clamped(self.painter.photo.rgb, width, height).cpu(), alpha)
            rgb = recolor_result(self.painter.picture(), photo, settings)
            if self._preserve_mask is not None:
                rgb = torch.lerp(rgb, photo.rgb, resize_clamped(self._preserve_mask, width, height))
        if alpha is None:
            return rgb, None
        hidden = resize_clamped(self._photo.rgb, width, height)
        return torch.where(alpha.to(rgb) > 0, rgb, hidden.to(rgb)), alpha
