"""The interface for programs: what docs/how-to/studio.md shows runs, as it stands, against a running studio."""

import base64
import io
import json
import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from conftest import make_picture
from PIL import Image
from studio_process import Outside, Studio

from impasto import read_recipe
from impasto.images.write import write_image
from impasto.studio.form import form_fields
from impasto.studio.job_runner import OUT_OF_MEMORY
from impasto.studio.masks import PRESERVE_COLOR
from impasto.studio.queue import FINISHING, GO_ON, PAUSING, STOPPED_EARLY, STOPPED_NOW, STUDIO_CLOSED

PAGE = Path(__file__).parent.parent / "docs" / "how-to" / "studio.md"
STATIC = Path(__file__).parent.parent / "src" / "impasto" / "studio" / "static"
ON_DIALS = re.findall(r'"(\w+)"', re.findall(r"ON_DIALS = (.*)", (STATIC / "dials.js").read_text(encoding="utf-8"))[0])
WANTED = {"photo": "cat", "paintings": ["starry_night"]}


@pytest.mark.slow
def test_the_snippet_of_the_docs_runs(studio: Studio, tmp_path: Path):
    pytest.importorskip("httpx", reason="needs httpx: pip install httpx")
    (snippet,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    cheap = snippet.replace('"size": 512', '"network": "slim", "views": "1", "size": 96, "start_size": 96, "steps": 60')
    program = cheap.replace("http://127.0.0.1:7860/", studio.url)
    assert program.count(studio.url) == 1
    assert cheap != snippet
    for seed, name in enumerate(("photo.jpg", "painting.jpg"), start=1):
        write_image(make_picture(120, 90, seed), tmp_path / name)
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    recipe = read_recipe(tmp_path / "picture.png")
    assert recipe.settings.style_weight == 2
    assert [length.value for length in recipe.settings.style_size] == [0.5]


@pytest.mark.slow
def test_routes_are_those_of_the_docs(studio: Studio):
    paths = studio.ask_json("api/openapi.json")["paths"]
    offered = {f"{method.upper()} {path.removeprefix('/api/')}" for path, known in paths.items() for method in known}
    named = set(re.findall(r"^\| `([A-Z]+ [^`]+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    assert offered == named


def read_looks(studio: Studio, body: dict[str, object], query: str = "") -> list[np.ndarray]:
    status, answer = studio.ask(f"api/quick_look{query}", body)
    assert status == 200, answer
    looks = [json.loads(line) for line in answer.splitlines()]
    assert [look["step"] for look in looks] == list(range(len(looks)))
    pictures = [Image.open(io.BytesIO(base64.b64decode(look["jpeg"]))).convert("RGB") for look in looks]
    return [np.asarray(picture, dtype=float) for picture in pictures]


@pytest.mark.slow
def test_a_quick_look_has_the_paintings_colors_at_once(studio: Studio):
    looks = read_looks(studio, WANTED, "?fresh=1&steps=3")
    assert len(looks) == 4
    other = read_looks(studio, {**WANTED, "paintings": ["the_scream"]}, "?fresh=1&steps=2")
    (red, _, blue), (other_red, _, other_blue) = (look[0].mean((0, 1)) for look in (looks, other))
    assert blue - red > other_blue - other_red + 20


@pytest.mark.slow
def test_a_quick_look_goes_on_from_the_last_one(studio: Studio):
    wanted = {"photo": "coffee", "paintings": ["the_scream"]}
    last = read_looks(studio, wanted, "?steps=9")[-1]
    again, fresh = (read_looks(studio, wanted, f"?steps=2{query}")[0] for query in ("", "&fresh=1"))
    assert 3 * np.abs(again - last).mean() < np.abs(fresh - last).mean()


@pytest.mark.slow
def test_a_quick_look_without_masks_does_not_go_on_from_one_with_them(studio: Studio, tmp_path: Path):
    wanted = {"photo": "coffee", "paintings": ["the_great_wave"]}
    plain = read_looks(studio, wanted, "?steps=2")[0]
    brushed = Image.new("RGBA", (60, 40))
    brushed.paste(PRESERVE_COLOR, (0, 0, 40, 40))
    brushed.save(tmp_path / "brushed.png")
    masks = studio.upload(tmp_path / "brushed.png", "masks")
    kept = read_looks(studio, {**wanted, "masks": masks}, "?steps=2")[-1]
    again = read_looks(studio, wanted, "?steps=2")[0]
    assert 3 * np.abs(again - plain).mean() < np.abs(kept - plain).mean()


@pytest.mark.slow
def test_a_quick_look_begins_nearer_to_a_heavier_photo(studio: Studio):
    usual, heavy = (
        read_looks(studio, {**WANTED, "settings": settings}, "?fresh=1&steps=2")[0]
        for settings in ({}, {"content_weight": 5})
    )
    height, width = usual.shape[:2]
    with Image.open(STATIC.parent / "examples" / "cat.jpg") as image:
        photo = np.asarray(image.convert("RGB").resize((width, height)), dtype=float)
    assert np.abs(heavy - photo).mean() < 0.6 * np.abs(usual - photo).mean()


@pytest.mark.slow
def test_a_quick_look_in_the_photos_colors_keeps_its_strokes(studio: Studio):
    looks = read_looks(studio, {**WANTED, "settings": {"color": "keep"}}, "?fresh=1&steps=4")
    with Image.open(STATIC.parent / "examples" / "cat.jpg") as image:
        photo = np.asarray(image.convert("RGB").resize(looks[0].shape[1::-1]), dtype=float)
    first, *others = (np.abs(look - photo).mean() for look in looks)
    assert min(others) > 0.7 * first


@pytest.mark.slow
def test_one_pass_is_planned_and_painted(studio: Studio):
    wanted = {**WANTED, "settings": {"preset": "instant", "size": 96}}
    assert "in one pass" in studio.ask_json("api/plan", wanted)["text"]
    job = studio.submit("cat", ["starry_night"], preset="instant", size=96)
    assert studio.wait_for(job, "done")["pictures"] == ["picture.png"]


@pytest.mark.slow
def test_a_quick_look_that_nobody_reads_ends(studio: Studio):
    request = urllib.request.Request(studio.url + "api/quick_look?steps=60&fresh=1", json.dumps(WANTED).encode())
    request.add_header("content-type", "application/json")
    with urllib.request.urlopen(request, timeout=30) as answer:
        answer.readline()
    assert len(read_looks(studio, WANTED, "?fresh=1&steps=2")) == 3  # and the next one has its turn


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [{"color": "keep"}, {"preset": "gatys2015"}, {"style_size": "200px"}, {"style_size": "auto"}, {"views": "0,0,0,1"}],
)
def test_a_quick_look_takes_every_kind_of_settings(studio: Studio, settings: dict[str, str]):
    assert len(read_looks(studio, {**WANTED, "settings": settings}, "?fresh=1&steps=2")) in (2, 3)


@pytest.mark.slow
def test_variations_multiply_out_and_are_checked(studio: Studio):
    asked = {"settings": {"size": 128, "style_size": "2"}, "vary": ["style_size=0.5,1", "tv_weight=0,1"]}
    made = studio.ask_json("api/variations", asked)
    assert [(one["style_size"], one["tv_weight"]) for one in made] == [("0.5", 0), ("0.5", 1), ("1", 0), ("1", 1)]
    assert all(one["size"] == 128 for one in made)
    for wrong in ("style_weight", "nothing=1", "size=1,2", f"seed={','.join(map(str, range(13)))}", "init=/etc/passwd"):
        assert studio.ask("api/variations", {"vary": [wrong]})[0] == 400, wrong


@pytest.mark.slow
def test_the_same_file_is_uploaded_once_and_listed(studio: Studio, tmp_path: Path):
    write_image(make_picture(60, 40, 9), tmp_path / "mine.png")
    first, again = (studio.upload(tmp_path / "mine.png", "painting") for _ in range(2))
    assert first == again
    paintings = studio.ask_json("api/tray")["paintings"]
    assert (paintings[0]["id"], paintings[0]["name"]) == (first, "mine.png")
    assert [painting["id"] for painting in paintings].count(first) == 1
    status, body = studio.ask(f"api/pictures/{first}?side=320")
    assert status == 200
    assert max(Image.open(io.BytesIO(body)).size) == 60
    assert studio.ask(f"api/uploads/{first}", method="DELETE")[0] == 204
    assert studio.ask(f"api/pictures/{first}?side=320")[0] == 400
    assert first not in {painting["id"] for painting in studio.ask_json("api/tray")["paintings"]}
    for wrong in ("starry_night", first, "..", "0" * 16):
        assert studio.ask(f"api/uploads/{wrong}", method="DELETE")[0] in (400, 404, 405), wrong
    assert studio.ask("api/pictures/starry_night")[0] == 200


@pytest.mark.slow
def test_a_gif_among_the_paintings_is_a_picture(studio: Studio, tmp_path: Path):
    Image.effect_noise((60, 40), 50).save(tmp_path / "grain.gif")
    gif = studio.upload(tmp_path / "grain.gif", "painting")
    paintings = {painting["id"]: painting for painting in studio.ask_json("api/tray")["paintings"]}
    assert not paintings[gif]["is_film"]
    assert studio.ask(f"api/pictures/{gif}")[0] == 200
    studio.ask(f"api/uploads/{gif}", method="DELETE")


@pytest.mark.slow
def test_events_tell_all_jobs_and_then_what_changes(studio: Studio):
    with urllib.request.urlopen(studio.url + "api/events", timeout=30) as events:

        def read_update() -> dict[str, object]:
            while not (line := events.readline()).startswith(b"data: "):
                assert line
            update: dict[str, object] = json.loads(line.removeprefix(b"data: "))
            return update

        while not read_update()["ready"]:
            pass
        job_id = studio.submit("cat", ["starry_night"], network="slim", views="1", size=64, start_size=64, steps=1)
        changed = read_update()["changed"]
        assert [job["id"] for job in changed] == [job_id]  # type: ignore[attr-defined]


def test_all_languages_have_the_same_words():
    words = json.loads((STATIC / "words.json").read_text(encoding="utf-8"))
    assert set(words) == {"en", "de", "es"}
    scripts = "".join(path.read_text(encoding="utf-8") for path in STATIC.glob("*.js"))
    helps = {field["description"] for name, field in form_fields().items() if name not in ON_DIALS}
    for language in words.values():
        assert language.keys() - helps == words["en"].keys()
        for key, text in language.items():
            if key in helps:
                continue
            assert re.findall(r"\{\w+\}", text) == re.findall(r"\{\w+\}", words["en"][key]), key
    asked = set(re.findall(r"""\bt\("([\w.]+)"[,)]""", scripts))
    assert len(asked) > 60
    assert asked <= words["en"].keys()


@pytest.mark.parametrize("language", ["de", "es"])
@pytest.mark.parametrize("name", [name for name in form_fields() if name not in ON_DIALS])
def test_each_setting_shown_has_label_and_help(language: str, name: str):
    words = json.loads((STATIC / "words.json").read_text(encoding="utf-8"))
    help_text = form_fields()[name]["description"]
    assert f"setting.{name}" in words[language]
    assert help_text in words[language], f"translate in words.json, under {language}: {help_text}"


@pytest.mark.parametrize(
    "message", [STOPPED_NOW, STOPPED_EARLY, PAUSING, FINISHING, GO_ON, STUDIO_CLOSED, OUT_OF_MEMORY]
)
def test_messages_of_a_job_are_translated(message: str):
    words = json.loads((STATIC / "words.json").read_text(encoding="utf-8"))
    assert words["en"][message] == message
    assert len({words[language][message] for language in words}) == 3


@pytest.mark.slow
def test_requests_to_other_machines_are_recorded():
    pytest.importorskip("httpx", reason="needs httpx: pip install httpx")
    outside = Outside()
    program = "import httpx; httpx.get('http://elsewhere.example/analytics', timeout=5)"
    subprocess.run([sys.executable, "-c", program], env={**os.environ, **outside.environment}, capture_output=True)
    outside.close()
    assert outside.knocks[0].startswith(b"GET http://elsewhere.example/analytics")
