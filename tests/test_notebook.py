"""In a notebook: a run shows itself, its cell follows it, an interrupted one continues; the tutorial runs."""

import base64
import io
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from conftest import SPELT_OUT, make_picture
from film_clips import make_pan, write_clip
from nbclient import NotebookClient
from PIL import Image

import impasto
from impasto.images.write import to_pil
from impasto.painting import painter
from impasto.terminal import notebook

TUTORIAL = Path(__file__).parent.parent / "examples" / "tutorial.ipynb"
QUICK: dict[str, Any] = {**SPELT_OUT, "size": 64, "start_size": 32, "steps": 3, "later_steps": 2}


@pytest.fixture
def run(weights_file: Path) -> impasto.Run:
    photo, painting = (to_pil(make_picture(64, 48, seed)) for seed in (1, 2))
    return impasto.start(photo, painting, **QUICK, network=str(weights_file))


@pytest.fixture
def film(tmp_path: Path, weights_file: Path) -> impasto.FilmRun:
    source = write_clip(tmp_path / "a.mp4", make_pan(3))
    to_pil(make_picture(60, 60, 7)).save(tmp_path / "painting.png")
    chosen = {**QUICK, "network": str(weights_file), "optimizer": "lbfgs", "frame_steps": 2}
    return impasto.film(source, tmp_path / "painting.png", output=tmp_path / "b.mp4", **chosen)


class Handle:
    """Stands for IPython's handle of an output: keeps what it shows."""

    def __init__(self, shown: Any) -> None:
        self.shown = [shown]

    def update(self, shown: Any) -> None:
        self.shown.append(shown)


@pytest.fixture
def handles(monkeypatch: pytest.MonkeyPatch) -> list[Handle]:
    """The outputs of a notebook's cell."""
    made: list[Handle] = []

    def display(shown: Any, display_id: bool) -> Handle:
        assert display_id
        made.append(Handle(shown))
        return made[-1]

    monkeypatch.setattr("IPython.display.display", display)
    monkeypatch.setattr(notebook, "_is_notebook", lambda: True)
    monkeypatch.setattr(notebook, "SECONDS_BETWEEN_PICTURES", 0)
    return made


def test_run_shows_its_picture_at_the_final_size(run: impasto.Run) -> None:
    assert run._repr_mimebundle_() == ({"text/plain": "nothing is painted yet"}, {})
    next(run)
    data, metadata = run._repr_mimebundle_(include=None, exclude=None)
    with Image.open(io.BytesIO(base64.b64decode(data["image/png"]))) as shown:
        assert shown.size == (32, 24)
    assert metadata == {"image/png": {"width": 64, "height": 48}}
    assert data["text/plain"] == run.describe_result()


def test_film_shows_the_frame_being_painted(film: impasto.FilmRun) -> None:
    assert film._repr_mimebundle_() == ({"text/plain": "unfinished, 0 of 3 frames"}, {})
    next(film)
    assert film._repr_mimebundle_()[1] == {"image/png": {"width": 64, "height": 48}}


def test_large_picture_is_shown_small(run: impasto.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("impasto.images.display.SHOWN_SIDE_PIXELS", 16)
    next(run)
    data, metadata = run._repr_mimebundle_()
    with Image.open(io.BytesIO(base64.b64decode(data["image/png"]))) as shown:
        assert shown.size == (16, 12)
    assert metadata == {"image/png": {"width": 16, "height": 12}}


@pytest.mark.parametrize("name", ["run", "film"])
def test_cell_follows_a_run_to_its_end(name: str, request: pytest.FixtureRequest, handles: list[Handle]) -> None:
    painted = request.getfixturevalue(name)
    steps = list(impasto.show(painted))
    picture, line = handles
    assert picture.shown == [painted] * (len(steps) + 2)  # at the start, at each step, at the end
    texts = [html.data for html in line.shown]
    assert "<progress" in texts[1]
    assert f"{steps[0].progress:.0%}, {steps[0].stage}" in texts[1]
    assert texts[-1].startswith(painted.describe_result())
    assert painted.is_finished


def test_cell_shows_notes_as_text(run: impasto.Run, handles: list[Handle]) -> None:
    run.notes.append("<b> is a file")
    next(impasto.show(run))
    assert "<br>&lt;b&gt; is a file" in handles[1].shown[1].data


def test_on_a_terminal_progress_goes_to_stderr(run: impasto.Run, capsys: pytest.CaptureFixture[str]) -> None:
    steps = list(impasto.show(run))
    assert len(steps) == run.total_steps
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "scale 2/2, 64 x 48, 100%" in printed.err


def test_interrupted_run_continues(run: impasto.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    next(run)
    interrupt_once(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        next(run)
    assert [step.step for step in run] == [2, 3, 4, 5]
    assert run.is_finished


def interrupt_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupt the next evaluation of the losses, as a notebook's stop button does."""
    evaluate = painter._evaluate

    def interrupt(*_: Any) -> None:
        monkeypatch.setattr(painter, "_evaluate", evaluate)
        raise KeyboardInterrupt

    monkeypatch.setattr(painter, "_evaluate", interrupt)


def test_interrupted_film_continues(film: impasto.FilmRun, monkeypatch: pytest.MonkeyPatch) -> None:
    while next(film).frame < 2:
        pass
    interrupt_once(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        next(film)
    assert {step.frame for step in film} == {2, 3}
    assert film.is_finished
    assert film.output.exists()


def test_stopped_film_says_how_to_continue(film: impasto.FilmRun) -> None:
    while next(film).frame < 2:
        pass
    film.write_result()
    with pytest.raises(impasto.UsageError, match=r"stopped before its end: impasto\.resume_film\("):
        next(film)
    assert {step.frame for step in impasto.resume_film(film.folder)} == {2, 3}


def test_showing_needs_no_ipython() -> None:
    program = "import impasto, sys; impasto.show; print('IPython' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout.split() == [b"False"]


@pytest.mark.slow
def test_tutorial_runs(tmp_path: Path) -> None:
    pages = nbformat.read(TUTORIAL, as_version=4)
    assert "%pip install" in pages.cells[1].source
    pages.cells = [cell for cell in pages.cells if "install" not in cell.metadata.get("tags", [])]
    for cell in pages.cells:  # pictures of half the size, by the smaller network
        cell.source = cell.source.replace("size=192", 'size=96, network="slim"').replace("size=256", "size=128")
    NotebookClient(pages, timeout=600, resources={"metadata": {"path": tmp_path}}).execute()
    outputs = [output for cell in pages.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 5
    htmls = [output["data"]["text/html"] for output in outputs if "text/html" in output.get("data", {})]
    assert any(re.fullmatch(r"96 x 64, \d+\.\d s", html) for html in htmls)
