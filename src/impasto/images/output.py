"""Where a picture may be written, checked before hours of painting; and writing it whole or not at all."""

import errno
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from impasto.errors import PictureError, UsageError
from impasto.images.formats import WRITE_FORMATS
from impasto.images.names import IS_WINDOWS, explain_windows_path, find_free_path, make_portable

MAX_SIDES_PIXELS = {"JPEG": 65500, "WEBP": 16383}
REPLACE_WAITS_SECONDS = (0.05, 0.1, 0.2, 0.4, 0.8)  # a viewer or virus scanner may have the file open
OTHER_SUFFIXES = "end the name in .png or .tif"  # of the formats that hold everything


class OutputTakenError(PictureError):
    """Something else has the output's name, or another program keeps it open."""


def check_output(
    path: str | os.PathLike[str],
    *,
    inputs: Iterable[str | os.PathLike[str]] = (),
    overwrite: bool = False,
    alpha: bool = False,
    bits: int = 8,
    size: int = 1,
) -> None:
    """Raise now what `write_image` would raise after hours of painting; `size` is the longer side in pixels.

    Raises UsageError for an unknown suffix, for what the format can't hold, and where the output is one of `inputs`;
    PictureError for the state of the disk: no folder, not writable, a folder or file of that name.
    """
    if os.path.isdir(path):  # noqa: PTH112 - before its suffix, which a folder needs none of
        raise PictureError(_explain_folder(Path(path)))
    check_format(path, alpha=alpha, bits=bits, size=size)
    check_writable(path, inputs=inputs, overwrite=overwrite)


def check_writable(
    path: str | os.PathLike[str], *, inputs: Iterable[str | os.PathLike[str]] = (), overwrite: bool = False
) -> None:
    """Raise now what `atomic_write` would raise later, and UsageError where the file is one of `inputs`."""
    path = Path(path)
    check_place(path)
    if IS_WINDOWS and path.name != (allowed := make_portable(path.name)):
        raise UsageError(f"Windows can't name a file {path.name}: {allowed} is allowed", setting="output")
    try:
        if path.is_dir():
            raise PictureError(_explain_folder(path))
        for source in map(Path, inputs):
            if path.exists() and source.exists() and path.samefile(source):
                raise UsageError(
                    f"{path} is also the input {source}, which would be lost: choose another output", setting="output"
                )
        _check_absent(path, overwrite)
        probe = _temporary_path(path)
        probe.touch(exist_ok=False)
        probe.unlink()
    except (FileNotFoundError, NotADirectoryError):
        raise PictureError(f"{path} can't be written, the folder {path.parent} does not exist: make it first") from None
    except OSError as error:
        reason = error.strerror or error
        advice = "a shorter name" if error.errno == errno.ENAMETOOLONG else "a folder that you may write to"
        raise PictureError(f"{path} can't be written, {reason}: choose {advice}") from None


def _explain_folder(path: Path) -> str:
    return f"{path} is a folder: name a file inside it, such as {path / 'painting.png'}"


def check_place(path: Path) -> None:
    """Raise UsageError where an output is named by a path of Windows on another system: it would become a name here."""
    if why := explain_windows_path(str(path)):
        raise UsageError(f"{path} can't be written: {why}", setting="output")


def file_signature(path: Path) -> tuple[int, int, int] | None:
    """Return numbers that change when the file does, or another takes its name; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


@contextmanager
def atomic_write(path: Path, *, overwrite: bool) -> Iterator[BinaryIO]:
    """Open a file that gets the name `path` at the end of the block, and is deleted if the block fails.

    Until then it has a random name. Raises PictureError where the disk refuses, or a file of that name has appeared in
    the meantime.
    """
    temporary = _temporary_path(path)
    try:
        with temporary.open("x+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _give_name(temporary, path, overwrite)
    except OSError as error:
        reason = error.strerror or error
        raise PictureError(f"{path} can't be written, {reason}: make room, or choose another place") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_beside(path: Path, write: Callable[[Path], object]) -> Path:
    """Call `write(path)`; if the name is taken, call it with the next free number instead. Returns what was written."""
    target = path
    while True:
        try:
            write(target)
            return target
        except OutputTakenError:
            target = find_free_path(path)


def _give_name(temporary: Path, path: Path, overwrite: bool) -> None:
    """Rename a finished file, so that of two programs at the same moment only one gets a name that was free."""
    if not (overwrite or os.path.lexists(path)):
        with suppress(OSError):  # the name is taken by now, or the disk has no hard links
            os.link(temporary, os.path.realpath(path))
            return
    _check_absent(path, overwrite)
    try:
        replace_file(temporary, path)
    except PermissionError:
        if not path.exists():
            raise
        raise OutputTakenError(f"{path} can't be replaced: another program may have it open") from None


def replace_file(source: Path, target: Path) -> None:
    """Give a file the name `target`; a symbolic link keeps pointing to the file.

    Windows refuses while that file is open elsewhere: then it is tried again for a second and a half.
    """
    for wait in REPLACE_WAITS_SECONDS if IS_WINDOWS else ():
        with suppress(PermissionError):
            source.replace(os.path.realpath(target))
            return
        time.sleep(wait)
    source.replace(os.path.realpath(target))


def check_format(path: str | os.PathLike[str], *, alpha: bool = False, bits: int = 8, size: int = 1) -> None:
    """Raise UsageError where a file's format is unknown, or can't hold such a picture."""
    path = Path(path)
    form = WRITE_FORMATS.get(path.suffix.lower())
    if form is None:
        wrong = f"has the suffix {path.suffix}, which is no format" if path.suffix else "has no suffix that says how"
        raise UsageError(f"{path} {wrong} to write: end the name in {', '.join(WRITE_FORMATS)}", setting="output")
    longest = MAX_SIDES_PIXELS.get(form, size)
    problems = (
        (bits not in (8, 16), "bits", f"can't have {bits} bits: choose 8 or 16"),
        (bits == 16 and form not in ("PNG", "TIFF"), "bits", f"can't hold 16 bits, {form} has 8: {OTHER_SUFFIXES}"),
        (
            alpha and form == "JPEG",
            "output",
            f"can't hold transparency, which the picture has: {OTHER_SUFFIXES}, or .webp",
        ),
        (size > longest, "size", f"can't be {size} pixels long, {form} ends at {longest}: {OTHER_SUFFIXES}"),
    )
    for is_found, setting, problem in problems:
        if is_found:
            raise UsageError(f"{path} {problem}", setting=setting)


def _check_absent(path: Path, overwrite: bool) -> None:
    if not overwrite and os.path.lexists(path):
        raise OutputTakenError(
            f"{path} already exists: choose another name, move it away, or allow it with `overwrite`"
        )


def _temporary_path(path: Path) -> Path:
    return Path(os.path.realpath(path)).parent / f".impasto-{secrets.token_hex(8)}.part"
