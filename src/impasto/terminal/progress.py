"""Progress on stderr: a bar on a terminal, plain lines elsewhere, or nothing; and the time left."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text
from typing_extensions import override

from impasto.terminal.console import format_flags, print_message

if TYPE_CHECKING:
    from impasto.settings.model import Settings
    from impasto.workers.messages import Event
    from impasto.workers.pool import WorkerOptions

SPEED_WINDOW_SECONDS = 600.0  # long, as one step of a print-size picture may take minutes


class PipeSafeConsole(Console):
    """A console that falls silent when stderr is closed: painting goes on."""

    @override
    def on_broken_pipe(self) -> None:
        self.quiet = True  # rich would end the program


class ProgressDisplay:
    """Shows what share of some work is done, its stages, and notes: a bar on a terminal, plain lines elsewhere.

    Plain lines: one for each stage, printed when the stage ends, if `seconds_between_lines` have passed since the line
    before; None prints no such lines. If `quiet`, nothing is shown, but the time left is known all the same.

    Example:
        with ProgressDisplay() as display:
            for step in run:
                display.update(step.progress, f"scale {step.scale}")
    """

    def __init__(self, quiet: bool = False, seconds_between_lines: float | None = 0.0) -> None:
        self.has_bar: bool = not quiet and sys.stderr.isatty()
        self.is_quiet: bool = quiet
        self._seconds_between_lines = seconds_between_lines
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            TextColumn("{task.percentage:.0f}%"),
            TextColumn("{task.fields[detail]}", markup=False, style="dim"),
            TimeRemainingColumn(compact=True),
            TextColumn("left", style="progress.remaining"),
            console=PipeSafeConsole(stderr=True),
            expand=True,
            disable=not self.has_bar,
            speed_estimate_period=SPEED_WINDOW_SECONDS,
        )
        self._progress.add_task("", total=1.0, visible=False, detail="")
        self._stage = self._line = ""
        self._notes_shown = 0
        self._last_line_at = time.monotonic()

    def update(self, progress: float, stage: str, detail: str = "") -> None:
        """Show that a share of the work is done, from 0 to 1, and the stage that it is in."""
        if stage != self._stage:
            self._print_line()
        self._progress.update(
            self._progress.task_ids[0], completed=progress, description=stage, visible=True, detail=detail
        )
        self._stage, self._line = stage, ", ".join(filter(None, (stage, f"{progress:.0%}", detail)))

    @property
    def seconds_left(self) -> float | None:
        """Estimated from the speed of the last minutes; None before there are two updates."""
        return self._progress.tasks[0].time_remaining

    def note(self, text: str) -> None:
        """Print a remark; it stays above the bar."""
        if self.has_bar:
            self._progress.console.print(Text(format_flags(text)))  # Text: a file named [red].png is no markup
        elif not self.is_quiet:
            print_message(text)

    def show_new_notes(self, notes: Sequence[str]) -> None:
        """Print those of a growing list of remarks that are not printed yet."""
        for text in notes[self._notes_shown :]:
            self.note(text)
        self._notes_shown = len(notes)

    def _print_line(self) -> None:
        interval = self._seconds_between_lines
        if self.has_bar or interval is None or not self._line:
            return
        if time.monotonic() - self._last_line_at >= interval:
            self._last_line_at = time.monotonic()
            self.note(self._line)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
        self._print_line()


class WorkerDisplay(ProgressDisplay):
    """Shows events of workers: how far the items are on a bar, and a line for each that is finished or has failed."""

    def __init__(self, item_count: int, quiet: bool) -> None:
        super().__init__(quiet, seconds_between_lines=None)
        self._item_count, self._finished_count = item_count, 0
        self._shares: dict[int, float] = {}  # of the items being painted, by their number

    def show_event(self, name: str, event: "Event") -> None:
        """Show an event of the item with this name."""
        from impasto.workers.messages import TaskFailed, TaskFinished, TaskProgress, WorkerLost  # not for --help

        match event:
            case TaskProgress():
                self._shares[event.number] = event.progress
                self._update_all()
            case TaskFinished(result=result):
                for note in event.notes:
                    self.note(f"{name}: {note}")
                total = f"total {result.losses['total']:.3g}, " if "total" in result.losses else ""
                self._finish_item(event.number, f"{name}: {total}{result.seconds or 0:.1f} s")
            case TaskFailed():
                self._finish_item(event.number, f"{name}: failed")
            case WorkerLost():
                self.note(f"{name}: the worker was lost ({event.reason}); another one goes on with it")

    def _finish_item(self, number: int, text: str) -> None:
        self._finished_count += 1
        self._shares.pop(number, None)
        self.note(f"{self._finished_count}/{self._item_count} {text}")
        self._update_all()

    def _update_all(self) -> None:
        done = self._finished_count + sum(self._shares.values())
        self.update(
            done / self._item_count,
            f"{self._finished_count}/{self._item_count}",
            detail=f"{len(self._shares)} being painted",
        )


@contextmanager
def show_download(name: str, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Show the download of a network; yields a function to be called with the bytes done and in all."""
    with ProgressDisplay(quiet, seconds_between_lines=None) as display:
        is_announced = False

        def show_bytes(done: int, total: int) -> None:
            nonlocal is_announced
            if not (display.has_bar or is_announced):
                display.note(f"fetching {name}, {total / 1e6:.0f} MB")
            is_announced = True
            display.update(done / max(total, done, 1), f"fetching {name}", f"{done / 1e6:.0f} of {total / 1e6:.0f} MB")

        yield show_bytes


def fetch_networks(settings: "Iterable[Settings]", options: "WorkerOptions", quiet: bool) -> None:
    """Download the networks that local workers need: once, and before they start."""
    from impasto.network.registry import REGISTRY, fetch_network

    if options.engine == "local":
        for network in {each.network for each in settings} & {*REGISTRY}:
            with show_download(network, quiet) as progress:
                fetch_network(network, progress=progress)
