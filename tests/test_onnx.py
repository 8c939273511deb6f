"""The fast path as ONNX, and the page that runs it in a browser: both paint what PyTorch paints."""

import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_picture
from PIL import Image
from studio_process import PATIENCE

import impasto
from impasto.errors import ImpastoError, UsageError
from impasto.images.collection import COLLECTION
from impasto.images.write import write_image

pytest.importorskip("onnx", reason="needs onnx: pip install onnx")
FOLDER = Path(__file__).parent.parent / "integrations" / "browser"
AS_THE_GRAPH = {"precision": "float32", "device": "cpu", "guard": 0.0, "trim": "none"}
MAX_MODEL_BYTES = 12_000_000
PATIENCE_MILLISECONDS = PATIENCE * 1000


@pytest.fixture(scope="module")
def export() -> Iterator[Any]:
    """The module that writes the page, found as where it is run by its name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        import export

        yield export


@pytest.fixture(scope="module")
def model(export: Any) -> bytes:
    assert export
    from fast_model import build_model

    written: bytes = build_model().SerializeToString()
    return written


@pytest.fixture(scope="module")
def session(model: bytes) -> Any:
    runtime = pytest.importorskip("onnxruntime", reason="needs ONNX Runtime: pip install onnxruntime")
    return runtime.InferenceSession(model, providers=["CPUExecutionProvider"])


@pytest.fixture
def pictures(tmp_path: Path) -> dict[str, Path]:
    """Photos and paintings by name: those of the collection, a gray one and a flat one."""
    made = {name: tmp_path / f"{name}.png" for name in ("gray", "flat", "patches")}
    write_image(make_picture(90, 80, 7).mean(1, keepdim=True).expand(1, 3, 80, 90), made["gray"])
    write_image(torch.full((1, 3, 140, 200), 0.9), made["flat"])
    write_image(make_picture(330, 210), made["patches"])
    return made | {name: painting.path for name, painting in COLLECTION.items()}


def measure_gap(picture: Image.Image, photo: Path, painting: Path, size: int, strength: float = 1.0) -> float:
    """Return the mean difference to PyTorch's picture, in 255ths."""
    wanted = impasto.paint_fast(photo, painting, size=size, fast_strength=strength, **AS_THE_GRAPH)
    assert picture.size == wanted.size
    return float(np.abs(np.asarray(picture.convert("RGB"), np.float64) - np.asarray(wanted)).mean())


@pytest.mark.parametrize(
    ("photo", "painting", "size", "strength"),
    [
        ("the_bedroom", "starry_night", 197, 1.0),
        ("patches", "the_scream", 250, 1.0),
        ("patches", "the_great_wave", 131, 0.4),
        ("the_bedroom", "gray", 150, 0.95),
        ("patches", "flat", 107, 1.0),
    ],
)
def test_graph_paints_as_pytorch(
    session: Any, pictures: dict[str, Path], photo: str, painting: str, size: int, strength: float
) -> None:
    given = {
        name: np.asarray(Image.open(pictures[file]).convert("RGBA"))
        for name, file in (("photo", photo), ("painting", painting))
    }
    numbers = {"size": np.array(size, np.int32), "strength": np.array(strength, np.float32)}
    (painted,) = session.run(None, given | numbers)
    assert measure_gap(Image.fromarray(painted), pictures[photo], pictures[painting], size, strength) < 1


def test_model_is_as_small_as_its_weights(model: bytes) -> None:
    assert len(model) < MAX_MODEL_BYTES


def test_folder_that_holds_something_is_refused(export: Any, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="new or an empty folder"):
        export.export(tmp_path)


def test_damaged_runtime_is_not_unpacked(export: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    with (tmp_path / "cache" / export.RUNTIME).open("wb") as file:
        file.truncate(export.RUNTIME_BYTES)
    with pytest.raises(ImpastoError, match="sha256"):
        export.export(tmp_path / "page")
    assert not (tmp_path / "page").exists()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *said: Any) -> None:
        pass


@pytest.fixture(scope="module")
def site(export: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page as it is written, served from this machine."""
    folder = tmp_path_factory.mktemp("page")
    try:
        export.export(folder)
    except ImpastoError as error:
        pytest.skip(f"no ONNX Runtime Web here: {error}")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(QuietHandler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.fixture(params=[("light", 1280)])
def page(browser: Any, site: str, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The page, ready; at the end nothing was asked of another machine, and nothing went wrong in its scripts."""
    scheme, width = request.param
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 844})
    context.set_default_timeout(PATIENCE_MILLISECONDS)
    opened, asked, faults = context.new_page(), list[str](), list[str]()
    context.on("request", lambda request: asked.append(request.url))
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    opened.goto(site)
    opened.get_by_text("Choose a photo to begin").wait_for()
    yield opened
    context.close()
    assert [url for url in asked if not url.startswith((site, "blob:"))] == []
    assert {f"{site}model.onnx", f"{site}worker.js"} <= {*asked}
    assert faults == []


def choose_photo(page: Any, path: Path) -> None:
    page.locator("#photo").set_input_files(path)


@pytest.mark.slow
@pytest.mark.browser
def test_browser_paints_as_pytorch(page: Any, pictures: dict[str, Path], tmp_path: Path) -> None:
    choose_photo(page, pictures["patches"])
    page.get_by_role("radio", name="The Scream").focus()
    page.keyboard.press("Space")
    page.get_by_label("Longer side").select_option("256")
    page.get_by_role("slider", name="Strength").press("End")
    page.get_by_role("button", name="Paint", exact=True).press("Enter")
    page.get_by_text("Painted in").wait_for()
    with page.expect_download() as started:
        page.get_by_role("link", name="Download").click()
    started.value.save_as(tmp_path / "painted.png")
    with Image.open(tmp_path / "painted.png") as painted:
        assert measure_gap(painted, pictures["patches"], pictures["the_scream"], 256) < 1


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize("page", [("dark", 390)], indirect=True)
def test_page_says_what_is_wrong_and_fits_a_phone(page: Any, pictures: dict[str, Path], tmp_path: Path) -> None:
    alert, paint = page.get_by_role("alert"), page.get_by_role("button", name="Paint", exact=True)
    (tmp_path / "notes.txt").write_text("no picture")
    choose_photo(page, tmp_path / "notes.txt")
    alert.get_by_text("notes.txt is not a picture").wait_for()
    assert paint.is_disabled()
    write_image(make_picture(400, 20), tmp_path / "narrow.png")
    choose_photo(page, tmp_path / "narrow.png")
    paint.click()
    alert.get_by_text("The photo would be 19 pixels across").wait_for()
    choose_photo(page, pictures["flat"])
    page.get_by_text("Ready.").wait_for()
    assert alert.text_content() == ""
    assert paint.is_enabled()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.slow
@pytest.mark.browser
def test_too_large_a_picture_says_so_and_the_next_is_painted(page: Any, pictures: dict[str, Path]) -> None:
    choose_photo(page, pictures["patches"])
    page.locator("#size").evaluate("select => select.innerHTML = '<option>22000</option><option>128</option>'")
    page.get_by_role("button", name="Paint", exact=True).click()
    page.get_by_role("alert").get_by_text("not enough memory").wait_for()
    page.locator("#size").select_option("128")
    page.get_by_role("button", name="Paint", exact=True).click()
    page.get_by_text("Painted in").wait_for()


@pytest.mark.slow
@pytest.mark.browser
def test_photo_chosen_while_painting_waits_for_its_end(page: Any, pictures: dict[str, Path]) -> None:
    paint = page.get_by_role("button", name="Paint", exact=True)
    choose_photo(page, pictures["patches"])
    page.get_by_text("Ready.").wait_for()
    page.evaluate("Worker.prototype.postMessage = () => {}")  # it never answers
    paint.click()
    page.get_by_text("Painting…").wait_for()
    before = page.locator("#photo-seen").get_attribute("src")
    choose_photo(page, pictures["flat"])
    page.wait_for_function("before => document.getElementById('photo-seen').src !== before", arg=before)
    assert paint.is_disabled()
    assert page.locator("#busy").is_visible()
    assert page.locator("#status").text_content() == "Painting…"
