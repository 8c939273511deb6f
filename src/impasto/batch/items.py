"""A picture of a batch: its job, its status, and what it became."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from impasto.images.formats import DEFAULT_QUALITY
from impasto.runs.job import Job
from impasto.settings.model import Settings
from impasto.terminal.console import format_flags
from impasto.workers.messages import Event, TaskFailed, TaskFinished, TaskResult, WorkerLost

Status = Literal["waiting", "painted", "kept", "failed"]


@dataclass
class BatchItem:
    """One picture of a batch.

    `job.output` is set when the item is resolved; before, `name` is the name below the output folder that a job list
    gives, or "". `source` is its place in the job list, and `label` its name, for messages. `key` identifies the
    picture in every run of the batch, and `digests` has the sha256 of each file that it is painted from.
    """

    job: Job
    name: str = ""
    source: str = ""
    label: str = ""
    status: Status = "waiting"
    reason: str = ""
    result: TaskResult = field(default_factory=TaskResult)
    worker: str = ""
    attempts: int = 0
    key: str = ""
    digests: Mapping[Path, str] = field(default_factory=dict)

    @property
    def photo(self) -> Path:
        """The photo, which every picture of a batch has."""
        assert self.job.photo
        return self.job.photo

    @cached_property
    def given_settings(self) -> dict[str, Any]:
        """The settings that the user gave, as JSON values."""
        settings = self.job.settings
        return settings.model_dump(mode="json", include=settings.model_fields_set)

    def record(self, event: Event) -> None:
        """Change the status as an event says."""
        match event:
            case TaskFinished():
                self.status, self.result, self.worker = "painted", event.result, event.worker
                self.attempts += 1
            case TaskFailed():
                self.fail(event.reason)
            case WorkerLost():
                self.attempts += 1

    def fail(self, reason: str) -> None:
        """Record that the picture can't be painted. Settings in backticks are named as on the command line."""
        self.status, self.reason = "failed", format_flags(reason)


def make_item(
    photo: Path,
    paintings: tuple[Path, ...],
    settings: Settings,
    *,
    bits: Literal[8, 16] = 8,
    quality: int = DEFAULT_QUALITY,
    name: str = "",
    source: str = "",
) -> BatchItem:
    """Make an item of absolute paths and settings. The batch keeps its own checkpoints, so the job has none."""
    job = Job(
        photo=photo,
        paintings=paintings,
        output=Path(name),
        settings=settings,
        bits=bits,
        quality=quality,
        checkpoint="none",
    )
    return BatchItem(job, name, source)
