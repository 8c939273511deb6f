"""Settings given from Python, over others; and what may change while a picture is painted."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from impasto.errors import UsageError
from impasto.settings.dependencies import check_settings
from impasto.settings.model import Settings
from impasto.settings.parsing import build_settings, list_changed

# All other settings decide the sizes, the network or the initial canvas.
STEERABLE = (
    "content_weight",
    "style_weight",
    "style_blend",
    "style_size",
    "tv_weight",
    "range_weight",
    "color",
    "color_space",
    "color_match",
    "color_strength",
)
# The result is given other colors by these, except where `color` match changes the paintings instead.
RESULT_SETTINGS = {"color", "color_space", "color_strength"}


def merge_settings(
    settings: Settings | None, given: Mapping[str, Any], base: Mapping[str, Any] = MappingProxyType({})
) -> Settings:
    """Build the settings `given` over `settings`, over `base`, such as a recipe's.

    Errors: UsageError that names each wrong setting, or one that is changed and has no effect.
    """
    if settings is not None and not given and not base:
        merged = settings
    else:
        merged = build_settings(given, {**base, **(settings.model_dump(exclude_unset=True) if settings else {})})
    check_settings(merged, list_changed(merged))
    return merged


def change_settings(settings: Settings, changes: Mapping[str, Any], paintings: int) -> Settings:
    """Return the settings with which a picture with so many paintings continues.

    Errors: UsageError for what can't change while painting, a wrong value, or weights that leave nothing to paint.
    """
    if fixed := sorted(set(changes) - set(STEERABLE)):
        names, steerable = (", ".join(f"`{name}`" for name in names) for names in (fixed, STEERABLE))
        raise UsageError(f"{names} can't change while painting; {steerable} can.", setting=fixed[0])
    changed = merge_settings(None, changes, settings.model_dump(exclude_unset=True))
    check_painting_weights(changed, paintings)
    return changed


def changes_painting(before: Settings, after: Settings) -> bool:
    """Tell whether other settings change what is painted, and not only the colors that the result is given."""
    changed = {name for name in STEERABLE if getattr(before, name) != getattr(after, name)}
    return not changed <= RESULT_SETTINGS or "match" in (before.color, after.color)


def check_painting_weights(settings: Settings, paintings: int) -> None:
    """Raise UsageError for a blend of another number of paintings, or weights that leave nothing to paint."""
    if settings.style_blend and len(settings.style_blend) != paintings:
        raise UsageError(f"`style_blend` needs a weight for each of {paintings} paintings.", setting="style_blend")
    if not any(settings.weights) or not any(settings.style_blend or (1,)):
        raise UsageError("All the weights would be 0: there is nothing to paint.", setting="style_weight")
