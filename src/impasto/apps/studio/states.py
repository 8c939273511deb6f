"""Earlier states of a painting, kept in its folder every few seconds, to step back to."""

import time
from pathlib import Path

from impasto.apps.studio.commissions import State
from impasto.apps.studio.knobs import given_of
from impasto.apps.studio.previews import write_jpeg
from impasto.errors import CheckpointError, PictureError
from impasto.jobs import Run
from impasto.painting.checkpoint import Checkpoint, read_checkpoint, write_checkpoint

PAUSE = 3.0  # seconds between two of them at least
SHARE = 0.01  # of the time may go into them
MOST = 12
MOST_BYTES = 1_000_000_000
WITH_MEMORY = 2_000_000  # pixels, up to which the optimiser's memory is kept with a state to go on from
GONE = "This earlier state is gone: begin from another one, or anew."


class States:
    """Keeps states, and knows when the next one is due; where there are many, some between go."""

    def __init__(self, folder: Path, known: list[State]) -> None:
        self.folder, self.known = folder, list(known)
        self._at, self._cost = time.perf_counter(), 0.0  # when the last one was kept; seconds that it took

    def read(self, number: int) -> tuple[State, Checkpoint]:
        """Return a state; raises PictureError where it is gone or damaged."""
        state = next((it for it in self.known if it.number == number), None)
        if state is None:
            raise PictureError(GONE)
        try:
            return state, read_checkpoint(self._file(number))
        except CheckpointError:
            raise PictureError(GONE) from None

    def is_due(self) -> bool:
        """Is it time for another one?"""
        return time.perf_counter() - self._at > max(PAUSE, self._cost / SHARE)

    def keep(self, run: Run, *, memory: bool = False) -> None:
        """Keep where a run is; with its optimiser's `memory`, what follows is as if it had never been left.

        Errors: PictureError where the disk refuses.
        """
        begun, worked = time.perf_counter(), time.process_time()
        self._at, step = begun, run.last  # a full disk is not tried again at once
        assert step
        number = max((it.number for it in self.known), default=0) + 1
        memory = memory and step.width * step.height <= WITH_MEMORY
        write_checkpoint(self._file(number), run.state(memory=memory))
        image = run.picture()
        image.thumbnail((160, 160))
        write_jpeg(image, self.folder / f"state-{number}.jpg")
        state = State(number=number, step=step.step, scale=step.scale, width=step.width, height=step.height)
        self.known.append(state.model_copy(update={"settings": given_of(run.settings)}))
        while len(self.known) > MOST or (len(self.known) > 1 and self._bytes() > MOST_BYTES):
            self._drop()
        self._at = time.perf_counter()
        # On a busy machine waiting is no work: the less of both is what it cost.
        self._cost = min(self._at - begun, time.process_time() - worked)

    def _drop(self) -> None:
        """Let the state go that the ones beside it make up for best; the first and the last stay, if it can be."""
        steps = [it.step for it in self.known]
        inner = range(1, len(steps) - 1)
        gone = self.known.pop(min(inner, key=lambda place: steps[place + 1] - steps[place - 1], default=0))
        self._file(gone.number).unlink(missing_ok=True)
        (self.folder / f"state-{gone.number}.jpg").unlink(missing_ok=True)

    def _bytes(self) -> int:
        files = [self._file(it.number) for it in self.known]
        return sum(file.stat().st_size for file in files if file.exists())

    def _file(self, number: int) -> Path:
        return self.folder / f"state-{number}.safetensors"
