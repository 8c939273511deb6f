"""docs/cli.md, made from --help: `python -m impasto.apps.manual > docs/cli.md`."""

import io

from rich.console import Console

from impasto.apps.cli import app

PAGES: tuple[list[str], ...] = ([], ["networks"], ["networks", "list"], ["networks", "fetch"], ["networks", "verify"])
HEAD = """# The command line

What `--help` says, page by page. `impasto paint` and `impasto` take the same arguments and options.
This file is made by `python -m impasto.apps.manual > docs/cli.md`; a test compares the two.
"""


def manual() -> str:
    """Write the help of every command as Markdown, 100 columns wide."""
    return HEAD + "".join(f"\n## `{' '.join(['impasto', *page])}`\n\n```text\n{help_of(page)}\n```\n" for page in PAGES)


def help_of(page: list[str]) -> str:
    """Return what `impasto PAGE --help` prints on a plain terminal 100 columns wide."""
    written = io.StringIO()
    app.help_print(page, console=Console(file=written, width=100, color_system=None, force_terminal=False))
    return "\n".join(line.rstrip() for line in written.getvalue().strip().splitlines())


if __name__ == "__main__":
    print(manual(), end="")
