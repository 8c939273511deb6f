"""The live window: nothing flickers, keys do what they say, and the command ends as it should."""

import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import make_picture
from film_clips import make_pan, write_clip

import impasto
from impasto.cli import live
from impasto.cli.app import main
from impasto.cli.live import Window, paint_live, play_film
from impasto.errors import ImpastoError
from impasto.fast.transfer import MomentAverage
from impasto.films import live_painter
from impasto.films.live_painter import NEWEST_SHARE, LivePainter
from impasto.images.image import Image
from impasto.images.read import read_image
from impasto.images.write import write_image
from impasto.network.moments import measure_moments
from impasto.settings.parsing import parse_settings
from impasto.settings.presets import FAST_DEFAULTS

cv2 = pytest.importorskip("cv2", reason="needs OpenCV: pip install 'impasto[film]'")

SETTINGS = parse_settings({"size": 64, "guard": 0.0, "precision": "float32"}, FAST_DEFAULTS)


class Script:
    """A display that shows nothing, and presses keys: one for each picture."""

    def __init__(self, *keys: str) -> None:
        self.keys, self.pictures, self.words = [*keys], list[Any](), list[str]()

    def show(self, picture: Any, words: str) -> str:
        self.pictures.append(picture)
        self.words.append(words)
        return self.keys.pop(0) if self.keys else ""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_image(make_picture(60, 60, 7), "one.png")
    write_image(1 - make_picture(60, 60, 8), "other.png")
    return tmp_path


FRAME = Image((255 * make_picture(64, 48)).round() / 255)


def play(frames: Sequence[Image], *keys: str, paintings: Sequence[str] = ("one.png",), size: int = 64) -> Script:
    script, settings = Script(*keys), SETTINGS.model_copy(update={"size": size})
    paint_live(LivePainter([Path(each) for each in paintings], settings), frames, script.show)
    return script


def test_a_still_scene_is_painted_as_one_pass_does(folder: Path) -> None:
    assert folder
    shown = play([FRAME] * 3)
    write_image(FRAME.rgb, "photo.png")
    painted = impasto.paint_fast("photo.png", "one.png", size=64, precision="float32", guard=0)
    assert len(shown.pictures) == 3
    for picture in shown.pictures:
        assert float((255 * picture - 255 * read_image(painted).rgb).abs().mean()) < 1


def test_the_average_follows_slowly_and_arrives() -> None:
    average, still, other = MomentAverage(0.25), *(measure_moments(make_picture(9, 9, seed)) for seed in (1, 2))
    (first,) = average(0, [still])
    torch.testing.assert_close(first.mean, still.mean)
    (second,) = average(0, [other])
    torch.testing.assert_close(second.mean, 0.75 * still.mean + 0.25 * other.mean)
    torch.testing.assert_close(average(1, [other])[0].mean, other.mean)  # another level
    for _ in range(60):
        (last,) = average(0, [other])
    torch.testing.assert_close(last.covariance, other.covariance)


def test_what_stands_still_flickers_less_than_in_single_passes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Far from what blinks, pixels are painted more alike than with maps of each frame alone."""
    assert folder
    frames = [Image(make_picture(320, 48)) for _ in range(6)]
    for frame in frames[::2]:
        frame.rgb[..., 290:] = 0
    changes = {}
    for share in (NEWEST_SHARE, 1.0):
        monkeypatch.setattr(live_painter, "NEWEST_SHARE", share)
        before, after = play(frames, size=320).pictures[-2:]
        changes[share] = float((after - before)[..., :24].abs().mean())
    assert changes[NEWEST_SHARE] < 0.2 * changes[1.0]


def test_keys_choose_paintings_and_strength(folder: Path) -> None:
    assert folder
    keys = ("right", "right", "left", "down", "down", "up", "quit")
    shown = play([FRAME] * 9, *keys, paintings=("one.png", "other.png"))
    names = [words.partition(",")[0] for words in shown.words]
    assert names == ["one", "other", "one", "other", "other", "other", "other"]
    strengths = [words.partition("strength ")[2][:3] for words in shown.words]
    assert strengths == ["1.0", "1.0", "1.0", "1.0", "0.9", "0.8", "0.9"]
    assert not torch.equal(shown.pictures[0], shown.pictures[1])
    assert all("frames a second" in words for words in shown.words)


def test_space_saves_pictures_that_can_be_painted_again(folder: Path) -> None:
    write_image(make_picture(8, 8), "live_one_2_photo.png")  # somebody else's
    play([FRAME] * 3, "save", "save")
    pictures = sorted(path.name for path in folder.glob("live_*.png"))
    assert pictures == [
        "live_one.png",
        "live_one_2.png",
        "live_one_2_photo.png",
        "live_one_2_photo_2.png",
        "live_one_photo.png",
    ]
    assert impasto.rerun("live_one_2.png").tobytes() == impasto.rerun("live_one.png").tobytes()
    assert impasto.read_recipe("live_one.png").settings.preset == "instant"


def test_a_picture_that_can_not_be_saved_ends_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    painter = LivePainter([Path("one.png")], SETTINGS)
    (folder / "one.png").unlink()
    paint_live(painter, [FRAME] * 2, (script := Script("save")).show)
    assert "one.png" in capsys.readouterr().err
    assert len(script.pictures) == 2


@pytest.fixture
def film(folder: Path) -> Path:
    return write_clip(folder / "film.mp4", make_pan(6))


@pytest.mark.parametrize("painting", ["one.png", "style.safetensors"])
def test_the_command_plays_a_film_to_its_end(film: Path, monkeypatch: pytest.MonkeyPatch, painting: str) -> None:
    script = Script()
    monkeypatch.setattr(live, "Window", lambda: script)
    impasto.save_style("one.png", "style.safetensors", size=64)
    assert main(["live", painting, "--source", str(film), "--size", "64"]) == 0
    assert 1 <= len(script.pictures) <= 6


def test_ctrl_c_ends_the_command_with_130(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupting(Script):
        def show(self, picture: Any, words: str) -> str:
            signal.raise_signal(signal.SIGINT)
            return super().show(picture, words)

    monkeypatch.setattr(live, "Window", Interrupting)
    assert main(["live", "one.png", "--source", str(film), "--size", "64"]) == 130


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["one.png", "--source", "missing.mp4"], 1, "missing.mp4"),
        (["one.png", "--source", "one.txt"], 1, "not a film"),
        (["one.png", "--source", "other.png"], 2, "single picture"),
        (["one.png", "--camera", "97"], 1, "camera 97"),
        (["missing.png", "--source", "film.mp4"], 1, "missing.png"),
        (["one.png", "--camera", "0", "--source", "film.mp4"], 2, "--camera and --source"),
        (["one.png", "--source", "film.mp4", "--size", "3"], 2, "--size"),
        (["one.png", "--source", "film.mp4", "--fast-strength", "2"], 2, "--fast-strength"),
        (["--source", "film.mp4"], 2, "PAINTING"),
    ],
)
def test_what_is_wrong_is_said(
    film: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    code: int,
    said: str,
) -> None:
    film.with_name("one.txt").write_text("no film")
    monkeypatch.setattr(live, "Window", Script)
    assert main(["live", *words]) == code
    assert said in capfd.readouterr().err


def test_an_opencv_without_windows_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise cv2.error("not implemented")

    monkeypatch.setattr(cv2, "namedWindow", refuse)
    monkeypatch.setenv("DISPLAY", ":0")
    with pytest.raises(ImpastoError, match="opencv-python-headless"):
        Window()


def test_the_window_shows_colors_and_tells_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Any] = []
    for name in ("namedWindow", "resizeWindow", "setWindowTitle"):
        monkeypatch.setattr(cv2, name, lambda *_: None)
    monkeypatch.setattr(cv2, "imshow", lambda _, pixels: shown.append(pixels))
    monkeypatch.setenv("DISPLAY", ":0")
    red = torch.tensor([1.0, 0.5, 0.0]).view(1, 3, 1, 1).expand(1, 3, 2, 4)
    asked = []
    for key, is_open in ((ord("q"), 1), (32, 1), (65361, 1), (-1, 1), (-1, 0)):
        monkeypatch.setattr(cv2, "waitKeyEx", lambda _, key=key: key)
        monkeypatch.setattr(cv2, "getWindowProperty", lambda *_, is_open=is_open: float(is_open))
        asked.append(Window().show(red, "words"))
    assert asked == ["quit", "save", "left", "", "quit"]
    assert shown[0].tolist() == [[[0, 128, 255]] * 4] * 2


def test_a_machine_without_a_screen_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ImpastoError, match="screen"):
        Window()


def test_a_film_has_its_own_speed(film: Path) -> None:
    started = time.perf_counter()
    frames = [*play_film(film)]
    assert len(frames) <= 6
    assert time.perf_counter() - started >= 4 / 25 - 0.05
