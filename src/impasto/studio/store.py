"""What the studio was asked to paint, as plain data, kept in a folder of its own with all that came of it."""

import json
import re
import secrets
import shutil
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from impasto.errors import UsageError
from impasto.images.output import atomic_write
from impasto.recipes.recipe import plain_name

JobStatus = Literal["waiting", "painting", "paused", "done", "stopped", "failed"]
FINISHED: tuple[JobStatus, ...] = ("done", "stopped", "failed")

MAX_NAME_LENGTH = 80  # letters of a visitor's file name that are kept
MAX_PLOT_POINTS = 240  # of the plot
VISIBLE_NAMES = re.compile(
    r"(picture|kept-\d{1,4}|cell-\d{2,3}|state-\d{1,4}|preview|photo|painting-\d{1,2})\.(png|jpg)|film\.mp4"
)
JOB_ID = re.compile(r"[0-9a-f]{16}")


class Snapshot(BaseModel):
    """An earlier state of a painting, to step back to: its number, where it was, what it was painted with."""

    model_config = ConfigDict(extra="forbid")

    number: int
    step: int
    scale: int
    width: int
    height: int
    settings: dict[str, Any] = {}


class JobProgress(BaseModel):
    """How far a painting has come; `version` counts its previews, `left` are the seconds left."""

    model_config = ConfigDict(extra="forbid")

    step: int = 0
    total: int = 0
    scale: int = 0
    scales: int = 0
    width: int = 0
    height: int = 0
    seconds: float = 0.0
    left: float | None = None
    version: int = 0
    points: list[tuple[int, float, float, float]] = []  # step, content, style, total


class StudioJob(BaseModel):
    """A picture, a sheet of small ones, or a film, that a visitor wants painted; `photo` is the film then.

    `settings` are those that were given, `masks` those that name files among the inputs, `cells` what each picture of a
    sheet has in their place. `begin` is the number of the state to go on from, `plan` what it is expected to take.
    """

    model_config = ConfigDict(extra="forbid")

    identity: str = Field(pattern=JOB_ID.pattern)
    kind: Literal["painting", "sheet", "film"] = "painting"
    visitor: str = ""
    made: float
    photo: str
    paintings: list[str]
    settings: dict[str, Any]
    masks: dict[str, Any] = {}
    cells: list[dict[str, str]] = []
    begin: int | None = None
    stage: JobStatus = "waiting"
    message: str = ""
    plan: str = ""
    notes: list[str] = []
    progress: JobProgress = JobProgress()
    states: list[Snapshot] = []
    pictures: list[str] = []

    def add_point(self, step: int, losses: dict[str, float]) -> None:
        """Remember a step's losses for the plot, every second one where there are too many."""
        points = [point for point in self.progress.points if point[0] < step]
        points.append((step, losses.get("content", 0.0), losses.get("style", 0.0), losses.get("total", 0.0)))
        if len(points) > MAX_PLOT_POINTS:
            points = points[::2]
        self.progress.points = points


def describe(it: StudioJob) -> dict[str, Any]:
    """Give what the page shows of a commission, as plain data."""
    told = it.model_dump(mode="json", exclude={"visitor", "states", "settings", "masks"})
    told["states"] = [{"number": known.number, "step": known.step} for known in it.states]
    told["settings"] = {name: str(value) for name, value in it.settings.items()}
    told["title"] = f"{Path(it.photo).stem} · {', '.join(Path(name).stem for name in it.paintings)}"
    if it.stage in FINISHED:
        told["progress"]["points"] = []
    return told


class JobStore:
    """The studio's folder: a folder for each commission, one for uploads, and a bound on what they hold together.

    Only files with names that the studio gave are ever named by a visitor: `find` knows no other.
    """

    def __init__(self, root: Path, max_bytes: int) -> None:
        self.root, self.max_bytes = root.resolve(), max_bytes
        self.paintings, self.uploads = self.root / "paintings", self.root / "uploads"
        for folder in (self.paintings, self.uploads):
            folder.mkdir(parents=True, exist_ok=True)

    def job_folder(self, identity: str) -> Path:
        """Return a commission's folder; raises UsageError for what is no commission's name."""
        if not JOB_ID.fullmatch(identity):
            raise UsageError("There is no such painting here.")
        return self.paintings / identity

    def find_file(self, identity: str, name: str) -> Path | None:
        """Return a file that a visitor may see, or None."""
        if not JOB_ID.fullmatch(identity) or not VISIBLE_NAMES.fullmatch(name):
            return None
        path = self.paintings / identity / name
        return path if path.is_file() and not path.is_symlink() else None

    def add_job(
        self, photo: Path, paintings: Sequence[Path], names: Sequence[str] | None = None, **rest: Any
    ) -> StudioJob:
        """Copy the pictures of a new commission into its folder and write it down; `names` are the visitor's own."""
        identity = secrets.token_hex(8)
        folder = self.job_folder(identity)
        inputs = folder / "inputs"
        inputs.mkdir(parents=True)
        try:
            kept = [
                _copy_input(path, inputs, name)
                for path, name in zip(
                    (photo, *paintings), names or [it.name for it in (photo, *paintings)], strict=True
                )
            ]
            commission = StudioJob(identity=identity, made=time.time(), photo=kept[0], paintings=kept[1:], **rest)
            self.write_job(commission)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return commission

    def write_job(self, commission: StudioJob) -> None:
        """Write a commission down, whole or not at all."""
        with atomic_write(self.job_folder(commission.identity) / "commission.json", overwrite=True) as file:
            file.write(commission.model_dump_json(indent=1).encode())

    def read_jobs(self) -> list[StudioJob]:
        """Read all commissions, the oldest first; what is damaged is left alone."""
        found = []
        for path in self.paintings.glob("*/commission.json"):
            try:
                commission = StudioJob.model_validate(json.loads(path.read_text()))
            except (OSError, ValueError, ValidationError):
                continue
            if commission.identity == path.parent.name:
                found.append(commission)
        return sorted(found, key=lambda it: it.made)

    def remove_job(self, identity: str) -> None:
        """Remove a commission with all that came of it."""
        shutil.rmtree(self.job_folder(identity), ignore_errors=True)

    def total_bytes(self) -> int:
        """Count the bytes of all files."""
        return sum(_file_bytes(path) for path in self.root.rglob("*"))

    def free_space(self, needed_bytes: int, commissions: Iterable[StudioJob]) -> None:
        """Make room for so many bytes: old uploads go first, then earlier states of finished paintings, oldest first.

        Pictures are never removed but by their painter: raises UsageError where the folder stays too full.
        """
        self.remove_old_uploads()
        excess = self.total_bytes() + needed_bytes - self.max_bytes
        for commission in sorted(commissions, key=lambda it: it.made):
            if excess <= 0:
                return
            if commission.stage in FINISHED and commission.states:
                for path in self.job_folder(commission.identity).glob("state-*"):
                    excess -= _file_bytes(path)
                    path.unlink(missing_ok=True)
                commission.states = []
                self.write_job(commission)
        if excess > 0:
            raise UsageError(
                f"The studio's folder is full ({self.max_bytes / 1e9:.3g} GB): remove pictures that you don't need."
            )

    def remove_old_uploads(self, older_than: float = 3600.0) -> None:
        """Remove uploads of more than an hour ago: what was painted from has a copy of its own."""
        limit = time.time() - older_than
        for path in self.uploads.rglob("*"):
            try:
                if path.is_file() and path.stat().st_mtime < limit:
                    path.unlink()
            except OSError:
                continue


def _copy_input(path: Path, inputs: Path, name: str) -> str:
    suffix = Path(name).suffix[:10]
    plain = plain_name(Path(name).stem[:MAX_NAME_LENGTH] + suffix).lstrip(".") or "picture"
    number = 2
    target = inputs / plain
    while target.exists():
        target = inputs / f"{number}_{plain}"
        number += 1
    shutil.copyfile(path, target)
    return target.name


def _file_bytes(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0
