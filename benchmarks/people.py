"""What `guard` keeps of faces, and what it costs: photos in the style of paintings, without it and with it.

    python benchmarks/people.py --photos portrait.jpg other.jpg --paintings starry_night the_scream --folder people

For each pair it paints two pictures and prints a row of figures, without the guard and with it; where a photo has no
faces both are the same, and one is painted. The means are over the photos with faces.

face        the share of the photo's faces that the detector finds in the picture again, "-" where it has none
edges       the correlation of the picture's gradients with the photo's, at its faces, or everywhere if it has none
style_all   and content, as judge.py has them

The folder gets all pictures and PHOTO.jpg, a sheet of the photo, the pictures without the guard, and those with it.
Pictures that are there are not painted again. Options after `--` go to impasto, such as -- --size 320.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from impasto.cli.app import main as impasto_command
from impasto.images.collection import find_painting
from impasto.images.guard import find_faces
from impasto.images.read import read_image
from impasto.images.sizes import resize_clamped
from judge import judge

GUARDS = (0.0, 0.5)  # without, and the default
MIN_SHARED = 0.3  # of a face's place, that a found one must cover to be the same


def measure(photo: Path, picture: Path, painting: Path) -> dict[str, Any]:
    """Return the figures of one picture."""
    original, painted = read_image(photo), read_image(picture)
    small = original.resized(painted.width, painted.height)
    faces, found = find_faces(original), find_faces(painted)
    kept = None
    if faces is not None:
        place = resize_clamped(faces, painted.width, painted.height) > 0
        seen = torch.zeros_like(place) if found is None else resize_clamped(found, painted.width, painted.height) > 0
        kept = float((place & seen).sum() / place.sum() > MIN_SHARED)
    weights = torch.ones_like(small.rgb[:, :1]) if faces is None else place.float()
    judged = judge(picture, photo, [painting], max(painted.width, painted.height))
    return {
        "face": kept,
        "edges": correlate(find_gradient(small.rgb), find_gradient(painted.rgb), weights),
        "style_all": judged["style_all"],
        "content": judged["content"],
    }


def find_gradient(rgb: Tensor) -> Tensor:
    """Return how much the brightness changes from pixel to pixel (1, 1, H, W)."""
    gray = rgb.mean(1, keepdim=True)
    down = torch.diff(gray, dim=2, append=gray[:, :, -1:])
    right = torch.diff(gray, dim=3, append=gray[..., -1:])
    return torch.hypot(down, right)


def correlate(one: Tensor, other: Tensor, weights: Tensor) -> float:
    """Return Pearson's correlation of two maps, their positions weighted."""
    share = weights / weights.sum()
    one, other = (x - (x * share).sum() for x in (one, other))
    return float((one * other * share).sum() / ((one**2 * share).sum() * (other**2 * share).sum()).sqrt())


def paint(photo: Path, painting: str, guard: float, folder: Path, options: Sequence[str]) -> Path:
    """Paint a picture if it is not there, and return where it is."""
    output = folder / f"{photo.stem}_{Path(painting).stem}_guard{guard:g}.png"
    if not output.exists():
        words = [str(photo), painting, "-o", str(output), "--guard", str(guard), *options]
        if code := impasto_command(["paint", *words]):
            raise SystemExit(code)
    return output


def write_sheet(photo: Path, rows: Sequence[Sequence[Path]], file: Path) -> None:
    """Write the photo, and below it a row of pictures for each guard."""
    pictures = [[Image.open(each).convert("RGB") for each in row] for row in rows]
    width, height = pictures[0][0].size
    sheet = Image.new("RGB", (width * len(rows[0]), height * (1 + len(rows))), "white")
    sheet.paste(Image.open(photo).convert("RGB").resize((width, height)), (0, 0))
    for down, row in enumerate(pictures, start=1):
        for right, picture in enumerate(row):
            sheet.paste(picture, (right * width, down * height))
    sheet.save(file, quality=90)


def format_figures(found: Sequence[dict[str, Any]]) -> str:
    """Lay out figures without and with the guard, one pair for each name."""
    cells = []
    for name in found[0]:
        values = ["-" if each[name] is None else f"{each[name]:.3f}" for each in found]
        cells.append(f"{name} {' '.join(values)}")
    return "   ".join(cells)


def average(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the mean of each figure over the pictures that have it."""
    known = {name: [each[name] for each in found if each[name] is not None] for name in found[0]}
    return {name: mean(values) if values else None for name, values in known.items()}


def main() -> None:
    """Paint, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, nargs="+", required=True)
    parser.add_argument("--paintings", nargs="+", required=True, help="files, or names of the collection")
    parser.add_argument("--folder", type=Path, default=Path("people"))
    parser.add_argument("options", nargs="*", help="for impasto, after --")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    every: list[list[dict[str, Any]]] = []
    for photo in given.photos:
        guards = GUARDS if find_faces(read_image(photo)) is not None else GUARDS[:1]  # without faces, both are the same
        rows = [
            [paint(photo, each, guard, given.folder, given.options) for each in given.paintings] for guard in guards
        ]
        for number, painting in enumerate(given.paintings):
            file = find_painting(painting) or Path(painting)
            found = [measure(photo, row[number], file) for row in rows]
            if len(found) == len(GUARDS):
                every.append(found)
            print(f"{photo.stem:<24} {Path(painting).stem:<20} {format_figures(found)}", flush=True)
        write_sheet(photo, rows, given.folder / f"{photo.stem}.jpg")
    if every:
        means = [average([pair[number] for pair in every]) for number in range(len(GUARDS))]
        print(f"{'mean':<45} {format_figures(means)}")


if __name__ == "__main__":
    main()
