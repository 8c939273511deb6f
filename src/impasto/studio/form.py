"""The form: the settings that a visitor may set, derived from Settings, and checked."""

import functools
import json
import os
from collections.abc import Callable, Mapping
from importlib.resources import files as resources
from pathlib import Path
from typing import Any

from impasto.errors import UsageError, rename_settings
from impasto.settings.changes import STEERABLE
from impasto.settings.dependencies import list_ineffective
from impasto.settings.model import Settings
from impasto.settings.parsing import parse_settings
from impasto.settings.types import INIT_CHOICES

TEXT_SETTINGS = ("style_size",)  # which never name a file


@functools.cache
def read_words() -> dict[str, dict[str, str]]:
    """Return the page's words by language."""
    text = resources("impasto.studio").joinpath("static/words.json").read_text(encoding="utf-8")
    words: dict[str, dict[str, str]] = json.loads(text)
    return words


def setting_label(name: str) -> str:
    """Return a setting's name on the page, in English, which messages are written in."""
    return read_words()["en"].get(f"setting.{name}", name.replace("_", " ").capitalize())


def page_message(error: Exception | str, folder: Path | None = None) -> str:
    """Write an error for the page: settings by their labels, files in a job's `folder` by their names."""
    text = rename_settings(str(error), lambda name: f"“{setting_label(name)}”")
    if folder:
        text = text.replace(f"{folder / 'inputs'}{os.sep}", "").replace(f"{folder}{os.sep}", "")
    return text


@functools.cache
def form_fields() -> dict[str, dict[str, Any]]:
    """Return the JSON schemas of the settings that a visitor may set, in their order, each with its `choices`.

    Settings that name files, and unknown text, are left out: a visitor must not name files on this machine.
    """
    fields = {}
    for name, schema in Settings.model_json_schema()["properties"].items():
        choices = LISTED_CHOICES[name]() if name in LISTED_CHOICES else tuple(schema.get("enum", ()))
        if choices or name in TEXT_SETTINGS or _holds_numbers(schema):
            fields[name] = {**schema, "choices": choices, "description": page_message(schema["description"])}
    return fields


def _holds_numbers(schema: Mapping[str, Any]) -> bool:
    if schema["type"] not in ("object", "array"):
        return schema["type"] in ("boolean", "integer", "number")
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
        if field["choices"] and value not in field["choices"]:
            raise UsageError(f"`{name}` is one of {', '.join(field['choices'])}.", setting=name)
    return parse_settings({name: _as_text(name, value) for name, value in given.items()}, base)


def add_masks(settings: Mapping[str, Any], masks: Mapping[str, Any], folder: Path) -> Settings:
    """Return a visitor's settings with brushed masks, which name files in `folder`."""
    return check_settings({}, {**settings, **masks}).map_files(lambda file: str(folder / file), masks)


def _as_text(name: str, value: Any) -> Any:
    """Return a value as the parser of settings takes it: lists, and a number in place of a list, as text."""
    if isinstance(value, list | tuple):
        return [str(item) for item in value]
    is_list = form_fields()[name]["type"] in ("array", "object") and isinstance(value, int | float)
    return str(value) if is_list else value


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
    return settings.model_dump(mode="json", include=set(form_fields()))
