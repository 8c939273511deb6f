"""The form: its fields derived from Settings, and settings read from its values."""

import functools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from impasto.errors import UsageError, rename_settings
from impasto.settings.changes import STEERABLE
from impasto.settings.dependencies import list_ineffective
from impasto.settings.lengths import PIXEL_RANGE, RELATIVE_RANGE, Length, format_lengths, parse_lengths
from impasto.settings.model import Settings
from impasto.settings.parsing import parse_settings
from impasto.settings.types import INIT_CHOICES

FieldKind = Literal["choice", "checkbox", "integer", "number", "weights", "text"]

LABELS = {
    "tv_weight": "Smoothness",
    "style_size": "Stroke size",
    "color": "Colours",
    "color_strength": "How much of them",
    "content_weight": "Weight of the photo",
    "style_weight": "Weight of the paintings",
    "init": "Begin with",
    "vary": "What to vary",
}
HELP_TEXTS = {  # shorter than the settings' own, for fields whose label says the rest
    "tv_weight": "how alike neighbouring pixels are made",
    "size": "longer side in pixels",
    "preset": "sets all fields to those of another program or paper",
}
KINDS: dict[str, FieldKind] = {"boolean": "checkbox", "integer": "integer", "number": "number"}  # by type in the schema
TEXT_SETTINGS = ("style_size",)  # which never name a file
STROKE_RANGE = (0.1, 4.0)
MIDDLE = 50.0  # of the balance, where the photo's weight is as set
MAX_BALANCE_FACTOR = 20.0  # of the photo's weight, at a balance of 0; at 100 it is divided by as much


@dataclass(frozen=True)
class FormField:
    """A field of the form: `choices` for a choice, `minimum` and `maximum` where the setting has them."""

    name: str
    group: str
    help: str
    kind: FieldKind
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None

    @property
    def label(self) -> str:
        """The text above the field."""
        return setting_label(self.name)


def setting_label(name: str) -> str:
    """Return a setting's name on the page."""
    return LABELS.get(name, name.replace("_", " ").capitalize())


def page_message(error: Exception | str, folder: Path | None = None) -> str:
    """Write an error for the page: settings by their labels, files in a job's `folder` by their names."""
    text = rename_settings(str(error), lambda name: f"“{setting_label(name)}”")
    if folder:
        text = text.replace(f"{folder / 'inputs'}{os.sep}", "").replace(f"{folder}{os.sep}", "")
    return text


@functools.cache
def form_fields() -> dict[str, FormField]:
    """List the settings that a visitor may set, in their order.

    Settings that name files, and unknown text, are left out: a visitor must not name files on this machine.
    """
    fields = {}
    for name, schema in Settings.model_json_schema()["properties"].items():
        if (kind := _find_kind(name, schema)) is not None:
            help_text = page_message(HELP_TEXTS.get(name, schema["description"]))
            choices = LISTED_CHOICES[name]() if name in LISTED_CHOICES else tuple(schema.get("enum", ()))
            limits = schema.get("minimum"), schema.get("maximum")
            fields[name] = FormField(name, schema["group"], help_text, kind, choices, *limits)
    return fields


def _find_kind(name: str, schema: Mapping[str, Any]) -> FieldKind | None:
    if name in LISTED_CHOICES or "enum" in schema:
        return "choice"
    if name in TEXT_SETTINGS:
        return "text"
    if schema["type"] in ("object", "array"):
        return "weights" if _holds_numbers(schema) else None
    return KINDS.get(schema["type"])


def _holds_numbers(schema: Mapping[str, Any]) -> bool:
    values = [*schema.get("patternProperties", {}).values(), schema.get("items"), schema.get("additionalProperties")]
    types = [value.get("type") for value in values if isinstance(value, dict)]
    return bool(types) and set(types) == {"number"}


def _list_networks() -> tuple[str, ...]:
    from impasto.network import registry

    return tuple(
        known.entry.name for known in registry.list_statuses() if known.state in ("embedded", "installed", "cached")
    )


def _list_devices() -> tuple[str, ...]:
    import torch

    is_there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    return ("auto", "cpu", *(name for name, there in is_there.items() if there))


LISTED_CHOICES: dict[str, Callable[[], tuple[str, ...]]] = {
    "network": _list_networks,
    "device": _list_devices,
    "init": lambda: INIT_CHOICES,
}


def check_settings(given: Mapping[str, Any], base: Mapping[str, Any] | None = None) -> Settings:
    """Return the Settings that a visitor gave, over those of `base`. Raises UsageError for what is wrong in `given`."""
    for name, value in given.items():
        field = form_fields().get(name)
        if field is None:
            fault = "can not be set in the studio" if name in Settings.model_fields else "is no setting"
            raise UsageError(f"“{setting_label(name)}” {fault}.", setting=name)
        if field.kind == "choice" and value not in field.choices:
            raise UsageError(f"`{name}` is one of {', '.join(field.choices)}.", setting=name)
    return parse_settings({name: _as_text(name, value) for name, value in given.items()}, base)


def _as_text(name: str, value: Any) -> Any:
    """Return a value as the parser of settings takes it: lists, and a number in place of a list, as text."""
    if isinstance(value, list | tuple):
        return [str(item) for item in value]
    is_list = form_fields()[name].kind in ("weights", "text") and isinstance(value, int | float)
    return str(value) if is_list else value


def read_form(
    values: Mapping[str, Any], *, balance: float = MIDDLE, stroke_scale: float = 1.0, blend: tuple[float, ...] = ()
) -> dict[str, Any]:
    """Return the settings that a visitor chose: values other than the preset's, and the size. Empty fields don't count.

    `balance` (0 to 100) turns the photo's weight, `stroke_scale` multiplies the style sizes, `blend` are the paintings'
    weights.
    """
    preset: Any = values.get("preset") or "default"
    base = field_values(Settings(preset=preset))
    given: dict[str, Any] = {} if preset == "default" else {"preset": preset}
    for name, value in values.items():
        if name != "preset" and value not in (None, "") and (name == "size" or value != base[name]):
            given[name] = value
    if balance != MIDDLE:
        weight = float(given.get("content_weight", base["content_weight"]))
        given["content_weight"] = float(f"{weight * MAX_BALANCE_FACTOR ** (1 - balance / MIDDLE):.6g}")
    if stroke_scale != 1:
        given["style_size"] = scale_lengths(str(given.get("style_size", base["style_size"])), stroke_scale)
    if len(set(blend)) > 1:
        given["style_blend"] = [float(weight) for weight in blend]
    return given


def scale_lengths(text: str, factor: float) -> str:
    """Multiply lengths such as `1,400px`, within their ranges; text that can't be read stays as it is."""
    try:
        lengths = parse_lengths(text)
    except ValueError:
        return text

    def scale(length: Length) -> Length:
        low, high = PIXEL_RANGE if length.in_pixels else RELATIVE_RANGE
        return length._replace(value=round(min(high, max(low, length.value * factor)), 4))

    return format_lengths(tuple(map(scale, lengths)))


def find_changes(wanted: Settings, current: Settings, paintings: int) -> dict[str, Any]:
    """List the settings that may change while painting, differ, and have an effect. No blend means equal weights."""
    new, old = wanted.model_dump(mode="json"), current.model_dump(mode="json")
    for values in (new, old):
        values["style_blend"] = values["style_blend"] or [1.0] * paintings
    changed = [name for name in STEERABLE if new[name] != old[name]]
    return {name: new[name] for name in changed if name not in list_ineffective(wanted, changed)}


def given_settings(settings: Settings) -> dict[str, Any]:
    """Return, as plain data, those of the settings that were given and that a visitor may set."""
    return settings.model_dump(mode="json", include=settings.model_fields_set & set(form_fields()))


def field_values(settings: Settings) -> dict[str, Any]:
    """Return the values of the form's fields for some settings."""
    return {name: value for name, value in settings.model_dump(mode="json").items() if name in form_fields()}
