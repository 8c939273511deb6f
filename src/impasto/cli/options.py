"""Settings as options of a command: names, help, ranges and defaults come from the model."""

import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeVar

from cyclopts import Group, Parameter
from pydantic import BaseModel

from impasto.cli.help import SettingsPanel
from impasto.settings.model import Settings
from impasto.settings.parsing import describe_range, list_schemas, names_files
from impasto.terminal.console import format_flags

Command = TypeVar("Command", bound=Callable[..., Any])

METAVARS_BY_TYPE = {
    "integer": "INT",
    "number": "NUMBER",
    "string": "TEXT",
    "array": "NUMBER,...",
    "object": "NAME:WEIGHT,...",
}
FILE_METAVARS_BY_TYPE = {"string": "FILE", "array": "FILE,..."}  # of settings that name files alone


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
    schemas = list_schemas(model)
    headings = list(dict.fromkeys(schema["group"] for schema in schemas.values()))
    usual = model.model_construct().model_dump(mode="json")  # lengths, weights and lists as people write them
    values = {**usual, **(defaults or {})}
    formatter = SettingsPanel() if model is Settings else None
    groups = {
        heading: Group(heading, sort_key=first_group + i, help_formatter=formatter)
        for i, heading in enumerate(headings)
    }
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
                    show_default=(defaults is not None and format_default(name, values[name])) or False,
                ),
            ],
        )
        for name, schema in schemas.items()
    ]


def _metavar(name: str, schema: Mapping[str, Any]) -> str | None:
    return (FILE_METAVARS_BY_TYPE if names_files(name) else METAVARS_BY_TYPE).get(schema["type"])


def _make_annotation(schema: Mapping[str, Any]) -> Any:
    # Numbers stay text here, so that one place alone, Settings, reads and checks them.
    if "enum" in schema:
        return Literal[tuple(schema["enum"])]
    return {"boolean": bool, "array": list[str], "object": list[str]}.get(schema["type"], str)


def _make_help(schema: Mapping[str, Any]) -> str:
    text, span = format_flags(schema["description"]), describe_range(schema)
    return f"{text} [{span}]" if span else text


def format_default(name: str, value: Any) -> str:
    """Write a default as a person gives it: `relu1_1:1,relu2_1:1`, `no-clamp`."""
    if isinstance(value, bool):
        return ("" if value else "no-") + name.replace("_", "-")
    if isinstance(value, list):
        return ",".join(format_default(name, item) for item in value)
    if isinstance(value, dict):
        return ",".join(f"{key}:{weight:g}" for key, weight in value.items())
    return f"{value:.6g}" if isinstance(value, float) else str(value)
