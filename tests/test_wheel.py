"""What is released: the wheel paints outside the checkout, with its dependencies alone; names and numbers agree."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path

import pytest
from conftest import make_picture

from impasto.images.write import write_image

ROOT = Path(__file__).parent.parent
MAX_WHEEL_BYTES = 15_000_000
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SCRIPTS = "Scripts" if os.name == "nt" else "bin"


def run(*words: object, folder: Path) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run([*map(str, words)], cwd=folder, env=clean, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the source distribution of a copy: a build writes into the folder of the source."""
    copy, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in ("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    shutil.copytree(ROOT / "src", copy / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", built, copy, folder=built)
    (found,) = built.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment with the wheel; its dependencies are those of this one, so nothing is fetched."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=os.name != "nt")
    python = folder / SCRIPTS / "python"
    install = ("pip", "--python", python, "install", "-q", "--no-deps", "--no-index")
    run(sys.executable, "-m", *install, wheel, folder=folder)
    packages = run(python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])", folder=folder)
    Path(packages, "dependencies.pth").write_text(sysconfig.get_paths()["purelib"], encoding="utf-8")
    return folder


@pytest.mark.slow
def test_wheel_is_under_fifteen_megabytes(wheel: Path) -> None:
    assert wheel.stat().st_size < MAX_WHEEL_BYTES


@pytest.mark.slow
def test_installed_wheel_paints_outside_the_checkout(environment: Path, tmp_path: Path) -> None:
    write_image(make_picture(64, 48), tmp_path / "photo.png")
    home = run(environment / SCRIPTS / "python", "-c", "import impasto; print(impasto.__file__)", folder=tmp_path)
    assert Path(home).is_relative_to(environment)
    words = ("photo.png", "starry_night", "--preset", "draft", "--size", 64, "--steps", 2, "-o", "picture.png")
    run(environment / SCRIPTS / "impasto", *words, folder=tmp_path)
    assert (tmp_path / "picture.png").is_file()


@pytest.mark.slow
def test_installed_wheel_holds_types_page_and_paintings(environment: Path) -> None:
    (package,) = environment.rglob("impasto/__init__.py")
    source = ROOT / "src" / "impasto"
    ours = {path.relative_to(source) for path in source.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    assert {name for name in ours if not (package.parent / name).is_file()} == set()


def test_version_is_the_same_everywhere() -> None:
    (cited,) = re.findall(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    latest = re.search(r"^## \[(\d.*?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert latest
    assert cited == latest[1] == PROJECT["version"]


def test_extras_that_are_named_exist() -> None:
    pages = [*(ROOT / "src").rglob("*.py"), *(ROOT / "docs").rglob("*.md"), ROOT / "README.md"]
    named = {
        extra
        for page in pages
        for listed in re.findall(r"\bimpasto\[([a-z,]+)\]", page.read_text(encoding="utf-8"))
        for extra in listed.split(",")
    }
    assert {"film", "studio"} <= named <= {*PROJECT["optional-dependencies"]}
