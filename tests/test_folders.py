"""Folders of paintings: what counts as a picture, how weights and sizes are spread over it."""

import os
from pathlib import Path

import pytest

from impasto.errors import PictureError, UsageError
from impasto.images.folders import expand_folders, list_pictures
from impasto.settings.model import Settings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures among what else lies in folders."""
    place = tmp_path / "monets"
    place.mkdir()
    for name in ("c.PNG", "a.jpg", "b.tiff", ".hidden.jpg", ".DS_Store", "Thumbs.db", "notes.txt", "film.mp4"):
        (place / name).touch()
    (place / "more.jpg").mkdir()
    return place


def test_pictures_are_listed_and_other_files_skipped(folder: Path) -> None:
    assert [path.name for path in list_pictures(folder)[0]] == ["a.jpg", "b.tiff", "c.PNG"]


def test_broken_symbolic_link_is_listed(folder: Path) -> None:
    (folder / "gone.jpg").symlink_to(folder / "nowhere.jpg")
    assert folder / "gone.jpg" in list_pictures(folder)[0]


def test_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(PictureError, match=rf"{tmp_path} is a folder without pictures: put some in it"):
        list_pictures(tmp_path)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="nothing is forbidden to root")
def test_unreadable_folder_is_refused(folder: Path) -> None:
    folder.chmod(0)
    with pytest.raises(PictureError, match=r"monets can't be looked into: Permission denied"):
        list_pictures(folder)


def test_paintings_that_are_files_are_kept() -> None:
    paintings, settings = ["a.jpg", object()], Settings(style_blend=(2, 1), style_size=(1, "400px"))
    assert expand_folders(paintings, settings) == (paintings, settings, [])


def test_a_folder_counts_as_one_painting(folder: Path) -> None:
    every, settings, _ = expand_folders(["one.jpg", folder], Settings())
    assert [Path(it).name for it in every] == ["one.jpg", "a.jpg", "b.tiff", "c.PNG"]
    assert settings.style_blend == pytest.approx((1, 1 / 3, 1 / 3, 1 / 3))
    assert settings.style_size == Settings().style_size
    assert "style_blend" in settings.model_fields_set


def test_pictures_share_their_folder_weight(folder: Path) -> None:
    _, settings, _ = expand_folders([str(folder), "one.jpg"], Settings(style_blend=(6, 1), style_size="0.5,400px"))
    assert settings.style_blend == pytest.approx((2, 2, 2, 1))
    assert settings == Settings(style_blend=(2, 2, 2, 1), style_size="0.5,0.5,0.5,400px")


def test_single_folder_changes_no_setting(folder: Path) -> None:
    assert expand_folders([folder], Settings(style_size=0.5))[1] == Settings(style_size=0.5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"style_blend": (1, 2, 3)},
            "`style_blend` has 3 weights for 2 paintings: give one for each, with commas between them.",
        ),
        (
            {"style_blend": (1,)},
            "`style_blend` has 1 weight for 2 paintings: give one for each, with commas between them.",
        ),
        ({"style_blend": (0, 0)}, "`style_blend`: at least one painting needs a weight above 0."),
        (
            {"style_size": "1,2,400px"},
            "`style_size` has 3 sizes for 2 paintings: give one for each, or one for all, with commas between them.",
        ),
    ],
)
def test_wrong_counts_are_refused(folder: Path, settings: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as refused:
        expand_folders([folder, "one.jpg"], Settings(**settings))
    assert str(refused.value) == message
    assert refused.value.setting in settings


def test_files_left_out_are_told_with_the_reason(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    (folder / "d.HEIC").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    (folder / "e.HEIC").write_bytes(b"\xff\xd8\xff")  # a JPEG under a wrong name
    (folder / "f.NEF").write_bytes(b"MM\0*" + bytes(100))
    (folder / "g.txt").touch()
    pictures, notes = list_pictures(folder)
    assert [path.name for path in pictures] == ["a.jpg", "b.tiff", "c.PNG", "e.HEIC"]
    heic, raw, others = sorted(notes, key=lambda note: note.split()[2])
    assert heic.startswith("left out: d.HEIC, a HEIC picture")
    assert raw.startswith("left out: f.NEF, a camera's raw file: develop it first")
    assert (
        others
        == "left out: film.mp4, g.txt, notes.txt, of a suffix that no picture has; name such a file alone to paint it"
    )


def test_reasons_are_told_where_no_picture_is_left(tmp_path: Path) -> None:
    (tmp_path / "a.dng").write_bytes(b"II*\0" + bytes(100))
    with pytest.raises(PictureError, match=r"is a folder without pictures.*\nleft out: a\.dng, a camera's raw file"):
        list_pictures(tmp_path)
