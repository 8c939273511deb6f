"""What a person sees while a batch is painted: a bar over all pictures, or a line for each."""

import sys
import time
from types import TracebackType
from typing import Protocol, Self

from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from impasto.terminal.console import print_message
from impasto.terminal.progress import UnbreakableConsole, format_time_left


class ProgressDisplay(Protocol):
    """Shows how a batch goes between entering and leaving it."""

    def show_progress(self, number: int, share: float) -> None:
        """Show that a picture is painted to a share of 0 to 1."""

    def show_done(self, number: int, words: str) -> None:
        """Show that a picture is done with, and what came of it."""

    def show_note(self, words: str) -> None:
        """Show a remark that stays."""

    def __enter__(self) -> Self: ...
    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None: ...


def make_display(total: int, quiet: bool) -> ProgressDisplay:
    """Choose nothing if quiet, a bar on a terminal, plain lines elsewhere."""
    if quiet:
        return NoDisplay()
    return BarDisplay(total) if sys.stderr.isatty() else LineDisplay(total)


class NoDisplay:
    """Shows nothing."""

    def show_progress(self, number: int, share: float) -> None:
        """Show nothing."""

    def show_done(self, number: int, words: str) -> None:
        """Show nothing."""

    def show_note(self, words: str) -> None:
        """Show nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        pass


class LineDisplay(NoDisplay):
    """A line for each picture that is done with."""

    def __init__(self, total: int) -> None:
        self._total, self._done = total, 0

    def show_done(self, number: int, words: str) -> None:  # noqa: ARG002
        """Print a line."""
        self._done += 1
        print_message(f"{self._done}/{self._total} {words}")

    def show_note(self, words: str) -> None:
        """Print a remark."""
        print_message(words)


class BarDisplay(NoDisplay):
    """A live bar over all pictures, with the time left."""

    def __init__(self, total: int) -> None:
        self._console = UnbreakableConsole(stderr=True)
        self._bar = Progress(
            TextColumn("{task.fields[count]}", markup=False),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[now]}", markup=False, style="dim"),
            TextColumn("{task.fields[left]}", markup=False),
            console=self._console,
            expand=True,
        )
        self._total, self._done = total, 0
        self._shares: dict[int, float] = {}
        self._started = time.monotonic()
        self._task = self._bar.add_task("", total=total, count=f"0/{total}", now="starting", left="")

    def show_progress(self, number: int, share: float) -> None:
        """Move the bar."""
        self._shares[number] = share
        self._update()

    def show_done(self, number: int, words: str) -> None:
        """Move the bar, and say above it what came of the picture."""
        self._done += 1
        self._shares.pop(number, None)
        self._console.print(Text(words))
        self._update()

    def show_note(self, words: str) -> None:
        """Print a remark above the bar."""
        self._console.print(Text(words))  # Text: a file named [red].png is no markup

    def _update(self) -> None:
        share = self._done + sum(self._shares.values())
        left = (time.monotonic() - self._started) * (self._total - share) / share if share else None
        self._bar.update(
            self._task,
            completed=share,
            count=f"{self._done}/{self._total}",
            now=f"{len(self._shares)} being painted",
            left=format_time_left(left),
        )

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._bar.stop()
