"""The studio's page in a real browser: Chromium without a window, driven by Playwright."""

import io
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import make_picture
from PIL import Image
from studio_process import PATIENCE, Studio

from impasto import Settings, read_recipe
from impasto.images.write import write_image
from impasto.studio.form import MAX_BALANCE_FACTOR

pytestmark = pytest.mark.browser
playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PHOTO_WEIGHT = pytest.approx(MAX_BALANCE_FACTOR * Settings().content_weight)  # with the balance at 0
NO_BROWSER = "no browser here: apt-get install chromium, or playwright install chromium"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as player:
        path = CHROMIUM or player.chromium.executable_path
        if not Path(path).exists():
            pytest.skip(NO_BROWSER)
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        opened = player.chromium.launch(executable_path=path, args=arguments)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def context(browser: Any) -> Iterator[Any]:
    """A visitor's browser, which keeps the page's own files from one visit to the next."""
    opened = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    yield opened
    opened.close()


@pytest.fixture
def page(context: Any, studio: Studio) -> Iterator[Any]:
    """The page, opened; at the end nothing was asked of another machine, and nothing went wrong in its scripts."""
    opened = context.new_page()
    opened.set_default_timeout(PATIENCE * 1000)
    asked: list[str] = []
    faults: list[str] = []
    opened.on("request", lambda request: asked.append(request.url))
    opened.on("pageerror", lambda error: faults.append(str(error)))
    visit(opened, studio)
    yield opened
    opened.close()
    assert [url for url in asked if not url.startswith((studio.url, "data:", "blob:"))] == []
    assert len(asked) > 5
    assert faults == []


def visit(page: Any, studio: Studio) -> None:
    page.goto(studio.url)
    page.wait_for_function("document.querySelector('.preview')?.dataset.status !== undefined")
    page.wait_for_function("!document.querySelector('.preview .status').textContent.startsWith('Getting')")


def choose_examples(page: Any, *paintings: str) -> None:
    page.get_by_role("button", name="Example photo: coffee").click()
    page.wait_for_selector("#photo-preview img")
    for number, painting in enumerate(paintings or ("flow strokes",), start=1):
        page.get_by_role("button", name=f"Example painting: {painting}").click()
        page.wait_for_function(f"document.querySelectorAll('#paintings-preview img').length == {number}")


def open_part(page: Any, name: str) -> None:
    page.locator("button.label-wrap", has_text=name).click()
    page.wait_for_timeout(300)  # Gradio sets what is in a part once more just after it is opened


def set_numbers(page: Any, **values: float) -> None:
    """Fill fields, until they stay so: what Gradio sets at its own time may be later than that."""
    wanted = {name: str(value) for name, value in values.items()}
    found: dict[str, str] = {}
    until = time.monotonic() + PATIENCE
    while found != wanted:
        assert time.monotonic() < until, found
        for name in [name for name, value in wanted.items() if found.get(name) != value]:
            page.locator(f"#setting-{name} input").fill(wanted[name])
            page.locator(f"#setting-{name} input").press("Tab")
        page.wait_for_timeout(300)
        found = {name: page.locator(f"#setting-{name} input").input_value() for name in wanted}


def make_small(page: Any, steps: int) -> None:
    """Small and for so many steps, as the settings of a picture are changed by hand."""
    open_part(page, "All settings")
    open_part(page, "Optimising")
    set_numbers(page, steps=steps, later_steps=5, start_size=96, size=96)
    open_part(page, "All settings")


def press_paint(page: Any, studio: Studio) -> str:
    """Press Paint; returns the ID of the job that the page shows then."""
    known = set(studio.state()["order"])
    page.click("#paint")
    page.wait_for_function(
        f"document.querySelector('.preview').dataset.id && !{list(known)}.includes("
        "document.querySelector('.preview').dataset.id)"
    )
    return str(page.get_attribute(".preview", "data-id"))


def wait_for_preview(page: Any, after: int = 0) -> int:
    """Wait for a preview later than `after`; returns its number."""
    page.wait_for_function(f"+document.querySelector('.preview .frame > img')?.dataset.version > {after}")
    return int(page.get_attribute(".preview .frame > img", "data-version"))


def wait_for_status(page: Any, status: str) -> None:
    page.wait_for_function(f"document.querySelector('.preview')?.dataset.status === '{status}'")


def canvas(page: Any) -> np.ndarray:
    """The pixels of what the page shows."""
    encoded = page.evaluate(
        """async () => {
          const answer = await fetch(document.querySelector('.preview .frame > img').src);
          return [...new Uint8Array(await answer.arrayBuffer())];
        }"""
    )
    return np.asarray(Image.open(io.BytesIO(bytes(encoded))).convert("RGB"), dtype=float)


def roughness(pixels: np.ndarray) -> float:
    """How much neighbouring pixels differ."""
    return float(np.abs(np.diff(pixels, axis=0)).mean() + np.abs(np.diff(pixels, axis=1)).mean())


def test_paint_change_reload_stop_and_download(page, studio, tmp_path):
    choose_examples(page)
    make_small(page, 100_000)
    job_id = press_paint(page, studio)
    first = wait_for_preview(page)
    early = canvas(page)
    later = wait_for_preview(page, first + 3)
    assert np.abs(canvas(page) - early).mean() > 1
    before = roughness(canvas(page))
    smooth = page.locator("#setting-tv_weight input[type=range]")
    smooth.focus()
    page.keyboard.press("End")
    studio.wait_for(job_id, lambda job: job["settings"].get("tv_weight") == 5)
    until = time.monotonic() + PATIENCE
    while roughness(canvas(page)) > 0.8 * before:
        assert time.monotonic() < until
        later = wait_for_preview(page, later)
    balance = page.locator("#balance input[type=range]")
    balance.focus()
    page.keyboard.press("Home")  # all the way to the photo
    studio.wait_for(job_id, lambda job: job["settings"].get("content_weight") == PHOTO_WEIGHT)
    page.reload()
    wait_for_status(page, "painting")
    assert page.get_attribute(".preview", "data-id") == job_id
    wait_for_preview(page, later + 3)
    assert page.locator(".plot svg").is_visible()
    assert "96 x 64 pixels in 1 scale: about" in page.inner_text(".preview .plan")
    page.get_by_role("button", name="Stop and keep").click()
    wait_for_status(page, "stopped")
    with page.expect_download() as download:
        page.locator(".preview").get_by_role("link", name="Download").click()
    saved = tmp_path / download.value.suggested_filename
    download.value.save_as(saved)
    assert saved.name == "coffee_flow_strokes.png"
    recipe = read_recipe(saved)
    assert recipe.settings.content_weight == PHOTO_WEIGHT
    assert recipe.settings.tv_weight == 5
    assert recipe.settings.steps == 100_000
    # and dropped again, it fills the form
    page.reload()
    page.wait_for_selector("#paint")
    open_part(page, "Settings from a painted picture")
    page.locator("#painted input[type=file]").set_input_files(saved)
    page.wait_for_selector("#paintings-preview img")
    page.wait_for_function("document.querySelector('#setting-size input') !== null")
    assert page.locator("#setting-size input").input_value() == "96"
    assert "in the form" in page.inner_text("#message")


def test_pause_resume_and_go_back_to_a_snapshot(page, studio):
    choose_examples(page)
    make_small(page, 100_000)
    job_id = press_paint(page, studio)
    wait_for_preview(page)
    page.get_by_role("button", name="Pause").click()
    wait_for_status(page, "paused")
    step = studio.get(job_id)["progress"]["step"]
    page.reload()
    wait_for_status(page, "paused")
    page.get_by_role("button", name="Go on", exact=True).click()
    wait_for_status(page, "painting")
    studio.wait_for(job_id, lambda job: job["progress"]["step"] > step + 5)
    page.locator(".snapshots button").first.click()
    studio.wait_for(job_id, lambda job: "kept-1.png" in job["pictures"])
    page.wait_for_selector(".gallery .tile img")
    page.get_by_role("button", name="Stop and keep").click()
    wait_for_status(page, "stopped")
    stopped = studio.get(job_id)["progress"]["step"]
    page.reload()  # and what is stopped is gone on with as well
    page.get_by_role("button", name="Go on", exact=True).click()
    studio.wait_for(job_id, lambda job: job["progress"]["step"] > stopped + 3)
    page.get_by_role("button", name="Stop and keep").click()
    wait_for_status(page, "stopped")
    page.locator(".preview").get_by_role("button", name="Compare with the photo").click()
    split = page.get_by_role("slider", name="Photo on the left, picture on the right")
    split.focus()
    page.keyboard.press("End")
    assert page.evaluate("getComputedStyle(document.querySelector('.pair')).getPropertyValue('--split')") == "100%"
    page.keyboard.press("Escape")
    page.locator(".preview").get_by_role("button", name="Look closely").click()
    seen = page.locator(".studio-dialog img")
    seen.wait_for()
    page.wait_for_function("document.querySelector('.studio-dialog img').naturalWidth === 96")
    assert round(seen.bounding_box()["width"]) == 96
    page.keyboard.press("Escape")


def test_errors_are_shown_on_the_page(page, tmp_path):
    page.click("#paint")
    page.wait_for_function("document.querySelector('#message').textContent.includes('Choose a photo')")
    wrong = tmp_path / "letter.png"
    wrong.write_text("This is no picture.")
    page.locator("#photo input[type=file]").set_input_files(wrong)
    page.wait_for_function(
        "document.querySelector('#photo-preview').textContent.includes('letter.png is not a picture')"
    )
    assert page.locator("#photo-preview [role=alert]").count() == 1
    long = tmp_path / f"{'long_' * 40}name.png"
    write_image(make_picture(60, 40), long)
    page.locator("#paintings input[type=file]").set_input_files(long)
    page.wait_for_selector("#paintings-preview img")
    open_part(page, "All settings")
    open_part(page, "Content and style")
    page.locator("#setting-style_taps input, #setting-style_taps textarea").fill("nowhere")
    page.click("#paint")
    page.wait_for_function("document.querySelector('#message').textContent.includes('“Style taps”')")
    page.locator("#setting-style_taps input, #setting-style_taps textarea").fill("")
    page.locator("#setting-size input").fill("0")
    page.click("#paint")
    page.wait_for_function("document.querySelector('#message').textContent.match(/“Size”:? takes a whole number, 16/)")
    page.locator("#setting-size input").fill("")  # an empty field counts as not given
    page.click("#paint")
    page.wait_for_function("document.querySelector('#message').textContent.includes('letter.png')")


def test_a_sheet_its_cell_and_a_second_tab(page, browser, studio):
    choose_examples(page)
    open_part(page, "Choose by eye")
    page.get_by_label("What to vary").fill("style_weight=0.3,3")
    make_small(page, 4)
    page.locator("#sheet").click()
    page.wait_for_selector(".sheet li")
    page.wait_for_function("document.querySelectorAll('.sheet img').length === 2")
    wait_for_status(page, "done")
    other = browser.new_page()
    visit(other, studio)
    job_id = page.get_attribute(".preview", "data-id")
    other.locator(".card").first.get_by_role("button", name="Show").click()
    assert other.get_attribute(".preview", "data-id") == job_id
    other.close()
    page.get_by_role("button", name="style weight 3", exact=False).last.click()
    page.wait_for_function("document.querySelector('#message').textContent.includes('in the form')")
    made = press_paint(page, studio)
    job = studio.wait_for(made, "done")
    assert float(job["settings"]["style_weight"]) == 3
    # and the same at print size, with its plan
    open_part(page, "Print size")
    page.get_by_label("Longer side in centimetres").fill("0")
    page.get_by_role("button", name="Show the plan").click()
    page.wait_for_function("document.querySelector('#plan').textContent.includes('longer side of a print is 1 to 300')")
    page.get_by_label("Longer side in centimetres").fill("2")
    page.get_by_role("button", name="Show the plan").click()
    page.wait_for_function("document.querySelector('#plan').textContent.includes('157 x')")
    known = set(studio.state()["order"])
    page.locator("#print").click()
    page.wait_for_function("!" + str(list(known)) + ".includes(document.querySelector('.preview').dataset.id)")
    large = str(page.get_attribute(".preview", "data-id"))
    studio.wait_for(large, "done")
    with Image.open(studio.folder / "jobs" / large / "picture.png") as printed:
        assert max(printed.size) == 157


def test_the_page_reports_a_killed_worker_and_goes_on(page, studio):
    choose_examples(page, "cut paper", "flow strokes")
    page.locator("#blend-2").wait_for()
    make_small(page, 100_000)
    job_id = press_paint(page, studio)
    wait_for_preview(page)
    studio.wait_for(job_id, lambda job: job["snapshots"])
    os.kill(studio.worker(), signal.SIGKILL)
    wait_for_status(page, "failed")
    assert "SIGKILL" in page.inner_text(".preview .notes")
    page.get_by_role("button", name="Go on", exact=True).click()
    wait_for_status(page, "painting")
    wait_for_preview(page)
    page.locator("#blend-2 input[type=range]").focus()
    page.keyboard.press("Home")
    studio.wait_for(job_id, lambda job: job["settings"].get("style_blend") == [1, 0])
    page.get_by_role("button", name="Stop and keep").click()
    wait_for_status(page, "stopped")
    card = page.locator(".card").first
    card.get_by_role("button", name="Remove").click()
    card.get_by_role("button", name="Remove for good?").click()
    studio.wait_for_absence(job_id)


def test_many_photos_and_a_film_are_queued(page, studio, tmp_path):
    clips = pytest.importorskip("film_clips", reason="needs PyAV: pip install 'impasto[film]'")
    for number in range(2):
        write_image(make_picture(60, 40, number), tmp_path / f"holiday_{number}.png")
    clip = clips.write_clip(tmp_path / "walk.mp4", clips.make_pan(4))
    choose_examples(page)
    make_small(page, 3)
    open_part(page, "Many photos, films")
    drop = page.locator("#many-files input[type=file]")
    drop.set_input_files([tmp_path / "holiday_0.png", tmp_path / "holiday_1.png", clip])
    page.wait_for_function("document.querySelector('#many-files').textContent.includes('walk')")
    page.locator("#paint-all").click()
    page.wait_for_function("document.querySelector('#message').textContent.includes('3 in the queue')")
    page.wait_for_function("document.querySelectorAll('.card').length === 3")
    jobs = studio.state()["by_id"]
    assert sorted(job["kind"] for job in jobs.values()) == ["film", "painting", "painting"]
    for job_id in jobs:
        studio.wait_for(job_id, "done")
    page.locator(".card", has_text="walk").locator("button.quiet", has_text="Show").click()
    video = page.locator(".preview video")
    video.wait_for()
    if video.evaluate("it => it.canPlayType('video/mp4; codecs=avc1.640028')"):  # Playwright's own Chromium can't
        page.wait_for_function("document.querySelector('.preview video').readyState >= 2")
        assert video.evaluate("it => it.duration") == pytest.approx(0.16, abs=0.05)


ANCESTORS = """() => {
  const found = [];
  for (let node = document.activeElement; node; node = node.parentElement) found.push(node.id);
  return found;
}"""


def test_controls_have_names_and_keyboard_access(page):
    for part in ("All settings", "Choose by eye", "Print size", "Settings from a painted picture"):
        open_part(page, part)
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('button, input, textarea, select, a[href], [role=button]')]
          .filter(it => it.checkVisibility() && !it.getAttribute('aria-hidden'))
          .filter(it => !(it.getAttribute('aria-label') || it.title || it.textContent.trim()
            || it.closest('label')?.textContent.trim() || it.labels?.length || it.getAttribute('aria-labelledby')))
          .map(it => it.outerHTML.slice(0, 120))"""
    )
    assert nameless == []
    assert page.evaluate("[...document.images].filter(it => it.alt === null || !it.hasAttribute('alt')).length") == 0
    page.locator("body").press("Tab")
    reached = set()
    for _ in range(200):
        reached |= set(page.evaluate(ANCESTORS))
        page.keyboard.press("Tab")
        if "paint" in reached:
            break
    assert {"paint", "balance", "photo-examples"} <= reached


def test_an_idle_page_requests_few_frames(context, studio):
    page = context.new_page()
    page.add_init_script(
        "const ask = requestAnimationFrame; window.asked = 0;"
        "window.requestAnimationFrame = (draw) => { window.asked += 1; return ask.call(window, draw); };"
    )
    visit(page, studio)
    time.sleep(5)
    before = page.evaluate("asked")
    time.sleep(2)
    assert page.evaluate("asked") - before <= 10  # of 120
    come = """async () => {
      let [came, left] = [0, 0];
      requestAnimationFrame(() => { came += 1; });
      cancelAnimationFrame(requestAnimationFrame(() => { left += 1; }));
      await new Promise((done) => setTimeout(done, 3000));
      return [came, left];
    }"""
    assert page.evaluate(come) == [1, 0]  # what is put off comes all the same, unless it is called off
    page.mouse.move(200, 200)
    assert page.evaluate(come.replace("3000", "500")) == [1, 0]  # and at once, where somebody does something
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_screen_shows_the_whole_page(browser, studio, scheme):
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    page = context.new_page()
    visit(page, studio)
    for part in ("All settings", "Choose by eye", "Print size", "Settings from a painted picture"):
        open_part(page, part)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate("document.body.classList.contains('dark')") == (scheme == "dark")
    too_wide = page.evaluate(
        "[...document.querySelectorAll('.preview *, .card, #paint, input')].filter(it => it.checkVisibility() && "
        "it.getBoundingClientRect().right > 391 && !it.closest('.snapshots, .tiles')).length"
    )
    assert too_wide == 0
    context.close()


def test_a_brushed_mask_preserves_the_photo_there(page, studio):
    choose_examples(page)
    make_small(page, 30)
    open_part(page, "Brush where")
    board = page.locator(".mask-editor canvas")
    board.wait_for()
    page.get_by_label("Stays as it is").check()
    page.locator(".mask-editor input[type=range]").fill("120")
    board.scroll_into_view_if_needed()
    box = board.bounding_box()
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 2)
    page.mouse.down()
    for part in (0.25, 0.5, 0.75, 1.0):
        page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + part * box["height"] - 2, steps=3)
    page.mouse.up()
    board.focus()
    page.keyboard.press("ArrowLeft")
    page.wait_for_timeout(500)
    job_id = press_paint(page, studio)
    studio.wait_for(job_id, "done")
    folder = studio.folder / "jobs" / job_id
    keep = np.asarray(Image.open(folder / "inputs" / "preserve.png").convert("L").resize((96, 64)), dtype=float) / 255
    assert 0.1 < keep.mean() < 0.6
    photo = np.asarray(Image.open(folder / "inputs" / "coffee.jpg").convert("RGB").resize((96, 64)), dtype=float)
    change = np.abs(np.asarray(Image.open(folder / "picture.png").convert("RGB"), dtype=float) - photo).mean(2)
    assert change[keep > 0.95].mean() < 8
    assert change[keep < 0.05].mean() > 3 * change[keep > 0.95].mean()
    assert read_recipe(folder / "picture.png").settings.preserve_mask == "preserve.png"
    # the settings, with what was brushed, in the form again
    page.reload()
    page.wait_for_selector(".card")
    page.locator(".card").first.get_by_role("button", name="Settings").click()
    page.wait_for_function("document.querySelector('#message').textContent.includes('in the form')")
    open_part(page, "Brush where")
    again = press_paint(page, studio)
    studio.wait_for(again, "done")
    assert (studio.folder / "jobs" / again / "inputs" / "preserve.png").exists()
    # and regions that are found, to begin with
    choose_more = page.get_by_role("button", name="Example painting: cut paper")
    choose_more.click()
    page.wait_for_function("document.querySelectorAll('#paintings-preview img').length === 2")
    before = len(page.get_attribute(".mask-editor", "data-start"))
    page.get_by_role("button", name="Begin with regions that are found").click()
    page.wait_for_function(
        f"![0, {before}].includes(document.querySelector('.mask-editor')?.dataset.start?.length ?? 0)"
    )
    parted = press_paint(page, studio)
    studio.wait_for(parted, "done")
    assert (studio.folder / "jobs" / parted / "inputs" / "mask_2.png").exists()
