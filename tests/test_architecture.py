"""Who may import whom, as docs/explanation/architecture.md says, read from the source."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path, PurePosixPath

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "impasto"
# From the lowest layer to the highest: a module may import its own package and the layers below it.
LAYERS = [
    ("errors",),
    ("settings",),
    ("images",),
    ("network",),
    ("painting", "recipes"),
    ("fast",),
    ("runs",),
    ("films",),
    ("api",),
    ("workers",),
    ("terminal",),
    ("batch", "studio"),
    ("cli",),
]
FLOORS = {package: floor for floor, packages in enumerate(LAYERS) for package in packages}
ENTRY_POINTS = {"__init__", "__main__"}  # they may import any layer, and nobody imports them
ONLY_IN = {
    "PIL": ("images/",),
    "pillow_heif": ("images/",),
    "tomli_w": ("recipes/files.py",),
    "av": ("films/reader.py", "films/encoder.py"),
    "cv2": ("films/flow.py", "cli/live.py"),
    "dlib": ("images/guard.py",),
    "skimage": ("images/segmentation.py",),
    "scipy": ("images/segmentation.py",),
    "ray": ("workers/ray_pool.py",),
    "rich": ("terminal/", "cli/"),
    "cyclopts": ("cli/",),
    "fastapi": ("studio/",),
    "uvicorn": ("studio/",),
    "urllib.request": ("network/download.py",),
    "http.client": ("network/download.py",),
    "requests": ("network/download.py",),
    "httpx": ("network/download.py",),
    "urllib3": ("network/download.py",),
}
TYPES_ONLY = {"PIL": ("api.py", "runs/", "films/")}  # for annotations, these files may import them too

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


def get_package(dotted: str) -> str:
    """Return the part of impasto that a module belongs to: its package, or its own name at the top."""
    return dotted.removeprefix("impasto.").split(".")[0]


def list_violations(sources: dict[str, str]) -> list[str]:
    """List what breaks the rules in sources, which are given by their path below src/impasto."""
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
                allowed = homes + (TYPES_ONLY.get(package, ()) if types_only else ())
                if within(name, package) and not path.startswith(allowed):
                    found.append(f"{path} imports {name}, which belongs in {' or '.join(homes)}")
            if not within(name, "impasto") or here in ENTRY_POINTS:
                continue
            if get_package(name) not in FLOORS:
                found.append(f"{path} imports {name} from the root package")
            elif not may_import(get_package(here), get_package(name)):
                found.append(f"{path} imports {name}, which is not below it")
    return found + list_cycles(sources, modules)


def may_import(package: str, other: str) -> bool:
    return package == other or FLOORS[other] < FLOORS[package]


def list_cycles(sources: dict[str, str], modules: set[str]) -> list[str]:
    """List circles of imports between modules, those for types alone included."""
    graph: dict[str, set[str]] = {}
    for path, source in sources.items():
        here = "impasto." + path.removesuffix(".py").replace("/", ".")
        for name, _ in imports(path, source):
            target = name if name in modules else name.rpartition(".")[0]
            if target in modules and target != here:
                graph.setdefault(here, set()).add(target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return ["a circle of imports: " + " -> ".join(error.args[1])]
    return []


def test_layers_and_third_parties_are_kept():
    sources = {path.relative_to(SOURCE).as_posix(): path.read_text() for path in SOURCE.rglob("*.py")}
    assert {path.partition("/")[0] for path in sources if "/" in path} <= {*FLOORS}
    assert list_violations(sources) == []


def test_largest_folder_holds_under_a_quarter_of_the_lines():
    lines: dict[str, int] = {}
    for path in SOURCE.rglob("*.py"):
        folder = path.relative_to(SOURCE).parent.as_posix()
        lines[folder] = lines.get(folder, 0) + len(path.read_text().splitlines())
    assert max(lines.values()) < sum(lines.values()) / 4


def test_no_class_name_stands_twice():
    names = [
        node.name
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    ]
    assert {name for name in names if names.count(name) > 1} == set()


@pytest.mark.parametrize(
    ("path", "source", "said"),
    [
        ("images/masks.py", "import impasto.network.vgg", "not below it"),
        ("images/sizes.py", "from impasto.painting import tiles", "not below it"),
        ("painting/planner.py", "def f():\n    from impasto.api import paint", "not below it"),
        ("recipes/text.py", "from impasto.painting.painter import Step", "not below it"),
        (
            "settings/model.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import impasto.api",
            "not below",
        ),
        ("painting/planner.py", "from ..api import paint", "not below it"),
        ("films/flow.py", "from impasto.workers import worker", "not below it"),
        ("studio/routes.py", "from impasto.batch import batch_run", "not below it"),
        ("api.py", "from impasto.cli.app import main", "not below it"),
        ("cli/app.py", "import impasto", "from the root package"),
        ("cli/app.py", "from impasto import paint", "from the root package"),
        ("network/vgg.py", "from PIL import Image", "belongs in images/"),
        ("api.py", "from PIL import Image", "belongs in images/"),
        ("cli/app.py", "import ray.data", "belongs in workers/ray_pool.py"),
        ("workers/process_pool.py", "import ray", "belongs in workers/ray_pool.py"),
        ("workers/process_pool.py", "from impasto.cli.app import main", "not below it"),
        ("cli/app.py", "import fastapi", "belongs in studio/"),
        ("painting/planner.py", "from urllib import request", "belongs in network/download.py"),
        ("painting/__init__.py", '"""Doc."""\nfrom impasto.painting.painter import Painter', "one docstring"),
        ("painting/__init__.py", "", "one docstring"),
    ],
)
def test_planted_violation_is_found(path, source, said):
    assert any(said in violation for violation in list_violations({path: source}))


def test_allowed_imports_are_not_violations():
    allowed = {
        "__init__.py": "def __getattr__(name):\n    from impasto import api\n    return getattr(api, name)",
        "api.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from PIL import Image",
        "painting/painter.py": "from impasto.painting.variation import vary\nimport impasto.images.sizes",
        "painting/losses.py": "import torch\nfrom impasto.errors import UsageError\nfrom urllib.parse import quote",
        "cli/__init__.py": '"""The commands."""',
        "cli/app.py": "from impasto.cli.options import parse\nfrom impasto.studio import routes",
    }
    assert list_violations(allowed) == []


def test_planted_circle_is_found():
    circle = {
        "painting/a.py": "from impasto.painting import b",
        "painting/b.py": "def f():\n    from impasto.painting.a import g",
    }
    assert any("circle" in violation for violation in list_violations(circle))


def run_python(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout


def test_importing_impasto_does_not_import_torch():
    assert run_python("import impasto, sys; print('torch' in sys.modules)").split() == ["False"]


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
