"""How soon the studio shows a picture, how soon it applies a change, and what an open page costs.

    python benchmarks/studio.py [--rounds N] [--json FILE]

Starts a studio and drives its page in Chromium without a window, on the same machine as the painter. The figures:

    load_seconds             from the request to the drawn page, its files in no cache
    first_look_seconds       from the click on a painting that was not used before to its first quick look
    dial_seconds             from a key on a dial to the first quick look painted with it
    whole_look_seconds       from the click to the last step of the quick look
    rest_cpu                 share of a core that studio and worker take while the page is open, with nothing to do
    change_in_steps          from a key on a dial to the first preview of a running painting with it, over a step's time
    page_costs               seconds for the same steps at 512 pixels with the page open, over those with no page open
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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from playwright.sync_api import Page, sync_playwright

from impasto import Settings, start
from machine import describe

PHOTO = Path(__file__).parent.parent / "src" / "impasto" / "studio" / "examples" / "coffee.jpg"
TIMED: dict[str, Any] = {"network": "slim", "views": "1", "size": 512, "start_size": 512, "steps": 60}
WARM_UP = 10  # steps that are not timed: memory settles
REST_SECONDS = 5.0
POLLING_MILLISECONDS = 10  # within the page, where asking costs the painter least
PAINTINGS = ("The Scream", "The Bedroom", "Composition VII", "Gray Tree", "The Street Pavers")
LOOK_STEPS = 20
LOG = """
window.looks = [];
const note = (what) => looks.push([what, performance.now()]);
for (const kind of ["pointerdown", "keydown"]) addEventListener(kind, () => note("pressed"), true);
addEventListener("DOMContentLoaded", () => {
  const watch = new MutationObserver(() => note(document.querySelector(".stage")?.dataset.look ?? ""));
  watch.observe(document.body, { subtree: true, attributes: true, attributeFilter: ["data-look", "src"] });
});
"""  # when something was pressed, and when each step of the quick look was shown


@contextmanager
def open_studio() -> Iterator[tuple[str, psutil.Process]]:
    """Start a studio; yields its address and process."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "impasto", "studio", "--port", "0", "--folder", folder]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout
        url = next(word for word in process.stdout.readline().split() if word.startswith("http"))
        try:
            while not ask(f"{url}api/jobs")["ready"]:
                time.sleep(0.1)
            yield url, psutil.Process(process.pid)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)


def ask(url: str, body: Any = None) -> Any:
    """Send a request; returns the answer."""
    headers = {} if body is None else {"content-type": "application/json"}
    request = urllib.request.Request(url, None if body is None else json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as answer:
        return json.loads(answer.read())


def submit(url: str) -> str:
    """Submit a picture without a page; returns its job's ID."""
    return str(ask(f"{url}api/jobs", {"photo": "coffee", "paintings": ["starry_night"], "settings": TIMED})["id"])


def time_steps(url: str, job_id: str) -> float:
    """Return the seconds of a step after the warm-up, and wait until the picture is finished."""
    begun: tuple[int, float] | None = None
    while True:
        job = ask(f"{url}api/jobs/{job_id}")
        step, seconds = job["progress"]["step"], job["progress"]["seconds"]
        if begun is None and step >= WARM_UP:
            begun = step, seconds
        if job["status"] == "done":
            assert begun
            return float((seconds - begun[1]) / (step - begun[0]))
        time.sleep(0.5)


def time_library() -> float:
    """Return the seconds of a step without any studio."""
    steps = list(start(PHOTO, "starry_night", settings=Settings(**TIMED)))
    return (steps[-1].seconds - steps[WARM_UP - 1].seconds) / (len(steps) - WARM_UP)


def wait_until(page: Page, condition: str) -> None:
    """Wait within the page, where asking costs the painter least, until an expression is true."""
    pause = f"new Promise((go) => setTimeout(go, {POLLING_MILLISECONDS}))"
    page.evaluate(f"async () => {{ while (!({condition})) await {pause}; }}")


def time_looks(page: Page, act: Callable[[], Any]) -> list[float]:
    """Let the quick look begin anew, by a click or key; return the seconds until each of its steps was shown."""
    page.evaluate("looks.length = 0")
    act()
    wait_until(page, f"looks.some(([step]) => step === '1') && looks.at(-1)[0] === '{LOOK_STEPS}'")
    seen: list[tuple[str, float]] = page.evaluate("looks")
    pressed = next(time for what, time in seen if what == "pressed")
    times = {step: time for step, time in reversed(seen) if time > pressed}
    return [(times[str(step)] - pressed) / 1000 for step in (0, 1, LOOK_STEPS)]


def time_page(page: Page, url: str, painting: str) -> dict[str, float]:
    """Use the page as a visitor does; returns seconds."""
    page.add_init_script(LOG)
    begun = time.perf_counter()
    page.goto(url)
    wait_until(page, "document.querySelector('.stage') !== null")
    found = {"load": time.perf_counter() - begun}
    time_looks(page, page.get_by_role("button", name="coffee", exact=True).click)
    found["first_look"], _, found["whole_look"] = time_looks(
        page, page.get_by_role("button", name=painting, exact=True).click
    )
    page.focus("#balance")
    _, found["dial"], _ = time_looks(page, lambda: page.keyboard.press("PageUp"))
    return found


def time_change(page: Page, url: str) -> float:
    """Change a setting of a running painting; returns the seconds to its effect over those of a step."""
    change = "async (given) => (await import('./static/state.js')).change(given)"
    page.evaluate(change, {**TIMED, "size": 256, "start_size": 256, "steps": 100_000})
    page.click("#paint")
    version = "+(document.querySelector('.frame > img')?.dataset.version ?? 0)"
    wait_until(page, f"{version} > 3")
    job_id = page.get_attribute(".stage", "data-id")
    page.focus("#balance")
    begun, before = time.perf_counter(), ask(f"{url}api/jobs/{job_id}")
    page.keyboard.press("PageDown")
    while (job := ask(f"{url}api/jobs/{job_id}"))["settings"] == before["settings"]:
        time.sleep(0.04)  # the studio takes 25 requests a second
    wait_until(page, f"{version} > {job['progress']['version']}")
    effect = time.perf_counter() - begun
    ask(f"{url}api/jobs/{job_id}/stop", {})
    return float(effect * job["progress"]["step"] / job["progress"]["seconds"])


def measure_rest(process: psutil.Process) -> float:
    """Return the share of a core that the studio takes with nothing to do."""
    family = [process, *process.children(recursive=True)]

    def measure_used() -> float:
        return sum(sum(one.cpu_times()[:2]) for one in family)

    before = measure_used()
    time.sleep(REST_SECONDS)
    return (measure_used() - before) / REST_SECONDS


def measure(rounds: int) -> dict[str, float]:
    """Measure everything, the kinds in turn."""
    found: dict[str, list[float]] = {}
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with open_studio() as (url, process), sync_playwright() as player:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = player.chromium.launch(executable_path=chromium, args=arguments)
        for number in range(rounds):
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            figures = time_page(page, url, PAINTINGS[number % len(PAINTINGS)])
            figures["rest"] = measure_rest(process)
            figures["change"] = time_change(page, url)
            figures["watched"] = time_steps(url, submit(url))
            page.close()
            figures["alone"] = time_steps(url, submit(url))
            figures["library"] = time_library()
            print({name: round(value, 4) for name, value in figures.items()}, file=sys.stderr, flush=True)
            for name, value in figures.items():
                found.setdefault(name, []).append(value)
        browser.close()
    middle = {name: statistics.median(values) for name, values in found.items()}
    return {
        "load_seconds": middle["load"],
        "first_look_seconds": middle["first_look"],
        "dial_seconds": middle["dial"],
        "whole_look_seconds": middle["whole_look"],
        "rest_cpu": middle["rest"],
        "change_in_steps": middle["change"],
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
