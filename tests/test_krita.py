"""The Krita plug-in, against a stub of Krita; and in Krita itself where it is installed."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from conftest import make_picture
from PIL import Image

from impasto.images.write import to_pil

PLUGIN = Path(__file__).parent.parent / "integrations" / "krita"
PROGRAM = str(Path(sys.executable).with_name("impasto.exe" if os.name == "nt" else "impasto"))
QUICK = ["--network", "slim", "--size", "64", "--start-size", "32", "--steps", "2", "--later-steps", "1"]


class Layer:
    """Stands for Krita's Node: a picture with a name, in a list of layers."""

    def __init__(self, name: str, picture: Image.Image | None) -> None:
        self.title, self.picture = name, picture
        self.layers: list[Layer] = []

    def name(self) -> str:
        return self.title

    def save(self, path: str, *given: object) -> None:
        assert (*given[:2], given[3]) == (300 / 72, 300 / 72, "bounds")
        if self.picture:
            self.picture.save(path)

    def pixelData(self, left: int, top: int, width: int, height: int) -> Image.Image:  # noqa: N802
        assert self.picture
        return self.picture.crop((left, top, left + width, top + height))

    def setPixelData(self, pixels: Image.Image, *place: int) -> None:  # noqa: N802
        assert place == (0, 0, *pixels.size)
        self.picture = pixels

    def parentNode(self) -> "Layer":  # noqa: N802
        return self

    def addChildNode(self, layer: "Layer", above: "Layer") -> None:  # noqa: N802
        assert above is self
        self.layers.append(layer)


class Document:
    """Stands for Krita's Document: notes how it is scaled and converted."""

    def __init__(self, picture: Image.Image) -> None:
        self.layer, self.asked, self.is_open = Layer("photo", picture), [], True

    def __getattr__(self, name: str) -> Any:
        known = {
            "width": 48,
            "height": 36,
            "resolution": 300.0,
            "bounds": "bounds",
            "colorModel": "RGBA",
            "colorDepth": "U16",
            "colorProfile": "sRGB",
            "topLevelNodes": [self.layer],
        }
        if name in known:
            return lambda: known[name]
        return lambda *given: self.asked.append((name, *given))

    def createNode(self, title: str, kind: str) -> Layer:  # noqa: N802
        assert kind == "paintlayer"
        return Layer(title, None)

    def scaleImage(self, width: int, height: int, *given: object) -> None:  # noqa: N802
        assert given == (300, 300, "Bicubic")
        assert self.layer.picture
        self.layer.picture = self.layer.picture.resize((width, height))

    def close(self) -> None:
        self.is_open = False


class App:
    """Stands for Krita.instance()."""

    def __init__(self) -> None:
        self.is_batch, self.opened = False, []

    def batchmode(self) -> bool:
        return self.is_batch

    def setBatchmode(self, is_batch: bool) -> None:  # noqa: N802
        self.is_batch = is_batch

    def openDocument(self, path: str) -> Document:  # noqa: N802
        with Image.open(path) as picture:
            self.opened.append(Document(picture.copy()))
        return self.opened[-1]


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture
def painting(app: App, monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """The plug-in's module that paints, with a stub of Krita."""
    krita = types.ModuleType("krita")
    vars(krita).update(InfoObject=object, Krita=types.SimpleNamespace(instance=lambda: app))
    monkeypatch.setitem(sys.modules, "krita", krita)
    spec = importlib.util.spec_from_file_location("krita_painting", PLUGIN / "impasto_krita" / "painting.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def document() -> Document:
    return Document(to_pil(make_picture(48, 36)))


@pytest.mark.slow
def test_painted_picture_becomes_a_layer_above(painting: types.ModuleType, app: App, document: Document) -> None:
    lines: list[str] = []
    notes = painting.paint_layer(
        document, document.layer, PROGRAM, "starry_night", QUICK, lambda line: lines.append(line) or True
    )
    [added] = document.layer.layers
    assert notes == []
    assert added.name() == "photo, starry_night"
    assert added.picture
    assert added.picture.size == (48, 36)
    assert document.asked == [("setActiveNode", added), ("refreshProjection",)]
    [opened] = app.opened
    assert opened.asked == [("setColorSpace", "RGBA", "U16", "sRGB"), ("waitForDone",)]
    assert not opened.is_open
    assert not app.is_batch
    assert any("scale 2/2" in line for line in lines)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows ends a program at once")
def test_stopping_keeps_what_is_painted(painting: types.ModuleType, document: Document) -> None:
    endless = [*QUICK[:-1], "100000"]
    painting.paint_layer(
        document, document.layer, PROGRAM, "starry_night", endless, lambda line: "scale 1/2" not in line
    )
    assert [layer.name() for layer in document.layer.layers] == ["photo, starry_night (unfinished)"]


@pytest.mark.slow
def test_stopping_before_the_first_step_adds_nothing(painting: types.ModuleType, document: Document) -> None:
    assert painting.paint_layer(document, document.layer, PROGRAM, "starry_night", QUICK, lambda _: False) == []
    assert document.layer.layers == []


@pytest.mark.slow
def test_message_of_impasto_is_raised(painting: types.ModuleType, document: Document) -> None:
    with pytest.raises(painting.PaintingError, match="did you mean starry_night"):
        painting.paint_layer(document, document.layer, PROGRAM, "stary_night", QUICK, lambda _: True)
    with pytest.raises(painting.PaintingError, match="--size takes a whole number"):
        painting.paint_layer(document, document.layer, PROGRAM, "starry_night", ["--size", "3"], lambda _: True)


def test_missing_program_is_named(painting: types.ModuleType, document: Document, tmp_path: Path) -> None:
    program = str(tmp_path / "impasto")
    with pytest.raises(painting.PaintingError, match="can't be started"):
        painting.paint_layer(document, document.layer, program, "starry_night", QUICK, lambda _: True)


def test_layer_without_pixels_is_named(painting: types.ModuleType, document: Document) -> None:
    document.layer.picture = None
    with pytest.raises(painting.PaintingError, match="can't export the layer photo"):
        painting.paint_layer(document, document.layer, PROGRAM, "starry_night", QUICK, lambda _: True)


def test_paintings_are_listed(painting: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHOME", "/nowhere")  # as Krita's own Python has it
    assert "starry_night" in painting.list_paintings(PROGRAM)


IN_KRITA = """
import json
import sys

sys.path.insert(0, {plugin!r})


def run(_=None):
    from krita import Krita

    import impasto_krita
    from impasto_krita.painting import paint_layer

    document = Krita.instance().openDocument({photo!r})
    document.setColorSpace("CMYKA", "U8", "Chemical proof")
    layer = document.topLevelNodes()[0]
    Krita.instance().writeSetting("impasto", "program", {program!r})
    dialog = impasto_krita.PaintDialog(document)
    paint_layer(document, layer, {program!r}, dialog.painting.itemText(0), {quick!r}, lambda _: True)
    document.waitForDone()
    Krita.instance().setBatchmode(True)
    document.topLevelNodes()[1].save({painted!r}, 1, 1, impasto_krita.painting.InfoObject(), document.bounds())
    found = {{"layers": [it.name() for it in document.topLevelNodes()], "options": dialog.list_options()}}
    with open({found!r}, "w") as file:
        json.dump(found, file)
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("kritarunner") is None, reason="needs Krita")
def test_it_paints_in_krita_itself(tmp_path: Path) -> None:
    to_pil(make_picture(48, 36)).save(tmp_path / "photo.png")
    names = {name: str(tmp_path / file) for name, file in (("photo", "photo.png"), ("painted", "b.png"))}
    found = tmp_path / "found.json"
    script = IN_KRITA.format(plugin=str(PLUGIN), program=PROGRAM, quick=QUICK, found=str(found), **names)
    (tmp_path / "in_krita.py").write_text(script)
    environment = {
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
        "PATH": os.defpath,  # a virtual environment would replace Krita's own Python
        "PYTHONPATH": str(tmp_path),
        "QT_QPA_PLATFORM": "offscreen",
        "XDG_RUNTIME_DIR": str(tmp_path),
    }
    words = [str(shutil.which("kritarunner")), "-s", "in_krita", "-f", "run"]
    ended = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert found.exists(), ended.stdout + ended.stderr
    assert json.loads(found.read_text()) == {
        "layers": ["Background", "Background, starry_night"],
        "options": ["--preset", "default", "--size", "64"],
    }
    with Image.open(tmp_path / "b.png") as painted:
        assert painted.size == (48, 36)
