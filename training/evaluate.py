"""Measure a distilled network against its teacher on pictures that it was not trained on: the model card's figures.

    python training/evaluate.py --photos DIR --paintings DIR --teacher FILE --run DIR

Prints, for the held-out photographs and the held-out paintings, the mean over pictures of two relative errors at each
tap, between the affine guess S from the network's features and the teacher's T: squared, |S - T|^2 / |T|^2, and Gram,
|G(S) - G(T)| / |G(T)|. Pictures are the largest squares in the middle, at 256 px.
"""

import argparse
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from data import HELD_OUT_EVERY, Pictures, list_pictures
from export import Guess
from student import Trunk, compare_features, sample_positions
from teacher import TAPS, Teacher


def main() -> None:
    """Read the arguments, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--paintings", type=Path, required=True)
    parser.add_argument("--teacher", type=Path, required=True, help="see training/teacher.py")
    parser.add_argument("--run", type=Path, required=True, help="folder with slim.safetensors and guesses.safetensors")
    parser.add_argument("--list", action="store_true", help="name the pictures that are held out, and stop")
    arguments = parser.parse_args()
    folders = {"photos": arguments.photos, "paintings": arguments.paintings}
    held_out = {kind: list_pictures(folder, HELD_OUT_EVERY[kind])[1] for kind, folder in folders.items()}
    if arguments.list:
        for files in held_out.values():
            print(*(file.name for file in files), sep="\n")
        return
    device = torch.device("cpu")
    teacher = Teacher(arguments.teacher, device, torch.float32)
    trunk, guesses = load_run(arguments.run, teacher)
    for kind, files in held_out.items():
        print(format_errors(kind, len(files), measure_errors(trunk, teacher, guesses, Pictures([files], device))))


def load_run(run: Path, teacher: Teacher) -> tuple[Trunk, dict[str, Guess]]:
    """Load the network and the guesses that train_slim.py wrote; the teacher gets the scales that it had there."""
    kept = load_file(run / "guesses.safetensors")
    trunk = load_trunk(run / "slim.safetensors")
    teacher.scales = {tap: kept[f"{tap}.scale"] for tap in TAPS}
    return trunk, {tap: Guess(kept[f"{tap}.weight"].float(), torch.zeros(0)) for tap in TAPS}


def load_trunk(file: Path) -> Trunk:
    """Load a network's convolutions, as they are shipped."""
    weights = {name: tensor.float() for name, tensor in load_file(file).items() if "_mix." not in name}
    trunk = Trunk([weights[f"conv{block}_1.weight"].shape[0] for block in range(1, 6)])
    trunk.convs.load_state_dict(weights)
    return trunk.requires_grad_(False)


@torch.no_grad()
def measure_errors(
    trunk: Trunk, teacher: Teacher, guesses: dict[str, Guess], pictures: Pictures, size: int = 256
) -> Tensor:
    """Return the mean of both errors at each tap: (2, taps)."""
    errors = []
    for which in torch.split(torch.arange(sum(pictures.counts), device=pictures.device), 8):
        rgb = pictures.crop_middle(which, size)
        wanted, seen = teacher(rgb, TAPS), trunk(rgb, TAPS)
        row = []
        for tap in TAPS:
            f = sample_positions(seen[tap])
            if tap.startswith("conv"):
                bias = trunk.convs[tap].bias
                assert isinstance(bias, Tensor)
                f = f + bias
            weight = guesses[tap].weight.to(f)
            row.append(torch.stack(compare_features(f @ weight[:, :-1].T + weight[:, -1], teacher.scale(wanted, tap))))
        errors.append(torch.stack(row, -1))
    return torch.cat(errors, 1).mean(1)


def format_errors(kind: str, count: int, errors: Tensor) -> str:
    """Lay out a table's rows."""
    head = f"{kind:10} {count:8} " + " ".join(f"{tap:>8}" for tap in TAPS)
    rows = zip(("squared", "Gram"), errors.tolist(), strict=True)
    return "\n".join([head, *(f"{name:>19} " + " ".join(f"{value:8.3f}" for value in row) for name, row in rows)])


if __name__ == "__main__":
    main()
