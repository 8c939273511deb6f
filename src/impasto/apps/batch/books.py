"""The books of a batch: what came of each picture, written into the report as it goes."""

import time
from collections.abc import Sequence
from pathlib import Path

from impasto.apps.batch.board import Board
from impasto.apps.batch.report import Line, count_states, read_times, relate, write_report
from impasto.apps.batch.stock import Standing
from impasto.apps.batch.tasks import Died, Event, Failed, Finished, Progressed
from impasto.apps.terminal import answer, say

WRITE_EVERY = 20.0  # seconds between two reports
LARGEST_SHARE = 0.05  # of the time, for writing it: that of a million pictures takes long
MOST_SHOWN = 40  # failures, in the table at the end


class Books:
    """Has a line for each picture, hears every event, and writes the report."""

    def __init__(self, standings: Sequence[Standing], folder: Path, shown: Path, quiet: bool) -> None:
        self._folder, self._shown, self._quiet = folder, shown, quiet
        times = read_times(folder)
        self.lines = [_begin(standing, times.get(relate(standing.output, folder))) for standing in standings]
        self._written, self._cost = time.monotonic(), 0.0

    def hear(self, event: Event, board: Board) -> None:
        """Write down what has happened and show it."""
        line = self.lines[event.number]
        name = relate(line.output, self._folder)
        match event:
            case Progressed():
                board.progress(event.number, event.step / event.steps)
            case Finished():
                line.state, line.width, line.height = "painted", event.width, event.height
                line.losses, line.seconds, line.worker = event.losses, event.seconds, event.worker
                line.tries, line.resumed_at = (line.tries or 0) + 1, event.resumed_at
                for note in event.notes:
                    board.note(f"{name}: {note}")
                board.done(event.number, f"{name}: total {event.losses['total']:.3g}, {event.seconds:.1f} s")
                if self._quiet:
                    answer(str(self._shown / name))
            case Failed():
                line.state, line.reason = "failed", event.reason
                board.done(event.number, f"{name}: failed")
            case Died():
                line.tries = (line.tries or 0) + 1
                board.note(f"{name}: the worker was lost ({event.reason}); another one goes on with it")
        if time.monotonic() - self._written > max(WRITE_EVERY, self._cost / LARGEST_SHARE):
            self.write()

    def write(self) -> None:
        """Write the report."""
        started = time.monotonic()
        write_report(self.lines, self._folder)
        self._written = time.monotonic()
        self._cost = self._written - started

    def close(self) -> None:
        """Write the report, say what came of all, and what failed and why."""
        self.write()
        failures = [line for line in self.lines if line.state == "failed"]
        if failures:
            say(f"impasto: {len(failures)} of {len(self.lines)} pictures failed:")
            width = min(40, max(len(relate(line.output, self._folder)) for line in failures[:MOST_SHOWN]))
            for line in failures[:MOST_SHOWN]:
                say(f"  {relate(line.output, self._folder):<{width}}  {line.reason}")
            if len(failures) > MOST_SHOWN:
                say(f"  and {len(failures) - MOST_SHOWN} more, in {self._shown / 'report.csv'}")
        if not self._quiet:
            answer(f"{self._shown}: {count_states(self.lines)}; see {self._shown / 'report.html'}")

    @property
    def left(self) -> bool:
        """Is any picture neither there nor failed?"""
        return any(line.state == "waiting" for line in self.lines)

    @property
    def failed(self) -> bool:
        """Has any picture failed?"""
        return any(line.state == "failed" for line in self.lines)


def _begin(standing: Standing, seconds: float | None) -> Line:
    commission = standing.commission
    settings = commission.settings
    given = settings.model_dump(mode="json", include=settings.model_fields_set)
    line = Line(standing.output, commission.photo, commission.paintings, given)
    if standing.finished and (result := standing.finished.result):
        line.state, line.seconds = "kept", seconds
        line.width, line.height, line.losses = result.width, result.height, result.losses
    elif not standing.job:
        line.state, line.reason = "failed", standing.reason
    return line
