"""The photo's features, the targets of the content loss, by tile: in memory or in a file."""

import os
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from impasto.errors import ImpastoError
from impasto.painting.tiles import Tile


class ContentStore:
    """Features (1, C, h, w) by tap and tile. With `on_disk` they are in an unnamed file that ends with the process."""

    def __init__(self, *, on_disk: bool) -> None:
        self._held: dict[tuple[str, Tile], Tensor] = {}
        self._places: dict[tuple[str, Tile], tuple[int, torch.Size, torch.dtype, torch.device]] = {}
        self._file: BinaryIO | None = None
        if on_disk:
            self._file = tempfile.TemporaryFile(dir=scratch_folder())  # noqa: SIM115
            weakref.finalize(self, self._file.close)

    def put(self, tap: str, tile: Tile, features: Tensor) -> None:
        """Store a tile's features at a tap. Errors: ImpastoError where the disk is full."""
        if self._file is None:
            self._held[tap, tile] = features
            return
        rows = features.permute(0, 2, 3, 1)  # (1, h, w, C), as it is in memory
        self._places[tap, tile] = self._file.tell(), rows.shape, rows.dtype, rows.device
        try:
            self._file.write(rows.contiguous().cpu().view(torch.uint8).numpy().data)
        except OSError as error:
            raise ImpastoError(
                f"The photo's features can't be stored in {scratch_folder()}, {error.strerror or error}: make room "
                "there, name another folder in TMPDIR, or allow more `memory`"
            ) from error

    def get(self, tap: str, tile: Tile) -> Tensor:
        """Return a tile's features at a tap."""
        if self._file is None:
            return self._held[tap, tile]
        place, shape, dtype, device = self._places[tap, tile]
        rows = torch.empty(shape, dtype=dtype)
        self._file.seek(place)
        self._file.readinto(rows.flatten().view(torch.uint8).numpy().data)  # type: ignore[attr-defined]
        return rows.permute(0, 3, 1, 2).to(device)

    def iterate_tiles(self, tap: str) -> Iterator[tuple[Tile, Tensor]]:
        """Yield a tap's tiles with their features."""
        for held, tile in [*self._held, *self._places]:
            if held == tap:
                yield tile, self.get(tap, tile)


def scratch_folder() -> Path:
    """Return the folder for large temporary files: TMPDIR, or else /var/tmp, because /tmp may be in memory."""
    if "TMPDIR" not in os.environ and os.access("/var/tmp", os.W_OK):
        return Path("/var/tmp")
    return Path(tempfile.gettempdir())
