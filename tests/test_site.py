"""The site is built from docs/ with every link checked, and loads nothing from another machine."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
for needed in ("zensical", "mkdocstrings", "latex2mathml"):
    pytest.importorskip(needed, reason="needs the extra docs")
pytestmark = pytest.mark.slow


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of all that the site is built from, to change and to build."""
    for folder in ("docs", "src"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("*.safetensors", "__pycache__"))
    shutil.copy(ROOT / "zensical.toml", tmp_path)
    return tmp_path


def build(copy: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "docs/build_site.py"]
    return subprocess.run(command, cwd=copy, capture_output=True, text=True, encoding="utf-8", timeout=300)


def test_site_has_every_page_with_docstrings_and_formulas(copy):
    done = build(copy)
    assert done.returncode == 0, done.stdout + done.stderr
    site = copy / "site"
    for page in (copy / "docs").rglob("*.md"):
        built = site / page.relative_to(copy / "docs").with_suffix(".html")
        assert not re.search(r"arithmatex|::: impasto", built.read_text(encoding="utf-8"))
    assert "<math" in (site / "explanation" / "formulas.html").read_text(encoding="utf-8")
    assert "Repaint a photo in the style" in (site / "reference" / "python.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "faults",
    [
        {"[one](gone.md)": "gone.md", "[other](index.md#lost)": "lost"},
        {
            '<img src="https://example.org/a.png">': "loads https://example.org/a.png",
            '<img src="pictures/gone.png">': "loads pictures/gone.png",
        },
    ],
    ids=["links", "pictures"],
)
def test_dead_links_and_foreign_pictures_are_refused(copy, faults):
    page = copy / "docs" / "index.md"
    page.write_text("\n".join([page.read_text(encoding="utf-8"), *faults, ""]), encoding="utf-8")
    done = build(copy)
    assert done.returncode == 1
    said = re.sub(r"\x1b\[[\d;]*m", "", done.stdout + done.stderr)
    assert [fault for fault in faults.values() if fault not in said] == []
