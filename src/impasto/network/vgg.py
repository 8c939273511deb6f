"""The perceptual network: a VGG of any widths, cut after the deepest tap needed."""

import copy
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import zip_longest
from types import MappingProxyType
from typing import Any, NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

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
from impasto.network.moments import Moments, make_moment_probe
from impasto.settings.types import Padding, Pooling, Rounding, Scaling

Masks = Sequence[Tensor | None]
Crop = Callable[[int], tuple[slice, slice]]  # rows and columns on a grid, by its stride


class GradientNorms(NamedTuple):
    """Target L1 norms of normalized gradients: per tap for features, per tap and mask for moments."""

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
    """How sRGB in [0, 1] becomes a network's input: (rgb - mean) / std, then with reversed channels if `bgr`."""

    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    bgr: bool = False


IMAGENET = Normalization()
CAFFE = Normalization(mean=(123.68 / 255, 116.779 / 255, 103.939 / 255), std=(1 / 255, 1 / 255, 1 / 255), bgr=True)


def rescale_normalization(normalization: Normalization, scaling: Scaling) -> Normalization:
    """Return a network's normalization as another program scales its input.

    `own` changes nothing. `256` multiplies values by 256 where the network was trained on 0 to 255 (neural-style).
    `255` is 0 to 255 minus the mean, without a deviation, as gordicaleksa's, whose weights were trained with one.
    """
    mean, std = normalization.mean, normalization.std
    if scaling == "256":
        (mr, mg, mb), (sr, sg, sb) = ([value * 255 / 256 for value in values] for values in (mean, std))
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
    layer that is kept. `stride[layer]` is the side of a cell of a layer's grid in pixels; `reach[layer]` is how many
    pixels a cell sees beyond its own, to each side.

    A distilled network may have *mixes*: per tap, a 1x1 affine map that reproduces the teacher's feature distances. It
    changes the tap's output only, not the layers above.

    Example: Network(cut="relu4_1")(rgb, ["relu3_1"])["relu3_1"]

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
        if cut is not None and cut not in plan:
            raise UsageError(f"This network has no layer {cut!r}; it has {', '.join(plan)}.")
        self.layers: list[str] = plan if cut is None else plan[: plan.index(cut) + 1]
        self.pooling, self.rounding, self.padding = pooling, rounding, padding
        self.pool_gain: float = POOL_GAIN[pooling] if keep_activation_size else 1.0
        self.normalization = normalization
        self.convs: nn.ModuleDict = nn.ModuleDict()
        self.mixes: nn.ModuleDict = nn.ModuleDict()
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

        Mixes are `TAP_mix.weight` (D, C) and `TAP_mix.bias` (D,), where TAP is `reluX_Y` or `convX_Y`.
        """
        convs = [name for name in weights if re.fullmatch(r"conv\d_\d\.weight", name)]
        blocks = sorted({name[4] for name in convs})
        depths = [sum(name[4] == block for name in convs) for block in blocks]
        widths = [weights[f"conv{block}_1.weight"].shape[0] for block in blocks]
        with torch.device("meta"):  # random weights would only be replaced
            network = cls(widths, depths, cut=cut, **options)
        held = {name: weights[name.removeprefix("convs.")] for name in network.state_dict()}
        network.load_state_dict(held, assign=True)
        for tap in network.layers:
            if (weight := weights.get(f"{tap}_mix.weight")) is not None:
                network.mixes[tap] = mix = nn.Conv2d(weight.shape[1], weight.shape[0], 1, device="meta")
                held = {"weight": weight[..., None, None], "bias": weights[f"{tap}_mix.bias"]}
                mix.load_state_dict(held, assign=True)
        return network.requires_grad_(False).eval()

    def forward(self, rgb: Tensor, taps: Collection[str]) -> dict[str, Tensor]:
        """Return {tap: features (B, C, h, w)} of `rgb` (B, 3, H, W), sRGB in [0, 1], with the taps' mixes applied."""
        return {tap: self.apply_mix(tap, features) for tap, features in self.extract(rgb, taps)[0].items()}

    def extract(
        self,
        rgb: Tensor,
        taps: Collection[str],
        moment_masks: Mapping[str, Masks] = MappingProxyType({}),
        gradient_norms: GradientNorms | None = None,
        crop: Crop | None = None,
    ) -> tuple[dict[str, Tensor], dict[str, list[Moments]]]:
        """Return features (1, C, h, w) at `taps`, and moments for each tap and mask of `moment_masks`, before mixes.

        `rgb` (1, 3, H, W) is sRGB in [0, 1]; a mask is (1, 1, h, w), or None for all of the tap's grid. Moments are
        cheaper here than measured from features. Gradients flow to `rgb`, once; the weights are frozen. With
        `gradient_norms`, the gradients from a tap's features, and from the moments of each mask, are scaled to these L1
        norms, which include the losses' weights. `crop` returns the part of a grid to read, given its stride: features
        and masks are of that part.

        Raises UsageError for a tap that the network lacks.
        """
        needed = {*taps, *moment_masks}
        if missing := sorted(needed - set(self.layers)):
            raise UsageError(f"This network has no tap {missing[0]!r}; it has {', '.join(self.layers)}.")
        needs_grad = torch.is_grad_enabled() and rgb.requires_grad
        chain = self._build_chain(taps, moment_masks, gradient_norms, crop, needs_grad=needs_grad)
        read = iter(FrozenPass.apply(self._normalize(rgb), chain, needs_grad))  # type: ignore[no-untyped-call]
        features, moments = {}, {}
        for layer in self.layers:
            if layer in taps:
                features[layer] = next(read)
            if layer in moment_masks:
                moments[layer] = [Moments(next(read), next(read), next(read)) for _ in moment_masks[layer]]
        return features, moments

    def with_padding(self, padding: Padding) -> "Network":
        """Return the network with the same weights and another padding; the same object each time."""
        if padding == self.padding:
            return self
        if padding not in self._variants:
            variant = copy.copy(self)
            variant.padding, variant._convolutions, variant._variants = padding, {}, {}
            self._variants[padding] = variant
        return self._variants[padding]

    def apply_mix(self, tap: str, features: Tensor) -> Tensor:
        """Apply a tap's mix, if it has one, to its features (B, C, h, w)."""
        if tap not in self.mixes:
            return features
        weight, bias = (parameter.to(features) for parameter in self.mixes[tap].parameters())
        return F.conv2d(features, weight, bias)

    def mix_moments(self, tap: str, moments: Moments) -> Moments:
        """Apply a tap's mix, if it has one, to its moments: cheaper than to the features at each position."""
        if tap not in self.mixes:
            return moments
        weight, bias = (parameter.to(moments.total) for parameter in self.mixes[tap].parameters())
        return moments.mapped(weight.flatten(1), bias)

    def _build_chain(
        self,
        taps: Collection[str],
        moment_masks: Mapping[str, Masks],
        gradient_norms: GradientNorms | None,
        crop: Crop | None,
        *,
        needs_grad: bool,
    ) -> list[tuple[Layer, list[Probe]]]:
        """List the layers down to the deepest one needed, with the probes after each."""
        needed = {*taps, *moment_masks}
        layers = self.layers[: 1 + max(map(self.layers.index, needed), default=-1)]
        chain: list[tuple[Layer, list[Probe]]] = []
        for layer, following, after in zip_longest(layers, layers[1:], layers[2:], fillvalue=""):
            apply = self._make_layer(layer, following, after, needed, needs_grad=needs_grad)
            if apply is not None:
                tap = following if layer.startswith("conv") and layer not in needed else layer
                probes = _list_probes(tap, taps, moment_masks, gradient_norms)
                if crop:
                    probes = [crop_probe(probe, *crop(self.stride[tap])) for probe in probes]
                chain.append((apply, probes))
        return chain

    def _make_layer(
        self, layer: str, following: str, after: str, needed: Collection[str], *, needs_grad: bool
    ) -> Layer | None:
        """Return a layer's function, given the next two layers; None if the layer before it computes it too."""
        if layer.startswith("conv"):
            convolve = partial(self._convolve, layer, has_relu=layer not in needed, needs_grad=needs_grad)
            # A max pool's backward function includes the ReLU's, unless something is read between the two.
            is_pooled = self.pooling == "max" and after.startswith("pool") and following not in needed
            return convolve if layer in needed or is_pooled else partial(apply_fused_relu, convolve)
        if layer.startswith("relu"):
            return relu if layer.replace("relu", "conv") in needed else None
        return self._make_pool(layer, needed)

    def _make_pool(self, layer: str, needed: Collection[str]) -> Layer:
        if self.pooling == "max":
            index = self.layers.index(layer)
            pool: Layer = partial(max_pool, overwrite=not {*self.layers[index - 2 : index]} & {*needed})
        else:
            pool = partial(apply_by_autograd, self._pool_smoothly)
        return partial(max_pool_ceil, pool) if self.rounding == "up" else pool

    def _normalize(self, rgb: Tensor) -> Tensor:
        """Normalize `rgb` as the first layer was trained, at its own precision, then convert to the network's."""
        known = self.normalization
        mean, std = (rgb.new_tensor(values).view(1, 3, 1, 1) for values in (known.mean, known.std))
        x = ((rgb - mean) / std).to(next(self.parameters()).dtype)
        return x.flip(1) if self.normalization.bgr else x

    def _convolve(self, layer: str, x: Tensor, *, has_relu: bool, needs_grad: bool) -> tuple[Tensor, Backward]:
        padding = self.padding
        if padding == "replicate-first":  # as in style-transfer-pytorch: no dark frame at the picture's border
            padding = "replicate" if layer == "conv1_1" else "zero"
        if layer not in self._convolutions:
            weight, bias = self.convs[layer].parameters()
            self._convolutions[layer] = Convolution(weight, bias, padding=1 if padding == "zero" else 0)
        if padding == "zero":
            return self._convolutions[layer](x, has_relu=has_relu, needs_grad=needs_grad)
        y, backward = self._convolutions[layer](_pad(x, padding), has_relu=has_relu, needs_grad=needs_grad)
        return y, lambda g: _unpad(backward(g), padding)

    @override
    def _apply(self, *args: Any, **options: Any) -> Self:
        self._convolutions.clear()  # they hold the weights as they were
        self._variants.clear()
        return super()._apply(*args, **options)  # type: ignore[no-any-return, no-untyped-call]

    def _pool_smoothly(self, x: Tensor) -> Tensor:
        if self.pooling == "average":
            return F.avg_pool2d(x, 2) * self.pool_gain
        # The root of the sum of four squares; the small constant keeps the gradient finite at 0.
        return (F.avg_pool2d(x * x, 2) * 4 + 1e-12).sqrt() * self.pool_gain


def _list_probes(
    tap: str, taps: Collection[str], moment_masks: Mapping[str, Masks], norms: GradientNorms | None
) -> list[Probe]:
    """List the probes of a tap: its features, then moments for each mask."""
    features = [FEATURE_PROBE] if tap in taps else []
    moments = [make_moment_probe(mask) for mask in moment_masks.get(tap, ())]
    if norms is None:
        return features + moments
    return [
        *(normalize_probe(probe, norms.features[tap]) for probe in features),
        *(normalize_probe(probe, norm) for probe, norm in zip(moments, norms.moments.get(tap, ()), strict=True)),
    ]


def _pad(x: Tensor, padding: Padding) -> Tensor:
    """Add a row and a column on each side of a map (B, C, h, w)."""
    batch, channels, height, width = x.shape
    # Not by F.pad: on a CPU it copies a bfloat16 channels_last map to another layout and back.
    padded = x.new_empty(batch, height + 2, width + 2, channels).permute(0, 3, 1, 2)
    padded[..., 1:-1, 1:-1] = x
    for dimension, size in ((2, height), (3, width)):  # columns last: they include the corners
        before, after = _padding_rows(size, padding)
        padded.narrow(dimension, 0, 1).copy_(padded.narrow(dimension, 1 + before, 1))
        padded.narrow(dimension, size + 1, 1).copy_(padded.narrow(dimension, 1 + after, 1))
    return padded


def _unpad(g: Tensor, padding: Padding) -> Tensor:
    """Carry the gradient (B, C, h + 2, w + 2) of a padded map back to the map (B, C, h, w)."""
    for dimension in (3, 2):
        size = g.shape[dimension] - 2
        before, after = _padding_rows(size, padding)
        g.narrow(dimension, 1 + before, 1).add_(g.narrow(dimension, 0, 1))
        g.narrow(dimension, 1 + after, 1).add_(g.narrow(dimension, size + 1, 1))
        g = g.narrow(dimension, 1, size)
    return g


def _padding_rows(size: int, padding: Padding) -> tuple[int, int]:
    """Return the rows, of `size`, that are repeated before the first and after the last."""
    if padding == "circular":
        return size - 1, 0
    near = min(1, size - 1) if padding == "reflect" else 0
    return near, size - 1 - near
