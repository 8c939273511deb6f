"""What a worker does with a task: paint it to its end, telling how it goes."""

import math
import os
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from impasto.api import start_job
from impasto.errors import CheckpointError, ImpastoError
from impasto.painting.checkpoint import read_checkpoint
from impasto.painting.device import is_out_of_memory
from impasto.painting.model_cache import ModelCache
from impasto.recipes.files import read_recipe
from impasto.recipes.recipe import Recipe
from impasto.runs.checkpoints import CheckpointWriter, is_own_output
from impasto.runs.run import Run
from impasto.workers.messages import (
    CheckpointSaved,
    Event,
    FilmShot,
    Task,
    TaskFailed,
    TaskFinished,
    TaskProgress,
    TaskStopped,
)

if TYPE_CHECKING:
    from impasto.films.sequence import FrameStep


class Worker:
    """Paints tasks one after another; what they have in common is loaded once."""

    def __init__(self) -> None:
        self.name = f"{platform.node()}:{os.getpid()}"
        self._shelf = ModelCache()

    def paint(self, task: Task, stopping: Callable[[], bool]) -> Iterator[Event]:
        """Paint a task, write its picture, and yield what happens; `stopping` is asked between two steps."""
        torch.set_num_threads(task.threads)
        try:
            paint = self._paint_shot if isinstance(task.job, FilmShot) else self._paint_picture
            yield from paint(task, stopping)
        except ImpastoError as error:
            yield TaskFailed(task.number, self.name, reason=str(error))
        except Exception as error:
            yield TaskFailed(task.number, self.name, reason=explain_failure(error))

    def _paint_shot(self, task: Task, stopping: Callable[[], bool]) -> Iterator[Event]:
        from impasto.films.start import start_shot  # brings PyAV and OpenCV

        assert isinstance(task.job, FilmShot)
        started, frames = time.perf_counter(), range(task.job.first, task.job.end)
        sequence = start_shot(task.job.folder, frames)
        step: FrameStep | None = None
        for step in sequence:
            if stopping():
                sequence.close()
                yield TaskStopped(task.number, self.name)
                return
            if step.step == 1:
                done = (step.pass_number - 1) * len(frames) + step.frame - frames.start
                yield TaskProgress(task.number, self.name, progress=done / (step.passes * len(frames)))
        yield TaskFinished(
            task.number,
            self.name,
            width=sequence.width,
            height=sequence.height,
            losses=step.losses if step else {},
            seconds=time.perf_counter() - started,
            notes=tuple(sequence.notes),
        )

    def _paint_picture(self, task: Task, stopping: Callable[[], bool]) -> Iterator[Event]:
        assert not isinstance(task.job, FilmShot)
        started = told = time.perf_counter()
        run = start_job(task.job, cache=self._shelf, may_replace=lambda _: task.is_retry)
        if _is_written(task, run):
            yield self._finish(task, read_recipe(task.job.output), started)
            return
        if task.memory_limit is not None:
            run.apply_plan(task.memory_limit)
            run.notes.append(run.plan.describe())
        interval = task.checkpoint_every or math.inf
        writer = run.checkpoint_writer = CheckpointWriter(task.checkpoint, interval=interval, at_scales=False)
        resumed_at = _load_checkpoint(run, task.checkpoint)
        for step in run:
            stopped = stopping() and step.step < run.total_steps
            if stopped:
                run.save_checkpoint()
            if writer.written_step is run.last_step:
                yield CheckpointSaved(task.number, self.name)
            if stopped:
                yield TaskStopped(task.number, self.name)
                return
            if time.perf_counter() - told > task.progress_every:
                told = time.perf_counter()
                yield TaskProgress(task.number, self.name, progress=step.progress)
        if not _is_written(task, run):  # by one that was thought to be dead
            run.write()
        yield self._finish(task, run.recipe(), started, resumed_at=resumed_at, notes=tuple(run.notes))

    def _finish(self, task: Task, recipe: Recipe, started: float, **more: Any) -> TaskFinished:
        task.checkpoint.unlink(missing_ok=True)
        result = recipe.result
        assert result is not None
        return TaskFinished(
            task.number,
            self.name,
            width=result.width,
            height=result.height,
            losses=result.losses,
            seconds=time.perf_counter() - started,
            **more,
        )


def _load_checkpoint(run: Run, path: Path) -> int:
    """Bring the run to where its checkpoint is, and return that step; 0 where there is none that serves."""
    if not path.exists():
        return 0
    try:
        run.load_state(read_checkpoint(path))
    except CheckpointError as error:
        run.notes.append(f"painted from the start, as its checkpoint does not serve: {error}")
        return 0
    return run.last_step.step if run.last_step else 0


def _is_written(task: Task, run: Run) -> bool:
    assert not isinstance(task.job, FilmShot)
    return task.is_retry and is_own_output(task.job.output, run.recipe())


def explain_failure(error: Exception) -> str:
    """Say what went wrong that nobody foresaw."""
    if is_out_of_memory(error):
        return "not enough memory: try fewer --workers, a smaller --size, a lighter --network or --optimizer adam"
    return f"this is a bug in impasto: {type(error).__name__}: {error}"
