"""stdin, stdout and stderr as they are: piped, closed, full, in another encoding; and names that others take."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from conftest import make_picture
from PIL import Image

from impasto.cli.pipes import run_with_pipes
from impasto.cli.run_loop import explain_end
from impasto.errors import ImpastoError, UsageError
from impasto.images.output import OutputTakenError, atomic_write, write_beside
from impasto.images.write import write_image
from impasto.runs.run import Run
from impasto.terminal.console import print_result
from impasto.terminal.interrupts import Interrupts

OPTIONS = ["--size=64", "--steps=2", "--network=slim", "--views=1"]
PAINT = f"{sys.executable} -m impasto"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("streams")
    for seed, name in enumerate(("photo.png", "painting.png")):
        write_image(make_picture(64, 48, seed), folder / name)
    return folder


def run_in_shell(folder: Path, command: str, **environment: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(["sh", "-c", command], cwd=folder, capture_output=True, env={**os.environ, **environment})


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")
@pytest.mark.parametrize("ending", ["<&- >&- 2>&-", ">&- 2> /dev/full", "> /dev/full 2>&-"], ids=["all", "out", "err"])
def test_picture_is_written_whatever_the_streams(folder: Path, ending: str) -> None:
    if "full" in ending and not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    done = run_in_shell(folder, f"{PAINT} photo.png painting.png {' '.join(OPTIONS)} -o out.png --overwrite {ending}")
    assert done.returncode == 0
    assert b"bug" not in done.stderr
    with Image.open(folder / "out.png") as picture:
        picture.load()
        assert picture.size == (64, 48)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")
def test_name_that_the_console_lacks_is_replaced(folder: Path) -> None:
    command = f"{PAINT} photo.png painting.png {' '.join(OPTIONS)} -o 写真.png --quiet"
    done = run_in_shell(folder, command, PYTHONUTF8="0", PYTHONIOENCODING="cp1252")
    assert (done.returncode, done.stdout) == (0, b"??.png\n"), done.stderr
    assert (folder / "写真.png").exists()


@pytest.mark.slow
def test_picture_goes_through_a_pipe(folder: Path) -> None:
    words = [sys.executable, "-m", "impasto", "-", "painting.png", *OPTIONS, "-o", "-"]
    photo = (folder / "photo.png").read_bytes()
    done = subprocess.run(words, cwd=folder, input=photo, capture_output=True)
    assert done.returncode == 0, done.stderr
    with Image.open(io.BytesIO(done.stdout)) as picture:
        assert (picture.format, picture.size) == ("PNG", (64, 48))
    assert b"stdout: 64 x 48" in done.stderr
    assert b"impasto-" not in done.stderr


@pytest.mark.slow
def test_empty_pipe_is_said(folder: Path) -> None:
    words = [sys.executable, "-m", "impasto", "-", "painting.png", "-o", "-"]
    done = subprocess.run(words, cwd=folder, input=b"", capture_output=True)
    assert done.returncode == 1
    assert done.stderr.decode().strip() == "impasto: stdin is empty (0 bytes): get the picture again"


@pytest.mark.slow
def test_json_goes_through_a_pipe(folder: Path) -> None:
    words = [sys.executable, "-m", "impasto", "photo.png", "painting.png", *OPTIONS, "-o", "told.png", "--json"]
    done = subprocess.run(words, cwd=folder, capture_output=True)
    told = json.loads(done.stdout)
    assert told.pop("seconds") > 0
    assert told.pop("losses")["total"] > 0
    assert told == {
        "file": str(folder / "told.png"),
        "width": 64,
        "height": 48,
        "finished": True,
        "step": 2,
        "steps": 2,
        "notes": [],
        "resume": None,
    }


def test_words_without_pipes_are_run_as_they_are() -> None:
    words = ["a.png", "--mask=b.png", "-o", "-x.png", "--", "~user", "-1"]
    assert run_with_pipes(words, list) == words


def test_home_is_expanded_in_any_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("USERPROFILE", "/home/me")
    words = ["~/a.png", "--preserve-mask=~/b.png", "-o=~/c.png", "--name=~x"]
    expected = ["/home/me/a.png", "--preserve-mask=/home/me/b.png", "-o=/home/me/c.png", "--name=~x"]
    assert run_with_pipes(words, list) == expected


def test_address_of_a_file_is_taken_for_its_path() -> None:
    words = [
        "file:///home/me/my%20photo.jpg",
        "--mask=file://localhost/m.png",
        "file:///C:/a.png",
        "file://server/a.png",
    ]
    expected = ["/home/me/my photo.jpg", "--mask=/m.png", "C:/a.png", "file://server/a.png"]
    assert run_with_pipes(words, list) == expected


def write_picture(words: list[str]) -> int:
    Path(words[-1].removeprefix("--output=")).write_bytes(b"picture" * 100_000)
    return 0


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


class GoneReader(io.BytesIO):
    def write(self, _: object) -> int:
        raise BrokenPipeError(32, "Broken pipe")


def test_picture_whose_reader_has_gone_is_kept(
    temporary: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("impasto.cli.pipes.mute_stdout", lambda: None)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(GoneReader()))
    with pytest.raises(ImpastoError, match="The picture can't be sent to stdout"):
        run_with_pipes(["a.png", "b.png", "-o", "-"], write_picture)
    (kept,) = temporary.glob("*/stdout.png")
    assert kept.read_bytes() == b"picture" * 100_000
    assert capsys.readouterr().err == f"impasto: the picture is kept as {kept}\n"


def test_picture_that_stdout_takes_is_deleted(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(sent))
    assert run_with_pipes(["a.png", "b.png", "-o", "-"], write_picture) == 0
    assert sent.getvalue() == b"picture" * 100_000
    assert not [*temporary.iterdir()]


@pytest.mark.parametrize(("hint", "is_kept"), [("impasto resume continues it", True), ("", False)])
def test_checkpoint_of_failed_pipe_is_kept_if_it_was_named(hint: str, is_kept: bool, temporary: Path) -> None:
    class Unfinished:
        resume_path = Path("a.checkpoint") if hint else None

    def fail(words: list[str]) -> object:
        Path(f"{words[-1].removeprefix('--output=')}.checkpoint").write_text("")
        return explain_end(cast(Run, Unfinished()), ImpastoError("the disk is full"), Interrupts())

    with pytest.raises(ImpastoError, match="the disk is full"):
        run_with_pipes(["a.png", "b.png", "-o", "-"], fail)
    assert bool([*temporary.glob("*/stdout.png.checkpoint")]) == is_kept


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_picture_is_kept_if_stdout_is_full(folder: Path, tmp_path: Path) -> None:
    command = f"{PAINT} photo.png painting.png {' '.join(OPTIONS)} -o - > /dev/full"
    done = run_in_shell(folder, command, TMPDIR=str(tmp_path))
    (kept,) = tmp_path.glob("*/stdout.png")
    said = (
        f"impasto: the picture is kept as {kept}\nimpasto: The picture can't be sent to stdout: No space left on device"
    )
    assert done.stderr.decode().strip().endswith(said)
    assert done.returncode == 1


@pytest.mark.parametrize("words", [["batch", "a", "-o", "-"], ["sheet", "a", "-o=-"], ["a", "b", "-o=-", "--json"]])
def test_stdout_takes_one_picture_alone(words: list[str]) -> None:
    with pytest.raises(UsageError, match="stdout"):
        run_with_pipes(words, list)


def test_full_stdout_raises_an_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("impasto.terminal.console.mute_stdout", lambda: None)
    monkeypatch.setattr(sys, "stdout", Full())
    with pytest.raises(ImpastoError, match="No space left"):
        print_result("a line")


def write(path: Path, meanwhile: Callable[[], object] = lambda: None) -> None:
    with atomic_write(path, overwrite=False) as file:
        file.write(b"mine")
        meanwhile()


def test_taken_name_gets_the_next_number(tmp_path: Path) -> None:
    for name in ("a.png", "a_2.png"):
        (tmp_path / name).write_text("another's")
    assert write_beside(tmp_path / "a.png", write) == tmp_path / "a_3.png"
    assert (tmp_path / "a.png").read_text() == "another's"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "a_2.png", "a_3.png"]


@pytest.mark.parametrize("has_links", [True, False])
def test_file_that_appears_while_writing_is_kept(
    has_links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_links:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError("no hard links")))
    path = tmp_path / "a.png"
    with pytest.raises(OutputTakenError, match="already exists"):
        write(path, lambda: path.write_text("another's"))
    assert path.read_text() == "another's"
    write(tmp_path / "b.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png"]
