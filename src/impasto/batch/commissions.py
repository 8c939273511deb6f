"""A picture that is wanted, as the user said it, before it is known where it goes and whether it is there already."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from impasto.settings.model import Settings


@dataclass(frozen=True)
class Commission:
    """A picture that is wanted: absolute paths, settings, how to write it.

    `output` is the name that a job list gives it, below the output folder; None where the template names it. `where` is
    the place in the list, for messages.
    """

    photo: Path
    paintings: tuple[Path, ...]
    settings: Settings
    bits: Literal[8, 16] = 8
    quality: int = 95
    output: str | None = None
    source: str = ""
