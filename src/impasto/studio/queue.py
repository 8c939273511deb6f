"""The queue: jobs painted one at a time by a worker process, which is replaced if it dies."""

import multiprocessing
import shutil
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from impasto.errors import ImpastoError, UsageError
from impasto.studio.job_runner import run_studio_worker
from impasto.studio.masks import read_brushed, write_masks
from impasto.studio.store import FINISHED, UNKNOWN_JOB, JobStatus, JobStore, StudioJob
from impasto.studio.updates import PERSISTED_EVENTS, ChangeTracker, apply_event
from impasto.workers.processes import WorkerProcess

BRUSHED_NAME = "brush.png"  # the brushed masks, among a job's inputs
MAX_WAITING_JOBS = 20  # of one visitor
MAX_JOBS = 500
RESERVED_BYTES = 100_000_000  # that the folder needs for another job
STEP_UPDATE_SECONDS = 1.0  # between two steps that pages hear of; they hear of previews and ends at once
SHUTDOWN_SECONDS = 20.0
WAIT_SECONDS = 5.0
MAX_RESTART_DELAY_SECONDS = 30
OUT_OF_MEMORY_HINT = "perhaps for lack of memory"
# Each sentence has its translations in words.json.
STOPPED_NOW = "Stopped in the middle of a step."
STOPPED_EARLY = "Stopped before it was finished."
PAUSING = "Pausing after this step …"
FINISHING = "Finishing this step …"
GO_ON = "Go on from its last state."
STUDIO_CLOSED = "The studio was closed while this was painted."
WRITE_FAILED = "How this picture stands could not be written down: is the disk full?"
STATUS_ORDER = {"painting": 0, "paused": 1, "waiting": 2}


class JobQueue:
    """Takes jobs, has them painted one after the other, and knows the state of each.

    `changes` counts what changes. All methods may be called from any thread.
    """

    def __init__(self, store: JobStore) -> None:
        self.store = store
        self.is_ready: bool = False  # whether the worker can paint
        self.is_closing: bool = False
        self.changes: ChangeTracker = ChangeTracker()
        self._last_step_update = 0.0
        self._failed_starts = 0  # in a row
        self._lock = threading.RLock()
        self._jobs = {job.id: job for job in store.read_jobs()}
        for job in self._jobs.values():
            if job.status == "painting":
                self._interrupt(job, STUDIO_CLOSED)
        self._current: StudioJob | None = None
        self._wake_receiver, self._wake_sender = multiprocessing.Pipe(duplex=False)
        self._worker = self._start_worker()
        self._thread = threading.Thread(target=self._run_loop, name="impasto studio queue", daemon=True)
        self._thread.start()

    @property
    def is_painting(self) -> bool:
        """Whether something is being painted."""
        return self._current is not None

    # What visitors ask for

    def submit(
        self,
        photo: Path,
        paintings: Sequence[Path],
        *,
        brushed: Path | None = None,
        preview: Path | None = None,
        visitor: str = "",
        **fields: Any,
    ) -> StudioJob:
        """Add a job with these fields of StudioJob; `preview` is a small JPEG of the photo.

        Raises UsageError if the visitor has too many waiting.
        """
        with self._lock:
            waiting = sum(job.status == "waiting" and job.visitor == visitor for job in self._jobs.values())
            if waiting >= MAX_WAITING_JOBS:
                raise UsageError(f"{MAX_WAITING_JOBS} of your pictures are waiting: let some be painted first.")
            if len(self._jobs) >= MAX_JOBS:
                raise UsageError(f"There are {MAX_JOBS} paintings here: remove some first.")
            self.free_space(RESERVED_BYTES)
            job = self.store.add_job(photo, paintings, visitor=visitor, **fields)
            if preview:
                shutil.copyfile(preview, self.store.job_folder(job.id) / "photo.jpg")
            if brushed:
                inputs = self.store.job_folder(job.id) / "inputs"
                shutil.copyfile(brushed, inputs / BRUSHED_NAME)
                job.masks = write_masks(read_brushed(brushed), len(paintings), inputs)
            self._jobs[job.id] = job
            self._save_change(job)
            return job

    def get_job(self, job_id: str) -> StudioJob:
        """Return a copy of a job. Raises UsageError if there is none with that ID."""
        with self._lock:
            return self._find_job(job_id).model_copy(deep=True)

    def free_space(self, needed_bytes: int) -> None:
        """Make space in the folder. Raises UsageError if there is not enough."""
        with self._lock:
            self.store.free_space(needed_bytes, self._jobs.values())

    def change_settings(self, job_id: str, changes: dict[str, Any], settings: dict[str, Any]) -> None:
        """Change settings of an unfinished job; `settings` are all those that it is then painted with."""
        with self._lock:
            job = self._find_job(job_id)
            if job.status in FINISHED:
                raise UsageError("This picture is finished: go back to an earlier state of it, or paint anew.")
            if job is self._current:
                self._send_command("change", **changes)
            else:
                job.settings = settings
                self._save_change(job)

    def pause_job(self, job_id: str) -> None:
        """Pause a job; the next one in the queue may begin."""
        with self._lock:
            job = self._find_job(job_id)
            if job is self._current:
                job.message = PAUSING
                self._send_command("pause")
            elif job.status == "waiting":
                job.status = "paused"
            self._save_change(job)

    def resume_job(self, job_id: str, snapshot: int | None = None) -> None:
        """Continue from the last snapshot, or from the given one; the present picture is saved to the gallery first."""
        with self._lock:
            job = self._find_job(job_id)
            chosen = job.get_snapshot(snapshot)
            if snapshot is not None and chosen is None:
                raise UsageError("This earlier state is gone: choose another one.")
            if job is self._current:
                if chosen:
                    job.start_snapshot = chosen.number
                    self._send_command("copy", name=job.next_copy_name)
                    self._send_command("rewind")
                    job.message = FINISHING
                    self._save_change(job)
                return
            if chosen:
                if job.kind == "painting" and "picture.png" in job.pictures:
                    self._rename_finished(job)
                job.settings = chosen.settings or job.settings
            job.start_snapshot = max((known.number for known in job.snapshots), default=None)
            if chosen:
                job.start_snapshot = chosen.number
            job.status, job.message = "waiting", ""
            self._save_change(job)

    def keep_copy(self, job_id: str) -> None:
        """Keep a copy of the picture as it is now, and continue painting."""
        with self._lock:
            job = self._find_job(job_id)
            if job is self._current and job.kind == "painting":
                self._send_command("copy", name=job.next_copy_name)

    def stop_job(self, job_id: str, *, now: bool = False) -> None:
        """Stop a job and keep its picture; `now` doesn't wait for the step's end, and keeps only the last snapshot."""
        with self._lock:
            job = self._find_job(job_id)
            if job is self._current:
                job.message = STOPPED_NOW if now else FINISHING
                self._send_command("stop")
                if now:
                    self._worker.kill()
            elif job.status in ("waiting", "paused"):
                job.status, job.message = "stopped", STOPPED_EARLY
            self._save_change(job)

    def remove_job(self, job_id: str) -> None:
        """Delete a job with its pictures. Raises UsageError while it is being painted."""
        with self._lock:
            job = self._find_job(job_id)
            if job is self._current:
                raise UsageError("This is being painted: stop it first.")
            del self._jobs[job_id]
            self.changes.forget(job_id)
            self.store.remove_job(job_id)

    def mark_changed(self, job_id: str) -> None:
        """Tell pages that something about a job has changed."""
        with self._lock:
            if job_id in self._jobs:
                self.changes.mark_changed(job_id)

    def list_changes(self, since: int) -> dict[str, Any]:
        """Return what has changed since a revision, as plain data for the page."""
        with self._lock:
            return {
                "revision": self.changes.revision,
                "ready": self.is_ready,
                "order": [job.id for job in self._sort_jobs()],
                "changed": [job.to_json() for job in self._jobs.values() if self.changes.has_changed(job.id, since)],
            }

    def begin_closing(self) -> None:
        """Pause the current job, and let those go who wait for changes."""
        with self._lock:
            self.is_closing = True
            self.changes.mark_changed()
            if self._current:
                self._send_command("pause")
            self._wake()

    def close(self) -> None:
        """Pause the current job, and end the worker.

        Waits up to SHUTDOWN_SECONDS, then kills the worker if it is still painting.
        """
        self.begin_closing()
        self._thread.join(SHUTDOWN_SECONDS)
        if self._worker.is_alive and self._current:
            self._worker.kill()

    # The worker

    def _start_worker(self) -> WorkerProcess:
        return WorkerProcess(run_studio_worker, self.store.jobs, name="impasto painter")

    def _run_loop(self) -> None:
        while True:
            with self._lock:
                if self.is_closing and not self._current:
                    self._worker.connection.close()  # which ends it
                    return
                self._start_next()
            wait([self._worker.connection, self._wake_receiver], WAIT_SECONDS)
            while self._wake_receiver.poll():
                self._wake_receiver.recv()
            events, is_alive = self._worker.receive()
            with self._lock:
                for kind, content in events:
                    self._on_event(kind, content)
            if not is_alive:
                self._on_worker_exit()

    def _on_worker_exit(self) -> None:
        """Interrupt what the worker painted, and start another worker."""
        ended = self._worker.reap()
        with self._lock:
            self._failed_starts = 0 if self.is_ready else self._failed_starts + 1
            self.is_ready = False
            if job := self._current:
                self._current = None
                if job.message == STOPPED_NOW:
                    self._interrupt(job, STOPPED_NOW)
                else:
                    self._interrupt(job, f"The painter's process {ended}, {OUT_OF_MEMORY_HINT}.", "failed")
            self.changes.mark_changed(job.id if job else None)
            is_closing = self.is_closing
        if not is_closing:
            time.sleep(min(MAX_RESTART_DELAY_SECONDS, 2**self._failed_starts) if self._failed_starts else 0)
            self._worker = self._start_worker()

    def _start_next(self) -> None:
        """Give the worker the oldest waiting job."""
        waiting = [job for job in self._jobs.values() if job.status == "waiting"]
        if not waiting or self._current or not self.is_ready or self.is_closing:
            return
        job = self._current = min(waiting, key=lambda job: job.created)
        job.status, job.message, job.notes = "painting", "", []
        self._worker.send(("paint", job.model_dump()))
        self._save_change(job)

    def _on_event(self, kind: str, content: dict[str, Any]) -> None:
        self.is_ready = self.is_ready or kind == "ready"
        job, now = self._current, time.monotonic()
        if job is None:
            self.changes.mark_changed()
            return
        if kind != "step" or now - self._last_step_update > STEP_UPDATE_SECONDS:
            self._last_step_update = now
            self.changes.mark_changed(job.id)
        apply_event(job, kind, content)
        if kind == "ended":
            self._on_job_end(job, **content)
        if kind in PERSISTED_EVENTS:
            self._write_job(job)

    def _on_job_end(self, job: StudioJob, status: JobStatus | None, message: str) -> None:
        """Record how the current job ended; None: it is to go on from an earlier snapshot."""
        self._current = None
        job.message = message
        if status is None:
            job.status = "waiting"
            if snapshot := job.get_snapshot(job.start_snapshot):
                job.settings = snapshot.settings
            return
        job.status, job.start_snapshot = status, None
        if status == "paused" and self.is_closing:
            self._interrupt(job, STUDIO_CLOSED)

    def _interrupt(self, job: StudioJob, message: str, status: JobStatus = "stopped") -> None:
        job.status = status
        job.message = f"{message} {GO_ON}" if job.snapshots else message
        self._write_job(job)

    def _rename_finished(self, job: StudioJob) -> None:
        """Keep the finished picture under another name, before it is painted anew."""
        name, folder = job.next_copy_name, self.store.job_folder(job.id)
        with suppress(OSError):
            (folder / "picture.png").replace(folder / name)
            job.pictures.remove("picture.png")
            job.add_picture(name)

    def _send_command(self, kind: str, **content: Any) -> None:
        self._worker.send((kind, content))

    def _wake(self) -> None:
        """Wake the loop, from any thread."""
        with suppress(OSError):
            self._wake_sender.send(None)

    def _save_change(self, job: StudioJob) -> None:
        self.changes.mark_changed(job.id)
        self._write_job(job)
        self._wake()

    def _write_job(self, job: StudioJob) -> None:
        """Write a job's file; if the disk refuses, continue with a note."""
        try:
            self.store.write_job(job)
        except (ImpastoError, OSError):
            if WRITE_FAILED not in job.notes:
                job.notes = [*job.notes, WRITE_FAILED]

    def _sort_jobs(self) -> list[StudioJob]:
        def key(job: StudioJob) -> tuple[int, float]:
            return STATUS_ORDER.get(job.status, 3), job.created if job.status == "waiting" else -job.created

        return sorted(self._jobs.values(), key=key)

    def _find_job(self, job_id: str) -> StudioJob:
        job = self._jobs.get(job_id) if isinstance(job_id, str) else None
        if job is None:
            raise UsageError(UNKNOWN_JOB)
        return job
