"""What a worker does with a task: paint it to its end, telling how it goes."""

import os
import platform
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch

from impasto.api import start_job
from impasto.apps.batch.keeping import Keeper
from impasto.apps.batch.tasks import Event, Failed, Finished, Progressed, Saved, Shot, Stopped, Task
from impasto.errors import ImpastoError
from impasto.jobs import Run
from impasto.keeping import is_left
from impasto.painting.hardware import is_out_of_memory
from impasto.painting.shelf import Shelf
from impasto.recipes.recipe import Recipe
from impasto.recipes.storage import read_recipe

if TYPE_CHECKING:
    from impasto.video.sequence import FrameStep


class Worker:
    """Paints tasks one after another; what they have in common is loaded once."""

    def __init__(self) -> None:
        self.name = f"{platform.node()}:{os.getpid()}"
        self._shelf = Shelf()

    def paint(self, task: Task, stopping: Callable[[], bool]) -> Iterator[Event]:
        """Paint a task, write its picture, and yield what happens; `stopping` is asked between two steps."""
        torch.set_num_threads(task.threads)
        try:
            paint = self._paint_shot if isinstance(task.job, Shot) else self._paint_picture
            yield from paint(task, stopping)
        except ImpastoError as error:
            yield Failed(task.number, self.name, reason=str(error))
        except Exception as error:
            yield Failed(task.number, self.name, reason=explain(error))

    def _paint_shot(self, task: Task, stopping: Callable[[], bool]) -> Iterator[Event]:
        from impasto.films import start_shot  # brings PyAV and OpenCV

        assert isinstance(task.job, Shot)
        started, frames = time.perf_counter(), range(task.job.first, task.job.end)
        sequence = start_shot(task.job.folder, frames)
        step: FrameStep | None = None
        for step in sequence:
            if stopping():
                sequence.close()
                yield Stopped(task.number, self.name)
                return
            if step.step == 1:
                done = (step.turn - 1) * len(frames) + step.frame - frames.start
                yield Progressed(task.number, self.name, step=done, steps=step.turns * len(frames))
        yield Finished(
            task.number,
            self.name,
            width=sequence.width,
            height=sequence.height,
            losses=step.losses if step else {},
            seconds=time.perf_counter() - started,
            notes=tuple(sequence.notes),
        )

    def _paint_picture(self, task: Task, stopping: Callable[[], bool]) -> Iterator[Event]:
        assert not isinstance(task.job, Shot)
        started = told = time.perf_counter()
        run = start_job(task.job, shelf=self._shelf, may_replace=lambda _: task.again)
        if _is_written(task, run):
            yield self._finish(task, read_recipe(task.job.output), started)
            return
        if task.limit is not None:
            run.prepare(task.limit)
            run.notes.append(run.plan.describe())
        keeper = Keeper(run, task.checkpoint, task.save_every)
        resumed_at = keeper.resume()
        for step in run:
            stopped = stopping() and step.step < run.total
            if (stopped or keeper.is_due) and keeper.save():
                yield Saved(task.number, self.name)
            if stopped:
                yield Stopped(task.number, self.name)
                return
            if time.perf_counter() - told > task.tell_every:
                told = time.perf_counter()
                yield Progressed(task.number, self.name, step=step.step, steps=run.total)
        if not _is_written(task, run):  # by one that was thought to be dead
            run.write()
        yield self._finish(task, run.recipe(), started, resumed_at=resumed_at, notes=(*keeper.notes, *run.notes))

    def _finish(self, task: Task, recipe: Recipe, started: float, **more: Any) -> Finished:
        task.checkpoint.unlink(missing_ok=True)
        result = recipe.result
        assert result is not None
        return Finished(
            task.number,
            self.name,
            width=result.width,
            height=result.height,
            losses=result.losses,
            seconds=time.perf_counter() - started,
            **more,
        )


def _is_written(task: Task, run: Run) -> bool:
    assert not isinstance(task.job, Shot)
    return task.again and is_left(task.job.output, run.recipe())


def explain(error: Exception) -> str:
    """Say what went wrong that nobody foresaw."""
    if is_out_of_memory(error):
        return "not enough memory: try fewer --workers, a smaller --size, a lighter --network or --optimizer adam"
    return f"this is a bug in impasto: {type(error).__name__}: {error}"
