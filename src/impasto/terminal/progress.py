"""What a person sees on stderr while a picture is painted: a bar, plain lines, or nothing."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from impasto.settings.model import Settings
from impasto.terminal.console import print_message

if TYPE_CHECKING:
    from impasto.painting.painter import Step


class ProgressDisplay(Protocol):
    """Shows steps and notes between entering and leaving it."""

    def show_step(self, step: "Step", total: int) -> None:
        """Show one step out of `total`."""

    def show_note(self, text: str) -> None:
        """Show a remark that stays."""

    def __enter__(self) -> Self: ...
    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None: ...


def make_display(quiet: bool, settings: Settings, *, transient: bool = False) -> ProgressDisplay:
    """Choose nothing if quiet, a bar on a terminal, plain lines elsewhere.

    `passing`: what is shown is one of many, so the bar goes when it is full, and of the lines only remarks are printed.
    """
    if quiet:
        return NoDisplay()
    if sys.stderr.isatty():
        return BarDisplay(TimeEstimate(settings), transient=transient)
    return NotesDisplay() if transient else LinesDisplay()


class TimeEstimate:
    """Foresees the time left: a step at a finer scale costs as much more as it has more pixels."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.first: Step | None = None  # of the present scale
        self.pace: float | None = None  # seconds per step at the present scale

    def seconds_left(self, step: "Step", total: int) -> float | None:
        """Estimate the seconds left after `step`, or None before there is anything to go by."""
        scales_left = step.scales - step.scale
        growth = 1.0  # of the pixels, from one scale to the next
        if scales_left:
            growth = self.settings.scale_step**2
        if self.first is None or self.first.scale != step.scale:
            if self.first and self.pace is not None:
                self.pace *= step.width * step.height / (self.first.width * self.first.height)
            self.first = step
        elif step.step > self.first.step:
            self.pace = (step.seconds - self.first.seconds) / (step.step - self.first.step)
        if self.pace is None:
            return None
        later = self.settings.later_steps
        here = max(0, total - step.step - later * scales_left)
        return self.pace * (here + sum(later * growth**ahead for ahead in range(1, scales_left + 1)))


class NoDisplay:
    """Shows nothing."""

    def show_step(self, step: "Step", total: int) -> None:
        """Show nothing."""

    def show_note(self, text: str) -> None:
        """Show nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        pass


class NotesDisplay(NoDisplay):
    """Remarks alone."""

    def show_note(self, text: str) -> None:
        """Print a remark."""
        print_message(text)


class LinesDisplay(NotesDisplay):
    """One line per finished scale, for logs and pipes."""

    def __init__(self) -> None:
        self.last: tuple[Step, int] | None = None

    def show_step(self, step: "Step", total: int) -> None:
        """Print the scale before, once its next one begins."""
        if self.last and self.last[0].scale != step.scale:
            self._print_last()
        self.last = step, total

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._print_last()

    def _print_last(self) -> None:
        if self.last:
            step, total = self.last
            print_message(
                f"{describe_scale(step)}, step {step.step}/{total}, {describe_losses(step)}, {step.seconds:.1f} s"
            )


class BarDisplay(NoDisplay):
    """A live bar over all steps of all scales."""

    def __init__(self, forecast: TimeEstimate, transient: bool = False) -> None:
        self.forecast = forecast
        self.console = UnbreakableConsole(stderr=True)
        self.progress = Progress(
            TextColumn("{task.fields[scale]}", markup=False),
            BarColumn(bar_width=None),
            TextColumn("{task.completed:.0f}/{task.total:.0f}", markup=False),
            TextColumn("{task.fields[losses]}", markup=False, style="dim"),
            TextColumn("{task.fields[left]}", markup=False),
            console=self.console,
            expand=True,
            transient=transient,
        )
        self.task = self.progress.add_task("", total=1, scale="starting", losses="", left="")

    def show_step(self, step: "Step", total: int) -> None:
        """Move the bar."""
        left = self.forecast.seconds_left(step, total)
        self.progress.update(
            self.task,
            completed=step.step,
            total=total,
            scale=describe_scale(step),
            losses=describe_losses(step),
            left=format_time_left(left),
        )

    def show_note(self, text: str) -> None:
        """Print a remark above the bar."""
        self.console.print(Text(text))  # Text: a file named [red].png is no markup

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.progress.stop()


class UnbreakableConsole(Console):
    """A console that outlives its reader: painting goes on when stderr is closed."""

    def on_broken_pipe(self) -> None:
        """Fall silent, where rich would end the program."""
        self.quiet = True


@contextmanager
def show_download(name: str, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Show a fetch of the network `name`: yields the function that is told the bytes done and in all."""
    if quiet or not sys.stderr.isatty():
        yield _make_download_printer(name, quiet)
        return
    columns = (
        TextColumn("fetching {task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=UnbreakableConsole(stderr=True)) as progress:
        task = progress.add_task(name, total=None, visible=False)
        yield lambda done, total: progress.update(task, completed=done, total=total or None, visible=True)


def _make_download_printer(name: str, quiet: bool) -> Callable[[int, int], None]:
    said = quiet

    def tell(done: int, total: int) -> None:  # noqa: ARG001
        nonlocal said
        if not said:
            print_message(f"fetching {name}, {total / 1e6:.0f} MB")
            said = True

    return tell


def describe_scale(step: "Step") -> str:
    """Name a step's scale and canvas: `scale 2/5, 181 x 136`."""
    return f"scale {step.scale}/{step.scales}, {step.width} x {step.height}"


def format_time_left(seconds: float | None) -> str:
    """Say how long it will take yet: `3:07 left`; nothing where that is not known."""
    return "" if seconds is None else f"{seconds // 60:.0f}:{seconds % 60:02.0f} left"


def describe_losses(step: "Step") -> str:
    """List a step's losses, short."""
    shown = (name for name in ("content", "style", "total") if name in step.losses)
    return ", ".join(f"{name} {step.losses[name]:.3g}" for name in shown)
