"""What the scheduler and the workers send each other: tasks and events, as plain data that can be pickled."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from impasto.runs.job import Job
    from impasto.settings.model import Settings


@dataclass(frozen=True)
class FilmShot:
    """The frames of a film from `first`, counted from 0, up to `end`, which is not one of them."""

    folder: Path
    first: int
    end: int
    settings: "Settings"


@dataclass(frozen=True)
class Task:
    """A picture or a film's shot to paint, with all that a worker needs to know.

    It may use `memory_bytes` and `threads`. If `memory_limit` is given, the worker plans the picture to keep below it.
    The state is saved to `checkpoint` every `checkpoint_every` seconds; 0: only when the task is stopped. Progress is
    reported every `progress_every` seconds. `digests` has the sha256 of each file that is read.
    `shared_folder_marker` is a file next to the outputs: a worker that sees it can write there. `is_retry`: a worker
    was lost while it painted this, perhaps after it wrote the picture.
    """

    number: int
    job: "Job | FilmShot"
    memory_bytes: int
    threads: int
    checkpoint: Path
    digests: Mapping[Path, str]
    shared_folder_marker: Path
    checkpoint_every: float = 0.0
    memory_limit: int | None = None
    progress_every: float = 0.5
    is_retry: bool = False


@dataclass(frozen=True)
class TaskResult:
    """What a finished picture looks like and took; `resumed_at` is the step of the checkpoint it started from, or 0."""

    width: int = 0
    height: int = 0
    losses: Mapping[str, float] = field(default_factory=dict)
    seconds: float | None = None
    resumed_at: int | None = None


@dataclass(frozen=True)
class Event:
    """What happened to the task of that number; `worker` is the name of the worker that reports it."""

    number: int
    worker: str = ""


@dataclass(frozen=True)
class WorkerReady(Event):
    """The worker has started and can take a task."""


@dataclass(frozen=True)
class TaskProgress(Event):
    """The task is painted to this share, 0 to 1."""

    progress: float = 0.0


@dataclass(frozen=True)
class TaskFinished(Event):
    """The task is finished. Its picture is written, or `data` has the bytes of the file."""

    result: TaskResult = TaskResult()
    notes: tuple[str, ...] = ()
    data: bytes = b""


@dataclass(frozen=True)
class CheckpointSaved(Event):
    """A checkpoint was written; `data` has its bytes if the worker can't write to the task's folder."""

    data: bytes = b""


@dataclass(frozen=True)
class FilesMissing(Event):
    """The worker does not have these files."""

    paths: tuple[Path, ...] = ()


@dataclass(frozen=True)
class TaskFailed(Event):
    """The task can't be painted, for a reason that another attempt would not change."""

    reason: str = ""


@dataclass(frozen=True)
class TaskStopped(Event):
    """The task was stopped on request."""


@dataclass(frozen=True)
class WorkerLost(Event):
    """The worker is gone. `node_failure`: its whole machine is gone, so the task is not to blame."""

    reason: str = ""
    node_failure: bool = False
