"""The student: a narrow VGG-19 that learns, with an affine head from each tap to the teacher's channels."""

from collections.abc import Collection, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from impasto.network.vgg import IMAGENET, VGG19_DEPTHS, plan_layers
from kernels import rectify

CONVS = [layer for layer in plan_layers(VGG19_DEPTHS) if layer.startswith("conv")]
CONVS = CONVS[: CONVS.index("conv5_1") + 1]


class Frame:
    """Normalize pictures by ImageNet's mean and deviation, and frame them once around."""

    mean, std = IMAGENET.mean, IMAGENET.std

    def __init__(self) -> None:
        self._constants: dict[torch.device, list[Tensor]] = {}  # kept: a graph of a GPU copies nothing from the host

    def __call__(self, rgb: Tensor, dtype: torch.dtype, border: Literal["replicate", "reflect"]) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, 3, H + 2, W + 2), channels_last."""
        if rgb.device not in self._constants:
            self._constants[rgb.device] = [rgb.new_tensor(values).view(1, 3, 1, 1) for values in (self.mean, self.std)]
        mean, std = self._constants[rgb.device]
        x = ((rgb - mean) / std).to(dtype)  # before rounding: near the mean it is precise
        near = 0 if border == "replicate" else 1
        for dimension in (2, 3):
            size = x.shape[dimension]
            edges = [x.narrow(dimension, at, 1) for at in (near, size - 1 - near)]
            x = torch.cat([edges[0], x, edges[1]], dimension)
        return x.contiguous(memory_format=torch.channels_last)


frame = Frame()


class Trunk(nn.Module):
    """The plan of impasto's Network with weights that learn; its padding is impasto's default, `replicate-first`."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.widths = tuple(widths)
        self.convs = nn.ModuleDict()
        channels = 3
        for name in CONVS:
            conv = nn.Conv2d(channels, widths[int(name[4]) - 1], 3)
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
            assert conv.bias is not None
            nn.init.zeros_(conv.bias)
            self.convs[name] = conv
            channels = conv.out_channels

    def forward(self, rgb: Tensor, taps: Collection[str], dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
        """Return features at `taps` of pictures (B, 3, H, W) in [0, 1]; a conv tap's have no bias, which heads add."""
        found: dict[str, Tensor] = {}
        x = frame(rgb, dtype, "replicate")
        for index, name in enumerate(CONVS):
            conv = self.convs[name]
            assert isinstance(conv, nn.Conv2d)
            if index and name.endswith("_1"):
                x = F.max_pool2d(x, 2)
            x = F.conv2d(x, conv.weight, padding=1 if index else 0)
            if name in taps:
                found[name] = x
            x = rectify(x, conv.bias, 0)
            if (relu := name.replace("conv", "relu")) in taps:
                found[relu] = x
            if len(found) == len(taps):
                break
        return found


class Student(nn.Module):
    """A trunk and, for training alone, an affine head from each tap to VGG-19's channels.

    The heads are affine, without a rectifier, because that is all that is left of them in the end: the mixes, which
    are their metric. A head with a rectifier guesses better and teaches worse: it hides what no mix can see.
    """

    def __init__(self, widths: Sequence[int], taps: Sequence[str], full_widths: Sequence[int]) -> None:
        super().__init__()
        self.trunk = Trunk(widths)
        blocks = {tap: int(tap[4]) - 1 for tap in taps}
        self.heads = nn.ModuleDict({tap: nn.Linear(widths[at], full_widths[at]) for tap, at in blocks.items()})


def sample_positions(features: Tensor, every: int = 1, at: tuple[int, int] = (0, 0)) -> Tensor:
    """List a map's positions, or every so many rows and columns of it: (B, C, h, w) -> (B, P, C)."""
    return features[:, :, at[0] :: every, at[1] :: every].permute(0, 2, 3, 1).flatten(1, 2)


def compare_features(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Return relative squared error and relative Gram error of each picture: (B, P, C) x 2 -> (B,), (B,)."""
    student, teacher = student.float(), teacher.float()
    squared = (student - teacher).square().sum((1, 2)) / teacher.square().sum((1, 2)).clamp_min(1e-6)
    gram, target = ((f.transpose(1, 2) @ f).float() for f in (student, teacher))
    return squared, (gram - target).flatten(1).norm(dim=1) / target.flatten(1).norm(dim=1).clamp_min(1e-6)
