"""Takes the pictures of the studio in docs/pictures: each state of the page, light and dark, wide and on a phone.

    python docs/draw_studio.py [STATE ...]

Needs the extras studio and dev, and chromium. Look at what comes of it.
"""

import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

PICTURES = Path(__file__).parent / "pictures"
SIZES = {"": (1280, 800), "-phone": (390, 844)}
COLORS = 200
PATIENCE = 600  # seconds


def until(page: Page, condition: str) -> None:
    """Wait until an expression is true; the page forbids Playwright's own way, which is `eval`."""
    latest = time.monotonic() + PATIENCE
    while not page.evaluate(condition):
        assert time.monotonic() < latest, condition
        time.sleep(0.1)


def settle(page: Page, seconds: float) -> None:
    """Wait until the window has shown the same for so many seconds."""
    seen = None
    while seen != (seen := page.screenshot()):
        page.wait_for_timeout(1000 * seconds)


def show(page: Page, sheet: str) -> None:
    """Show the pictures or the dials, which a telephone has in turn."""
    tab = page.locator(".tabs button", has_text=sheet)
    if tab.is_visible() and tab.get_attribute("aria-pressed") == "false":
        tab.click()


def empty(page: Page) -> None:
    """The page as it opens."""
    until(page, "[...document.querySelectorAll('.tile img')].every((it) => it.naturalWidth || !it.checkVisibility())")
    settle(page, 0.5)


def quick_look(page: Page) -> None:
    """A photo and a painting, before anything is pressed."""
    page.get_by_role("button", name="cat", exact=True).click()
    until(page, "document.querySelector('.stage').dataset.look === '20'")
    show(page, "Dials")
    page.wait_for_timeout(300)


def brush(page: Page) -> None:
    """Two paintings, each in its place."""
    show(page, "Pictures")
    page.get_by_role("button", name="Mix it in: The Great Wave off Kanagawa").click()
    page.get_by_role("button", name="Brush where").click()
    page.locator(".brush .size input").fill("120")
    box = page.locator(".board").bounding_box()
    assert box
    page.locator(".chips label", has_text="The Great Wave").click()
    page.mouse.move(box["x"] + 0.15 * box["width"], box["y"] + 0.1 * box["height"])
    page.mouse.down()
    for x, y in ((0.12, 0.5), (0.18, 0.9), (0.3, 0.85)):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=5)
    page.mouse.up()
    page.wait_for_timeout(500)
    until(page, "document.querySelector('.stage').dataset.look === '20'")


def choose(page: Page) -> None:
    """Quick looks side by side."""
    page.get_by_role("button", name="Wipe all").click()
    page.get_by_role("button", name="Brush where").click()
    show(page, "Pictures")
    page.get_by_role("button", name="The Starry Night", exact=True).click()
    page.get_by_role("button", name="Choose by eye").click()
    page.select_option("#vary", "paintings")
    until(page, "document.querySelectorAll('.cells li').length === document.querySelectorAll('.cells img').length")
    settle(page, 10)


def painting(page: Page) -> None:
    """In the middle of a painting."""
    page.keyboard.press("Escape")
    show(page, "Dials")
    page.select_option("#preset", "draft")
    page.wait_for_timeout(1000)
    page.click("#paint")
    until(page, "document.querySelector('.frame > img')?.src.includes('preview')")
    until(page, "document.querySelector('.status').textContent.includes('512')")
    page.wait_for_timeout(500)


def finished(page: Page) -> None:
    """A finished picture."""
    until(page, "document.querySelector('.stage').dataset.status === 'done'")
    page.wait_for_timeout(1000)


def compare(page: Page) -> None:
    """The picture next to the photo."""
    page.get_by_role("button", name="Compare").click()
    page.wait_for_timeout(500)


def more(page: Page) -> None:
    """The other settings."""
    page.get_by_role("button", name="Compare").click()
    page.get_by_text("More", exact=True).click()
    page.get_by_text("Beginning", exact=True).click()
    page.get_by_text("More", exact=True).scroll_into_view_if_needed()
    page.locator("#setting-init").scroll_into_view_if_needed()


def take(page: Page) -> None:
    """A print, with its plan."""
    page.get_by_role("button", name="Save or print").click()
    page.get_by_role("button", name="What will it take?").click()
    until(page, "document.querySelector('#plan').textContent.includes('pixels')")


def gallery(page: Page) -> None:
    """All results."""
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Gallery").click()
    page.wait_for_timeout(800)


def wrong(page: Page) -> None:
    """A value that is refused."""
    page.keyboard.press("Escape")
    page.get_by_text("Content and style", exact=True).click()
    page.locator("#setting-style_taps").fill("conv9_9")
    page.locator("#setting-style_taps").press("Tab")
    page.click("#paint")
    page.wait_for_selector("[role=alert]")


STATES: dict[str, Callable[[Page], None]] = {
    state.__name__: state
    for state in (empty, quick_look, brush, choose, painting, finished, compare, more, take, gallery, wrong)
}


def save(page: Page, name: str) -> None:
    """Write what the window shows, in few colors."""
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    image.quantize(COLORS, dither=Image.Dither.NONE).save(PICTURES / f"{name}.png", optimize=True)


def main(chosen: list[str]) -> None:
    """Go through the states, in each size and scheme with a studio of its own."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    for ending, (width, height) in SIZES.items():
        for scheme in ("light", "dark"):
            with tempfile.TemporaryDirectory() as folder, sync_playwright() as player:
                command = [sys.executable, "-m", "impasto", "studio", "--port", "0", "--folder", folder]
                studio = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
                assert studio.stdout
                url = next(word for word in studio.stdout.readline().split() if word.startswith("http"))
                browser = player.chromium.launch(executable_path=chromium, args=arguments)
                page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme, locale="en")
                page.goto(url)
                page.wait_for_selector(".stage")
                for name, state in STATES.items():
                    state(page)
                    if not chosen or name in chosen:
                        save(page, f"studio-{name.replace('_', '-')}-{scheme}{ending}")
                browser.close()
                studio.send_signal(signal.SIGINT)
                studio.wait(30)


if __name__ == "__main__":
    main(sys.argv[1:])
