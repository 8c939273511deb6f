"""impasto film and impasto resume: exit codes, what is said, and how they are interrupted."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import SPELT_OUT, make_picture
from film_clips import make_pan, write_clip

import impasto
from impasto import UsageError
from impasto.cli import film as command
from impasto.cli.app import main
from impasto.films.reader import FilmReader
from impasto.images.write import write_image

ROOT = Path(__file__).parent.parent


@pytest.fixture
def words(tmp_path: Path, weights_file: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A command that is complete but for its options."""
    monkeypatch.chdir(tmp_path)
    write_clip(Path("a.mp4"), make_pan(4), sound="aac")
    write_image(make_picture(60, 60, 7), "p.png")
    chosen: dict[str, Any] = {**SPELT_OUT, "network": weights_file, "size": 64, "start_size": 64, "optimizer": "lbfgs"}
    plain = {
        name: value for name, value in chosen.items() if name not in ("style_blend", "pooling_gain", "learning_rate")
    }
    options = []
    for name, value in plain.items():
        text = ",".join(map(str, value)) if isinstance(value, dict | tuple) else str(value)
        options += [f"--{name.replace('_', '-')}", text]
    return ["film", "a.mp4", "p.png", *options]


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes of their own import the impasto that is tested here."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))


def test_a_film_is_painted_and_named(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    assert re.search(r"a_p\.mp4: 4 frames, [\d.]+ s\n$", capsys.readouterr().out)
    assert len(list(FilmReader(Path("a_p.mp4")))) == 4
    assert main([*words, "--output", "b.gif", "--end", "2f", "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert (out, err) == ("b.gif\n", "")
    assert main(["recipe", "a_p.mp4"]) == 0
    shown = capsys.readouterr().out
    assert "a.mp4" in shown
    assert re.search(r"  preset +film \*\n", shown)
    assert re.search(r"  temporal_weight +20\n", shown)  # without a star: it was not given
    assert main([*words, "--temporal-weight", "3", "--recipe-file", "r.toml", "-o", "c.webp"]) == 0
    assert "temporal_weight = 3.0" in Path("r.toml").read_text()
    assert main(["recipe", "c.webp"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"  temporal_weight +3 \*\n", shown)
    assert "impasto film a.mp4 p.png" in shown
    assert "--temporal-weight 3" in shown


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--start", "soon"], 2, "--start must be a time"),
        (["--every", "0"], 2, "--every takes a whole number, 1 to 1000"),
        (["--look-back", "1,x"], 2, "--look-back takes numbers"),
        (["--cuts", "some"], 2, "cuts"),
        (["--output", "b.avi"], 2, "does not say what to write"),
        (["--output", "a.mp4", "--overwrite"], 2, "also the input"),
        (["--output", "p.png"], 2, "also the input"),
        (["--output", "none/b.mp4"], 1, "does not exist"),
        (["--workers", "2", "--save-every", "1"], 2, "--save-every is for frames that are painted one after the other"),
        (["--engine", "ray", "--memory", "4GiB"], 2, "--memory is for workers of this machine"),
        (["--start", "9"], 1, "no frames between --start and --end"),
    ],
)
def test_wrong_options_are_reported(
    words: list[str], options: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, *options]) == code
    assert said in capsys.readouterr().err
    assert not list(Path().glob("*.film"))


def test_resuming_nothing_is_reported(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert words
    assert main(["resume", "a.mp4"]) == 2
    assert "is no unfinished picture or film" in capsys.readouterr().err
    assert main(["resume", "."]) == 2
    assert "is a folder" in capsys.readouterr().err
    for name in (".", "x" * 300):
        with pytest.raises(UsageError, match="no film was begun there"):
            impasto.resume_film(name)
    assert main(["resume", "x" * 300]) == 1
    assert "does not exist" in capsys.readouterr().err


def test_missing_packages_are_named(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.startswith("impasto.films")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(sys.modules["impasto"], "films", raising=False)
    monkeypatch.setitem(sys.modules, "av", None)
    assert main(words) == 1
    assert "pip install '.[film]'" in capsys.readouterr().err


@pytest.mark.slow
def test_an_interrupted_film_is_written_and_continued(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    program = (
        "import os, signal, sys\nfrom impasto.cli.app import main\n"
        "from impasto.terminal.progress import ProgressDisplay\n"
        "update = ProgressDisplay.update\n"
        "def stop(self, progress, stage, detail=''):\n"
        "    if stage.startswith('frame 3/'): os.kill(os.getpid(), signal.SIGINT)\n"
        "    return update(self, progress, stage, detail)\n"
        "ProgressDisplay.update = stop\nsys.exit(main(sys.argv[1:]))\n"
    )
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True)
    assert done.returncode == 130, done.stderr
    assert done.stdout == "a_p.mp4: unfinished, 2 of 4 frames\n"
    assert "impasto resume a_p.mp4.film continues" in done.stderr
    assert len(list(FilmReader(Path("a_p.mp4")))) == 2
    assert main(["resume", "a_p.mp4"]) == 0
    assert capsys.readouterr().out.strip().endswith("s")
    assert len(list(FilmReader(Path("a_p.mp4")))) == 4
    assert not command.is_unfinished_film(Path("a_p.mp4"))


@pytest.mark.slow
def test_the_page_on_films_runs(words: list[str]) -> None:
    assert words
    Path("a.mp4").rename("film.mp4")
    write_image(make_picture(60, 45), "painting.jpg")
    page = (ROOT / "docs" / "how-to" / "film.md").read_text(encoding="utf-8")
    (snippet,) = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    exec(compile(snippet.replace("size=480", "size=48"), "snippet", "exec"), {"__name__": "snippet"})
    assert len(list(FilmReader(Path("painted.mp4")))) == 4
