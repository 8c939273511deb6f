"""The studio's queue, worker and folder over HTTP, without a browser."""

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
from impasto.errors import PictureError
from impasto.images.write import write_image
from impasto.studio import uploads

pytestmark = pytest.mark.slow

SMALL = {"network": "slim", "views": "1", "size": 96, "start_size": 96, "later_steps": 5}
ENDLESS = {**SMALL, "steps": 100_000}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A photo and a painting."""
    folder = tmp_path_factory.mktemp("pictures")
    for seed, name in enumerate(("photo.png", "painting.png"), start=1):
        write_image(make_picture(120, 90, seed), folder / name)
    return folder / "photo.png", folder / "painting.png"


def upload(studio: Studio, files: tuple[Path, Path]) -> tuple[str, str]:
    return studio.upload(files[0]), studio.upload(files[1], "painting")


@pytest.fixture(scope="module")
def pictures(open_studio: Studio, files: tuple[Path, Path]) -> tuple[str, str]:
    """The photo and the painting, uploaded."""
    return upload(open_studio, files)


def submit(studio: Studio, pictures: tuple[str, str], **settings: object) -> str:
    return studio.submit(pictures[0], [pictures[1]], **settings)


def plan(studio: Studio, pictures: tuple[str, str], **settings: object) -> str:
    asked = {"photo": pictures[0], "paintings": [pictures[1]], "settings": settings}
    return str(studio.ask_json("api/plan", asked)["text"])


def pixels(studio: Studio, job_id: str, name: str = "preview.jpg") -> np.ndarray:
    path = studio.folder / "jobs" / job_id / name
    return np.asarray(Image.open(path).convert("RGB"), dtype=float)


def roughness(canvas: np.ndarray) -> float:
    """How much neighbouring pixels differ."""
    return float(np.abs(np.diff(canvas, axis=0)).mean() + np.abs(np.diff(canvas, axis=1)).mean())


def test_a_picture_is_painted_and_carries_its_recipe(studio, pictures):
    job_id = submit(studio, pictures, **SMALL, steps=3, tv_weight=0.05)
    job = studio.wait_for(job_id, "done")
    assert job["pictures"] == ["picture.png"]
    assert job["title"] == "photo · painting"
    status, body = studio.ask(f"api/jobs/{job_id}/files/picture.png?download=1")
    assert status == 200
    recipe = read_recipe(studio.folder / "jobs" / job_id / "picture.png")
    assert (studio.folder / "jobs" / job_id / "picture.png").read_bytes() == body
    assert recipe.settings.tv_weight == 0.05
    assert recipe.photo.name == "photo.png"


def test_changed_settings_reach_canvas_and_recipe(studio, pictures):
    job_id = submit(studio, pictures, **ENDLESS, content_weight=0.05)
    version = studio.wait_for(job_id, lambda job: job["progress"]["step"] > 40)["progress"]["version"]
    studio.wait_for(job_id, lambda job: job["progress"]["version"] > version)
    before = roughness(pixels(studio, job_id))
    assert studio.act("change", job_id, changes={"tv_weight": 2000.0, "style_weight": 0.5})[0] == 200
    studio.wait_for(job_id, lambda _: roughness(pixels(studio, job_id)) < 0.75 * before)
    for changes, said in (
        ({"size": 64}, "while painting"),
        ({"style_weight": -1}, "0 or more"),
        ({"network": "/etc/passwd"}, "while painting"),
        ({"style_blend": [1, 1]}, "a weight for each of 1 paintings"),
        ({"style_weight": 0, "content_weight": 0}, "nothing to paint"),
        ({"color": "pink"}, "one of"),
    ):
        status, answer = studio.act("change", job_id, changes=changes)
        assert said in answer.get("detail", ""), changes
        assert status == 400
    assert studio.act("stop", job_id)[0] == 200
    studio.wait_for(job_id, "stopped")
    recipe = read_recipe(studio.folder / "jobs" / job_id / "picture.png")
    assert (recipe.settings.tv_weight, recipe.settings.style_weight) == (2000.0, 0.5)
    assert {"tv_weight", "style_weight"} <= set(recipe.given)


def test_pause_resume_keep_go_back_and_stop(studio, pictures):
    job_id = submit(studio, pictures, **ENDLESS)
    studio.wait_for(job_id, lambda job: job["progress"]["step"] > 5)
    studio.act("pause", job_id)
    paused = studio.wait_for(job_id, "paused")
    other = submit(studio, pictures, **SMALL, steps=2)  # the worker is free meanwhile
    studio.wait_for(other, "done")
    assert studio.get(job_id)["progress"]["step"] == paused["progress"]["step"]
    first = paused["snapshots"][-1]
    studio.act("resume", job_id)
    went_on = studio.wait_for(job_id, lambda job: job["progress"]["step"] > first["step"] + 20)
    assert went_on["status"] == "painting"
    studio.act("resume", job_id, snapshot=first["number"])
    back = studio.wait_for(job_id, lambda job: job["progress"]["step"] < went_on["progress"]["step"])
    assert back["pictures"] == ["kept-1.png"]
    kept = read_recipe(studio.folder / "jobs" / job_id / "kept-1.png")
    assert kept.result is not None
    assert kept.result.step > first["step"] + 20
    studio.act("keep", job_id)
    studio.wait_for(job_id, lambda job: "kept-2.png" in job["pictures"])
    studio.act("stop", job_id)
    assert "picture.png" in studio.wait_for(job_id, "stopped")["pictures"]
    assert studio.act("resume", job_id, snapshot=999)[0] == 400


def test_a_paused_picture_ends_as_an_uninterrupted_one(studio, pictures):
    settings = {**SMALL, "steps": 200}
    straight, paused = (submit(studio, pictures, **settings) for _ in range(2))
    studio.wait_for(straight, "done")
    studio.wait_for(paused, lambda job: job["progress"]["step"] > 10)
    studio.act("pause", paused)
    assert studio.wait_for(paused, "paused")["progress"]["step"] < 200
    studio.act("resume", paused)
    studio.wait_for(paused, "done")
    assert np.array_equal(*(pixels(studio, job_id, "picture.png") for job_id in (straight, paused)))


def test_going_back_restores_the_snapshot_settings(studio, pictures):
    job_id = submit(studio, pictures, **ENDLESS, tv_weight=0.1)
    early = studio.wait_for(job_id, lambda job: job["snapshots"])["snapshots"][0]
    studio.act("change", job_id, changes={"tv_weight": 50.0})
    studio.wait_for(job_id, lambda job: job["settings"]["tv_weight"] == 50)
    studio.act("pause", job_id)
    later = studio.wait_for(job_id, "paused")["snapshots"][-1]
    studio.act("change", job_id, changes={"tv_weight": 20.0})  # while it is set aside
    assert studio.get(job_id)["settings"]["tv_weight"] == 20
    studio.act("resume", job_id)
    went_on = studio.wait_for(job_id, lambda job: job["progress"]["step"] > later["step"] + 5)
    assert went_on["settings"]["tv_weight"] == 20
    studio.act("resume", job_id, snapshot=early["number"])
    studio.wait_for(job_id, lambda job: job["settings"]["tv_weight"] == 0.1 and job["status"] == "painting")
    kept = studio.folder / "jobs" / job_id / "kept-1.png"
    assert read_recipe(kept).settings.tv_weight == 20
    studio.act("stop", job_id)
    studio.wait_for(job_id, "stopped")
    assert read_recipe(kept.with_name("picture.png")).settings.tv_weight == 0.1


def test_the_plan_is_shown_before_and_during_painting(studio, pictures):
    before = plan(studio, pictures, **{**SMALL, "start_size": 48})
    assert before.startswith("96 x 72 pixels in 2 scales: about ")
    assert before.endswith("of memory.")
    job_id = submit(studio, pictures, **ENDLESS)
    job = studio.wait_for(job_id, lambda job: job["plan"])
    assert job["plan"].startswith("96 x 72 pixels in 1 scale: about ")
    assert studio.get(job_id)["plan"] == job["plan"]
    step = job["progress"]["step"]  # and while it paints, others may ask
    assert "600 x 450 pixels" in plan(studio, pictures, **{**SMALL, "size": 600, "start_size": 100})
    studio.wait_for(job_id, lambda job: job["progress"]["step"] > step)
    for wrong, said in (
        ({"size": 20000}, "16384"),
        ({"init": "x"}, "one of"),
    ):
        with pytest.raises(AssertionError, match=said):
            plan(studio, pictures, **wrong)
    studio.act("stop", job_id)
    studio.wait_for(job_id, "stopped")


def test_a_killed_worker_harms_nothing(studio, pictures):
    job_id = submit(studio, pictures, **ENDLESS)
    waiting = submit(studio, pictures, **SMALL, steps=2)
    studio.wait_for(job_id, lambda job: job["snapshots"])
    os.kill(studio.worker(), signal.SIGKILL)
    failed = studio.wait_for(job_id, "failed")
    assert "ended" in failed["message"]
    studio.wait_for(waiting, "done")
    studio.act("resume", job_id)
    again = studio.wait_for(job_id, lambda job: job["status"] == "painting" and job["progress"]["step"])
    assert again["progress"]["step"] >= failed["snapshots"][-1]["step"]
    studio.act("stop_now", job_id)
    job = studio.wait_for(job_id, "stopped")
    assert job["snapshots"]
    assert studio.act("remove", job_id)[0] == 204
    assert not (studio.folder / "jobs" / job_id).exists()


def test_a_closed_studio_finds_its_jobs_again(files, tmp_path):
    first = Studio(tmp_path / "own")
    try:
        uploaded = upload(first, files)
        job_id, waiting = submit(first, uploaded, **ENDLESS), submit(first, uploaded, **SMALL, steps=2)
        first.wait_for(job_id, lambda job: job["progress"]["step"] > 5)
    finally:
        first.close()
    second = Studio(tmp_path / "own")
    try:
        job = second.get(job_id)
        assert job["status"] == "stopped"
        assert "closed" in job["message"]
        assert job["snapshots"]
        second.wait_for(waiting, "done")
        step = job["snapshots"][-1]["step"]
        second.act("resume", job_id)
        second.wait_for(job_id, lambda job: job["progress"]["step"] > step)
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
def test_files_that_are_no_pictures_are_refused(studio, files, tmp_path, kind):
    path = tmp_path / "bad.png"
    if kind == "bomb":
        bomb(path, 60_000)
    elif kind == "cut":
        path.write_bytes(files[0].read_bytes()[:300])
    else:
        path.write_text("" if kind == "empty" else "This is no picture.")
    with pytest.raises(AssertionError, match=r"bad\.png") as error:
        studio.upload(path)
    assert str(studio.folder) not in str(error.value)
    assert not list((studio.folder / "uploads").glob("*/*/file/bad.png"))


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
def test_wrong_settings_and_file_names_are_refused(studio, pictures, settings, said):
    with pytest.raises(AssertionError, match=said):
        submit(studio, pictures, **settings)


IDENTITIES = ("..", "../..", "0" * 16, "x" * 16, "../paintings", "%2e%2e", "..%2f..%2fetc", "a/b", "%00", "~")
FILES = ("passwd", "job.json", "..%2fjob.json", "inputs%2fphoto.png", "snapshot-1.safetensors", "../x", "")


def test_no_parameter_leads_out_of_a_folder(studio, pictures):
    job_id = submit(studio, pictures, **SMALL, steps=2)
    studio.wait_for(job_id, lambda job: job["pictures"])
    for name in FILES:
        assert studio.ask(f"api/jobs/{job_id}/files/{name}")[0] in (404, 405), name
    for wrong in IDENTITIES:
        for path in (f"api/jobs/{wrong}/files/picture.png", f"api/pictures/{wrong}", f"api/masks/{wrong}"):
            assert studio.ask(path)[0] in (400, 404), path
        for action in ("pause", "resume", "keep", "stop", "stop_now", "remove", "change"):
            assert studio.act(action, wrong, changes={"tv_weight": 1.0})[0] in (400, 404, 405), (action, wrong)
    assert studio.act("rm", job_id)[0] == 422
    assert studio.get(job_id)["pictures"] == ["picture.png"]


def test_requests_name_no_files_but_uploads(studio, files, pictures):
    outside = studio.folder.parent / "outside.png"
    outside.write_bytes(files[0].read_bytes())
    link = studio.folder / "uploads" / "photo" / ("a" * 16) / "file" / "link.png"
    link.parent.mkdir(parents=True)
    link.symlink_to(outside)
    for path in ("/etc/passwd", str(outside), "../x", "", "*", "?" * 16, "a" * 16, f"photo/{pictures[0]}"):
        for asked in ({"photo": path, "paintings": [pictures[1]]}, {"photo": pictures[0], "paintings": [path]}):
            for route in ("jobs", "plan", "quick_look"):
                assert studio.ask(f"api/{route}", asked)[0] == 400, (route, asked)
            time.sleep(0.1)  # a bucket of requests fills again
        assert studio.ask(f"api/recipes/{path.replace('/', '%2f').replace('?', '%3f')}", {})[0] in (400, 404, 405)


def test_broken_requests_are_refused(studio, pictures):
    good = {"photo": pictures[0], "paintings": [pictures[1]]}
    for body in (b"null", b"{", b"[" * 100_000, b"\xff", b"[]", b'"x"', b"{}"):
        assert studio.ask("api/jobs", body)[0] in (400, 422), body[:9]
    for wrong in ({"paintings": []}, {"paintings": [pictures[1]] * 7}, {"settings": []}, {"output": "x"}, {"photo": 3}):
        assert studio.ask("api/jobs", {**good, **wrong})[0] == 422, wrong
    for path in ("docs", "redoc", "openapi.json", "static/../routes.py", "static/..%2froutes.py", "/api", "login"):
        assert studio.ask(path)[0] == 404, path


def test_requests_of_other_sites_are_refused(studio):
    for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Origin": "null"}):
        status, _ = studio.ask("api/jobs", {}, **headers)
        assert status in (403, 421)


def test_a_thousand_requests_do_not_stop_painting(studio, pictures):
    job_id = submit(studio, pictures, **ENDLESS)
    begun = studio.wait_for(job_id, lambda job: job["progress"]["step"] > 2)
    answers: list[int] = []

    def hurry() -> None:
        for _ in range(250):
            answers.append(studio.ask_once(f"api/jobs/{'f' * 16}/pause", {})[0])

    crowd = [threading.Thread(target=hurry) for _ in range(4)]
    for one in crowd:
        one.start()
    for one in crowd:
        one.join()
    assert len(answers) == 1000
    assert set(answers) <= {400, 429}
    assert answers.count(429) > 500
    studio.wait_for(job_id, lambda job: job["progress"]["step"] > begun["progress"]["step"])
    studio.act("stop", job_id)
    studio.wait_for(job_id, "stopped")


def test_waiting_jobs_of_a_visitor_are_limited(studio, pictures):
    job_ids = [submit(studio, pictures, **ENDLESS)]
    for _ in range(20):
        job_ids.append(submit(studio, pictures, **SMALL, steps=1))
        time.sleep(0.2)  # a bucket of requests fills again
    with pytest.raises(AssertionError, match="waiting"):
        submit(studio, pictures, **SMALL, steps=1)
    for job_id in reversed(job_ids):
        time.sleep(0.05)
        studio.act("stop", job_id)
    studio.wait_for(job_ids[0], "stopped")


def test_a_film_is_painted_paused_and_resumed(studio, pictures, tmp_path):
    clips = pytest.importorskip("film_clips", reason="needs PyAV: pip install 'impasto[film]'")
    frames = pytest.importorskip("impasto.films.reader")
    pytest.importorskip("cv2", reason="needs OpenCV: pip install 'impasto[film]'")
    clip = clips.write_clip(tmp_path / "walk.mp4", clips.make_pan(8))
    film = studio.upload(clip)
    settings = {"network": "slim", "views": "1", "size": 64, "start_size": 64, "steps": 20}
    job_id = studio.submit(film, [pictures[1]], **settings)
    studio.wait_for(job_id, lambda job: job["progress"]["step"] >= 2)
    studio.act("pause", job_id)
    paused = studio.wait_for(job_id, "paused")
    assert paused["progress"]["step"] < paused["progress"]["total"] == 8
    assert studio.act("change", job_id, changes={"tv_weight": 1.0})[0] == 400
    studio.act("resume", job_id)
    job = studio.wait_for(job_id, "done")
    assert job["pictures"] == ["film.mp4"]
    assert not list((studio.folder / "jobs" / job_id).glob("*.film"))
    status, played = studio.ask(f"api/jobs/{job_id}/files/film.mp4?download=1")
    assert status == 200
    (tmp_path / "painted.mp4").write_bytes(played)
    assert len(list(frames.FilmReader(tmp_path / "painted.mp4"))) == 8
    assert np.abs(pixels(studio, job_id) - 128).mean() > 5  # the preview shows a frame


@pytest.mark.parametrize("content", [b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", b"ffconcat version 1.0\n", b""])
def test_files_that_are_no_films_are_not_opened(studio, tmp_path, content):
    path = tmp_path / "list.mp4"
    path.write_bytes(content)
    with pytest.raises(AssertionError, match=r"list\.mp4"):
        studio.upload(path)


def test_a_damaged_film_is_refused_with_its_name(studio, pictures, tmp_path):
    clips = pytest.importorskip("film_clips", reason="needs PyAV: pip install 'impasto[film]'")
    (tmp_path / "cut.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + b"\0" * 400)
    with pytest.raises(AssertionError, match=r'"cut\.mp4 is not a film'):
        studio.upload(tmp_path / "cut.mp4")
    film = studio.upload(clips.write_clip(tmp_path / "walk.mp4", clips.make_pan(2)))
    with pytest.raises(AssertionError, match="1280 at most"):
        studio.submit(film, [pictures[1]], size=4000)


def test_a_film_of_huge_frames_is_refused_before_it_is_read(tmp_path, monkeypatch):
    clips = pytest.importorskip("film_clips", reason="needs PyAV: pip install 'impasto[film]'")
    monkeypatch.setattr(uploads, "MAX_UPLOAD_PIXELS", 100)
    clip = clips.write_clip(tmp_path / "walk.mp4", clips.make_pan(2))
    with pytest.raises(PictureError, match=r"^walk\.mp4 has frames of more than 100 pixels"):
        uploads.read_first_frame(clip)
