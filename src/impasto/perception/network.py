"""The perceptual network: a VGG plan at any widths, cut after the deepest tap that is asked for."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from impasto.errors import UsageError

Pooling = Literal["max", "average", "l2"]
Padding = Literal["zero", "replicate-first", "replicate", "reflect"]

VGG19_DEPTHS = (2, 2, 4, 4, 4)  # convolutions in each block
VGG16_DEPTHS = (2, 2, 3, 3, 3)
VGG_WIDTHS = (64, 128, 256, 512, 512)  # channels in each block, of VGG-16 and VGG-19 alike

# A mean over 2x2 activations is smaller than their maximum; these factors keep the size that the layers above
# were trained on (Crowson, style-transfer-pytorch).
POOL_GAIN: dict[Pooling, float] = {"max": 1.0, "average": 2.0, "l2": 0.78}


@dataclass(frozen=True)
class Normalisation:
    """How sRGB in [0, 1] becomes a network's input: (rgb - mean) / std, channels then reversed if `bgr`."""

    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    bgr: bool = False


IMAGENET = Normalisation()
CAFFE = Normalisation(mean=(0.48501961, 0.45795686, 0.40760392), std=(1 / 255, 1 / 255, 1 / 255), bgr=True)


def plan_layers(depths: Sequence[int]) -> list[str]:
    """Name the layers of a VGG plan in order: conv1_1, relu1_1, ..., pool1, conv2_1, ..."""
    layers = []
    for block, depth in enumerate(depths, start=1):
        for index in range(1, depth + 1):
            layers += [f"conv{block}_{index}", f"relu{block}_{index}"]
        layers.append(f"pool{block}")
    return layers


class Network(nn.Module):
    """A VGG plan that answers with feature maps at named taps.

    `widths` and `depths` give the channels and the number of convolutions of each block; `cut` names the deepest
    layer that is kept. `stride[layer]` is the size in pixels of one cell of a layer's grid; `reach[layer]` is how far
    a cell sees beyond its own pixels, in pixels to each side.

    A distilled network may have *mixes*: at a tap, an affine map of the channels, for whoever asks at that tap alone,
    after which distances are those that the network's teacher would measure.

    Source: Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", 2014.
    """

    def __init__(
        self,
        widths: Sequence[int] = VGG_WIDTHS,
        depths: Sequence[int] = VGG19_DEPTHS,
        *,
        cut: str | None = None,
        normalisation: Normalisation = IMAGENET,
        pooling: Pooling = "max",
        padding: Padding = "zero",
        keep_activation_size: bool = True,
    ) -> None:
        super().__init__()
        plan = plan_layers(depths)
        self.layers = plan if cut is None else plan[: plan.index(cut) + 1]
        self.pooling, self.padding = pooling, padding
        self.pool_gain = POOL_GAIN[pooling] if keep_activation_size else 1.0
        self.normalisation = normalisation
        self.convs, self.mixes = nn.ModuleDict(), nn.ModuleDict()
        self.stride: dict[str, int] = {}
        self.reach: dict[str, int] = {}
        channels, stride, reach = 3, 1, 0
        for layer in self.layers:
            if layer.startswith("conv"):
                width = widths[int(layer[4]) - 1]
                self.convs[layer] = nn.Conv2d(channels, width, 3)
                channels = width
                reach += stride
            elif layer.startswith("pool"):
                stride *= 2
            self.stride[layer], self.reach[layer] = stride, reach

    @classmethod
    def from_weights(cls, weights: Mapping[str, Tensor], *, cut: str | None = None, **options: Any) -> "Network":
        """Build the network that holds `weights`: `convX_Y.weight` (C, N, 3, 3) and `convX_Y.bias` (C,).

        Mixes are `reluX_Y_mix.weight` (D, C) and `reluX_Y_mix.bias` (D,).
        """
        convs = [name for name in weights if name.startswith("conv") and name.endswith(".weight")]
        blocks = sorted({name[4] for name in convs})
        depths = [sum(name[4] == block for name in convs) for block in blocks]
        widths = [weights[f"conv{block}_1.weight"].shape[0] for block in blocks]
        with torch.device("meta"):  # so that no weight is drawn by chance, only to be replaced
            network = cls(widths, depths, cut=cut, **options)
        held = {name: weights[name.removeprefix("convs.")] for name in network.state_dict()}
        network.load_state_dict(held, assign=True)
        for tap in network.layers:
            if f"{tap}_mix.weight" in weights:
                network.mixes[tap] = _mix(weights[f"{tap}_mix.weight"], weights[f"{tap}_mix.bias"])
        return network.requires_grad_(False).eval()

    def forward(self, rgb: Tensor, taps: Collection[str]) -> dict[str, Tensor]:
        """Return {tap: features (B, C, h, w)} of `rgb` (B, 3, H, W), sRGB in [0, 1]."""
        missing = [tap for tap in taps if tap not in self.layers]
        if missing:
            raise UsageError(f"This network has no tap {missing[0]!r}; it has {', '.join(self.layers)}.")
        x = self._normalise(rgb)
        found: dict[str, Tensor] = {}
        for layer in self.layers:
            if layer.startswith("conv"):
                x = self._convolve(layer, x)
            elif layer.startswith("relu"):
                # In place, unless the tap before it keeps what went in: a convolution's backward needs no output.
                x = x.relu() if layer.replace("relu", "conv") in taps else x.relu_()
            else:
                x = self._pool(x)
            if layer in taps:
                found[layer] = self.mixes[layer](x) if layer in self.mixes else x
                if len(found) == len(set(taps)):
                    break
        return found

    def _normalise(self, rgb: Tensor) -> Tensor:
        """Bring `rgb` to what the first layer was trained on, at its own precision, then to the network's."""
        mean, std = (rgb.new_tensor(of).view(1, 3, 1, 1) for of in (self.normalisation.mean, self.normalisation.std))
        x = ((rgb - mean) / std).to(self._conv("conv1_1").weight.dtype)
        return x.flip(1) if self.normalisation.bgr else x

    def _conv(self, layer: str) -> nn.Conv2d:
        conv = self.convs[layer]
        assert isinstance(conv, nn.Conv2d)
        return conv

    def _convolve(self, layer: str, x: Tensor) -> Tensor:
        conv = self._conv(layer)
        padding = self.padding
        if padding == "replicate-first":  # as style-transfer-pytorch: no dark frame at the picture's border
            padding = "replicate" if layer == "conv1_1" else "zero"
        if padding == "zero":
            return F.conv2d(x, conv.weight, conv.bias, padding=1)
        return F.conv2d(_pad(x, padding), conv.weight, conv.bias)

    def _pool(self, x: Tensor) -> Tensor:
        if self.pooling == "max":
            return F.max_pool2d(x, 2)
        if self.pooling == "average":
            return F.avg_pool2d(x, 2) * self.pool_gain
        # The mean over four squares, times four, under the root; the small constant keeps the gradient finite at 0.
        return (F.avg_pool2d(x * x, 2) * 4 + 1e-12).sqrt() * self.pool_gain


def _mix(weight: Tensor, bias: Tensor) -> nn.Conv2d:
    """Make a 1x1 convolution of a mix (D, C), (D,)."""
    mix = nn.Conv2d(weight.shape[1], weight.shape[0], 1, device="meta")
    mix.load_state_dict({"weight": weight[..., None, None], "bias": bias}, assign=True)
    return mix


def _pad(x: Tensor, padding: Padding) -> Tensor:
    """Frame a map (B, C, H, W) with one more row and column on each side."""
    # Slices instead of F.pad, which on a CPU copies a bfloat16 channels_last map to another layout and back.
    near, far = (1, -2) if padding == "reflect" else (0, -1)
    for dimension in (2, 3):
        size = x.shape[dimension]
        first, last = x.narrow(dimension, near, 1), x.narrow(dimension, size + far, 1)
        x = torch.cat([first, x, last], dimension)
    return x
