"""Variations: settings with several values each, multiplied out, as for a contact sheet."""

import difflib
import itertools
import math
from collections.abc import Container, Sequence

from impasto.errors import UsageError
from impasto.settings.model import Settings

MAX_VARIATIONS = 100

Variation = dict[str, str]  # one picture's values of the settings that are varied, as the user wrote them


def parse_variations(texts: Sequence[str], given: Container[str]) -> list[Variation]:
    """Read NAME=VALUE,... texts, and combine every value with every other, the last setting's varying first.

    Values that have commas stand between semicolons.

    Errors: UsageError for an unknown setting, one that is varied twice or is also `given`, or over 100 combinations.

    Example: parse_variations(["style_weight=1,3", "preset=default,fine"], {})
    """
    varied: dict[str, list[str]] = {}
    for text in texts:
        name, values = _parse_variation(text)
        if name in varied:
            raise UsageError(f"`vary` {text}: {name} is varied twice; give all its values at once", setting="vary")
        if name in given:
            raise UsageError(f"`vary` {text}: `{name}` is given as well; leave one of them out", setting="vary")
        varied[name] = values
    count = math.prod(map(len, varied.values()))
    if count > MAX_VARIATIONS:
        sizes = " x ".join(str(len(values)) for values in varied.values())
        raise UsageError(
            f"`vary`: {sizes} = {count} pictures are too many for a sheet: vary less, {MAX_VARIATIONS} at most",
            setting="vary",
        )
    return [dict(zip(varied, values, strict=True)) for values in itertools.product(*varied.values())]


def _parse_variation(text: str) -> tuple[str, list[str]]:
    """Read a setting's name and its values."""
    name, equals, values = text.partition("=")
    name = name.strip().lstrip("-").replace("-", "_")
    if not equals or not values.strip(" ,;"):
        raise UsageError(f"`vary` {text}: takes a setting and its values, such as style_weight=0.3,1,3", setting="vary")
    if name not in Settings.model_fields:
        near = difflib.get_close_matches(name, Settings.model_fields, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(Settings.model_fields)}"
        raise UsageError(f"`vary` {text}: there is no setting {name!r}; {hint}", setting="vary")
    pieces = values.split(";" if ";" in values else ",")
    return name, [piece.strip() for piece in pieces if piece.strip()]
