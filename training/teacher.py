"""The teacher: VGG-19 itself, padded by reflection, on pictures on any device."""

from collections.abc import Collection
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from kernels import rectify
from student import CONVS, Trunk, frame, sample_positions

STYLE_TAPS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
CONV_TAPS = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv4_2", "conv5_1")
RELU_TAPS = (*STYLE_TAPS[:4], "relu4_2", "relu5_1")
TAPS = (*RELU_TAPS, *CONV_TAPS)
MAX_RMS = 6.0  # of a channel of mean activation 1; a rarer one is scaled down to this
BLOCK_WIDTHS = (64, 128, 256, 512, 512)


class Teacher:
    """VGG-19's features at `TAPS`, each channel scaled so that its mean activation over pictures is 1.

    `file` holds `convX_Y.bias` and either `convX_Y.weight` or 256 levels a layer: `convX_Y.codes`, which look up
    `convX_Y.table`. With `preprocess.*`, a 1x1 convolution in front, the input is RGB in [0, 1]; without it the weights
    are torchvision's. `mean.reluX_Y` are known mean activations; `fit_scales` measures those that are missing.

    VGG-19's own padding, zeros, makes a few channels of relu3_1 and relu5_1 fire at the border up to a hundred times
    as strongly as anywhere else, which would be most of what a student learns. So the teacher pads by reflection.
    """

    def __init__(self, file: Path, device: torch.device, dtype: torch.dtype) -> None:
        held = load_file(file)
        self.device, self.dtype = device, dtype
        self.weights: dict[str, Tensor] = {}
        self.biases: dict[str, Tensor] = {}
        for name in CONVS:
            coded = f"{name}.codes" in held
            weight = held[f"{name}.table"][held[f"{name}.codes"].long()] if coded else held[f"{name}.weight"]
            self.weights[name], self.biases[name] = weight.double(), held[f"{name}.bias"].double()
        if "preprocess.weight" in held:
            self._absorb_preprocessing(held["preprocess.weight"][:, :, 0, 0], held["preprocess.bias"])
        for name in CONVS:
            weight = self.weights[name].to(device, dtype)
            self.weights[name] = weight.contiguous(memory_format=torch.channels_last)
            self.biases[name] = self.biases[name].to(device, torch.float32)
        self.scales = {
            name.removeprefix("mean."): (1 / mean).to(device) for name, mean in held.items() if name.startswith("mean.")
        }

    def _absorb_preprocessing(self, weight: Tensor, bias: Tensor) -> None:
        """Let conv1_1 take what `frame` gives, in place of P rgb + p."""
        mean, std = torch.tensor(frame.mean).double(), torch.tensor(frame.std).double()
        first, matrix = self.weights["conv1_1"], weight.double()
        self.biases["conv1_1"] += torch.einsum("oixy,i->o", first, matrix @ mean + bias.double())
        self.weights["conv1_1"] = torch.einsum("oixy,ic->ocxy", first, matrix * std)

    def __call__(self, rgb: Tensor, taps: Collection[str]) -> dict[str, Tensor]:
        """Return raw features at `taps` of pictures (B, 3, H, W) in [0, 1]; a conv tap's have no bias yet."""
        found: dict[str, Tensor] = {}
        x = frame(rgb, self.dtype, "reflect")
        for name, following in zip(CONVS, [*CONVS[1:], ""], strict=True):
            y = F.conv2d(x, self.weights[name])
            if name in taps:
                found[name] = y
            relu = name.replace("conv", "relu")
            if following[:5] != name[:5]:  # the last of its block
                x = rectify(y, self.biases[name], 0)
                if relu in taps:
                    found[relu] = x
                if following:
                    x = rectify(F.max_pool2d(x, 2), None, 1)
            else:
                x = rectify(y, self.biases[name], 1)
                if relu in taps:
                    found[relu] = x[:, :, 1:-1, 1:-1]
            if len(found) == len(taps):
                break
        return found

    def scale(self, found: dict[str, Tensor], tap: str, every: int = 1, at: tuple[int, int] = (0, 0)) -> Tensor:
        """Return scaled features (B, P, C) of a tap, float32, at every so many rows and columns from `at` on."""
        features = sample_positions(found[tap], every, at).float()
        if tap.startswith("conv"):
            features = features + self.biases[tap]
        return features * self.scales[tap]

    @torch.no_grad()
    def fit_scales(self, pictures: list[Tensor]) -> None:
        """Measure the scales that the file does not hold, on batches of pictures."""
        missing = [tap for tap in TAPS if tap not in self.scales]
        sums: dict[str, Tensor] = {}
        for rgb in pictures:
            for tap, features in self(rgb, missing).items():
                f = features.float()
                if tap.startswith("conv"):
                    f = f + self.biases[tap].view(1, -1, 1, 1)
                row = torch.stack([f.relu().mean((0, 2, 3)), f.square().mean((0, 2, 3))])
                sums[tap] = sums.get(tap, torch.zeros_like(row)) + row / len(pictures)
        for tap, (mean, square) in sums.items():
            known = self.scales.get(tap.replace("conv", "relu")) if tap.startswith("conv") else None
            base = mean if known is None else 1 / known
            self.scales[tap] = 1 / torch.maximum(base, square.sqrt() / MAX_RMS).clamp_min(1e-4)


class SlimTeacher:
    """Slim in VGG-19's place, seen through its mixes: its guess of VGG-19's distances, at a tenth of the price."""

    def __init__(self, file: Path, device: torch.device, dtype: torch.dtype) -> None:
        held = {name: tensor.float() for name, tensor in load_file(file).items()}
        self.trunk = Trunk([held[f"conv{block}_1.weight"].shape[0] for block in range(1, 6)])
        self.trunk.convs.load_state_dict({name: tensor for name, tensor in held.items() if "_mix." not in name})
        self.trunk.requires_grad_(False).to(device, dtype)
        self.dtype = dtype
        self.mixes = {
            tap: (held[f"{tap}_mix.weight"].T.contiguous().to(device), held[f"{tap}_mix.bias"].to(device))
            for tap in RELU_TAPS
        }

    def __call__(self, rgb: Tensor, taps: Collection[str]) -> dict[str, Tensor]:
        """Return raw features at `taps` of pictures (B, 3, H, W) in [0, 1]."""
        found: dict[str, Tensor] = self.trunk(rgb, taps, self.dtype)
        return found

    def scale(self, found: dict[str, Tensor], tap: str) -> Tensor:
        """Return mixed features (B, P, D) of a tap, float32."""
        weight, bias = self.mixes[tap]
        return sample_positions(found[tap]).float() @ weight + bias
