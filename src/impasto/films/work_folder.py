"""The folder that an unfinished film is kept in: its plan, and the frames painted so far.

A frame is done when both its picture and its line in the log are there. Each is written whole, the picture first.
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
PART_FILES = ".impasto-*.part"  # half-written files of a killed program
SHOT_LOGS = "shot*.jsonl"
PLAN_FILE, LOG_FILE, LOCK_FILE, LIVE_FILM_FILE = "film.json", "log.jsonl", "lock", "so_far.mp4"
INNER_FOLDERS = "pass*", "photos", "masks*"
WORK_FILES = (
    *(PLAN_FILE, LOG_FILE, SHOT_LOGS, LOCK_FILE, LIVE_FILM_FILE, PART_FILES, "whole.*"),
    *(f"{folder}/{name}" for folder in INNER_FOLDERS for name in ("*.png", PART_FILES)),
)


def name_work_folder(output: Path) -> Path:
    """Name the folder in which a film is painted, next to its output."""
    return output.with_name(output.name.replace("%", "") + WORK_FOLDER_SUFFIX)


def find_work_folder(path: Path) -> Path:
    """Find an unfinished film's folder by its own name or by the film's. Raises UsageError if there is none."""
    for folder in [path, name_work_folder(path)] if path.name else [path]:
        if os.path.lexists(folder / PLAN_FILE):
            return folder
    raise UsageError(
        f"{path}: no film was begun there; name an unfinished film, or its folder, which ends in {WORK_FOLDER_SUFFIX}"
    )


class WorkFolder:
    """The folder of one film: its plan, and for each pass the pictures and a record of each.

    A worker that paints one shot opens it with `shot`, the shot's first frame, and keeps a log of its own; the process
    that hands out the shots holds the lock.
    """

    def __init__(self, folder: Path, shot: int | None = None) -> None:
        self.folder: Path = folder
        self.shot: int | None = shot
        self._log = folder / (LOG_FILE if shot is None else f"shot{shot + 1:06}.jsonl")
        self._lock = FileLock(folder / LOCK_FILE)
        self._records: dict[tuple[int, int], dict[str, Any]] = {}

    @property
    def live_film_path(self) -> Path:
        """The film that can be played while it is painted."""
        return self.folder / LIVE_FILM_FILE

    def create(self, plan: dict[str, Any], overwrite: bool) -> None:
        """Create the folder and write the film's plan; with `overwrite`, first delete an earlier film's working files.

        Raises PictureError if the folder exists, is in use, or the disk refuses.
        """
        if overwrite and self.folder.is_dir():
            self._acquire_lock()
            self.delete()
        try:
            self.folder.mkdir(parents=True)  # of a pattern of frames, the folder is made along with it
        except FileExistsError:
            raise PictureError(
                f"{self.folder}: this film was begun already: impasto resume {self.folder} continues it, "
                "`overwrite` begins it again"
            ) from None
        except OSError as error:
            raise PictureError(f"{self.folder} can't be created: {error.strerror or error}") from None
        self._acquire_lock()
        self.write_plan(plan)

    def open(self) -> dict[str, Any]:
        """Load what is done so far and return the plan. Raises PictureError if it is damaged or in use."""
        if self.shot is None:
            self._acquire_lock()
        try:
            plan = self.read_plan()
            self.reload()
        except (OSError, ValueError, KeyError) as error:
            raise PictureError(f"{self.folder} is damaged ({error}): begin the film again with `overwrite`") from None
        return plan

    def reload(self) -> None:
        """Load what is done so far, by other processes too."""
        for path in (self.folder / LOG_FILE, *sorted(self.folder.glob(SHOT_LOGS))):
            log = path.read_bytes() if path.exists() else b""
            whole = log[: log.rfind(b"\n") + 1]
            if len(whole) < len(log) and (path == self._log or self.shot is None):
                os.truncate(path, len(whole))  # a half-written line: its frame is painted again
            for line in whole.splitlines():
                record = json.loads(line)
                self._records[record["pass"], record["frame"]] = record

    def read_plan(self) -> dict[str, Any]:
        """Return the film's plan."""
        return dict(json.loads((self.folder / PLAN_FILE).read_text(encoding="utf-8")))

    def write_plan(self, plan: dict[str, Any]) -> None:
        """Write the film's plan, whole or not at all."""
        with atomic_write(self.folder / PLAN_FILE, overwrite=True) as file:
            file.write(json.dumps(plan).encode())

    def store_frame(self, pass_number: int, frame: int, picture: Tensor, record: dict[str, Any]) -> None:
        """Write a picture (1, 3, H, W) of a pass in 8 bits, then its line in the log."""
        path = self._picture_path(pass_number, frame)
        path.parent.mkdir(exist_ok=True)
        write_image(picture, path, overwrite=True, png_level=1)  # they are read and deleted soon
        line = {"pass": pass_number, "frame": frame, **record}
        try:
            with self._log.open("ab") as log:
                log.write(json.dumps(line).encode() + b"\n")
                log.flush()
                os.fsync(log.fileno())
        except OSError as error:
            raise PictureError(f"{self._log} can't be written, {error.strerror}: free some disk space") from error
        self._records[pass_number, frame] = line

    def is_done(self, pass_number: int, frame: int) -> bool:
        """Tell whether a frame is painted in a pass."""
        return (pass_number, frame) in self._records

    def get_record(self, pass_number: int, frame: int) -> dict[str, Any]:
        """Return what was recorded with a frame's picture."""
        return self._records[pass_number, frame]

    def read_picture(self, pass_number: int, frame: int) -> Tensor:
        """Read a frame's picture (1, 3, H, W)."""
        return read_image(self._picture_path(pass_number, frame)).rgb

    def get_latest_pass(self, frame: int) -> int | None:
        """Return the last pass in which a frame was painted, None if there is none."""
        return max((pass_number for pass_number, done in self._records if done == frame), default=None)

    def release(self) -> None:
        """Release the lock, so that another program can continue the film."""
        self._lock.release()

    def delete(self) -> None:
        """Release the lock and delete the working files."""
        self._lock.release()
        delete_work_files(self.folder)

    def _acquire_lock(self) -> None:
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise PictureError(f"{self.folder}: another program is painting this film now") from None
        except OSError as error:
            raise PictureError(f"{self.folder} can't be written: {error.strerror or error}") from None

    def _picture_path(self, pass_number: int, frame: int) -> Path:
        return self.folder / f"pass{pass_number}" / f"{frame + 1:06}.png"


def delete_work_files(folder: Path) -> None:
    """Delete an unfinished film's working files, and its folder if no other files are in it."""
    for file in [file for pattern in WORK_FILES for file in folder.glob(pattern)]:
        file.unlink()
    for inner in [*(inner for pattern in INNER_FOLDERS for inner in folder.glob(pattern)), folder]:
        with suppress(OSError):
            inner.rmdir()
