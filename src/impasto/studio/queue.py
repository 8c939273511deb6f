"""The workshop: commissions in a queue, one painted at a time by a process of its own, which may die without harm."""

import shutil
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from impasto.errors import ImpastoError, UsageError
from impasto.studio.mask_editor import read_brushed, write_masks
from impasto.studio.plan_requests import PlanRequests
from impasto.studio.process import WorkerProcess
from impasto.studio.store import FINISHED, JobStatus, JobStore, StudioJob, describe
from impasto.studio.updates import PERSISTED_EVENTS, ChangeTracker, apply_event

BRUSHED_NAME = "brush.png"  # what was brushed, among a commission's inputs
MAX_WAITING_JOBS = 20  # commissions of one visitor
MAX_JOBS = 500
JOB_RESERVE_BYTES = 100_000_000  # bytes of the folder that must be free before another one is taken in
STEP_UPDATE_SECONDS = 1.0  # seconds between two steps that are told; previews and ends are told at once
STOPPED_NOW = "Stopped in the middle of a step."
SAVE_FAILED = "How this picture stands could not be written down: is the disk full?"
SHUTDOWN_SECONDS = 20.0  # seconds that the painter has to end in order


class JobQueue:
    """Takes commissions in, has them painted one after the other, and knows how each of them stands.

    `revision` grows with whatever changes; all methods may be called from any thread.
    """

    def __init__(self, store: JobStore, *, threads: int | None = None) -> None:
        self.store = store
        self._changes = ChangeTracker()
        self._last_step_update = 0.0
        self._plan_requests = PlanRequests()
        self.is_ready = False
        self.is_closing = False  # is the studio being closed?
        self._failures = 0  # times in a row that the painter's process ended before it could paint
        self._lock = threading.RLock()
        self._jobs = {it.identity: it for it in store.read_jobs()}
        for it in self._jobs.values():
            if it.stage == "painting":
                self._set_aside(it, "The studio was closed while this was painted.")
        self._commands: list[tuple[str, dict[str, Any]]] = []
        self._is_shutting_down = False
        self._current: StudioJob | None = None
        self._process = WorkerProcess(store.paintings, threads)
        self._thread = threading.Thread(target=self._run_loop, name="impasto foreman", daemon=True)
        self._thread.start()

    @property
    def revision(self) -> int:
        """How many changes there were."""
        return self._changes.number

    # What visitors ask for

    def submit(
        self,
        photo: Path,
        paintings: Sequence[Path],
        settings: dict[str, Any],
        *,
        cells: Sequence[dict[str, str]] = (),
        brushed: Path | None = None,
        names: Sequence[str] | None = None,
        visitor: str = "",
        plan: str = "",
        film: bool = False,
    ) -> StudioJob:
        """Put a picture, a sheet or a film into the queue; raises UsageError where the visitor has too many there."""
        with self._lock:
            waiting = [it for it in self._jobs.values() if it.stage == "waiting" and it.visitor == visitor]
            if len(waiting) >= MAX_WAITING_JOBS:
                raise UsageError(f"{MAX_WAITING_JOBS} of your pictures are waiting: let some be painted first.")
            if len(self._jobs) >= MAX_JOBS:
                raise UsageError(f"There are {MAX_JOBS} paintings here: remove some first.")
            self.store.free_space(JOB_RESERVE_BYTES, self._jobs.values())
            commission = self.store.add_job(
                photo,
                paintings,
                names,
                kind="sheet" if cells else "film" if film else "painting",
                settings=settings,
                cells=list(cells),
                visitor=visitor,
                plan=plan,
            )
            if brushed:
                inputs = self.store.job_folder(commission.identity) / "inputs"
                shutil.copyfile(brushed, inputs / BRUSHED_NAME)
                commission.masks = write_masks(read_brushed(brushed), len(paintings), inputs)
            self._jobs[commission.identity] = commission
            self._save_change(commission)
            return commission

    def get_job(self, identity: str) -> StudioJob:
        """Return a copy of a commission; raises UsageError where there is none of that name."""
        with self._lock:
            return self._find_job(identity).model_copy(deep=True)

    def get_jobs(self) -> list[StudioJob]:
        """Return copies of all, those in work first, then the newest first."""
        with self._lock:
            return [it.model_copy(deep=True) for it in self._sorted()]

    def change_settings(self, identity: str, changes: dict[str, Any], settings: dict[str, Any]) -> None:
        """Change settings of a commission, while it is painted or before; `settings` are those that it has then."""
        with self._lock:
            it = self._find_job(identity)
            if it.stage in FINISHED:
                raise UsageError("This picture is finished: go back to an earlier state of it, or paint anew.")
            if it is self._current:
                self._send_command("steer", changes)
            else:
                it.settings = settings
                self._save_change(it)

    def pause_job(self, identity: str) -> None:
        """Set a painting aside; the next one in the queue may begin."""
        with self._lock:
            it = self._find_job(identity)
            if it is self._current:
                self._send_command("pause", {})
            elif it.stage == "waiting":
                it.stage = "paused"
                self._save_change(it)

    def resume_job(self, identity: str, state: int | None = None) -> None:
        """Go on from the last state, or from the one with the number `state`; what has been painted is kept."""
        with self._lock:
            it = self._find_job(identity)
            numbers = [known.number for known in it.states]
            if state is not None and state not in numbers:
                raise UsageError("This earlier state is gone: choose another one.")
            if it is self._current:
                if state is None:
                    return
                it.begin = state
                self._request_copy(it)
                self._send_command("back", {})
                return
            if it.kind == "painting" and state is not None and "picture.png" in it.pictures:
                self._rename_finished(it)
            it.begin = state if state is not None else max(numbers, default=None)
            if state is not None:
                it.settings = next(known.settings for known in it.states if known.number == state) or it.settings
            it.stage, it.message = "waiting", ""
            self._save_change(it)

    def save_copy(self, identity: str) -> None:
        """Keep the picture as it is now, and go on painting."""
        with self._lock:
            it = self._find_job(identity)
            if it is self._current and it.kind == "painting":
                self._request_copy(it)

    def stop_job(self, identity: str, *, now: bool = False) -> None:
        """End a painting and keep its picture; `now` doesn't wait for the step, and keeps the last state alone."""
        with self._lock:
            it = self._find_job(identity)
            if it is self._current:
                it.message = STOPPED_NOW if now else "Finishing this step …"
                self._send_command("stop", {})
                if now:
                    self._process.kill()
            elif it.stage in ("waiting", "paused"):
                it.stage, it.message = "stopped", "Stopped before it was finished."
            self._save_change(it)

    def remove_job(self, identity: str) -> None:
        """Remove a commission with its pictures; one that is being painted has to be stopped first."""
        with self._lock:
            it = self._find_job(identity)
            if it is self._current:
                raise UsageError("This is being painted: stop it first.")
            del self._jobs[identity]
            self._changes.forget(identity)
            self.store.remove_job(identity)

    def mark_changed(self, identity: str) -> None:
        """Say that something about a commission has changed."""
        with self._lock:
            if identity in self._jobs:
                self._changes.mark_changed(identity)

    def list_changes(self, since: int) -> dict[str, Any]:
        """Return what has changed since a revision, as plain data for the page."""
        with self._lock:
            changed = [describe(it) for it in self._jobs.values() if self._changes.has_changed(it.identity, since)]
            return {
                "session": self._changes.session,
                "revision": self.revision,
                "ready": self.is_ready,
                "order": [it.identity for it in self._sorted()],
                "changed": changed,
            }

    def plan_painting(self, photo: Path, paintings: Sequence[Path], settings: dict[str, Any]) -> str:
        """Have the painter say what a painting takes; raises UsageError where it can't be painted so."""
        wanted = {"photo": str(photo), "paintings": [str(path) for path in paintings], "settings": settings}

        def send(number: int) -> None:
            with self._lock:
                self._send_command("plan", {"number": number, **wanted})

        return self._plan_requests.request_plan(send)

    def close(self) -> None:
        """Set aside what is being painted, and end the painter's process."""
        with self._lock:
            self._is_shutting_down = True
            if self._current:
                self._send_command("pause", {})
            self._process.wake()
        self._thread.join(SHUTDOWN_SECONDS)
        if self._process.is_alive() and self._current:
            self._process.kill()

    # The painter's process

    def _run_loop(self) -> None:
        while True:
            with self._lock:
                if self._is_shutting_down and not self._current:
                    self._process.shut_down()
                    return
                self._start_next()
                orders, self._commands = self._commands, []
                for order in orders:
                    self._process.send(order)
            messages, alive = self._process.poll()
            with self._lock:
                for kind, content in messages:
                    self._on_event(kind, content)
            if not alive:
                self._on_process_exit()

    def _on_process_exit(self) -> None:
        """The painter's process is gone: what it painted is set aside, and another one takes its place."""
        code = self._process.reap()
        self._plan_requests.fail_all("The painter's process ended, perhaps for lack of memory: ask again.")
        with self._lock:
            self._failures = 0 if self.is_ready else self._failures + 1
            self.is_ready = False
            if it := self._current:
                self._current = None
                asked = it.message == STOPPED_NOW
                said = (
                    STOPPED_NOW if asked else f"The painter's process ended (code {code}), perhaps for lack of memory."
                )
                self._set_aside(it, said, "stopped" if asked else "failed")
            self._changes.mark_changed(it.identity if it else None)
            closing = self._is_shutting_down
        if not closing:
            time.sleep(min(30, 2**self._failures) if self._failures else 0)
            self._process.start()

    def _write_job(self, it: StudioJob) -> None:
        """Write a commission down; where the disk refuses, the studio goes on, and says so."""
        try:
            self.store.write_job(it)
        except (ImpastoError, OSError):
            if SAVE_FAILED not in it.notes:
                it.notes = [*it.notes, SAVE_FAILED]

    def _set_aside(self, it: StudioJob, message: str, stage: JobStatus = "stopped") -> None:
        it.stage = stage
        it.message = message + (" Go on from its last state." if it.states else "")
        self._write_job(it)

    def _start_next(self) -> None:
        """Give the painter the oldest commission that waits."""
        if self._current or not self.is_ready or self._is_shutting_down:
            return
        waiting = [it for it in self._jobs.values() if it.stage == "waiting"]
        if not waiting:
            return
        it = min(waiting, key=lambda it: it.made)
        self._current = it
        it.stage, it.message, it.notes = "painting", "", []
        self._commands = [("paint", it.model_dump()), *(order for order in self._commands if order[0] == "plan")]
        self._save_change(it)

    def _on_event(self, kind: str, content: dict[str, Any]) -> None:
        if kind == "ready":
            self.is_ready = True
        elif kind == "planned":
            self._plan_requests.set_answer(**content)
            return
        it = self._current
        if it is None:
            self._changes.mark_changed()
            return
        now = time.monotonic()
        if kind not in ("step", "cell") or now - self._last_step_update > STEP_UPDATE_SECONDS:
            self._last_step_update = now
            self._changes.mark_changed(it.identity)
        apply_event(it, kind, content)
        if kind == "ended":
            self._on_job_end(it, content["stage"], content["message"])
        if kind in PERSISTED_EVENTS:
            self._write_job(it)

    def _on_job_end(self, it: StudioJob, stage: JobStatus | str, message: str) -> None:
        self._current = None
        it.message = message
        if stage == "back":
            it.stage = "waiting"
            it.settings = next((known.settings for known in it.states if known.number == it.begin), it.settings)
            return
        it.stage = stage  # type: ignore[assignment]
        it.begin = None
        if stage == "paused" and self._is_shutting_down:
            self._set_aside(it, "The studio was closed while this was painted.")

    def _sorted(self) -> list[StudioJob]:
        order = {"painting": 0, "paused": 1, "waiting": 2}
        return sorted(
            self._jobs.values(),
            key=lambda it: (order.get(it.stage, 3), it.made if it.stage == "waiting" else -it.made),
        )

    def _find_job(self, identity: str) -> StudioJob:
        it = self._jobs.get(identity) if isinstance(identity, str) else None
        if it is None:
            raise UsageError("There is no such painting here.")
        return it

    def _request_copy(self, it: StudioJob) -> None:
        self._send_command("keep", {"number": _next_copy_number(it)})

    def _rename_finished(self, it: StudioJob) -> None:
        """The finished picture gets a name of its own, before another one is painted in its place."""
        name = f"kept-{_next_copy_number(it)}.png"
        folder = self.store.job_folder(it.identity)
        with suppress(OSError):
            (folder / "picture.png").replace(folder / name)
            it.pictures = [*(known for known in it.pictures if known != "picture.png"), name]

    def _send_command(self, kind: str, content: dict[str, Any]) -> None:
        if kind == "steer" and self._commands and self._commands[-1][0] == "steer":
            self._commands[-1][1].update(content)
        else:
            self._commands.append((kind, dict(content)))
        self._process.wake()

    def _save_change(self, it: StudioJob) -> None:
        self._changes.mark_changed(it.identity)
        self._write_job(it)
        self._process.wake()


def _next_copy_number(it: StudioJob) -> int:
    return 1 + sum(name.startswith("kept-") for name in it.pictures)
