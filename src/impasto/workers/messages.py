"""What passes between the foreman and the workers: tasks there, events back. Plain data, that travels anywhere."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from impasto.runs.job import Job
    from impasto.settings.model import Settings


@dataclass(frozen=True)
class FilmShot:
    """A shot of a film: its first frame, counted from 0, and the one after its last; in the film's folder."""

    folder: Path
    first: int
    end: int
    settings: "Settings"


@dataclass(frozen=True)
class Task:
    """A job to paint, or a shot, with all that a worker needs to know.

    It may take `bytes` of memory and `threads` threads, and is kept in its checkpoint about every `save_every` seconds;
    0: only when it is stopped. It tells how far it is every `tell_every` seconds. Where `limit` is given, it takes a
    plan to keep within so many bytes. `digests` has the sha256 of each file that it reads. `token` is a file beside the
    outputs: a worker that sees it can write there itself. It is given out `again` where a worker died of it, perhaps
    when its picture was written.
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
class Event:
    """Something that a worker has to say about the task of that number; `worker` is who it was."""

    number: int
    worker: str = ""


@dataclass(frozen=True)
class WorkerReady(Event):
    """The worker has come and can take a task."""


@dataclass(frozen=True)
class TaskProgress(Event):
    """A share of its work is done, from 0 to 1."""

    progress: float = 0.0


@dataclass(frozen=True)
class TaskFinished(Event):
    """The picture is painted to its end, and written where `data` is empty; else `data` are the bytes of its file.

    `resumed_at` is the step of the checkpoint that it was gone on with from, 0 where it was painted from the start.
    """

    width: int = 0
    height: int = 0
    losses: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    resumed_at: int = 0
    notes: tuple[str, ...] = ()
    data: bytes = b""


@dataclass(frozen=True)
class CheckpointSaved(Event):
    """A checkpoint was written; `data` are its bytes where the worker does not see its place."""

    data: bytes = b""


@dataclass(frozen=True)
class FilesMissing(Event):
    """The worker does not have these files."""

    paths: tuple[Path, ...] = ()


@dataclass(frozen=True)
class TaskFailed(Event):
    """It can't be painted, in words for a person; another try would fail as well."""

    reason: str = ""


@dataclass(frozen=True)
class TaskStopped(Event):
    """It was stopped on request."""


@dataclass(frozen=True)
class WorkerLost(Event):
    """The worker is gone, with what it was painting; `blameless` where its whole machine is."""

    reason: str = ""
    node_failure: bool = False
