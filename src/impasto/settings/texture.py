"""Textures: pictures in a painting's style without a photo, with what is different for them among the settings."""

import math
import re
from collections.abc import Collection, Mapping
from typing import Any

from impasto.errors import UsageError
from impasto.settings.model import Settings

# What a texture has unless it is asked for otherwise, whatever the preset.
TEXTURE_DEFAULTS: dict[str, Any] = {
    "content_weight": 0.0,
    "init": "noise",
    "noise": "painting",
    "padding": "circular",
    "start_size": 64,  # without a photo the large forms have to be found, and of noise at a large scale some is left
}
PHOTO_SETTINGS = (
    *("balance", "content_taps", "content_loss", "color", "color_space", "color_match", "color_strength"),
    *("mask", "preserve_mask", "labels", "style_labels", "regions"),
)


def parse_texture_size(size: Any) -> dict[str, Any]:
    """Read `1024x512`, or the pair of both sides, as {"size": 1024, "aspect": "2:1"}; a number stays one.

    Raises UsageError for what is neither.
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
        raise UsageError(f"--size: takes one side in pixels, or both, such as 1024x512; not {size!r}") from None


def merge_texture_size(given: Mapping[str, Any]) -> dict[str, Any]:
    """Read the size among the settings that are given for a texture; both sides at once say the aspect as well."""
    if given.get("size") is None:
        return dict(given)
    sides = parse_texture_size(given["size"])
    for name in ("aspect", "fit"):
        if "aspect" in sides and given.get(name) is not None:
            raise UsageError(f"--size {given['size']} says both sides: leave --{name} out")
    return {**given, **sides}


def check_texture(settings: Settings, asked: Collection[str] = ()) -> None:
    """Raise UsageError where settings, or those that are asked for, need a photo, which a texture has not."""
    for name in PHOTO_SETTINGS:
        if name in asked:
            raise UsageError(f"--{name.replace('_', '-')} does nothing without a photo: leave it out")
    if settings.content_weight:
        raise UsageError(
            f"--content-weight {settings.content_weight:g}: there is no photo to weigh. Leave it out, or paint a photo "
            "with impasto PHOTO PAINTING"
        )
    if settings.color != "none":
        raise UsageError(f"--color {settings.color} needs a photo: leave it out")
    for name in ("mask", "preserve_mask", "labels", "regions"):
        if getattr(settings, name):
            raise UsageError(f"--{name.replace('_', '-')} needs a photo: leave it out")
    if settings.init == "photo":
        raise UsageError("--init photo: there is no photo. Choose noise, painting, gray or a picture file")
    if settings.fit == "shrink":
        raise UsageError("--fit shrink: there is no photo that it could keep from being enlarged. Choose longest")


def unmark_defaults(settings: Settings, asked: Collection[str]) -> Settings:
    """Count as chosen only what was asked for, not what every texture has."""
    settings.model_fields_set.difference_update(set(TEXTURE_DEFAULTS) - set(asked))
    return settings
