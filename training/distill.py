"""Distil VGG-19 into a narrow network of the same plan: how `slim.safetensors` was made.

    python training/distill.py --photos DIR --paintings DIR --teacher FILE [FILE ...] --run DIR

The student learns, through a 1x1 head and a ReLU at each tap, the teacher's features of photographs, of paintings, and
of *canvases*: pictures being painted with the student itself, from noise, from the photo, from the painting. An
optimiser finds a small network's blind spots and fills a canvas with noise that VGG-19 would have punished; trained on
its own canvases the student learns to see that noise as the teacher does.

The run can be stopped at any moment, and the same command goes on from its last checkpoint. RUN/slim.safetensors is the
result; RUN/log.txt tells how it went. training/README.md is the model card of the network that came out.
"""

import argparse
import math
import time
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from canvases import CanvasPool
from data import HELD_OUT_EVERY, CropSampler, list_pictures, read_picture
from export import fit_mixes, normalise_channels
from student import Student, compare, sample_positions
from teacher import TAPS, Teacher

PHOTOS, PAINTINGS, CANVASES = 6, 4, 6  # in each batch
CROP = 128
POSITIONS = {
    "relu1_1": 1024,
    "relu2_1": 768,
    "relu3_1": 512,
}  # where the first taps are compared; deeper ones everywhere
GRAM_WEIGHT = 0.1


def main() -> None:
    """Read the arguments, train, export."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--paintings", type=Path, required=True)
    parser.add_argument("--teacher", type=Path, nargs="+", required=True, help="see training/teacher.py")
    parser.add_argument("--run", type=Path, required=True, help="folder for checkpoint, log and result")
    parser.add_argument("--widths", type=lambda text: tuple(map(int, text.split(","))), default=(24, 48, 96, 160, 160))
    parser.add_argument("--steps", type=int, default=20000)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--every", type=int, default=500, help="steps between checkpoints")
    arguments = parser.parse_args()
    arguments.run.mkdir(parents=True, exist_ok=True)
    train(arguments)


def train(arguments: argparse.Namespace) -> None:
    """Go on from the run's checkpoint to its last step, then write the network."""
    torch.manual_seed(0)
    photos, _ = list_pictures(arguments.photos, HELD_OUT_EVERY["photos"])
    paintings, _ = list_pictures(arguments.paintings, HELD_OUT_EVERY["paintings"])
    # Padding by reflection copies every map once more; at a crop's border VGG-19's own zeros do as well.
    teacher = Teacher(arguments.teacher, torch.bfloat16, padding="zero")
    student = Student(arguments.widths)
    student.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs
    optimiser = torch.optim.AdamW(student.parameters(), lr=arguments.rate, weight_decay=1e-4, fused=True)
    first = resume(arguments.run / "checkpoint.pt", student, optimiser)
    photo_crops, painting_crops = CropSampler(photos, seed=first), CropSampler(paintings, seed=first + 1)
    pool = CanvasPool(48, CROP, photo_crops, painting_crops, seed=first + 2)
    log = (arguments.run / "log.txt").open("a")
    running: Tensor | None = None
    begun = time.perf_counter()
    for step in range(first, arguments.steps):
        for group in optimiser.param_groups:
            group["lr"] = rate_at(step, arguments.steps, arguments.rate)
        row = train_step(student, teacher, optimiser, photo_crops, painting_crops, pool)
        running = row if running is None else running.lerp(row, 0.02)
        if (step + 1) % 50 == 0:
            pace = (time.perf_counter() - begun) / (step + 1 - first)
            print(
                f"{step + 1} {pace:.3f} s/step", *(f"{value:.3f}" for value in running.flatten()), file=log, flush=True
            )
        if (step + 1) % arguments.every == 0 or step + 1 == arguments.steps:
            save(arguments.run, step + 1, student, optimiser)
    export(arguments.run, arguments.teacher, photos, paintings)


def rate_at(step: int, steps: int, rate: float) -> float:
    """Warm up over 200 steps, then fall to a hundredth along a cosine."""
    warm = min(1.0, (step + 1) / 200)
    return rate * warm * (0.01 + 0.99 * (1 + math.cos(math.pi * step / steps)) / 2)


def train_step(
    student: Student,
    teacher: Teacher,
    optimiser: torch.optim.Optimizer,
    photo_crops: CropSampler,
    painting_crops: CropSampler,
    pool: CanvasPool,
) -> Tensor:
    """One step for the student and one for each canvas of the batch; returns the errors (kind, 2, tap).

    Kinds are real pictures and canvases; the two errors are the squared and the Gram one.
    """
    with torch.autocast("cpu", torch.bfloat16):
        drawn = pool.draw(CANVASES, student)
        batch = torch.cat(
            [
                *(canvas.pixels for canvas in drawn),
                photo_crops.batch(PHOTOS, CROP),
                painting_crops.batch(PAINTINGS, CROP),
            ]
        ).contiguous(memory_format=torch.channels_last)
        painted = batch[:CANVASES].clone(memory_format=torch.channels_last).requires_grad_()
        wanted = teacher(batch)
        # Two graphs, so that the canvases' own step goes back through the canvases alone.
        on_canvases, on_pictures = student.eye(painted, TAPS), student.eye(batch[CANVASES:], TAPS)
        loss, rows = torch.zeros(()), []
        for tap in TAPS:
            cells = wanted[tap].shape[2] * wanted[tap].shape[3]
            positions = torch.randperm(cells)[: POSITIONS.get(tap, cells)]
            features = torch.cat([sample_positions(seen[tap], positions) for seen in (on_canvases, on_pictures)])
            squared, gram = compare(student.answer(tap, features), sample_positions(wanted[tap], positions))
            loss = loss + squared.mean() + GRAM_WEIGHT * gram.mean()
            rows.append(torch.stack([squared, gram]).detach())
    pool.advance(drawn, painted, on_canvases)
    optimiser.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
    optimiser.step()
    errors = torch.stack(rows, dim=-1)  # (2, B, taps)
    return torch.stack([errors[:, CANVASES:].mean(1), errors[:, :CANVASES].mean(1)])


def resume(checkpoint: Path, student: Student, optimiser: torch.optim.Optimizer) -> int:
    """Load the last checkpoint, if there is one; returns the step to go on with. The pool of canvases begins anew."""
    if not checkpoint.exists():
        return 0
    state = torch.load(checkpoint, weights_only=True)
    student.load_state_dict(state["student"])
    optimiser.load_state_dict(state["optimiser"])
    return int(state["step"])


def save(run: Path, step: int, student: Student, optimiser: torch.optim.Optimizer) -> None:
    """Write the checkpoint, whole or not at all."""
    state = {"step": step, "student": student.state_dict(), "optimiser": optimiser.state_dict()}
    torch.save(state, run / "checkpoint.partial")
    (run / "checkpoint.partial").replace(run / "checkpoint.pt")


def export(run: Path, teachers: list[Path], photos: list[Path], paintings: list[Path]) -> None:
    """Write RUN/slim.safetensors, the network, and RUN/heads.safetensors, for evaluate.py, from the checkpoint."""
    state = torch.load(run / "checkpoint.pt", weights_only=True)
    student = Student(
        [
            tensor.shape[0]
            for name, tensor in state["student"].items()
            if "convs." in name and name.endswith("_1.weight")
        ]
    )
    student.load_state_dict(state["student"])
    chosen = [*photos[:: len(photos) // 24 or 1], *paintings[:: len(paintings) // 12 or 1]]
    pictures = [read_picture(file)[None].float() / 255 for file in chosen]
    normalise_channels(student, pictures)
    weights = {name.removeprefix("convs."): tensor for name, tensor in student.eye.state_dict().items()}
    weights |= fit_mixes(student, Teacher(teachers), pictures)
    heads = {f"{tap}.{part}": getattr(student.heads[tap], part).data for tap in TAPS for part in ("weight", "bias")}
    for name, tensors in {"slim": weights, "heads": heads}.items():
        kept = {key: tensor.contiguous() for key, tensor in tensors.items()}
        save_file(kept, run / f"{name}.safetensors", metadata={"layout": "impasto", "step": str(state["step"])})


if __name__ == "__main__":
    main()
