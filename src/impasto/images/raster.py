"""A picture on its way into a file: rows of whole numbers, found when they are asked for."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

BAND_ROWS = 64  # rows that are worked on at once


@dataclass(frozen=True, eq=False)
class Raster:
    """`rows(top, bottom)` gives (bottom - top, width, channels) of uint8 or uint16; of 4 channels the last is alpha."""

    width: int
    height: int
    channels: int
    bits: int
    read_rows: Callable[[int, int], NDArray[Any]]

    def iterate_bands(self) -> Iterator[tuple[int, NDArray[Any]]]:
        """Go through the picture from the top, `BAND` rows at a time: the first row's number, and the rows."""
        for top in range(0, self.height, BAND_ROWS):
            yield top, self.read_rows(top, min(self.height, top + BAND_ROWS))
