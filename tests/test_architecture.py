"""Who may import whom, as docs/architecture.md says, read from the source."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path, PurePosixPath

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "impasto"
LAYERS = {
    "settings": 0,
    "values": -1,
    "presets": -1,  # within layer 0, what settings are made of
    "companions": -1,
    "weighed": -2,
    "lengths": -2,
    "amounts": -2,
    "textures": 0.5,
    "errors": 0,
    "pictures": 1,
    "perception": 1,
    "painting": 2,
    "recipes": 2,
    "fast": 3,
    "video": 3,
    "keeping": 2.5,  # within layer 3, what jobs are made of
    "steering": 2.5,
    "jobs": 3,
    "sources": 3,
    "api": 4,
    "films": 5,
    "unfinished": 5,
    "apps": 6,
}
ROOT_MODULES = {"__init__", "__main__"}  # the doors of the package: they may import any layer, nobody imports them
SIDE_DOORS = {"apps.batch", "apps.studio"}  # the command line leads to them; they know no other door
ONLY_IN = {
    "PIL": ("images/files.py", "images/encoding.py", "images/contact_sheet.py", "images/animation.py"),
    "tomli_w": ("recipes/files.py",),
    "av": ("films/reader.py", "films/encoder.py"),
    "cv2": ("films/flow.py",),
    "skimage": ("images/segmentation.py",),
    "scipy": ("images/segmentation.py",),
    "ray": ("workers/ray_pool.py",),
    "gradio": ("apps/studio/",),
    "fastapi": ("apps/studio/",),
    "uvicorn": ("apps/studio/",),
    "urllib.request": ("network/download.py",),
    "http.client": ("network/download.py",),
    "requests": ("network/download.py",),
    "httpx": ("network/download.py",),
    "urllib3": ("network/download.py",),
}
TYPES_ONLY = {("PIL", "api.py"), ("PIL", "jobs.py"), ("PIL", "films/film_run.py")}

Import = tuple[str, bool]  # dotted name, whether for type checking only


def imports(path: str, source: str) -> Iterator[Import]:
    """Yield all that a module imports, anywhere in it; `from a import b` yields a.b, as b may be a module."""
    package = ["impasto", *PurePosixPath(path).parent.parts]
    tree = ast.parse(source)
    for_types = {
        inner
        for outer in ast.walk(tree)
        if isinstance(outer, ast.If) and ast.unparse(outer.test).endswith("TYPE_CHECKING")
        for statement in outer.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node in for_types
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            start = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield f"{start}.{alias.name}", node in for_types


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def room(dotted: str) -> str:
    """The part of impasto that a module is of: its package, its own name at the top and in apps."""
    first, *rest = dotted.removeprefix("impasto.").split(".")
    return f"apps.{rest[0]}" if first == "apps" and rest else first


def trespasses(sources: dict[str, str]) -> list[str]:
    """List what breaks the house rules in sources by their path below src/impasto."""
    modules = {"impasto." + path.removesuffix(".py").replace("/", ".") for path in sources}
    found = []
    for path, source in sources.items():
        here = path.removesuffix(".py").replace("/", ".")
        if path.endswith("/__init__.py"):
            body = ast.parse(source).body
            if len(body) != 1 or not ast.get_docstring(ast.parse(source)):
                found.append(f"{path} holds more or less than one docstring")
            continue
        for name, types_only in imports(path, source):
            for package, homes in ONLY_IN.items():
                if (
                    within(name, package)
                    and not path.startswith(homes)
                    and not (types_only and (package, path) in TYPES_ONLY)
                ):
                    found.append(f"{path} imports {name}, which belongs in {' or '.join(homes)}")
            if not within(name, "impasto"):
                continue
            there = room(name)
            if there not in LAYERS and not there.startswith("apps."):
                found.append(f"{path} imports {name} from the root package")
            elif here not in ROOT_MODULES and not types_only and not may_import(here, there):
                found.append(f"{path} imports {name}, which is not below it")
    return found + circles(sources, modules)


def may_import(here: str, there: str) -> bool:
    own = room(here)
    if there == own:
        return True
    if own.startswith("apps.") and there.startswith("apps."):
        return own not in SIDE_DOORS or there not in {"apps.cli", *SIDE_DOORS}
    return LAYERS[there.split(".")[0]] < LAYERS[own.split(".")[0]]


def circles(sources: dict[str, str], modules: set[str]) -> list[str]:
    graph: dict[str, set[str]] = {}
    for path, source in sources.items():
        here = "impasto." + path.removesuffix(".py").replace("/", ".")
        for name, types_only in imports(path, source):
            if types_only:
                continue
            target = name if name in modules else name.rpartition(".")[0]
            if target in modules and target != here:
                graph.setdefault(here, set()).add(target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return ["a circle of imports: " + " -> ".join(error.args[1])]
    return []


def test_the_house_rules_hold():
    sources = {path.relative_to(SOURCE).as_posix(): path.read_text() for path in SOURCE.rglob("*.py")}
    assert "images/files.py" in sources
    assert trespasses(sources) == []


@pytest.mark.parametrize(
    ("path", "source", "said"),
    [
        ("images/masks.py", "import impasto.network.vgg", "not below it"),
        ("network/vgg.py", "from impasto.images import files", "not below it"),
        ("painting/planner.py", "def f():\n    from impasto.api import paint", "not below it"),
        ("recipes/text.py", "from impasto.painting.painter import Step", "not below it"),
        ("painting/planner.py", "from ..api import paint", "not below it"),
        ("films/flow.py", "from impasto.fast.generator import Generator", "not below it"),
        ("studio/page.py", "from impasto.batch import run", "not below it"),
        ("api.py", "from impasto.cli.app import main", "not below it"),
        ("cli/app.py", "import impasto", "from the root package"),
        ("cli/app.py", "from impasto import paint", "from the root package"),
        ("images/masks.py", "from PIL import Image", "belongs in images/files.py"),
        ("api.py", "from PIL import Image", "belongs in images/files.py"),
        ("cli/app.py", "import ray.data", "belongs in workers/ray_pool.py"),
        ("workers/process_pool.py", "import ray", "belongs in workers/ray_pool.py"),
        ("workers/process_pool.py", "from impasto.cli.app import main", "not below it"),
        ("cli/app.py", "import gradio as gr", "belongs in apps/studio/"),
        ("painting/planner.py", "from urllib import request", "belongs in network/download.py"),
        ("painting/__init__.py", '"""Doc."""\nfrom impasto.painting.painter import Painter', "one docstring"),
        ("painting/__init__.py", "", "one docstring"),
    ],
)
def test_a_planted_trespass_is_found(path, source, said):
    assert any(said in trespass for trespass in trespasses({path: source}))


def test_what_is_allowed_is_not_found():
    allowed = {
        "__init__.py": "def __getattr__(name):\n    from impasto import api\n    return getattr(api, name)",
        "api.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from PIL import Image",
        "painting/painter.py": "from impasto.painting.variation import vary\nimport impasto.images.sizes",
        "painting/losses.py": "import torch\nfrom impasto.errors import UsageError\nfrom urllib.parse import quote",
        "cli/__init__.py": '"""Doors."""',
        "cli/app.py": "from impasto.cli.options import parse\nfrom impasto.apps import studio",
    }
    assert trespasses(allowed) == []


def test_a_planted_circle_is_found():
    circle = {
        "painting/a.py": "from impasto.painting import b",
        "painting/b.py": "def f():\n    from impasto.painting.a import g",
    }
    assert any("circle" in trespass for trespass in trespasses(circle))


def run_python(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout


def test_importing_impasto_does_not_import_torch():
    assert run_python("import impasto, sys; print('torch' in sys.modules)").split() == ["False"]


@pytest.mark.skipif(not (SOURCE / "apps" / "cli.py").exists(), reason="there is no command line yet")
@pytest.mark.parametrize("words", [["--help"], ["batch", "--help"]])
def test_help_does_not_import_torch(words):
    program = f"""
import sys
sys.argv = ["impasto", *{words}]
from impasto.cli.app import main
try:
    main()
finally:
    print("heavy:", not {{"torch", "ray"}}.isdisjoint(sys.modules))
"""
    assert "heavy: False" in run_python(program)
