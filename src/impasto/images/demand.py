"""What reading a picture file takes, and how much of it is needed: large JPEG files are decoded smaller."""

from dataclasses import dataclass, field

from PIL import Image as PilImage
from PIL.JpegImagePlugin import JpegImageFile

from impasto.errors import UsageError
from impasto.images.formats import MAX_PIXELS
from impasto.images.sizes import fit_size
from impasto.settings.types import Fit
from impasto.settings.units import USABLE_MEMORY_SHARE, format_bytes

LARGE_PIXELS = 32_000_000  # smaller JPEG files are decoded whole
MARGIN = 2  # times the sides that are needed: what is decoded smaller is a little less sharp
DECODED_BYTES = 26  # of each pixel: up to 12 as decoded and turned upright, and four numbers in float32
PROGRESSIVE_BYTES = 6  # of each pixel of the file: progressive JPEG is decoded when all of it is read
MIN_CHECKED_BYTES = 8 * 1024**2  # reading less is not refused: the plan says what painting takes
DEEP_BYTES = 48  # of each pixel of more than 8 bits: several copies


@dataclass(frozen=True)
class ReadingDemand:
    """How many pixels a picture may have, the size that is needed, and the memory of which some is used already.

    `side` is the side that `rule` measures, in pixels; 0 needs all. `memory_bytes` is for the whole program; 0 is any.
    """

    max_pixels: int = MAX_PIXELS
    side: int = 0
    rule: Fit = "longest"
    memory_bytes: int = field(default=0, compare=False)
    used_bytes: int = field(default=0, compare=False)

    def reduce(self, opened: PilImage.Image) -> None:
        """Have Pillow decode a large JPEG file at a half, a quarter or an eighth of its sides, if that is enough."""
        if self.side and isinstance(opened, JpegImageFile) and opened.width * opened.height > LARGE_PIXELS:
            upright = fit_size(*opened.size, self.side, self.rule)
            turned = fit_size(opened.height, opened.width, self.side, self.rule)[::-1]
            opened.draft(None, tuple(MARGIN * max(sides) for sides in zip(upright, turned, strict=True)))  # type: ignore[arg-type]

    def check_memory(self, name: str, size: tuple[int, int], bytes_for_reading: float) -> int:
        """Return the memory of the program while a picture is read; raises UsageError where it is too much."""
        needed = self.used_bytes + round(bytes_for_reading)
        is_large = bytes_for_reading > MIN_CHECKED_BYTES
        if is_large and self.memory_bytes and needed > USABLE_MEMORY_SHARE * self.memory_bytes:
            raise UsageError(
                f"`memory`: {format_bytes(self.memory_bytes)} may be used, but reading {name}, {size[0]} x {size[1]} "
                f"pixels, takes {format_bytes(needed / USABLE_MEMORY_SHARE)}: make it smaller, save it as JPEG, or "
                "allow more"
            )
        return needed


def estimate_reading(opened: PilImage.Image, file_pixels: int) -> float:
    """Estimate the bytes that decoding an opened image takes; `file_pixels` is the number before it was reduced."""
    each = DEEP_BYTES if opened.mode.startswith(("I", "F")) else DECODED_BYTES
    whole = PROGRESSIVE_BYTES if opened.info.get("progressive") else 0
    return each * opened.width * opened.height + whole * file_pixels
