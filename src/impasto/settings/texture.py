"""Settings of textures: pictures in a painting's style without a photo."""

import math
import re
from collections.abc import Collection, Mapping
from typing import Any

from impasto.errors import UsageError
from impasto.settings.model import Settings

# A texture's own defaults, whatever the preset.
TEXTURE_DEFAULTS: dict[str, Any] = {
    "content_weight": 0.0,
    "init": "noise",
    "noise": "painting",
    "padding": "circular",
    "start_size": 64,  # without a photo the large forms have to be found, and of noise at a large scale some is left
}
PHOTO_SETTINGS = (
    *("content_taps", "coarse_taps", "content_colors", "content_loss", "structure_weight"),
    *("color", "color_space", "color_match", "color_strength", "fast_strength"),
    *("mask", "preserve_mask", "guard", "guard_mask", "labels", "style_labels", "regions"),
)

PHOTO_VALUES: dict[str, tuple[str, ...]] = {
    "preset": ("instant",),
    "init": ("photo", "recolored", "fast"),
    "fit": ("shrink",),
    "color": ("keep", "match", "only"),
}


def parse_texture_size(size: Any) -> dict[str, Any]:
    """Read `1024x512`, or the pair of both sides, as {"size": 1024, "aspect": "2:1"}; a number stays one side.

    Errors: UsageError for anything else.
    """
    both = re.fullmatch(r"\s*(\d+)\s*[xX]\s*(\d+)\s*", size) if isinstance(size, str) else None
    sides = both.groups() if both else size
    if not isinstance(sides, list | tuple):
        return {"size": size}
    try:
        width, height = map(int, sides)
        common = math.gcd(width, height) if min(width, height) > 0 else 0
        return {"size": max(width, height), "aspect": f"{width // common}:{height // common}"}
    except (TypeError, ValueError, ZeroDivisionError):
        message = f"`size` takes one side in pixels, or both, such as 1024x512; not {size!r}"
        raise UsageError(message, setting="size") from None


def merge_texture_size(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings given for a texture with `size` parsed: both sides at once give the aspect too."""
    if given.get("size") is None:
        return dict(given)
    sides = parse_texture_size(given["size"])
    for name in ("aspect", "fit"):
        if "aspect" in sides and given.get(name) is not None:
            raise UsageError(f"`size` {given['size']} says both sides: leave `{name}` out", setting=name)
    return {**given, **sides}


def check_texture(settings: Settings, given: Collection[str] = ()) -> None:
    """Raise UsageError for settings that need a photo, or that are `given` and have an effect only with one."""
    for name in PHOTO_SETTINGS:
        if name in given:
            raise UsageError(f"`{name}` has no effect without a photo: leave it out", setting=name)
    for name in ("content_weight", "mask", "preserve_mask", "guard_mask", "labels", "regions"):
        if getattr(settings, name):
            raise UsageError(f"`{name}` needs a photo: leave it out, or paint a photo", setting=name)
    for name, values in PHOTO_VALUES.items():
        if (value := getattr(settings, name)) in values:
            raise UsageError(f"`{name}` {value} needs a photo: choose another value, or paint a photo", setting=name)


def unmark_defaults(settings: Settings, given: Collection[str]) -> Settings:
    """Count only the `given` settings as set, not those that every texture has."""
    settings.model_fields_set.difference_update(set(TEXTURE_DEFAULTS) - set(given))
    return settings
