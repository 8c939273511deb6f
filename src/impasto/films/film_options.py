"""Options of films: default, range and help of each. How their frames are painted is in Settings."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from impasto.settings.model import setting
from impasto.settings.types import Weight

Codec = Literal["h264", "lossless"]
Cuts = Literal["fresh", "carry", "none"]
FrameInit = Literal["warped", "previous", "photo"]

FILM_GROUP, MOTION_GROUP = "Film", "From frame to frame"
USED_IN_ONE_PASS = frozenset({"cuts", "temporal_weight"})  # of the second group


class FilmOptions(BaseModel):
    """Which frames of a film are painted, how they hold together, and how the film is written.

    Example: FilmOptions(end="90f", temporal_weight=50)
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    start: str = setting(
        "", FILM_GROUP, "where to begin: a time, 12.5 or 1:02.5, or a frame's number, 30f; by default the first frame"
    )
    end: str = setting(
        "", FILM_GROUP, "where to end: a time, or the last frame's number, 90f; by default the end of the film"
    )
    every: int = setting(1, FILM_GROUP, "paint one frame out of this many; the film keeps its duration", ge=1, le=1000)
    rate: float = setting(25.0, FILM_GROUP, "frames per second of a folder or pattern of frames", gt=0, le=1000)
    codec: Codec = setting("h264", FILM_GROUP, "h264, which plays everywhere, or lossless, which few programs play")
    quality: int = setting(85, FILM_GROUP, "quality of h264 and animated WebP; 50 is small, 100 huge", ge=1, le=100)
    sound: bool = setting(True, FILM_GROUP, "copy sound and subtitles unchanged")

    temporal_weight: Weight = setting(
        20.0,
        MOTION_GROUP,
        "weight of the squared difference from earlier pictures, warped along the motion (gamma); 0: the faster mode, "
        "in which only the start of each frame keeps the film steady",
    )
    look_back: tuple[Annotated[int, Field(ge=1, le=100)], ...] = setting(
        (1, 2, 4), MOTION_GROUP, "how many frames back the earlier pictures are, the nearest first", min_length=1
    )
    frame_init: FrameInit = setting(
        "warped",
        MOTION_GROUP,
        "what a frame starts as: the picture before it, warped along the motion (what is new, as the photo in the "
        "paintings' colors) or as it is; or the photo",
    )
    cuts: Cuts = setting(
        "fresh",
        MOTION_GROUP,
        "how a shot begins after a cut: fresh, like the film's first frame; carry, from the last picture; none: cuts "
        "are not detected",
    )
    passes: int = setting(
        1, MOTION_GROUP, "passes over the film, forward and backward in turn; 3 or 5 for the best result", ge=1, le=100
    )
    frame_steps: int = setting(12, MOTION_GROUP, "steps of a frame after a shot's first, at most", ge=1, le=100_000)
    frame_tolerance: float = setting(
        0.006,
        MOTION_GROUP,
        "a frame is finished when a step lowers its loss by less than this share; 0: take all steps",
        ge=0,
        lt=1,
    )

    def list_given(self) -> dict[str, Any]:
        """Return the options that differ from their defaults, as plain data."""
        return self.model_dump(mode="json", exclude_defaults=True)
