"""The form's fields, derived from Settings: what each is, its label, its values; and what visitors may set at all."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from impasto.cli.options import parse_settings
from impasto.errors import UsageError
from impasto.settings.changes import STEERABLE
from impasto.settings.dependencies import WEIGHTS, has_no_effect
from impasto.settings.lengths import PIXEL_RANGE, RELATIVE_RANGE, Length, format_lengths, parse_lengths
from impasto.settings.model import Settings
from impasto.settings.types import INIT_CHOICES

FieldKind = Literal["choice", "yes", "whole", "number", "weights", "text"]

LABELS = {
    "tv_weight": "Smoothness",
    "balance": "Photo or painting",
    "style_size": "Sizes of the paintings",
    "color": "Colours",
    "color_strength": "How much of them",
    "size": "Size",
    "preset": "Manner",
    "content_weight": "Weight of the photo",
    "style_weight": "Weight of the paintings",
    "init": "Begin with",
}
HELPS = {  # shorter for those on top, where the label says the rest
    "balance": "0: almost the photo; 100: almost the paintings alone",
    "tv_weight": "how alike neighbouring pixels are made",
    "size": "longer side in pixels",
    "preset": "sets all fields to those of another program or paper",
}
BALANCED = Settings.model_fields["balance"].default
STROKE_RANGE = (0.1, 4.0)  # the range of the slider that turns all sizes of the paintings


@dataclass(frozen=True)
class FormField:
    """A field of the form: `choices` for a choice, `lowest` and `highest` where those are allowed."""

    name: str
    group: str
    help: str
    kind: FieldKind
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None

    @property
    def label(self) -> str:
        """What stands over the field."""
        return setting_label(self.name)


def setting_label(name: str) -> str:
    """Name a setting for the page."""
    return LABELS.get(name, name.replace("_", " ").capitalize())


@functools.cache
def form_fields() -> dict[str, FormField]:
    """List the settings that a visitor may set, in their order.

    Those that name a file, and whatever text is not known here, are left out: nobody names files on this machine.
    """
    found = {}
    for name, schema in Settings.model_json_schema()["properties"].items():
        kind, choices = _find_kind(name, schema)
        if kind is not None:
            found[name] = FormField(
                name,
                schema["group"],
                HELPS.get(name, schema["description"]),
                kind,
                choices,
                schema.get("minimum"),
                schema.get("maximum"),
            )
    return found


def _find_kind(name: str, schema: Mapping[str, Any]) -> tuple[FieldKind | None, tuple[str, ...]]:
    if name in LISTED_CHOICES:
        return "choice", LISTED_CHOICES[name]()
    if "enum" in schema:
        return "choice", tuple(schema["enum"])
    kinds: dict[str, FieldKind] = {"boolean": "yes", "integer": "whole", "number": "number"}
    kind = kinds.get(schema.get("type", ""))
    if name in TEXT_SETTINGS:
        return "text", ()
    if kind is None and schema.get("type") == "object" and _holds_numbers(schema):
        kind = "weights"
    if kind is None and schema.get("type") == "array" and schema.get("items", {}).get("type") == "number":
        kind = "weights"
    return kind, ()


def _holds_numbers(schema: Mapping[str, Any]) -> bool:
    values = [*schema.get("patternProperties", {}).values()]
    if isinstance(schema.get("additionalProperties"), dict):
        values.append(schema["additionalProperties"])
    return bool(values) and all(value.get("type") == "number" for value in values)


def _list_networks() -> tuple[str, ...]:
    from impasto.network import registry

    return tuple(it.entry.name for it in registry.list_statuses() if it.state in ("embedded", "cached"))


def _list_devices() -> tuple[str, ...]:
    import torch

    found = ["auto", "cpu"]
    if torch.cuda.is_available():
        found.append("cuda")
    if torch.backends.mps.is_available():
        found.append("mps")
    return tuple(found)


TEXT_SETTINGS = ("style_size",)  # known to name no files
LISTED_CHOICES: dict[str, Callable[[], tuple[str, ...]]] = {
    "network": _list_networks,
    "device": _list_devices,
    "init": lambda: INIT_CHOICES,
}


def check_names(given: Mapping[str, Any]) -> None:
    """Raise UsageError for what is no setting, or not for visitors to set, or none of its choices."""
    for name, value in given.items():
        knob = form_fields().get(name)
        if knob is None:
            known = name in Settings.model_fields
            raise UsageError(f"“{setting_label(name)}” {'can not be set in the studio' if known else 'is no setting'}.")
        if knob.kind == "choice" and value not in knob.choices:
            raise UsageError(f"“{knob.label}” is one of {', '.join(knob.choices)}.")


def check_settings(given: Mapping[str, Any], base: Mapping[str, Any] | None = None) -> Settings:
    """Make Settings of what a visitor gave, over what was `before`; raises UsageError for what is wrong in it."""
    check_names(given)
    return parse_settings({name: _as_text(name, value) for name, value in given.items()}, base)


def _as_text(name: str, value: Any) -> Any:
    """Give a value as the reader of options takes it: lists, and numbers where lists may be, as text."""
    if isinstance(value, list | tuple):
        return [str(it) for it in value]
    listed = form_fields()[name].kind in ("weights", "text") and isinstance(value, int | float)
    return str(value) if listed else value


def read_form(values: Mapping[str, Any], strokes: float = 1.0, blend: tuple[float, ...] = ()) -> dict[str, Any]:
    """Take what a visitor chose out of the form's values: what differs from the preset, and the size.

    `strokes` turns the sizes of all paintings; `blend` are the paintings' weights. Empty fields don't count.
    """
    preset: Any = values.get("preset") or "default"
    base = field_values(Settings(preset=preset))
    given: dict[str, Any] = {} if preset == "default" else {"preset": preset}
    for name, value in values.items():
        if name == "preset" or value is None or value == "" or name not in form_fields():
            continue
        if name == "size" or value != base[name]:
            given[name] = value
    if strokes != 1:
        given["style_size"] = scale_lengths(str(given.get("style_size", base["style_size"])), strokes)
    if len(blend) > 1 and len(set(blend)) > 1:
        given["style_blend"] = [float(it) for it in blend]
    return given


def scale_lengths(text: str, factor: float) -> str:
    """Multiply sizes as a visitor writes them, `1,400px`, within what they may be; what is wrong stays as it is."""
    try:
        lengths: tuple[Length, ...] = parse_lengths(text)
    except ValueError:
        return text

    def turn(length: Length) -> Length:
        low, high = PIXEL_RANGE if length.in_pixels else RELATIVE_RANGE
        return length._replace(value=round(min(high, max(low, length.value * factor)), 4))

    return format_lengths(tuple(map(turn, lengths)))


def find_changes(now: Settings, current: Settings, paintings: int) -> dict[str, Any]:
    """List the settings that are steered, differ, and do something now; no blend is one of all alike."""
    new, old = now.model_dump(mode="json"), current.model_dump(mode="json")
    alike = [1.0] * paintings
    for values in (new, old):
        values["style_blend"] = values["style_blend"] or alike
    changes = {name: new[name] for name in STEERABLE if new[name] != old[name] and not has_no_effect(name, dict(now))}
    # The balance and the weights are two ways to say the same: of what is only put back, nothing need be said.
    back = WEIGHTS if now.balance != BALANCED else ("balance",) if changes.keys() & set(WEIGHTS) else ()
    return {name: value for name, value in changes.items() if name not in back}


def given_settings(settings: Settings) -> dict[str, Any]:
    """Take those out of settings that were given and that a visitor may set, as plain data."""
    return settings.model_dump(mode="json", include=settings.model_fields_set & set(form_fields()))


def field_values(settings: Settings) -> dict[str, Any]:
    """Give the values of the form's fields for some settings."""
    return {name: value for name, value in settings.model_dump(mode="json").items() if name in form_fields()}
