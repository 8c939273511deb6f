"""Write the tables of docs/reference/other-programs.md that say what the options of other programs are here.

python docs/write_programs.py
"""

import re
from pathlib import Path

from impasto.cli.other_programs import read_foreign_options

PAGE = Path(__file__).parent / "reference" / "other-programs.md"


def fill_page(page: str) -> str:
    """Return the page with the tables as they are now."""
    for program, options in read_foreign_options().items():
        rows = [f"| `{it.name}` | {it.ours} | {it.difference}{' ' if it.difference else ''}|" for it in options]
        head = f"| {program} | impasto | what is different |\n|---|---|---|\n"
        before, _, after = page.partition(head)
        page = before + head + "\n".join(rows) + re.sub(r"^(?:\|.*\n)*", "\n", after)
    return page


if __name__ == "__main__":
    PAGE.write_text(fill_page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
