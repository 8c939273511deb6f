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
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

PICTURES = Path(__file__).parent / "pictures"
SIZES = {"": (1280, 900), "-phone": (390, 844)}
COLORS = 200


def begin(page: Page) -> None:
    """The page as it opens."""
    page.wait_for_function("document.querySelector('.easel .status')?.textContent.startsWith('Choose')")


def choose(page: Page, *paintings: str) -> None:
    """A photo and paintings are chosen."""
    page.get_by_role("button", name="Example photo: coffee").click()
    page.wait_for_selector("#photo-seen img")
    for number, name in enumerate(paintings or ("flow strokes",), start=1):
        page.get_by_role("button", name=f"Example painting: {name}").click()
        page.wait_for_function(f"document.querySelectorAll('#paintings-seen img').length === {number}")
    page.wait_for_timeout(500)


def paint(page: Page) -> None:
    """In the middle of a painting, steered once."""
    choose(page, "flow strokes", "cut paper")
    page.click("#paint")
    page.wait_for_function("+document.querySelector('.easel .frame > img')?.dataset.version > 8")
    page.wait_for_function("document.querySelectorAll('.states li').length > 1")
    page.evaluate("window.scrollTo(0, 0)")


def finish(page: Page) -> None:
    """A finished picture, from the middle of the painting on."""
    stop = page.get_by_role("button", name="Stop and keep")
    if stop.count():
        stop.click()
    page.wait_for_function("['done', 'stopped'].includes(document.querySelector('.easel').dataset.stage)")
    page.wait_for_selector(".gallery .tile img")
    page.locator(".easel .frame").scroll_into_view_if_needed()
    page.wait_for_timeout(2500)


def compare(page: Page) -> None:
    """The picture over the photo."""
    page.locator(".easel").get_by_role("button", name="Compare with the photo").click()
    page.wait_for_function("[...document.querySelectorAll('.pair img')].every(it => it.naturalWidth > 0)")


def sheet(page: Page) -> None:
    """Small pictures side by side."""
    if page.locator(".studio-dialog").count():
        page.keyboard.press("Escape")
    page.locator("button.label-wrap", has_text="Choose by eye").click()
    page.locator("#sheet").click()
    page.wait_for_function("document.querySelectorAll('.sheet img').length === 6", timeout=180_000)
    page.wait_for_function("document.querySelector('.easel').dataset.stage === 'done'")
    page.locator(".easel .frame").scroll_into_view_if_needed()


def settings(page: Page) -> None:
    """The form with its settings open, and the plan of a print."""
    page.locator("button.label-wrap", has_text="All settings").click()
    page.locator("button.label-wrap", has_text="Optimising").click()
    page.locator("button.label-wrap", has_text="Choose by eye").click()
    page.locator("button.label-wrap", has_text="Print size").click()
    page.get_by_role("button", name="Show the plan").click()
    page.wait_for_function("document.querySelector('#plan').textContent.includes('pixels')")
    page.locator("#plan").scroll_into_view_if_needed()
    page.wait_for_timeout(500)


def wrong(page: Page) -> None:
    """A file that is no picture."""
    page.locator("#paintings-seen").scroll_into_view_if_needed()
    page.reload()
    page.wait_for_selector("#paint")
    bad = {"name": "holiday_letter.png", "mimeType": "image/png", "buffer": b"This is no picture."}
    page.locator("#photo input[type=file]").set_input_files(bad)  # type: ignore[arg-type]
    page.wait_for_selector("#photo-seen [role=alert]")
    page.wait_for_timeout(500)


STATES: dict[str, Callable[[Page], None]] = {
    "empty": begin,
    "painting": paint,
    "finished": finish,
    "compare": compare,
    "sheet": sheet,
    "settings": settings,
    "wrong": wrong,
}


def save(page: Page, name: str) -> None:
    """Write what the window shows, in few colours."""
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    image.quantize(COLORS, dither=Image.Dither.NONE).save(PICTURES / f"{name}.png", optimize=True)


def main(chosen: list[str]) -> None:
    """Go through the states, in each size and scheme with a studio of its own."""
    PICTURES.mkdir(exist_ok=True)
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
                page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
                page.set_default_timeout(90_000)
                page.goto(url)
                for name, state in STATES.items():
                    state(page)
                    if not chosen or name in chosen:
                        save(page, f"studio-{name}-{scheme}{ending}")
                browser.close()
                studio.send_signal(signal.SIGINT)
                studio.wait(30)


if __name__ == "__main__":
    main(sys.argv[1:])
