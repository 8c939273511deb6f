"""Measure a distilled network against its teacher on pictures that it was not trained on: the model card's figures.

    python training/evaluate.py --photos DIR --paintings DIR --teacher FILE [FILE ...] [--run DIR]

Prints, for the held-out photographs and the held-out paintings, the mean over pictures of two relative errors at each
tap, between the student's answer S through its head and the teacher's T: squared, |S - T|^2 / |T|^2, and Gram,
|G(S) - G(T)| / |G(T)|. Pictures are whole, at their own size; both networks pad by reflection.
"""

import argparse
from pathlib import Path

import torch
from safetensors.torch import load_file

import impasto.network
from data import HELD_OUT_EVERY, list_pictures, read_picture
from student import Student, compare
from teacher import TAPS, Teacher

SHIPPED = Path(impasto.network.__file__).with_name("slim.safetensors")


def main() -> None:
    """Read the arguments, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--paintings", type=Path, required=True)
    parser.add_argument("--teacher", type=Path, nargs="+", required=True, help="see training/teacher.py")
    parser.add_argument(
        "--run", type=Path, help="a run's folder; without it, the network that impasto ships is measured"
    )
    parser.add_argument("--list", action="store_true", help="name the pictures that are held out, and stop")
    arguments = parser.parse_args()
    held_out = {
        kind: list_pictures(folder, HELD_OUT_EVERY[kind])[1]
        for kind, folder in {"photos": arguments.photos, "paintings": arguments.paintings}.items()
    }
    if arguments.list:
        for files in held_out.values():
            print(*(file.name for file in files), sep="\n")
        return
    slim = arguments.run / "slim.safetensors" if arguments.run else SHIPPED
    heads = arguments.run / "heads.safetensors" if arguments.run else Path(__file__).with_name("heads.safetensors")
    teacher, student = Teacher(arguments.teacher), load_student(slim, heads)
    print(f"{'':10} {'pictures':>8} {'error':>8} " + " ".join(f"{tap:>8}" for tap in TAPS))
    for kind, files in held_out.items():
        errors = torch.stack([measure_errors(teacher, student, file) for file in files]).mean(0)
        for name, row in zip(("squared", "Gram"), errors, strict=True):
            print(f"{kind:10} {len(files):8} {name:>8} " + " ".join(f"{value:8.3f}" for value in row))


def load_student(slim: Path, head_file: Path) -> Student:
    """Load the network and the heads that distill.py wrote."""
    weights, heads = load_file(slim), load_file(head_file)
    student = Student([weights[f"conv{block}_1.weight"].shape[0] for block in range(1, 6)])
    eye = {f"eye.convs.{name}": tensor for name, tensor in weights.items() if "_mix" not in name}
    student.load_state_dict(eye | {f"heads.{name}": tensor for name, tensor in heads.items()})
    student.eye.padding = "reflect"
    return student


@torch.no_grad()
def measure_errors(teacher: Teacher, student: Student, file: Path) -> torch.Tensor:
    """Return both errors of one picture at each tap: (2, taps)."""
    rgb = read_picture(file)[None].float() / 255
    wanted, seen = teacher(rgb), student.eye(rgb, TAPS)
    flat = {tap: seen[tap].permute(0, 2, 3, 1).flatten(1, 2) for tap in TAPS}
    errors = [compare(student.answer(tap, flat[tap]), wanted[tap].permute(0, 2, 3, 1).flatten(1, 2)) for tap in TAPS]
    return torch.stack([torch.cat(pair) for pair in errors], dim=1)


if __name__ == "__main__":
    main()
