"""How a scale is painted, whole or in tiles, with how long a history; and what takes less memory."""

from dataclasses import dataclass, replace

MIN_TILE_SIZE = 128  # in pixels; below it, most of the work is in the margin
MIN_HISTORY = 2
TILE_SIZES = (1024, 512, 256, MIN_TILE_SIZE)  # that are tried, one after the other, where memory runs out


@dataclass(frozen=True)
class ScaleStrategy:
    """How a scale is painted.

    `tile_size` is the side of a tile in pixels, without its margin; 0 for the whole picture at once. `history` is the
    number of pairs that L-BFGS keeps; None for the setting's. `compact` keeps them in bfloat16. `on_disk` keeps the
    photo's features in a file.
    """

    tile_size: int = 0
    history: int | None = None
    compact: bool = False
    on_disk: bool = False

    def step_down(self, longer_side: int, *, can_compact: bool) -> "ScaleStrategy | None":
        """Return a strategy that takes clearly less memory for a canvas of that side, or None if there is none.

        `can_compact` says whether the optimizer has a history that can be kept in bfloat16.
        """
        if not self.tile_size or self.tile_size > 512:
            now = min(self.tile_size or longer_side, longer_side)
            tile_size = next((size for size in TILE_SIZES if size < now), MIN_TILE_SIZE)
            if tile_size > 512:
                return replace(self, tile_size=tile_size)
            return replace(self, tile_size=tile_size, on_disk=True, compact=can_compact)
        if self.history is None or self.history > MIN_HISTORY or self.tile_size > MIN_TILE_SIZE:
            fewer = max(MIN_HISTORY, (self.history or 8) // 2)
            return replace(self, tile_size=max(MIN_TILE_SIZE, self.tile_size // 2), on_disk=True, history=fewer)
        return None

    def limited_by(self, other: "ScaleStrategy") -> "ScaleStrategy":
        """Return what of both takes the less memory."""
        sizes, histories = (self.tile_size, other.tile_size), (self.history, other.history)
        return ScaleStrategy(
            min(filter(None, sizes), default=0),
            min(filter(None, histories), default=None),
            self.compact or other.compact,
            self.on_disk or other.on_disk,
        )

    def describe(self) -> str:
        """Describe it in words."""
        words = [f"in tiles of {self.tile_size} pixels" if self.tile_size else "whole"]
        if self.compact:
            words.append(f"{self.history or 'all'} steps of history in bfloat16")
        elif self.history:
            words.append(f"{self.history} steps of history")
        if self.on_disk:
            words.append("the photo's features on disk")
        return ", ".join(words)
