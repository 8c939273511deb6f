"""The process that paints: orders come in through a pipe, steps go out through it, pictures into the folder.

It is a process of its own so that one that is killed, or runs out of memory, takes nothing else with it.
"""

import os
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from math import prod
from multiprocessing.connection import Connection
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch

from impasto.api import start, start_job
from impasto.errors import DivergedError, ImpastoError, PictureError, UsageError
from impasto.images.write import to_pil
from impasto.painting.device import is_out_of_memory
from impasto.painting.model_cache import ModelCache
from impasto.painting.painter import Step
from impasto.runs.job import Job
from impasto.runs.run import Run
from impasto.settings.model import Settings
from impasto.studio.film_runner import paint_film
from impasto.studio.form_fields import check_settings, find_changes, given_settings
from impasto.studio.plan_text import describe_plan, plan_text
from impasto.studio.previews import PreviewWriter
from impasto.studio.snapshots import SnapshotStore
from impasto.studio.store import StudioJob
from impasto.studio.wording import in_page_words
from impasto.terminal.progress import ProgressDisplay

if TYPE_CHECKING:
    from impasto.films.film_run import FilmRun

Message = tuple[str, dict[str, Any]]

WARM_UP_PIXELS = 192  # pixels
QUICK_START_PIXELS = 512**2  # pixels of a first scale that is begun before it is planned what the painting takes
OUT_OF_MEMORY = "There is not enough memory for this: choose a smaller size."


def run_worker(pipe: Connection, root: Path, threads: int | None = None) -> None:
    """Paint what is ordered until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the studio, which ends this in order
    with suppress(OSError):
        os.nice(5)  # the page shall answer while all cores paint
    if threads:
        torch.set_num_threads(threads)
    warm_up()
    pipe.send(("ready", {}))
    kit = ModelCache()  # the next picture is often in the same manner
    while True:
        try:
            order, content = pipe.recv()
        except EOFError:
            return
        if order == "paint":
            commission = StudioJob.model_validate(content)
            JobRunner(pipe, root / commission.identity, commission, kit).run_job()
        elif order == "plan":
            answer_plan(pipe, kit, **content)


def warm_up() -> None:
    """Load torch and the embedded network and paint with it, so that the first click needn't wait."""
    grain = to_pil(torch.rand(1, 3, WARM_UP_PIXELS, WARM_UP_PIXELS, generator=torch.Generator().manual_seed(0)))
    for _ in start(grain, grain, size=WARM_UP_PIXELS, start_size=WARM_UP_PIXELS, steps=6):
        pass


def answer_plan(pipe: Connection, kit: ModelCache, number: int, **wanted: Any) -> None:
    """Say what a painting takes, or why it can't be painted, to whoever has asked under that number."""
    try:
        answer = {"said": plan_text(**wanted, cache=kit)}
    except ImpastoError as error:
        answer = {"fault": str(error)}
    except Exception as error:
        answer = {"fault": explain_error(error)}
    with suppress(OSError):
        pipe.send(("planned", {"number": number, **answer}))


def explain_error(error: Exception) -> str:
    """Say what went wrong that nobody foresaw."""
    return OUT_OF_MEMORY if is_out_of_memory(error) else f"This is a bug in impasto: {error!r}"


class JobRunner:
    """One commission on the bench: its run, and the pipe to whoever looks on."""

    def __init__(self, pipe: Connection, folder: Path, commission: StudioJob, kit: ModelCache) -> None:
        self.pipe, self.folder, self.commission, self.cache = pipe, folder, commission, kit
        self.previews = PreviewWriter(folder / "preview.jpg", commission.progress.version)
        self.snapshots = SnapshotStore(folder, commission.states)
        self.planned = False
        self.stop_request: str | None = None  # to pause, to go back or to stop

    def run_job(self) -> None:
        """Paint it and send what becomes of it; nothing is raised."""
        try:
            kinds: dict[str, Callable[[], str]] = {
                "painting": self._paint_picture,
                "sheet": self._paint_sheet,
                "film": lambda: paint_film(self),
            }
            self.send("ended", stage=kinds[self.commission.kind](), message="")
        except ImpastoError as error:
            self.send("ended", stage="failed", message=in_page_words(str(error), self.folder))
        except Exception as error:
            self.send("ended", stage="failed", message=in_page_words(explain_error(error), self.folder))

    def send(self, kind: str, **content: Any) -> None:
        """Tell the studio; where it is gone, whatever is painted is kept all the same."""
        try:
            self.pipe.send((kind, content))
        except OSError:
            self.stop_request = self.stop_request or "pause"

    def _paint_picture(self) -> str:
        run, told = self._start_run(), 0
        self.progress_display = ProgressDisplay(quiet=True)
        for step in run:
            self.previews.steps_since_change += 1
            self._send_step(step, run)
            for note in run.notes[told:]:
                self.send("note", text=in_page_words(note, self.folder))
            told = len(run.notes)
            if self.previews.is_due() or step.step == run.total_steps:
                self.send_preview(run)
                self._send_plan(run)
            if self.snapshots.is_due():
                self._add_snapshot(run)
            self.handle_commands(run)
            if self.stop_request:
                break
        if self.stop_request in ("pause", "back"):
            self._add_snapshot(run, memory=True)
            return "paused" if self.stop_request == "pause" else "back"
        if self.stop_request:
            self.send_preview(run)
        run.write()
        self.send("picture", name="picture.png")
        self._add_snapshot(run, memory=bool(self.stop_request))
        return "stopped" if self.stop_request else "done"

    def _start_run(self) -> Run:
        """Return the run, from the state that it is to go on from, towards what is wanted now."""
        it = self.commission
        if it.begin is None:
            run = start_job(self._job("picture.png", self.settings(it.settings)), cache=self.cache)
            if prod(run.painter.sizes[0]) <= QUICK_START_PIXELS:
                run.defer_plan()
            return run
        state, checkpoint = self.snapshots.read_snapshot(it.begin)
        run = start_job(self._job("picture.png", self.settings(state.settings)), cache=self.cache)
        run.load_state(checkpoint)
        self.planned = True
        if changes := find_changes(self.settings(it.settings), run.settings, len(it.paintings)):
            run.steer(**changes)
        return run

    def _job(self, name: str, settings: Settings) -> Job:
        inputs = self.folder / "inputs"
        return Job(
            photo=inputs / self.commission.photo,
            paintings=tuple(inputs / painting for painting in self.commission.paintings),
            output=self.folder / name,
            settings=settings,
            overwrite=True,
            quality=95,
            checkpoint="none",
        )

    def _send_plan(self, run: Run) -> None:
        """Once there is something to see, measure what the whole will take."""
        if not self.planned:
            self.planned = True
            run.apply_plan()
            self.send("plan", text=describe_plan(run.plan))
            self.progress_display = ProgressDisplay(quiet=True)  # the time of measuring tells nothing about steps

    def _paint_sheet(self) -> str:
        it = self.commission
        for number, cell in enumerate(it.cells, start=1):
            name = f"cell-{number:02}.png"
            if name in it.pictures:
                continue
            try:
                run = start_job(self._job(name, self.settings(it.settings, cell)), cache=self.cache)
                if prod(run.painter.sizes[-1]) <= QUICK_START_PIXELS:
                    run.defer_plan()
                for step in run:
                    self.handle_commands(run)
                    if self.stop_request:
                        return "stopped" if self.stop_request == "stop" else "paused"
                    self.send("cell", number=number, step=step.step, total=run.total_steps)
                run.write()
            except (DivergedError, UsageError) as error:
                self.send("note", text=f"Picture {number}: {in_page_words(str(error), self.folder)}")
                continue
            self.send("picture", name=name)
        return "done"

    def settings(self, settings: Mapping[str, Any], cell: Mapping[str, Any] = MappingProxyType({})) -> Settings:
        """Make the settings of a picture, or of a sheet's cell, with the masks that were brushed."""
        masks, inputs = self.commission.masks, self.folder / "inputs"
        return check_settings(cell, {**settings, **masks}).map_files(lambda file: str(inputs / file), masks)

    def _send_step(self, step: Step, run: Run) -> None:
        self.progress_display.update(step.progress, "")
        self.send(
            "step",
            step=step.step,
            total=run.total_steps,
            scale=step.scale,
            scales=step.scales,
            width=step.width,
            height=step.height,
            seconds=step.seconds,
            left=self.progress_display.seconds_left,
            losses=step.losses,
        )

    def send_preview(self, run: "Run | FilmRun") -> None:
        """Show the page what there is."""
        self.previews.write_preview(run)
        self.send("preview", version=self.previews.version)

    def _add_snapshot(self, run: Run, *, memory: bool = False) -> None:
        try:
            self.snapshots.add_snapshot(run, memory=memory)
        except PictureError as error:
            self.send("note", text=in_page_words(f"This state could not be kept: {error}", self.folder))
        self.send("states", states=[it.model_dump() for it in self.snapshots.snapshots])

    def handle_commands(self, run: Run | None) -> None:
        """Do what was asked since the last step; there is no `run` of a film's frames."""
        try:
            while self.pipe.poll():
                order, content = self.pipe.recv()
                if order == "plan":
                    answer_plan(self.pipe, self.cache, **content)
                elif order in ("pause", "back", "stop"):
                    self.stop_request = order
                elif run is None:
                    continue
                elif order == "steer":
                    self._change_settings(run, content)
                elif order == "keep":
                    self._save_copy(run, f"kept-{content['number']}.png")
        except (EOFError, OSError):  # the studio is gone
            self.stop_request = "pause"

    def _save_copy(self, run: Run, name: str) -> None:
        try:
            run.write_picture(self.folder / name, "embed", overwrite=True)
        except PictureError as error:
            self.send("note", text=in_page_words(f"This one could not be kept: {error}", self.folder))
        else:
            self.send("picture", name=name)

    def _change_settings(self, run: Run, changes: dict[str, Any]) -> None:
        try:
            run.steer(**changes)
        except ImpastoError as error:
            self.send("note", text=in_page_words(str(error), self.folder))
            return
        self.previews.steps_since_change = 0
        self.send("settings", settings=given_settings(run.settings))
