"""Earlier states of a painting, kept in its folder every few seconds, to step back to."""

import time
from pathlib import Path

from impasto.errors import CheckpointError, PictureError
from impasto.painting.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from impasto.runs.run import Run
from impasto.studio.form_fields import given_settings
from impasto.studio.previews import write_jpeg
from impasto.studio.store import Snapshot

MIN_SNAPSHOT_SECONDS = 3.0  # seconds between two of them at least
MAX_TIME_SHARE = 0.01  # of the time may go into them
MAX_SNAPSHOTS = 12
MAX_SNAPSHOT_BYTES = 1_000_000_000
MAX_OPTIMIZER_PIXELS = 2_000_000  # pixels, up to which the optimiser's memory is kept with a state to go on from
SNAPSHOT_GONE = "This earlier state is gone: begin from another one, or anew."


class SnapshotStore:
    """Keeps states, and knows when the next one is due; where there are many, some between go."""

    def __init__(self, folder: Path, known: list[Snapshot]) -> None:
        self.folder, self.snapshots = folder, list(known)
        self._at, self._cost = time.perf_counter(), 0.0  # when the last one was kept; seconds that it took

    def read_snapshot(self, number: int) -> tuple[Snapshot, Checkpoint]:
        """Return a state; raises PictureError where it is gone or damaged."""
        state = next((it for it in self.snapshots if it.number == number), None)
        if state is None:
            raise PictureError(SNAPSHOT_GONE)
        try:
            return state, read_checkpoint(self._checkpoint_path(number))
        except CheckpointError:
            raise PictureError(SNAPSHOT_GONE) from None

    def is_due(self) -> bool:
        """Is it time for another one?"""
        return time.perf_counter() - self._at > max(MIN_SNAPSHOT_SECONDS, self._cost / MAX_TIME_SHARE)

    def add_snapshot(self, run: Run, *, memory: bool = False) -> None:
        """Keep where a run is; with its optimiser's `memory`, what follows is as if it had never been left.

        Errors: PictureError where the disk refuses.
        """
        begun, worked = time.perf_counter(), time.process_time()
        self._at, step = begun, run.last_step  # a full disk is not tried again at once
        assert step
        number = max((it.number for it in self.snapshots), default=0) + 1
        memory = memory and step.width * step.height <= MAX_OPTIMIZER_PIXELS
        write_checkpoint(self._checkpoint_path(number), run.capture_state(memory=memory))
        image = run.picture()
        image.thumbnail((160, 160))
        write_jpeg(image, self.folder / f"state-{number}.jpg")
        state = Snapshot(number=number, step=step.step, scale=step.scale, width=step.width, height=step.height)
        self.snapshots.append(state.model_copy(update={"settings": given_settings(run.settings)}))
        while len(self.snapshots) > MAX_SNAPSHOTS or (
            len(self.snapshots) > 1 and self._total_bytes() > MAX_SNAPSHOT_BYTES
        ):
            self._drop_one()
        self._at = time.perf_counter()
        # On a busy machine waiting is no work: the less of both is what it cost.
        self._cost = min(self._at - begun, time.process_time() - worked)

    def _drop_one(self) -> None:
        """Let the state go that the ones beside it make up for best; the first and the last stay, if it can be."""
        steps = [it.step for it in self.snapshots]
        inner = range(1, len(steps) - 1)
        gone = self.snapshots.pop(min(inner, key=lambda place: steps[place + 1] - steps[place - 1], default=0))
        self._checkpoint_path(gone.number).unlink(missing_ok=True)
        (self.folder / f"state-{gone.number}.jpg").unlink(missing_ok=True)

    def _total_bytes(self) -> int:
        files = [self._checkpoint_path(it.number) for it in self.snapshots]
        return sum(file.stat().st_size for file in files if file.exists())

    def _checkpoint_path(self, number: int) -> Path:
        return self.folder / f"state-{number}.safetensors"
