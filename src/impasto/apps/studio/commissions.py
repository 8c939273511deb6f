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
from impasto.pictures.targets import written_whole
from impasto.recipes.recipe import plain_name

Stage = Literal["waiting", "painting", "paused", "done", "stopped", "failed"]
ENDED: tuple[Stage, ...] = ("done", "stopped", "failed")

LONGEST_NAME = 80  # letters of a visitor's file name that are kept
MOST_POINTS = 240  # of the plot
NAMES = re.compile(
    r"(picture|kept-\d{1,4}|cell-\d{2,3}|state-\d{1,4}|preview|photo|painting-\d{1,2})\.(png|jpg)|film\.mp4"
)
IDENTITY = re.compile(r"[0-9a-f]{16}")


class State(BaseModel):
    """An earlier state of a painting, to step back to: its number, where it was, what it was painted with."""

    model_config = ConfigDict(extra="forbid")

    number: int
    step: int
    scale: int
    width: int
    height: int
    settings: dict[str, Any] = {}


class Progress(BaseModel):
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


class Commission(BaseModel):
    """A picture, a sheet of small ones, or a film, that a visitor wants painted; `photo` is the film then.

    `settings` are those that were given, `masks` those that name files among the inputs, `cells` what each picture of a
    sheet has in their place. `begin` is the number of the state to go on from, `plan` what it is expected to take.
    """

    model_config = ConfigDict(extra="forbid")

    identity: str = Field(pattern=IDENTITY.pattern)
    kind: Literal["painting", "sheet", "film"] = "painting"
    visitor: str = ""
    made: float
    photo: str
    paintings: list[str]
    settings: dict[str, Any]
    masks: dict[str, Any] = {}
    cells: list[dict[str, str]] = []
    begin: int | None = None
    stage: Stage = "waiting"
    message: str = ""
    plan: str = ""
    notes: list[str] = []
    progress: Progress = Progress()
    states: list[State] = []
    pictures: list[str] = []

    def add_point(self, step: int, losses: dict[str, float]) -> None:
        """Remember a step's losses for the plot, every second one where there are too many."""
        points = [point for point in self.progress.points if point[0] < step]
        points.append((step, losses.get("content", 0.0), losses.get("style", 0.0), losses.get("total", 0.0)))
        if len(points) > MOST_POINTS:
            points = points[::2]
        self.progress.points = points


def describe(it: Commission) -> dict[str, Any]:
    """Give what the page shows of a commission, as plain data."""
    told = it.model_dump(mode="json", exclude={"visitor", "states", "settings", "masks"})
    told["states"] = [{"number": known.number, "step": known.step} for known in it.states]
    told["settings"] = {name: str(value) for name, value in it.settings.items()}
    told["title"] = f"{Path(it.photo).stem} · {', '.join(Path(name).stem for name in it.paintings)}"
    if it.stage in ENDED:
        told["progress"]["points"] = []
    return told


class Shelf:
    """The studio's folder: a folder for each commission, one for uploads, and a bound on what they hold together.

    Only files with names that the studio gave are ever named by a visitor: `find` knows no other.
    """

    def __init__(self, root: Path, most_bytes: int) -> None:
        self.root, self.most_bytes = root.resolve(), most_bytes
        self.paintings, self.uploads = self.root / "paintings", self.root / "uploads"
        for folder in (self.paintings, self.uploads):
            folder.mkdir(parents=True, exist_ok=True)

    def folder(self, identity: str) -> Path:
        """Return a commission's folder; raises UsageError for what is no commission's name."""
        if not IDENTITY.fullmatch(identity):
            raise UsageError("There is no such painting here.")
        return self.paintings / identity

    def find(self, identity: str, name: str) -> Path | None:
        """Return a file that a visitor may see, or None."""
        if not IDENTITY.fullmatch(identity) or not NAMES.fullmatch(name):
            return None
        path = self.paintings / identity / name
        return path if path.is_file() and not path.is_symlink() else None

    def take_in(
        self, photo: Path, paintings: Sequence[Path], names: Sequence[str] | None = None, **rest: Any
    ) -> Commission:
        """Copy the pictures of a new commission into its folder and write it down; `names` are the visitor's own."""
        identity = secrets.token_hex(8)
        folder = self.folder(identity)
        inputs = folder / "inputs"
        inputs.mkdir(parents=True)
        try:
            kept = [
                _keep(path, inputs, name)
                for path, name in zip(
                    (photo, *paintings), names or [it.name for it in (photo, *paintings)], strict=True
                )
            ]
            commission = Commission(identity=identity, made=time.time(), photo=kept[0], paintings=kept[1:], **rest)
            self.write(commission)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return commission

    def write(self, commission: Commission) -> None:
        """Write a commission down, whole or not at all."""
        with written_whole(self.folder(commission.identity) / "commission.json", overwrite=True) as file:
            file.write(commission.model_dump_json(indent=1).encode())

    def read_all(self) -> list[Commission]:
        """Read all commissions, the oldest first; what is damaged is left alone."""
        found = []
        for path in self.paintings.glob("*/commission.json"):
            try:
                commission = Commission.model_validate(json.loads(path.read_text()))
            except (OSError, ValueError, ValidationError):
                continue
            if commission.identity == path.parent.name:
                found.append(commission)
        return sorted(found, key=lambda it: it.made)

    def remove(self, identity: str) -> None:
        """Remove a commission with all that came of it."""
        shutil.rmtree(self.folder(identity), ignore_errors=True)

    def size(self) -> int:
        """Count the bytes of all files."""
        return sum(_size(path) for path in self.root.rglob("*"))

    def make_room(self, wanted: int, commissions: Iterable[Commission]) -> None:
        """Make room for so many bytes: old uploads go first, then earlier states of finished paintings, oldest first.

        Pictures are never removed but by their painter: raises UsageError where the folder stays too full.
        """
        self.sweep_uploads()
        excess = self.size() + wanted - self.most_bytes
        for commission in sorted(commissions, key=lambda it: it.made):
            if excess <= 0:
                return
            if commission.stage in ENDED and commission.states:
                for path in self.folder(commission.identity).glob("state-*"):
                    excess -= _size(path)
                    path.unlink(missing_ok=True)
                commission.states = []
                self.write(commission)
        if excess > 0:
            raise UsageError(
                f"The studio's folder is full ({self.most_bytes / 1e9:.3g} GB): remove pictures that you don't need."
            )

    def sweep_uploads(self, older_than: float = 3600.0) -> None:
        """Remove uploads of more than an hour ago: what was painted from has a copy of its own."""
        limit = time.time() - older_than
        for path in self.uploads.rglob("*"):
            try:
                if path.is_file() and path.stat().st_mtime < limit:
                    path.unlink()
            except OSError:
                continue


def _keep(path: Path, inputs: Path, name: str) -> str:
    suffix = Path(name).suffix[:10]
    plain = plain_name(Path(name).stem[:LONGEST_NAME] + suffix).lstrip(".") or "picture"
    number = 2
    target = inputs / plain
    while target.exists():
        target = inputs / f"{number}_{plain}"
        number += 1
    shutil.copyfile(path, target)
    return target.name


def _size(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0
