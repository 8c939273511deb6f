"""All checks of a graphics card in less than ten minutes: is it right, how fast is it, how much memory does it take?

    python benchmarks/gpu.py [--device cuda] [--json FILE]
    python benchmarks/gpu.py --device cpu --quick     # tries the script itself, small, where there is no card

numbers   VGG-19 and slim on the device, in float32 and in the precision `auto`, against the CPU in float64: features,
          losses and the gradient of an objective
tiles     the loss and the gradient in tiles against those of the whole canvas, in float64
picture   a small picture of ten steps in float32, against the same one by the CPU
steps     a step of the textbook loop and of impasto, of the same objective, at 512, 1024 and 2048 px, with peak memory
pictures  the default picture, `draft` and `fine` at 512 px, the default at 1024 px, judged as by judge.py
film      the first frame and the later ones at 512 px

Relative errors are of norms. Each line is printed when it is known; `--json` has them all. A part that fails is shown
with its traceback, and the others go on; a part that would begin after nine minutes is left out. The exit code is 1 if
anything failed or is beyond its limit, and 2 if there is no such device.
"""

import argparse
import json
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

import impasto
import pieces
from impasto.errors import UsageError
from impasto.images.read import read_image
from impasto.images.sizes import resize_clamped
from impasto.images.write import write_image
from impasto.painting.device import choose_device, choose_dtype
from impasto.painting.model_cache import ModelCache
from impasto.painting.objective import Objective, list_taps
from impasto.painting.style_regions import StyleRegion
from impasto.painting.styles import StyleInput, capture_style
from impasto.painting.tiled_objective import TiledObjective, cut_tiles_for
from impasto.settings.model import Settings
from machine import describe
from pieces import PAINTING, PHOTO, Scene

LAST_START_SECONDS = 540.0
NETWORKS = ("vgg19", "slim")
SMALL = (160, 128)  # pixels, of the canvas that numbers and tiles are checked on
TILE_SIZE = 64
# Relative errors allowed; convolutions in float32 may be TF32 on a card, which has 10 bits like float16.
LIMITS = {torch.float32: 2e-2, torch.bfloat16: 0.2, torch.float64: 1e-10}
GRADIENT_LIMITS = {**LIMITS, torch.float32: 5e-2}  # an input near 0 opens or closes a ReLU
MAX_PIXEL_DIFFERENCE = 2 / 255  # in the mean
FRAMES = 4


class Row(NamedTuple):
    """One line of the report; `limit` is the most that `value` may be."""

    name: str
    value: float
    unit: str = ""
    limit: float | None = None

    @property
    def is_within(self) -> bool:
        """Is the value at most its limit? One that is no number never is."""
        return self.limit is None or self.value <= self.limit

    def __str__(self) -> str:
        verdict = "" if self.limit is None else f"at most {self.limit:.3g}: {'ok' if self.is_within else 'FAILED'}"
        return f"{self.name:<44}{self.value:>10.4g} {self.unit:<8}{verdict}"


def check_numbers(scene: Scene) -> Iterator[Row]:
    """Compare features, losses and gradients with the CPU's in float64."""
    device = torch.device(scene.device)
    for network in NETWORKS:
        expected = look(network, torch.device("cpu"), torch.float64)
        for dtype in dict.fromkeys((torch.float32, choose_dtype("auto", device))):
            found = look(network, device, dtype)
            for name, value in expected.items():
                error = measure_error(found[name], value)
                limits = GRADIENT_LIMITS if name == "gradient" else LIMITS
                yield Row(f"{network}, {str(dtype).removeprefix('torch.')}: {name}", error, limit=limits[dtype])


def look(network: str, device: torch.device, dtype: torch.dtype) -> dict[str, Tensor]:
    """Return the features of a picture, and the loss and its gradient there."""
    objective, canvas = build_objective(network, device, dtype)
    taps = list_taps(objective.settings)
    features = {tap: f.detach() for tap, f in objective.network(canvas.detach(), taps).items()}
    loss = objective.backward(canvas)["total"]
    assert canvas.grad is not None
    return {**features, "loss": torch.tensor([loss]), "gradient": canvas.grad}


def build_objective(
    network: str, device: torch.device, dtype: torch.dtype, tile_size: int = 0
) -> tuple[Objective, Tensor]:
    """Make the objective of a small canvas, and that canvas, which wants a gradient."""
    settings = Settings(network=network, views=(1.0,), style_loss={"gram": 1.0})  # whose gradient is well conditioned
    number_type = torch.float64 if dtype == torch.float64 else torch.float32
    photo, painting, canvas = (draw(seed).to(device, number_type) for seed in range(3))
    loaded = ModelCache().load_network(network, settings, "relu5_1", device, dtype, None)
    style = capture_style(loaded, StyleInput(painting), list_taps(settings))
    regions = [StyleRegion(style)]
    canvas = canvas.contiguous(memory_format=torch.channels_last).requires_grad_()
    if not tile_size:
        return Objective(loaded, settings, StyleInput(photo), regions), canvas
    tiles = cut_tiles_for(loaded, settings, *SMALL, tile_size)
    return TiledObjective(loaded, settings, StyleInput(photo), regions, tiles), canvas


def draw(seed: int) -> Tensor:
    """Draw soft patches of color with some grain, (1, 3, H, W)."""
    chance = torch.Generator().manual_seed(seed)
    width, height = SMALL
    patches = resize_clamped(torch.rand(1, 3, 6, 6, generator=chance), width, height)
    return 0.8 * patches + 0.2 * torch.rand(1, 3, height, width, generator=chance)


def measure_error(found: Tensor, expected: Tensor) -> float:
    """Return the norm of the difference over that of what is expected."""
    expected = expected.cpu().double()
    return float((found.cpu().double() - expected).norm() / expected.norm())


def check_tiles(scene: Scene) -> Iterator[Row]:
    """Compare loss and gradient in tiles with those of the whole canvas."""
    seen = []
    for tile_size in (0, TILE_SIZE):
        objective, canvas = build_objective("slim", torch.device(scene.device), torch.float64, tile_size)
        loss = objective.backward(canvas)["total"]
        assert canvas.grad is not None
        seen.append((torch.tensor([loss]), canvas.grad))
    for name, whole, tiled in zip(("loss", "gradient"), *seen, strict=True):
        yield Row(f"tiles, float64: {name}", measure_error(tiled, whole), limit=LIMITS[torch.float64])


def check_picture(scene: Scene) -> Iterator[Row]:
    """Compare a small picture with the CPU's; Adam, as L-BFGS makes much of little differences."""
    chosen: dict[str, Any] = {"network": "slim", "size": 128, "steps": 10, "optimizer": "adam", "precision": "float32"}
    painted = (
        np.asarray(impasto.paint(scene.photo, scene.painting, device=device, **chosen), dtype=np.float64) / 255
        for device in ("cpu", scene.device)
    )
    difference = np.abs(np.subtract(*painted)).mean()
    yield Row("picture, float32: mean difference", float(difference), limit=MAX_PIXEL_DIFFERENCE)


def time_steps(scene: Scene, quick: bool) -> Iterator[Row]:
    """Time steps of both sides, and tell the peaks of memory."""
    steps = {"steps": 4, "warm_up": 1} if quick else {"steps": 30, "warm_up": 15}
    for part in (1, 2) if quick else (1, 2, 4):
        each = replace(scene, size=part * scene.size)
        for name, measure in (
            ("textbook", partial(pieces.reference_steps, each, **steps)),
            ("impasto", partial(pieces.impasto_steps, each, **steps, precision="auto")),
        ):
            found = measure()
            yield Row(f"step at {each.size} px, {name}", 1000 * found["seconds"], "ms")
            yield Row(f"step at {each.size} px, {name}: peak memory", found["peak_bytes"] / 1e9, "GB")


def time_pictures(scene: Scene, quick: bool) -> Iterator[Row]:
    """Time pictures with the defaults and the presets, judge them, and tell the peaks of memory."""
    fewer: dict[str, Any] = {"steps": 3, "later_steps": 3} if quick else {}
    pieces.picture(scene, steps=1, later_steps=1)  # what is done once for a device is done
    for preset, part in (("draft", 1), ("default", 1), ("fine", 1), ("default", 2)):
        each = replace(scene, size=part * scene.size)
        found = pieces.picture(each, preset=preset, **fewer)
        name = f"{preset} picture at {each.size} px"
        yield Row(name, found["seconds"], "s")
        yield Row(f"{name}: peak memory", found["peak_bytes"] / 1e9, "GB")
        for figure in ("style_all", "content"):
            yield Row(f"{name}: {figure}", found[figure])


def time_film(scene: Scene, quick: bool) -> Iterator[Row]:
    """Time the frames of a film whose picture moves to the left."""
    fewer: dict[str, Any] = {"steps": 3, "later_steps": 3} if quick else {}
    spent: dict[int, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        frames, painted = Path(folder) / "frames", Path(folder) / "painted"
        frames.mkdir()
        painted.mkdir()
        photo = read_image(scene.photo).rgb
        for number in range(FRAMES):
            write_image(photo[..., 2 * number : photo.shape[3] - 2 * (FRAMES - number)], frames / f"{number:03}.png")
        output = f"{painted}/%03d.png"
        begun = time.perf_counter()
        for step in impasto.film(frames, scene.painting, output=output, size=scene.size, device=scene.device, **fewer):
            now = time.perf_counter()
            spent[step.frame] = spent.get(step.frame, 0.0) + now - begun
            begun = now
    yield Row(f"film at {scene.size} px: first frame", spent.pop(1), "s")
    yield Row(f"film at {scene.size} px: later frames, each", mean(spent.values()), "s")


def run_parts(parts: dict[str, Callable[[], Iterator[Row]]]) -> tuple[list[Row], list[str]]:
    """Run all parts and print their rows; returns the rows, and the names of parts that failed or were left out."""
    rows, failed, begun = [], [], time.perf_counter()
    for name, part in parts.items():
        spent = time.perf_counter() - begun
        print(f"--- {name}, after {spent:.0f} s", flush=True)
        if spent > LAST_START_SECONDS:
            print("left out: there is no time left")
            failed.append(name)
            continue
        try:
            for row in part():
                print(row, flush=True)
                rows.append(row)
        except Exception:  # the other parts are still wanted: a card is seldom at hand
            traceback.print_exc(file=sys.stdout)
            failed.append(name)
    return rows, failed


def list_parts(scene: Scene, quick: bool) -> dict[str, Callable[[], Iterator[Row]]]:
    """List the parts, by name, in their order."""
    return {
        "numbers": lambda: check_numbers(scene),
        "tiles": lambda: check_tiles(scene),
        "picture": lambda: check_picture(scene),
        "steps": lambda: time_steps(scene, quick),
        "pictures": lambda: time_pictures(scene, quick),
        "film": lambda: time_film(scene, quick),
    }


def main() -> int:
    """Check, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1; cpu tries the script")
    parser.add_argument("--photo", type=Path, default=PHOTO)
    parser.add_argument("--painting", type=Path, default=PAINTING)
    parser.add_argument("--quick", action="store_true", help="at 96 px with few steps")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    given = parser.parse_args()
    try:
        choose_device(given.device)
    except UsageError as error:
        print(f"{error} Nothing was checked; `--device cpu --quick` tries this script without a card.")
        return 2
    machine = describe(given.device)
    print(*(f"{name:<14}{value}" for name, value in machine.items()), sep="\n", flush=True)
    scene = Scene("vgg19", str(given.photo), str(given.painting), 96 if given.quick else 512, given.device)
    rows, failed = run_parts(list_parts(scene, given.quick))
    beyond = [row.name for row in rows if not row.is_within]
    print(f"--- {len(rows)} figures; beyond their limits: {beyond or 'none'}; parts that failed: {failed or 'none'}")
    if given.json:
        found = {"machine": machine, "rows": [row._asdict() for row in rows], "failed": failed}
        given.json.write_text(json.dumps(found, indent=1) + "\n")
    return 1 if beyond or failed else 0


if __name__ == "__main__":
    sys.exit(main())
