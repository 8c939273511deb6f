"""Print digests of a dozen small pictures, to see that a change of the code changes no picture.

    python benchmarks/digests.py > before.txt      # then change the code
    python benchmarks/digests.py | diff before.txt -

Each line is a name and the first 16 hex digits of the SHA-256 of the picture's pixels. Digests differ from machine to
machine (instruction sets, number of threads), so compare only those of one machine. Needs scikit-image for the photo.
"""

import argparse
import hashlib
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from skimage import data

import impasto

PAINTINGS = [
    Path(__file__).parent.parent / "examples" / f"{name}.jpg"
    for name in ("flow_strokes", "pointillist_dots", "cut_paper")
]
QUICK: dict[str, Any] = {"size": 96, "steps": 6, "later_steps": 6}
FRAMES = 4
Pixels = NDArray[np.uint8]


def make_inputs(folder: Path) -> dict[str, Path]:
    """Write a photo, masks, label pictures and a folder of film frames; return them by name."""
    coffee = data.coffee()  # type: ignore[no-untyped-call]
    photo = Image.fromarray(coffee).resize((120, 80))
    with Image.open(PAINTINGS[0]) as painting:
        width, height = painting.size
    pictures = {
        "photo": photo,
        "mask": Image.fromarray(_make_ramp(120, 80)),
        "inverse": Image.fromarray(255 - _make_ramp(120, 80)),
        "labels": _make_halves(120, 80),
        "style_labels": _make_halves(width, height),
    }
    for name, picture in pictures.items():
        picture.save(folder / f"{name}.png")
    frames = folder / "frames"
    frames.mkdir()
    for number in range(FRAMES):
        photo.crop((number, 0, number + 112, 80)).save(frames / f"{number:03}.png")
    return {"frames": frames, **{name: folder / f"{name}.png" for name in pictures}}


def _make_ramp(width: int, height: int) -> Pixels:
    return np.linspace(0, 255, width).astype(np.uint8)[None].repeat(height, 0)


def _make_halves(width: int, height: int) -> Image.Image:
    left = _make_ramp(width, height) < 128
    return Image.fromarray(np.stack([left * 255, ~left * 255, left * 0], axis=-1).astype(np.uint8))


def list_pictures(inputs: dict[str, Path], folder: Path) -> dict[str, Callable[[], Pixels]]:
    """Return what paints each picture, by name."""
    photo, mask, inverse = (str(inputs[name]) for name in ("photo", "mask", "inverse"))
    labels, style_labels = str(inputs["labels"]), str(inputs["style_labels"])
    one, two = PAINTINGS[0], PAINTINGS[:2]

    def paint(paintings: Any = one, **settings: Any) -> Callable[[], Pixels]:
        return lambda: np.asarray(impasto.paint(photo, paintings, **{**QUICK, **settings}))

    return {
        "default": paint(),
        "two_scales": paint(size=320),
        "float32_adam": paint(optimizer="adam", precision="float32"),
        "gatys2015": paint(preset="gatys2015"),
        "neural-style": paint(preset="neural-style"),
        "anishathalye": paint(preset="anishathalye"),
        "blend": paint(two, style_blend=(1.0, 2.0), color="match"),
        "keep_colors": paint(color="keep", init="noise", seed=3),
        "masks": paint(two, mask=(mask, inverse)),
        "labels": paint(labels=labels, style_labels=(style_labels,)),
        "histogram": paint(style_loss={"histogram": 1.0, "gram": 1.0}),
        "tiled": paint(size=1400, steps=2, later_steps=2, memory="1500MiB"),
        "texture": lambda: np.asarray(impasto.texture(one, **{**QUICK, "size": "96x64"})),
        "film": lambda: _paint_film(inputs["frames"], folder / "painted"),
    }


def _paint_film(frames: Path, output: Path) -> Pixels:
    output.mkdir()
    for _ in impasto.film(frames, PAINTINGS[1], output=f"{output}/%03d.png", frame_steps=4, **QUICK):
        pass
    return np.stack([np.asarray(Image.open(path)) for path in sorted(output.glob("*.png"))])


def digest_pictures(names: list[str]) -> Iterator[tuple[str, str]]:
    """Paint the pictures named, or all, and yield each name with its digest.

    Each is painted by a process of its own: the size of tiles depends on the memory that a process holds already.
    """
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        inputs = make_inputs(folder)
        for name in names or list_pictures(inputs, folder):
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
                yield name, process.submit(digest_picture, name, inputs, folder).result()


def digest_picture(name: str, inputs: dict[str, Path], folder: Path) -> str:
    """Paint one picture with one thread; return its digest."""
    torch.set_num_threads(1)
    return hashlib.sha256(list_pictures(inputs, folder)[name]().tobytes()).hexdigest()[:16]


def main() -> None:
    """Print the digests."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="only these pictures")
    for name, digest in digest_pictures(parser.parse_args().names):
        print(f"{name:16} {digest}", flush=True)


if __name__ == "__main__":
    main()
