"""From a student to the network that is shipped: channels normalised, and a mix at each tap.

A *mix* is an affine map of a tap's channels f to R [f; 1], where R = (A^T A)^1/2 and A [f; 1] is the best linear guess
of the teacher's channels. Distances between mixed features, and between their Gram matrices, are then those that the
guess would have at the teacher's full width: the painter measures style as VGG-19 does, at a fraction of the price, and
a channel that VGG-19 hardly cares for weighs little, however loud it is.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from student import Student
from teacher import TAPS, Teacher

LOUDEST = 6.0  # root mean square that a channel may have at mean activation 1; a rarer one is scaled to this instead


@torch.no_grad()
def normalise_channels(student: Student, pictures: Iterable[Tensor]) -> None:
    """Scale each channel so that its mean activation over `pictures` (1, 3, H, W) is 1; no head answers differently.

    ReLU commutes with positive scaling, so dividing a channel by its mean and multiplying the next layer's inputs by it
    changes nothing else. A channel that fires so rarely that this would make it shout stays quieter (`LOUDEST`).
    """
    relus = [layer for layer in student.eye.layers if layer.startswith("relu")]
    sums: dict[str, Tensor] = {}
    count = 0
    for picture in pictures:
        count += 1
        for layer, f in student.eye(picture, relus).items():
            row = torch.stack([f.mean((0, 2, 3)), f.square().mean((0, 2, 3))])
            sums[layer] = sums.get(layer, torch.zeros_like(row)) + row
    inputs = torch.ones(3)
    for layer, conv in student.eye.convs.items():
        assert isinstance(conv, nn.Conv2d)
        assert conv.bias is not None
        tap = layer.replace("conv", "relu")
        mean, square = sums[tap] / count
        scale = torch.maximum(mean, square.sqrt() / LOUDEST)
        scale = torch.where(scale > 1e-6, scale, torch.ones_like(scale))  # a dead channel stays as it is
        conv.weight.mul_(inputs.view(1, -1, 1, 1) / scale.view(-1, 1, 1, 1))
        conv.bias.div_(scale)
        if tap in TAPS:
            head = student.heads[tap]
            assert isinstance(head, nn.Linear)
            head.weight.mul_(scale)
        inputs = scale


@torch.no_grad()
def fit_mixes(student: Student, teacher: Teacher, pictures: Iterable[Tensor]) -> dict[str, Tensor]:
    """Return each tap's mix by least squares over `pictures` (1, 3, H, W), each counting alike.

    The tensors are `reluX_1_mix.weight` (C + 1, C) and `reluX_1_mix.bias` (C + 1,).
    """
    inner: dict[str, Tensor] = {}
    outer: dict[str, Tensor] = {}
    for picture in pictures:
        wanted, seen = teacher(picture), student.eye(picture, TAPS)
        for tap in TAPS:
            f = seen[tap][0].flatten(1).double()
            f = torch.cat([f, torch.ones_like(f[:1])])  # (C + 1, hw)
            t = wanted[tap][0].flatten(1).double()
            energy = t.square().sum()
            inner[tap] = inner.get(tap, torch.zeros(())) + f @ f.T / energy
            outer[tap] = outer.get(tap, torch.zeros(())) + f @ t.T / energy
    mixes = {}
    for tap in TAPS:
        ridge = 1e-5 * inner[tap].diagonal().mean() * torch.eye(inner[tap].shape[0])
        guess = torch.linalg.solve(inner[tap] + ridge, outer[tap])  # (C + 1, teacher's C)
        eigenvalues, vectors = torch.linalg.eigh(guess @ guess.T)
        root = ((vectors * eigenvalues.clamp_min(0).sqrt()) @ vectors.T).float()
        mixes[f"{tap}_mix.weight"] = root[:, :-1].contiguous()
        mixes[f"{tap}_mix.bias"] = root[:, -1].contiguous()
    return mixes
