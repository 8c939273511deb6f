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
from impasto.apps.progress import Forecast
from impasto.apps.studio.brush import place_masks
from impasto.apps.studio.commissions import Commission
from impasto.apps.studio.films import paint_film
from impasto.apps.studio.foresight import foresee, in_words
from impasto.apps.studio.knobs import check, compare, given_of
from impasto.apps.studio.previews import Previews
from impasto.apps.studio.states import States
from impasto.apps.studio.words import in_page_words
from impasto.errors import DivergedError, ImpastoError, PictureError, UsageError
from impasto.jobs import Job, Run
from impasto.painting.hardware import is_out_of_memory
from impasto.painting.painter import Step
from impasto.painting.shelf import Shelf
from impasto.pictures.files import to_image
from impasto.settings import Settings

if TYPE_CHECKING:
    from impasto.video.run import FilmRun

Message = tuple[str, dict[str, Any]]

WARM = 192  # pixels
AT_ONCE = 512**2  # pixels of a first scale that is begun before it is planned what the painting takes
NO_MEMORY = "There is not enough memory for this: choose a smaller size."


def work(pipe: Connection, root: Path, threads: int | None = None) -> None:
    """Paint what is ordered until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the studio, which ends this in order
    with suppress(OSError):
        os.nice(5)  # the page shall answer while all cores paint
    if threads:
        torch.set_num_threads(threads)
    warm_up()
    pipe.send(("ready", {}))
    kit = Shelf()  # the next picture is often in the same manner
    while True:
        try:
            order, content = pipe.recv()
        except EOFError:
            return
        if order == "paint":
            commission = Commission.model_validate(content)
            Bench(pipe, root / commission.identity, commission, kit).paint()
        elif order == "plan":
            plan(pipe, kit, **content)


def warm_up() -> None:
    """Load torch and the embedded network and paint with it, so that the first click needn't wait."""
    grain = to_image(torch.rand(1, 3, WARM, WARM, generator=torch.Generator().manual_seed(0)))
    for _ in start(grain, grain, size=WARM, start_size=WARM, steps=6):
        pass


def plan(pipe: Connection, kit: Shelf, number: int, **wanted: Any) -> None:
    """Say what a painting takes, or why it can't be painted, to whoever has asked under that number."""
    try:
        answer = {"said": foresee(**wanted, kit=kit)}
    except ImpastoError as error:
        answer = {"fault": str(error)}
    except Exception as error:
        answer = {"fault": explain(error)}
    with suppress(OSError):
        pipe.send(("planned", {"number": number, **answer}))


def explain(error: Exception) -> str:
    """Say what went wrong that nobody foresaw."""
    return NO_MEMORY if is_out_of_memory(error) else f"This is a bug in impasto: {error!r}"


class Bench:
    """One commission on the bench: its run, and the pipe to whoever looks on."""

    def __init__(self, pipe: Connection, folder: Path, commission: Commission, kit: Shelf) -> None:
        self.pipe, self.folder, self.commission, self.kit = pipe, folder, commission, kit
        self.previews = Previews(folder / "preview.jpg", commission.progress.version)
        self.states = States(folder, commission.states)
        self.planned = False
        self.asked: str | None = None  # to pause, to go back or to stop

    def paint(self) -> None:
        """Paint it and send what becomes of it; nothing is raised."""
        try:
            kinds: dict[str, Callable[[], str]] = {
                "painting": self._paint_one,
                "sheet": self._paint_sheet,
                "film": lambda: paint_film(self),
            }
            self.send("ended", stage=kinds[self.commission.kind](), message="")
        except ImpastoError as error:
            self.send("ended", stage="failed", message=in_page_words(str(error), self.folder))
        except Exception as error:
            self.send("ended", stage="failed", message=in_page_words(explain(error), self.folder))

    def send(self, kind: str, **content: Any) -> None:
        """Tell the studio; where it is gone, whatever is painted is kept all the same."""
        try:
            self.pipe.send((kind, content))
        except OSError:
            self.asked = self.asked or "pause"

    def _paint_one(self) -> str:
        run, told = self._begin(), 0
        self.forecast = Forecast(run.settings)
        for step in run:
            self.previews.since += 1
            self._tell(step, run)
            for note in run.notes[told:]:
                self.send("note", text=in_page_words(note, self.folder))
            told = len(run.notes)
            if self.previews.is_due() or step.step == run.total:
                self.show(run)
                self._say_plan(run)
            if self.states.is_due():
                self._keep_state(run)
            self.heed(run)
            if self.asked:
                break
        if self.asked in ("pause", "back"):
            self._keep_state(run, memory=True)
            return "paused" if self.asked == "pause" else "back"
        if self.asked:
            self.show(run)
        run.write()
        self.send("picture", name="picture.png")
        self._keep_state(run, memory=bool(self.asked))
        return "stopped" if self.asked else "done"

    def _begin(self) -> Run:
        """Return the run, from the state that it is to go on from, towards what is wanted now."""
        it = self.commission
        if it.begin is None:
            run = start_job(self._job("picture.png", self.settings(it.settings)), shelf=self.kit)
            if prod(run.painter.sizes[0]) <= AT_ONCE:
                run.put_off()
            return run
        state, checkpoint = self.states.read(it.begin)
        run = start_job(self._job("picture.png", self.settings(state.settings)), shelf=self.kit)
        run.take_up(checkpoint)
        self.planned = True
        if changes := compare(self.settings(it.settings), run.settings, len(it.paintings)):
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

    def _say_plan(self, run: Run) -> None:
        """Once there is something to see, measure what the whole will take."""
        if not self.planned:
            self.planned = True
            run.prepare()
            self.send("plan", text=in_words(run.plan))
            self.forecast = Forecast(run.settings)  # the time of measuring tells nothing about steps

    def _paint_sheet(self) -> str:
        it = self.commission
        for number, cell in enumerate(it.cells, start=1):
            name = f"cell-{number:02}.png"
            if name in it.pictures:
                continue
            try:
                run = start_job(self._job(name, self.settings(it.settings, cell)), shelf=self.kit)
                if prod(run.painter.sizes[-1]) <= AT_ONCE:
                    run.put_off()
                for step in run:
                    self.heed(run)
                    if self.asked:
                        return "stopped" if self.asked == "stop" else "paused"
                    self.send("cell", number=number, step=step.step, total=run.total)
                run.write()
            except (DivergedError, UsageError) as error:
                self.send("note", text=f"Picture {number}: {in_page_words(str(error), self.folder)}")
                continue
            self.send("picture", name=name)
        return "done"

    def settings(self, settings: Mapping[str, Any], cell: Mapping[str, Any] = MappingProxyType({})) -> Settings:
        """Make the settings of a picture, or of a sheet's cell, with the masks that were brushed."""
        masks = place_masks(self.commission.masks, self.folder / "inputs")
        return check(cell, {**settings, **masks})

    def _tell(self, step: Step, run: Run) -> None:
        self.send(
            "step",
            step=step.step,
            total=run.total,
            scale=step.scale,
            scales=step.scales,
            width=step.width,
            height=step.height,
            seconds=step.seconds,
            left=self.forecast.seconds_left(step, run.total),
            losses=step.losses,
        )

    def show(self, run: "Run | FilmRun") -> None:
        """Show the page what there is."""
        self.previews.show(run)
        self.send("preview", version=self.previews.version)

    def _keep_state(self, run: Run, *, memory: bool = False) -> None:
        try:
            self.states.keep(run, memory=memory)
        except PictureError as error:
            self.send("note", text=in_page_words(f"This state could not be kept: {error}", self.folder))
        self.send("states", states=[it.model_dump() for it in self.states.known])

    def heed(self, run: Run | None) -> None:
        """Do what was asked since the last step; there is no `run` of a film's frames."""
        try:
            while self.pipe.poll():
                order, content = self.pipe.recv()
                if order == "plan":
                    plan(self.pipe, self.kit, **content)
                elif order in ("pause", "back", "stop"):
                    self.asked = order
                elif run is None:
                    continue
                elif order == "steer":
                    self._steer(run, content)
                elif order == "keep":
                    self._keep(run, f"kept-{content['number']}.png")
        except (EOFError, OSError):  # the studio is gone
            self.asked = "pause"

    def _keep(self, run: Run, name: str) -> None:
        try:
            run.write_to(self.folder / name, "embed", overwrite=True)
        except PictureError as error:
            self.send("note", text=in_page_words(f"This one could not be kept: {error}", self.folder))
        else:
            self.send("picture", name=name)

    def _steer(self, run: Run, changes: dict[str, Any]) -> None:
        try:
            run.steer(**changes)
        except ImpastoError as error:
            self.send("note", text=in_page_words(str(error), self.folder))
            return
        self.previews.since = 0
        self.send("settings", settings=given_of(run.settings))
