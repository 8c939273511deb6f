"""The interface for programs: what docs/studio.md shows runs, as it stands, against a running studio."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import make_picture
from studio_process import Outside, Studio

from impasto import read_recipe
from impasto.images.write import write_image

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parent.parent / "docs" / "studio.md"


def test_the_snippet_of_the_docs_runs(studio: Studio, tmp_path: Path):
    pytest.importorskip("gradio_client", reason="needs Gradio: pip install 'impasto[studio]'")
    (snippet,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    cheap = snippet.replace('"size": 512', '"size": 96, "start_size": 96, "steps": 40')
    program = cheap.replace("http://127.0.0.1:7860/", studio.url)
    assert program.count(studio.url) == 2
    assert cheap != snippet
    for seed, name in enumerate(("photo.jpg", "painting.jpg"), start=1):
        write_image(make_picture(120, 90, seed), tmp_path / name)
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    recipe = read_recipe(tmp_path / "picture.png")
    assert recipe.settings.style_weight == 2
    assert [length.value for length in recipe.settings.style_size] == [0.5]
    assert re.search(r"'style_size': '?0\.5", done.stdout)


def test_functions_are_those_of_the_docs(studio: Studio):
    status, body = studio.ask("gradio_api/info")
    assert status == 200
    offered = set(json.loads(body)["named_endpoints"])
    table = re.findall(r"^\| (`[^|]+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    named = {f"/{name}" for row in table for name in re.findall(r"`(\w+)`", row)}
    assert offered == named


def test_requests_to_other_machines_are_recorded():
    outside = Outside()
    program = "import httpx; httpx.get('http://gradio.example/analytics', timeout=5)"
    subprocess.run([sys.executable, "-c", program], env={**os.environ, **outside.environment}, capture_output=True)
    outside.close()
    assert outside.knocks[0].startswith(b"GET http://gradio.example/analytics")
