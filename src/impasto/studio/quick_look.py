"""A quick look: what a picture will be like, painted small within a second or two, before anything is pressed."""

import math
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from impasto.images.image import Image
from impasto.painting.model_cache import ModelCache
from impasto.runs.start import start_run
from impasto.settings.changes import STEERABLE
from impasto.settings.lengths import RELATIVE_RANGE, Length
from impasto.settings.model import Settings

QUICK_PIXELS = 256  # of the longer side
ONE_PASS = {"init": "fast", "steps": 1}
QUICK_SETTINGS: dict[str, Any] = {
    "network": "slim",
    "size": QUICK_PIXELS,
    "guard": 0.0,  # finding faces takes longer than a step; what is brushed is known
}
# The other settings are the quick look's own.
CARRIED = (*STEERABLE, "views", "seed", "regions", "mask", "preserve_mask", "guard_mask")
MAX_VIEWS = 3
CONTENT_SHARE = 0.4  # of the photo's weight: few steps leave the picture nearer to the photo than many


def quick_look(
    photo: Image,
    paintings: Sequence[Image],
    settings: Settings,
    steps: int,
    cache: ModelCache | None = None,
    start: Any = None,
) -> Iterator[Any]:
    """Yield ever better small Pillow images of what `settings` would paint: one pass at once, then one after each step.

    They go on from `start`, an earlier look at the same pictures with other settings, in place of the pass.

    Errors: as for `paint`.
    """
    quick = choose_quick_settings(settings).model_copy(update={"start_size": QUICK_PIXELS, "steps": steps})
    first = start
    if first is None:
        one_pass = ONE_PASS | {"fast_strength": choose_strength(quick)}
        run = start_run(quick.model_copy(update=one_pass), photo, paintings, cache=cache)
        for _ in run:
            first = run.picture()
    yield first
    with tempfile.TemporaryDirectory() as folder:
        if settings.color not in ("none", "match"):  # what is seen is not what was painted
            quick = quick.model_copy(update={"init": "fast"})
        else:
            file = Path(folder) / "start.png"
            first.save(file)
            quick = quick.model_copy(update={"init": str(file)})
        for _ in (run := start_run(quick, photo, paintings, cache=cache)):
            yield run.picture()


def choose_strength(quick: Settings) -> float:
    """Choose how far the one pass goes from the photo: less far where the photo has more weight beside the style."""
    usual = Settings(**QUICK_SETTINGS)
    content = quick.content_weight / (usual.content_weight * CONTENT_SHARE)
    return min(1.0, math.sqrt(quick.style_weight / usual.style_weight / max(content, 1e-9)))


def choose_quick_settings(settings: Settings) -> Settings:
    """Return settings for a quick look. Weights that differ from their preset's do so by as much from the default's."""
    carried = {name: getattr(settings, name) for name in CARRIED}
    usual, quick = Settings(preset=settings.preset, network=settings.network), Settings(**QUICK_SETTINGS)
    for name in ("content_weight", "style_weight", "tv_weight", "range_weight"):
        factor = carried[name] / getattr(usual, name) if getattr(usual, name) else 1.0
        carried[name] = getattr(quick, name) * factor
    carried["content_weight"] *= CONTENT_SHARE
    carried["guard"] = settings.guard if settings.guard_mask else quick.guard
    carried["views"] = settings.views[:MAX_VIEWS] if any(settings.views[:MAX_VIEWS]) else (1.0,)
    low, high = RELATIVE_RANGE
    carried["style_size"] = tuple(
        length
        if length.is_auto
        else Length(min(high, max(low, length.value / (settings.size if length.in_pixels else 1))))
        for length in settings.style_size
    )
    return Settings(**{**QUICK_SETTINGS, **carried})
