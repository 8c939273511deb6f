"""What may change while a picture is painted, and settings put together from what is asked and what was before."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from impasto.errors import UsageError
from impasto.settings.model import Settings

# All else decides the ladder, the network or the beginning.
STEERABLE = (
    "balance",
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


def merge_settings(
    settings: Settings | None, asked: Mapping[str, Any], before: Mapping[str, Any] = MappingProxyType({})
) -> Settings:
    """Build the settings of what is `asked`, over those of `settings`, over what was `before`.

    Errors: UsageError that names each fault.
    """
    given = settings.model_dump(exclude_unset=True) if settings else {}
    try:
        return Settings.model_validate({**before, **given, **asked}, context={"asked": asked, "strict": False})
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, fault['loc'])) or 'settings'}: {fault['msg']}" for fault in error.errors()]
        raise UsageError("; ".join(faults)) from None


def change_settings(settings: Settings, changes: Mapping[str, Any], paintings: int) -> Settings:
    """Return the settings that a picture of so many paintings goes on with.

    Errors: UsageError for what can't change while painting, a wrong value, or weights that leave nothing to paint.
    """
    if fixed := sorted(set(changes) - set(STEERABLE)):
        raise UsageError(f"{', '.join(fixed)} can't change while painting; {', '.join(STEERABLE)} can.")
    turned = merge_settings(settings, changes)
    check_painting_weights(turned, paintings)
    return turned


def check_painting_weights(settings: Settings, paintings: int) -> None:
    """Raise UsageError for a blend of another number of paintings, or weights that leave nothing to paint."""
    if settings.style_blend and len(settings.style_blend) != paintings:
        raise UsageError(f"--style-blend needs a weight for each of {paintings} paintings.")
    if not any(settings.weights) or not any(settings.style_blend or (1,)):
        raise UsageError("All the weights would be 0: there is nothing to paint.")
