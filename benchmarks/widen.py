"""Write the widened network: what `slim` sees, at VGG-19's price.

    python benchmarks/widen.py OUT.safetensors

VGG-19's own weights are a download of 575 MB, and speed depends on widths alone. So every channel of slim is repeated
up to VGG-19's width, each copy times a random factor, and the next layer's inputs are divided by the factors and by the
number of copies. ReLU commutes with positive scaling: each channel is its slim channel times its factor, exactly.

The file is in torchvision's layout, up to conv5_1, where slim ends. slim's mixes are left out: no VGG-19 has any.
"""

import argparse
import math
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import impasto.network
from impasto.network.vgg import VGG19_DEPTHS, VGG_WIDTHS, plan_layers

SLIM = Path(impasto.network.__file__).with_name("slim.safetensors")
SPREAD = 2.0  # factors are log-uniform between 1 / SPREAD and SPREAD


def main() -> None:
    """Read the arguments, write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="OUT.safetensors")
    write_widened(parser.parse_args().out)


def write_widened(path: Path) -> None:
    """Write the widened slim network; its metadata names the layout, so that nobody has to say it."""
    save_file(widen(load_file(SLIM)), path, metadata={"layout": "torchvision"})


def widen(weights: Mapping[str, Tensor], seed: int = 0) -> dict[str, Tensor]:
    """Return a narrow VGG-19's weights at VGG-19's widths: `features.N.weight` (C, N, 3, 3), `features.N.bias` (C,).

    `weights` are named `convX_Y.weight` and `convX_Y.bias`. Channel c of a widened layer is a copy of the narrow
    layer's channel c modulo its width.
    """
    chance = torch.Generator().manual_seed(seed)
    widened: dict[str, Tensor] = {}
    source, share = torch.arange(3), torch.ones(3, dtype=torch.float64)  # of the layer before, to begin with red, ...
    for number, layer in enumerate(plan_layers(VGG19_DEPTHS)):
        if f"{layer}.weight" not in weights:
            continue
        weight, bias = weights[f"{layer}.weight"].double(), weights[f"{layer}.bias"].double()
        inputs, divisors = source, share
        width = VGG_WIDTHS[int(layer[4]) - 1]
        source = torch.arange(width) % len(bias)  # the channel that each is a copy of
        exponents = torch.rand(width, generator=chance, dtype=torch.float64) * 2 - 1
        factors = torch.exp(exponents * math.log(SPREAD))
        copies = torch.bincount(source)[source]
        share = factors * copies
        wide = weight[source][:, inputs] / divisors.view(1, -1, 1, 1) * factors.view(-1, 1, 1, 1)
        widened[f"features.{number}.weight"] = wide.float()
        widened[f"features.{number}.bias"] = (bias[source] * factors).float()
    return widened


if __name__ == "__main__":
    main()
