"""Frames painted in one pass as they come, for a live window."""

from collections.abc import Callable, Sequence
from pathlib import Path

from torch import Tensor

from impasto.fast.canvas import FastPainter
from impasto.fast.transfer import MomentAverage
from impasto.images.folders import expand_folders
from impasto.images.image import Image
from impasto.images.names import find_free_path, make_file_name
from impasto.images.write import write_image
from impasto.painting.measured import note_other_sizes
from impasto.painting.model_cache import ModelCache
from impasto.painting.prepare import prepare
from impasto.runs.inputs import read_measured
from impasto.runs.job import Job
from impasto.runs.start import start_job
from impasto.settings.model import Settings

NEWEST_SHARE = 0.1  # of the newest frame in the moments that the maps are made from
STRENGTH_STEP = 0.1


class LivePainter:
    """Paints frames in the style of one of several paintings, measured once; `notes` are for the user.

    Errors: UsageError, PictureError as for `paint`.
    """

    def __init__(self, paintings: Sequence[Path], settings: Settings) -> None:
        found, settings, notes = expand_folders(paintings, settings)
        self.settings: Settings = settings
        self.paintings: list[Path] = list(map(Path, found))
        self.number: int = 0
        self._measured = [read_measured(each, settings) for each in self.paintings]
        self.notes: list[str] = [*notes, *(note for each in self._measured for note in each.notes)]
        self.notes += note_other_sizes(settings, self._measured)
        self._paint: Callable[[Image], Tensor] | None = None
        self._cache = ModelCache()

    def describe(self) -> str:
        """Say what it paints with."""
        return f"{self.paintings[self.number].stem}, strength {self.settings.fast_strength:.1f}"

    def paint(self, frame: Image) -> Tensor:
        """Paint a frame (1, 3, H, W); earlier frames count for its maps too, so that nothing flickers."""
        if self._paint is None:
            prepared = prepare(self.settings, frame, [self._measured[self.number]], self._cache)
            painter = FastPainter(prepared, prepared.plan_schedule((frame.width, frame.height)))
            average = MomentAverage(NEWEST_SHARE)
            self._paint = lambda photo: painter.paint(photo, smooth=average)
        return self._paint(frame)

    def change(self, key: str) -> None:
        """Choose the painting to the `left` or `right`, or change the strength `up` or `down`."""
        self.number = (self.number + {"right": 1, "left": -1}.get(key, 0)) % len(self.paintings)
        step = {"up": STRENGTH_STEP, "down": -STRENGTH_STEP}.get(key, 0.0)
        strength = min(1.0, max(0.0, round(self.settings.fast_strength + step, 2)))
        self.settings, self._paint = self.settings.model_copy(update={"fast_strength": strength}), None

    def save(self, frame: Image) -> Path:
        """Save a frame in the current folder, and a picture painted from it alone, with its recipe; return its path."""
        painting = self.paintings[self.number]
        output = find_free_path(Path(make_file_name(f"live_{painting.stem}.png")))
        photo = write_image(frame.rgb, find_free_path(output.with_stem(f"{output.stem}_photo")))
        job = Job(photo=photo, paintings=(painting,), output=output, settings=self.settings)
        run = start_job(job, cache=self._cache)
        for _ in run:
            pass
        return run.write()
