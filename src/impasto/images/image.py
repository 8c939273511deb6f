"""An image in memory."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from impasto.images.sizes import resize_clamped
from impasto.images.transparency import fill_hidden


@dataclass(frozen=True, eq=False)
class Image:
    """An sRGB image: `rgb` (1, 3, H, W) and `alpha` (1, 1, H, W), both in [0, 1]; `alpha` is None where all is opaque.

    `path` is the file that it was read from, or None. `notes` say what of the file was left out or guessed.
    `guard_map` (1, 1, h, w) of any size, in [0, 1], says what must stay readable in a photo; None: nothing more than
    the rest. `reading_bytes` is the memory of the program while it was read, where that is known.

    Example: Image(torch.rand(1, 3, 48, 64)).width == 64
    """

    rgb: Tensor
    alpha: Tensor | None = None
    path: Path | None = None
    notes: tuple[str, ...] = ()
    reading_bytes: int = 0
    guard_map: Tensor | None = None

    @property
    def width(self) -> int:
        """The width in pixels."""
        return self.rgb.shape[3]

    @property
    def height(self) -> int:
        """The height in pixels."""
        return self.rgb.shape[2]

    @property
    def as_painting(self) -> str:
        """What messages call it where it is a painting: by its file, if it has one."""
        return f"The painting {self.path}" if self.path else "The painting"

    def to(self, device: torch.device) -> Self:
        """Move the pixels to a device."""
        alpha, guard_map = (None if mask is None else mask.to(device) for mask in (self.alpha, self.guard_map))
        return replace(self, rgb=self.rgb.to(device), alpha=alpha, guard_map=guard_map)

    def resized(self, width: int, height: int) -> Self:
        """Resize to a size in pixels, clamped to [0, 1], in the memory layout that networks are fast with."""
        rgb = resize_clamped(self.rgb, width, height).contiguous(memory_format=torch.channels_last)
        return replace(self, rgb=rgb, alpha=None if self.alpha is None else resize_clamped(self.alpha, width, height))

    def flattened(self) -> Tensor:
        """Return `rgb` with transparent parts blended into the mean visible color."""
        if self.alpha is None:
            return self.rgb
        mean = (self.rgb * self.alpha).sum((2, 3), keepdim=True) / self.alpha.sum()
        return torch.lerp(mean, self.rgb, self.alpha)

    def with_hidden_filled(self) -> Self:
        """Give transparent pixels the colors of the visible ones around them: what was hidden there changes nothing."""
        return self if self.alpha is None else replace(self, rgb=fill_hidden(self.rgb, self.alpha))

    def masked_to(self, mask: Tensor | None) -> Self:
        """Make all transparent that a mask (1, 1, h, w) of any size leaves out; None leaves out nothing."""
        if mask is None:
            return self
        mask = resize_clamped(mask, self.width, self.height)
        return replace(self, alpha=mask if self.alpha is None else self.alpha * mask)

    def masked_out(self, mask: Tensor | None) -> Self:
        """Make all transparent that a mask (1, 1, h, w) of any size covers."""
        return self.masked_to(None if mask is None else 1 - mask)

    def is_visible(self, mask: Tensor | None = None) -> bool:
        """Tell whether anything is visible through a mask (1, 1, h, w) of any size."""
        alpha = self.masked_to(mask).alpha
        return alpha is None or bool((alpha > 1e-3).any())
