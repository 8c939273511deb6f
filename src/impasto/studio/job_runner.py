"""The process that paints jobs: commands come in through a pipe, events go out.

It is a process of its own so that one that is killed, or runs out of memory, harms nothing else.
"""

import math
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from impasto.api import start
from impasto.errors import ImpastoError, PictureError, UsageError, is_out_of_memory
from impasto.images.write import to_pil
from impasto.painting.model_cache import ModelCache
from impasto.painting.painter import Step
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
    from impasto.films.sequence import FrameStep

WARM_UP_PIXELS = 192  # longer side
MAX_FILM_FRAMES = 1500  # a minute; the studio's folder holds all of them meanwhile
FILM_NAME = "film.mp4"
PICTURE_QUALITY = 95
NICENESS = 5
ROUNDING = 1e-6  # of a frame
OUT_OF_MEMORY = "There is not enough memory for this: choose a smaller size."


def run_studio_worker(connection: Connection, jobs: Path) -> None:
    """Paint jobs, whose folders are in `jobs`, until the connection is closed."""
    lower_priority(NICENESS)  # so that the page answers while all cores paint
    warm_up()
    connection.send(("ready", {}))
    cache = ModelCache()  # the next job often has the same network and paintings
    while True:
        try:
            kind, content = connection.recv()
        except EOFError:
            return
        if kind == "paint":  # what else there is was for a job that has ended
            job = StudioJob.model_validate(content)
            JobRunner(connection, jobs / job.id, job, cache).run_job()


def lower_priority(niceness: int) -> None:
    """Let other threads and processes go before this one, where the system can do that."""
    with suppress(OSError, AttributeError):  # Windows has none
        os.nice(niceness)


def warm_up() -> None:
    """Load torch and the embedded network, and paint with them, so that the first click needn't wait."""
    noise = to_pil(torch.rand(1, 3, WARM_UP_PIXELS, WARM_UP_PIXELS, generator=torch.Generator().manual_seed(0)))
    for _ in start(noise, noise, size=WARM_UP_PIXELS, start_size=WARM_UP_PIXELS, steps=6):
        pass


def describe_plan(run: Run) -> str:
    """Describe how a picture is painted: `1200 x 900 pixels in 4 scales: about 5 min and 2 GB of memory.`"""
    if run.settings.is_one_pass:
        width, height = run.painter.schedule.last_size
        return f"{width} x {height} pixels in one pass: about a second for each million pixels."
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


def make_job(photo: Path, paintings: list[Path], output: Path, settings: Settings) -> Job:
    """Return the job of painting a picture."""
    return Job(
        photo=photo,
        paintings=tuple(paintings),
        output=output,
        settings=settings,
        overwrite=True,
        quality=PICTURE_QUALITY,
        checkpoint="none",
    )


class JobRunner:
    """Paints one job and sends what happens; commands that arrive are handled between two steps."""

    def __init__(self, connection: Connection, folder: Path, job: StudioJob, cache: ModelCache) -> None:
        self.connection: Connection[Any, Any] = connection
        self.folder: Path = folder
        self.job: StudioJob = job
        self.cache: ModelCache = cache
        self.inputs: Path = folder / "inputs"
        self.previews: PreviewWriter = PreviewWriter(folder / "preview.jpg", job.progress.version)
        self.snapshots: SnapshotStore = SnapshotStore(folder, job.snapshots)
        self.sent_notes: int = 0  # of the run
        self.stop_request: str | None = None  # pause, rewind or stop
        self.clock: ProgressDisplay = ProgressDisplay(quiet=True)  # which estimates the time left

    def run_job(self) -> None:
        """Paint the job and send how it ends; nothing is raised."""
        runs: dict[str, Callable[[], JobStatus | None]] = {
            "painting": self._paint_picture,
            "film": self._paint_film,
        }
        try:
            self.send("ended", status=runs[self.job.kind](), message="")
        except Exception as error:
            self.send("ended", status="failed", message=page_message(explain_error(error), self.folder))

    def send(self, kind: str, **content: Any) -> None:
        """Send an event. If the studio is gone, the job is paused, which keeps what is painted."""
        try:
            self.connection.send((kind, content))
        except OSError:
            self.stop_request = self.stop_request or "pause"

    def send_note(self, text: str) -> None:
        """Send a note, for the page."""
        self.send("note", text=page_message(text, self.folder))

    # A picture

    def _paint_picture(self) -> JobStatus | None:
        run = self._start_run()
        is_planned = self.job.start_snapshot is not None
        for step in run:
            self.previews.steps_since_change += 1
            self._send_step(step, step.step, run.total_steps)
            self._send_new_notes(run)
            if self.previews.is_due() or step.step == run.total_steps:
                self._send_preview(run)
                if not is_planned:  # once there is something to see
                    self._send_plan(run)
                    is_planned = True
            if self.snapshots.is_due():
                self._add_snapshot(run)
            self._handle_commands(run)
            if self.stop_request:
                break
        return self._finish_picture(run)

    def _finish_picture(self, run: Run) -> JobStatus | None:
        if self.stop_request in ("pause", "rewind"):
            self._add_snapshot(run, memory=True)
            return "paused" if self.stop_request == "pause" else None
        if self.stop_request:
            self._send_preview(run)
        run.write()
        self.send("picture", name="picture.png")
        self._add_snapshot(run, memory=bool(self.stop_request))
        return "stopped" if self.stop_request else "done"

    def _start_run(self) -> Run:
        """Return the run, from the job's snapshot if it starts from one, with the job's present settings."""
        job, output = self.job, self.folder / "picture.png"
        wanted = self._settings(job.settings)
        if job.start_snapshot is None:
            return start_job(self._make_job(output, wanted), cache=self.cache)
        snapshot, checkpoint = self.snapshots.read_snapshot(job.start_snapshot)
        run = start_job(self._make_job(output, self._settings(snapshot.settings)), cache=self.cache)
        run.load_state(checkpoint)
        if changes := find_changes(wanted, run.settings, len(job.paintings)):
            self._change_settings(run, changes)
        return run

    def _send_plan(self, run: Run) -> None:
        run.apply_plan()
        self.send("plan", text=describe_plan(run))
        self.clock = ProgressDisplay(quiet=True)  # as the time of measuring says nothing about steps

    def _add_snapshot(self, run: Run, *, memory: bool = False) -> None:
        try:
            self.snapshots.add_snapshot(run, memory=memory)
        except PictureError as error:
            self.send_note(f"This state could not be kept: {error}")
        self.send("snapshots", snapshots=[snapshot.model_dump() for snapshot in self.snapshots.snapshots])

    # A film

    def _paint_film(self) -> JobStatus:
        """Paint the job's film until somebody pauses or stops it."""
        run = self._start_film(self.folder / FILM_NAME)
        try:
            self._paint_frames(run)
        except BaseException:
            run.close()
            raise
        if self.stop_request == "pause":
            run.close()
            return "paused"
        if run.write_result():
            self.send("picture", name=FILM_NAME)
        return "stopped" if self.stop_request else "done"

    def _start_film(self, output: Path) -> "FilmRun":
        from impasto.films.film_job import FilmJob  # brings PyAV and OpenCV
        from impasto.films.start_film import resume_film, start_film
        from impasto.films.work_folder import name_work_folder

        if name_work_folder(output).is_dir():
            return resume_film(output)
        job = FilmJob(
            source=self.inputs / self.job.photo,
            paintings=self._paintings,
            output=output,
            settings=self._settings({**FILM_DEFAULTS, **self.job.settings}),
            overwrite=True,
        )
        run = start_film(job)
        if run.frame_count > MAX_FILM_FRAMES:
            run.close()
            raise UsageError(
                f"The film has {run.frame_count} frames, and the studio paints {MAX_FILM_FRAMES} at most: cut it, or "
                "paint it from the shell with impasto film."
            )
        return run

    def _paint_frames(self, run: "FilmRun") -> None:
        for step in run:
            frames = step.frames * step.passes
            self._send_step(step, math.ceil(step.progress * frames - ROUNDING), frames)
            self._send_new_notes(run)
            self.previews.steps_since_change += 1
            if self.previews.is_due():
                self._send_preview(run)
            self._handle_commands(None)
            if self.stop_request:
                return

    # What all kinds share

    @property
    def _paintings(self) -> tuple[Path, ...]:
        return tuple(self.inputs / painting for painting in self.job.paintings)

    def _make_job(self, output: Path, settings: Settings) -> Job:
        return make_job(self.inputs / self.job.photo, list(self._paintings), output, settings)

    def _settings(self, settings: Mapping[str, Any]) -> Settings:
        """Return the settings of a picture with the brushed masks."""
        return add_masks(settings, self.job.masks, self.inputs)

    def _send_step(self, step: "Step | FrameStep", number: int, total: int) -> None:
        self.clock.update(step.progress, "")
        position = {"scale": step.scale, "scales": step.scales, "width": step.width, "height": step.height}
        done = {"step": number, "total": total, "share": step.progress, "seconds": step.seconds}
        self.send("step", **done, **position, seconds_left=self.clock.seconds_left, losses=step.losses)

    def _send_new_notes(self, run: "Run | FilmRun") -> None:
        for note in run.notes[self.sent_notes :]:
            self.send_note(note)
        self.sent_notes = len(run.notes)

    def _send_preview(self, run: "Run | FilmRun") -> None:
        self.previews.write_preview(run)
        self.send("preview", version=self.previews.version)

    def _handle_commands(self, run: Run | None) -> None:
        """Handle the commands that came since the last step; while a film is painted, `run` is None."""
        try:
            while self.connection.poll():
                self._handle_command(run, *self.connection.recv())
        except (EOFError, OSError):  # the studio is gone
            self.stop_request = "pause"

    def _handle_command(self, run: Run | None, kind: str, content: dict[str, Any]) -> None:
        if kind in ("pause", "rewind", "stop"):
            self.stop_request = kind
        elif run and kind == "change":
            self._change_settings(run, content)
        elif run and kind == "copy":
            self._write_copy(run, content["name"])

    def _write_copy(self, run: Run, name: str) -> None:
        try:
            run.write_picture(self.folder / name, "embed", overwrite=True)
        except PictureError as error:
            self.send_note(f"This one could not be kept: {error}")
        else:
            self.send("picture", name=name)

    def _change_settings(self, run: Run, changes: dict[str, Any]) -> None:
        try:
            run.steer(**changes)
            self.previews.steps_since_change = 0
        except ImpastoError as error:
            self.send_note(str(error))
        self.send("settings", settings=given_settings(run.settings))
