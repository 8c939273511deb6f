"""A picture being painted: Run."""

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import torch
from torch import Tensor

from impasto.errors import UsageError
from impasto.images.color import recolor_result
from impasto.images.image import Image
from impasto.images.sizes import resize
from impasto.images.write import to_pil, write_image
from impasto.painting.checkpoint import Checkpoint
from impasto.painting.painter import Painter, Step
from impasto.painting.planner import PaintingPlan, estimate_small, is_small, plan_painting
from impasto.painting.resuming import capture_state, restore_state
from impasto.painting.styles import StyleInput
from impasto.recipes.files import write_recipe
from impasto.recipes.recipe import Recipe, RecipeResult
from impasto.runs.checkpoints import CheckpointWriter, choose_checkpoint_path, dump_step, is_own_output, load_step
from impasto.runs.job import Job, RecipeMode, check_recipe_mode
from impasto.settings.changes import STEERABLE, change_settings, merge_settings
from impasto.settings.model import Settings
from impasto.settings.units import parse_bytes

if TYPE_CHECKING:
    from PIL import Image as PilImage

StyleBuilder: TypeAlias = Callable[
    [Settings], Sequence[StyleInput]
]  # the paintings, with the shares and colours of some settings


class Run:
    """A picture being painted: iterate over it for Steps, ask it for the picture at any time.

    `keep`, a mask (1, 1, H, W), says what stays as it is in the photo; `mix` makes the paintings when it is steered.

    Nothing is painted that is not asked for: to stop is not to ask for the next Step. `notes` holds what happened that
    a user should know. Errors while iterating: DivergedError.
    """

    def __init__(
        self,
        painter: Painter,
        photo: Image | None,
        recipe: Recipe,
        job: Job | None = None,
        preserve_mask: Tensor | None = None,
        build_styles: StyleBuilder | None = None,
    ) -> None:
        self._painter, self._photo, self._recipe, self._job = painter, photo, recipe, job
        self._preserve_mask, self._build_styles = preserve_mask, build_styles
        self.last_step: Step | None = None
        self._previewed = False
        self._plan: PaintingPlan | None = None
        self._prepared = self._resumed = self._plan_deferred = False
        self.checkpoint_writer: CheckpointWriter | None = None  # of checkpoints, where the run is kept

    def __iter__(self) -> Iterator[Step]:
        return self

    def __next__(self) -> Step:
        if self.last_step is None and not (self._plan_deferred or self._painter.has_begun):
            self.apply_plan()
        self.last_step = step = next(self._painter)
        job = self._job
        if self.checkpoint_writer and step.step < self.total_steps and self.checkpoint_writer.is_due(step):
            self.save_checkpoint()
        if job and job.save_every and step.step % job.save_every == 0 and step.step < self.total_steps:
            # Not a file that has come there since the job was checked, but one of this run's own.
            self.write_picture(job.preview_path, job.recipe, overwrite=job.overwrite or self._previewed)
            self._previewed = True
        return step

    @property
    def plan(self) -> PaintingPlan:
        """How it is painted, and what that will take: measured in about a second when it is first asked for."""
        if self._plan is None:
            self._plan = plan_painting(self._painter, parse_bytes(self._painter.settings.memory))
        return self._plan

    def quick_plan(self) -> PaintingPlan:
        """Return `plan`, or of a small picture, which is painted whole in any case, that way alone: half a second."""
        if self._plan is None and self._is_small:
            return estimate_small(self._painter)
        return self.plan

    @property
    def _is_small(self) -> bool:
        return self._painter.settings.memory == "auto" and is_small(self._painter)

    def apply_plan(self, limit: int | None = None) -> None:
        """Settle how it is painted and where it is kept: the first step does so too, where nobody has before.

        `limit` is the memory in bytes that may be used, in place of what the settings say.
        Errors: UsageError where that is too little, CheckpointError where it can't be kept.
        """
        if self._prepared:
            return
        if limit is not None:
            self._plan = plan_painting(self._painter, limit)
        if self._plan or not self._is_small:
            self.plan.apply_to(self._painter)
        self._prepared = True
        if (job := self._job) is None:
            return
        seconds = self._plan.chosen.seconds if self._plan else 0.0
        inputs = [*([job.photo] if job.photo else []), *job.paintings]
        if path := choose_checkpoint_path(job.checkpoint, seconds, job.output, inputs=inputs, overwrite=job.overwrite):
            self.checkpoint_writer = CheckpointWriter(path.absolute(), self._checkpoint_texts)

    def defer_plan(self) -> None:
        """Paint the first scale unprepared, for a picture to be seen at once; `prepare` is to be called on the way.

        For whoever knows that the first scale is small.
        """
        self._plan_deferred = True

    def resume(self, checkpoint: Checkpoint, path: Path, recipe: Recipe) -> None:
        """Go on from a checkpoint of the same job, in place of the start; errors: CheckpointError.

        `recipe` is what was written down as it began. An unfinished picture that was left at the output may now be
        replaced.
        """
        self._recipe = recipe
        self.load_state(checkpoint)
        self._resumed = self._prepared = True
        self.checkpoint_writer = CheckpointWriter(path, self._checkpoint_texts)
        self.checkpoint_writer.written_step = self.last_step

    def load_state(self, checkpoint: Checkpoint) -> None:
        """Be where an earlier run of the same job was, kept nowhere; errors: CheckpointError."""
        last = load_step(checkpoint)
        restore_state(self._painter, checkpoint)
        self.last_step, self._previewed = last, True

    def capture_state(self, *, memory: bool = True) -> Checkpoint:
        """Return where it is, for `take_up`, to be written before the next step; `memory` is the optimiser's."""
        if self.last_step is None:
            raise UsageError("Nothing is painted yet: ask for a step first.")
        return capture_state(self._painter, dump_step(self.last_step), memory=memory)

    def steer(self, **changes: Any) -> None:
        """Go on with other weights, blend, stroke size or colours from the next step on.

        Errors: UsageError for a setting that can't change while painting, or a wrong value; nothing changes then.

        Example: run.steer(style_weight=3, style_size=0.5)
        """
        settings = change_settings(self.settings, changes, len(self._recipe.paintings))
        if settings == self.settings:
            return
        if self._build_styles is None:
            raise UsageError("This run can't be steered.")
        self._painter.steer(settings, self._build_styles(settings))
        given = tuple(name for name in Settings.model_fields if name in {*self._recipe.given, *changes})
        named = {name: getattr(settings, name) for name in STEERABLE}
        update = {"settings": self._recipe.settings.model_copy(update=named), "given": given}
        self._recipe = self._recipe.model_copy(update=update)
        if self._job:
            self._job = self._job.model_copy(update={"settings": merge_settings(self._job.settings, changes)})

    def _checkpoint_texts(self) -> dict[str, str]:
        """Return what a checkpoint needs besides the painter's state."""
        assert self._job
        return {"job": self._job.relocate(Path.absolute).model_dump_json(), "recipe": self._recipe.to_json()}

    def save_checkpoint(self) -> bool:
        """Write a checkpoint now, between two steps, where the run is kept; tells whether there is one."""
        if self.checkpoint_writer is None or self.last_step is None:
            return False
        if fault := self.checkpoint_writer.write(partial(capture_state, self._painter), self.last_step):
            self.notes.append(fault)
        return not fault

    @property
    def is_finished(self) -> bool:
        """Whether every step is painted."""
        return self.last_step is not None and self.last_step.step == self.total_steps

    @property
    def resume_path(self) -> Path | None:
        """The checkpoint that was written, from which `resume` goes on; None if there is none."""
        writer = self.checkpoint_writer
        return writer.path if writer and writer.written_step else None

    def write_result(self) -> Path | None:
        """Write the picture so far, as `write` does; None if nothing is painted yet."""
        return self.write() if self.last_step else None

    @property
    def painter(self) -> Painter:
        """What paints it; a film takes its network and paintings from there."""
        return self._painter

    @property
    def settings(self) -> Settings:
        """What it is painted with now."""
        return self._painter.settings

    @property
    def total_steps(self) -> int:
        """How many steps there are in all, over all scales."""
        return self._painter.total_steps

    @property
    def notes(self) -> list[str]:
        """What happened that a user should know, in order."""
        return self._painter.notes

    def picture(self) -> "PilImage.Image":
        """Return the picture so far, at the size of the scale that it has come to, as a PIL image in sRGB."""
        return to_pil(*self._render())

    def recipe(self) -> Recipe:
        """Return how the picture is painted, and what has come of it so far."""
        if self.last_step is None:
            return self._recipe
        bits, quality = self._written_as
        step, losses, width, height = (
            self.last_step.step,
            self.last_step.losses,
            self.last_step.width,
            self.last_step.height,
        )
        result = RecipeResult(
            width=width, height=height, bits=bits, quality=quality, step=step, steps=self.total_steps, losses=losses
        )
        return self._recipe.model_copy(update={"result": result})

    def write(self, path: str | os.PathLike[str] | None = None, *, recipe: RecipeMode | None = None) -> Path:
        """Write the picture so far, to the job's output where `path` is not given; returns where it is.

        It carries its recipe unless `recipe`, or where that is not given the job's, is "none".
        Errors: PictureError when it can't be written, or exists and the job does not say `overwrite`.
        """
        job = self._job
        if path is None and job is None:
            raise UsageError("This run has no output of its own: say where the picture shall go.")
        keeping = recipe or (job.recipe if job else "embed")
        check_recipe_mode(keeping)
        target = Path(path) if path is not None else job.output  # type: ignore[union-attr]
        self.write_picture(target, keeping, overwrite=self._may_replace(target))
        if path is None and job and job.recipe_file:
            write_recipe(self.recipe(), job.recipe_file, overwrite=self._may_replace(job.recipe_file))
        if path is None and self.checkpoint_writer and self.last_step and self.last_step.step == self.total_steps:
            self.checkpoint_writer.discard()
        return target

    def _may_replace(self, path: Path) -> bool:
        return bool(self._job and self._job.overwrite) or (self._resumed and is_own_output(path, self._recipe))

    @property
    def _written_as(self) -> tuple[Literal[8, 16], int]:
        """Bits and quality of the files that are written."""
        return (self._job.bits, self._job.quality) if self._job else (8, 95)

    def write_picture(self, path: Path, keeping: RecipeMode, *, overwrite: bool) -> Path:
        """Write the picture so far to `path` alone, whatever the job says."""
        rgb, alpha = self._render()
        bits, quality = self._written_as
        text = self.recipe().to_json() if keeping == "embed" else ""
        return write_image(rgb, path, alpha=alpha, bits=bits, quality=quality, embedded_text=text, overwrite=overwrite)

    def _render(self) -> tuple[Tensor, Tensor | None]:
        """Return what is to be seen, perhaps the painter's own tensor, with values beyond [0, 1]."""
        rgb, settings = self._painter.current, self._painter.settings
        if self._photo is None:
            return rgb, None
        if settings.color in ("keep", "only") or self._preserve_mask is not None:
            rgb = self._painter.picture()
        rgb = recolor_result(rgb, self._photo, settings)
        width, height = rgb.shape[3], rgb.shape[2]
        if self._preserve_mask is not None:
            photo, keep = (resize(it, width, height).clamp(0, 1) for it in (self._photo.rgb, self._preserve_mask))
            rgb = torch.lerp(rgb, photo, keep)
        if self._photo.alpha is None:
            return rgb, None
        return rgb, resize(self._photo.alpha, width, height).clamp(0, 1)
