"""Build the site from docs/ into site/, and check it. scripts/site installs what this needs, and runs it.

Zensical makes the pages and checks their links; formulas become MathML, which browsers show without a script. No page
may load anything from another machine.
"""

import html
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from latex2mathml.converter import convert

ROOT = Path(__file__).parent.parent
SITE = ROOT / "site"
PROMPT = '<span class="gp">$ </span>'
FORMULA = re.compile(r'<(?P<tag>span|div) class="arithmatex">\\[(\[](?P<tex>.*?)\\[)\]]</(?P=tag)>', re.DOTALL)
LOADED = re.compile(r"""<(?!a\b)\w+\b[^>]*?\b(?:src|srcset|href|data)="([^"#]+)|url\(["']?([^)"'#]+)""")


def build() -> None:
    """Build the pages; a link to nothing is an error."""
    if subprocess.call([sys.executable, "-m", "zensical", "build", "--clean", "--strict"], cwd=ROOT):
        sys.exit("The site was not built: see above.")
    for page in SITE.rglob("*.html"):
        text = FORMULA.sub(write_mathml, page.read_text(encoding="utf-8"))
        text = text.replace(PROMPT, '<span class="prompt"></span>')  # shown by the style sheet, and not copied
        page.write_text(text, encoding="utf-8")


def write_mathml(formula: re.Match[str]) -> str:
    """Return a formula as MathML, in its span or div: the line of a div is its own."""
    tag = formula["tag"]
    math = convert(html.unescape(formula["tex"]).strip(), display="block" if tag == "div" else "inline")
    return f'<{tag} class="formula">{math}</{tag}>'.replace("\\_", "_")


def find_faults() -> Iterator[str]:
    """Yield what a page or a style sheet loads from another machine, or from a file that is not there."""
    for path in sorted([*SITE.rglob("*.html"), *SITE.rglob("*.css")]):
        for found in LOADED.finditer(path.read_text(encoding="utf-8")):
            address = found[1] or found[2]
            if address.startswith("data:") or (path.name == "404.html" and address.startswith("/")):
                continue
            if re.match(r"\w+:|//", address) or not (path.parent / address.partition("?")[0]).exists():
                yield f"{path.relative_to(ROOT)} loads {address}"


if __name__ == "__main__":
    build()
    if faults := list(find_faults()):
        sys.exit("\n".join(faults))
    print(f"The site is in {SITE}: open {SITE / 'index.html'}")
