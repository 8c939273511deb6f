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
    "PIL": ("pictures/files.py", "pictures/encoding.py", "pictures/sheet.py", "pictures/animations.py"),
    "tomli_w": ("recipes/storage.py",),
    "av": ("video/frames.py", "video/writing.py"),
    "cv2": ("video/flow.py",),
    "skimage": ("pictures/regions.py",),
    "scipy": ("pictures/regions.py",),
    "ray": ("apps/batch/cluster.py",),
    "gradio": ("apps/studio/",),
    "fastapi": ("apps/studio/",),
    "uvicorn": ("apps/studio/",),
    "urllib.request": ("perception/fetch.py",),
    "http.client": ("perception/fetch.py",),
    "requests": ("perception/fetch.py",),
    "httpx": ("perception/fetch.py",),
    "urllib3": ("perception/fetch.py",),
}
TYPES_ONLY = {("PIL", "api.py"), ("PIL", "jobs.py"), ("PIL", "video/run.py")}

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
    assert "pictures/files.py" in sources
    assert trespasses(sources) == []


@pytest.mark.parametrize(
    ("path", "source", "said"),
    [
        ("pictures/masks.py", "import impasto.perception.network", "not below it"),
        ("perception/network.py", "from impasto.pictures import files", "not below it"),
        ("painting/plan.py", "def f():\n    from impasto.api import paint", "not below it"),
        ("recipes/words.py", "from impasto.painting.painter import Step", "not below it"),
        ("painting/plan.py", "from ..api import paint", "not below it"),
        ("video/flow.py", "from impasto.fast.generator import Generator", "not below it"),
        ("apps/studio/page.py", "from impasto.apps.batch import run", "not below it"),
        ("api.py", "from impasto.apps.cli import main", "not below it"),
        ("apps/cli.py", "import impasto", "from the root package"),
        ("apps/cli.py", "from impasto import paint", "from the root package"),
        ("pictures/masks.py", "from PIL import Image", "belongs in pictures/files.py"),
        ("api.py", "from PIL import Image", "belongs in pictures/files.py"),
        ("apps/cli.py", "import ray.data", "belongs in apps/batch/cluster.py"),
        ("apps/batch/local.py", "import ray", "belongs in apps/batch/cluster.py"),
        ("apps/batch/local.py", "from impasto.apps.cli import main", "not below it"),
        ("apps/cli.py", "import gradio as gr", "belongs in apps/studio/"),
        ("painting/plan.py", "from urllib import request", "belongs in perception/fetch.py"),
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
        "painting/painter.py": "from impasto.painting.variation import vary\nimport impasto.pictures.sizes",
        "painting/losses.py": "import torch\nfrom impasto.errors import UsageError\nfrom urllib.parse import quote",
        "apps/__init__.py": '"""Doors."""',
        "apps/cli.py": "from impasto.apps.options import parse\nfrom impasto.apps import studio",
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
from impasto.apps.cli import main
try:
    main()
finally:
    print("heavy:", not {{"torch", "ray"}}.isdisjoint(sys.modules))
"""
    assert "heavy: False" in run_python(program)
