"""The studio's jobs as plain data, and the folder that keeps them and their files."""

import json
import re
import secrets
import shutil
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from impasto.errors import UsageError
from impasto.images.names import find_free_path
from impasto.images.output import atomic_write
from impasto.recipes.recipe import plain_name
from impasto.studio.masks import read_brushed, write_masks
from impasto.studio.uploads import MIN_LIFETIME_SECONDS, UploadStore

JobStatus = Literal["waiting", "painting", "paused", "done", "stopped", "failed"]
FINISHED: tuple[JobStatus, ...] = ("done", "stopped", "failed")

MAX_NAME_LENGTH = 80
MAX_PLOT_POINTS = 240
MAX_NOTES = 5
BRUSHED_NAME = "brush.png"  # the brushed masks, among a job's inputs
JOB_ID = re.compile(r"[0-9a-f]{16}")
VISIBLE_NAMES = re.compile(r"(picture|kept-\d{1,4}|snapshot-\d{1,4}|preview)\.(png|jpg)|film\.mp4")
UNKNOWN_JOB = "There is no such painting here."


class PlainData(BaseModel):
    """Data that refuses unknown names, as a damaged or foreign file has them."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid")


class Snapshot(PlainData):
    """An earlier state of a painting to go back to: its number, its position, and the settings at that time."""

    number: int
    step: int
    scale: int
    width: int
    height: int
    settings: dict[str, Any] = {}


class JobProgress(PlainData):
    """How far a painting is. `version` counts its previews; `points` are (step, content, style, total loss)."""

    step: int = 0
    total: int = 0
    share: float = 0.0
    scale: int = 0
    scales: int = 0
    width: int = 0
    height: int = 0
    seconds: float = 0.0
    seconds_left: float | None = None
    version: int = 0
    points: list[tuple[int, float, float, float]] = []


class StudioJob(PlainData):
    """A picture or a film that a visitor wants painted; `photo` is then the film.

    `settings` are those that the visitor gave, `masks` those that name mask files among the inputs. The painting goes
    back to the snapshot numbered `start_snapshot`; if that is None, it goes on from the newest one. `revision` is the
    queue's when the job changed last.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="ignore")  # what older studios wrote

    id: str = Field(pattern=JOB_ID.pattern)
    kind: Literal["painting", "film"] = "painting"
    visitor: str = ""
    created: float
    photo: str
    paintings: list[str]
    settings: dict[str, Any]
    masks: dict[str, Any] = {}
    start_snapshot: int | None = None
    status: JobStatus = "waiting"
    message: str = ""
    plan: str = ""
    notes: list[str] = []
    progress: JobProgress = JobProgress()
    snapshots: list[Snapshot] = []
    pictures: list[str] = []
    revision: int = Field(default=0, exclude=True)

    def add_point(self, step: int, losses: dict[str, float]) -> None:
        """Add a step's losses to the plot; when there are too many points, drop every second one."""
        points = [point for point in self.progress.points if point[0] < step]
        points.append((step, losses.get("content", 0.0), losses.get("style", 0.0), losses.get("total", 0.0)))
        self.progress.points = points[::2] if len(points) > MAX_PLOT_POINTS else points

    def add_note(self, text: str) -> None:
        """Add a note, once; of many, the last ones stay."""
        self.notes = [*(known for known in self.notes if known != text), text][-MAX_NOTES:]

    def get_snapshot(self, number: int | None) -> Snapshot | None:
        """Return the snapshot with a number, or None."""
        return next((snapshot for snapshot in self.snapshots if snapshot.number == number), None)

    def add_picture(self, name: str) -> None:
        """Add a finished picture, as the last one."""
        self.pictures = [*(known for known in self.pictures if known != name), name]

    @property
    def next_copy_name(self) -> str:
        """The file name of the next picture that is kept while the painting goes on."""
        return f"kept-{1 + sum(name.startswith('kept-') for name in self.pictures)}.png"

    def to_json(self) -> dict[str, Any]:
        """Return what the page and programs see of the job; `folder` is the address of its pictures."""
        data = self.model_dump(mode="json", exclude={"visitor", "masks", "snapshots", "start_snapshot"})
        photo, *paintings = (Path(name).stem.replace("_", " ") for name in (self.photo, *self.paintings))
        data["title"] = f"{photo} · {', '.join(paintings)}"
        data["folder"] = f"api/jobs/{self.id}/files/"
        data["snapshots"] = [{"number": snapshot.number, "step": snapshot.step} for snapshot in self.snapshots]
        if self.status in FINISHED:
            data["progress"]["points"] = []
        return data


class JobStore:
    """The studio's folder on disk: a subfolder for each job, one for uploads, and a limit on their size.

    A visitor can only name files whose names the studio chose: `find_file` finds no others.
    """

    def __init__(self, root: Path, max_bytes: int) -> None:
        self.root: Path = root.resolve()
        self.max_bytes: int = max_bytes
        self.jobs: Path = self.root / "jobs"
        self.uploads: UploadStore = UploadStore(self.root / "uploads")
        for folder in (self.jobs, self.uploads.root):
            folder.mkdir(parents=True, exist_ok=True)

    def job_folder(self, job_id: str) -> Path:
        """Return a job's folder. Raises UsageError for text that is no job's ID."""
        if not JOB_ID.fullmatch(job_id):
            raise UsageError(UNKNOWN_JOB)
        return self.jobs / job_id

    def find_file(self, job_id: str, name: str) -> Path | None:
        """Return a file that a visitor may see, or None."""
        if not JOB_ID.fullmatch(job_id) or not VISIBLE_NAMES.fullmatch(name):
            return None
        path = self.jobs / job_id / name
        return path if path.is_file() and not path.is_symlink() else None

    def add_job(self, photo: Path, paintings: Sequence[Path], brushed: Path | None = None, **fields: Any) -> StudioJob:
        """Copy the inputs of a new job into its folder and write the job's file; if that fails, nothing stays."""
        job_id = secrets.token_hex(8)
        inputs = self.job_folder(job_id) / "inputs"
        inputs.mkdir(parents=True)
        try:
            masks = {}
            if brushed:  # first, as their names are fixed
                shutil.copyfile(brushed, inputs / BRUSHED_NAME)
                masks = write_masks(read_brushed(brushed), len(paintings), inputs)
            first, *others = [_copy_input(path, inputs) for path in (photo, *paintings)]
            job = StudioJob(id=job_id, created=time.time(), photo=first, paintings=others, masks=masks, **fields)
            self.write_job(job)
        except BaseException:
            self.remove_job(job_id)
            raise
        return job

    def write_job(self, job: StudioJob) -> None:
        """Write a job's file, whole or not at all."""
        with atomic_write(self.job_folder(job.id) / "job.json", overwrite=True) as file:
            file.write(job.model_dump_json(indent=1).encode())

    def read_jobs(self) -> list[StudioJob]:
        """Read all jobs, oldest first; damaged ones are left alone."""
        jobs = []
        for path in self.jobs.glob("*/job.json"):
            with suppress(OSError, ValueError, ValidationError):
                job = StudioJob.model_validate(json.loads(path.read_text(encoding="utf-8")))
                if job.id == path.parent.name:
                    jobs.append(job)
        return sorted(jobs, key=lambda job: job.created)

    def remove_job(self, job_id: str) -> None:
        """Delete a job with all its files."""
        shutil.rmtree(self.job_folder(job_id), ignore_errors=True)

    def free_uploads(self, needed_bytes: int) -> int:
        """Delete old uploads, and newer ones if there is no space; returns how many bytes are still too many."""
        self.uploads.remove_old()
        if (excess := self._find_excess(needed_bytes)) > 0:
            self.uploads.remove_old(MIN_LIFETIME_SECONDS)
            excess = self._find_excess(needed_bytes)
        return excess

    def drop_snapshots(self, excess: int, jobs: Iterable[StudioJob]) -> None:
        """Delete so many bytes of snapshots of finished jobs, oldest first.

        Only visitors delete pictures, so this raises UsageError if the folder stays too full.
        """
        for job in sorted(jobs, key=lambda job: job.created):
            if excess <= 0:
                return
            if job.status in FINISHED and job.snapshots:
                for path in self.job_folder(job.id).glob("snapshot-*"):
                    excess -= _file_bytes(path)
                    path.unlink(missing_ok=True)
                job.snapshots = []
                self.write_job(job)
        if excess > 0:
            raise UsageError(
                f"The studio's folder is full ({self.max_bytes / 1e9:.3g} GB): remove pictures that you don't need."
            )

    def _find_excess(self, needed_bytes: int) -> int:
        return sum(map(_file_bytes, self.root.rglob("*"))) + needed_bytes - self.max_bytes


def _copy_input(path: Path, inputs: Path) -> str:
    name = plain_name(path.stem[:MAX_NAME_LENGTH] + path.suffix[:10]).lstrip(".") or "picture"
    return shutil.copyfile(path, find_free_path(inputs / name)).name


def _file_bytes(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0
