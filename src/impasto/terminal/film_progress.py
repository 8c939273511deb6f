"""What a person sees on stderr while a film is painted: a bar over its frames, plain lines, or nothing."""

import sys
import time
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from impasto.terminal.console import print_message
from impasto.terminal.progress import NoDisplay, UnbreakableConsole, describe_losses, format_time_left

if TYPE_CHECKING:
    from impasto.films.sequence import FrameStep

SECONDS_BETWEEN_LINES = 20.0  # seconds


class NoFilmDisplay(NoDisplay):
    """Shows nothing, but keeps the time."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._first: tuple[int, float] | None = None  # frames done when the second one was begun, and when that was

    def show_step(self, step: "FrameStep", total: int = 0) -> float:  # type: ignore[override]  # noqa: ARG002
        """Take note of a step; returns the seconds since the beginning."""
        return time.monotonic() - self._began

    def seconds_left(self, step: "FrameStep") -> float | None:
        """Foresee the time left from the frames painted here but for the first, which takes longer."""
        done, now = count_frames_done(step), time.monotonic()
        if self._first is None or done <= self._first[0]:
            if self._first is None or done < self._first[0]:
                self._first = (done + 1, now) if step.scale == 1 else None
            return None
        pace = (now - self._first[1]) / (done - self._first[0])
        return pace * (step.frames * step.passes - done)


class FilmLinesDisplay(NoFilmDisplay):
    """A line now and then, for logs and pipes."""

    def __init__(self) -> None:
        super().__init__()
        self._said = 0.0

    def show_step(self, step: "FrameStep", total: int = 0) -> float:  # type: ignore[override]
        """Print where the film is, if it is some time since the last line."""
        seconds, left = super().show_step(step, total), self.seconds_left(step)
        if seconds - self._said >= SECONDS_BETWEEN_LINES:
            self._said = seconds
            print_message(f"{describe_frame(step)}, {seconds:.0f} s{'' if left is None else f', {left:.0f} s left'}")
        return seconds

    def show_note(self, text: str) -> None:
        """Print a remark."""
        print_message(text)


class FilmBarDisplay(NoFilmDisplay):
    """A live bar over all frames of all turns."""

    def __init__(self) -> None:
        super().__init__()
        self.console = UnbreakableConsole(stderr=True)
        self.progress = Progress(
            TextColumn("{task.fields[frame]}", markup=False),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[losses]}", markup=False, style="dim"),
            TextColumn("{task.fields[left]}", markup=False),
            console=self.console,
            expand=True,
        )
        self.task = self.progress.add_task("", total=1, frame="starting", losses="", left="")

    def show_step(self, step: "FrameStep", total: int = 0) -> float:  # type: ignore[override]
        """Move the bar."""
        left = self.seconds_left(step)
        self.progress.update(
            self.task,
            completed=count_frames_done(step),
            total=step.frames * step.passes,
            frame=describe_frame(step),
            losses=describe_losses(step),
            left=format_time_left(left),
        )
        return super().show_step(step, total)

    def show_note(self, text: str) -> None:
        """Print a remark above the bar."""
        self.console.print(Text(text))

    def __enter__(self) -> "FilmBarDisplay":
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()


def make_film_display(quiet: bool) -> NoFilmDisplay:
    """Choose nothing if quiet, a bar on a terminal, plain lines elsewhere."""
    if quiet:
        return NoFilmDisplay()
    return FilmBarDisplay() if sys.stderr.isatty() else FilmLinesDisplay()


def count_frames_done(step: "FrameStep") -> int:
    """Count the frames before this one, over all turns."""
    frame = step.frame - 1 if step.pass_number % 2 else step.frames - step.frame
    return (step.pass_number - 1) * step.frames + frame


def describe_frame(step: "FrameStep") -> str:
    """Name a step's frame: `frame 12/90, 320 x 180`."""
    turn = f", turn {step.pass_number}/{step.passes}" if step.passes > 1 else ""
    return f"frame {step.frame}/{step.frames}{turn}, {step.width} x {step.height}"
