"""The teacher: VGG-19's own features, or the best likeness of them that the given files hold."""

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from impasto.network.vgg import Network, Normalization, Padding

TAPS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
TAP_WIDTHS = (64, 128, 256, 512, 512)
RAW = Normalization(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


class Teacher(nn.Module):
    """VGG-19's answer at `TAPS`: (B, C, h, w) each, at its own widths.

    Files are asked in order, each for the taps that none before it has. A file holds `convX_Y.weight` and `.bias`; with
    `preprocess.*` a 1x1 convolution in front, with `convX_1_to_vgg19.*` 1x1 convolutions from its own, narrower
    channels to VGG-19's. Without `preprocess` the weights are torchvision's. `padding` is VGG-19's own; a likeness,
    known by its heads, pads by reflection, as it was trained.
    """

    def __init__(self, files: list[Path], dtype: torch.dtype = torch.float32, padding: Padding = "reflect") -> None:
        super().__init__()
        self.dtype = dtype
        self.eyes = nn.ModuleList()
        self.heads: list[dict[str, tuple[Tensor, Tensor]]] = []
        self.preprocess: list[tuple[Tensor, Tensor] | None] = []
        self.taps: list[list[str]] = []
        answered: set[str] = set()
        for file in files:
            weights = {name: tensor.to(dtype) for name, tensor in load_file(file).items()}
            own = {name: tensor for name, tensor in weights.items() if name.startswith("conv") and "_to_" not in name}
            taps = [tap for tap in TAPS if f"conv{tap[4:]}.weight" in own and tap not in answered]
            answered.update(taps)
            front = "preprocess.weight" in weights
            likeness = any("_to_vgg19" in name for name in weights)
            options = {"normalization": RAW} if front else {}
            eye = Network.from_weights(own, cut=taps[-1], padding="reflect" if likeness else padding, **options)
            eye.to(dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs
            self.eyes.append(eye)
            self.preprocess.append((weights["preprocess.weight"], weights["preprocess.bias"]) if front else None)
            self.taps.append(taps)
            self.heads.append(
                {
                    tap: (weights[f"conv{tap[4:]}_to_vgg19.weight"], weights[f"conv{tap[4:]}_to_vgg19.bias"])
                    for tap in taps
                    if f"conv{tap[4:]}_to_vgg19.weight" in weights
                }
            )
        if answered != set(TAPS):
            raise SystemExit(f"The teacher's files answer only {sorted(answered)}, not all of {TAPS}.")

    @torch.no_grad()
    def forward(self, rgb: Tensor) -> dict[str, Tensor]:
        """Answer for pictures (B, 3, H, W) in [0, 1]."""
        found: dict[str, Tensor] = {}
        for eye, front, taps, heads in zip(self.eyes, self.preprocess, self.taps, self.heads, strict=True):
            x = rgb if front is None else F.conv2d(rgb.to(self.dtype), *front)
            for tap, features in eye(x, taps).items():
                found[tap] = F.conv2d(features, *heads[tap]).relu() if tap in heads else features
        return found
