"""README and all pages of docs/: what they show runs, what they name exists."""

import importlib.util
import os
import re
import shlex
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch
from conftest import make_picture

import impasto
from impasto.cli.app import app
from impasto.cli.manual import write_manual
from impasto.images.read import read_image
from impasto.images.write import write_image
from impasto.painting.painter import Painter
from impasto.runs import start
from impasto.settings.model import Settings
from impasto.settings.parsing import parse_settings
from impasto.settings.presets import FAST_DEFAULTS
from impasto.settings.texture import TEXTURE_DEFAULTS, merge_texture_size
from impasto.settings.variations import parse_variations

ROOT = Path(__file__).parent.parent
DOCS = tuple(sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")))
PAGES = ("README.md", "CHANGELOG.md", *DOCS)
RUN_BY_OTHER_TESTS = {"docs/how-to/film.md", "docs/how-to/studio.md"}
NAMES_FOREIGN_OPTIONS = {"docs/reference/other-programs.md"}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
CHEAP = {"size": 64, "start_size": 48, "steps": 3, "later_steps": 1}


def read_page(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def find_fences(language: str, *pages: str) -> list[tuple[str, str]]:
    """List (page and line, content) of the fenced blocks in a language."""
    found = []
    for page in pages:
        text = read_page(page)
        for fence in FENCE.finditer(text):
            if fence[1] == language:
                found.append((f"{page}:{text.count(chr(10), 0, fence.start()) + 1}", fence[2]))
    return found


def find_commands(program: str) -> list[tuple[str, list[str]]]:
    """List (page and line, words) of the console lines that call a program; lines without `$ ` are its answer."""
    found = []
    for place, block in find_fences("console", *PAGES):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True) if line.startswith("$ ") else []
            if words and words[0] == program:
                found.append((place, words[1:]))
    return found


def find_headings(page: str) -> set[str]:
    """Name a page's headings as GitHub's anchors do."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", read_page(page)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def named(found: list[tuple[str, object]]) -> list[object]:
    return [pytest.param(what, id=place) for place, what in found]


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with the pictures that the snippets speak of."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("photo.jpg", "painting.jpg", "one.jpg", "another.jpg", "scan.tif"), start=1):
        write_image(make_picture(60, 45, seed), name)
    sky = torch.linspace(1, 0, 45).view(1, 1, 45, 1).expand(1, 3, 45, 60)
    for name in ("sky.png", "face.png"):
        write_image(sky, name)
    write_image(make_picture(60, 45), "cutout.png", alpha=torch.linspace(0, 1, 60).expand(1, 1, 45, 60))
    return tmp_path


SNIPPETS = find_fences("python", *(page for page in PAGES if page not in RUN_BY_OTHER_TESTS))


@pytest.mark.parametrize("snippet", named(SNIPPETS))
def test_python_snippets_run(snippet, pictures, monkeypatch):
    """Each runs as it stands, with the embedded network; only the painter's size and steps are made small."""

    def paint_cheaply(prepared, photo):
        return Painter(replace(prepared, settings=prepared.settings.model_copy(update=CHEAP)), photo)

    pictures.joinpath("monets").mkdir()
    write_image(make_picture(60, 45, 6), "monets/monet.jpg")

    monkeypatch.setattr(start, "Painter", paint_cheaply)
    before = set(pictures.iterdir())
    exec(compile(snippet, "snippet", "exec"), {"__name__": "snippet"})
    made = set(pictures.iterdir()) - before
    for name in re.findall(r'(?:save|write|output=)\(?"([^"]+)"', snippet):
        assert pictures / name in made
    for path in (path for path in made if path.suffix != ".safetensors"):
        assert max(read_image(path).rgb.shape) == CHEAP["size"]


def test_pages_have_snippets_and_commands():
    assert len(find_fences("python", "README.md")) >= 1
    assert len(find_fences("python", "docs/how-to/python.md")) >= 4
    assert len(find_commands("impasto")) >= 10


@pytest.mark.parametrize("words", named(find_commands("impasto")))
def test_impasto_commands_parse(words):
    command, bound, *_ = app.parse_args(words, exit_on_error=False, print_error=False)
    given = {name: value for name, value in bound.arguments.items() if name in Settings.model_fields}
    defaults = {"texture": TEXTURE_DEFAULTS, "fast": FAST_DEFAULTS}.get(command.__name__, {})
    settings = parse_settings(merge_texture_size(given), defaults)
    if command.__name__ == "paint":
        assert len(settings.style_blend) in (0, len(bound.arguments["paintings"]))
    if command.__name__ == "sheet":
        for choice in parse_variations(bound.arguments["vary"], given):
            parse_settings({**given, **choice})


@pytest.mark.parametrize("words", named(find_commands("python")))
def test_python_commands_name_existing_options(words):
    file = ROOT / words[0]
    shared = file.with_name("run.py")  # has what all trainings ask for
    sources = "".join(each.read_text(encoding="utf-8") for each in (file, shared) if each.exists())
    for word in words[1:]:
        if word.startswith("--"):
            assert f'"{word}"' in sources


@pytest.mark.parametrize("command", re.findall(r"^\$ (scripts/\w+)", "\n".join(map(read_page, PAGES)), re.MULTILINE))
def test_shown_scripts_are_executable(command):
    assert os.access(ROOT / command, os.X_OK)


def test_options_in_prose_exist():
    scripts = [*ROOT.glob("benchmarks/*.py"), *ROOT.glob("training/*.py")]
    sources = [write_manual(), *(script.read_text(encoding="utf-8") for script in scripts)]
    known = set(re.findall(r"--[a-z][a-z-]+", "\n".join(sources)))
    for page in sorted({"README.md", *DOCS} - NAMES_FOREIGN_OPTIONS):
        mentioned = set(re.findall(r"`(--[a-z][a-z-]+)", FENCE.sub("", read_page(page))))
        assert mentioned <= known, page


@pytest.mark.parametrize("page", PAGES)
def test_relative_links_exist(page):
    for link in LINK.findall(FENCE.sub("", read_page(page))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = ((ROOT / page).parent / path) if path else ROOT / page
        assert target.exists(), f"{page} links to {link}"
        if anchor:
            assert anchor in find_headings(target.resolve().relative_to(ROOT).as_posix()), f"{page} links to {link}"


def load_script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


def test_architecture_page_shows_the_tree_as_it_is():
    page = read_page("docs/explanation/architecture.md")
    assert load_script("write_tree").fill_page(page) == page, "run: python docs/write_tree.py"


def test_settings_page_shows_the_settings_as_they_are():
    written = load_script("write_settings").write_page()
    assert read_page("docs/reference/settings.md") == written, "run: python docs/write_settings.py"


def test_tables_of_other_programs_are_as_messages_have_them():
    page = read_page("docs/reference/other-programs.md")
    assert load_script("write_programs").fill_page(page) == page, "run: python docs/write_programs.py"


def test_install_page_names_the_pytorch_that_is_tested() -> None:
    version = re.search(r"^torch==.*$", read_page("constraints.txt"), re.MULTILINE)
    assert version
    assert f"pip install impasto {version[0]} " in read_page("docs/how-to/install.md")


def test_python_page_has_every_public_name():
    named = re.findall(r"^::: impasto\.(\w+)$", read_page("docs/reference/python.md"), re.MULTILINE)
    assert sorted(named) == sorted(impasto.__all__)


def test_navigation_has_every_page():
    shown = re.findall(r'= "([\w/-]+\.md)"', (ROOT / "zensical.toml").read_text(encoding="utf-8"))
    assert sorted(f"docs/{page}" for page in shown) == list(DOCS)


@pytest.mark.parametrize("page", ["docs/explanation/architecture.md", "CONTRIBUTING.md"])
def test_files_named_for_contributors_exist(page):
    named = re.findall(r"`((?:[a-z_]+/)+[\w.]*)`", read_page(page))
    assert len(named) > 10
    missing = [name for name in named if not (ROOT / name).exists() and not (ROOT / "src" / "impasto" / name).exists()]
    assert missing == []
