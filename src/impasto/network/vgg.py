"""The perceptual network: a VGG plan at any widths, cut after the deepest tap that is asked for."""

import copy
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import zip_longest
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from impasto.errors import UsageError
from impasto.network.frozen import (
    FEATURE_PROBE,
    Backward,
    Convolution,
    FrozenPass,
    Layer,
    Probe,
    apply_by_autograd,
    apply_fused_relu,
    crop_probe,
    max_pool,
    max_pool_ceil,
    normalize_probe,
    relu,
)
from impasto.network.moments import Moments, moment_probe

Pooling = Literal["max", "average", "l2"]
Rounding = Literal["down", "up"]
Scaling = Literal["own", "256", "255"]
Padding = Literal["zero", "replicate-first", "replicate", "reflect", "circular"]
Masks = Sequence[Tensor | None]
Crop = Callable[[int], tuple[slice, slice]]  # rows and columns on a grid, by its stride


class GradientNorms(NamedTuple):
    """L1 norms that gradients shall have: at a tap of what comes from its features, and from moments for each mask."""

    features: Mapping[str, float]
    moments: Mapping[str, Sequence[float]]


VGG19_DEPTHS = (2, 2, 4, 4, 4)  # convolutions in each block
VGG16_DEPTHS = (2, 2, 3, 3, 3)
VGG_WIDTHS = (64, 128, 256, 512, 512)  # channels in each block, of VGG-16 and VGG-19 alike

# A mean over 2x2 activations is smaller than their maximum; these factors keep the size that the layers above
# were trained on (Crowson, style-transfer-pytorch).
POOL_GAIN: dict[Pooling, float] = {"max": 1.0, "average": 2.0, "l2": 0.78}


@dataclass(frozen=True)
class Normalization:
    """How sRGB in [0, 1] becomes a network's input: (rgb - mean) / std, channels then reversed if `bgr`."""

    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    bgr: bool = False


IMAGENET = Normalization()
CAFFE = Normalization(mean=(123.68 / 255, 116.779 / 255, 103.939 / 255), std=(1 / 255, 1 / 255, 1 / 255), bgr=True)


def rescale_normalization(normalization: Normalization, scaling: Scaling) -> Normalization:
    """Return a network's normalization as another program scales its input.

    `own` is as it is. `256` multiplies values by 256 where the network was trained on 0 to 255 (neural-style). `255` is
    0 to 255 minus the mean, without a deviation, which gordicaleksa gives to weights that were trained with one.
    """
    mean, std = normalization.mean, normalization.std
    if scaling == "256":
        (mr, mg, mb), (sr, sg, sb) = ([value * 255 / 256 for value in of] for of in (mean, std))
        return replace(normalization, mean=(mr, mg, mb), std=(sr, sg, sb))
    return replace(normalization, std=(1 / 255,) * 3) if scaling == "255" else normalization


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
        normalization: Normalization = IMAGENET,
        pooling: Pooling = "max",
        rounding: Rounding = "down",
        padding: Padding = "zero",
        keep_activation_size: bool = True,
    ) -> None:
        super().__init__()
        plan = plan_layers(depths)
        self.layers = plan if cut is None else plan[: plan.index(cut) + 1]
        self.pooling, self.rounding, self.padding = pooling, rounding, padding
        self.pool_gain = POOL_GAIN[pooling] if keep_activation_size else 1.0
        self.normalization = normalization
        self.convs, self.mixes = nn.ModuleDict(), nn.ModuleDict()
        self._convolutions: dict[str, Convolution] = {}
        self._variants: dict[Padding, Network] = {}
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
                network.mixes[tap] = _make_mix(weights[f"{tap}_mix.weight"], weights[f"{tap}_mix.bias"])
        return network.requires_grad_(False).eval()

    def forward(self, rgb: Tensor, taps: Collection[str]) -> dict[str, Tensor]:
        """Return {tap: features (B, C, h, w)} of `rgb` (B, 3, H, W), sRGB in [0, 1], taken through the taps' mixes."""
        return {tap: self.apply_mix(tap, features) for tap, features in self.extract(rgb, taps)[0].items()}

    def extract(
        self,
        rgb: Tensor,
        taps: Collection[str],
        moment_masks: Mapping[str, Masks] = MappingProxyType({}),
        gradient_norms: GradientNorms | None = None,
        crop: Crop | None = None,
    ) -> tuple[dict[str, Tensor], dict[str, list[Moments]]]:
        """Return features (1, C, h, w) at `taps` and moments at the taps `measured`, all as they are before mixes.

        `rgb` (1, 3, H, W) is sRGB in [0, 1]; `measured` has one or several masks (1, 1, h, w) for each tap, where None
        is all of it, and gets moments for each. Gradients flow to `rgb`, once; the weights are taken as frozen. To ask
        for moments is cheaper than to measure features. With `strengths`, gradients are normalised: what comes back at
        a tap from its features, or from moments, has an L1 norm of its strength there, which its weights are part of.
        `inside` tells which part of a tap's grid is asked for, by the tap's stride: features and masks are of that.
        """
        asked = {*taps, *moment_masks}
        if missing := sorted(asked - set(self.layers)):
            raise UsageError(f"This network has no tap {missing[0]!r}; it has {', '.join(self.layers)}.")
        keep = torch.is_grad_enabled() and rgb.requires_grad
        chain = self._chain(taps, moment_masks, gradient_norms, crop)
        read = iter(FrozenPass.apply(self._normalise(rgb), chain, keep))  # type: ignore[no-untyped-call]
        features, moments = {}, {}
        for layer in self.layers:
            if layer in taps:
                features[layer] = next(read)
            if layer in moment_masks:
                moments[layer] = [Moments(next(read), next(read), next(read)) for _ in moment_masks[layer]]
        return features, moments

    def with_padding(self, padding: Padding) -> "Network":
        """Return the network of the same weights that has another padding; always the same one."""
        if padding == self.padding:
            return self
        if padding not in self._variants:
            twin = copy.copy(self)
            twin.padding, twin._convolutions, twin._variants = padding, {}, {}
            self._variants[padding] = twin
        return self._variants[padding]

    def apply_mix(self, tap: str, features: Tensor) -> Tensor:
        """Take features (B, C, h, w) through the mix of their tap, if it has one."""
        mixed: Tensor = self.mixes[tap](features) if tap in self.mixes else features
        return mixed

    def mix_moments(self, tap: str, moments: Moments) -> Moments:
        """Take moments through the mix of their tap, if it has one: cheaper than each position."""
        if tap not in self.mixes:
            return moments
        mix = self.mixes[tap]
        assert isinstance(mix, nn.Conv2d)
        assert mix.bias is not None
        return moments.mapped(mix.weight.flatten(1).to(moments.total), mix.bias.to(moments.total))

    def _chain(
        self, taps: Collection[str], measured: Mapping[str, Masks], strengths: GradientNorms | None, inside: Crop | None
    ) -> list[tuple[Layer, list[Probe]]]:
        """List the layers down to the deepest that is asked for, with what is read after each."""
        asked = {*taps, *measured}
        layers = self.layers[: 1 + max(map(self.layers.index, asked), default=-1)]
        chain: list[tuple[Layer, list[Probe]]] = []
        for layer, following, after in zip_longest(layers, layers[1:], layers[2:], fillvalue=""):
            apply = self._make_layer(layer, following, after, asked)
            if apply is not None:
                shown = following if layer.startswith("conv") and layer not in asked else layer
                readers = _list_probes(shown, taps, measured, strengths)
                if inside:
                    readers = [crop_probe(reader, *inside(self.stride[shown])) for reader in readers]
                chain.append((apply, readers))
        return chain

    def _make_layer(self, layer: str, following: str, after: str, asked: Collection[str]) -> Layer | None:
        """Return what a layer does with a map, given the next two; None if the one before it does it too."""
        if layer.startswith("conv"):
            convolve = partial(self._convolve, layer, rectified=layer not in asked)
            # A maximum's pull is a rectifier's too, unless something is read between the two.
            pooled = self.pooling == "max" and after.startswith("pool") and following not in asked
            return convolve if layer in asked or pooled else partial(apply_fused_relu, convolve)
        if layer.startswith("relu"):
            return relu if layer.replace("relu", "conv") in asked else None
        if self.pooling == "max":
            place = self.layers.index(layer)
            join: Layer = partial(max_pool, overwrite=not {*self.layers[place - 2 : place]} & {*asked})
        else:
            join = partial(apply_by_autograd, self._pool_smoothly)
        return partial(max_pool_ceil, join) if self.rounding == "up" else join

    def _normalise(self, rgb: Tensor) -> Tensor:
        """Bring `rgb` to what the first layer was trained on, at its own precision, then to the network's."""
        mean, std = (rgb.new_tensor(of).view(1, 3, 1, 1) for of in (self.normalization.mean, self.normalization.std))
        x = ((rgb - mean) / std).to(self._conv("conv1_1").weight.dtype)
        return x.flip(1) if self.normalization.bgr else x

    def _conv(self, layer: str) -> nn.Conv2d:
        conv = self.convs[layer]
        assert isinstance(conv, nn.Conv2d)
        return conv

    def _convolve(self, layer: str, x: Tensor, *, rectified: bool) -> tuple[Tensor, Backward]:
        padding = self.padding
        if padding == "replicate-first":  # as style-transfer-pytorch: no dark frame at the picture's border
            padding = "replicate" if layer == "conv1_1" else "zero"
        if layer not in self._convolutions:
            conv = self._conv(layer)
            assert conv.bias is not None
            self._convolutions[layer] = Convolution(conv.weight, conv.bias, padding=1 if padding == "zero" else 0)
        if padding == "zero":
            return self._convolutions[layer](x, relu=rectified)
        y, pull = self._convolutions[layer](_pad(x, padding), relu=rectified)
        return y, lambda g: _unpad(pull(g), padding)

    def _apply(self, *given: Any, **named: Any) -> Self:
        """Move or convert the network."""
        self._convolutions.clear()
        self._variants.clear()
        return super()._apply(*given, **named)  # type: ignore[no-any-return, no-untyped-call]

    def _pool_smoothly(self, x: Tensor) -> Tensor:
        if self.pooling == "average":
            return F.avg_pool2d(x, 2) * self.pool_gain
        # The mean over four squares, times four, under the root; the small constant keeps the gradient finite at 0.
        return (F.avg_pool2d(x * x, 2) * 4 + 1e-12).sqrt() * self.pool_gain


def _list_probes(
    tap: str, taps: Collection[str], measured: Mapping[str, Masks], strengths: GradientNorms | None
) -> list[Probe]:
    """List what is read at a tap: its features, then moments for each mask."""
    features, moments = [FEATURE_PROBE] if tap in taps else [], [moment_probe(mask) for mask in measured.get(tap, ())]
    if strengths is None:
        return features + moments
    return [
        *(normalize_probe(reader, strengths.features[tap]) for reader in features),
        *(normalize_probe(reader, of) for reader, of in zip(moments, strengths.moments.get(tap, ()), strict=True)),
    ]


def _make_mix(weight: Tensor, bias: Tensor) -> nn.Conv2d:
    """Make a 1x1 convolution of a mix (D, C), (D,)."""
    mix = nn.Conv2d(weight.shape[1], weight.shape[0], 1, device="meta")
    mix.load_state_dict({"weight": weight[..., None, None], "bias": bias}, assign=True)
    return mix


def _pad(x: Tensor, padding: Padding) -> Tensor:
    """Frame a map (B, C, h, w) with one more row and column on each side."""
    # Slices instead of F.pad, which on a CPU copies a bfloat16 channels_last map to another layout and back.
    for dimension in (2, 3):
        before, after = _padding_rows(x.shape[dimension], padding)
        x = torch.cat([x.narrow(dimension, before, 1), x, x.narrow(dimension, after, 1)], dimension)
    return x


def _unpad(g: Tensor, padding: Padding) -> Tensor:
    """Carry the gradient (B, C, h + 2, w + 2) of a frame back to the rows and columns that it was made from."""
    for dimension in (3, 2):
        size = g.shape[dimension] - 2
        before, after = _padding_rows(size, padding)
        g.narrow(dimension, 1 + before, 1).add_(g.narrow(dimension, 0, 1))
        g.narrow(dimension, 1 + after, 1).add_(g.narrow(dimension, size + 1, 1))
        g = g.narrow(dimension, 1, size)
    return g


def _padding_rows(size: int, padding: Padding) -> tuple[int, int]:
    """Give the rows, of `size`, that are repeated before the first and after the last."""
    if padding == "circular":
        return size - 1, 0
    near = min(1, size - 1) if padding == "reflect" else 0
    return near, size - 1 - near
