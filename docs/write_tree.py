"""Write the tree of modules into docs/explanation/architecture.md: each with the first line of its docstring.

python docs/write_tree.py
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

PAGE = Path(__file__).parent / "explanation" / "architecture.md"
SOURCE = Path(__file__).parent.parent / "src" / "impasto"
NAME_WIDTH = 28


def list_lines(folder: Path, indent: str = "") -> Iterator[str]:
    """Yield a line for each module and package in a folder, those of packages indented below them."""
    modules = sorted(path for path in folder.glob("*.py") if path.name != "__init__.py" or not indent)
    packages = sorted(path.parent for path in folder.glob("*/__init__.py"))
    entries = [*modules, *packages]
    for entry in entries:
        is_last = entry is entries[-1]
        name = indent + ("└── " if is_last else "├── ") + entry.name + ("/" if entry.is_dir() else "")
        yield f"{name:{NAME_WIDTH}}{read_summary(entry)}"
        if entry.is_dir():
            yield from list_lines(entry, indent + ("    " if is_last else "│   "))


def read_summary(entry: Path) -> str:
    """Return the first line of a module's or package's docstring."""
    source = (entry / "__init__.py" if entry.is_dir() else entry).read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").splitlines()[0]


def fill_page(page: str) -> str:
    """Return the page with the tree as it is now."""
    tree = "\n".join(["src/impasto/", *list_lines(SOURCE)])
    return re.sub(r"(?<=```text\n)src/impasto/.*?(?=\n```)", lambda _: tree, page, flags=re.DOTALL)


if __name__ == "__main__":
    PAGE.write_text(fill_page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
