"""The process that paints: orders come in through a pipe, steps go out through it, pictures into the folder.

It is a process of its own so that one that is killed, or runs out of memory, takes nothing else with it.
"""

import os
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from types import MappingProxyType
from typing import Any

from impasto.apps.progress import Forecast
from impasto.apps.studio.brush import place_masks
from impasto.apps.studio.commissions import Commission, State
from impasto.apps.studio.knobs import check, given_of
from impasto.apps.studio.words import in_page_words
from impasto.errors import ImpastoError
from impasto.settings import Settings

Message = tuple[str, dict[str, Any]]

WARM = 192  # pixels
LONGEST_PREVIEW = 1200  # pixels
QUALITY = 85
FIRST_PREVIEWS = (2, 4, 8)  # steps after the beginning, or after a knob was moved, that are shown at once
PREVIEW_SHARE = 0.03  # of the time may go into previews
PREVIEW_PAUSE = 0.5  # seconds between previews at least
STATE_PAUSE = 3.0  # seconds between earlier states that are kept
STATE_SHARE = 0.01
MOST_STATES = 12
LARGEST_STATE = 16_000_000  # pixels


def work(pipe: Connection, root: Path, threads: int | None = None) -> None:
    """Paint what is ordered until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the studio, which ends this in order
    with suppress(OSError):
        os.nice(5)  # the page shall answer while all cores paint
    if threads:
        import torch

        torch.set_num_threads(threads)
    pipe.send(("ready", {"pace": warm_up()}))
    from impasto.painting.style import Palette

    palette = Palette()  # the next picture is often in the same manner
    while True:
        try:
            order, content = pipe.recv()
        except EOFError:
            return
        if order == "paint":
            commission = Commission.model_validate(content)
            Bench(pipe, root / commission.identity, commission, palette).paint()


def warm_up() -> float:
    """Load torch and the embedded network and paint with it, so that the first click needn't wait.

    Returns the seconds that a step takes for each pixel.
    """
    import torch

    from impasto.api import start
    from impasto.pictures.files import to_image

    grain = to_image(torch.rand(1, 3, WARM, WARM, generator=torch.Generator().manual_seed(0)))
    steps = list(start(grain, grain, size=WARM, start_size=WARM, steps=6))
    return (steps[-1].seconds - steps[1].seconds) / (len(steps) - 2) / WARM**2


class Bench:
    """One commission on the bench: its run, and the pipe to whoever looks on."""

    def __init__(self, pipe: Connection, folder: Path, commission: Commission, palette: Any) -> None:
        self.pipe, self.folder, self.commission, self.palette = pipe, folder, commission, palette
        self.version = commission.progress.version
        self.states = list(commission.states)
        self.shown_at = self.state_at = time.perf_counter()
        self.cost = self.state_cost = 0.0  # seconds that the last preview, the last state took
        self.since = 0  # steps since the beginning, or since a knob was moved
        self.asked: str | None = None  # to pause or to stop

    def paint(self) -> None:
        """Paint it and send what becomes of it; nothing is raised."""
        try:
            stage = self._paint_sheet() if self.commission.kind == "sheet" else self._paint_one()
            self.send("ended", stage=stage, message="")
        except ImpastoError as error:
            self.send("ended", stage="failed", message=in_page_words(str(error), self.folder))
        except MemoryError:
            self.send("ended", stage="failed", message=NO_MEMORY)
        except Exception as error:
            said = NO_MEMORY if "can't allocate memory" in str(error) else f"This is a bug in impasto: {error!r}"
            self.send("ended", stage="failed", message=in_page_words(said, self.folder))

    def send(self, kind: str, **content: Any) -> None:
        """Tell the studio; where it is gone, whatever is painted is kept all the same."""
        try:
            self.pipe.send((kind, content))
        except OSError:
            self.asked = self.asked or "pause"

    def _paint_one(self) -> str:
        from impasto.api import start_job
        from impasto.apps.studio.states import read_state
        from impasto.jobs import Job

        it = self.commission
        settings = self._settings()
        job = Job(
            photo=self.folder / "inputs" / it.photo,
            paintings=tuple(self.folder / "inputs" / name for name in it.paintings),
            output=self.folder / "picture.png",
            settings=settings,
            overwrite=True,
        )
        position = None if it.begin is None else read_state(self.folder / f"state-{it.begin}.safetensors")
        run = start_job(job, position=position, palette=self.palette)
        forecast, told = Forecast(settings), 0
        self.state_at = time.perf_counter()
        for step in run:
            self.since += 1
            self._tell(step, run, forecast)
            for note in run.notes[told:]:
                self.send("note", text=in_page_words(note, self.folder))
            told = len(run.notes)
            self._show(run, last=step.step == run.total)
            self._keep_state(run, step)
            self._heed(run)
            if self.asked:
                break
        if self.asked in ("pause", "back"):
            self._keep_state(run, step, now=True)
            return "paused" if self.asked == "pause" else "back"
        if self.asked:
            self._show(run, last=True)
        run.write()
        self.send("picture", name="picture.png")
        self._keep_state(run, step, now=True)
        return "stopped" if self.asked else "done"

    def _paint_sheet(self) -> str:
        from impasto.api import start_job
        from impasto.errors import DivergedError, UsageError
        from impasto.jobs import Job

        it = self.commission
        for number, cell in enumerate(it.cells, start=1):
            name = f"cell-{number:02}.png"
            if name in it.pictures:
                continue
            job = Job(
                photo=self.folder / "inputs" / it.photo,
                paintings=tuple(self.folder / "inputs" / painting for painting in it.paintings),
                output=self.folder / name,
                settings=self._settings(cell),
                overwrite=True,
            )
            try:
                run = start_job(job, palette=self.palette)
                for step in run:
                    self._heed(run)
                    if self.asked:
                        return "stopped" if self.asked == "stop" else "paused"
                    self.send("cell", number=number, step=step.step, total=run.total)
                run.write()
            except (DivergedError, UsageError) as error:
                self.send("note", text=f"Picture {number}: {in_page_words(str(error), self.folder)}")
                continue
            self.send("picture", name=name)
        return "done"

    def _settings(self, cell: Mapping[str, Any] = MappingProxyType({})) -> Settings:
        masks = place_masks(self.commission.masks, self.folder / "inputs")
        return check(cell, {**self.commission.settings, **masks})

    def _tell(self, step: Any, run: Any, forecast: Forecast) -> None:
        self.send(
            "step",
            step=step.step,
            total=run.total,
            scale=step.scale,
            scales=step.scales,
            width=step.width,
            height=step.height,
            seconds=step.seconds,
            left=forecast.seconds_left(step, run.total),
            losses=step.losses,
        )

    def _show(self, run: Any, *, last: bool) -> None:
        """Write a preview if it is time for one: soon after a change, and so that all of them cost little time."""
        now = time.perf_counter()
        pause = max(PREVIEW_PAUSE, self.cost / PREVIEW_SHARE)
        soon = self.since in FIRST_PREVIEWS and self.cost < 0.1
        if not (last or soon or now - self.shown_at > pause):
            return
        image = run.picture()
        image.thumbnail((LONGEST_PREVIEW, LONGEST_PREVIEW))
        write_jpeg(image, self.folder / "preview.jpg")
        self.version += 1
        self.shown_at = time.perf_counter()
        self.cost = self.shown_at - now
        self.send("preview", version=self.version)

    def _keep_state(self, run: Any, step: Any, *, now: bool = False) -> None:
        """Keep where the painting is, to step back to, every few seconds; of many, every second one goes."""
        from impasto.apps.studio.states import write_state

        begun = time.perf_counter()
        pause = max(STATE_PAUSE, self.state_cost / STATE_SHARE)
        if step.width * step.height > LARGEST_STATE or not (now or begun - self.state_at > pause):
            return
        if self.states and self.states[-1].step == step.step and not now:
            return
        number = max((it.number for it in self.states), default=0) + 1
        settings = given_of(run.settings)
        write_state(run.position(), self.folder / f"state-{number}.safetensors")
        image = run.picture()
        image.thumbnail((160, 160))
        write_jpeg(image, self.folder / f"state-{number}.jpg")
        self.states.append(
            State(
                number=number,
                step=step.step,
                scale=step.scale,
                width=step.width,
                height=step.height,
                settings=settings,
            )
        )
        if len(self.states) > MOST_STATES:
            for old in self.states[1:-1:2]:
                for suffix in ("safetensors", "jpg"):
                    (self.folder / f"state-{old.number}.{suffix}").unlink(missing_ok=True)
            self.states = [it for place, it in enumerate(self.states) if place % 2 == 0 or it is self.states[-1]]
        self.state_at = time.perf_counter()
        self.state_cost = self.state_at - begun
        self.send("states", states=[it.model_dump() for it in self.states])

    def _heed(self, run: Any) -> None:
        """Do what was asked since the last step."""
        try:
            while self.pipe.poll():
                order, content = self.pipe.recv()
                if order == "steer":
                    self._steer(run, content)
                elif order == "keep":
                    name = f"kept-{content['number']}.png"
                    run.write_to(self.folder / name, "embed", overwrite=True)
                    self.send("picture", name=name)
                else:
                    self.asked = order
        except (EOFError, OSError):  # the studio is gone
            self.asked = "pause"

    def _steer(self, run: Any, changes: dict[str, Any]) -> None:
        try:
            run.steer(**changes)
        except ImpastoError as error:
            self.send("note", text=in_page_words(str(error), self.folder))
            return
        self.since = 0
        self.send("settings", settings=given_of(run.settings))


NO_MEMORY = "There is not enough memory for this: choose a smaller size."


def write_jpeg(image: Any, path: Path) -> None:
    """Write a small picture under another name first: whoever reads it finds a whole one."""
    temporary = path.with_suffix(".part")
    if image.mode != "RGB":
        image = image.convert("RGBA")
        paper = image.copy()
        paper.paste((255, 255, 255, 255), (0, 0, *image.size))
        paper.alpha_composite(image)
        image = paper.convert("RGB")
    image.save(temporary, "JPEG", quality=QUALITY)
    temporary.replace(path)
