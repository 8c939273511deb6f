"""The process that paints jobs: commands come in through a pipe, and what changes in a job goes out.

It is a process of its own so that one that is killed, or runs out of memory, harms nothing else.
"""

import math
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, nullcontext, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from impasto.api import start
from impasto.errors import ImpastoError, PictureError, UsageError, is_out_of_memory
from impasto.images.write import to_pil
from impasto.painting.model_cache import ModelCache
from impasto.runs.job import Job
from impasto.runs.run import Run
from impasto.runs.start import start_job
from impasto.settings.model import Settings
from impasto.settings.presets import FILM_DEFAULTS
from impasto.settings.units import format_bytes, format_seconds
from impasto.studio.form import add_masks, find_changes, given_settings, page_message
from impasto.studio.snapshots import PreviewWriter, SnapshotStore
from impasto.studio.store import JobStatus, StudioJob
from impasto.terminal.progress import ProgressDisplay

if TYPE_CHECKING:
    from impasto.films.film_run import FilmRun

WARM_UP_PIXELS = 192  # longer side
MAX_FILM_FRAMES = 1500  # a minute; the studio's folder holds all of them meanwhile
FILM_NAME = "film.mp4"
NICENESS = 5
STEP_UPDATE_SECONDS = 1.0  # between two steps that the queue hears of; it hears of previews at once
ROUNDING = 1e-6  # of a frame
ONE_PASS_SECONDS = 1e-6  # for each pixel, on two cores
OUT_OF_MEMORY = "There is not enough memory for this: choose a smaller size."


def run_studio_worker(connection: Connection, jobs: Path) -> None:
    """Paint jobs, whose folders are in `jobs`, until the connection is closed."""
    with suppress(AttributeError):  # Windows has no niceness
        os.nice(NICENESS)  # so that the page answers while all cores paint
    warm_up()
    cache = ModelCache()  # the next job often has the same network and paintings
    with suppress(EOFError, OSError):  # the studio is gone
        connection.send(("ready", {}))
        while True:
            kind, content = connection.recv()
            if kind == "paint":  # what else there is was for a job that has ended
                JobRunner(connection, jobs / content["job"].id, content["job"], cache).run_job()


def warm_up() -> None:
    """Load torch and the embedded network, and paint with them, so that the first click needn't wait."""
    noise = to_pil(torch.rand(1, 3, WARM_UP_PIXELS, WARM_UP_PIXELS, generator=torch.Generator().manual_seed(0)))
    for _ in start(noise, noise, size=WARM_UP_PIXELS, start_size=WARM_UP_PIXELS, steps=6):
        pass


def describe_plan(run: Run) -> str:
    """Describe how a picture is painted: `1200 x 900 pixels in 4 scales: about 5 min and 2 GB of memory.`"""
    if run.settings.is_one_pass:
        width, height = run.painter.schedule.last_size
        return f"{width} x {height} pixels in one pass: about {format_seconds(width * height * ONE_PASS_SECONDS)}."
    plan = run.plan
    (width, height), scales = plan.sizes[-1], len(plan.sizes)
    last = plan.chosen.strategies[-1]
    return (
        f"{width} x {height} pixels in {scales} scale{'s' if scales > 1 else ''}"
        f"{f', {last.describe()}' if last.tile_size else ''}: "
        f"about {format_seconds(plan.chosen.seconds)} and {format_bytes(plan.chosen.bytes)} of memory."
    )


def explain_error(error: Exception) -> str:
    """Return an error's message, also of one that nobody expected."""
    if isinstance(error, ImpastoError):
        return str(error)
    return OUT_OF_MEMORY if is_out_of_memory(error) else f"This is a bug in impasto: {error!r}"


def make_job(photo: Path, paintings: Sequence[Path], output: Path, settings: Settings) -> Job:
    """Return the job of painting a picture."""
    return Job(
        photo=photo,
        paintings=tuple(paintings),
        output=output,
        settings=settings,
        overwrite=True,
        checkpoint="none",
    )


class JobRunner:
    """Paints one job and sends what changes in it; commands that arrive are handled between two steps."""

    def __init__(self, connection: Connection, folder: Path, job: StudioJob, cache: ModelCache) -> None:
        self.connection: Connection[Any, Any] = connection
        self.folder: Path = folder
        self.job: StudioJob = job
        self.cache: ModelCache = cache
        self.inputs: Path = folder / "inputs"
        self.previews: PreviewWriter = PreviewWriter(folder / "preview.jpg")
        self.snapshots: SnapshotStore = SnapshotStore(folder, job.snapshots)
        self.wanted_end: JobStatus | None = None
        self.spared: int | None = None  # the snapshot to which the job will go back
        self.sent_notes: int = 0  # of the run
        self.sent_at: float = 0.0  # the last step, by the monotonic clock
        self.clock: ProgressDisplay = ProgressDisplay(quiet=True)  # which estimates the time left

    def run_job(self) -> None:
        """Paint the job and send how it ends; nothing is raised."""
        status: JobStatus = "failed"
        message = ""
        try:
            run = self._start_film() if self.job.kind == "film" else self._start_picture()
            with nullcontext() if isinstance(run, Run) else closing(run):
                status = self._paint(run)
        except Exception as error:
            message = page_message(explain_error(error), self.folder)
        self._send_changed()
        self._send("ended", status=status, message=message)

    def _paint(self, run: "Run | FilmRun") -> JobStatus:
        for step in run:
            self._take_step(run, step)
            if self.previews.is_due() or run.is_finished:
                self._write_preview(run)
            self._handle_commands(run)
            if self.wanted_end:
                break
            if isinstance(run, Run) and self.snapshots.is_due():
                self._add_snapshot(run)
        if self.wanted_end in ("paused", "waiting"):
            self._add_snapshot(run, memory=True)
            return "paused"
        if self.wanted_end:
            self._write_preview(run)
        if written := run.write() if isinstance(run, Run) else run.write_result():
            self.job.add_picture(written.name)
            self._send_changed("pictures")
        self._add_snapshot(run, memory=bool(self.wanted_end))
        return "stopped" if self.wanted_end else "done"

    def _start_picture(self) -> Run:
        """Return the run, from the snapshot that the job goes on from, with the job's present settings."""
        job = self.job
        number = job.start_snapshot or max((snapshot.number for snapshot in job.snapshots), default=None)
        wanted = self._settings(job.settings)
        if number is None:
            return start_job(self._make_job(wanted), cache=self.cache)
        snapshot, checkpoint = self.snapshots.read_snapshot(number)
        run = start_job(self._make_job(self._settings(snapshot.settings)), cache=self.cache)
        run.load_state(checkpoint)
        if changes := find_changes(wanted, run.settings, len(job.paintings)):
            self._change_settings(run, changes)
        return run

    def _start_film(self) -> "FilmRun":
        from impasto.films.film_job import FilmJob  # brings PyAV and OpenCV
        from impasto.films.start_film import resume_film, start_film
        from impasto.films.work_folder import name_work_folder

        output = self.folder / FILM_NAME
        if name_work_folder(output).is_dir():
            run = resume_film(output)
        else:
            settings = self._settings({**FILM_DEFAULTS, **self.job.settings})
            source, paintings = self._input_paths
            job = FilmJob(source=source, paintings=paintings, output=output, settings=settings, overwrite=True)
            run = start_film(job)
        if run.frame_count > MAX_FILM_FRAMES:
            run.close()
            raise UsageError(
                f"The film has {run.frame_count} frames, and the studio paints {MAX_FILM_FRAMES} at most: cut it, or "
                "paint it from the shell with impasto film."
            )
        return run

    @property
    def _input_paths(self) -> tuple[Path, tuple[Path, ...]]:
        """The photo or film, and the paintings."""
        return self.inputs / self.job.photo, tuple(self.inputs / painting for painting in self.job.paintings)

    def _make_job(self, settings: Settings) -> Job:
        return make_job(*self._input_paths, self.folder / "picture.png", settings)

    def _settings(self, settings: Mapping[str, Any]) -> Settings:
        """Return the settings of a picture with the brushed masks."""
        return add_masks(settings, self.job.masks, self.inputs)

    def _take_step(self, run: "Run | FilmRun", step: Any) -> None:
        """Take down a step, and send it from time to time."""
        self.previews.steps_since_change += 1
        self.clock.update(step.progress, "")
        if isinstance(run, Run):
            number, total = step.step, run.total_steps
        else:  # of a film, the frames are counted
            total = step.frames * step.passes
            number = math.ceil(step.progress * total - ROUNDING)
        position = {name: getattr(step, name) for name in ("scale", "scales", "width", "height", "seconds")}
        done = {"step": number, "total": total, "share": step.progress, "seconds_left": self.clock.seconds_left}
        self.job.add_point(number, step.losses)
        self.job.progress = self.job.progress.model_copy(update={**position, **done})
        for note in run.notes[self.sent_notes :]:
            self._send_note(note)
        self.sent_notes = len(run.notes)
        if time.monotonic() - self.sent_at > STEP_UPDATE_SECONDS:
            self._send_changed()

    def _write_preview(self, run: "Run | FilmRun") -> None:
        """Show the picture as it is; once there is something to see, measure the plan too."""
        try:
            self.previews.write_preview(run)
        except PictureError as error:
            self._send_note(f"There is no preview: {error}")
            return
        self.job.progress.version += 1
        self._send_changed()
        if isinstance(run, Run) and not self.job.plan:
            self.job.plan = describe_plan(run)
            self._send_changed("plan")
            self.clock = ProgressDisplay(quiet=True)  # as the time of measuring says nothing about steps

    def _add_snapshot(self, run: "Run | FilmRun", *, memory: bool = False) -> None:
        """Add a snapshot; a film needs none."""
        if not isinstance(run, Run):
            return
        try:
            self.snapshots.add_snapshot(run, memory=memory, spared=self.spared)
        except PictureError as error:
            self._send_note(f"This state could not be kept: {error}")
        self.job.snapshots = self.snapshots.snapshots
        self._send_changed("snapshots")

    def _handle_commands(self, run: "Run | FilmRun") -> None:
        """Handle the commands that came since the last step."""
        try:
            while self.connection.poll():
                kind, content = self.connection.recv()
                if kind == "end":  # the last one counts: None, not to end after all
                    self.wanted_end, self.spared = content["status"], content["spared"]
                elif isinstance(run, Run) and kind == "change":
                    self._change_settings(run, content)
                elif isinstance(run, Run) and kind == "copy":
                    self._write_copy(run)
        except (EOFError, OSError):  # the studio is gone: keep what is painted
            self.wanted_end = "paused"

    def _write_copy(self, run: Run) -> None:
        name = self.job.next_copy_name
        try:
            run.write_picture(self.folder / name, "embed", overwrite=True)
        except PictureError as error:
            self._send_note(f"This one could not be kept: {error}")
            return
        self.job.add_picture(name)
        self._send_changed("pictures")

    def _change_settings(self, run: Run, changes: dict[str, Any]) -> None:
        try:
            run.steer(**changes)
            self.previews.steps_since_change = 0
        except ImpastoError as error:
            self._send_note(str(error))
        self.job.settings = given_settings(run.settings)
        self._send_changed("settings")

    def _send_note(self, text: str) -> None:
        self.job.add_note(page_message(text, self.folder))
        self._send_changed("notes")

    def _send_changed(self, *names: str) -> None:
        """Send fields of the job, and how far it is."""
        self.sent_at = time.monotonic()
        self._send("changed", **{name: getattr(self.job, name) for name in (*names, "progress")})

    def _send(self, kind: str, **content: Any) -> None:
        """Send a message. If the studio is gone, the job is paused, which keeps what is painted."""
        try:
            self.connection.send((kind, content))
        except OSError:
            self.wanted_end = "paused"
