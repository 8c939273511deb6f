"""A run kept as it goes: when its checkpoint is due, what is written, and what becomes of it in the end."""

import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

from impasto.errors import CheckpointError, ImpastoError, PictureError, UsageError
from impasto.images.output import check_writable, file_signature
from impasto.painting.checkpoint import Checkpoint, is_checkpoint, write_checkpoint
from impasto.painting.painter import Painter, Step
from impasto.painting.resuming import capture_state
from impasto.recipes.files import read_recipe
from impasto.recipes.identity import identify_recipe
from impasto.recipes.recipe import Recipe

CHECKPOINT_SUFFIX = ".checkpoint"
AUTO_CHECKPOINT_SECONDS = 600.0  # seconds that a run is planned to take: over it, it is kept without being asked
MIN_CHECKPOINT_INTERVAL_SECONDS = (
    180.0  # seconds between checkpoints at least, and SHARE times as long as writing one takes
)
INTERVAL_PER_WRITE_SECOND = 20.0


class CheckpointWriter:
    """Writes checkpoints of a painter to `path`, when they are due; `texts` are what else it takes to go on."""

    def __init__(self, path: Path, texts: Mapping[str, str]) -> None:
        self.path, self.texts = path, texts
        self.written_step: Step | None = None  # that the file is of
        self._last_written_at, self._write_seconds, self._scale = time.monotonic(), 0.0, 0
        self._signature = file_signature(path)

    def is_due(self, step: Step) -> bool:
        """Is it time: at a new scale, and every few minutes?"""
        begun, self._scale = self._scale not in (0, step.scale), step.scale
        return begun or time.monotonic() - self._last_written_at >= max(
            MIN_CHECKPOINT_INTERVAL_SECONDS, INTERVAL_PER_WRITE_SECOND * self._write_seconds
        )

    def write(self, painter: Painter, step: Step) -> str:
        """Write a checkpoint, between two steps; returns what went wrong, as the painting can go on without."""
        started = time.monotonic()
        self._last_written_at = started  # a full disk is not tried again at once
        if file_signature(self.path) not in (self._signature, None):
            self.written_step = None
            return self._excuse(f"{self.path} is another run's by now: give each a --checkpoint of its own")
        try:
            write_checkpoint(self.path, capture_state(painter, {**self.texts, **dump_step(step)}))
        except PictureError as error:
            return self._excuse(str(error))
        self._signature = file_signature(self.path)
        self.written_step, self._last_written_at = step, time.monotonic()
        self._write_seconds = self._last_written_at - started
        return ""

    def _excuse(self, reason: str) -> str:
        before = f"step {self.written_step.step} is kept" if self.written_step else "none is kept"
        return f"The checkpoint was not written: {reason}. The painting goes on; {before}."

    def discard(self) -> None:
        """Remove the checkpoint of what is finished."""
        if self.written_step and file_signature(self.path) == self._signature:
            self.path.unlink(missing_ok=True)


def choose_checkpoint_path(
    checkpoint: str, seconds: float, output: Path, *, inputs: Iterable[Path], overwrite: bool
) -> Path | None:
    """Say where a painting that is planned to take so long is kept, by what was asked for; None: nowhere.

    Raises CheckpointError where something is there already, UsageError where it is the output.
    """
    if checkpoint == "none" or (checkpoint == "auto" and seconds < AUTO_CHECKPOINT_SECONDS):
        return None
    path = get_checkpoint_path(output) if checkpoint == "auto" else Path(checkpoint)
    if path.absolute() == output.absolute():
        raise UsageError(f"--checkpoint {path}: that is where the picture goes, name another file")
    if os.path.lexists(path) and not is_checkpoint(path):
        raise CheckpointError(f"{path} is there already and is no checkpoint: name another file with --checkpoint")
    if os.path.lexists(path) and not overwrite:
        raise CheckpointError(
            f"{path} is there already, from a painting that was not finished: impasto resume {path} goes on with it. "
            "To begin anew, remove it, name another with --checkpoint, or use --overwrite"
        )
    check_writable(path, inputs=inputs, overwrite=True)
    return path


def get_checkpoint_path(output: Path) -> Path:
    """Name the checkpoint of an output: beside it."""
    return output.with_name(output.name + CHECKPOINT_SUFFIX)


def is_own_output(path: Path, recipe: Recipe) -> bool:
    """Is a file a picture of a recipe, or that recipe in a file, which the same picture may replace when it is resumed?

    A finished one is as well: a run may be killed when its picture is written and its checkpoint not yet removed.
    """
    try:
        return identify_recipe(read_recipe(path)) == identify_recipe(recipe)
    except ImpastoError:
        return False


def dump_step(step: Step) -> dict[str, str]:
    """Return the text for a checkpoint that is written after a step."""
    return {"step": json.dumps(asdict(step))}


def load_step(checkpoint: Checkpoint) -> Step:
    """Return the step that a checkpoint was written after. Raises CheckpointError where it does not say."""
    try:
        return Step(**json.loads(checkpoint.texts["step"]))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"The checkpoint does not say after which step it was written ({error})") from error
