"""A film that is being painted, on the disk: a folder beside it from which it goes on after any end.

A frame is done when its picture is there and its line in the log; each is written whole, the picture first.
"""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from torch import Tensor

from impasto.errors import PictureError, UsageError
from impasto.images.output import atomic_write
from impasto.images.read import read_image
from impasto.images.write import write_image

WORK_FOLDER_SUFFIX = ".film"
PART_FILES = ".impasto-*.part"  # what was being written when the program was killed
SHOT_LOGS = "shot*.jsonl"
PLAN_FILE, LOG_FILE, LOCK_FILE, LIVE_FILM_FILE = "film.json", "log.jsonl", "lock", "so_far.mp4"


def find_work_folder(path: Path) -> Path:
    """Find the folder of a film by the folder's own name or the film's. Raises UsageError where there is none."""
    for folder in [path, name_work_folder(path)] if path.name else [path]:
        if os.path.lexists(folder / PLAN_FILE):
            return folder
    raise UsageError(
        f"{path}: no film was begun there; name a film that was not finished, or its {WORK_FOLDER_SUFFIX} folder"
    )


def name_work_folder(output: Path) -> Path:
    """Name the folder beside a film in which it is being painted."""
    return output.with_name(output.name.replace("%", "") + WORK_FOLDER_SUFFIX)


class WorkFolder:
    """The folder of one film: its plan, and of each pass the pictures with what is to be known of them."""

    def __init__(self, folder: Path, shot: int | None = None) -> None:
        """Open it for all of a film, or for one shot of it alone, that begins at a frame and has a log of its own."""
        self.folder, self.shot = folder, shot
        self._log = folder / (LOG_FILE if shot is None else f"shot{shot + 1:06}.jsonl")
        self._lock = FileLock(folder / LOCK_FILE)
        self._records: dict[tuple[int, int], dict[str, Any]] = {}

    @property
    def live_film_path(self) -> Path:
        """Where the film is that can be played while it is painted."""
        return self.folder / LIVE_FILM_FILE

    def create(self, plan: str) -> None:
        """Make the folder and write the film's plan. Raises PictureError where one is there, or the disk refuses."""
        try:
            self.folder.mkdir()
        except FileExistsError:
            raise PictureError(
                f"{self.folder}: this film was begun already: impasto resume {self.folder} goes on with it, "
                "--overwrite begins it again"
            ) from None
        except OSError as error:
            raise PictureError(f"{self.folder} can't be made: {error.strerror or error}") from None
        self._acquire_lock()
        self.write_plan(plan)

    def delete_previous(self) -> None:
        """Throw away what an earlier film of the same name has left; not while it is being painted."""
        self._acquire_lock()
        self.delete()

    def open(self) -> dict[str, Any]:
        """Return the plan of a film that was begun, and take in what is done of it.

        A shot is opened while whoever gives out the shots holds the film. Raises PictureError where it is damaged, or
        another program is painting it.
        """
        if self.shot is None:
            self._acquire_lock()
        try:
            plan = json.loads((self.folder / PLAN_FILE).read_text(encoding="utf-8"))
            self.reload()
        except (OSError, ValueError, KeyError) as error:
            raise PictureError(f"{self.folder} is damaged ({error}): begin the film again with --overwrite") from None
        return dict(plan)

    def reload(self) -> None:
        """Take in what is done, by others too."""
        for path in (self.folder / LOG_FILE, *sorted(self.folder.glob(SHOT_LOGS))):
            log = path.read_bytes() if path.exists() else b""
            whole = log[: log.rfind(b"\n") + 1]  # a line that was being written is cut off, and its frame done again
            if len(whole) < len(log) and (path == self._log or self.shot is None):
                os.truncate(path, len(whole))
            for line in whole.splitlines():
                record = json.loads(line)
                self._records[record["pass"], record["frame"]] = record

    def write_plan(self, plan: str) -> None:
        """Write the plan, whole or not at all."""
        with atomic_write(self.folder / PLAN_FILE, overwrite=True) as file:
            file.write(plan.encode())

    def store_frame(self, turn: int, frame: int, picture: Tensor, record: dict[str, Any]) -> Tensor:
        """Keep a picture (1, 3, H, W) of a pass; returns it as it will be read, in 8 bits."""
        kept = (picture.clamp(0, 1) * 255).round() / 255
        path = self._picture_path(turn, frame)
        path.parent.mkdir(exist_ok=True)
        write_image(kept, path, overwrite=True)
        line = {"pass": turn, "frame": frame, **record}
        try:
            with self._log.open("ab") as log:
                log.write(json.dumps(line).encode() + b"\n")
                log.flush()
                os.fsync(log.fileno())
        except OSError as error:
            raise PictureError(f"{self._log} can't be written, {error.strerror}: make room") from error
        self._records[turn, frame] = line
        return kept

    def is_done(self, turn: int, frame: int) -> bool:
        """Tell whether a frame of a pass is painted."""
        return (turn, frame) in self._records

    def read_record(self, turn: int, frame: int) -> dict[str, Any]:
        """Return what was kept beside a frame's picture."""
        return self._records[turn, frame]

    def read_picture(self, turn: int, frame: int) -> Tensor:
        """Read the picture of a frame (1, 3, H, W)."""
        return read_image(self._picture_path(turn, frame)).rgb

    def latest_pass(self, frame: int) -> int | None:
        """Return the last pass in which a frame was painted, None if it was in none."""
        return max((turn for turn, done in self._records if done == frame), default=None)

    def delete(self) -> None:
        """Throw the folder away, file by file, and nothing that is not the film's."""
        self._lock.release()
        delete_work_files(self.folder)

    def release(self) -> None:
        """Let another program go on with the film."""
        self._lock.release()

    def _acquire_lock(self) -> None:
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise PictureError(f"{self.folder}: another program is painting this film at the moment") from None
        except OSError as error:
            raise PictureError(f"{self.folder} can't be written: {error.strerror or error}") from None

    def _picture_path(self, turn: int, frame: int) -> Path:
        return self.folder / f"pass{turn}" / f"{frame + 1:06}.png"


def delete_work_files(folder: Path) -> None:
    """Throw away a film's folder and the files in it that are of a film being painted; others stay, and so it."""
    for inner in [*folder.glob("pass*"), *folder.glob("photos"), *folder.glob("masks*")]:
        for picture in [*inner.glob("*.png"), *inner.glob(PART_FILES)]:
            picture.unlink()
        with suppress(OSError):
            inner.rmdir()
    for name in (PLAN_FILE, LOG_FILE, LIVE_FILM_FILE, LOCK_FILE):
        (folder / name).unlink(missing_ok=True)
    for log in folder.glob(SHOT_LOGS):
        log.unlink()
    for part in [*folder.glob(PART_FILES), *folder.glob("whole.*")]:
        part.unlink()
    with suppress(OSError):
        folder.rmdir()
