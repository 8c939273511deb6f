"""The paintings that come with impasto: found by name, small, credited; a file of that name wins."""

from pathlib import Path

import pytest
from conftest import make_picture

from impasto.cli.app import main
from impasto.images.collection import COLLECTION, find_painting
from impasto.images.folders import expand_folders
from impasto.images.read import read_image
from impasto.images.write import write_image
from impasto.settings.model import Settings

MAX_BYTES = 120 * 1024


@pytest.mark.parametrize("name", COLLECTION)
def test_painting_is_small_and_credited(name: str) -> None:
    painting = COLLECTION[name]
    assert painting.path.stat().st_size <= MAX_BYTES
    image = read_image(painting.path)
    assert max(image.width, image.height) >= 480
    assert all((painting.painter, painting.title, painting.year, painting.collection))


def test_every_file_has_a_credit() -> None:
    folder = COLLECTION["starry_night"].path.parent
    assert {path.stem for path in folder.iterdir()} == set(COLLECTION)


def test_name_stands_for_the_painting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_painting("the_scream") == COLLECTION["the_scream"].path
    paintings, _, _ = expand_folders(["the_scream", Path("starry_night"), "other.jpg"], Settings())
    assert paintings == [COLLECTION["the_scream"].path, COLLECTION["starry_night"].path, "other.jpg"]


def test_file_of_that_name_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("the_scream").write_bytes(b"")
    assert find_painting("the_scream") is None


def test_command_lists_names_and_credits(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["paintings"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert " ".join(lines[0].split()) == f"starry_night {COLLECTION['starry_night'].credit}"
    assert len(lines) == len(COLLECTION)


def test_command_writes_a_contact_sheet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sheet = tmp_path / "sheet.png"
    assert main(["paintings", "-o", str(sheet)]) == 0
    assert capsys.readouterr().out == f"{sheet}\n"
    assert read_image(sheet).width > 2000
    assert main(["paintings", "-o", str(sheet)]) == 1  # it is there already


def test_missing_painting_says_how_to_choose_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["photo.jpg"]) == 2
    assert "name a painting, such as starry_night: impasto paintings lists them" in capsys.readouterr().err


@pytest.mark.usefixtures("without_processes")
def test_rerun_and_batch_find_a_painting_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_image(make_picture(40, 32), "photo.png")
    quick = ["--network", "slim", "--size", "32", "--steps", "2", "--later-steps", "2", "-q"]
    assert main(["photo.png", "the_scream", "-o", "picture.png", *quick]) == 0
    assert main(["rerun", "picture.png", "-o", "again.png", "-q"]) == 0
    assert Path("again.png").is_file()
    assert main(["batch", "photo.png", "--style", "the_scream", "-o", "out", *quick]) == 0
    assert [*Path("out").glob("*the_scream*.png")]
