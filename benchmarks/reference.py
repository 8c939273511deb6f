"""The textbook loop that the benchmarks compare with: neural style transfer in plain PyTorch, as people write it.

VGG-19 in float32, contiguous NCHW, ReLU in place; the canvas begins as uniform noise and has its full size from the
first step on; torch.optim.LBFGS, one evaluation a step. It knows nothing of impasto.

Source: Gatys, Ecker, Bethge, "Image Style Transfer Using Convolutional Neural Networks", 2016; the padding of the first
convolution is that of Crowson, style-transfer-pytorch.
"""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

CONTENT_TAP = "relu4_2"
STYLE_TAPS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
TAPS = (CONTENT_TAP, *STYLE_TAPS)
CONTENT_WEIGHT, STYLE_WEIGHT, TV_WEIGHT = 0.135, 1.0, 0.02
HISTORY = 100  # pairs of canvases that L-BFGS keeps, as torch and most programs do

DEPTHS = (2, 2, 4, 4, 1)  # convolutions in each block of VGG-19, as far as relu5_1
FIRST_REPLICATED = {"conv1_1": "replicate"}  # no dark frame at the picture's border


@dataclass(frozen=True)
class Vgg:
    """VGG-19's weights, `convX_Y.weight` (C, N, 3, 3) and `convX_Y.bias` (C,), and how it takes its input.

    That is (rgb - mean) / std of sRGB in [0, 1], then with reversed channels if `bgr`.
    """

    weights: Mapping[str, Tensor]
    mean: Sequence[float]
    std: Sequence[float]
    bgr: bool


@dataclass(frozen=True)
class Step:
    """One step: its number, from 1; the seconds since the start; the loss of the canvas that it began from."""

    step: int
    seconds: float
    loss: float


def see(vgg: Vgg, rgb: Tensor, taps: Collection[str], pads: Mapping[str, str] = FIRST_REPLICATED) -> dict[str, Tensor]:
    """Return {tap: features (1, C, h, w)} of `rgb` (1, 3, H, W), sRGB in [0, 1].

    `pads` names how the inputs of convolutions are padded; the others' are padded with zeros.
    """
    mean, std = (rgb.new_tensor(of).view(1, 3, 1, 1) for of in (vgg.mean, vgg.std))
    x = (rgb - mean) / std
    x = x.flip(1) if vgg.bgr else x
    found = {}
    for block, depth in enumerate(DEPTHS, start=1):
        x = F.max_pool2d(x, 2) if block > 1 else x
        for index in range(1, depth + 1):
            name = f"conv{block}_{index}"
            if name in pads:
                x = F.pad(x, (1, 1, 1, 1), mode=pads[name])
            weight, bias = vgg.weights[f"{name}.weight"], vgg.weights[f"{name}.bias"]
            x = F.conv2d(x, weight, bias, padding=0 if name in pads else 1).relu_()
            if f"relu{block}_{index}" in taps:
                found[f"relu{block}_{index}"] = x
    return found


def gram(features: Tensor) -> Tensor:
    """Return the Gram matrix per position (C, C) of a feature map (1, C, h, w)."""
    f = features.flatten(2)[0]  # (C, hw)
    return f @ f.T / f.shape[1]


def total_variation(rgb: Tensor) -> Tensor:
    """Return the mean squared step from each pixel to the one below, plus that to the one on the right."""
    down, right = rgb[..., 1:, :] - rgb[..., :-1, :], rgb[..., 1:] - rgb[..., :-1]
    return down.square().mean() + right.square().mean()


class Reference:
    """A canvas of the photo's size on its way: `loss` of any picture, `paint` for steps, `canvas` as it is.

    `photo` and `painting` (1, 3, H, W) are sRGB in [0, 1], at the size that they are compared at. Targets are captured
    once, and each term is relative to its target's size, so that weights mean the same in every network.
    """

    def __init__(self, vgg: Vgg, photo: Tensor, painting: Tensor, seed: int = 0) -> None:
        self.started = time.perf_counter()
        self.vgg = vgg
        with torch.no_grad():
            self.content = see(vgg, photo, TAPS)[CONTENT_TAP]
            self.variance = (self.content - self.content.mean((2, 3), keepdim=True)).square().sum()
            theirs = see(vgg, painting, TAPS)
            self.style = {tap: gram(theirs[tap]) for tap in STYLE_TAPS}
        noise = torch.rand(photo.shape, generator=torch.Generator().manual_seed(seed))
        self.canvas = noise.to(photo).requires_grad_()

    def loss(self, canvas: Tensor) -> Tensor:
        """Return the loss () of a canvas of the photo's size."""
        seen = see(self.vgg, canvas, TAPS)
        content = (seen[CONTENT_TAP] - self.content).square().sum() / self.variance
        style = torch.stack(
            [(gram(seen[tap]) - target).square().sum() / target.square().sum() for tap, target in self.style.items()]
        ).sum()
        return CONTENT_WEIGHT * content + STYLE_WEIGHT * style + TV_WEIGHT * total_variation(canvas)

    def paint(self, steps: int) -> Iterator[Step]:
        """Take so many steps of L-BFGS from the canvas's noise on, each with one evaluation of the gradient."""
        # The tolerances are 0 because gradients of a loss relative to its target are small long before the end.
        optimizer = torch.optim.LBFGS(
            [self.canvas], lr=1, max_iter=1, history_size=HISTORY, tolerance_grad=0, tolerance_change=0
        )

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = self.loss(self.canvas)
            torch.autograd.backward(loss)
            return loss.detach()

        for step in range(1, steps + 1):
            loss = float(optimizer.step(closure))  # type: ignore[no-untyped-call]
            if self.canvas.is_cuda:
                torch.cuda.synchronize(self.canvas.device)
            yield Step(step, time.perf_counter() - self.started, loss)
