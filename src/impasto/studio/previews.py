"""Small pictures for the page, and when the next preview is due."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from impasto.runs.run import Run

if TYPE_CHECKING:
    from impasto.films.film_run import FilmRun

PREVIEW_PIXELS = 1200  # pixels
JPEG_QUALITY = 85
FIRST_STEPS = (2, 4, 8)  # steps after the beginning, or after a knob was moved, that are shown at once
MAX_TIME_SHARE = 0.03  # of the time may go into previews
MIN_SECONDS = 1.0  # seconds between two of them at least


class PreviewWriter:
    """Writes previews of a run, soon after a change, and so that all of them together cost little time."""

    def __init__(self, path: Path, version: int) -> None:
        self.path, self.version = path, version
        self.steps_since_change = 0  # steps since the beginning, or since a knob was moved
        self._at, self._cost = time.perf_counter(), 0.0  # when the last one was shown; seconds that it took

    def is_due(self) -> bool:
        """Is it time for another one?"""
        soon = self.steps_since_change in FIRST_STEPS and self._cost < 0.1
        return soon or time.perf_counter() - self._at > max(MIN_SECONDS, self._cost / MAX_TIME_SHARE)

    def write_preview(self, run: "Run | FilmRun") -> None:
        """Write the picture as it is now."""
        begun, worked = time.perf_counter(), time.process_time()
        image = run.picture()
        image.thumbnail((PREVIEW_PIXELS, PREVIEW_PIXELS))
        write_jpeg(image, self.path)
        self.version += 1
        self._at = time.perf_counter()
        # On a busy machine waiting is no work: the less of both is what the preview cost.
        self._cost = min(self._at - begun, time.process_time() - worked)


def write_jpeg(image: Any, path: Path) -> None:
    """Write a small picture under another name first: whoever reads it finds a whole one."""
    temporary = path.with_suffix(".part")
    if image.mode != "RGB":
        image = image.convert("RGBA")
        paper = image.copy()
        paper.paste((255, 255, 255, 255), (0, 0, *image.size))
        paper.alpha_composite(image)
        image = paper.convert("RGB")
    image.save(temporary, "JPEG", quality=JPEG_QUALITY)
    temporary.replace(path)
