"""How soon the studio shows a picture, how soon it applies a change, and what an open page costs.

    python benchmarks/studio.py [--rounds N] [--json FILE]

Starts a studio and drives its page in Chromium without a window, on the same machine as the painter. The figures:

    first_picture_in_steps   from the click on Paint to the first painted preview on the screen, over a step's time at
                             preview size (256 pixels, as timed in the same round); 20 at most are wanted
    slider_effect_in_steps   from a key on the slider to the first preview painted with it, likewise; 10 at most
    page_costs               seconds for the same steps at 512 pixels with the page open, over those with no page
                             open; 1.05 at most
    studio_costs             seconds for the same steps in the studio with no page open, over those of the library alone

Medians over the rounds, whose kinds alternate. Needs the extras studio and dev, and chromium.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from impasto import Settings, start
from machine import describe

EXAMPLES = Path(__file__).parent.parent / "src" / "impasto" / "studio" / "examples"
PREVIEW: dict[str, Any] = {"size": 256, "start_size": 256, "steps": 90}
TIMED: dict[str, Any] = {"size": 512, "start_size": 512, "steps": 70}
WARM_UP = 10  # steps that are not timed: memory settles
VERSION = "document.querySelector('.preview .frame > img')?.dataset.version"


@contextmanager
def open_studio() -> Iterator[str]:
    """Start a studio; yields its address."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "impasto", "studio", "--port", "0", "--folder", folder]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout
        url = next(word for word in process.stdout.readline().split() if word.startswith("http"))
        try:
            while not get_updates(url)["ready"]:
                time.sleep(0.1)
            yield url
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)


def get_updates(url: str) -> dict[str, Any]:
    """Return what the page gets."""
    with urllib.request.urlopen(url + "studio/updates?since=0") as answer:
        updates: dict[str, Any] = json.loads(answer.read())
    return updates


def submit(url: str, settings: dict[str, Any]) -> str:
    """Submit a picture without a page; returns its job's ID."""
    from gradio_client import Client, handle_file  # type: ignore[import-untyped]

    client = Client(url, verbose=False)
    photo, painting = (handle_file(EXAMPLES / name) for name in ("coffee.jpg", "flow_strokes.jpg"))
    job_id = str(client.predict(photo, [painting], settings, api_name="/paint"))
    client.close()
    return job_id


def time_steps(url: str, job_id: str) -> float:
    """Return the seconds of the steps after the warm-up, and wait until the picture is finished."""
    begun: tuple[int, float] | None = None
    while True:
        job = next(job for job in get_updates(url)["changed"] if job["id"] == job_id)
        step, seconds = job["progress"]["step"], job["progress"]["seconds"]
        if begun is None and step >= WARM_UP:
            begun = step, seconds
        if job["status"] == "done":
            assert begun
            return float((seconds - begun[1]) / (step - begun[0]))
        time.sleep(0.5)


def time_library() -> float:
    """Return the seconds of a step without any studio."""
    paths = EXAMPLES / "coffee.jpg", EXAMPLES / "flow_strokes.jpg"
    steps = list(start(*paths, settings=Settings(**TIMED)))
    return (steps[-1].seconds - steps[WARM_UP - 1].seconds) / (len(steps) - WARM_UP)


def time_page(page: Page, url: str) -> dict[str, float]:
    """Use the page as a visitor does. Returns seconds to the first picture, to a slider's effect, and of a step."""
    page.goto(url)
    page.wait_for_function("document.querySelector('.preview .status')?.textContent.length > 0")
    page.get_by_role("button", name="Example photo: coffee").click()
    page.wait_for_selector("#photo-preview img")
    page.get_by_role("button", name="Example painting: flow strokes").click()
    page.wait_for_selector("#paintings-preview img")
    page.locator("button.label-wrap", has_text="All settings").click()
    page.locator("button.label-wrap", has_text="Optimising").click()
    for name, value in PREVIEW.items():
        page.locator(f"#setting-{name} input").fill(str(value))
        page.locator(f"#setting-{name} input").press("Tab")
    time.sleep(1)
    before = page.get_attribute(".preview", "data-id")
    begun = time.perf_counter()
    page.click("#paint")
    page.wait_for_function(f"document.querySelector('.preview').dataset.id !== '{before}' && {VERSION} === '1'")
    first = time.perf_counter() - begun
    time.sleep(1)
    version = int(page.evaluate(VERSION))
    job_id = page.get_attribute(".preview", "data-id")
    page.locator("#balance input[type=range]").focus()
    begun = time.perf_counter()
    page.keyboard.press("PageUp")
    weight = None
    while weight is None:  # until the worker says that it has changed
        job = next(job for job in get_updates(url)["changed"] if job["id"] == job_id)
        weight, version = job["settings"].get("content_weight"), job["progress"]["version"]
        time.sleep(0.03)  # the studio takes 25 requests a second
    page.wait_for_function(f"+{VERSION} > {version}")
    effect = time.perf_counter() - begun
    page.wait_for_function("document.querySelector('.preview').dataset.status === 'done'")
    job = next(job for job in get_updates(url)["changed"] if job["id"] == job_id)
    return {"first": first, "effect": effect, "step": job["progress"]["seconds"] / job["progress"]["step"]}


def measure(rounds: int) -> dict[str, float]:
    """Measure everything, the kinds in turn."""
    found: dict[str, list[float]] = {name: [] for name in ("first", "effect", "alone", "watched", "library")}
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with open_studio() as url, sync_playwright() as player:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = player.chromium.launch(executable_path=chromium, args=arguments)
        for _ in range(rounds):
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            seconds = time_page(page, url)
            found["first"].append(seconds["first"] / seconds["step"])
            found["effect"].append(seconds["effect"] / seconds["step"])
            found["watched"].append(time_steps(url, submit(url, TIMED)))
            page.close()
            found["alone"].append(time_steps(url, submit(url, TIMED)))
            found["library"].append(time_library())
            print({name: round(values[-1], 4) for name, values in found.items()}, file=sys.stderr, flush=True)
        browser.close()
    middle = {name: statistics.median(values) for name, values in found.items()}
    return {
        "first_picture_in_steps": middle["first"],
        "slider_effect_in_steps": middle["effect"],
        "page_costs": statistics.median(a / b for a, b in zip(found["watched"], found["alone"], strict=True)),
        "studio_costs": statistics.median(a / b for a, b in zip(found["alone"], found["library"], strict=True)),
    }


def main() -> None:
    """Print the figures, and write them to a file if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    figures = measure(options.rounds)
    machine = describe("cpu")
    for name, value in {**machine, **{name: f"{value:.3g}" for name, value in figures.items()}}.items():
        print(f"{name:<24}{value}")
    if options.json:
        options.json.write_text(json.dumps({"machine": machine, "figures": figures}, indent=1) + "\n")


if __name__ == "__main__":
    main()
