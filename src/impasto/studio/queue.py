"""The queue: jobs painted one at a time by a worker process, which is replaced if it dies."""

import multiprocessing
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from impasto.errors import ImpastoError, UsageError
from impasto.studio.job_runner import run_studio_worker
from impasto.studio.store import FINISHED, UNKNOWN_JOB, JobStatus, JobStore, StudioJob
from impasto.workers.processes import WorkerProcess

MAX_WAITING_JOBS = 20  # of one visitor
MAX_JOBS = 500
RESERVED_BYTES = 100_000_000  # that the folder needs for another job
SHUTDOWN_SECONDS = 20.0
WAIT_SECONDS = 5.0
MAX_RESTART_DELAY_SECONDS = 30
# Each sentence has its translations in words.json.
STOPPED_NOW = "Stopped in the middle of a step."
STOPPED_EARLY = "Stopped before it was finished."
PAUSING = "Pausing after this step …"
FINISHING = "Finishing this step …"
GO_ON = "Go on from its last state."
WORKER_ENDED = "The painter's process {how}, perhaps for lack of memory."
NOT_READY = "The painter's process {how} before it could paint. It is started again …"
STUDIO_CLOSED = "The studio was closed while this was painted."
WRITE_FAILED = "How this picture stands could not be written down: is the disk full?"
STATUS_ORDER = {"painting": 0, "paused": 1, "waiting": 2}


class JobQueue:
    """Takes jobs, has them painted one after the other, and knows the state of each.

    `revision` counts what changes; `listeners` are called then, and must be quick. All methods may be called from any
    thread.
    """

    def __init__(self, store: JobStore) -> None:
        self.store = store
        self.is_ready: bool = False  # whether the worker can paint
        self.fault: str = ""  # why it can't
        self.is_closing: bool = False
        self.revision: int = 1
        self.listeners: set[Callable[[], None]] = set()
        self._lock = threading.RLock()
        self._jobs = {job.id: job for job in store.read_jobs()}
        for job in self._jobs.values():
            if job.status == "painting":
                self._interrupt(job, STUDIO_CLOSED)
        self._current: StudioJob | None = None
        self._wanted_end: JobStatus | None = None  # which the current job is to have once it is interrupted
        self._worker: WorkerProcess | None = None
        self._failed_starts = 0  # in a row; the present one counts until it is ready
        self._wake_receiver, self._wake_sender = multiprocessing.Pipe(duplex=False)
        self._thread = threading.Thread(target=self._run_loop, name="impasto studio queue", daemon=True)
        self._thread.start()

    @property
    def is_painting(self) -> bool:
        """Whether something is being painted."""
        return self._current is not None

    # What visitors ask for

    def submit(self, photo: Path, paintings: Sequence[Path], *, visitor: str = "", **fields: Any) -> StudioJob:
        """Add a job with these fields, as `JobStore.add_job` takes them.

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
        with self._lock:
            self._jobs[job.id] = job
            self._mark_changed(job)
        return job

    def get_job(self, job_id: str) -> StudioJob:
        """Return a copy of a job. Raises UsageError if there is none with that ID."""
        with self._lock:
            return self._find_job(job_id).model_copy(deep=True)

    def free_space(self, needed_bytes: int) -> None:
        """Make space in the folder. Raises UsageError if there is not enough."""
        if (excess := self.store.free_uploads(needed_bytes)) > 0:
            with self._lock:
                self.store.drop_snapshots(excess, self._jobs.values())

    def change_settings(self, job_id: str, changes: dict[str, Any], settings: dict[str, Any]) -> None:
        """Change settings of an unfinished job; `settings` are all those that it is then painted with."""
        with self._lock:
            job = self._find_job(job_id)
            if job.status in FINISHED:
                raise UsageError("This picture is finished: go back to an earlier state of it, or paint anew.")
            if job is self._current:
                self._send("change", changes)
            else:
                job.settings = settings
                self._save_change(job)

    def pause_job(self, job_id: str) -> None:
        """Pause a job; the next one in the queue may begin."""
        with self._lock:
            job = self._find_job(job_id)
            if job is self._current and self._wanted_end != "stopped":
                self._end_current(job, "paused", PAUSING)
            elif job.status == "waiting":
                job.status = "paused"
            self._save_change(job)

    def resume_job(self, job_id: str, snapshot: int | None = None) -> None:
        """Go on with a job from its newest snapshot, or back to the given one.

        The picture that there is now is kept, unless it is what the job goes on with.
        """
        with self._lock:
            job = self._find_job(job_id)
            chosen = job.get_snapshot(snapshot)
            if snapshot is not None and chosen is None:
                raise UsageError("This earlier state is gone: choose another one.")
            job.start_snapshot = snapshot or job.start_snapshot
            if job is not self._current:
                self._put_back(job)
            elif chosen:
                self._send("copy")
                self._end_current(job, "waiting", FINISHING)
            elif job.start_snapshot is None and self._wanted_end:
                self._end_current(job, None, "")
            self._save_change(job)

    def keep_copy(self, job_id: str) -> None:
        """Keep a copy of the picture as it is now, and continue painting."""
        with self._lock:
            if self._find_job(job_id) is self._current:
                self._send("copy")

    def stop_job(self, job_id: str, *, now: bool = False) -> None:
        """Stop a job and keep its picture; `now` doesn't wait for the step's end, and keeps only the last snapshot."""
        with self._lock:
            job = self._find_job(job_id)
            job.start_snapshot = None
            if job is self._current:
                self._end_current(job, "stopped", STOPPED_NOW if now else FINISHING)
                if now and self._worker:
                    self.is_ready = False  # or it would be given the next job
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
            self._mark_changed()
            self.store.remove_job(job_id)

    def list_changes(self, since: int) -> dict[str, Any]:
        """Return what has changed since a revision, since 0 all, as plain data for the page."""
        with self._lock:
            return {
                "revision": self.revision,
                "ready": self.is_ready,
                "fault": self.fault,
                "order": [job.id for job in self._sort_jobs()],
                "changed": [job.to_json() for job in self._jobs.values() if since == 0 or job.revision > since],
            }

    def begin_closing(self) -> None:
        """Pause the current job, and let those go who wait for changes."""
        with self._lock:
            self.is_closing = True
            if self._current and not self._wanted_end:
                self._send("end", {"status": "paused", "spared": None})
            self._mark_changed()

    def close(self) -> None:
        """Pause the current job, and end the worker.

        Waits up to SHUTDOWN_SECONDS, then kills the worker if it is still painting.
        """
        self.begin_closing()
        self._thread.join(SHUTDOWN_SECONDS)
        if self._worker and self._current:
            self._worker.kill()

    # The worker

    def _run_loop(self) -> None:
        while self._current or not self.is_closing:
            try:
                self._serve_worker()
            except Exception as error:  # it can't be started, or sends what can't be read: another one may do
                traceback.print_exc()
                self._replace_worker(f"failed ({error})")
        if self._worker:
            self._worker.connection.close()  # which ends it

    def _serve_worker(self) -> None:
        """Give the worker what is to be painted, wait for what it sends, and take that in."""
        if self._worker is None:
            self._failed_starts += 1
            self._worker = WorkerProcess(run_studio_worker, self.store.jobs, name="impasto painter")
        with self._lock:
            self._start_next()
        wait([self._worker.connection, self._wake_receiver], WAIT_SECONDS)
        while self._wake_receiver.poll():
            self._wake_receiver.recv()
        messages, is_alive = self._worker.receive()
        with self._lock:
            for kind, content in messages:
                self._on_message(kind, content)
        if not is_alive:
            self._replace_worker()

    def _replace_worker(self, how: str = "") -> None:
        """Interrupt what the worker painted, and clear the worker away; the loop starts another one."""
        worker, self._worker = self._worker, None
        how = worker.reap() if worker else how
        with self._lock:
            job, self._current = self._current, None
            self.is_ready = False
            self.fault = NOT_READY.format(how=how) if self._failed_starts else ""
            if job and job.message == STOPPED_NOW:
                self._interrupt(job, STOPPED_NOW)
            elif job:
                self._interrupt(job, WORKER_ENDED.format(how=how), "failed")
            self._mark_changed(job)
        if self._failed_starts and not self.is_closing:
            self._wake_receiver.poll(min(MAX_RESTART_DELAY_SECONDS, 2**self._failed_starts))

    def _start_next(self) -> None:
        """Give the worker the oldest waiting job."""
        waiting = [job for job in self._jobs.values() if job.status == "waiting"]
        if not waiting or self._current or not self.is_ready or self.is_closing:
            return
        job = self._current = min(waiting, key=lambda job: job.created)
        job.status, job.message, job.notes = "painting", "", []
        self._send("paint", {"job": job})
        self._wanted_end = job.start_snapshot = None
        self._save_change(job)

    def _on_message(self, kind: str, content: dict[str, Any]) -> None:
        job = self._current
        if kind == "ready":
            self.is_ready, self.fault, self._failed_starts = True, "", 0
        elif job and kind == "changed":
            for name, value in content.items():
                setattr(job, name, value)
            if content.keys() != {"progress"}:
                self._write_job(job)
        elif job and kind == "ended":
            self._on_job_end(job, **content)
        self._mark_changed(job)

    def _on_job_end(self, job: StudioJob, status: JobStatus, message: str) -> None:
        """Record how the current job ended: if it was interrupted, as visitors want it by now."""
        self._current = None
        job.status, job.message = status, message
        is_closed = self.is_closing and not self._wanted_end
        if status in ("paused", "stopped"):
            job.status = self._wanted_end or "waiting"
        if job.status == "waiting" or (status == "done" and self._wanted_end == "waiting"):
            self._put_back(job)
        if job.status == "stopped" and status == "paused":
            job.message = STOPPED_EARLY
        if is_closed and job.status == "waiting":
            self._interrupt(job, STUDIO_CLOSED)
        self._write_job(job)

    def _put_back(self, job: StudioJob) -> None:
        """Put a job into the queue, with the settings of the snapshot to which it goes back."""
        snapshot = job.get_snapshot(job.start_snapshot)
        if "picture.png" in job.pictures and (snapshot or not job.snapshots):
            name, folder = job.next_copy_name, self.store.job_folder(job.id)
            with suppress(OSError):
                (folder / "picture.png").replace(folder / name)
                job.pictures.remove("picture.png")
                job.add_picture(name)
        if snapshot:
            job.settings = snapshot.settings or job.settings
        job.status, job.message = "waiting", ""

    def _end_current(self, job: StudioJob, status: JobStatus | None, message: str) -> None:
        """Have the worker end the current job, which has this status then; None: it goes on after all."""
        self._wanted_end, job.message = status, message
        self._send("end", {"status": status, "spared": job.start_snapshot})

    def _interrupt(self, job: StudioJob, message: str, status: JobStatus = "stopped") -> None:
        job.status = status
        job.message = f"{message} {GO_ON}" if job.snapshots else message
        self._write_job(job)

    def _send(self, kind: str, content: dict[str, Any] | None = None) -> None:
        if self._worker:
            self._worker.send((kind, content or {}))

    def _mark_changed(self, job: StudioJob | None = None) -> None:
        """Count a change, of a job or of the studio, and tell the loop and the pages."""
        self.revision += 1
        if job:
            job.revision = self.revision
        for listener in list(self.listeners):
            listener()
        with suppress(OSError):
            self._wake_sender.send(None)

    def _save_change(self, job: StudioJob) -> None:
        self._write_job(job)
        self._mark_changed(job)

    def _write_job(self, job: StudioJob) -> None:
        """Write a job's file; if the disk refuses, continue with a note."""
        try:
            self.store.write_job(job)
        except (ImpastoError, OSError):
            job.add_note(WRITE_FAILED)

    def _sort_jobs(self) -> list[StudioJob]:
        def key(job: StudioJob) -> tuple[int, float]:
            return STATUS_ORDER.get(job.status, 3), job.created if job.status == "waiting" else -job.created

        return sorted(self._jobs.values(), key=key)

    def _find_job(self, job_id: str) -> StudioJob:
        if job_id not in self._jobs:
            raise UsageError(UNKNOWN_JOB)
        return self._jobs[job_id]
