"""From a student to the network that is shipped: channels normalized, and a mix at each tap.

A *mix* is an affine map of a tap's channels f to R [f; 1]. A [f; 1] is the best affine guess of the teacher's channels,
by least squares over photographs, paintings and canvases; R = (A^T A)^1/2, so that distances between mixed features,
and between their Gram matrices, are those between guesses at the teacher's full width. Where `RANKS` says so, R are the
first principal directions of the guesses: what a step costs for a Wasserstein distance grows with the cube of them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kernels import mean_outer
from student import CONVS, Trunk, sample_positions
from teacher import MAX_RMS, TAPS, Teacher

RANKS = dict.fromkeys(("conv4_1", "conv4_2", "conv5_1", "relu4_1", "relu4_2", "relu5_1"), 160)
RIDGE = 1e-5  # of each channel's energy
POSITIONS_SIDE = 64  # of larger maps, so many rows and columns are fitted


@dataclass(frozen=True)
class Guess:
    """The affine guess of a tap: `weight` (full C, C + 1), and `energy` (C + 1, C + 1), the mean of [f; 1] [f; 1]^T."""

    weight: Tensor
    energy: Tensor


@torch.no_grad()
def normalize_channels(trunk: Trunk, pictures: Iterable[Tensor]) -> None:
    """Scale each channel so that its mean activation over batches of pictures is 1; no guess changes by it.

    ReLU commutes with positive scaling, so a channel divided by its mean changes nothing if the next layer multiplies
    its inputs by it. A channel that is so rare that this would make it shout stays quieter (`MAX_RMS`).
    """
    relus = [name.replace("conv", "relu") for name in CONVS]
    sums: dict[str, Tensor] = {}
    count = 0
    for rgb in pictures:
        count += 1
        for layer, f in trunk(rgb, relus).items():
            row = torch.stack([f.mean((0, 2, 3)), f.square().mean((0, 2, 3))]).double()
            sums[layer] = sums.get(layer, torch.zeros_like(row)) + row
    inputs = torch.ones(3, device=next(trunk.parameters()).device)
    for name in CONVS:
        conv = trunk.convs[name]
        assert isinstance(conv, nn.Conv2d)
        assert conv.bias is not None
        mean, square = sums[name.replace("conv", "relu")] / count
        scale = torch.maximum(mean, square.sqrt() / MAX_RMS).float()
        scale = torch.where(scale > 1e-6, scale, torch.ones_like(scale))  # a dead channel stays as it is
        conv.weight.mul_(inputs.view(1, -1, 1, 1) / scale.view(-1, 1, 1, 1))
        conv.bias.div_(scale)
        inputs = scale


@torch.no_grad()
def fit_guesses(trunk: Trunk, teacher: Teacher, pictures: Iterable[Tensor]) -> dict[str, Guess]:
    """Fit the affine guess at each tap over batches of pictures (B, 3, S, S), each picture counting alike."""
    inner: dict[str, Tensor] = {}
    cross: dict[str, Tensor] = {}
    count = 0
    for rgb in pictures:
        count += len(rgb)
        seen, wanted = trunk(rgb, TAPS), teacher(rgb, TAPS)
        for tap in TAPS:
            every = max(1, seen[tap].shape[2] // POSITIONS_SIDE)
            f = sample_positions(seen[tap], every)
            if tap.startswith("conv"):
                bias = trunk.convs[tap].bias
                assert isinstance(bias, Tensor)
                f = f + bias
            f = torch.cat([f, torch.ones_like(f[..., :1])], 2)
            t = teacher.scale(wanted, tap, every)
            weight = t.square().sum((1, 2)).clamp_min(1e-6).rsqrt().view(-1, 1, 1)
            f, t = f * weight, t * weight
            own = (mean_outer(f) * f.shape[1]).double().sum(0)
            inner[tap] = inner.get(tap, torch.zeros_like(own)) + own
            across = torch.bmm(f.transpose(1, 2), t).double().sum(0)
            cross[tap] = cross.get(tap, torch.zeros_like(across)) + across
    guesses = {}
    for tap in TAPS:
        unit = inner[tap].diagonal().clamp_min(1e-10).rsqrt()
        system = inner[tap] * unit[:, None] * unit + RIDGE * torch.eye(len(unit), device=unit.device)
        solved = torch.linalg.solve(system.cpu(), (cross[tap] * unit[:, None]).cpu()) * unit.cpu()[:, None]
        guesses[tap] = Guess(solved.T.contiguous(), inner[tap].cpu() / count)
    return guesses


def find_mix(guess: Guess, rank: int | None = None) -> Tensor:
    """Return a guess's mix R (D, C + 1)."""
    full = guess.weight
    if rank is None or rank >= full.shape[1]:
        eigenvalues, vectors = torch.linalg.eigh(full.T @ full)
        mix: Tensor = (vectors * eigenvalues.clamp_min(0).sqrt()) @ vectors.T
    else:
        _, directions = torch.linalg.eigh(full @ guess.energy @ full.T)
        mix = directions[:, -rank:].flip(1).T @ full
    return mix


def assemble(trunk: Trunk, guesses: dict[str, Guess]) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of the network that is shipped, by name, in half precision."""
    for name, parameter in trunk.convs.named_parameters():
        yield name, parameter.detach().half().cpu().contiguous()
    for tap, guess in guesses.items():
        mix = find_mix(guess, RANKS.get(tap)).half()
        yield f"{tap}_mix.weight", mix[:, :-1].contiguous()
        yield f"{tap}_mix.bias", mix[:, -1].contiguous()
