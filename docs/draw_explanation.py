"""Draws the pictures of docs/explanation/how-it-works.md: what each tap sees, what views and the guard change.

    python docs/draw_explanation.py [FIGURE ...]

Needs the extra demo, for a photo. --quick tries the script itself: small pictures by slim, in another --folder.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
import torch
from PIL import Image

import impasto
from impasto.images.guard import find_faces
from impasto.images.image import Image as Photo

PICTURES = Path(__file__).parent / "pictures"
PAINTING = "starry_night"
STYLE_TAPS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
CONTENT_TAPS = ("relu2_1", "relu3_1", "relu4_1", "relu5_1")
QUICK = {"network": "slim", "size": 64, "start_size": 48, "steps": 3, "later_steps": 3}
CONTENT_ALONE = {
    "size": 256,
    "views": (1,),
    "structure_weight": 0,
    "style_weight": 0,
    "init": "noise",
}
GAP, QUALITY = 8, 82  # pixels; of WebP

# A figure is a row of pictures: each with other settings, of a photo or, as a texture, of the painting alone.
FIGURES: dict[str, tuple[str | None, list[dict[str, Any]]]] = {
    "style-taps": (None, [{"size": 256, "style_taps": {tap: 1}} for tap in STYLE_TAPS]),
    "content-taps": (
        "coffee",
        [{**CONTENT_ALONE, "content_taps": {tap: 1}} for tap in CONTENT_TAPS],
    ),
    "views": ("coffee", [{"views": (1,)}, {"views": (1, 1, 1)}]),
    "guard": ("astronaut", [{"size": 320, "guard": 0}, {"size": 320}]),
}


def draw(figure: str, quick: Mapping[str, Any]) -> Image.Image:
    """Paint the pictures of a figure, and put them in a row."""
    photo, variations = FIGURES[figure]
    row = []
    for settings in variations:
        print(figure, settings, flush=True)
        chosen = {**settings, **quick}
        if photo:
            row.append(impasto.paint(Image.fromarray(getattr(skimage.data, photo)()), PAINTING, **chosen))
        else:
            row.append(impasto.texture(PAINTING, **chosen))
    return join(show_guard(photo, row[0].size) + row if photo and figure == "guard" else row)


def show_guard(name: str, size: tuple[int, int]) -> list[Image.Image]:
    """Return a photo, and what the guard keeps of it, in white."""
    photo = getattr(skimage.data, name)()
    faces = find_faces(Photo(torch.from_numpy(photo).permute(2, 0, 1)[None] / 255))
    assert faces is not None
    shown = Image.fromarray((255 * faces[0, 0].numpy()).astype(np.uint8))
    return [Image.fromarray(photo).resize(size), shown.resize(size)]


def join(row: list[Image.Image]) -> Image.Image:
    """Put pictures of one size side by side, on nothing."""
    width, height = row[0].size
    sheet = Image.new("RGBA", (len(row) * (width + GAP) - GAP, height))
    for place, picture in enumerate(row):
        sheet.paste(picture, (place * (width + GAP), 0))
    return sheet


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figures", nargs="*", choices=FIGURES, default=list(FIGURES), metavar="FIGURE")
    parser.add_argument("--folder", type=Path, default=PICTURES)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    for figure in given.figures:
        sheet = draw(figure, QUICK if given.quick else {})
        sheet.save(given.folder / f"how-{figure}.webp", quality=QUALITY, method=6)
