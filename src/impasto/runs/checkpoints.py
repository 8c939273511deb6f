"""Checkpoints of runs: where they go, when one is due, what is in it; and Throttle, for all that costs time."""

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from impasto.errors import CheckpointError, ImpastoError, PictureError, UsageError
from impasto.images.output import check_writable, file_signature
from impasto.painting.checkpoint_file import Checkpoint, is_checkpoint, write_checkpoint
from impasto.painting.painter import Step
from impasto.recipes.files import read_recipe
from impasto.recipes.recipe import Recipe, identify_recipe

CHECKPOINT_SUFFIX = ".checkpoint"
AUTO_CHECKPOINT_SECONDS = 600.0  # a run that is planned to take longer has a checkpoint without being asked
MIN_CHECKPOINT_INTERVAL_SECONDS = 180.0
MAX_CHECKPOINT_SHARE = 0.05  # of the run's time


class Throttle:
    """Says when something costly is due again: after `interval` seconds, or later if it took more than `share` of time.

    With `counts_waiting` false, its cost is at most the processor's time: for what is small, and slow only where the
    machine is busy.

    Example:
        if throttle.is_due:
            with throttle.measure():
                write_report()
    """

    def __init__(self, share: float, interval: float, *, counts_waiting: bool = True) -> None:
        self.share: float = share
        self.interval: float = interval
        self.counts_waiting: bool = counts_waiting
        self.cost_seconds: float = 0.0  # of the last time
        self._done_at = time.monotonic()

    @property
    def is_due(self) -> bool:
        """Is it time again?"""
        return time.monotonic() - self._done_at >= max(self.interval, self.cost_seconds / self.share)

    @contextmanager
    def measure(self) -> Iterator[None]:
        """Measure what the block costs; where it fails too, the next time is an interval later."""
        started, worked = time.monotonic(), time.process_time()
        try:
            yield
        finally:
            self._done_at = time.monotonic()
            waited, worked = self._done_at - started, time.process_time() - worked
            self.cost_seconds = waited if self.counts_waiting else min(waited, worked)


class CheckpointWriter:
    """Writes a run's checkpoints to `path`: when one is due, and only where no other run has written meanwhile.

    `get_texts` returns the texts that are written with the painter's state. A checkpoint is due at each new scale,
    unless `at_scales` is false, and otherwise `interval` seconds after the last one, or later if writing is slow.
    """

    def __init__(
        self,
        path: Path,
        get_texts: Callable[[], Mapping[str, str]] = dict,
        *,
        interval: float | None = None,
        at_scales: bool = True,
    ) -> None:
        self.path: Path = path
        self.get_texts: Callable[[], Mapping[str, str]] = get_texts
        self.written_step: Step | None = None  # the one that the file is of
        self._throttle = Throttle(
            MAX_CHECKPOINT_SHARE, MIN_CHECKPOINT_INTERVAL_SECONDS if interval is None else interval
        )
        self._at_scales, self._scale = at_scales, 0
        self._signature = file_signature(path)

    def is_due(self, step: Step) -> bool:
        """Is it time to write one, after this step?"""
        is_new_scale, self._scale = self._scale not in (0, step.scale), step.scale
        return (self._at_scales and is_new_scale) or self._throttle.is_due

    def write(self, capture: Callable[[Mapping[str, str]], Checkpoint], step: Step) -> str:
        """Write what `capture` makes of the texts, between two steps; returns why it could not, if so.

        The painting can go on without a checkpoint.
        """
        with self._throttle.measure():
            if file_signature(self.path) not in (self._signature, None):
                self.written_step = None
                return self._explain(f"{self.path} is another run's by now: give each a `checkpoint` of its own")
            try:
                write_checkpoint(self.path, capture({**self.get_texts(), **dump_step(step)}))
            except PictureError as error:
                return self._explain(str(error))
            self._signature, self.written_step = file_signature(self.path), step
        return ""

    def _explain(self, reason: str) -> str:
        kept = f"step {self.written_step.step} is kept" if self.written_step else "none is kept"
        return f"The checkpoint was not written: {reason}. The painting goes on; {kept}."

    def discard(self) -> None:
        """Delete the checkpoint of a finished run."""
        if self.written_step and file_signature(self.path) == self._signature:
            self.path.unlink(missing_ok=True)


def choose_checkpoint_path(
    checkpoint: str, seconds: float, output: Path, *, inputs: Iterable[Path], overwrite: bool
) -> Path | None:
    """Choose the file for the checkpoints of a run that is planned to take so many seconds; None for no checkpoints.

    Raises CheckpointError where something is there already, UsageError where it is the output.
    """
    if checkpoint == "none" or (checkpoint == "auto" and seconds < AUTO_CHECKPOINT_SECONDS):
        return None
    path = get_checkpoint_path(output) if checkpoint == "auto" else Path(checkpoint)
    if path.absolute() == output.absolute():
        raise UsageError(f"`checkpoint` {path} is where the picture goes: name another file", setting="checkpoint")
    if os.path.lexists(path) and not is_checkpoint(path):
        raise CheckpointError(f"{path} is there already and is no checkpoint: name another file with `checkpoint`")
    if os.path.lexists(path) and not overwrite:
        raise CheckpointError(
            f"{path} is there already, from a painting that was not finished: impasto resume {path} goes on with it. "
            "To begin anew, remove it, name another with `checkpoint`, or allow `overwrite`"
        )
    check_writable(path, inputs=inputs, overwrite=True)
    return path


def get_checkpoint_path(output: Path) -> Path:
    """Return the path of an output's checkpoint, next to it."""
    return output.with_name(output.name + CHECKPOINT_SUFFIX)


def is_own_output(path: Path, recipe: Recipe) -> bool:
    """Tell whether a file, a picture or a recipe file, holds this recipe: then a resumed run may replace it.

    A finished picture counts too: a run may be killed after writing it and before deleting its checkpoint.
    """
    try:
        return identify_recipe(read_recipe(path)) == identify_recipe(recipe)
    except ImpastoError:
        return False


def dump_step(step: Step) -> dict[str, str]:
    """Return the text for a checkpoint that is written after a step."""
    return {"step": json.dumps(asdict(replace(step, notes=())))}


def load_step(checkpoint: Checkpoint) -> Step:
    """Return the step that a checkpoint was written after. Raises CheckpointError where it does not say."""
    try:
        step = Step(**json.loads(checkpoint.texts["step"]))
        return replace(step, notes=tuple(step.notes))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"The checkpoint does not say after which step it was written ({error})") from error
