"""`show`: how far a run is while it is painted, in a notebook's cell or on the terminal."""

import math
import sys
import time
from collections.abc import Iterator
from html import escape
from importlib import import_module

from impasto.painting.painter import Step
from impasto.runs.run import PaintingRun
from impasto.terminal.progress import ProgressDisplay

SECONDS_BETWEEN_PICTURES = 0.5


def show(run: PaintingRun) -> Iterator[Step]:
    """Iterate over a Run or a FilmRun, and show how far it is.

    In a notebook, the cell shows the picture so far and the time left; elsewhere, a bar stands on stderr. After an
    interrupt, the same call continues.

    Example:
        for step in impasto.show(run):
            pass
    """
    is_notebook = _is_notebook()
    with ProgressDisplay(quiet=is_notebook) as progress:
        cell = Cell(run, progress) if is_notebook else None
        try:
            for step in run:
                progress.update(step.progress, step.stage)
                progress.show_new_notes(run.notes)
                if cell:
                    cell.update(step)
                yield step
        finally:
            if cell:
                cell.draw(run.describe_result())


class Cell:
    """The picture so far in a notebook's cell, and below it a line of progress and the run's notes."""

    def __init__(self, run: PaintingRun, progress: ProgressDisplay) -> None:
        ipython = import_module("IPython.display")
        self._run, self._progress, self._make_html = run, progress, ipython.HTML
        self._picture, self._line = (ipython.display(it, display_id=True) for it in (run, ipython.HTML("")))
        self._drawn_at = -math.inf

    def update(self, step: Step) -> None:
        """Draw it again, if the last time was long enough ago."""
        if time.monotonic() - self._drawn_at < SECONDS_BETWEEN_PICTURES:
            return
        seconds = self._progress.seconds_left
        left = "" if seconds is None else f", {seconds // 60:.0f}:{seconds % 60:02.0f} left"
        self.draw(f"{step.progress:.0%}, {step.stage}{left}", f'<progress value="{step.progress:.3f}"></progress> ')
        self._drawn_at = time.monotonic()

    def draw(self, text: str, bar: str = "") -> None:
        """Draw the picture so far, and below it a bar, a text and the run's notes."""
        self._picture.update(self._run)
        self._line.update(self._make_html(bar + "<br>".join(map(escape, [text, *self._run.notes]))))


def _is_notebook() -> bool:
    """Tell whether this runs in a notebook's kernel: IPython on a terminal shows no pictures."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")
