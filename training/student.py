"""The student: a narrow VGG plan with a 1x1 head to the teacher's width at each tap."""

from collections.abc import Sequence

from torch import Tensor, nn

from impasto.network.vgg import Network
from teacher import TAP_WIDTHS, TAPS


class Student(nn.Module):
    """A perceptual network and, for training alone, a head from each tap to VGG-19's channels."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.eye = Network(widths, cut=TAPS[-1], padding="replicate-first")
        for conv in self.eye.convs.values():
            assert isinstance(conv, nn.Conv2d)
            assert conv.bias is not None
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
            nn.init.zeros_(conv.bias)
        self.heads = nn.ModuleDict(
            {tap: nn.Linear(width, full) for tap, width, full in zip(TAPS, widths, TAP_WIDTHS, strict=True)}
        )

    def answer(self, tap: str, features: Tensor) -> Tensor:
        """Guess the teacher's channels at positions: (B, P, C) -> (B, P, full C)."""
        answer: Tensor = self.heads[tap](features).relu()
        return answer


def sample_positions(features: Tensor, positions: Tensor) -> Tensor:
    """Pick positions out of a feature map: (B, C, h, w), (P,) -> (B, P, C)."""
    return features.permute(0, 2, 3, 1).flatten(1, 2)[:, positions]


def compare(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Return relative squared error and relative Gram error of each picture: (B, P, C) x 2 -> (B,), (B,)."""
    student, teacher = student.float(), teacher.float()
    squared = (student - teacher).square().sum((1, 2)) / teacher.square().sum((1, 2)).clamp_min(1e-6)
    gram, target = (f.transpose(1, 2) @ f for f in (student, teacher))
    return squared, (gram - target).flatten(1).norm(dim=1) / target.flatten(1).norm(dim=1).clamp_min(1e-6)
