"""How a scale is painted: whole or in tiles, with how much of a history; and what needs less memory than that."""

from dataclasses import dataclass, replace

LEAST_SIDE = 128  # of a tile; below it the halo is most of the work
LEAST_HISTORY = 2


@dataclass(frozen=True)
class Manner:
    """How a scale is painted.

    `side` is that of a tile in pixels, without its halo; 0: the picture is looked at whole. `history` is how many steps
    L-BFGS learns from, None for as many as it is set to; `compact` keeps them in bfloat16. `on_disk` keeps the photo's
    features in a file.
    """

    side: int = 0
    history: int | None = None
    compact: bool = False
    on_disk: bool = False

    def lower(self, *, can_compact: bool) -> "Manner | None":
        """Return a manner that takes clearly less memory, or None where there is none.

        `can_compact` says whether the optimiser has a history that can be kept in bfloat16.
        """
        if not self.side:
            return replace(self, side=1024)
        if self.side > 512:
            return replace(self, side=512, on_disk=True, compact=can_compact)
        if self.history is None or self.history > LEAST_HISTORY or self.side > LEAST_SIDE:
            fewer = max(LEAST_HISTORY, (self.history or 8) // 2)
            return replace(self, side=max(LEAST_SIDE, self.side // 2), on_disk=True, history=fewer)
        return None

    def describe(self) -> str:
        """Say it in words."""
        words = [f"in tiles of {self.side} pixels" if self.side else "whole"]
        if self.compact:
            words.append(f"{self.history or 'all'} steps of history in bfloat16")
        elif self.history:
            words.append(f"{self.history} steps of history")
        if self.on_disk:
            words.append("the photo's features on disk")
        return ", ".join(words)
