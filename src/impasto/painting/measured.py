"""Paintings of which only moments are known, from a style file, and the settings that need more than these."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from impasto.errors import UsageError
from impasto.images.image import Image
from impasto.painting.styles import Style
from impasto.settings.lengths import Length
from impasto.settings.model import Settings
from impasto.settings.types import WHOLE_MASK

SIZE_TOLERANCE = 1.25  # between the sizes of a picture and of the painting when it was measured


@dataclass(frozen=True, eq=False)
class MeasuredPainting(Image):
    """A painting measured before; `rgb` is a small picture of it.

    `levels` are the moments that one pass needs, by level, and `side` is the painting's longer side in pixels when
    they were measured. `credit` says whose painting it is.
    """

    levels: Style = field(default_factory=dict)
    side: int = 0
    credit: str = ""


def check_measured(settings: Settings, paintings: Sequence[Image]) -> None:
    """Raise UsageError where the settings need the pixels of a painting of which only moments are known."""
    for number, painting in enumerate(paintings):
        if not isinstance(painting, MeasuredPainting):
            continue
        if not settings.is_one_pass:
            raise UsageError(
                f"{painting.path} is a style file, and only `impasto fast` and `preset` instant paint with it: choose "
                "one of these, or give the painting itself.",
                setting="preset",
            )
        for name in _list_pixel_settings(settings, number):
            raise UsageError(
                f"`{name}` needs the painting itself, of which the style file {painting.path} holds only a summary: "
                "leave it out, or give the painting.",
                setting=name,
            )


def _list_pixel_settings(settings: Settings, number: int) -> Iterator[str]:
    """Yield the settings that act on the pixels of a painting, counted from 0."""
    length = settings.style_size[number % len(settings.style_size)]  # one for all, or one for each
    in_use = {
        "style_size": length != Length(1.0),
        "style_mask": any(name != WHOLE_MASK for name in settings.style_mask),
        "style_labels": settings.style_labels,
        "regions": settings.regions,
        "trim": settings.trim == "none",
        "color": settings.color == "match",
        "noise": settings.init_noise and settings.noise == "painting",
    }
    return (name for name, is_used in in_use.items() if is_used)


def note_other_sizes(settings: Settings, paintings: Sequence[Image]) -> list[str]:
    """Say which paintings were measured for pictures of quite another size."""
    return [
        f"{painting.path} was saved for pictures of {painting.side} pixels, and this one has {settings.size}: its "
        "strokes have another size than the painting's own would have. "
        f"`impasto style` saves it anew, with a `size` of {settings.size}."
        for painting in paintings
        if isinstance(painting, MeasuredPainting)
        if not 1 / SIZE_TOLERANCE <= settings.size / painting.side <= SIZE_TOLERANCE
    ]
