"""docs/reference/cli.md, made from --help: `python -m impasto.cli.manual > docs/reference/cli.md`."""

import io

from rich.console import Console

from impasto.cli.app import app
from impasto.cli.help import format_short_help, print_full_help

PAGES: tuple[list[str], ...] = (
    ["fast"],
    ["style"],
    ["plan"],
    ["recipe"],
    ["rerun"],
    ["diff"],
    ["sheet"],
    ["texture"],
    ["film"],
    ["live"],
    ["resume"],
    ["regions"],
    ["batch"],
    ["studio"],
    ["networks"],
    ["networks", "list"],
    ["networks", "fetch"],
    ["networks", "verify"],
)
INTRODUCTION = """# The command line

The output of `--help-all` for every command; `--help` leaves out the settings.
`impasto paint` and `impasto` take the same arguments and options.
This file is made by `python -m impasto.cli.manual > docs/reference/cli.md`; a test compares the two.
"""
SETTINGS_REMARK = "And the options of `impasto` from *Picture* on, which are the settings."
SETTINGS_HEADING = "╭─ Picture "  # the first heading of settings in a help page


def write_manual() -> str:
    """Write the help of every command as Markdown, 100 columns wide, the settings only once."""
    pages = [
        f"\n## `impasto --help`\n\n```text\n{format_short_help()}\n```\n",
        f"\n## `impasto --help-all`\n\n```text\n{render_help([])}\n```\n",
    ]
    for page in PAGES:
        own, settings, _ = render_help(page).partition(SETTINGS_HEADING)
        again = f"\n{SETTINGS_REMARK}\n" if settings else ""
        pages.append(f"\n## `{' '.join(['impasto', *page])}`\n\n```text\n{own.rstrip()}\n```\n{again}")
    return INTRODUCTION + "".join(pages)


def render_help(page: list[str]) -> str:
    """Return what `impasto PAGE --help` prints on a plain terminal 100 columns wide."""
    written = io.StringIO()
    print_full_help(app, page, Console(file=written, width=100, color_system=None, force_terminal=False))
    return "\n".join(line.rstrip() for line in written.getvalue().strip().splitlines())


if __name__ == "__main__":
    print(write_manual(), end="")
