"""What a terminal shows of workers: their downloads, their progress, and what became of each item."""

from collections.abc import Iterable

from impasto.network.registry import REGISTRY, fetch_network
from impasto.settings.model import Settings
from impasto.terminal.progress import ProgressDisplay, show_download
from impasto.workers.messages import Event, TaskFailed, TaskFinished, TaskProgress, WorkerLost
from impasto.workers.pool import WorkerOptions


class WorkerDisplay(ProgressDisplay):
    """Shows events of workers: how far the items are on a bar, and a line for each that is finished or has failed."""

    def __init__(self, item_count: int, quiet: bool) -> None:
        super().__init__(quiet, seconds_between_lines=None)
        self._item_count, self._finished_count = item_count, 0
        self._shares: dict[int, float] = {}  # of the items being painted, by their number

    def show_event(self, name: str, event: Event) -> None:
        """Show an event of the item with this name."""
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


def fetch_networks(settings: Iterable[Settings], options: WorkerOptions, quiet: bool) -> None:
    """Download the networks that local workers need: once, and before they start."""
    if options.engine == "local":
        for network in {each.network for each in settings} & {*REGISTRY}:
            with show_download(network, quiet) as progress:
                fetch_network(network, progress=progress)
