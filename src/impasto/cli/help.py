"""The help: a page that fits on a screen, and with --help-all every option."""

from contextvars import ContextVar
from typing import TYPE_CHECKING

from cyclopts import App
from cyclopts.help.formatters import DefaultFormatter
from rich.console import Console
from typing_extensions import override

from impasto.settings.model import Settings
from impasto.terminal.console import format_flag

if TYPE_CHECKING:
    from cyclopts.help import HelpPanel
    from rich.console import ConsoleOptions

MIN_COLUMNS = 60  # a narrower terminal wraps the lines itself
SHOWS_SETTINGS: ContextVar[bool] = ContextVar("shows_settings", default=False)
SETTINGS_REMARK = "The options that say how to paint are those of impasto: --help-all shows them."

COMMANDS = {
    "Paint": {
        "paint": "one photo in the style of one or more paintings",
        "fast": "the same at once, in one pass",
        "style": "save a painting's style for fast, in a small file",
        "film": "a film, without flicker",
        "live": "what a camera sees, in a window",
        "batch": "many photos, on all cores or on a cluster",
        "texture": "a picture in a painting's style, without a photo",
        "studio": "in the browser, with sliders that work while it paints",
        "resume": "go on with what was interrupted",
    },
    "Find out": {
        "paintings": "the paintings that come with impasto, by name",
        "sheet": "try several settings, small, side by side",
        "plan": "how much memory and time a picture takes",
        "regions": "masks of the parts of a photo, to edit",
        "networks": "list, fetch and verify the networks",
    },
    "Again": {
        "recipe": "how a picture was painted",
        "rerun": "paint it again, larger or otherwise",
        "diff": "compare how two pictures were painted",
    },
}
OPTIONS = {
    "output": "-o: the picture to write; - is stdout",
    "size": "longer side in pixels",
    "preset": "instant, draft, fine; gatys2015 and others",
    "style_size": "size of the strokes: 0.5 is half, or auto",
    "style_weight": "how much of the painting",
    "style_blend": "weight of each of several paintings",
    "color": "keep or match: the photo's colors",
    "mask": "where each painting goes: gray pictures",
    "preserve_mask": "white stays as in the photo",
    "guard": "how much faces are kept; 0: as all else",
    "network": "slim is faster, and a file is your own",
    "device": "cpu, cuda, mps",
    "memory": "the most that may be used, such as 4GiB",
    "json": "print the result for programs",
}


class SettingsPanel(DefaultFormatter):
    """Shows a group of settings on pages with every option, and once a remark in place of all groups on others."""

    @override
    def __call__(self, console: Console, options: "ConsoleOptions", panel: "HelpPanel") -> None:
        if SHOWS_SETTINGS.get():
            super().__call__(console, options, panel)
        elif panel.title == Settings.model_json_schema()["properties"]["preset"]["group"]:
            console.print(SETTINGS_REMARK)


def make_console() -> Console:
    """Make the console of help pages. In a few columns, rich would need minutes for a table, or never end."""
    console = Console()
    console.width = max(MIN_COLUMNS, console.width)
    return console


def print_full_help(app: App, tokens: list[str], console: Console) -> None:
    """Print a command's help with every setting."""
    shown = SHOWS_SETTINGS.set(True)
    try:
        app.help_print(tokens, console=console)
    finally:
        SHOWS_SETTINGS.reset(shown)


def format_short_help() -> str:
    """Return the page that fits on a screen: a first command, the commands, the options that people use."""
    lines = [
        "impasto repaints a photograph in the style of a painting. A first picture:",
        "",
        "  impasto photo.jpg starry_night",
        "",
        "Usage: impasto PHOTO PAINTING... [OPTIONS]     or: impasto COMMAND ...",
    ]
    for heading, commands in COMMANDS.items():
        lines += [heading, *(f"  {name:<11}{text}" for name, text in commands.items())]
    lines += ["Options", *(f"  {format_flag(name):<17}{_describe(name)}" for name in OPTIONS)]
    return "\n".join([*lines, "impasto COMMAND --help: a command's options. impasto --help-all: every option."])


def _describe(name: str) -> str:
    default = Settings.model_fields[name].default if name in Settings.model_fields else ""
    if isinstance(default, float):
        default = f"{default:g}"
    return f"{OPTIONS[name]} [{default}]" if default and not isinstance(default, tuple) else OPTIONS[name]
