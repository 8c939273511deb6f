"""Text to Settings: values as people write them on the command line, in job lists and in forms, and what is wrong."""

import functools
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from impasto.errors import UsageError
from impasto.settings.dependencies import (
    STEP_GROUPS,
    USED_IN_ONE_PASS,
    check_settings,
    drop_conflicting,
    list_ineffective,
    note_unused,
)
from impasto.settings.model import Settings
from impasto.settings.presets import PRESETS, get_preset_values
from impasto.settings.types import FILE_SETTINGS

Model = TypeVar("Model", bound=BaseModel)

MAX_SHOWN_LETTERS = 100  # of a wrong value
NUMBER = r"(\d+(?:\.\d+)?)"
PRINT_DPIS = (300, 150)  # for a print in the hand, and for one on a wall
UNITS_PER_INCH = {"cm": 2.54, "mm": 25.4, "in": 1.0}
KINDS = {
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "boolean": "yes or no",
    "array": "numbers with commas between them",
    "object": "names with weights, such as relu4_2:1,relu3_1:0.5",
}


def parse_settings(given: Mapping[str, Any], base: Mapping[str, Any] | None = None) -> Settings:
    """Build Settings from text, over the values `base`, the rest left to the preset; None counts as not given.

    Errors: UsageError that names each wrong setting, or one that has no effect.

    Example: parse_settings({"size": "400", "style_taps": "relu1_1:1,relu2_1:0.5"})
    """
    values = _split_lists(Settings, given)
    settings = build_settings(values, base or {})
    check_settings(settings, values)
    return settings


def parse_options(model: type[Model], given: Mapping[str, Any]) -> Model:
    """Build a model of options that are not Settings, such as FilmOptions, from text.

    Errors: UsageError that names each wrong option.
    """
    return _validate(model, _split_lists(model, given))


def build_settings(given: Mapping[str, Any], base: Mapping[str, Any] = MappingProxyType({})) -> Settings:
    """Build Settings from values given now over earlier ones, such as a recipe's, which spells out every setting.

    Earlier and preset's values that conflict with those given now, or have no effect any more, are left out.

    Errors: UsageError that names each wrong setting.
    """
    settings = _validate(Settings, {**drop_conflicting(base, given), **given})
    defaults = {name: field.default for name, field in Settings.model_fields.items() if name not in given}
    dropped = [name for name in list_ineffective(settings, defaults) if getattr(settings, name) != defaults[name]]
    settings = settings.model_copy(update={name: defaults[name] for name in dropped})
    settings.model_fields_set.difference_update(list_ineffective(settings, defaults))
    return settings


def list_changed(settings: Settings) -> list[str]:
    """List the settings whose values are neither the defaults nor the preset's."""
    usual = get_preset_values(settings.preset, settings.network)
    return [
        name
        for name, field in Settings.model_fields.items()
        if getattr(settings, name) not in (field.default, usual.get(name, field.default))
    ]


def list_unused_in_one_pass() -> set[str]:
    """List the settings that have no effect in one pass."""
    schemas = list_schemas(Settings)
    return {name for name, schema in schemas.items() if schema["group"] in STEP_GROUPS} - USED_IN_ONE_PASS | {
        "mask_propagation"  # which says what cells of the steps' network a mask has
    }


def drop_unused(settings: Settings) -> tuple[Settings, list[str]]:
    """Return the settings of one pass without those that it does not use, and a note if somebody gave any."""
    given = list_unused_in_one_pass() & settings.model_fields_set if settings.is_one_pass else set()
    usual = {name: PRESETS["instant"].get(name, Settings.model_fields[name].default) for name in sorted(given)}
    unused = [name for name, value in usual.items() if getattr(settings, name) != value]
    settings = settings.model_copy(update=usual)
    settings.model_fields_set.difference_update(usual)
    return settings, note_unused(unused)


@functools.cache
def list_schemas(model: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON schema of each field of a model of settings or options; making them takes a moment."""
    return dict(model.model_json_schema()["properties"])


def names_files(name: str) -> bool:
    """Does a setting name files, and hardly anything else?"""
    return name in FILE_SETTINGS and name != "init"


def describe_range(schema: Mapping[str, Any]) -> str:
    """Describe a field's range: `16 to 32768`, `over 0`, `each 0 or more`."""
    each = schema.get("items") or next(iter(schema.get("patternProperties", {}).values()), None)
    if each:
        inner = describe_range(each)
        return f"each {inner}" if inner else ""
    low, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    high, below = schema.get("maximum"), schema.get("exclusiveMaximum")
    start = _format_number(low) if low is not None else f"over {_format_number(above)}" if above is not None else ""
    end = _format_number(high) if high is not None else f"below {_format_number(below)}" if below is not None else ""
    if start and end:
        return f"{start} to {end}"
    if start:
        return start if above is not None else f"{start} or more"
    return end if not end or below is not None else f"at most {end}"


def _format_number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.10g}"


def _split_lists(model: type[BaseModel], given: Mapping[str, Any]) -> dict[str, Any]:
    """Split the text of lists, and join that of everything else, as options may be given in several words."""
    schemas = list_schemas(model)
    return {
        name: _split_at_commas(name, value) if schemas[name]["type"] == "array" else _join(value)
        for name, value in given.items()
        if value is not None
    }


def _split_at_commas(name: str, value: Any) -> Any:
    """Split at commas, except a file whose name has one."""
    words = value if isinstance(value, list) else [value]
    return [
        piece
        for word in words
        for piece in ([word] if name in FILE_SETTINGS and Path(word).exists() else str(word).split(","))
    ]


def _join(value: Any) -> Any:
    return ",".join(value) if isinstance(value, list) else value


def _validate(model: type[Model], values: Mapping[str, Any]) -> Model:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        faults = {str(fault["loc"][0]) if fault["loc"] else "": dict(fault) for fault in error.errors()}
        schemas = list_schemas(model)
        messages = [_explain_fault(name, fault, schemas, values) for name, fault in faults.items()]
        raise UsageError("\n".join(messages), setting=next(iter(faults))) from None


def _explain_fault(name: str, fault: Mapping[str, Any], schemas: Mapping[str, Any], values: Mapping[str, Any]) -> str:
    """Say what a setting takes, and what it was given."""
    if fault["type"] == "value_error":  # by a validator of our own, which says it best
        return f"`{name}`: {fault['ctx']['error']}"
    if name not in schemas:
        return f"There is no setting `{name}`"
    schema, span = schemas[name], describe_range(schemas[name])
    value = values.get(name)
    shown = ",".join(map(str, value)) if isinstance(value, list) else value
    wanted = f"{_describe_values(name, schema)}{', ' + span if span else ''}"
    converted = _convert_print_size(str(shown)) if name == "size" else ""
    return f"`{name}` takes {wanted}; not {shown!r:.{MAX_SHOWN_LETTERS}}{converted}"


def _convert_print_size(text: str) -> str:
    """Say which `size` stands for one on paper, such as 40cm, or for two sides, such as 30x40; "" for other text."""
    found = re.fullmatch(rf"(?:{NUMBER} ?x ?)?{NUMBER} ?(cm|mm|in)?", text.strip())
    if not found or not (found[1] or found[3]):
        return ""
    longest, unit = max((found[1] or found[2], found[2]), key=float), found[3]
    sides = f"{found[1]}x{found[2]}"
    if not unit:
        return f". It is the longer side in pixels: write `size` {longest}; on paper it has a unit, such as {sides}cm"
    pixels = [round(float(longest) / UNITS_PER_INCH[unit] * dpi) for dpi in PRINT_DPIS]
    said = f". {longest}{unit} printed at {PRINT_DPIS[0]} dots per inch are `size` {pixels[0]}, at {PRINT_DPIS[1]} "
    crop = f". The picture has the photo's shape: where that is not {sides}, crop the photo first" if found[1] else ""
    return f"{said}`size` {pixels[1]}{crop}"


def _describe_values(name: str, schema: Mapping[str, Any]) -> str:
    if names := schema.get("propertyNames", {}).get("enum"):
        return f"any of {', '.join(names)}, with weights, such as {names[0]}:1"
    if "enum" in schema:
        return f"one of {', '.join(schema['enum'])}"
    if "pattern" in schema:
        return "two whole numbers, such as 3:2"
    return "files with commas between them" if names_files(name) else KINDS[schema["type"]]
