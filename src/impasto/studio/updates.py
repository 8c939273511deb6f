"""Changes of jobs: events of the worker applied to them, and what a page has not seen."""

from collections.abc import Callable
from typing import Any

from impasto.studio.store import Snapshot, StudioJob

PERSISTED_EVENTS = ("snapshots", "settings", "plan", "picture", "ended")  # after these the job's file is written
MAX_NOTES = 5


class ChangeTracker:
    """Counts changes, remembers each job's last one, and calls its listeners, which must be quick, at each."""

    def __init__(self) -> None:
        self.revision: int = 1
        self.listeners: set[Callable[[], None]] = set()
        self._last: dict[str, int] = {}

    def mark_changed(self, job_id: str | None = None) -> None:
        """Count a change of a job, or of the studio."""
        self.revision += 1
        if job_id is not None:
            self._last[job_id] = self.revision
        for listener in list(self.listeners):
            listener()

    def forget(self, job_id: str) -> None:
        """Count the removal of a job."""
        self._last.pop(job_id, None)
        self.mark_changed()

    def has_changed(self, job_id: str, since: int) -> bool:
        """Whether a job has changed since a revision; since 0 all have."""
        return since == 0 or self._last.get(job_id, 0) > since


def apply_event(job: StudioJob, kind: str, content: dict[str, Any]) -> None:
    """Update a job by an event of the worker; kinds that say nothing about the job are ignored."""
    if kind == "step":
        job.add_point(content["step"], content.pop("losses"))
        job.progress = job.progress.model_copy(update=content)
    elif kind == "preview":
        job.progress.version = content["version"]
    elif kind == "snapshots":
        job.snapshots = [Snapshot.model_validate(snapshot) for snapshot in content["snapshots"]]
    elif kind == "settings":
        job.settings = content["settings"]
    elif kind == "plan":
        job.plan = content["text"]
    elif kind == "note":
        job.notes = [*job.notes, content["text"]][-MAX_NOTES:]
    elif kind == "picture":
        job.add_picture(content["name"])
