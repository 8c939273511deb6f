"""Previews of a painting for the page, and snapshots of it to go back to."""

from pathlib import Path
from typing import TYPE_CHECKING

from impasto.errors import CheckpointError, PictureError
from impasto.painting.checkpoint_file import Checkpoint, read_checkpoint, write_checkpoint
from impasto.runs.checkpoints import Throttle
from impasto.runs.run import Run
from impasto.studio.form import given_settings
from impasto.studio.store import Snapshot
from impasto.studio.uploads import write_jpeg

if TYPE_CHECKING:
    from impasto.films.film_run import FilmRun

PREVIEW_PIXELS = 2048  # longer side
THUMBNAIL_PIXELS = 160
EARLY_STEPS = (2, 4, 8)  # after the beginning or a change of the settings: shown at once
MAX_EARLY_SECONDS = 0.1  # that a preview may cost to be shown at these
MAX_PREVIEW_SHARE = 0.03  # of the time
MIN_PREVIEW_INTERVAL_SECONDS = 1.0
MAX_SNAPSHOT_SHARE = 0.01  # of the time
MIN_SNAPSHOT_INTERVAL_SECONDS = 3.0
MAX_SNAPSHOTS = 12
MAX_SNAPSHOT_BYTES = 1_000_000_000
MAX_OPTIMIZER_PIXELS = 2_000_000  # up to which a snapshot to continue from keeps the optimizer's state
SNAPSHOT_GONE = "This earlier state is gone: begin from another one, or anew."


class PreviewWriter:
    """Writes previews of a run: soon after a change, and otherwise seldom enough to cost little time."""

    def __init__(self, path: Path) -> None:
        self.path: Path = path
        self.steps_since_change = 0
        self._throttle = Throttle(MAX_PREVIEW_SHARE, MIN_PREVIEW_INTERVAL_SECONDS, counts_waiting=False)

    def is_due(self) -> bool:
        """Whether it is time for another preview."""
        is_early = self.steps_since_change in EARLY_STEPS and self._throttle.cost_seconds < MAX_EARLY_SECONDS
        return is_early or self._throttle.is_due

    def write_preview(self, run: "Run | FilmRun") -> None:
        """Write the picture as it is now. Raises PictureError if the disk refuses."""
        with self._throttle.measure():
            write_jpeg(run.picture(), self.path, PREVIEW_PIXELS)


class SnapshotStore:
    """A painting's snapshots in its folder, by their steps; of too many, some are dropped."""

    def __init__(self, folder: Path, snapshots: list[Snapshot]) -> None:
        self.folder: Path = folder
        self.snapshots: list[Snapshot] = list(snapshots)
        self._throttle = Throttle(MAX_SNAPSHOT_SHARE, MIN_SNAPSHOT_INTERVAL_SECONDS, counts_waiting=False)

    def is_due(self) -> bool:
        """Whether it is time for another snapshot."""
        return self._throttle.is_due

    def read_snapshot(self, number: int) -> tuple[Snapshot, Checkpoint]:
        """Read a snapshot. Raises PictureError if it is gone or damaged."""
        snapshot = next((known for known in self.snapshots if known.number == number), None)
        if snapshot is None:
            raise PictureError(SNAPSHOT_GONE)
        try:
            return snapshot, read_checkpoint(self._checkpoint_path(number))
        except CheckpointError:
            raise PictureError(SNAPSHOT_GONE) from None

    def add_snapshot(self, run: Run, *, memory: bool = False, spared: int | None = None) -> None:
        """Write a run's state; with the optimizer's `memory`, a run that continues from it paints the same picture.

        The snapshot numbered `spared` is not dropped for it. Raises PictureError if the disk refuses.
        """
        with self._throttle.measure():
            step = run.last_step
            assert step
            number = max((known.number for known in self.snapshots), default=0) + 1
            memory = memory and step.width * step.height <= MAX_OPTIMIZER_PIXELS
            write_checkpoint(self._checkpoint_path(number), run.capture_state(with_optimizer=memory))
            write_jpeg(run.picture(), self._thumbnail_path(number), THUMBNAIL_PIXELS)
            position = {"step": step.step, "scale": step.scale, "width": step.width, "height": step.height}
            self.snapshots.append(Snapshot(number=number, settings=given_settings(run.settings), **position))
            self.snapshots.sort(key=lambda snapshot: (snapshot.step, snapshot.number))  # of one that went back
            self._drop_extra((number, spared))

    def _drop_extra(self, spared: tuple[int | None, ...]) -> None:
        """Drop the snapshots that leave the smallest gaps; the first and the last stay as long as possible."""
        while len(self.snapshots) > MAX_SNAPSHOTS or (
            len(self.snapshots) > 1 and self._total_bytes() > MAX_SNAPSHOT_BYTES
        ):
            steps = [snapshot.step for snapshot in self.snapshots]
            indices = [index for index, known in enumerate(self.snapshots) if known.number not in spared]
            inner = [index for index in indices if 0 < index < len(steps) - 1]
            if not indices:
                return
            index = min(inner, key=lambda index: steps[index + 1] - steps[index - 1], default=indices[0])
            number = self.snapshots.pop(index).number
            self._checkpoint_path(number).unlink(missing_ok=True)
            self._thumbnail_path(number).unlink(missing_ok=True)

    def _total_bytes(self) -> int:
        files = [self._checkpoint_path(snapshot.number) for snapshot in self.snapshots]
        return sum(file.stat().st_size for file in files if file.exists())

    def _checkpoint_path(self, number: int) -> Path:
        return self.folder / f"snapshot-{number}.safetensors"

    def _thumbnail_path(self, number: int) -> Path:
        return self.folder / f"snapshot-{number}.jpg"
