"""A folder for batches in tests, and the processes of a batch."""

import csv
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import SPELT_OUT, make_picture
from PIL import Image

import impasto
from impasto.images.write import write_image
from impasto.settings.model import Settings

LONG_STEPS = 200  # enough to interrupt a picture


@dataclass
class BatchFolder:
    """A folder with photos, paintings and a network, and the options that paint cheaply."""

    folder: Path
    network: Path

    def write_picture(self, name: str, seed: int = 1) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return write_image(make_picture(48, 40, seed), path)

    @property
    def values(self) -> dict[str, Any]:
        return {**SPELT_OUT, "network": str(self.network)}

    def settings(self, **chosen: Any) -> Settings:
        return Settings(**{**self.values, **chosen})

    def options(self, **chosen: Any) -> list[str]:
        words, values = [], {**self.values, **chosen}
        unused = {"pooling_gain"} | ({"learning_rate"} if values["optimizer"] == "lbfgs" else set())
        for name, value in values.items():
            if name in unused:
                continue
            flag = name.replace("_", "-")
            if isinstance(value, bool):
                words.append(f"--{'' if value else 'no-'}{flag}")
            elif value != ():
                pairs = [f"{key}:{weight}" for key, weight in value.items()] if isinstance(value, dict) else value
                text = ",".join(map(str, pairs)) if isinstance(pairs, list | tuple) else pairs
                words += [f"--{flag}", str(text)]
        return words

    def paint_alone(self, count: int) -> None:
        """Write so many photos and a painting, and paint each photo on its own, in this process."""
        self.write_picture("style.jpg", 9)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        (self.folder / "out").mkdir()
        for number in range(count):
            photo = self.write_picture(f"photos/{number}.png", number + 1)
            output = self.folder / "out" / f"{number}_style.png"
            impasto.paint(photo, self.folder / "style.jpg", output=output, settings=self.settings(steps=LONG_STEPS))
        torch.set_num_threads(threads)

    def picture_names(self, folder: str = "out") -> set[str]:
        return {
            path.relative_to(self.folder / folder).as_posix()
            for path in (self.folder / folder).rglob("*")
            if path.is_file() and not re.search(r"/\.impasto|/report", path.as_posix())
        }

    def rows(self, folder: str = "out") -> dict[str, dict[str, str]]:
        with (self.folder / folder / "report.csv").open(newline="", encoding="utf-8") as file:
            return {row["output"]: row for row in csv.DictReader(file)}


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc")


def read_pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def assert_same_pictures(batch: BatchFolder, undisturbed: BatchFolder) -> None:
    names = undisturbed.picture_names()
    assert batch.picture_names() == names
    for name in names:
        assert np.array_equal(
            read_pixels(batch.folder / "out" / name), read_pixels(undisturbed.folder / "out" / name)
        ), name


def batch_words(batch: BatchFolder) -> list[str]:
    return ["batch", "photos", "--style", "style.jpg", "-o", "out", *batch.options(steps=LONG_STEPS)]


def start_batch(batch: BatchFolder, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "impasto", *batch_words(batch), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=batch.folder,
    )


def wait_for_success(driver: subprocess.Popen[str]) -> str:
    """Wait for the end, and return stdout."""
    output, errors = driver.communicate(timeout=300)
    assert driver.returncode == 0, errors
    return output


def wait_for(condition: Callable[[], Any], seconds: float = 120) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError("it did not happen")


def find_workers(process: int) -> list[int]:
    """The worker processes of a driver."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == process and b"spawn_main" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def is_running(process: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
