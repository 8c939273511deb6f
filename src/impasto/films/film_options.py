"""Every knob of a film once: default, range, help. What paints its frames is in Settings."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from impasto.settings.model import setting
from impasto.settings.types import Weight

Codec = Literal["h264", "lossless"]
Cuts = Literal["fresh", "carry", "none"]
FrameInit = Literal["warped", "previous", "photo"]

FILM_GROUP, MOTION_GROUP = "Film", "From frame to frame"


class FilmOptions(BaseModel):
    """What of a film is painted, how its frames hold together, and how it is written.

    Example: FilmOptions(end="90f", temporal_weight=50)
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    start: str = setting(
        "", FILM_GROUP, "where to begin: a time, 12.5 or 1:02.5, or a frame's number, 30f; if not given, at the first"
    )
    end: str = setting(
        "", FILM_GROUP, "where to end: a time, or the last frame's number, 90f; if not given, with the film"
    )
    every: int = setting(1, FILM_GROUP, "paint each frame of so many; the film keeps its duration", ge=1, le=1000)
    rate: float = setting(25.0, FILM_GROUP, "frames a second of a folder or pattern of frames", gt=0, le=1000)
    codec: Codec = setting("h264", FILM_GROUP, "h264, which plays everywhere, or lossless, which few things play")
    quality: int = setting(85, FILM_GROUP, "of h264 and of animated WebP; 50 is small, 100 huge", ge=1, le=100)
    sound: bool = setting(True, FILM_GROUP, "pass sound and subtitles on untouched")

    temporal_weight: Weight = setting(
        20.0,
        MOTION_GROUP,
        "weight of the squared difference from the pictures before, carried along the motion (gamma); 0: the cheaper "
        "mode, held by what each frame begins with alone",
    )
    look_back: tuple[Annotated[int, Field(ge=1, le=100)], ...] = setting(
        (1, 2, 4), MOTION_GROUP, "how many frames back those pictures are, the closest first", min_length=1
    )
    frame_init: FrameInit = setting(
        "warped",
        MOTION_GROUP,
        "what a frame begins with: the picture before it carried along the motion, as it is, or the photo",
    )
    cuts: Cuts = setting(
        "fresh",
        MOTION_GROUP,
        "how a shot begins after a cut: fresh, as the film does; carry, with the last picture's paint; none: cuts are "
        "not looked for",
    )
    passes: int = setting(
        1,
        MOTION_GROUP,
        "how often the film is gone over, forward and backward in turn; 3 or 5 for the best",
        ge=1,
        le=100,
    )
    frame_steps: int = setting(12, MOTION_GROUP, "steps of a frame after a shot's first, at most", ge=1, le=100_000)
    patience: float = setting(
        0.006,
        MOTION_GROUP,
        "a frame is done when a step lowers its loss by less than this share; 0: all its steps are taken",
        ge=0,
        lt=1,
    )

    def list_given(self) -> dict[str, Any]:
        """Return what is not as it is by default, as plain data."""
        return self.model_dump(mode="json", exclude_defaults=True)
