"""Paints the gallery of docs/gallery.md: six photos in the style of eight paintings at the defaults, and hard cases.

    python benchmarks/gallery.py --folder gallery

Needs the extra demo, for the photos, which are scikit-image's. Finished pictures in the folder are kept, so the command
goes on where it was ended. It writes thumbnails to docs/pictures/gallery, each with its recipe, and the page's tables.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median

import skimage.data
from PIL import Image

from impasto.batch.report import read_seconds
from impasto.cli.app import main as impasto_command
from impasto.images.collection import COLLECTION
from impasto.images.metadata import pack_xmp, read_embedded_text
from machine import describe

PAGE = Path(__file__).parent.parent / "docs" / "gallery.md"
PHOTOS = ("astronaut", "camera", "hubble_deep_field", "chelsea", "coffee", "rocket")  # CC0 or public domain
PAINTINGS = (
    "starry_night",
    "the_bedroom",
    "the_scream",
    "the_great_wave",
    "la_grande_jatte",
    "adele_bloch_bauer",
    "composition_vii",
    "the_shipwreck",
)
HARD = {
    ("page", "starry_night"): "letters, which are smaller than strokes: the small ones can hardly be read",
    ("astronaut", "composition_vii"): "a face, in the style of a painting without one: it stays a face, but patchy",
    ("clock", "la_grande_jatte"): "a photo that was shaken, in the style of dots: figures fill the gray",
    ("rocket", "the_gray_tree"): "few colors in the painting, and a wide empty sky: branches cover the sky",
}
THUMBNAIL_PIXELS, THUMBNAIL_QUALITY = 384, 80


def paint(folder: Path, options: Sequence[str]) -> None:
    """Paint what is missing: a batch whose one worker paints each picture as if alone. Exits where one failed."""
    pairs = dict.fromkeys([*((photo, painting) for painting in PAINTINGS for photo in PHOTOS), *HARD])
    jobs = [
        {
            "photo": str(write_photo(folder, photo).absolute()),
            "painting": str(COLLECTION[painting].path),
            "output": f"{photo}_{painting}.png",
        }
        for photo, painting in pairs
    ]
    listed = folder / "jobs.jsonl"
    listed.write_text("".join(f"{json.dumps(job)}\n" for job in jobs), encoding="utf-8")
    if code := impasto_command(["batch", "--jobs", str(listed), "-o", str(folder), "--workers", "1", *options]):
        sys.exit(code)


def write_photo(folder: Path, name: str) -> Path:
    """Write one of scikit-image's pictures to the folder, and return where it is."""
    path = folder / "photos" / f"{name}.png"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(getattr(skimage.data, name)()).save(path)
    return path


def write_thumbnail(path: Path, page: Path) -> str:
    """Write a small copy next to the page, with the recipe if there is one, and return the HTML that shows it."""
    small = page.parent / "pictures" / "gallery" / f"{path.stem}.webp"
    small.parent.mkdir(parents=True, exist_ok=True)
    recipe = read_embedded_text(path)
    with Image.open(path) as image:
        rgb = image.convert("RGB")
    rgb.thumbnail((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS))
    rgb.save(small, quality=THUMBNAIL_QUALITY, method=6, xmp=pack_xmp(recipe) if recipe else b"")
    name = path.stem.replace("_", " ")
    return f'<img src="pictures/gallery/{small.name}" alt="{name}" width="32%" loading="lazy">'


def show(folder: Path, page: Path, photo: str, painting: str) -> str:
    """Return the HTML of a painted picture."""
    return write_thumbnail(folder / f"{photo}_{painting}.png", page)


def write_gallery(folder: Path, page: Path) -> Iterable[str]:
    """Yield the page's parts: the photos, a row of pictures for each painting, the times, the machine."""
    yield "## The photos"
    yield "\n".join(write_thumbnail(write_photo(folder, photo), page) for photo in PHOTOS)
    for painting in PAINTINGS:
        yield f"## {COLLECTION[painting].title}"
        yield f"{write_thumbnail(COLLECTION[painting].path, page)}\n\n{COLLECTION[painting].credit}"
        yield "\n".join(show(folder, page, photo, painting) for photo in PHOTOS)
    yield "## Times"
    yield from write_times(read_seconds(folder))


def write_times(seconds: dict[str, float]) -> Iterable[str]:
    """Yield how long a picture took, and on what; the median, as a machine may have other work meanwhile."""
    names = [f"{photo}_{painting}.png" for painting in PAINTINGS for photo in PHOTOS]
    times = [seconds[name] for name in names if name in seconds]  # of the last run: finished pictures are kept
    yield f"Half of the pictures took at most {median(times):.0f} seconds, the fastest {min(times):.0f}."
    yield "\n".join(f"- {key}: {value}" for key, value in describe("cpu").items())


def write_hard_cases(folder: Path, page: Path) -> Iterable[str]:
    """Yield the hard cases: what is hard, the photo, the picture."""
    for (photo, painting), reason in HARD.items():
        yield f"**{COLLECTION[painting].title}**: {reason}"
        yield f"{write_thumbnail(write_photo(folder, photo), page)}\n{show(folder, page, photo, painting)}"


def fill(page: str, name: str, parts: Iterable[str]) -> str:
    """Replace what is between a page's marks `<!-- name -->` and `<!-- end -->`."""
    begin, end = f"<!-- {name} -->", "<!-- end -->"
    before, rest = page.split(begin)
    return "\n\n".join((f"{before}{begin}", *parts, f"{end}{rest.partition(end)[2]}"))


def main() -> None:
    """Paint what is missing, then write thumbnails and page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where the pictures are kept")
    parser.add_argument("--page", type=Path, default=PAGE, help="the page to fill; a copy elsewhere for a trial")
    parser.add_argument("--size", type=int, help="another size than the default, for a trial")
    parser.add_argument("--network", help="another network than the default, for a trial")
    given = parser.parse_args()
    paint(given.folder, [f"--{name}={value}" for name in ("size", "network") if (value := getattr(given, name))])
    text = given.page.read_text(encoding="utf-8")
    text = fill(text, "gallery", write_gallery(given.folder, given.page))
    text = fill(text, "hard cases", write_hard_cases(given.folder, given.page))
    given.page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
