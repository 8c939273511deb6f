"""Settings as options of a command: names, help, ranges and defaults come from the model."""

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeVar

from cyclopts import Group, Parameter
from pydantic import BaseModel, ValidationError

from impasto.errors import UsageError
from impasto.settings.model import Settings
from impasto.settings.types import FILE_SETTINGS
from impasto.terminal.console import format_flags

Command = TypeVar("Command", bound=Callable[..., Any])
Model = TypeVar("Model", bound=BaseModel)

METAVARS_BY_TYPE = {
    "integer": "INT",
    "number": "NUMBER",
    "string": "TEXT",
    "array": "NUMBER,...",
    "object": "NAME:WEIGHT,...",
}
FILE_METAVARS_BY_TYPE = {"string": "FILE", "array": "FILE,..."}  # of settings that name files alone
WORDS_BY_TYPE = {
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "boolean": "yes or no",
    "array": "numbers with commas between them",
    "object": "names with weights, such as relu4_2:1,relu3_1:0.5",
}


def with_settings(
    defaults: Mapping[str, Any] | None = MappingProxyType({}), *others: type[BaseModel]
) -> Callable[[Command], Command]:
    """Give a command an option for every setting in place of its `**given`, which holds only what the user gave.

    `defaults` are shown in the help where they differ from those of Settings; None shows no defaults. `others` are
    further models with options, shown above those of Settings. An option of the command's own replaces the one of the
    same name.
    """

    def decorate(command: Command) -> Command:
        signature = inspect.signature(command)
        own = [each for each in signature.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
        options = [option for model in others for option in make_options(model, {}, 2)] + make_options(
            Settings, defaults
        )
        options = [option for option in options if option.name not in signature.parameters]
        command.__signature__ = signature.replace(parameters=own + options)  # type: ignore[attr-defined]
        return command

    return decorate


def make_options(
    model: type[BaseModel], defaults: Mapping[str, Any] | None, first_group: int = 10
) -> list[inspect.Parameter]:
    """List every field of a model as a keyword-only parameter; `first_group` is the place of its groups in the help."""
    schemas = get_schemas(model)
    headings = list(dict.fromkeys(schema["group"] for schema in schemas.values()))
    groups = {heading: Group(heading, sort_key=first_group + i) for i, heading in enumerate(headings)}
    return [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[
                _make_annotation(schema) | None,
                Parameter(
                    group=groups[schema["group"]],
                    help=_make_help(schema),
                    metavar=None if "enum" in schema else _metavar(name, schema),
                    negative=None if schema["type"] == "boolean" else (),
                    show_default=(
                        (defaults is not None and _format_default(name, defaults.get(name, schema["default"]))) or False
                    ),
                ),
            ],
        )
        for name, schema in schemas.items()
    ]


@cache
def get_schemas(model: type[BaseModel]) -> dict[str, dict[str, Any]]:
    """Return the JSON schema of each field of a model."""
    return dict(model.model_json_schema()["properties"])


def _metavar(name: str, schema: Mapping[str, Any]) -> str | None:
    return (FILE_METAVARS_BY_TYPE if _names_files(name) else METAVARS_BY_TYPE).get(schema["type"])


def _names_files(name: str) -> bool:
    """Does a setting name files, and hardly anything else?"""
    return name in FILE_SETTINGS and name != "init"


def _make_annotation(schema: Mapping[str, Any]) -> Any:
    # Numbers stay text here, so that one place alone, Settings, reads and checks them.
    if "enum" in schema:
        return Literal[tuple(schema["enum"])]
    return {"boolean": bool, "array": list[str], "object": list[str]}.get(schema["type"], str)


def _make_help(schema: Mapping[str, Any]) -> str:
    text, span = format_flags(schema["description"]), _describe_range(schema)
    return f"{text} [{span}]" if span else text


def _format_default(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return ("" if value else "no-") + name.replace("_", "-")
    if isinstance(value, list):
        return ",".join(_format_default(name, item) for item in value)
    if isinstance(value, dict):
        return ",".join(f"{key}:{weight:g}" for key, weight in value.items())
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _describe_range(schema: Mapping[str, Any]) -> str:
    """Say a field's range: `16 to 32768`, `over 0`, `each 0 or more`."""
    each = schema.get("items") or next(iter(schema.get("patternProperties", {}).values()), None)
    if each:
        inner = _describe_range(each)
        return f"each {inner}" if inner else ""
    low = high = ""
    if "minimum" in schema:
        low = _format_number(schema["minimum"])
    elif "exclusiveMinimum" in schema:
        low = f"over {_format_number(schema['exclusiveMinimum'])}"
    if "maximum" in schema:
        high = _format_number(schema["maximum"])
    elif "exclusiveMaximum" in schema:
        high = f"below {_format_number(schema['exclusiveMaximum'])}"
    if low and high:
        return f"{low} to {high}"
    if low:
        return low if low.startswith("over") else f"{low} or more"
    return high if not high or high.startswith("below") else f"at most {high}"


def _format_number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.10g}"


def parse_settings(given: Mapping[str, Any], base: Mapping[str, Any] | None = None) -> Settings:
    """Build Settings from the options that were given, over the values `before`, the rest left to the preset.

    Raises UsageError that names each wrong option.
    """
    return parse_options(Settings, given, base)


def parse_options(model: type[Model], given: Mapping[str, Any], base: Mapping[str, Any] | None = None) -> Model:
    """Build a model of knobs from the options that were given. Raises UsageError that names each wrong option."""
    schemas = get_schemas(model)
    words = {
        name: ",".join(value) if isinstance(value, list) else value
        for name, value in given.items()
        if value is not None
    }
    values = {
        name: _split_at_commas(name, given[name]) if schemas[name]["type"] == "array" else word
        for name, word in words.items()
    }
    try:
        return model.model_validate({**(base or {}), **values}, context={"asked": values, "strict": True})
    except ValidationError as error:
        faults = {str(fault["loc"][0]) if fault["loc"] else "": fault for fault in error.errors()}
        said = [_describe_error(name, schemas.get(name, {}), words, dict(fault)) for name, fault in faults.items()]
        raise UsageError("\n".join(said)) from None


def _split_at_commas(name: str, given: str | list[str]) -> list[str]:
    """Split at commas, but for a file whose name has one."""
    words = [given] if isinstance(given, str) else given
    whole = [name in FILE_SETTINGS and Path(word).exists() for word in words]
    return [
        piece for word, is_file in zip(words, whole, strict=True) for piece in ([word] if is_file else word.split(","))
    ]


def _describe_error(name: str, schema: Mapping[str, Any], words: Mapping[str, Any], fault: Mapping[str, Any]) -> str:
    if fault["type"] == "value_error":  # a validator of our own, which says it best
        said = str(fault["ctx"]["error"])
    else:
        span = _describe_range(schema)
        names = schema.get("propertyNames", {}).get("enum")
        if names:
            takes = f"any of {', '.join(names)}, with weights, such as {names[0]}:1"
        else:
            kind = "files with commas between them" if _names_files(name) else WORDS_BY_TYPE[schema["type"]]
            kind = "two whole numbers, such as 3:2" if "pattern" in schema else kind
            takes = f"one of {', '.join(schema['enum'])}" if "enum" in schema else kind
        said = f"takes {takes}{', ' + span if span else ''}; not {words.get(name)!r}"
    return f"`{name}`: {said}" if name else said
