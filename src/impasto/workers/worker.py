"""What a worker does: paint a task to its end and report events."""

import math
import os
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from impasto.errors import CheckpointError, ImpastoError, is_out_of_memory
from impasto.painting.checkpoint_file import read_checkpoint
from impasto.painting.model_cache import ModelCache
from impasto.recipes.files import read_recipe
from impasto.recipes.recipe import Recipe
from impasto.runs.checkpoints import CheckpointWriter, is_own_output
from impasto.runs.job import Job
from impasto.runs.run import Run
from impasto.runs.start import start_job
from impasto.workers.messages import (
    CheckpointSaved,
    Event,
    FilmShot,
    Task,
    TaskFailed,
    TaskFinished,
    TaskProgress,
    TaskResult,
    TaskStopped,
)

if TYPE_CHECKING:
    from impasto.films.sequence import FrameStep


class Worker:
    """Paints tasks one after another. What they share is loaded once."""

    def __init__(self) -> None:
        self.name: str = f"{platform.node()}:{os.getpid()}"
        self._cache = ModelCache()

    def paint(self, task: Task, is_stopping: Callable[[], bool]) -> Iterator[Event]:
        """Paint a task, write its picture, and yield what happens; `is_stopping` is called between two steps.

        Errors are not raised: they become TaskFailed.
        """
        torch.set_num_threads(task.threads)
        try:
            if isinstance(task.job, FilmShot):
                yield from self._paint_shot(task, task.job, is_stopping)
            else:
                yield from self._paint_picture(task, task.job, is_stopping)
        except ImpastoError as error:
            yield TaskFailed(task.number, self.name, reason=str(error))
        except Exception as error:
            yield TaskFailed(task.number, self.name, reason=explain_failure(error))

    def _paint_shot(self, task: Task, shot: FilmShot, is_stopping: Callable[[], bool]) -> Iterator[Event]:
        from impasto.films.start_film import start_shot  # imports PyAV and OpenCV

        started, frames = time.perf_counter(), range(shot.first, shot.end)
        sequence = start_shot(shot.folder, frames)
        step: FrameStep | None = None
        for step in sequence:
            if is_stopping():
                sequence.close()
                yield TaskStopped(task.number, self.name)
                return
            if step.step == 1:
                done = (step.pass_number - 1) * len(frames) + step.frame - frames.start
                yield TaskProgress(task.number, self.name, progress=done / (step.passes * len(frames)))
        losses = step.losses if step else {}
        result = TaskResult(sequence.width, sequence.height, losses, time.perf_counter() - started)
        yield TaskFinished(task.number, self.name, result, notes=tuple(sequence.notes))

    def _paint_picture(self, task: Task, job: Job, is_stopping: Callable[[], bool]) -> Iterator[Event]:
        started = reported = time.perf_counter()
        run = start_job(job, cache=self._cache, may_replace=lambda _: task.is_retry)
        if _is_written(task, job, run):
            yield self._finish(task, read_recipe(job.output), started)
            return
        if task.memory_limit is not None:
            run.apply_plan(task.memory_limit)
            if not run.settings.is_one_pass:
                run.notes.append(run.plan.describe())
        interval = task.checkpoint_every or math.inf
        writer = run.checkpoint_writer = CheckpointWriter(task.checkpoint, interval=interval, at_scales=False)
        resumed_at = _load_checkpoint(run, task.checkpoint)
        for step in run:
            stops_here = is_stopping() and step.step < run.total_steps
            if stops_here:
                run.save_checkpoint()
            if writer.written_step is step:
                yield CheckpointSaved(task.number, self.name)
            if stops_here:
                yield TaskStopped(task.number, self.name)
                return
            if time.perf_counter() - reported > task.progress_every:
                reported = time.perf_counter()
                yield TaskProgress(task.number, self.name, progress=step.progress)
        if not _is_written(task, job, run):  # a worker that was thought to be dead may have written it
            run.write()
        yield self._finish(task, run.recipe(), started, resumed_at, tuple(run.notes))

    def _finish(
        self, task: Task, recipe: Recipe, started: float, resumed_at: int = 0, notes: tuple[str, ...] = ()
    ) -> TaskFinished:
        task.checkpoint.unlink(missing_ok=True)
        assert recipe.result
        seconds = time.perf_counter() - started
        result = TaskResult(recipe.result.width, recipe.result.height, recipe.result.losses, seconds, resumed_at)
        return TaskFinished(task.number, self.name, result, notes)


def _load_checkpoint(run: Run, path: Path) -> int:
    """Continue from a checkpoint, and return its step; 0 if there is none that fits."""
    if not path.exists():
        return 0
    try:
        run.load_state(read_checkpoint(path))
    except CheckpointError as error:
        run.notes.append(f"painted from the start, because its checkpoint does not fit: {error}")
        return 0
    return run.last_step.step if run.last_step else 0


def _is_written(task: Task, job: Job, run: Run) -> bool:
    return task.is_retry and is_own_output(job.output, run.recipe())


def explain_failure(error: Exception) -> str:
    """Explain an error that is not expected here."""
    if is_out_of_memory(error):
        return "not enough memory: try fewer `workers`, a smaller `size`, a lighter `network` or `optimizer` adam"
    return f"this is a bug in impasto: {type(error).__name__}: {error}"
