"""Checkpoints of pictures in a batch: so often that little is lost, so seldom that little is spent on them."""

import time
from pathlib import Path

from impasto.errors import CheckpointError, PictureError
from impasto.painting.checkpoint import read_checkpoint, write_checkpoint
from impasto.runs.run import Run

MAX_CHECKPOINT_SHARE = 0.05  # of the time, for writing checkpoints


class BatchCheckpoint:
    """Keeps a run in its checkpoint, `every` so many seconds at most; 0: only when it is stopped."""

    def __init__(self, run: Run, path: Path, every: float) -> None:
        self.notes: list[str] = []
        self._run, self._path, self._every = run, path, every
        self._last, self._cost = time.perf_counter(), 0.0

    def resume(self) -> int:
        """Bring the run to where its checkpoint is, and return that step; 0 where there is none that serves."""
        if not self._path.exists():
            return 0
        try:
            self._run.load_state(read_checkpoint(self._path))
        except CheckpointError as error:
            self.notes.append(f"painted from the start, as its checkpoint does not serve: {error}")
            return 0
        return self._run.painter.state.steps_done

    @property
    def is_due(self) -> bool:
        """Is it time for another checkpoint?"""
        wait = max(self._every, self._cost / MAX_CHECKPOINT_SHARE)
        return bool(self._every) and time.perf_counter() - self._last > wait

    def save(self) -> bool:
        """Write the checkpoint; a disk that refuses is no reason to stop painting."""
        started = time.perf_counter()
        try:
            write_checkpoint(self._path, self._run.capture_state())
        except PictureError as error:
            self.notes.append(f"painted without a checkpoint: {error}")
            self._every = 0
            return False
        finally:
            self._last = time.perf_counter()
            self._cost = self._last - started
        return True
