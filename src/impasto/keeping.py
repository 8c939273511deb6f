"""A run kept as it goes: when its checkpoint is due, what is written, and what becomes of it in the end."""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from impasto.errors import CheckpointError, PictureError
from impasto.painting.checkpoint import Checkpoint, write_checkpoint
from impasto.painting.painter import Painter, Step
from impasto.painting.resuming import take_state
from impasto.pictures.targets import check_place
from impasto.settings import Settings

if TYPE_CHECKING:
    from impasto.jobs import Job

SUFFIX = ".checkpoint"
LONG = 600.0  # seconds that a run is planned to take: over it, it is kept without being asked
EVERY = 180.0  # seconds between checkpoints at least, and SHARE times as long as writing one takes
SHARE = 20.0


class Keeper:
    """Writes checkpoints of a painter to `path`, when they are due; `texts` are what else it takes to go on."""

    def __init__(self, path: Path, texts: Mapping[str, str]) -> None:
        self.path, self.texts = path, texts
        self.written: Step | None = None  # that the file is of
        self._last, self._took, self._scale = time.monotonic(), 0.0, 0

    def is_due(self, step: Step) -> bool:
        """Is it time: at a new scale, and every few minutes?"""
        begun, self._scale = self._scale not in (0, step.scale), step.scale
        return begun or time.monotonic() - self._last >= max(EVERY, SHARE * self._took)

    def write(self, painter: Painter, step: Step) -> str:
        """Write a checkpoint, between two steps; returns what went wrong, as the painting can go on without."""
        started = time.monotonic()
        self._last = started  # a full disk is not tried again at once
        try:
            write_checkpoint(self.path, take_state(painter, {**self.texts, **write_step(step)}))
        except PictureError as error:
            before = f"step {self.written.step} is kept" if self.written else "none is kept"
            return f"The checkpoint was not written: {error}. The painting goes on; {before}."
        self.written, self._last = step, time.monotonic()
        self._took = self._last - started
        return ""

    def discard(self) -> None:
        """Remove the checkpoint of what is finished."""
        if self.written:
            self.path.unlink(missing_ok=True)


def choose_path(job: "Job", seconds: float) -> Path | None:
    """Say where a job that is planned to take so long is kept; None: nowhere.

    Raises CheckpointError where something is there already.
    """
    if job.checkpoint == "none" or (job.checkpoint == "auto" and seconds < LONG):
        return None
    path = path_beside(job.output) if job.checkpoint == "auto" else Path(job.checkpoint)
    if os.path.lexists(path) and not job.overwrite:
        raise CheckpointError(
            f"{path} is there already, from a painting that was not finished: impasto resume {path} goes on with it. "
            "To begin anew, remove it, name another with --checkpoint, or use --overwrite"
        )
    check_place(path, inputs=[*([job.photo] if job.photo else []), *job.paintings], overwrite=True)
    return path


def path_beside(output: Path) -> Path:
    """Name the checkpoint of an output: beside it."""
    return output.with_name(output.name + SUFFIX)


def absolute(job: "Job") -> "Job":
    """Name all files of a job so that they are found from any folder."""
    settings, values = job.settings, dict[str, object]()
    for name, place, file in settings.files():
        value = values.get(name, getattr(settings, name))
        whole = str(Path(file).absolute())
        values[name] = whole if isinstance(value, str) else (*value[:place], whole, *value[place + 1 :])  # type: ignore[index]
    if Path(settings.network).expanduser().is_file():
        values["network"] = str(Path(settings.network).expanduser().absolute())
    return job.model_copy(
        update={
            "photo": job.photo and job.photo.absolute(),
            "paintings": tuple(path.absolute() for path in job.paintings),
            "output": job.output.absolute(),
            "recipe_file": job.recipe_file and job.recipe_file.absolute(),
            "settings": _with_values(settings, values),
        }
    )


def _with_values(settings: Settings, values: Mapping[str, object]) -> Settings:
    return settings.model_copy(update=dict(values)) if values else settings


def write_step(step: Step) -> dict[str, str]:
    """Return the text for a checkpoint that is written after a step."""
    return {"step": json.dumps(asdict(step))}


def read_step(checkpoint: Checkpoint) -> Step:
    """Return the step that a checkpoint was written after."""
    return Step(**json.loads(checkpoint.texts["step"]))
