"""What a person sees on stderr while a film is painted: a bar over its frames, plain lines, or nothing."""

import sys
import time
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from impasto.apps.progress import Silence, SteadyConsole, losses_of, say_left
from impasto.apps.terminal import say

if TYPE_CHECKING:
    from impasto.video.sequence import FrameStep

BETWEEN_LINES = 20.0  # seconds


class FilmSilence(Silence):
    """Shows nothing, but keeps the time."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._first: tuple[int, float] | None = None  # frames done when the second one was begun, and when that was

    def step(self, step: "FrameStep", total: int = 0) -> float:  # type: ignore[override]  # noqa: ARG002
        """Take note of a step; returns the seconds since the beginning."""
        return time.monotonic() - self._began

    def seconds_left(self, step: "FrameStep") -> float | None:
        """Foresee the time left from the frames painted here but for the first, which takes longer."""
        done, now = frames_done(step), time.monotonic()
        if self._first is None or done <= self._first[0]:
            if self._first is None or done < self._first[0]:
                self._first = (done + 1, now) if step.scale == 1 else None
            return None
        pace = (now - self._first[1]) / (done - self._first[0])
        return pace * (step.frames * step.turns - done)


class FilmLines(FilmSilence):
    """A line now and then, for logs and pipes."""

    def __init__(self) -> None:
        super().__init__()
        self._said = 0.0

    def step(self, step: "FrameStep", total: int = 0) -> float:  # type: ignore[override]
        """Print where the film is, if it is some time since the last line."""
        seconds, left = super().step(step, total), self.seconds_left(step)
        if seconds - self._said >= BETWEEN_LINES:
            self._said = seconds
            say(f"{frame_of(step)}, {seconds:.0f} s{'' if left is None else f', {left:.0f} s left'}")
        return seconds

    def note(self, text: str) -> None:
        """Print a remark."""
        say(text)


class FilmBar(FilmSilence):
    """A live bar over all frames of all turns."""

    def __init__(self) -> None:
        super().__init__()
        self.console = SteadyConsole(stderr=True)
        self.progress = Progress(
            TextColumn("{task.fields[frame]}", markup=False),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[losses]}", markup=False, style="dim"),
            TextColumn("{task.fields[left]}", markup=False),
            console=self.console,
            expand=True,
        )
        self.task = self.progress.add_task("", total=1, frame="starting", losses="", left="")

    def step(self, step: "FrameStep", total: int = 0) -> float:  # type: ignore[override]
        """Move the bar."""
        left = self.seconds_left(step)
        self.progress.update(
            self.task,
            completed=frames_done(step),
            total=step.frames * step.turns,
            frame=frame_of(step),
            losses=losses_of(step),
            left=say_left(left),
        )
        return super().step(step, total)

    def note(self, text: str) -> None:
        """Print a remark above the bar."""
        self.console.print(Text(text))

    def __enter__(self) -> "FilmBar":
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()


def film_reporter(quiet: bool) -> FilmSilence:
    """Choose nothing if quiet, a bar on a terminal, plain lines elsewhere."""
    if quiet:
        return FilmSilence()
    return FilmBar() if sys.stderr.isatty() else FilmLines()


def frames_done(step: "FrameStep") -> int:
    """Count the frames before this one, over all turns."""
    frame = step.frame - 1 if step.turn % 2 else step.frames - step.frame
    return (step.turn - 1) * step.frames + frame


def frame_of(step: "FrameStep") -> str:
    """Name a step's frame: `frame 12/90, 320 x 180`."""
    turn = f", turn {step.turn}/{step.turns}" if step.turns > 1 else ""
    return f"frame {step.frame}/{step.frames}{turn}, {step.width} x {step.height}"
