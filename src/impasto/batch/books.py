"""The books of a batch: what came of each picture, written into the report as it goes."""

import time
from collections.abc import Sequence
from pathlib import Path

from impasto.batch.items import BatchItem
from impasto.batch.report import ReportRow, count_states, read_times, relative_name, write_report
from impasto.terminal.console import print_message, print_result
from impasto.terminal.progress import ItemsDisplay
from impasto.workers.messages import Event, TaskFailed, TaskFinished, TaskProgress, WorkerLost

WRITE_INTERVAL_SECONDS = 20.0  # seconds between two reports
MAX_WRITE_SHARE = 0.05  # of the time, for writing it: that of a million pictures takes long
MAX_FAILURES_SHOWN = 40  # failures, in the table at the end


class BatchReport:
    """Has a line for each picture, hears every event, and writes the report."""

    def __init__(self, standings: Sequence[BatchItem], folder: Path, shown: Path, quiet: bool) -> None:
        self._folder, self._shown_folder, self._quiet = folder, shown, quiet
        times = read_times(folder)
        self.rows = [_make_row(standing, times.get(relative_name(standing.output, folder))) for standing in standings]
        self._written_at, self._write_seconds = time.monotonic(), 0.0

    def on_event(self, event: Event, display: ItemsDisplay) -> None:
        """Write down what has happened and show it."""
        line = self.rows[event.number]
        name = relative_name(line.output, self._folder)
        match event:
            case TaskProgress():
                display.update_item(event.number, event.progress)
            case TaskFinished():
                line.state, line.width, line.height = "painted", event.width, event.height
                line.losses, line.seconds, line.worker = event.losses, event.seconds, event.worker
                line.tries, line.resumed_at = (line.tries or 0) + 1, event.resumed_at
                for note in event.notes:
                    display.note(f"{name}: {note}")
                display.finish_item(event.number, f"{name}: total {event.losses['total']:.3g}, {event.seconds:.1f} s")
                if self._quiet:
                    print_result(str(self._shown_folder / name))
            case TaskFailed():
                line.state, line.reason = "failed", event.reason
                display.finish_item(event.number, f"{name}: failed")
            case WorkerLost():
                line.tries = (line.tries or 0) + 1
                display.note(f"{name}: the worker was lost ({event.reason}); another one goes on with it")
        if time.monotonic() - self._written_at > max(WRITE_INTERVAL_SECONDS, self._write_seconds / MAX_WRITE_SHARE):
            self.write()

    def write(self) -> None:
        """Write the report."""
        started = time.monotonic()
        write_report(self.rows, self._folder)
        self._written_at = time.monotonic()
        self._write_seconds = self._written_at - started

    def close(self) -> None:
        """Write the report, say what came of all, and what failed and why."""
        self.write()
        failures = [line for line in self.rows if line.state == "failed"]
        if failures:
            print_message(f"impasto: {len(failures)} of {len(self.rows)} pictures failed:")
            width = min(
                40, max(len(relative_name(line.output, self._folder)) for line in failures[:MAX_FAILURES_SHOWN])
            )
            for line in failures[:MAX_FAILURES_SHOWN]:
                print_message(f"  {relative_name(line.output, self._folder):<{width}}  {line.reason}")
            if len(failures) > MAX_FAILURES_SHOWN:
                print_message(
                    f"  and {len(failures) - MAX_FAILURES_SHOWN} more, in {self._shown_folder / 'report.csv'}"
                )
        if not self._quiet:
            print_result(f"{self._shown_folder}: {count_states(self.rows)}; see {self._shown_folder / 'report.html'}")

    @property
    def has_waiting(self) -> bool:
        """Is any picture neither there nor failed?"""
        return any(line.state == "waiting" for line in self.rows)

    @property
    def has_failures(self) -> bool:
        """Has any picture failed?"""
        return any(line.state == "failed" for line in self.rows)


def _make_row(standing: BatchItem, seconds: float | None) -> ReportRow:
    commission = standing.commission
    settings = commission.settings
    given = settings.model_dump(mode="json", include=settings.model_fields_set)
    line = ReportRow(standing.output, commission.photo, commission.paintings, given)
    if standing.finished and (result := standing.finished.result):
        line.state, line.seconds = "kept", seconds
        line.width, line.height, line.losses = result.width, result.height, result.losses
    elif not standing.job:
        line.state, line.reason = "failed", standing.reason
    return line
