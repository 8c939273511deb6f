"""The form's fields, derived from Settings: what each is, its label, its values; and what visitors may set at all."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from impasto.apps.options import read_settings
from impasto.errors import UsageError
from impasto.settings import BEGINNINGS, Settings

Kind = Literal["choice", "yes", "whole", "number", "weights"]

STEERED = (
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
APART = ("preset", "size", "style_blend", "style_size", "tv_weight", "color", "color_strength")  # above all groups
LABELS = {
    "tv_weight": "Smoothness",
    "style_size": "Stroke size",
    "color": "Colours",
    "color_strength": "How much of them",
    "size": "Size",
    "preset": "Manner",
    "content_weight": "Weight of the photo",
    "style_weight": "Weight of the paintings",
    "init": "Begin with",
}
REACH = 5.0  # of the dial between photo and painting: each whole number doubles or halves


@dataclass(frozen=True)
class Knob:
    """A field of the form: `choices` for a choice, `lowest` and `highest` where there are bounds."""

    name: str
    group: str
    help: str
    kind: Kind
    choices: tuple[str, ...] = ()
    lowest: float | None = None
    highest: float | None = None

    @property
    def label(self) -> str:
        """What stands over the field."""
        return label(self.name)


def label(name: str) -> str:
    """Name a setting for the page."""
    return LABELS.get(name, name.replace("_", " ").capitalize())


@functools.cache
def knobs() -> dict[str, Knob]:
    """List the settings that a visitor may set, in their order.

    Those that name a file, and whatever text is not known here, are left out: nobody names files on this machine.
    """
    found = {}
    for name, schema in Settings.model_json_schema()["properties"].items():
        kind, choices = _kind(name, schema)
        if kind is not None:
            found[name] = Knob(
                name,
                schema["group"],
                schema["description"],
                kind,
                choices,
                schema.get("minimum", schema.get("exclusiveMinimum")),
                schema.get("maximum", schema.get("exclusiveMaximum")),
            )
    return found


def _kind(name: str, schema: Mapping[str, Any]) -> tuple[Kind | None, tuple[str, ...]]:
    if name in CHOICES:
        return "choice", CHOICES[name]()
    if "enum" in schema:
        return "choice", tuple(schema["enum"])
    kinds: dict[str, Kind] = {"boolean": "yes", "integer": "whole", "number": "number"}
    kind = kinds.get(schema.get("type", ""))
    if kind is None and schema.get("type") == "object" and _of_numbers(schema):
        kind = "weights"
    if kind is None and schema.get("type") == "array" and schema.get("items", {}).get("type") == "number":
        kind = "weights"
    return kind, ()


def _of_numbers(schema: Mapping[str, Any]) -> bool:
    values = [*schema.get("patternProperties", {}).values()]
    if isinstance(schema.get("additionalProperties"), dict):
        values.append(schema["additionalProperties"])
    return bool(values) and all(value.get("type") == "number" for value in values)


def _networks() -> tuple[str, ...]:
    from impasto.perception import weights

    return tuple(it.row.name for it in weights.states() if it.state in ("embedded", "cached"))


def _devices() -> tuple[str, ...]:
    import torch

    found = ["auto", "cpu"]
    if torch.cuda.is_available():
        found.append("cuda")
    if torch.backends.mps.is_available():
        found.append("mps")
    return tuple(found)


CHOICES = {"network": _networks, "device": _devices, "init": lambda: BEGINNINGS}


def check(given: Mapping[str, Any], masks: Mapping[str, Any] | None = None) -> Settings:
    """Make Settings of what a visitor gave; raises UsageError for what is wrong, or is not for visitors to set.

    `masks` are settings that the studio itself has made files for.
    """
    for name, value in given.items():
        knob = knobs().get(name)
        if knob is None:
            known = name in Settings.model_fields
            raise UsageError(f"“{label(name)}” {'can not be set in the studio' if known else 'is no setting'}.")
        if knob.kind == "choice" and value not in knob.choices:
            raise UsageError(f"“{knob.label}” is one of {', '.join(knob.choices)}.")
    words = {
        name: [str(it) for it in value] if isinstance(value, list | tuple) else value for name, value in given.items()
    }
    return read_settings(words, masks)


def read_form(values: Mapping[str, Any], balance: float = 0.0, blend: tuple[float, ...] = ()) -> dict[str, Any]:
    """Take what a visitor chose out of the form's values: what differs from the preset, and the size.

    `balance` turns the dial between photo and painting; `blend` are the paintings' weights. Empty fields don't count.
    """
    preset = values.get("preset") or "default"
    base = shown(Settings(preset=preset))
    given: dict[str, Any] = {} if preset == "default" else {"preset": preset}
    for name, value in values.items():
        if name == "preset" or value is None or value == "" or name not in knobs():
            continue
        if name == "size" or value != base[name]:
            given[name] = value
    if balance:
        weight = float(given.get("style_weight", base["style_weight"]))
        given["style_weight"] = weight * 2 ** max(-REACH, min(REACH, float(balance)))
    if len(blend) > 1 and len(set(blend)) > 1:
        given["style_blend"] = [float(it) for it in blend]
    if given.get("color", base["color"]) == "none":  # a strength of nothing
        for name in ("color_strength", "color_space", "color_match"):
            given.pop(name, None)
    return given


def read_steering(values: Mapping[str, Any], balance: float, blend: tuple[float, ...]) -> dict[str, Any]:
    """Take the settings that are steered out of the form's values, all of them: what is moved back counts too."""
    preset = values.get("preset") or "default"
    base = shown(Settings(preset=preset))
    given = read_form(values, balance, blend)
    every = {name: given.get(name, base.get(name)) for name in STEERED if name in base and name != "style_blend"}
    if len(blend) > 1:
        every["style_blend"] = [float(it) for it in blend]
    return every


def shown(settings: Settings) -> dict[str, Any]:
    """Give the values of the form's fields for some settings."""
    return {name: value for name, value in settings.model_dump(mode="json").items() if name in knobs()}
