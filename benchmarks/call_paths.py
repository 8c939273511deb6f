"""How far calls reach through the package: frames to a convolution, call edges between files, a batch event's hops.

python benchmarks/call_paths.py [--edges] [--json FILE]

It runs `impasto photo.jpg painting.jpg` at 128 px, in two scales, and `impasto batch`, under Python's call profiler.

frames_to_convolution  package frames on the stack at the first convolution of a step, `main` included
call_edges             distinct pairs of caller and callee in different files of the package
file_pairs             distinct pairs of such files
validations            how often Settings are validated, imports included
event_hops             from file to file, for the progress of a picture in a batch: from the worker to the bar

A call counts if the callee is in another file than the nearest caller inside the package, so that calls through torch
or pydantic count too. What modules run while they are imported, and the hook that counts memory, do not count.
"""

import argparse
import itertools
import json
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

SOURCE = Path(__file__).parent.parent.resolve() / "src" / "impasto"
COMMAND = ("photo.jpg", "painting.jpg", "--size=128", "--start-size=64", "--steps=3", "--later-steps=3")
NOT_COUNTED = ("<module>", "__torch_dispatch__")
DISPLAY, PIPE = "terminal/progress.py", "workers/processes.py"
STEP = ("painting/painter.py", "painting/objective.py")  # the files on the stack when a step is painted
CONVOLUTION, VALIDATOR = "_convolve", "_fill_from_preset"
COMPREHENSION = re.compile(r"(\.<locals>)?\.<(list|dict|set)comp>|(\.<locals>)?\.<genexpr>")


class CallCounter:
    """A profiler hook that collects calls between files of the package."""

    def __init__(self) -> None:
        self.edges: set[tuple[str, str]] = set()
        self.frames: list[str] = []  # at the first convolution of a step, outermost first
        self.validations = 0

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:  # noqa: ARG002
        """Count one event of the profiler."""
        name = frame.f_code.co_name
        if event != "call" or not (file := get_file(frame)):
            return
        self.validations += name == VALIDATOR
        stack = list_package_frames(frame)
        if any(each.f_code.co_name in NOT_COUNTED for each in stack):
            return
        if len(stack) > 1 and (caller_file := get_file(stack[1])) != file:
            self.edges.add((describe(caller_file, stack[1]), describe(file, frame)))
        if name == CONVOLUTION and not self.frames:
            files = [get_file(each) for each in stack]
            backward = any(each.f_code.co_name == "backward" for each in stack)
            if backward and all(file in files for file in STEP):
                self.frames = [describe(file, each) for file, each in zip(files, stack, strict=True)][::-1]


class EventPath:
    """A profiler hook that follows the first event of progress, by the files of the functions that hand it on."""

    def __init__(self) -> None:
        self.files: list[str] = []
        self.task: Any = None  # the first that is given to a worker
        self._event: object = None

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        """Look at what a function returns or yields, and to whom; at the display, at the functions above it."""
        if self.files[-1:] == [DISPLAY] or not get_file(frame):
            return
        if event == "call" and not self.task:
            self.task = find_instance("Task", frame.f_locals.values())
        if event == "return" and (found := find_instance("TaskProgress", [argument])):
            self._event = self._event or found
            if found is self._event:
                self._append(list_package_frames(frame)[:2])
        if event == "call" and self._event and get_file(frame) == DISPLAY:
            stack = list_package_frames(frame)
            receiver = next((n for n, each in enumerate(stack) if get_file(each) == self.files[-1]), 0)
            self._append(stack[receiver::-1])

    def _append(self, frames: Iterable[FrameType]) -> None:
        """Add the files of functions, without repeating the last one; the pipe itself does not count."""
        for file in map(get_file, frames):
            if file != PIPE and self.files[-1:] != [file]:
                self.files.append(file)


def find_instance(name: str, values: Iterable[object], depth: int = 3) -> Any:
    """Return the first instance of a class of this name, also inside tuples and lists."""
    for value in values:
        if type(value).__name__ == name:
            return value
        if depth and isinstance(value, tuple | list) and (found := find_instance(name, value, depth - 1)):
            return found
    return None


class TaskConnection:
    """A worker's end of the pipe, with one task in it."""

    def __init__(self, task: Any) -> None:
        self._task = task

    def recv(self) -> Any:
        """Return the task, and wait for ever after it."""
        task, self._task = self._task, None
        return task or threading.Event().wait()

    def send(self, event: object) -> None:
        """Stop the worker once its task is finished."""
        if type(event).__name__ in ("TaskFinished", "TaskFailed"):
            raise EOFError


def follow_event() -> list[str]:
    """Run a batch of one picture, then its task in a worker of this process; list the files that progress passes."""
    from impasto.cli.app import main
    from impasto.workers.process_pool import run_worker

    driver, worker = EventPath(), EventPath()
    words = ["batch", "photo.jpg", "--style=painting.jpg", "--output=out", "--workers=1"]
    sys.setprofile(driver)
    main([*words, "--size=128", "--steps=99", "--later-steps=99"])
    job = driver.task.job.model_copy(update={"output": Path("again.png").absolute()})
    sys.setprofile(worker)
    with suppress(EOFError):
        run_worker(TaskConnection(replace(driver.task, job=job, progress_every=0.0)), 1, None)  # type: ignore[arg-type]
    sys.setprofile(None)
    return [*worker.files, *driver.files]


def get_file(frame: FrameType) -> str:
    """Return a frame's file, relative to the package; "" if it is outside."""
    return get_relative_path(frame.f_code.co_filename)


@cache
def get_relative_path(path: str) -> str:
    """Return a path relative to the package; "" if it is outside."""
    return Path(path).relative_to(SOURCE).as_posix() if path.startswith(str(SOURCE)) else ""


def list_package_frames(frame: FrameType | None) -> list[FrameType]:
    """List the frames of the package on the stack, innermost first."""
    found = []
    while frame:
        if get_file(frame):
            found.append(frame)
        frame = frame.f_back
    return found


def describe(file: str, frame: FrameType) -> str:
    """Name a function: `painting/painter.py Painter.__next__`."""
    return f"{file} {COMPREHENSION.sub('', frame.f_code.co_qualname)}"


def count_calls() -> dict[str, Any]:
    """Run the command in a process of its own, and return what is counted there."""
    with tempfile.TemporaryDirectory() as folder:
        from PIL import Image

        for name, color in (("photo.jpg", "teal"), ("painting.jpg", "orange")):
            Image.linear_gradient("L").convert("RGB").resize((320, 240)).save(Path(folder) / name, comment=color)
        words = [sys.executable, __file__, "--count", str(Path(folder) / "counts.json")]
        subprocess.run(words, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        return dict(json.loads((Path(folder) / "counts.json").read_text()))


def run_counted(target: Path) -> None:
    """Run the command in this process, and write what is counted."""
    counter = CallCounter()
    threading.setprofile(counter)
    sys.setprofile(counter)
    from impasto.__main__ import main

    sys.argv = ["impasto", *COMMAND]
    code = main()
    sys.setprofile(None)
    threading.setprofile(None)
    event_files = follow_event()
    files = {(caller.split()[0], callee.split()[0]) for caller, callee in counter.edges}
    counts = {
        "exit_code": code,
        "frames_to_convolution": len(counter.frames),
        "call_edges": len(counter.edges),
        "file_pairs": len(files),
        "validations": counter.validations,
        "event_hops": sum(one != other for one, other in itertools.pairwise(event_files)),
        "event_files": event_files,
        "frames": counter.frames,
        "edges": sorted(counter.edges),
    }
    target.write_text(json.dumps(counts, indent=1))


def main() -> None:
    """Count, and print the numbers, the frames, and with --edges every edge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edges", action="store_true", help="print every edge")
    parser.add_argument("--json", type=Path, help="write all counts to this file")
    parser.add_argument("--count", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.count:
        run_counted(chosen.count)
        return
    counts = count_calls()
    if chosen.json:
        chosen.json.write_text(json.dumps(counts, indent=1))
    for name in ("frames_to_convolution", "call_edges", "file_pairs", "validations", "event_hops"):
        print(f"{name:<22} {counts[name]}")
    print("", *counts["frames"], "", *counts["event_files"], sep="\n  ")
    for caller, callee in counts["edges"] if chosen.edges else ():
        print(f"{caller} -> {callee}")


if __name__ == "__main__":
    main()
