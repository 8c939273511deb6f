"""The studio's page in a real browser: Chromium without a window, driven by Playwright."""

import io
import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import skimage.data
from conftest import make_picture
from PIL import Image
from studio_process import PATIENCE, Studio

from impasto import read_recipe
from impasto.images.write import write_image

pytestmark = pytest.mark.browser

SMALL = {"network": "slim", "views": "1", "size": 96, "start_size": 96, "later_steps": 5}
ENDLESS = {**SMALL, "steps": 100_000}
PANELS = ("Gallery", "Choose by eye", "Save or print")
FILM_EVERYWHERE = "A film is painted everywhere: the brush is for photos."
IMAGE = "document.querySelector('.frame > img')"


@pytest.fixture
def page(browser: Any, studio: Studio) -> Iterator[Any]:
    """The page, opened; at the end nothing was asked of another machine, and nothing went wrong in its scripts."""
    opened = browser.new_page(viewport={"width": 1280, "height": 900}, locale="en")
    opened.set_default_timeout(PATIENCE * 1000)
    asked: list[str] = []
    faults: list[str] = []
    opened.on("request", lambda request: asked.append(request.url))
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("console", lambda said: faults.append(said.text) if "Content Security" in said.text else None)
    visit(opened, studio)
    yield opened
    opened.close()
    assert [url for url in asked if not url.startswith((studio.url, "data:", "blob:"))] == []
    assert len(asked) > 5
    assert faults == []


SHORT_LOOKS = """{
  const ask = window.fetch;
  window.lookSteps = 5;
  window.fetch = (address, ...more) =>
    ask(/quick_look$/.test(address) ? `${address}?steps=${lookSteps}` : address, ...more);
}"""


def visit(page: Any, studio: Studio) -> None:
    """Open the page. Its quick looks have few steps: all 20 in every test would take minutes in sum."""
    page.add_init_script(SHORT_LOOKS)
    page.goto(studio.url)
    page.wait_for_selector(".stage")


def until(page: Any, condition: str) -> None:
    """Wait until an expression is true; Playwright's own way is `eval`, which the page forbids."""
    latest = time.monotonic() + PATIENCE
    while not page.evaluate(condition):
        assert time.monotonic() < latest, f"waited for {condition} in vain: {page.inner_text('body')}"
        time.sleep(0.05)


def set_settings(page: Any, **settings: Any) -> None:
    """Change settings as the dials and fields do."""
    page.evaluate("async (given) => (await import('./static/state.js')).change(given)", settings)


def choose_photo(page: Any, name: str = "coffee") -> None:
    page.get_by_role("button", name=name, exact=True).click()


def wait_for_look(page: Any, step: int = 0) -> None:
    until(page, f"+document.querySelector('.stage').dataset.look >= {step} && {IMAGE}?.src.startsWith('data:')")


def press_paint(page: Any, studio: Studio) -> str:
    """Press Paint; returns the ID of the job that the page shows then."""
    known = set(studio.state()["order"])
    page.click("#paint")
    shown = "document.querySelector('.stage').dataset.id"
    until(page, f"{shown} && !{sorted(known)}.includes({shown})")
    return str(page.get_attribute(".stage", "data-id"))


def wait_for_preview(page: Any, after: int = 0) -> int:
    """Wait for a preview later than `after`; returns its number."""
    until(page, f"{IMAGE}?.src.includes('preview') && +new URL({IMAGE}.src).searchParams.get('v') > {after}")
    return int(page.evaluate(f"+new URL({IMAGE}.src).searchParams.get('v')"))


def wait_for_status(page: Any, status: str) -> None:
    until(page, f"document.querySelector('.stage').dataset.status === '{status}'")


def canvas(page: Any) -> np.ndarray:
    """The pixels of what the page shows."""
    encoded = page.evaluate(f"async () => [...new Uint8Array(await (await fetch({IMAGE}.src)).arrayBuffer())]")
    return np.asarray(Image.open(io.BytesIO(bytes(encoded))).convert("RGB"), dtype=float)


def look(page: Any) -> np.ndarray:
    """The pixels of the quick look."""
    encoded = page.evaluate(f"[...atob({IMAGE}.src.split(',')[1])].map((letter) => letter.charCodeAt(0))")
    picture = Image.open(io.BytesIO(bytes(encoded))).convert("RGB")
    return np.asarray(picture.resize((96, 64)), dtype=float)


def roughness(pixels: np.ndarray) -> float:
    """How much neighbouring pixels differ."""
    return float(np.abs(np.diff(pixels, axis=0)).mean() + np.abs(np.diff(pixels, axis=1)).mean())


def test_a_quick_look_comes_before_anything_is_pressed(page, studio):
    page.evaluate("window.lookSteps = 20")  # as many as usual
    choose_photo(page)
    wait_for_look(page, step=3)
    assert studio.state()["order"] == []
    before = look(page)
    page.get_by_role("button", name="The Scream", exact=True).click()
    wait_for_look(page, step=20)
    other = look(page)
    assert np.abs(other - before).mean() > 5
    assert "Press Paint" in page.inner_text(".status")
    assert page.inner_text("output[for=balance]") == "50 : 50"
    page.focus("#balance")
    page.keyboard.press("Home")  # all the way to the photo
    assert page.inner_text("output[for=balance]") == "100 : 0"
    until(page, "+document.querySelector('.stage').dataset.look < 20")
    wait_for_look(page, step=20)
    assert np.abs(look(page) - other).mean() > 5


def test_the_picture_only_becomes_better_after_paint(page, studio):
    choose_photo(page)
    set_settings(page, **ENDLESS)
    wait_for_look(page, step=5)
    press_paint(page, studio)
    assert page.evaluate(f"{IMAGE}.src.startsWith('data:')")  # the quick look, while the painting is worse
    versions = [wait_for_preview(page)]
    assert studio.get(page.get_attribute(".stage", "data-id"))["progress"]["step"] >= 12
    for _ in range(3):
        versions.append(wait_for_preview(page, versions[-1]))
    assert versions == sorted(versions)


def test_paint_change_reload_stop_and_download(page, studio, tmp_path):
    choose_photo(page)
    set_settings(page, **ENDLESS)
    job_id = press_paint(page, studio)
    wait_for_preview(page)
    early = canvas(page)
    version = studio.wait_for(job_id, lambda job: job["progress"]["step"] > 40)["progress"]["version"]
    later = wait_for_preview(page, version)
    assert np.abs(canvas(page) - early).mean() > 0.5
    before = roughness(canvas(page))
    page.get_by_text("More", exact=True).click()
    page.get_by_text("Content and style", exact=True).click()
    page.get_by_label("Smoothness", exact=True).fill("50")
    page.keyboard.press("Tab")
    studio.wait_for(job_id, lambda job: job["settings"].get("tv_weight") == 50)
    latest = time.monotonic() + PATIENCE
    while roughness(canvas(page)) > 0.8 * before:
        assert time.monotonic() < latest
        later = wait_for_preview(page, later)
    page.focus("#balance")
    page.keyboard.press("Home")  # all the way to the photo
    studio.wait_for(job_id, lambda job: job["settings"].get("content_weight", 0) > 1)
    weight = studio.get(job_id)["settings"]["content_weight"]
    page.reload()
    page.wait_for_selector(".stage")
    page.get_by_role("button", name="Gallery").click()
    page.locator(".card .look").first.click()
    wait_for_status(page, "painting")
    assert page.get_attribute(".stage", "data-id") == job_id
    wait_for_preview(page, later)
    until(page, "document.querySelector('#balance').value === '0'")  # the dials are those of the job
    page.get_by_text("Earlier states, details").click()
    assert page.locator(".plot svg").is_visible()
    assert "96 x 64 pixels in 1 scale: about" in page.inner_text(".plan")
    page.get_by_role("button", name="Stop and keep").click()
    wait_for_status(page, "stopped")
    with page.expect_download() as download:
        page.locator(".status").get_by_role("link", name="Download").click()
    saved = tmp_path / download.value.suggested_filename
    download.value.save_as(saved)
    assert saved.name == "coffee_starry_night.png"
    recipe = read_recipe(saved)
    assert recipe.settings.content_weight == weight
    assert recipe.settings.tv_weight == 50
    assert recipe.settings.steps == 100_000
    # and dropped again, its settings are used
    set_settings(page, size=128, content_weight=None)
    page.locator(".tray input[type=file]").first.set_input_files(saved)
    page.get_by_role("button", name="Use its settings").click()
    until(page, "document.querySelector('#size').value === '96' && document.querySelector('#balance').value === '0'")
    page.locator("[aria-label='coffee'][aria-pressed=true]").wait_for()
    until(page, "document.querySelector('#size').value === '96'")
    assert page.locator("[aria-label='starry_night.webp']").count() == 0  # what comes with impasto is there once


SHOWN = """(() => [...document.querySelectorAll('.tile [aria-pressed=true]')].map((it) => it.ariaLabel).join()
  + document.querySelector('.dial [for=strokes]').textContent)()"""


def test_a_reload_shows_the_same_picture_again(page, studio):
    choose_photo(page)
    page.get_by_role("button", name="Mix it in: The Scream").click()
    set_settings(page, **ENDLESS, style_size="2")
    before = page.evaluate(SHOWN)
    assert "coffee,The Starry Night,The Scream" in before
    page.reload()
    page.wait_for_selector(".stage")
    wait_for_look(page, step=3)
    assert page.evaluate(SHOWN) == before
    job_id = press_paint(page, studio)
    version = wait_for_preview(page)
    page.reload()
    page.wait_for_selector(".stage")
    wait_for_preview(page, version)
    assert page.get_attribute(".stage", "data-id") == job_id
    assert page.evaluate(SHOWN) == before


def test_a_closed_page_comes_back_and_begins_anew_when_asked(browser, studio):
    context = browser.new_context(locale="en")
    first = context.new_page()
    visit(first, studio)
    choose_photo(first)
    first.get_by_role("button", name="Mix it in: The Scream").click()
    set_settings(first, style_size="2")
    first.get_by_role("button", name="Brush where").click()
    brush(first)
    until(first, f"(async () => await {MASKS} !== null)()")
    before = first.evaluate(SHOWN)
    first.close()
    page = context.new_page()
    visit(page, studio)
    wait_for_look(page)
    until(page, f"{COVERED} > 0.05")
    assert page.evaluate(SHOWN) == before
    page.get_by_role("button", name="New", exact=True).click()
    page.locator(".welcome").wait_for()
    assert "\N{MULTIPLICATION SIGN} 1" in page.evaluate(SHOWN)
    page.get_by_role("alert").get_by_role("button", name="Undo").click()
    until(page, f"{SHOWN} === {before!r}")
    until(page, f"{COVERED} > 0.05")
    page.get_by_role("button", name="New", exact=True).click()
    page.locator(".welcome").wait_for()
    page.reload()
    page.locator(".welcome").wait_for()
    context.close()


def test_a_page_that_comes_back_leaves_out_what_is_gone(page, studio, tmp_path):
    write_image(make_picture(60, 40, 7), tmp_path / "gone.png")
    page.locator(".tray input[type=file]").first.set_input_files(tmp_path / "gone.png")
    wait_for_look(page)
    for picture in studio.ask_json("api/tray")["photos"]:
        if not picture["is_built_in"]:
            studio.ask(f"api/uploads/{picture['id']}", method="DELETE")
    page.reload()
    page.locator(".welcome").wait_for()
    assert page.get_by_role("alert").count() == 0
    assert "The Starry Night" in page.evaluate(SHOWN)


def test_pausing_shows_at_once(page, studio):
    choose_photo(page)
    set_settings(page, **ENDLESS)
    press_paint(page, studio)
    wait_for_preview(page)
    worker = studio.worker()
    os.kill(worker, signal.SIGSTOP)  # a step that takes long
    try:
        page.get_by_role("button", name="Pause", exact=True).click()
        assert page.get_by_role("button", name="Pausing").is_disabled()
        until(page, "document.querySelector('.status').textContent.includes('Pausing after this step')")
        assert page.get_attribute(".stage", "data-status") == "painting"
    finally:
        os.kill(worker, signal.SIGCONT)
    wait_for_status(page, "paused")


def test_a_setting_for_the_next_picture_says_so(page, studio):
    choose_photo(page)
    set_settings(page, **ENDLESS)
    job_id = press_paint(page, studio)
    wait_for_preview(page)
    page.select_option("#size", "256")
    alert = page.get_by_role("alert")
    alert.wait_for()
    assert "Size: takes effect when you press Paint again" in alert.inner_text()
    alert.get_by_role("button", name="Stop this one and paint anew").click()
    studio.wait_for(job_id, "stopped")
    until(page, f"document.querySelector('.stage').dataset.id !== '{job_id}'")
    assert studio.get(page.get_attribute(".stage", "data-id"))["settings"]["size"] == 256
    wait_for_preview(page)
    page.focus("#balance")
    page.keyboard.press("Home")  # what can be changed is not said to wait
    time.sleep(0.3)
    assert alert.count() == 0


def test_pause_resume_and_go_back_to_a_snapshot(page, studio):
    choose_photo(page)
    set_settings(page, **ENDLESS)
    job_id = press_paint(page, studio)
    wait_for_preview(page)
    page.get_by_role("button", name="Pause").click()
    wait_for_status(page, "paused")
    step = studio.get(job_id)["progress"]["step"]
    page.get_by_role("button", name="Go on", exact=True).click()
    wait_for_status(page, "painting")
    studio.wait_for(job_id, lambda job: job["progress"]["step"] > step + 5)
    page.get_by_text("Earlier states, details").click()
    page.locator(".snapshots button").first.click()
    studio.wait_for(job_id, lambda job: "kept-1.png" in job["pictures"])
    studio.wait_for(job_id, "painting")
    page.get_by_role("button", name="Keep this one too").click()
    studio.wait_for(job_id, lambda job: "kept-2.png" in job["pictures"])
    page.get_by_role("button", name="Stop and keep").click()
    wait_for_status(page, "stopped")
    stopped = studio.get(job_id)["progress"]["step"]
    page.get_by_role("button", name="Go on", exact=True).click()  # and what is stopped is gone on with as well
    studio.wait_for(job_id, lambda job: job["progress"]["step"] > stopped + 3)
    page.get_by_role("button", name="Stop at once").click()
    wait_for_status(page, "stopped")
    page.get_by_role("combobox").first.select_option("de")
    text = "Mitten in einem Schritt beendet. Es kann vom letzten Stand aus weitergehen."
    until(page, f"document.querySelector('.status').textContent.includes('{text}')")


def test_compare_zoom_and_two_results_side_by_side(page, studio):
    choose_photo(page)
    for weight in (1, 3):
        set_settings(page, **SMALL, steps=3, style_weight=weight)
        studio.wait_for(press_paint(page, studio), "done")
    wait_for_status(page, "done")
    page.get_by_role("button", name="Compare").click()
    split = page.get_by_role("slider", name="Left: the other; right: the picture")
    split.focus()
    page.keyboard.press("End")
    until(page, "document.querySelector('.line').style.left === '100%'")
    assert "pictures/coffee" in page.get_attribute(".under", "src")
    box = page.locator(".frame").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 3, steps=4)
    page.mouse.up()
    until(page, "Math.abs(parseFloat(document.querySelector('.line').style.left) - 25) < 1")
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert page.evaluate("parseFloat(document.querySelector('.line').style.left)") < 26  # once it is let go, it stays
    assert page.evaluate("getSelection().toString()") == ""
    page.get_by_role("button", name="100 %").click()
    until(page, f"{IMAGE}.naturalWidth === 96 && {IMAGE}.getBoundingClientRect().width === 96")
    page.get_by_role("button", name="Gallery").click()
    page.get_by_role("searchbox").fill("coffee finished")
    assert page.locator(".card").count() == 2
    page.get_by_role("searchbox").fill("cat")
    assert page.locator(".card").count() == 0
    assert "Nothing matches" in page.inner_text("dialog")
    page.get_by_role("searchbox").fill("")
    other = page.locator(".card").last
    other_id = other.get_attribute("data-id")
    other.get_by_role("button", name="Compare").click()
    assert f"jobs/{other_id}/files/picture.png" in page.get_attribute(".under", "src")
    assert page.get_attribute(".stage", "data-id") != other_id


def test_errors_are_shown_on_the_page(page, studio, tmp_path):
    assert page.locator("#paint").is_disabled()  # until there is a photo
    wrong = tmp_path / "letter.png"
    wrong.write_text("This is no picture.")
    page.locator(".tray input[type=file]").first.set_input_files(wrong)
    until(page, "document.querySelector('[role=alert]')?.textContent.includes('letter.png is not a picture')")
    message, tools = (page.locator(it).bounding_box() for it in (".message", ".tools"))
    assert message["y"] + message["height"] < tools["y"]
    long = tmp_path / f"{'long_' * 40}name.png"
    write_image(make_picture(60, 40), long)
    page.locator(".tray input[type=file]").first.set_input_files(long)
    wait_for_look(page)
    page.get_by_text("More", exact=True).click()
    page.get_by_text("Content and style", exact=True).click()
    assert page.input_value("#setting-content_loss") == "relative"
    taps = page.get_by_label("Style taps", exact=True)
    taps.fill("nowhere")
    page.keyboard.press("Tab")
    until(page, "document.querySelector('[role=alert]')?.textContent.includes('“Style taps”')")
    assert taps.get_attribute("aria-invalid") == "true"
    taps.fill("")  # an empty field counts as not given
    page.keyboard.press("Tab")
    page.get_by_text("Optimizing", exact=True).click()
    page.get_by_label("Steps", exact=True).fill("0")
    page.click("#paint")
    until(page, "document.querySelector('[role=alert]')?.textContent.includes('“Steps” takes a whole number, 1')")
    assert studio.state()["order"] == []


def test_a_refused_setting_is_marked_and_in_sight(page):
    choose_photo(page)
    marked = """(selector) => {
      const field = document.querySelector(selector), box = field.getBoundingClientRect();
      return field.checkVisibility() && box.top >= 0 && box.bottom <= innerHeight && field.ariaInvalid === 'true'
        && field.getAttribute('aria-describedby').includes('fault') && document.querySelector('#fault').textContent;
    }"""
    for settings, selector, text in (
        ({"style_taps": "nowhere"}, "#setting-style_taps", "“Style taps” takes"),
        ({"style_taps": None, "size": 40_000}, "#size", "“Size” takes"),
    ):
        set_settings(page, **settings)
        page.locator(f"{selector}[aria-invalid=true]").wait_for()
        until(page, f"({marked})({selector!r})")
        assert text in page.evaluate(marked, selector)
        assert page.locator(".fault").count() == 1
    set_settings(page, size=256)
    page.locator(".fault").wait_for(state="detached")
    assert page.locator("[aria-invalid=true]").count() == 0


def test_choosing_by_eye_and_a_print_with_its_plan(page, browser, studio):
    choose_photo(page)
    set_settings(page, **SMALL, steps=4)
    page.get_by_role("button", name="Choose by eye").click()
    page.select_option("#vary", "own")
    page.get_by_label("One setting a line").fill("nothing=1,2")
    page.get_by_role("button", name="Try out").click()
    page.get_by_role("alert").get_by_role("button", name="Close").click()  # which lies over the panel
    for values in ("1,2,3", "0.3,3"):
        page.get_by_label("One setting a line").fill(f"style_weight={values}")
        page.get_by_role("button", name="Try out").click()
        until(page, f"document.querySelectorAll('.cells img').length === {len(values.split(','))}")
    page.get_by_role("button", name="Weight of the paintings 3").click()
    made = press_paint(page, studio)
    assert float(studio.wait_for(made, "done")["settings"]["style_weight"]) == 3
    other = browser.new_page()
    visit(other, studio)
    other.get_by_role("button", name="Gallery").click()
    other.locator(".card .look").first.click()
    assert other.get_attribute(".stage", "data-id") == made
    other.close()
    page.get_by_role("button", name="Save or print").click()
    assert "30 x 20 cm, 2362 x 1572 px" in page.inner_text("#print-size").replace("\N{MULTIPLICATION SIGN}", "x")
    page.fill("#centimeters", "0")
    page.get_by_role("button", name="What will it take?").click()
    assert page.evaluate("document.querySelector('#centimeters').matches(':focus:invalid')")  # the browser says why
    assert page.inner_text("#plan") == ""
    page.fill("#centimeters", "2")
    page.get_by_role("button", name="What will it take?").click()
    until(page, "document.querySelector('#plan').textContent.includes('157 x')")
    page.get_by_role("button", name="Paint it for print").click()
    until(page, f"![undefined, '{made}'].includes(document.querySelector('.stage').dataset.id)")
    large = str(page.get_attribute(".stage", "data-id"))
    studio.wait_for(large, "done")
    with Image.open(studio.folder / "jobs" / large / "picture.png") as printed:
        assert max(printed.size) == 157


def test_choosing_by_eye_keeps_a_preset_and_the_choice(page):
    choose_photo(page)
    set_settings(page, preset="draft", size=96)
    page.get_by_role("button", name="Choose by eye").click()
    page.get_by_role("button", name="Stroke size 2.5").click()
    until(page, "document.querySelector('.dial [for=strokes]').textContent.includes('2.5')")
    assert page.input_value("#preset") == "draft"


def test_the_page_reports_a_killed_worker_and_goes_on(page, studio):
    choose_photo(page)
    page.get_by_role("button", name="Mix it in: The Scream").click()
    page.locator("#blend-2").wait_for()
    set_settings(page, **ENDLESS)
    job_id = press_paint(page, studio)
    wait_for_preview(page)
    studio.wait_for(job_id, lambda job: job["snapshots"])
    os.kill(studio.worker(), signal.SIGKILL)
    wait_for_status(page, "failed")
    assert "SIGKILL" in page.inner_text(".status")
    page.get_by_role("button", name="Go on", exact=True).click()
    wait_for_status(page, "waiting")
    os.kill(studio.worker(), signal.SIGKILL)  # the next one, before it is ready
    until(page, "document.querySelector('.status').textContent.includes('SIGKILL before it could paint')")
    wait_for_status(page, "painting")
    wait_for_preview(page)
    page.focus("#blend-2")
    page.keyboard.press("Home")
    studio.wait_for(job_id, lambda job: job["settings"].get("style_blend") == [1, 0])
    page.get_by_role("button", name="Stop and keep").click()
    wait_for_status(page, "stopped")
    page.get_by_role("button", name="Gallery").click()
    page.get_by_role("button", name="Remove").click()
    studio.wait_for_absence(job_id)
    page.keyboard.press("Escape")
    wait_for_status(page, "draft")


def test_a_removed_job_comes_back_with_undo(page, studio):
    choose_photo(page)
    set_settings(page, **ENDLESS)
    painted = press_paint(page, studio)
    wait_for_preview(page)
    waiting = studio.submit("cat", ["the_scream"], **ENDLESS)
    page.get_by_role("button", name="Stop and keep").click()
    wait_for_status(page, "stopped")
    studio.wait_for(waiting, "painting")
    again = studio.submit("cat", ["the_scream"], **ENDLESS)
    page.get_by_role("button", name="Gallery").click()
    for job_id in (painted, again):
        card = page.locator(f".card[data-id='{job_id}']")
        card.get_by_role("button", name="Remove").click()
        card.wait_for(state="detached")
        page.get_by_role("alert").get_by_role("button", name="Undo").click()
        card.wait_for()
    assert page.get_attribute(".stage", "data-id") == painted
    studio.wait_for(again, "waiting")  # not held any more
    card.get_by_role("button", name="Remove").click()
    studio.wait_for(again, "paused")  # or it would be begun
    studio.wait_for_absence(again)
    assert card.count() == 0
    assert page.inner_text(".top .count") == "2"
    assert painted in studio.state()["order"]


def test_back_closes_what_is_open_and_then_leaves(page, studio):
    page.goto("about:blank")
    visit(page, studio)
    choose_photo(page)
    page.get_by_role("button", name="Compare").click()
    for panel in PANELS:
        page.get_by_role("button", name=panel).click()
        page.locator("dialog").wait_for()
        page.go_back()
        page.locator("dialog").wait_for(state="detached")
    page.locator(".grip").wait_for()
    page.go_back()
    page.locator(".grip").wait_for(state="detached")
    page.get_by_role("button", name="Gallery").click()
    page.keyboard.press("Escape")  # which asks for no second Back
    page.locator("dialog").wait_for(state="detached")
    assert page.get_attribute(".stage", "data-status") == "draft"
    page.go_back()
    page.wait_for_url("about:blank")


def test_a_print_has_the_photos_shape_however_slowly_that_comes(page, tmp_path):
    choose_photo(page)
    held_back: list[Any] = []
    page.route("**/api/pictures/*?side=320", lambda route: held_back.append(route))  # a slow connection
    write_image(make_picture(80, 80), tmp_path / "square.png")
    page.locator(".tray input[type=file]").first.set_input_files(tmp_path / "square.png")
    page.locator("[aria-label='square.png'][aria-pressed=true]").wait_for()
    page.get_by_role("button", name="Save or print").click()
    assert "20" not in page.inner_text("#print-size")
    while not held_back:
        page.wait_for_timeout(10)
    page.unroute("**/api/pictures/*?side=320")  # which lets them go on
    until(page, "document.querySelector('#print-size').textContent.startsWith('30 \\u00d7 30 cm')")


def test_many_photos_and_a_film_are_queued(page, studio, tmp_path):
    clips = pytest.importorskip("film_clips", reason="needs PyAV: pip install 'impasto[film]'")
    for number in range(2):
        write_image(make_picture(60, 40, number), tmp_path / f"holiday_{number}.png")
    clip = clips.write_clip(tmp_path / "walk.mp4", clips.make_pan(4))
    choose_photo(page)
    set_settings(page, **SMALL, steps=3)
    page.get_by_role("button", name="Save or print").click()
    files = [tmp_path / "holiday_0.png", tmp_path / "holiday_1.png", clip]
    page.get_by_label("Choose photos or films").set_input_files(files)
    until(page, "document.querySelector('[role=alert]')?.textContent.includes('3 in the queue')")
    until(page, "document.querySelectorAll('.card').length === 3")
    jobs = studio.state()["by_id"]
    assert sorted(job["kind"] for job in jobs.values()) == ["film", "painting", "painting"]
    for job_id in jobs:
        studio.wait_for(job_id, "done")
    page.get_by_role("button", name="Show: walk").click()
    video = page.locator(".stage video")
    video.wait_for()
    if video.evaluate("it => it.canPlayType('video/mp4; codecs=avc1.640028')"):  # Playwright's own Chromium can't
        until(page, "document.querySelector('.stage video').readyState >= 2")
        assert video.evaluate("it => it.duration") == pytest.approx(0.16, abs=0.05)


def test_a_films_first_frame_is_shown_and_looked_at(page, studio, tmp_path):
    clips = pytest.importorskip("film_clips", reason="needs PyAV: pip install 'impasto[film]'")
    clip = clips.write_clip(tmp_path / "walk.mp4", clips.make_pan(4))
    page.locator(".tray input[type=file]").first.set_input_files(clip)
    page.locator(".tile [aria-label='walk.mp4'] img").wait_for()
    wait_for_look(page, step=5)
    assert "film is painted frame by frame" in page.inner_text(".status")
    choose_photo(page)
    page.get_by_role("button", name="Brush where").click()
    brush(page)
    until(page, f"(async () => await {MASKS} !== null)()")
    page.get_by_role("button", name="walk.mp4", exact=True).click()
    assert page.locator(".board").count() == 0
    brushes = page.get_by_role("button", name="Brush where")
    assert (brushes.is_disabled(), brushes.get_attribute("title")) == (True, FILM_EVERYWHERE)
    wait_for_look(page, step=5)  # without masks, which are refused
    assert page.get_by_role("alert").count() == 0
    films = [picture for picture in studio.ask_json("api/tray")["photos"] if picture["is_film"]]
    _, small = studio.ask(f"api/pictures/{films[0]['id']}")
    (first, *_), width = clips.make_pan(4), Image.open(io.BytesIO(small)).width
    assert width == first.shape[-1]
    painted = np.asarray(Image.open(io.BytesIO(small)).convert("RGB"), dtype=float)
    assert np.abs(painted - 255 * first[0].permute(1, 2, 0).numpy()).mean() < 12


def test_pictures_can_be_pasted_and_dropped(page):
    give = """async ([kind, where]) => {
      const canvas = new OffscreenCanvas(60, 40);
      canvas.getContext('2d').fillRect(0, 0, 20, 20);
      const data = new DataTransfer();
      data.items.add(new File([await canvas.convertToBlob()], `${kind}.png`, {type: 'image/png'}));
      const event = kind === 'paste' ? new ClipboardEvent(kind, {clipboardData: data, bubbles: true})
        : new DragEvent(kind, {dataTransfer: data, bubbles: true});
      document.querySelector(where).dispatchEvent(event);
    }"""
    page.evaluate(give, ["paste", "body"])
    page.locator(".tile [aria-label='paste.png'][aria-pressed=true]").wait_for()
    wait_for_look(page)
    page.evaluate(give, ["drop", ".picture-list:last-child"])
    page.locator(".picture-list:last-child [aria-label='drop.png'][aria-pressed=true]").wait_for()
    page.evaluate(give.replace("20, 20", "30, 30"), ["drop", ".stage"])
    page.locator(".picture-list:first-child [aria-label='drop.png'][aria-pressed=true]").wait_for()
    wait_for_look(page)
    for place in ("first-child", "last-child"):  # what was uploaded can be deleted, while it is chosen too
        tile = page.locator(f".picture-list:{place} .tile:has([aria-label='drop.png'])")
        tile.hover()
        tile.locator(".remove").click()
        tile.wait_for(state="detached")
    page.locator(".welcome").wait_for()
    page.get_by_role("alert").get_by_role("button", name="Undo").click()
    page.locator(".picture-list:last-child [aria-label='drop.png'][aria-pressed=true]").wait_for()
    known = "(async () => (await (await fetch('api/tray')).json()).{}.map((it) => it.name).join())()"
    assert "drop.png" in page.evaluate(known.format("photos"))  # for some seconds
    until(page, f"(async () => !(await {known.format('photos')}).includes('drop.png'))()")
    assert "drop.png" in page.evaluate(known.format("paintings"))
    assert page.locator(".tile:has([aria-label='paste.png']) .remove").count() == 1
    assert page.locator(".tile:has([aria-label='The Starry Night']) .remove").count() == 0


NAMELESS = """() => [...document.querySelectorAll('button, input, textarea, select, a[href], [tabindex], img')]
  .filter((it) => it.checkVisibility())
  .filter((it) => it.tagName === 'IMG' ? !it.hasAttribute('alt') : !(it.getAttribute('aria-label')
    || it.labels?.length || it.textContent.trim()))
  .map((it) => it.outerHTML.slice(0, 120))"""


def test_controls_have_names_and_keyboard_access(page):
    choose_photo(page)
    wait_for_look(page)
    page.get_by_role("button", name="Brush where").click()
    page.get_by_text("More", exact=True).click()
    page.get_by_text("Optimizing", exact=True).click()
    assert page.evaluate(NAMELESS) == []
    reached = set()
    page.locator("header button").first.focus()
    for _ in range(150):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.className"))
        if {"paint", "board"} <= reached:
            break
    assert {"paint", "board", "balance", "strokes", "setting-steps"} <= reached
    for panel in PANELS:
        page.get_by_role("button", name=panel).click()
        assert page.evaluate(NAMELESS) == []
        page.keyboard.press("Escape")
        until(page, "!document.querySelector('dialog')")


CONTRASTS = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
  const parse = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = (rgb) => rgb.slice(0, 3).map((part) => part / 255)
    .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
    .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const color = parse(getComputedStyle(node).backgroundColor);
      if (color[3] === 255) return color;
    }
    return [255, 255, 255, 255];
  };
  const texts = [...document.querySelectorAll('*')].filter((node) => node.checkVisibility()
    && [...node.childNodes].some((it) => it.nodeType === 3 && it.textContent.trim()) && !node.closest(':disabled'));
  return texts.map((node) => {
    const [one, other] = [light(parse(getComputedStyle(node).color)), light(behind(node))].sort();
    return [(other + 0.05) / (one + 0.05), node.outerHTML.slice(0, 90)];
  }).filter(([contrast]) => contrast < 4.5);
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_contrast_is_enough_and_nothing_is_too_wide(browser, studio, scheme, width):
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme, locale="en")
    page = context.new_page()
    visit(page, studio)
    choose_photo(page)
    wait_for_look(page)
    page.get_by_role("button", name="Brush where").click()
    for sheet in ("pictures", "dials"):
        page.evaluate("async (sheet) => (await import('./static/state.js')).update({sheet})", sheet)
        page.evaluate("document.querySelectorAll('details').forEach((it) => { it.open = true; })")
        assert page.evaluate(CONTRASTS) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("#paint").is_visible()
    for panel in PANELS:
        page.get_by_role("button", name=panel).click()
        assert page.evaluate(CONTRASTS) == []
        assert page.evaluate(
            f"[...document.querySelectorAll('dialog *')].every((it) => it.getBoundingClientRect().right <= {width})"
        )
        page.keyboard.press("Escape")
    context.close()


OVERLAPS = """() => {
  const parts = ['.top', '.stage', '.tray', '.dials', '.bar'].map((it) => document.querySelector(it))
    .filter((it) => it.checkVisibility());
  const controls = [...document.querySelectorAll('.top > *, .stage > *, .bar > *')]
    .filter((it) => it.checkVisibility());
  const boxes = (all) => all.map((it) => [it, it.getBoundingClientRect()]);
  const meet = ([one, a], [other, b]) => !one.contains(other) && !other.contains(one) && a.left < b.right - 1
    && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1;
  return [boxes(parts), boxes(controls)].flatMap((all) => all.flatMap((one, place) => all.slice(place + 1)
    .filter((other) => meet(one, other)).map((other) => `${one[0].className} over ${other[0].className}`)));
}"""


@pytest.mark.parametrize(("width", "height"), [(640, 400), (844, 390)])
def test_nothing_overlaps_at_200_percent(browser, studio, width, height):
    page = browser.new_page(viewport={"width": width, "height": height}, locale="de")
    visit(page, studio)
    inside = "(() => { const box = document.querySelector({}).getBoundingClientRect(); return box.height > {} && "
    inside += "box.top >= 0 && box.bottom <= innerHeight && box.right <= innerWidth; })()"
    for it in page.locator(".welcome .buttons > *").all():
        box = it.bounding_box()
        assert box["y"] + box["height"] <= page.locator(".wall").bounding_box()["y"] + height
    choose_photo(page)
    wait_for_look(page)
    for part in ("Bilder", "Regler", "Wohin malen"):
        button = page.get_by_role("button", name=part, exact=True)
        if button.get_attribute("aria-pressed") == "false":
            button.click()
        assert page.evaluate(OVERLAPS) == []
        assert page.evaluate(inside.replace("{}", "'#paint'", 1).replace("{}", "30", 1)), part
        assert page.evaluate(inside.replace("{}", "'.frame'", 1).replace("{}", "150", 1)), part
        assert page.evaluate(CUT_OFF) < 1
    page.close()


TOO_WIDE = """() => [...document.querySelectorAll('.top *, .panel *')].filter((it) => it.checkVisibility()
  && it.getBoundingClientRect().right > innerWidth).map((it) => it.outerHTML.slice(0, 120))"""
CUT_OFF = """() => {
  const [frame, wall] = ['.frame', '.wall'].map((it) => document.querySelector(it).getBoundingClientRect());
  return Math.max(wall.top - frame.top, frame.bottom - wall.bottom, frame.right - wall.right);
}"""


def test_the_gallery_and_a_busy_header_fit_on_a_phone(browser, studio):
    page = browser.new_page(viewport={"width": 390, "height": 844}, locale="de")
    visit(page, studio)
    for button in page.locator(".welcome .buttons > *").all():  # one below the other
        box = button.bounding_box()
        assert box["x"] + box["width"] / 2 == pytest.approx(195, abs=2)
    choose_photo(page)
    set_settings(page, **SMALL, steps=2)
    studio.wait_for(press_paint(page, studio), "done")
    set_settings(page, **ENDLESS)
    press_paint(page, studio)
    wait_for_status(page, "painting")
    assert page.locator(".top .busy").is_visible()
    page.get_by_role("button", name="Galerie").click()
    page.locator(".card .title").nth(1).wait_for()
    for language in ("en", "de", "es"):
        page.evaluate("async (language) => (await import('./static/state.js')).setLanguage(language)", language)
        until(page, f"document.documentElement.lang === '{language}'")
        page.wait_for_timeout(100)
        assert page.evaluate(TOO_WIDE) == []
    assert page.evaluate("[...document.querySelectorAll('.title')].every((it) => it.scrollWidth <= it.clientWidth)")
    page.close()


CUT = """() => {
  const isCut = (it) => it.getBoundingClientRect().right > it.parentElement.getBoundingClientRect().right + 1;
  const select = document.querySelector('.top select'), whole = select.cloneNode(true);
  whole.style.flex = 'none';
  select.parentElement.append(whole);
  const isNarrow = select.getBoundingClientRect().width < whole.getBoundingClientRect().width - 1;
  whole.remove();
  const buttons = [...document.querySelectorAll('.tools > button, .status .buttons > *, .top > *')].filter(isCut);
  return [...(isNarrow ? [select] : []), ...buttons].map((it) => it.outerHTML.slice(0, 120));
}"""


def test_no_button_of_a_painting_is_cut_on_a_phone(browser, studio):
    page = browser.new_page(viewport={"width": 390, "height": 844}, locale="en")
    visit(page, studio)
    choose_photo(page)
    set_settings(page, **ENDLESS)
    press_paint(page, studio)
    wait_for_preview(page)
    for language in ("en", "de", "es"):
        page.evaluate("async (language) => (await import('./static/state.js')).setLanguage(language)", language)
        until(page, f"document.documentElement.lang === '{language}'")
        page.wait_for_timeout(100)
        assert page.locator(".status .buttons > *").count() == 4
        assert page.evaluate(CUT) == []
    page.close()


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_the_whole_picture_can_be_brushed(browser, studio, tmp_path, width, height):
    page = browser.new_page(viewport={"width": width, "height": height}, locale="en")
    visit(page, studio)
    write_image(make_picture(80, 80), tmp_path / "square.png")
    page.locator(".tray input[type=file]").first.set_input_files(tmp_path / "square.png")
    wait_for_look(page)
    page.get_by_role("button", name="Mix it in: The Scream").click()
    page.get_by_role("button", name="Brush where").click()
    page.locator(".board").wait_for()
    assert page.evaluate(CUT_OFF) < 1
    assert page.locator(".frame").bounding_box()["width"] > 0.6 * min(width, 600)
    page.close()


def test_page_is_light_loads_at_once_and_does_not_shift(browser, studio):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    sizes: dict[str, int] = {}
    page.on(
        "response",
        lambda answer: (
            sizes.update({answer.url: len(answer.body())})
            if "pictures" not in answer.url and "events" not in answer.url
            else None
        ),
    )
    page.add_init_script(
        "window.shift = 0; new PerformanceObserver((list) => { for (const entry of list.getEntries())"
        " window.shift += entry.value; }).observe({type: 'layout-shift', buffered: true});"
    )
    visit(page, studio)
    page.wait_for_load_state("load")
    time.sleep(1)
    assert sum(sizes.values()) < 300_000
    assert page.evaluate("shift") < 0.01
    page.close()


def test_an_idle_page_asks_for_no_frames_and_no_data(page):
    page.add_init_script(
        "const ask = requestAnimationFrame; window.asked = 0;"
        "window.requestAnimationFrame = (draw) => { window.asked += 1; return ask.call(window, draw); };"
    )
    page.reload()
    page.wait_for_selector(".stage")
    choose_photo(page)
    wait_for_look(page, step=5)
    time.sleep(1)
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    before = page.evaluate("asked")
    time.sleep(3)
    assert page.evaluate("asked") == before
    assert requests == []


def test_words_are_those_of_the_chosen_language(page):
    for language, word in (("de", "Malen"), ("es", "Pintar"), ("en", "Paint")):
        page.get_by_role("combobox").first.select_option(language)
        until(page, f"document.querySelector('#paint').textContent === '{word}'")
        assert page.get_attribute("html", "lang") == language


def test_another_finish_keeps_the_balance(page):
    page.locator("#balance").fill("20")
    page.select_option("#preset", "film")  # whose photo has another weight
    until(page, "document.querySelector('#views input:checked').nextSibling.textContent === '1'")
    assert page.locator("#balance").input_value() == "20"


def test_plain_finishes_come_first_and_the_others_under_more(page):
    finishes = page.locator("#preset option").all_inner_texts()
    assert finishes == ["as usual", "at once", "a draft", "finely", "for films"]
    page.get_by_text("More", exact=True).click()
    page.get_by_text("Picture", exact=True).click()
    page.get_by_label("Preset", exact=True).select_option("gatys2015")
    until(page, "document.querySelector('#preset').selectedOptions[0].text === 'gatys2015'")


def test_help_is_in_the_chosen_language(page):
    page.get_by_role("combobox").first.select_option("de")
    page.get_by_text("Mehr", exact=True).click()
    page.get_by_text("Optimierung", exact=True).click()
    until(page, "document.querySelector('#setting-steps-help').textContent === 'Schritte der ersten Stufe'")


def brush(page: Any) -> None:
    """A stroke from top to bottom, a fifth from the left."""
    box = page.locator(".board").bounding_box()
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 2)
    page.mouse.down()
    for part in (0.25, 0.5, 0.75, 1.0):
        page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + part * box["height"] - 2, steps=3)
    page.mouse.up()


MASKS = "(async () => (await import('./static/state.js')).state.masks)()"
COVERED = """(() => {
  const board = document.querySelector('.board');
  const data = board.getContext('2d').getImageData(0, 0, board.width, board.height).data;
  return data.filter((part, place) => place % 4 === 3 && part).length / (board.width * board.height);
})()"""


def test_a_brushed_mask_preserves_the_photo_there(page, studio):
    choose_photo(page)
    set_settings(page, **SMALL, steps=30)
    page.get_by_role("button", name="Brush where").click()
    page.get_by_label("stays as it is").check(force=True)
    page.locator(".brush .size input").fill("170")
    brush(page)
    covered = page.evaluate(COVERED)
    assert 0.1 < covered < 0.6
    undo, redo = (page.get_by_role("button", name=name) for name in ("Undo", "Redo"))
    assert redo.is_disabled()
    undo.click()
    assert page.evaluate(COVERED) == 0
    assert undo.is_disabled()
    redo.click()
    assert page.evaluate(COVERED) == covered
    assert redo.is_disabled()
    page.locator(".board").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    assert page.evaluate(COVERED) > covered
    page.keyboard.press("Control+z")
    assert page.evaluate(COVERED) == covered
    wait_for_look(page, step=5)
    time.sleep(0.5)
    job_id = press_paint(page, studio)
    studio.wait_for(job_id, "done")
    folder = studio.folder / "jobs" / job_id
    keep = (
        np.asarray(Image.open(folder / "inputs" / "preserve_mask.png").convert("L").resize((96, 64)), dtype=float) / 255
    )
    assert 0.1 < keep.mean() < 0.6
    photo = np.asarray(Image.open(folder / "inputs" / "coffee.jpg").convert("RGB").resize((96, 64)), dtype=float)
    change = np.abs(np.asarray(Image.open(folder / "picture.png").convert("RGB"), dtype=float) - photo).mean(2)
    assert change[keep > 0.95].mean() < 8
    assert change[keep < 0.05].mean() > 3 * change[keep > 0.95].mean()
    assert read_recipe(folder / "picture.png").settings.preserve_mask == "preserve_mask.png"


def test_found_faces_are_brushed_to_stay_readable(page, studio, tmp_path):
    pytest.importorskip("dlib", reason="needs dlib: pip install 'impasto[faces]'")
    Image.fromarray(skimage.data.astronaut()).save(tmp_path / "portrait.png")
    choose_photo(page)
    set_settings(page, **SMALL, steps=2)
    page.get_by_role("button", name="Brush where").click()
    page.get_by_role("button", name="Find faces").click()
    until(page, "document.querySelector('[role=alert]')?.textContent.includes('No face was found in this photo')")
    page.locator(".tray input[type=file]").first.set_input_files(tmp_path / "portrait.png")
    page.locator("[aria-label='portrait.png'][aria-pressed=true]").wait_for()
    page.get_by_role("button", name="Find faces").click()
    until(page, f"{COVERED} > 0.01")
    until(page, "document.querySelector('[role=alert]')?.textContent.includes('stays readable')")
    assert page.evaluate(COVERED) < 0.2
    job_id = press_paint(page, studio)
    studio.wait_for(job_id, "done")
    kept = np.asarray(Image.open(studio.folder / "jobs" / job_id / "inputs" / "guard_mask.png").convert("L"))
    rows, columns = np.nonzero(kept > 128)
    assert rows.mean() < 0.4 * kept.shape[0]
    assert 0.3 < columns.mean() / kept.shape[1] < 0.6


def test_paint_waits_for_the_last_stroke(page, studio):
    choose_photo(page)
    set_settings(page, **ENDLESS)
    wait_for_look(page)
    page.get_by_role("button", name="Brush where").click()
    page.locator(".board").wait_for()
    held_back: list[Any] = []
    page.route("**/api/uploads*", lambda route: held_back.append(route))  # a slow connection
    brush(page)
    while not held_back:
        page.wait_for_timeout(10)
    page.click("#paint")
    page.wait_for_timeout(1000)
    page.click("#paint")  # which paints no second one
    page.wait_for_timeout(300)
    held_back[0].continue_()
    until(page, "document.querySelector('.stage').dataset.id")
    page.wait_for_timeout(500)
    assert len(studio.state()["order"]) == 1
    job_id = str(page.get_attribute(".stage", "data-id"))
    assert (studio.folder / "jobs" / job_id / "inputs" / "preserve_mask.png").exists()
    wait_for_preview(page)
    assert page.get_attribute(".stage", "data-id") == job_id


def test_of_two_cards_clicked_at_once_the_last_is_shown(page, studio):
    studio.wait_for(studio.submit("cat", ["the_scream"], **SMALL, steps=2), "done")
    studio.wait_for(studio.submit("coffee", ["starry_night"], **SMALL, steps=2), "done")
    slow: list[Any] = []

    def hold_back(route: Any) -> None:
        if slow:
            route.continue_()
        else:
            slow.append(route)

    page.route("**/composition*", hold_back)
    for title in ("cat", "coffee"):
        page.get_by_role("button", name="Gallery").click()
        page.get_by_role("button", name=f"Show: {title}").click()
    until(page, f"{SHOWN}.startsWith('coffee,The Starry Night')")
    with page.expect_response("**/composition*"):
        slow[0].continue_()
    time.sleep(0.5)
    assert page.evaluate(SHOWN).startswith("coffee,The Starry Night")


def test_a_page_that_is_refused_tries_again(browser, studio):
    page = browser.new_page(locale="en")
    refusals = iter([429, 503])

    def refuse(route: Any) -> None:
        status = next(refusals, None)
        if status:
            route.fulfill(status=status, body="{}")
        else:
            route.continue_()

    page.route("**/api/events", refuse)
    visit(page, studio)
    until(page, "document.querySelector('.status').textContent.includes('Trying again')")
    until(page, "!document.querySelector('.status').textContent.includes('Trying again')")
    page.close()


def test_masks_come_back_with_a_job_and_regions_are_found(page, studio):
    choose_photo(page)
    set_settings(page, **SMALL, steps=2)
    page.get_by_role("button", name="Brush where").click()
    brush(page)
    until(page, f"(async () => await {MASKS} !== null)()")
    job_id = press_paint(page, studio)
    studio.wait_for(job_id, "done")
    page.reload()
    page.wait_for_selector(".stage")
    page.get_by_role("button", name="Gallery").click()
    page.locator(".card .look").first.click()
    page.get_by_role("button", name="Brush where").click()
    until(page, f"{COVERED} > 0.05")
    again = press_paint(page, studio)
    studio.wait_for(again, "done")
    assert (studio.folder / "jobs" / again / "inputs" / "preserve_mask.png").exists()
    page.get_by_role("button", name="Mix it in: The Scream").click()
    page.get_by_role("button", name="Brush where").click()
    page.get_by_role("button", name="Find regions").click()
    until(page, f"{COVERED} === 1")
    alert, redo = page.get_by_role("alert"), page.get_by_role("button", name="Redo")
    assert "The same color below says which painting goes there" in alert.inner_text()
    assert "replace what was brushed" in alert.inner_text()
    for button, covered in ((alert.get_by_role("button", name="Undo"), "< 0.9"), (redo, "=== 1")):
        saved = page.evaluate(MASKS)
        button.click()
        until(page, f"{COVERED} {covered}")
        until(page, f"(async () => await {MASKS} !== '{saved}')()")
    parted = press_paint(page, studio)
    studio.wait_for(parted, "done")
    assert (studio.folder / "jobs" / parted / "inputs" / "mask_2.png").exists()
