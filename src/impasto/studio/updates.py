"""Changes of jobs: events of the worker applied to them, and what a page has not seen."""

import secrets
from typing import Any

from impasto.studio.store import JobProgress, Snapshot, StudioJob

PERSISTED_EVENTS = ("snapshots", "settings", "plan", "picture", "ended")  # after these the job's file is written
MAX_NOTES = 5


class ChangeTracker:
    """Counts changes and remembers each job's last one. A new `session` tells pages that the count began again."""

    def __init__(self) -> None:
        self.session = secrets.token_hex(8)
        self.revision = 1
        self._last: dict[str, int] = {}

    def mark_changed(self, job_id: str | None = None) -> None:
        """Count a change of a job, or of the studio."""
        self.revision += 1
        if job_id is not None:
            self._last[job_id] = self.revision

    def forget(self, job_id: str) -> None:
        """Count the removal of a job."""
        self._last.pop(job_id, None)
        self.revision += 1

    def has_changed(self, job_id: str, since: int) -> bool:
        """Whether a job has changed since a revision; at a page's first request all have."""
        return since <= 0 or since > self.revision or self._last.get(job_id, 0) > since


def apply_event(job: StudioJob, kind: str, content: dict[str, Any]) -> None:
    """Update a job by an event of the worker; kinds that say nothing about the job are ignored."""
    if kind == "step":
        job.add_point(content["step"], content.pop("losses"))
        job.progress = job.progress.model_copy(update=content)
    elif kind == "cell":
        number, cells = content["number"], len(job.cells)
        job.progress = JobProgress(step=number, total=cells, share=(number - 1 + content["share"]) / cells)
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
