"""What size and time a painting will take, said before it begins."""

from pathlib import Path
from typing import TYPE_CHECKING

from impasto.pictures.sizes import fit, ladder
from impasto.settings import Settings

if TYPE_CHECKING:
    from impasto.apps.studio.desk import Desk

BYTES_PER_PIXEL = 1100  # what the embedded network takes for its features, in bfloat16, and the optimiser's memory


def foresee(desk: "Desk", photo: Path, paintings: list[Path], settings: Settings) -> str:  # noqa: ARG001
    """Say the size in pixels, the scales, and the time, by the pace of what was painted here before."""
    width, height = desk.size_of(photo)
    sizes = [fit(width, height, side) for side in ladder(settings.size, settings.start_size, settings.scale_step)]
    said = f"{sizes[-1][0]} x {sizes[-1][1]} pixels, painted in {len(sizes)} scale{'s' if len(sizes) > 1 else ''}."
    if pace := desk.workshop.pace():
        work = sum(
            (settings.steps if number == 0 else settings.later_steps) * width * height
            for number, (width, height) in enumerate(sizes)
        )
        said += f" About {in_words(work * pace)} at the pace of the last picture."
    return said


def in_words(seconds: float) -> str:
    """Write a time for people: `40 seconds`, `3 minutes`, `2 hours`."""
    for size, name in ((3600, "hour"), (60, "minute")):
        if seconds >= 1.5 * size:
            count = round(seconds / size)
            return f"{count} {name}s"
    return f"{max(1, round(seconds))} seconds"
