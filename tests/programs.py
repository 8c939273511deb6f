"""The programs that presets are named after: their losses, written out once more from their sources, in plain torch.

Nothing of impasto's losses, moments or network is used here: each program has its own forward pass, its own sums and
its own kind of canvas. Where a program's gradient is not that of its loss, the gradient is written out too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Weights = Mapping[str, Tensor]  # convX_Y.weight and convX_Y.bias
RELUS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
CONVS = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")
BLOCKS = (("1_1", "1_2"), ("2_1", "2_2"), ("3_1", "3_2", "3_3", "3_4"), ("4_1", "4_2", "4_3", "4_4"), ("5_1",))
BYTES = (123.68, 116.779, 103.939)  # Caffe's mean of red, green, blue
ROUNDED = (0.48501961 * 255, 0.45795686 * 255, 0.40760392 * 255)  # as Gatys' notebook has it


@dataclass(frozen=True)
class Pictures:
    """What a program is given, as (1, 3, H, W) in [0, 1]."""

    photo: Tensor
    painting: Tensor


@dataclass(frozen=True)
class Program:
    """`enter` takes a picture in [0, 1] to the program's canvas, `leave` takes it back; `loss` is of the canvas."""

    enter: Callable[[Tensor], Tensor]
    leave: Callable[[Tensor], Tensor]
    loss: Callable[[Weights, Pictures, Tensor], Tensor]


def max_down(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 2)


def max_up(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 2, ceil_mode=True)


def average_down(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 2)


def average_up(x: Tensor) -> Tensor:
    """TensorFlow's SAME: the mean of what there is."""
    return F.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False)


def see(weights: Weights, x: Tensor, pool: Callable[[Tensor], Tensor], *, frame: str = "constant") -> dict[str, Tensor]:
    maps = {}
    for block in BLOCKS:
        x = pool(x) if maps else x
        for name in block:
            around = F.pad(x, (1, 1, 1, 1), mode=frame if name == "1_1" else "constant")
            maps[f"conv{name}"] = F.conv2d(around, weights[f"conv{name}.weight"], weights[f"conv{name}.bias"])
            maps[f"relu{name}"] = x = maps[f"conv{name}"].relu()
    return maps


def in_bytes(whole: float, mean: tuple[float, ...], *, bgr: bool) -> dict[str, Callable[[Tensor], Tensor]]:
    """A canvas of 0 to `whole` less the mean."""
    column = torch.tensor(mean, dtype=torch.float64).view(1, 3, 1, 1)

    def enter(rgb: Tensor) -> Tensor:
        y = rgb * whole - column
        return y[:, [2, 1, 0]] if bgr else y

    def leave(y: Tensor) -> Tensor:
        return ((y[:, [2, 1, 0]] if bgr else y) + column) / whole

    return {"enter": enter, "leave": leave}


def raw_gram(features: Tensor) -> Tensor:
    rows = features[0].flatten(1)
    return rows @ rows.T


def steps(y: Tensor) -> tuple[Tensor, Tensor]:
    return y[:, :, 1:] - y[:, :, :-1], y[..., 1:] - y[..., :-1]


def apply(program: Callable[..., Tensor], enter: Callable[[Tensor], Tensor], **options: Any) -> Any:
    return lambda weights, pictures, y: program(weights, enter(pictures.photo), enter(pictures.painting), y, **options)


# Gatys, Ecker, Bethge 2015 and 2016: alpha / beta = 1e-3


def gatys(weights: Weights, photo: Tensor, painting: Tensor, y: Tensor) -> Tensor:
    ours, photos, theirs = (see(weights, of, average_down) for of in (y, photo, painting))
    total = 0.5 * ((ours["conv4_2"] - photos["conv4_2"]) ** 2).sum()
    for layer in CONVS:
        n, m = ours[layer].shape[1], ours[layer][0, 0].numel()
        difference = raw_gram(ours[layer]) - raw_gram(theirs[layer])
        total = total + 1e3 * 0.2 * (difference**2).sum() / (4 * n**2 * m**2)
    return total


# leongatys/PytorchNeuralStyleTransfer


def gatys_pytorch(weights: Weights, photo: Tensor, painting: Tensor, y: Tensor) -> Tensor:
    ours, photos, theirs = (see(weights, of, max_down) for of in (y, photo, painting))
    total = F.mse_loss(ours["relu4_2"], photos["relu4_2"])
    for layer, n in zip(RELUS, (64, 128, 256, 512, 512), strict=True):
        grams = [raw_gram(of[layer]) / of[layer][0, 0].numel() for of in (ours, theirs)]
        total = total + 1e3 / n**2 * F.mse_loss(*grams)
    return total


# jcjohnson/neural-style


class JohnsonVariation(torch.autograd.Function):
    """nn.TVLoss: nothing to the loss, to the gradient the differences of the inner pixels."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, strength: float) -> Tensor:
        ctx.save_for_backward(y)
        ctx.strength = strength
        return y.clone()

    @staticmethod
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor, None]:
        (y,) = ctx.saved_tensors
        x_diff = y[..., :-1, :-1] - y[..., :-1, 1:]
        y_diff = y[..., :-1, :-1] - y[..., 1:, :-1]
        g = torch.zeros_like(y)
        g[..., :-1, :-1] += x_diff + y_diff
        g[..., :-1, 1:] -= x_diff
        g[..., 1:, :-1] -= y_diff
        return g * ctx.strength + given, None


class JohnsonNormalise(torch.autograd.Function):
    """What -normalize_gradients does in a loss module: its own gradient over that one's L1 norm, times its strength."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return features.clone()

    @staticmethod
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor, None]:
        own = given / ctx.strength  # the loss comes with its strength
        return own / (own.abs().sum() + 1e-8) * ctx.strength, None


def neural_style(weights: Weights, photo: Tensor, painting: Tensor, y: Tensor, *, normalise: bool = False) -> Tensor:
    ours = see(weights, JohnsonVariation.apply(y, 1e-3), max_up)
    photos, theirs = see(weights, photo, max_up), see(weights, painting, max_up)

    def own(layer: str, strength: float) -> Tensor:
        return JohnsonNormalise.apply(ours[layer], strength) if normalise else ours[layer]

    total = 5 * F.mse_loss(own("relu4_2", 5), photos["relu4_2"])
    for layer in RELUS:
        grams = [raw_gram(features) / features.numel() for features in (own(layer, 100), theirs[layer])]
        total = total + 100 * F.mse_loss(*grams)
    return total


# ProGamerGov/neural-style-pt


def neural_style_pt(weights: Weights, photo: Tensor, painting: Tensor, y: Tensor) -> Tensor:
    ours, photos, theirs = (see(weights, of, max_down) for of in (y, photo, painting))
    total = 5 * F.mse_loss(ours["relu4_2"], photos["relu4_2"])
    for layer in RELUS:
        grams = [raw_gram(of[layer]) / of[layer].numel() for of in (ours, theirs)]
        total = total + 100 * F.mse_loss(*grams)
    down, right = steps(y)
    return total + 1e-3 * (down.abs().sum() + right.abs().sum())


# cysmith/neural-style-tf


def neural_style_tf(weights: Weights, photo: Tensor, painting: Tensor, y: Tensor, *, function: int = 1) -> Tensor:
    ours, photos, theirs = (see(weights, of, average_up) for of in (y, photo, painting))
    # Its conv4_2 comes before the bias, which the difference does not have either.
    before = [F.conv2d(of["relu4_1"], weights["conv4_2.weight"], padding=1) for of in (ours, photos)]
    n, m = before[0].shape[1], before[0][0, 0].numel()
    factor = {1: 1 / (2 * n**0.5 * m**0.5), 2: 1 / (n * m), 3: 1 / 2}[function]
    total = 5 * factor * ((before[0] - before[1]) ** 2).sum()
    style = torch.zeros((), dtype=y.dtype)
    for layer in RELUS:
        n, m = ours[layer].shape[1], ours[layer][0, 0].numel()
        difference = raw_gram(ours[layer]) - raw_gram(theirs[layer])
        style = style + 0.2 * (difference**2).sum() / (4 * n**2 * m**2)
    down, right = steps(y)
    return total + 1e4 * style / len(RELUS) + 1e-3 * (down.abs().sum() + right.abs().sum())


# anishathalye/neural-style


def anishathalye(weights: Weights, photo: Tensor, painting: Tensor, y: Tensor) -> Tensor:
    def l2_loss(x: Tensor) -> Tensor:
        return (x**2).sum() / 2

    ours, photos, theirs = (see(weights, of, max_up) for of in (y, photo, painting))
    total = 5 * (2 * l2_loss(ours["relu4_2"] - photos["relu4_2"]) / photos["relu4_2"].numel())
    for layer in RELUS:
        grams = [raw_gram(of[layer]) / of[layer].numel() for of in (ours, theirs)]
        total = total + 500 / 5 * 2 * l2_loss(grams[0] - grams[1]) / grams[1].numel()
    down, right = steps(y)
    return total + 100 * 2 * (l2_loss(down) / down.numel() + l2_loss(right) / right.numel())


# gordicaleksa/pytorch-neural-style-transfer


def gordicaleksa(weights: Weights, photo: Tensor, painting: Tensor, y: Tensor) -> Tensor:
    ours, photos, theirs = (see(weights, of, max_down) for of in (y, photo, painting))
    content = F.mse_loss(ours["relu4_2"], photos["relu4_2"])
    style = torch.zeros((), dtype=y.dtype)
    for layer in RELUS:
        grams = [raw_gram(of[layer]) / of[layer].numel() for of in (ours, theirs)]
        style = style + F.mse_loss(*grams, reduction="sum")  # type: ignore[misc]
    down, right = steps(y)
    return 1e5 * content + 3e4 * style / 5 + 1e0 * (down.abs().sum() + right.abs().sum())


# crowsonkb/style-transfer-pytorch


def newton_root(a: Tensor, iterations: int) -> Tensor:
    """A matrix's root as the program has it, which stops after 12 iterations."""
    norm, eye = a.pow(2).sum().sqrt(), torch.eye(len(a), dtype=a.dtype)
    y, z = a / norm, eye
    for _ in range(iterations):
        t = (3 * eye - z @ y) / 2
        y, z = y @ t, t @ z
    return y * norm.sqrt()


def style_transfer_pytorch(
    weights: Weights, photo: Tensor, painting: Tensor, x: Tensor, *, iterations: int = 60
) -> Tensor:
    mean, std = (x.new_tensor(of).view(1, 3, 1, 1) for of in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    ours, photos, theirs = (see(weights, (of - mean) / std, max_down, frame="replicate") for of in (x, photo, painting))

    def describe(features: Tensor) -> tuple[Tensor, Tensor]:
        rows = features[0].flatten(1)
        mu = rows.mean(1)
        return mu, rows @ rows.T / rows.shape[1] - mu.outer(mu) + 1e-4 * torch.eye(len(rows), dtype=rows.dtype)

    total = 0.015 * F.mse_loss(ours["relu4_2"], photos["relu4_2"])
    for layer, weight in zip(RELUS, (256, 64, 16, 4, 1), strict=True):
        (mu, cov), (mu_t, cov_t) = describe(ours[layer]), describe(theirs[layer])
        root = newton_root(cov_t, iterations)
        trace = torch.diagonal(cov_t + cov - 2 * newton_root(root @ cov @ root, iterations)).mean()
        total = total + weight / 341 * (F.mse_loss(mu, mu_t) + trace)
    p = F.pad(x, (1, 1, 1, 1), "replicate")
    inner = p[..., 1:-1, 1:-1]
    axes = (p[..., 1:-1, 2:] - inner).pow(2).mean() / 3 + (p[..., 2:, 1:-1] - inner).pow(2).mean() / 3
    falling, rising = p[..., 1:, 1:] - p[..., :-1, :-1], p[..., 1:, :-1] - p[..., :-1, 1:]
    return total + 2 * (2 * (axes + falling.pow(2).mean() / 12 + rising.pow(2).mean() / 12))


CAFFE_CANVAS = in_bytes(255, BYTES, bgr=True)
LUA_CANVAS = in_bytes(256, BYTES, bgr=True)  # it multiplies by 256
RED_FIRST_CANVAS = in_bytes(255, (123.675, 116.28, 103.53), bgr=False)
PLAIN_CANVAS: dict[str, Callable[[Tensor], Tensor]] = {"enter": lambda rgb: rgb, "leave": lambda x: x}


def make(units: dict[str, Callable[[Tensor], Tensor]], loss: Callable[..., Tensor], **options: Any) -> Program:
    return Program(units["enter"], units["leave"], apply(loss, units["enter"], **options))


PROGRAMS = {
    "gatys2015": make(CAFFE_CANVAS, gatys),
    "gatys2016": make(CAFFE_CANVAS, gatys),
    "gatys-pytorch": make(in_bytes(255, ROUNDED, bgr=True), gatys_pytorch),
    "neural-style": make(LUA_CANVAS, neural_style),
    "neural-style-pt": make(CAFFE_CANVAS, neural_style_pt),
    # Red comes first in the file that these two read; here all Caffe weights are laid out for blue first.
    "neural-style-tf": make(CAFFE_CANVAS, neural_style_tf),
    "anishathalye": make(CAFFE_CANVAS, anishathalye),
    "gordicaleksa": make(RED_FIRST_CANVAS, gordicaleksa),
    "style-transfer-pytorch": make(PLAIN_CANVAS, style_transfer_pytorch),
}
