"""The perceptual network: its taps, what a cell sees, its borders and poolings, against planted answers."""

from collections.abc import Callable
from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from impasto.errors import UsageError
from impasto.network.frozen import MAX_PACKED_SIZES, ONEDNN_OPERATORS, Convolution, PackedWeight, _can_pack
from impasto.network.moments import measure_moments
from impasto.network.vgg import (
    CAFFE,
    VGG16_DEPTHS,
    VGG19_DEPTHS,
    VGG_WIDTHS,
    Network,
    Normalization,
    Padding,
    Pooling,
    plan_layers,
)
from impasto.network.winograd import WinogradWeight

PLAIN = Normalization(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))  # the network sees the numbers themselves
WIDTHS = (2, 2, 2, 2, 2)


def make_network(widths: tuple[int, ...] = WIDTHS, depths: tuple[int, ...] = VGG19_DEPTHS, **options: Any) -> Network:
    """Draw a tiny network in float64 whose units are mostly awake."""
    chance = torch.Generator().manual_seed(3)
    network = Network(widths, depths, **options).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.rand(parameter.shape, generator=chance) - 0.3)
    return network


def plant(values: list[list[float]], **options: Any) -> Network:
    """Build one block with two convolutions, each 3x3 kernel being `values` on the first channel alone."""
    network = Network((1,), (2,), normalization=PLAIN, **options).double()
    with torch.no_grad():
        for conv in network.convs.values():
            conv.weight.zero_()
            conv.weight[0, 0] = torch.tensor(values)
            conv.bias.zero_()
    return network


SEE_ONE = [[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
SUM_ALL = [[1.0, 1.0, 1.0]] * 3
LEFT = [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]  # the pixel to the left
RIGHT = [[0.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]


def gray(rows: list[list[float]]) -> Tensor:
    """Make a picture whose red channel is `rows`, the others 9."""
    picture = torch.full((1, 3, len(rows), len(rows[0])), 9.0, dtype=torch.float64)
    picture[0, 0] = torch.tensor(rows)
    return picture


def picture(height: int, width: int, seed: int = 1) -> Tensor:
    return torch.rand(1, 3, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def check_gradients(see: Callable[[Tensor], tuple[Tensor, ...]], canvas: Tensor) -> None:
    """Compare the gradient of a random sum of what is seen with differences of the sum, pixel by pixel."""
    weights = [
        torch.randn(seen.shape, dtype=seen.dtype, generator=torch.Generator().manual_seed(2)) for seen in see(canvas)
    ]

    def weigh(rgb: Tensor) -> Tensor:
        return torch.stack([(weight * seen).sum() for weight, seen in zip(weights, see(rgb), strict=True)]).sum()

    variable = canvas.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(weigh(variable), variable)
    expected, change = torch.zeros_like(canvas), 1e-6
    for place in range(canvas.numel()):
        there = torch.zeros_like(canvas)
        there.view(-1)[place] = change
        expected.view(-1)[place] = (weigh(canvas + there) - weigh(canvas - there)) / (2 * change)
    torch.testing.assert_close(gradient, expected, rtol=1e-5, atol=1e-6)


# The plan


def test_layers_have_the_usual_names() -> None:
    assert plan_layers((2, 1)) == ["conv1_1", "relu1_1", "conv1_2", "relu1_2", "pool1", "conv2_1", "relu2_1", "pool2"]
    assert sum(layer.startswith("conv") for layer in plan_layers(VGG19_DEPTHS)) == 16
    assert sum(layer.startswith("conv") for layer in plan_layers(VGG16_DEPTHS)) == 13
    # torchvision numbers the same layers: features.34 is VGG-19's last convolution, features.28 VGG-16's.
    assert plan_layers(VGG19_DEPTHS).index("conv5_4") == 34
    assert plan_layers(VGG16_DEPTHS).index("conv5_3") == 28


def test_the_default_network_is_vgg19() -> None:
    with torch.device("meta"):
        network = Network(VGG_WIDTHS)
    shapes = {name: tuple(conv.weight.shape) for name, conv in network.convs.items()}
    assert shapes["conv1_1"] == (64, 3, 3, 3)
    assert shapes["conv3_1"] == (256, 128, 3, 3)
    assert shapes["conv5_4"] == (512, 512, 3, 3)
    assert sum(parameter.numel() for parameter in network.parameters()) == 20_024_384  # torchvision's vgg19.features


def test_taps_have_the_widths_and_sizes_of_their_layers() -> None:
    network = make_network((2, 3, 4, 5, 6))
    taps = ["conv1_1", "relu1_2", "pool1", "conv2_2", "relu3_4", "conv4_2", "relu5_1", "pool5"]
    found = network(picture(64, 48), taps)
    assert list(found) == taps
    shapes = {tap: tuple(features.shape) for tap, features in found.items()}
    assert shapes == {
        "conv1_1": (1, 2, 64, 48),
        "relu1_2": (1, 2, 64, 48),
        "pool1": (1, 2, 32, 24),
        "conv2_2": (1, 3, 32, 24),
        "relu3_4": (1, 4, 16, 12),
        "conv4_2": (1, 5, 8, 6),
        "relu5_1": (1, 6, 4, 3),
        "pool5": (1, 6, 2, 1),
    }
    for tap in taps:
        assert shapes[tap][2] == 64 // network.stride[tap]


def test_cut_network_equals_the_whole_one() -> None:
    whole, cut = make_network(), make_network(cut="conv3_2")
    assert cut.layers[-1] == "conv3_2"
    assert list(cut.convs)[-1] == "conv3_2"
    taps = ["relu2_1", "conv3_2"]
    for tap in taps:
        assert torch.equal(cut(picture(16, 16), taps)[tap], whole(picture(16, 16), taps)[tap])


def test_unknown_tap_is_refused() -> None:
    with pytest.raises(UsageError, match=r"no tap 'relu4_4'; it has conv1_1, relu1_1, .*relu3_1\."):
        make_network(cut="relu3_1")(picture(16, 16), ["relu1_1", "relu4_4"])


def test_from_weights_returns_a_frozen_network() -> None:
    made = make_network((2, 3, 4, 5, 6), VGG16_DEPTHS).float()
    weights = {name.removeprefix("convs."): tensor for name, tensor in made.state_dict().items()}
    network = Network.from_weights(weights, cut="relu4_3", pooling="l2")
    assert network.layers == plan_layers(VGG16_DEPTHS)[: plan_layers(VGG16_DEPTHS).index("relu4_3") + 1]
    assert torch.equal(network.convs["conv4_3"].weight, made.convs["conv4_3"].weight)
    assert network.pooling == "l2"
    assert not any(parameter.requires_grad for parameter in network.parameters())


# What a cell sees


@pytest.mark.parametrize("tap", ["conv1_1", "relu1_2", "pool1", "conv2_1", "relu3_1", "conv3_4", "relu4_1"])
@pytest.mark.parametrize("pooling", ["max", "average"])
def test_reach_equals_the_gradient_of_one_cell(tap: str, pooling: Pooling) -> None:
    network = make_network(cut=tap, pooling=pooling)
    stride, reach = network.stride[tap], network.reach[tap]
    cell = -(-reach // stride) + 1  # far enough from the border
    touched = touch(network, tap, cell, (2 * cell + 1) * stride)
    assert touched[0] >= cell * stride - reach
    assert touched[1] <= (cell + 1) * stride - 1 + reach
    if pooling == "average" or stride == 1:  # a maximum looks at all four but answers for one
        assert touched == (cell * stride - reach, (cell + 1) * stride - 1 + reach)
        assert touched[1] - touched[0] + 1 == stride + 2 * reach


def touch(network: Network, tap: str, cell: int, size: int) -> tuple[int, int]:
    """Return the first and the last row of a picture that one cell of a tap answers for, over several pictures."""
    rows = torch.zeros(size, dtype=torch.bool)
    for seed in range(3):
        canvas = picture(size, size, seed).requires_grad_()
        (gradient,) = torch.autograd.grad(network(canvas, [tap])[tap][0, :, cell, cell].sum(), canvas)
        rows |= gradient.abs().sum((0, 1, 3)) > 0
        columns = (gradient.abs().sum((0, 1, 2)) > 0).nonzero()
        assert columns.max() - columns.min() < network.stride[tap] + 2 * network.reach[tap]
    touched = rows.nonzero()
    return int(touched.min()), int(touched.max())


def test_relu5_1_reaches_70_pixels_beyond_its_16() -> None:
    network = make_network(cut="relu5_1", pooling="average")
    assert (network.stride["relu5_1"], network.reach["relu5_1"]) == (16, 70)
    assert touch(network, "relu5_1", cell=5, size=11 * 16) == (5 * 16 - 70, 6 * 16 - 1 + 70)


def test_window_with_halo_equals_the_whole_picture() -> None:
    network = make_network(cut="relu3_1")
    whole = network(picture(128, 64), ["relu3_1"])["relu3_1"]
    halo = -(-network.reach["relu3_1"] // 4) * 4  # reach, rounded up to the stride
    window = picture(128, 64)[:, :, 48 - halo : 80 + halo]
    seen = network(window, ["relu3_1"])["relu3_1"][:, :, halo // 4 : -halo // 4]
    torch.testing.assert_close(seen, whole[:, :, 12:20], rtol=1e-12, atol=1e-12)


# Pooling


@pytest.mark.parametrize(
    ("pooling", "keep", "expected"),
    [
        ("max", True, [[4.0, 9.0]]),
        ("max", False, [[4.0, 9.0]]),
        ("average", True, [[5.0, 10.5]]),  # 2 x the mean of 1 2 3 4 and of 1 3 8 9
        ("average", False, [[2.5, 5.25]]),
        ("l2", True, [[0.78 * 30**0.5, 0.78 * 155**0.5]]),
        ("l2", False, [[30**0.5, 155**0.5]]),  # the root of 1 + 4 + 9 + 16
    ],
)
def test_pooling_equals_hand_computed_values(pooling: Pooling, keep: bool, expected: list[list[float]]) -> None:
    network = plant(SEE_ONE, pooling=pooling, keep_activation_size=keep)
    odd = gray([[1, 2, 1, 3, 7], [3, 4, 8, 9, 7], [7, 7, 7, 7, 7]])  # the odd row and column fall away
    found = network(odd, ["pool1"])["pool1"][0, 0]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("pooling", get_args(Pooling))
def test_black_picture_has_a_finite_gradient(pooling: Pooling) -> None:
    dark = torch.zeros(1, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    plant(SEE_ONE, pooling=pooling)(dark, ["pool1"])["pool1"].sum().backward()
    assert dark.grad is not None
    assert dark.grad.isfinite().all()


# Padding


@pytest.mark.parametrize(
    ("padding", "left", "right"),
    [
        ("zero", [0, 0, 1], [3, 0, 0]),
        ("replicate", [1, 1, 1], [3, 3, 3]),
        ("replicate-first", [0, 1, 1], [3, 3, 0]),  # only what conv1_1 sees is repeated
        ("reflect", [1, 2, 1], [3, 2, 3]),
        ("circular", [2, 3, 1], [3, 1, 2]),
    ],
)
def test_padding_equals_hand_computed_values(padding: Padding, left: list[float], right: list[float]) -> None:
    row = gray([[1, 2, 3]] * 3)
    # Through two convolutions, each answering with its neighbour: `1 2 3` moves two places in from the border.
    for kernel, expected in ((LEFT, left), (RIGHT, right)):
        found = plant(kernel, padding=padding)(row, ["conv1_2"])["conv1_2"][0, 0]
        assert found.tolist() == [expected] * 3
        turned = plant([list(column) for column in zip(*kernel, strict=True)], padding=padding)
        found = turned(row.mT, ["conv1_2"])["conv1_2"][0, 0]
        assert found.mT.tolist() == [expected] * 3


@pytest.mark.parametrize(("padding", "corner"), [("zero", 12), ("replicate", 21), ("reflect", 33), ("circular", 45)])
def test_corners_equal_hand_computed_values(padding: Padding, corner: float) -> None:
    # Around the corner pixel 1 of 1 2 / 4 5: zero 1+2+4+5; replicate 1+1+2+1+1+2+4+4+5; reflect 5+4+5+2+1+2+5+4+5.
    found = plant(SUM_ALL, padding=padding)(gray([[1, 2, 3], [4, 5, 6], [7, 8, 9]]), ["conv1_1"])["conv1_1"]
    assert found[0, 0, 0, 0] == corner


def test_circular_padding_hides_the_border() -> None:
    network, seen = make_network(padding="circular"), picture(16, 24)
    moved = network(seen.roll((8, 4), (2, 3)), ["relu3_1"])["relu3_1"]  # by two cells, and by one
    torch.testing.assert_close(moved, network(seen, ["relu3_1"])["relu3_1"].roll((2, 1), (2, 3)), rtol=1e-12, atol=0)


@pytest.mark.parametrize("padding", get_args(Padding))
def test_single_cell_is_padded(padding: Padding) -> None:
    canvas = picture(4, 4).requires_grad_()
    make_network(padding=padding)(canvas, ["relu3_1"])["relu3_1"].sum().backward()
    assert canvas.grad is not None
    assert bool(canvas.grad.isfinite().all())


def test_with_padding_shares_the_weights() -> None:
    network = make_network(padding="circular")
    other = network.with_padding("replicate")
    assert other is network.with_padding("replicate")
    assert network.with_padding("circular") is network
    assert torch.equal(
        other(picture(8, 8), ["relu2_1"])["relu2_1"],
        make_network(padding="replicate")(picture(8, 8), ["relu2_1"])["relu2_1"],
    )
    half = network.half().with_padding("replicate")
    assert half(picture(8, 8).half(), ["relu2_1"])["relu2_1"].dtype == torch.float16


# Input


def test_network_owns_its_normalization() -> None:
    network = Network((3,), (1,)).double()
    with torch.no_grad():
        network.convs["conv1_1"].weight.zero_()
        network.convs["conv1_1"].weight[range(3), range(3), 1, 1] = 1.0
        network.convs["conv1_1"].bias.zero_()
    white = torch.ones(1, 3, 2, 2, dtype=torch.float64)
    found = network(white, ["conv1_1"])["conv1_1"][0, :, 0, 0]
    expected = torch.tensor([0.515 / 0.229, 0.544 / 0.224, 0.594 / 0.225], dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)


def test_caffe_input_is_bgr_minus_mean() -> None:
    network = Network((3,), (1,), normalization=CAFFE)
    with torch.no_grad():
        network.convs["conv1_1"].weight.zero_()
        network.convs["conv1_1"].weight[range(3), range(3), 1, 1] = 1.0
        network.convs["conv1_1"].bias.zero_()
    red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
    found = network(red, ["conv1_1"])["conv1_1"].flatten()
    torch.testing.assert_close(found, torch.tensor([-103.939, -116.779, 255 - 123.68]), rtol=0, atol=2e-3)


def test_normalization_is_not_in_the_state() -> None:
    assert {name.split(".")[0] for name in Network(WIDTHS).state_dict()} == {"convs"}


# Mixes


def mixing() -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """Name the weights of a tiny network, and draw a mix of two channels into three."""
    chance = torch.Generator().manual_seed(4)
    mix, bias = (torch.randn(shape, dtype=torch.float64, generator=chance) for shape in ((3, 2), (3,)))
    return {name.removeprefix("convs."): tensor for name, tensor in make_network().state_dict().items()}, mix, bias


@pytest.mark.parametrize("tap", ["relu2_1", "conv2_1"])
def test_mix_changes_its_tap_only(tap: str) -> None:
    held, mix, bias = mixing()
    plain = Network.from_weights(held)
    mixed = Network.from_weights({**held, f"{tap}_mix.weight": mix, f"{tap}_mix.bias": bias})
    taps = [layer for layer in plain.layers if not layer.startswith("pool")]
    found, expected = mixed(picture(32, 32), taps), plain(picture(32, 32), taps)
    planted = torch.einsum("dc,bchw->bdhw", mix, expected[tap]) + bias[:, None, None]
    torch.testing.assert_close(found.pop(tap), planted)
    for other, features in found.items():
        assert torch.equal(features, expected[other])
    assert torch.equal(mixed(picture(32, 32), ["relu2_2"])["relu2_2"], expected["relu2_2"])


def test_mix_is_converted_frozen_and_cut() -> None:
    held, mix, bias = mixing()
    held |= {"relu2_1_mix.weight": mix, "relu2_1_mix.bias": bias}
    network = Network.from_weights(held, cut="relu2_1").to(torch.float32)
    assert network(picture(16, 16).float(), ["relu2_1"])["relu2_1"].dtype is torch.float32
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert not Network.from_weights(held, cut="relu1_2").mixes


def test_gradients_go_through_a_mix() -> None:
    held, mix, bias = mixing()
    network = Network.from_weights({**held, "relu1_2_mix.weight": mix, "relu1_2_mix.bias": bias}, cut="relu2_1")
    check_gradients(lambda canvas: tuple(network(canvas, ["relu1_2", "relu2_1"]).values()), picture(4, 6))


# Taps hold what they name


def test_conv_tap_keeps_negative_values() -> None:
    network = make_network((8,) * 5)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.sub_(0.2)  # as many negative as positive
    alone = network(picture(32, 32), ["conv4_2"])["conv4_2"]
    taps = [layer for layer in network.layers if not layer.startswith("pool")]
    together = network(picture(32, 32), taps)
    assert torch.equal(together["conv4_2"], alone)
    for conv in network.convs:
        assert (together[conv] < 0).any()
        assert torch.equal(together[conv.replace("conv", "relu")], together[conv].relu())


def test_unfused_relu_changes_nothing() -> None:
    network = make_network()
    gradients = []
    for taps in (["relu3_1"], ["conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1", "relu3_1"]):
        canvas = picture(16, 16).requires_grad_()
        network(canvas, taps)["relu3_1"].square().sum().backward()
        gradients.append(canvas.grad)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-12, atol=0)


def test_input_is_not_modified() -> None:
    seen = picture(16, 16)
    before = seen.clone()
    make_network(normalization=PLAIN)(seen, ["relu2_1"])
    assert torch.equal(seen, before)


@pytest.mark.parametrize("pooling", get_args(Pooling))
@pytest.mark.parametrize("padding", get_args(Padding))
def test_gradients_equal_numerical_ones(pooling: Pooling, padding: Padding) -> None:
    network = make_network((2, 2), (1, 1), pooling=pooling, padding=padding).requires_grad_(False)

    def see(canvas: Tensor) -> tuple[Tensor, ...]:
        return tuple(network(canvas, ["conv1_1", "relu1_1", "relu2_1"]).values())

    check_gradients(see, picture(4, 6))


@pytest.mark.parametrize("padding", get_args(Padding))
def test_channels_last_changes_nothing(padding: Padding) -> None:
    network = make_network(padding=padding)
    planar = network(picture(16, 16), ["relu3_1"])["relu3_1"]
    last = network.to(memory_format=torch.channels_last)(  # type: ignore[call-overload]
        picture(16, 16).contiguous(memory_format=torch.channels_last), ["relu3_1"]
    )["relu3_1"]
    torch.testing.assert_close(last, planar)


def test_second_backward_is_refused() -> None:
    canvas = picture(8, 8).requires_grad_()
    seen = make_network(cut="relu1_2")(canvas, ["relu1_2"])["relu1_2"].sum()
    seen.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="gone through this pass already"):
        seen.backward()


def test_backward_leaves_features_unchanged() -> None:
    canvas = picture(8, 8).requires_grad_()
    found = make_network(cut="pool2")(canvas, ["relu1_1", "pool1", "relu2_2", "pool2"])
    before = {tap: features.detach().clone() for tap, features in found.items()}
    torch.stack([features.sum() for features in found.values()]).sum().backward()
    for tap, features in found.items():
        assert torch.equal(features, before[tap])


def test_several_masks_are_read_in_one_pass() -> None:
    network = make_network()
    left = torch.zeros(1, 1, 8, 8)
    left[..., :5] = torch.rand(5)
    canvas = picture(16, 16).requires_grad_()
    features, moments = network.extract(canvas, ["relu2_1"], {"relu2_1": [left, None, 1 - left], "relu2_2": [left]})
    direct = network(canvas, ["relu2_1", "relu2_2"])
    torch.testing.assert_close(features["relu2_1"], direct["relu2_1"])
    masks: dict[str, list[Tensor | None]] = {"relu2_1": [left, None, 1 - left], "relu2_2": [left]}
    expected = {tap: [measure_moments(direct[tap], mask) for mask in listed] for tap, listed in masks.items()}
    losses = []
    for found in (moments, expected):
        weighed = [
            (1 + place) * (part.outer.square().sum() + part.total.sum())
            for its in found.values()
            for place, part in enumerate(its)
        ]
        losses.append(torch.stack(weighed).sum())
        assert [len(its) for its in found.values()] == [3, 1]
    torch.testing.assert_close(losses[0], losses[1])
    torch.testing.assert_close(*(torch.autograd.grad(loss, canvas, retain_graph=True)[0] for loss in losses))


def test_private_onednn_operators_keep_their_signatures() -> None:
    """They are pinned by torch's version: another one must not call them with other arguments in silence."""
    names = {
        "_is_mkldnn_bf16_supported": [],
        "_reorder_convolution_weight": ["self", "padding", "stride", "dilation", "groups", "input_size"],
        "_convolution_pointwise": (
            ["X", "W", "B", "padding", "stride", "dilation", "groups", "attr", "scalars", "algorithm"]
        ),
    }
    assert set(names) == set(ONEDNN_OPERATORS)
    for name, wanted in names.items():
        operator = getattr(torch.ops.mkldnn, name, None)
        if operator is not None:
            assert [argument.name for argument in operator.default._schema.arguments] == wanted


@pytest.mark.skipif(not _can_pack(), reason="the processor has no bfloat16, or torch no oneDNN")
def test_a_weight_is_packed_for_each_size_of_map_where_its_order_depends_on_it() -> None:
    generator = torch.Generator().manual_seed(0)
    for channels, sizes in ((64, 1), (96, MAX_PACKED_SIZES)):
        weight = torch.randn(channels, channels, 3, 3, generator=generator)
        packed, plain = PackedWeight(weight.bfloat16(), 0), Convolution(weight, torch.zeros(channels), 0)
        for width in range(4, 5 + MAX_PACKED_SIZES):
            x = torch.randn(1, channels, 5, width, generator=generator)
            y, wanted = (
                packed.convolve(x.bfloat16(), None, has_relu=False).float(),
                plain(x, has_relu=False, needs_grad=False)[0],
            )
            assert (y - wanted).norm() < 0.01 * wanted.norm()
            assert len(packed.by_size) <= sizes
        assert len(packed.by_size) == 1  # of the last map alone, after so many


@pytest.mark.skipif(not _can_pack(), reason="the processor has no bfloat16, or torch no oneDNN")
@pytest.mark.parametrize("padding", [0, 1])
def test_packed_convolutions_equal_plain_ones(padding: int) -> None:
    generator = torch.Generator().manual_seed(0)
    weight, bias = torch.randn(8, 4, 3, 3, generator=generator), torch.randn(8, generator=generator)
    x = torch.randn(1, 4, 9, 11, generator=generator)
    plain, packed = (
        Convolution(weight.to(dtype), bias.to(dtype), padding) for dtype in (torch.float32, torch.bfloat16)
    )
    assert packed.is_packed
    (y, backward), (wanted, wanted_backward) = (
        each(x.to(each.weight.dtype), has_relu=True, needs_grad=True) for each in (packed, plain)
    )
    torch.testing.assert_close(y.float(), wanted, atol=0.1, rtol=0.02)
    g = torch.randn(wanted.shape, generator=generator)
    torch.testing.assert_close(backward(g.bfloat16()).float(), wanted_backward(g), atol=0.2, rtol=0.02)


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("size", [(12, 16), (17, 39), (90, 70)])  # whole squares; others; several strips
def test_winograd_convolves_and_goes_back_as_a_plain_convolution_does(size: tuple[int, int], padding: int) -> None:
    generator = torch.Generator().manual_seed(0)
    weight, bias = torch.randn(6, 5, 3, 3, generator=generator).double(), torch.randn(6, generator=generator).double()
    x = torch.randn(1, 5, *size, generator=generator).double().requires_grad_()
    wanted = torch.nn.functional.conv2d(x, weight, bias, padding=padding)
    g = torch.randn(wanted.shape, generator=generator).double()
    wanted.backward(g)
    winograd = WinogradWeight(weight)
    torch.testing.assert_close(winograd.convolve(x.detach(), bias, padding), wanted.detach())
    torch.testing.assert_close(winograd.convolve_back(g, padding), x.grad)


def test_winograd_is_used_for_gradients_in_float32_alone_and_is_precise_enough() -> None:
    generator = torch.Generator().manual_seed(0)
    weight, bias = torch.randn(96, 64, 3, 3, generator=generator), torch.randn(96, generator=generator)
    x = torch.randn(1, 64, 33, 47, generator=generator).contiguous(memory_format=torch.channels_last)
    g = torch.randn(1, 96, 33, 47, generator=generator)
    exact, backward = Convolution(weight.double(), bias.double(), 1)(x.double(), has_relu=False, needs_grad=True)
    convolution = Convolution(weight, bias, 1)
    plain, _ = convolution(x, has_relu=False, needs_grad=False)
    assert "winograd" not in vars(convolution)
    quick, quick_backward = convolution(x, has_relu=False, needs_grad=True)
    assert "winograd" in vars(convolution)
    assert 0 < float((quick - plain).norm() / plain.norm()) < 1e-5
    assert float((quick - exact).norm() / exact.norm()) < 1e-5
    wanted = backward(g.double())
    assert float((quick_backward(g) - wanted).norm() / wanted.norm()) < 1e-5
