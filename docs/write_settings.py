"""Write docs/reference/settings.md: every setting by group, from Settings and FilmOptions themselves.

python docs/write_settings.py
"""

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from impasto.cli.options import format_default
from impasto.films.film_options import FilmOptions
from impasto.settings.model import Settings
from impasto.settings.parsing import describe_range, list_schemas
from impasto.terminal.console import format_flag, format_flags

PAGE = Path(__file__).parent / "reference" / "settings.md"
INTRODUCTION = """# Settings

Each setting with its values, its default and what it does. The command line has them as options, Python as keywords:
`--style-size 0.5` is `style_size=0.5`. A setting that is not given comes from the [preset](presets.md), then from here.
The last two tables are of [films](../how-to/film.md) alone.

This page is made by `python docs/write_settings.py`; a test compares the two.
"""
HEAD = "| option | what it does, *its values* | default |\n|---|---|---|\n"


def write_page() -> str:
    """Write the page: a table for each group of settings."""
    return INTRODUCTION + write_tables(Settings()) + write_tables(FilmOptions())


def write_tables(options: BaseModel) -> str:
    """Write a table for each group of a model's fields."""
    defaults, groups = options.model_dump(mode="json"), dict[str, list[str]]()
    for name, schema in list_schemas(type(options)).items():
        groups.setdefault(schema["group"], []).append(write_row(name, schema, defaults[name]))
    return "".join(f"\n## {group}\n\n{HEAD}" + "\n".join(rows) + "\n" for group, rows in groups.items())


def write_row(name: str, schema: dict[str, Any], default: Any) -> str:
    """Write a setting's row: its option, its help, what it may be, its default."""
    is_switch = schema["type"] == "boolean"
    values = "on or off" if is_switch else ", ".join(map(str, schema.get("enum", ()))) or describe_range(schema)
    shown = ("on" if default else "off") if is_switch else format_default(name, default)
    text = format_flags(schema["description"]).replace("|", "\\|")
    return f"| `{format_flag(name)}` | {text}{values and f'<br>*{values}*'} | {shown and f'`{shown}`'} |"


if __name__ == "__main__":
    PAGE.write_text(write_page(), encoding="utf-8")
