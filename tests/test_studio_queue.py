"""The studio's painter, queue and folder, without a browser: what is asked over HTTP is done, and nothing else."""

import os
import signal
import struct
import threading
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from conftest import make_picture
from PIL import Image
from studio_process import Studio

from impasto import read_recipe
from impasto.images.write import write_image

SMALL = {"size": 96, "start_size": 96, "later_steps": 5}
ENDLESS = {**SMALL, "steps": 100_000}


@pytest.fixture(scope="module")
def pictures(open_studio: Studio, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], dict[str, str]]:
    """A photo and a painting, uploaded."""
    folder = tmp_path_factory.mktemp("pictures")
    for seed, name in enumerate(("photo.png", "painting.png"), start=1):
        write_image(make_picture(120, 90, seed), folder / name)
    return {"path": open_studio.upload(folder / "photo.png")}, {"path": open_studio.upload(folder / "painting.png")}


def order(studio: Studio, pictures: tuple[dict[str, str], dict[str, str]], **settings: object) -> str:
    identity = studio.call("paint", pictures[0], [pictures[1]], settings)
    assert isinstance(identity, str)
    return identity


def pixels(studio: Studio, identity: str, name: str = "preview.jpg") -> np.ndarray:
    path = studio.folder / "paintings" / identity / name
    return np.asarray(Image.open(path).convert("RGB"), dtype=float)


def roughness(canvas: np.ndarray) -> float:
    """How much neighbouring pixels differ."""
    return float(np.abs(np.diff(canvas, axis=0)).mean() + np.abs(np.diff(canvas, axis=1)).mean())


def test_a_picture_is_painted_and_carries_its_recipe(studio, pictures):
    identity = order(studio, pictures, **SMALL, steps=3, tv_weight=0.05)
    it = studio.wait_for(identity, "done")
    assert it["pictures"] == ["picture.png"]
    assert it["title"] == "photo · painting"
    status, body = studio.ask(f"studio/pictures/{identity}/picture.png?download=1")
    assert status == 200
    recipe = read_recipe(studio.folder / "paintings" / identity / "picture.png")
    assert (studio.folder / "paintings" / identity / "picture.png").read_bytes() == body
    assert recipe.settings.tv_weight == 0.05
    assert recipe.photo.name == "photo.png"


def test_steering_changes_canvas_and_recipe(studio, pictures):
    identity = order(studio, pictures, **ENDLESS, content_weight=0.05)
    studio.wait_for(identity, lambda it: it["progress"]["step"] > 40)
    before = roughness(pixels(studio, identity))
    assert studio.act("steer", identity, changes={"tv_weight": 100.0, "style_weight": 0.5})[0] == 200
    studio.wait_for(identity, lambda _: roughness(pixels(studio, identity)) < 0.75 * before)
    for changes, said in (
        ({"size": 64}, "while painting"),
        ({"style_weight": -1}, "0 or more"),
        ({"network": "/etc/passwd"}, "while painting"),
        ({"style_blend": [1, 1]}, "a weight for each of 1 paintings"),
        ({"style_weight": 0, "content_weight": 0}, "nothing to paint"),
        ({"color": "pink"}, "one of"),
    ):
        status, answer = studio.act("steer", identity, changes=changes)
        assert said in answer.get("error", ""), changes
        assert status == 400
    assert studio.act("stop", identity)[0] == 200
    studio.wait_for(identity, "stopped")
    recipe = read_recipe(studio.folder / "paintings" / identity / "picture.png")
    assert (recipe.settings.tv_weight, recipe.settings.style_weight) == (100.0, 0.5)
    assert {"tv_weight", "style_weight"} <= set(recipe.given)


def test_pause_go_on_keep_step_back_and_stop(studio, pictures):
    identity = order(studio, pictures, **ENDLESS)
    studio.wait_for(identity, lambda it: it["progress"]["step"] > 5)
    studio.act("pause", identity)
    paused = studio.wait_for(identity, "paused")
    other = order(studio, pictures, **SMALL, steps=2)  # the bench is free meanwhile
    studio.wait_for(other, "done")
    assert studio.get(identity)["progress"]["step"] == paused["progress"]["step"]
    first = paused["states"][-1]
    studio.act("go_on", identity)
    went_on = studio.wait_for(identity, lambda it: it["progress"]["step"] > first["step"] + 20)
    assert went_on["stage"] == "painting"
    studio.act("go_on", identity, state=first["number"])
    back = studio.wait_for(identity, lambda it: "kept-1.png" in it["pictures"] and it["stage"] == "painting")
    assert back["progress"]["step"] < went_on["progress"]["step"] + 5
    kept = read_recipe(studio.folder / "paintings" / identity / "kept-1.png")
    assert kept.result is not None
    assert kept.result.step > first["step"] + 20
    studio.act("keep", identity)
    studio.wait_for(identity, lambda it: "kept-2.png" in it["pictures"])
    studio.act("stop", identity)
    assert "picture.png" in studio.wait_for(identity, "stopped")["pictures"]
    assert studio.act("go_on", identity, state=999)[0] == 400


def test_paused_and_gone_on_with_it_is_the_picture_that_it_would_have_been(studio, pictures):
    settings = {**SMALL, "steps": 200}
    straight, paused = (order(studio, pictures, **settings) for _ in range(2))
    studio.wait_for(straight, "done")
    studio.wait_for(paused, lambda it: it["progress"]["step"] > 10)
    studio.act("pause", paused)
    assert studio.wait_for(paused, "paused")["progress"]["step"] < 200
    studio.act("go_on", paused)
    studio.wait_for(paused, "done")
    assert np.array_equal(*(pixels(studio, it, "picture.png") for it in (straight, paused)))


def test_branched_from_an_earlier_state_it_has_that_state_s_settings(studio, pictures):
    identity = order(studio, pictures, **ENDLESS, tv_weight=0.1)
    early = studio.wait_for(identity, lambda it: it["states"])["states"][0]
    studio.act("steer", identity, changes={"tv_weight": 50.0})
    studio.wait_for(identity, lambda it: it["settings"]["tv_weight"] == "50.0")
    studio.act("pause", identity)
    later = studio.wait_for(identity, "paused")["states"][-1]
    studio.act("steer", identity, changes={"tv_weight": 20.0})  # while it is set aside
    assert studio.get(identity)["settings"]["tv_weight"] == "20.0"
    studio.act("go_on", identity)
    went_on = studio.wait_for(identity, lambda it: it["progress"]["step"] > later["step"] + 5)
    assert went_on["settings"]["tv_weight"] == "20.0"
    studio.act("go_on", identity, state=early["number"])
    studio.wait_for(identity, lambda it: it["settings"]["tv_weight"] == "0.1" and it["stage"] == "painting")
    kept = studio.folder / "paintings" / identity / "kept-1.png"
    assert read_recipe(kept).settings.tv_weight == 20
    studio.act("stop", identity)
    studio.wait_for(identity, "stopped")
    assert read_recipe(kept.with_name("picture.png")).settings.tv_weight == 0.1


def test_what_it_takes_is_said_before_and_while_it_is_painted(studio, pictures):
    before = studio.call("plan", pictures[0], [pictures[1]], {**SMALL, "start_size": 48})
    assert before.startswith("96 x 72 pixels in 2 scales: about ")
    assert before.endswith("of memory.")
    identity = order(studio, pictures, **ENDLESS)
    it = studio.wait_for(identity, lambda it: it["plan"])
    assert it["plan"].startswith("96 x 72 pixels in 1 scale: about ")
    assert studio.call("look", identity)["plan"] == it["plan"]
    step = it["progress"]["step"]  # and while it paints, others may ask
    assert "600 x 450 pixels" in studio.call("plan", pictures[0], [pictures[1]], {"size": 600, "start_size": 100})
    studio.wait_for(identity, lambda it: it["progress"]["step"] > step)
    for wrong, said in (
        ({"size": 20000}, "16384"),
        ({"init": "x"}, "one of"),
    ):
        with pytest.raises(AssertionError, match=said):
            studio.call("plan", pictures[0], [pictures[1]], wrong)
    studio.act("stop", identity)
    studio.wait_for(identity, "stopped")


def test_a_killed_painter_harms_nothing(studio, pictures):
    identity = order(studio, pictures, **ENDLESS)
    waiting = order(studio, pictures, **SMALL, steps=2)
    studio.wait_for(identity, lambda it: it["states"])
    os.kill(studio.painter(), signal.SIGKILL)
    failed = studio.wait_for(identity, "failed")
    assert "ended" in failed["message"]
    studio.wait_for(waiting, "done")
    studio.act("go_on", identity)
    again = studio.wait_for(identity, lambda it: it["stage"] == "painting" and it["progress"]["step"])
    assert again["progress"]["step"] >= failed["states"][-1]["step"]
    studio.act("stop_now", identity)
    it = studio.wait_for(identity, "stopped")
    assert it["states"]
    assert studio.act("remove", identity)[0] == 200
    assert not (studio.folder / "paintings" / identity).exists()


def test_what_is_closed_in_the_middle_is_there_again(pictures, tmp_path):
    first = Studio(tmp_path / "own")
    try:
        photo, painting = (Path(it["path"]) for it in pictures)
        uploaded = ({"path": first.upload(photo)}, {"path": first.upload(painting)})
        identity, waiting = order(first, uploaded, **ENDLESS), order(first, uploaded, **SMALL, steps=2)
        first.wait_for(identity, lambda it: it["progress"]["step"] > 5)
    finally:
        first.close()
    second = Studio(tmp_path / "own")
    try:
        it = second.get(identity)
        assert it["stage"] == "stopped"
        assert "closed" in it["message"]
        assert it["states"]
        second.wait_for(waiting, "done")
        step = it["states"][-1]["step"]
        second.act("go_on", identity)
        second.wait_for(identity, lambda it: it["progress"]["step"] > step)
    finally:
        second.close()


def bomb(path: Path, side: int) -> Path:
    """A PNG that says to be large, and is a few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 1000)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b""))
    return path


@pytest.mark.parametrize("kind", ["bomb", "empty", "text", "cut"])
def test_pictures_that_are_none_are_refused(studio, pictures, tmp_path, kind):
    path = tmp_path / "bad.png"
    if kind == "bomb":
        bomb(path, 60_000)
    elif kind == "cut":
        path.write_bytes(Path(pictures[0]["path"]).read_bytes()[:300])
    else:
        path.write_text("" if kind == "empty" else "This is no picture.")
    uploaded = {"path": studio.upload(path)}
    known = set(studio.state()["order"])
    with pytest.raises(AssertionError, match=r"bad\.png") as error:
        studio.call("paint", uploaded, [pictures[1]], SMALL)
    assert str(studio.folder) not in str(error.value)
    assert set(studio.state()["order"]) == known


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"network": "/etc/passwd"}, "one of"),
        ({"init": "/etc/passwd"}, "one of"),
        ({"device": "cuda:99"}, "one of"),
        ({"output": "/tmp/x"}, "no setting"),
        ({"size": 10**6}, "32768"),
        ({"size": 20000}, "16384"),
        ({"steps": "many"}, "whole number"),
        ({"style_taps": "nowhere:1"}, "taps"),
        ({"preset": "x"}, "one of"),
    ],
)
def test_settings_that_are_wrong_or_name_files_are_refused(studio, pictures, settings, said):
    with pytest.raises(AssertionError, match=said):
        studio.call("paint", pictures[0], [pictures[1]], settings)


IDENTITIES = ("..", "../..", "0" * 16, "x" * 16, "../paintings", "%2e%2e", "..%2f..%2fetc", "", "a/b", "\0")
FILES = ("passwd", "commission.json", "..%2fcommission.json", "inputs%2fphoto.png", "state-1.safetensors", "../x", "")


def test_no_parameter_leads_out_of_a_folder(studio, pictures):
    identity = order(studio, pictures, **SMALL, steps=2)
    studio.wait_for(identity, lambda it: it["pictures"])
    for name in FILES:
        assert studio.ask(f"studio/pictures/{identity}/{name}")[0] in (404, 307), name
    for wrong in IDENTITIES:
        plain = wrong.replace("\0", "%00")
        assert studio.ask(f"studio/pictures/{plain}/picture.png")[0] in (400, 404), wrong
        for act in ("pause", "go_on", "keep", "stop", "stop_now", "remove", "steer"):
            assert studio.act(act, wrong, changes={"tv_weight": 1.0})[0] == 400
        with pytest.raises(AssertionError):
            studio.call("look", wrong)
    for body in (None, [], {"act": "remove"}, {"act": "rm", "identity": identity}, {"act": [], "identity": identity}):
        assert studio.ask("studio/act", b"null" if body is None else body)[0] == 400
    time.sleep(4)  # a bucket of requests fills again
    outside = studio.folder.parent / "outside.png"
    outside.write_bytes(Path(pictures[0]["path"]).read_bytes())
    for path in ("/etc/passwd", str(outside), f"{studio.folder}/paintings/{identity}/picture.png", "../x", ""):
        assert studio.ask(f"gradio_api/file={path}")[0] == 403
        assert studio.ask("gradio_api/call/paint", {"data": [{"path": path}, [pictures[1]], {}]})[0] == 403
        assert studio.ask("gradio_api/call/read_settings", {"data": [{"path": path}]})[0] == 403
    with pytest.raises(AssertionError):
        studio.call("paint", str(outside), [pictures[1]], {})
    assert studio.ask("studio/examples/..%2fpage.py")[0] == 404
    assert studio.get(identity)["pictures"] == ["picture.png"]


def test_foreign_pages_are_kept_out(studio):
    for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Origin": "null"}):
        status, _ = studio.ask("studio/act", {"act": "remove", "identity": "0" * 16}, **headers)
        assert status in (403, 421)


def test_a_thousand_quick_requests_do_not_stop_the_painting(studio, pictures):
    identity = order(studio, pictures, **ENDLESS)
    begun = studio.wait_for(identity, lambda it: it["progress"]["step"] > 2)
    answers: list[int] = []

    def hurry() -> None:
        for _ in range(250):
            answers.append(studio.ask("studio/act", {"act": "pause", "identity": "f" * 16})[0])

    crowd = [threading.Thread(target=hurry) for _ in range(4)]
    for one in crowd:
        one.start()
    for one in crowd:
        one.join()
    assert len(answers) == 1000
    assert set(answers) <= {400, 429}
    assert answers.count(429) > 500
    time.sleep(3)
    assert studio.get(identity)["progress"]["step"] > begun["progress"]["step"]
    time.sleep(2)
    studio.act("stop", identity)
    studio.wait_for(identity, "stopped")


def test_a_visitor_has_so_many_waiting_and_no_more(studio, pictures):
    identities = [order(studio, pictures, **ENDLESS)]
    for _ in range(20):
        identities.append(order(studio, pictures, **SMALL, steps=1))
        time.sleep(0.2)  # a bucket of requests fills again
    with pytest.raises(AssertionError, match="waiting"):
        order(studio, pictures, **SMALL, steps=1)
    for identity in reversed(identities):
        time.sleep(0.05)
        studio.act("stop", identity)
    studio.wait_for(identities[0], "stopped")


def test_a_film_is_painted_paused_gone_on_with_and_played(studio, pictures, tmp_path):
    clips = pytest.importorskip("film_clips", reason="needs PyAV: pip install 'impasto[film]'")
    frames = pytest.importorskip("impasto.films.reader")
    pytest.importorskip("cv2", reason="needs OpenCV: pip install 'impasto[film]'")
    clip = clips.write_clip(tmp_path / "walk.mp4", clips.make_pan(8))
    film = {"path": studio.upload(clip)}
    settings = {"size": 64, "start_size": 64, "steps": 20}
    identity = studio.call("film", film, [pictures[1]], settings)
    studio.wait_for(identity, lambda it: it["progress"]["step"] >= 2)
    studio.act("pause", identity)
    paused = studio.wait_for(identity, "paused")
    assert paused["progress"]["step"] < paused["progress"]["total"] == 8
    assert studio.act("steer", identity, changes={"tv_weight": 1.0})[0] == 400
    studio.act("go_on", identity)
    it = studio.wait_for(identity, "done")
    assert it["pictures"] == ["film.mp4"]
    assert not list((studio.folder / "paintings" / identity).glob("*.film"))
    status, played = studio.ask(f"studio/pictures/{identity}/film.mp4?download=1")
    assert status == 200
    (tmp_path / "painted.mp4").write_bytes(played)
    assert len(list(frames.Film(tmp_path / "painted.mp4"))) == 8
    assert np.abs(pixels(studio, identity) - 128).mean() > 5  # the preview shows a frame


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("list.mp4", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "no film that is painted here"),
        ("concat.mp4", b"ffconcat version 1.0\nfile /etc/passwd\n", "no film that is painted here"),
        ("empty.mp4", b"", "no film that is painted here"),
    ],
)
def test_what_only_says_to_be_a_film_is_not_opened(studio, pictures, tmp_path, name, content, said):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(AssertionError, match=said):
        studio.call("film", {"path": studio.upload(path)}, [pictures[1]], {})
    good = b"\0\0\0\x18ftypmp42" + b"\0" * 400
    (tmp_path / "cut.mp4").write_bytes(good)
    uploaded = {"path": studio.upload(tmp_path / "cut.mp4")}
    with pytest.raises(AssertionError, match="1280 at most"):
        studio.call("film", uploaded, [pictures[1]], {"size": 4000})
    if name == "empty.mp4":
        identity = studio.call("film", uploaded, [pictures[1]], {})
        assert "cut.mp4" in studio.wait_for(identity, "failed")["message"]
