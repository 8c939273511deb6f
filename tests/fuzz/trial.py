"""One file tried: what is wrong with how it was read, if anything."""

import sys
import time
import traceback
import warnings
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

import psutil

from fuzz.kinds import KINDS, MAX_PIXELS, Kind
from fuzz.mutations import mutate
from impasto import ImpastoError
from impasto.images import animation

MAX_SECONDS = 10.0  # of the processor: a machine that has other work is slower
MAX_GROWTH_BYTES = 1 << 30  # of memory, while a file of a few kilobytes is read


def make_file(files: Sequence[tuple[str, bytes]], folder: Path, number: int) -> Path:
    """Write the file of that number; number 0 and those after it are the whole files that the others begin as."""
    suffix, data = files[number % len(files)]
    if number >= len(files):
        data = mutate(data, files[(number // len(files)) % len(files)][1], number)
    path = folder / f"{number}{suffix}"
    path.write_bytes(data)
    return path


def try_file(kind: Kind, path: Path) -> str:
    """Read a file; returns what is wrong, "" where it is read or refused with a sentence."""
    started, before = time.process_time(), measure_peak()
    try:
        kind.read(path)
    except ImpastoError as error:
        if not str(error).strip() or len(str(error)) > 3000:
            return f"a message of {len(str(error))} letters"
    except Exception:
        return traceback.format_exc()
    seconds = time.process_time() - started
    if seconds > MAX_SECONDS:
        return f"{seconds:.0f} seconds"
    growth = measure_peak() - before
    return f"{growth / 1e6:.0f} MB more memory" if growth > MAX_GROWTH_BYTES else ""


def measure_peak() -> int:
    """The most memory that this process has had, in bytes; where systems don't tell, what it has."""
    with suppress(ImportError):
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return psutil.Process().memory_info().rss


def try_numbers(name: str, folder: Path, numbers: range) -> list[str]:
    """Try the files of a kind with these numbers; returns what is wrong."""
    kind = KINDS[name]
    files = kind.make_files()
    findings = []
    for number in numbers:
        path = make_file(files, folder, number)
        if fault := try_file(kind, path):
            findings.append(f"{name} {number}: {fault}")
        path.unlink()
    return findings


def serve(name: str, folder: Path, first: int, last: int, connection: Connection) -> None:
    """Try the files of a kind one after the other, and say so before and after each."""
    animation.MAX_PIXELS = MAX_PIXELS
    warnings.simplefilter("error")
    kind = KINDS[name]
    files = kind.make_files()
    for number in range(first, last):
        path = make_file(files, folder, number)
        connection.send((number, ""))
        if fault := try_file(kind, path):
            connection.send((number, fault))
        else:
            path.unlink()
    connection.send((last, ""))
