"""What the painter tells of a commission, taken down; and what has changed since a visitor last asked."""

import secrets
from typing import Any

from impasto.studio.store import JobProgress, Snapshot, StudioJob

PERSISTED_EVENTS = ("states", "settings", "plan", "picture", "ended")  # worth writing the commission down for
MAX_NOTES = 5


class ChangeTracker:
    """Counts changes, and remembers when each commission last changed; `session` says which studio counts."""

    def __init__(self) -> None:
        self.session = secrets.token_hex(8)
        self.number = 1
        self._last: dict[str, int] = {}

    def mark_changed(self, identity: str | None = None) -> None:
        """Count a change, of a commission or of the studio."""
        self.number += 1
        if identity is not None:
            self._last[identity] = self.number

    def forget(self, identity: str) -> None:
        """A commission is gone."""
        self._last.pop(identity, None)
        self.number += 1

    def has_changed(self, identity: str, since: int) -> bool:
        """Has a commission changed since then? All have for who asks for the first time."""
        return since <= 0 or since > self.number or self._last.get(identity, 0) > since


def apply_event(it: StudioJob, kind: str, content: dict[str, Any]) -> None:
    """Take down what the painter tells; of kinds that say nothing of how it stands, nothing."""
    if kind == "step":
        it.add_point(content["step"], content.pop("losses"))
        it.progress = it.progress.model_copy(update=content)
    elif kind == "cell":
        done = len(it.pictures) + content["step"] / content["total"]
        it.progress = JobProgress(step=content["number"], total=len(it.cells), seconds=done)
    elif kind == "preview":
        it.progress.version = content["version"]
    elif kind == "states":
        it.states = [Snapshot.model_validate(state) for state in content["states"]]
    elif kind == "settings":
        it.settings = content["settings"]
    elif kind == "plan":
        it.plan = content["text"]
    elif kind == "note":
        it.notes = [*it.notes, content["text"]][-MAX_NOTES:]
    elif kind == "picture":
        it.pictures = [*(name for name in it.pictures if name != content["name"]), content["name"]]
