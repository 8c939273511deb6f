"""The fast path as one ONNX graph: a photo, a painting, a size and a strength go in, a picture comes out."""

from collections.abc import Sequence
from typing import Any

import onnx
import torch
from graph import Graph, Value
from onnx import TensorProto, helper
from optimal_map import find_map
from torch import nn

from impasto.fast.canvas import UNTOUCHED, load_fast_network
from impasto.fast.decoder import LEVELS, Block, load_decoder
from impasto.fast.transport import MAX_AMOUNT, MIN_CONTENT, MIN_RIDGE, RIDGE
from impasto.images.color import MAX_GRAY_SPREAD
from impasto.images.color_spaces import LUMA

OPSET = 18  # the first that resizes with antialiasing
CUBIC = {"mode": "cubic", "cubic_coeff_a": -0.5, "antialias": 1}  # as torch and Pillow do


def build_model() -> onnx.ModelProto:
    """Build the model.

    Inputs: `photo` and `painting` (H, W, 4), RGBA in bytes, of which alpha is not read; `size` (), the picture's longer
    side in pixels; `strength` () from 0 to 1. Output: `picture` (H, W, 4).
    """
    g = Graph()
    photo, painting = (to_unit(g, name) for name in ("photo", "painting"))
    rgb, painting_rgb = (fit(g, *each) for each in (("photo", photo), ("painting", painting)))
    styles = [measure(g, level, f) for level, f in enumerate(extract(g, painting_rgb))]
    features = extract(g, rgb)
    picture = decode(g, features, styles)
    picture = g(
        "Add", picture, g("Mul", g("Mul", g("Sub", luma(g, picture), picture), is_gray(g, painting)), "strength")
    )
    picture = keep_photo(g, features, rgb, picture)
    inputs = [
        helper.make_tensor_value_info("photo", TensorProto.UINT8, ["photo_height", "photo_width", 4]),
        helper.make_tensor_value_info("painting", TensorProto.UINT8, ["painting_height", "painting_width", 4]),
        helper.make_tensor_value_info("size", TensorProto.INT32, []),
        helper.make_tensor_value_info("strength", TensorProto.FLOAT, []),
    ]
    output = helper.make_tensor_value_info("picture", TensorProto.UINT8, ["height", "width", 4])
    graph = g.finish(to_bytes(g, picture), inputs, output)
    graph.initializer.extend(g.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    onnx.checker.check_model(model)
    return model


def to_unit(g: Graph, pixels: Value) -> Value:
    """Return RGBA bytes as (1, 3, H, W) in [0, 1]."""
    rgb = g("Slice", g("Cast", pixels, to=TensorProto.FLOAT), [0], [3], [2])
    return g("Div", g("Unsqueeze", g("Transpose", rgb, perm=[2, 0, 1]), [0]), 255.0)


def to_bytes(g: Graph, rgb: Value) -> Value:
    """Return (1, 3, H, W) in [0, 1] as RGBA bytes."""
    rgba = g("Pad", g("Squeeze", rgb, [0]), [0, 0, 0, 1, 0, 0], 1.0)
    scaled = g("Round", g("Mul", g("Transpose", rgba, perm=[1, 2, 0]), 255.0))
    return g("Cast", scaled, to=TensorProto.UINT8)


def fit(g: Graph, pixels: Value, rgb: Value) -> Value:
    """Resize (1, 3, H, W) so that its longer side is `size`; `pixels` has its shape."""
    sides = g("Cast", g("Shape", pixels, end=2), to=TensorProto.DOUBLE)
    scale = g("Div", g("Cast", "size", to=TensorProto.DOUBLE), g("ReduceMax", sides, keepdims=0))
    fitted = g("Cast", g("Round", g("Mul", sides, scale)), to=TensorProto.INT64)
    return g("Clip", resize(g, rgb, fitted, **CUBIC), 0.0, 1.0)


def resize(g: Graph, x: Value, sides: Value, **attributes: Any) -> Value:
    """Resize (1, C, H, W) to two sides."""
    sizes = g("Concat", g("Shape", x, end=2), sides, axis=0)
    return g("Resize", x, "", "", sizes, **attributes)


def measure_sides(g: Graph, x: Value) -> Value:
    """Return the height and width of (1, C, H, W)."""
    return g("Shape", x, start=2)


def extract(g: Graph, rgb: Value) -> list[Value]:
    """Return slim's features of a picture (1, 3, H, W) at the decoder's levels."""
    sides = g("Cast", measure_sides(g, rgb), to=TensorProto.FLOAT)
    found = dict[tuple[float, str], Value]()
    for view in {level.view for level in LEVELS}:
        seen = rgb
        if view != 1:
            reduced = g("Cast", g("Round", g("Mul", sides, view)), to=TensorProto.INT64)
            seen = resize(g, rgb, reduced, mode="linear", antialias=1)
        found |= {(view, tap): f for tap, f in run_network(g, seen).items()}
    return [found[level] for level in LEVELS]


def run_network(g: Graph, rgb: Value) -> dict[str, Value]:
    """Return all layers of slim by name."""
    network = load_fast_network(torch.device("cpu"), torch.float32)
    mean, std = (
        torch.tensor(values).view(1, 3, 1, 1) for values in (network.normalization.mean, network.normalization.std)
    )
    x = g("Div", g("Sub", rgb, mean), std)
    found = {}
    for layer in network.layers:
        if layer.startswith("conv"):
            x = convolve(g, network.convs[layer], x, padding="reflect")
        elif layer.startswith("relu"):
            x = g("Relu", x)
        else:
            x = g("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
        found[layer] = x
    return found


def convolve(g: Graph, conv: nn.Module, x: Value, told: Value = "", padding: str = "edge") -> Value:
    """Convolve a map; `told` (1, C, 1, 1) is added to the bias."""
    assert isinstance(conv, nn.Conv2d)
    assert conv.bias is not None
    if conv.kernel_size[0] > 1:
        x = g("Pad", x, [0, 0, 1, 1, 0, 0, 1, 1], mode=padding)
    bias = g.weight(conv.bias)
    return g("Conv", x, g.weight(conv.weight), g("Add", bias, g("Reshape", told, [-1])) if told else bias)


def decode(g: Graph, features: Sequence[Value], styles: Sequence[tuple[Value, Value]] | None) -> Value:
    """Paint a picture (1, 3, H, W) from a photo's features; without styles, the decoder's guess of the photo itself."""
    decoder = load_decoder(torch.device("cpu"), torch.float32)
    x, amounts = "", list[Value]()
    for level, f in enumerate(features):
        told = convolve(g, decoder.tell[level - 1], g("Concat", *amounts, axis=1)) if level else ""
        coarser, x = x, convolve(g, decoder.skip[level], f, told)
        if level:
            x = g("Add", x, double(g, convolve(g, decoder.up[level - 1], coarser), measure_sides(g, f)))
        for block in decoder.blocks[level].children():
            assert isinstance(block, Block)
            inner = g("Relu", convolve(g, block.one, g("Relu", x)))
            x = g("Add", x, convolve(g, block.two, inner))
        amount = g("Reshape", 0.0, [1, 1, 1, 1])
        if styles:
            x, amount = carry(g, level, x, styles[level])
        amounts.append(amount)
    told = convolve(g, decoder.tell[-1], g("Concat", *amounts, axis=1))
    drawn = convolve(g, decoder.rgb, g("Relu", convolve(g, decoder.last, x, told)))
    return g("Clip", drawn, 0.0, 1.0)


def double(g: Graph, x: Value, sides: Value) -> Value:
    """Enlarge a map to twice its size, and repeat its border or cut it."""
    x = g("Resize", x, "", torch.tensor([1.0, 1.0, 2.0, 2.0]), mode="linear")
    return g("Slice", g("Pad", x, [0, 0, 0, 0, 0, 0, 1, 1], mode="edge"), [0, 0], sides, [2, 3])


def measure(g: Graph, level: int, features: Value) -> tuple[Value, Value]:
    """Return mean (C, 1) and covariance (C, C) of a map."""
    if level == len(LEVELS) - 1:  # of the finest map, every second row and column is measured
        features = g("Slice", features, [0, 0], [2**31, 2**31], [2, 3], [2, 2])
    x = g("Flatten", g("Squeeze", features, [0]), axis=1)
    mean = g("ReduceMean", x, [1])
    centered = g("Sub", x, mean)
    squares = g("MatMul", centered, g("Transpose", centered, perm=[1, 0]))
    count = g("Cast", g("Shape", x, start=1), to=TensorProto.FLOAT)
    return mean, g("Div", squares, count)


def carry(g: Graph, level: int, x: Value, style: tuple[Value, Value]) -> tuple[Value, Value]:
    """Carry a map `strength` of the way to a style; return it and the amount of change (1, 1, 1, 1)."""
    style_mean, wanted = style
    mean, found = measure(g, level, x)
    widths = load_decoder(torch.device("cpu"), torch.float32).widths
    identity = torch.eye(widths[level])
    wanted_size, found_size = (
        g("Div", g("ReduceSum", g("Mul", each, identity), keepdims=0), float(widths[level])) for each in (wanted, found)
    )
    ridge = g("Mul", identity, g("Max", g("Mul", wanted_size, RIDGE), MIN_RIDGE))
    lacking = g("Max", g("Sub", MIN_CONTENT, g("Div", found_size, g("Max", wanted_size, MIN_RIDGE))), 0.0)
    known = g("Add", g("Add", found, g("Mul", lacking, wanted)), ridge)
    matrix = find_map(g, known, g("Add", wanted, ridge), identity)
    change = g("Mul", g("Sub", matrix, identity), "strength")
    mixed = g("Add", identity, change)
    shift = g("Mul", g("Sub", style_mean, mean), "strength")
    moved = g("Mul", g("MatMul", change, found), change)
    moved = g("Add", g("ReduceSum", moved, keepdims=0), g("ReduceSumSquare", shift, keepdims=0))
    amount = g("Sqrt", g("Max", g("Div", moved, g("Add", g("Mul", found_size, float(widths[level])), 1e-8)), 0.0))
    offset = g("Sub", g("Add", mean, shift), g("MatMul", mixed, mean))
    carried = g("Conv", x, g("Unsqueeze", mixed, [2, 3]), g("Squeeze", offset, [1]))
    return carried, g("Reshape", g("Min", amount, MAX_AMOUNT), [1, 1, 1, 1])


def is_gray(g: Graph, painting: Value) -> Value:
    """Return 1 for a painting (1, 3, H, W) that is black and white, else 0."""
    spread = g("Sub", g("ReduceMax", painting, [1]), g("ReduceMin", painting, [1]))
    found = g("LessOrEqual", g("ReduceMax", spread, keepdims=0), MAX_GRAY_SPREAD)
    return g("Cast", found, to=TensorProto.FLOAT)


def luma(g: Graph, rgb: Value) -> Value:
    """Return the luma (1, 1, H, W)."""
    return g("Conv", rgb, LUMA.float().view(1, 3, 1, 1))


def keep_photo(g: Graph, features: Sequence[Value], rgb: Value, picture: Value) -> Value:
    """Below full strength, put the photo itself in place of the decoder's guess of it."""
    partly, fully = Graph(g), Graph(g)
    kept = partly("Sub", 1.0, "strength")
    lost = partly("Sub", rgb, decode(partly, features, None))
    mixed = partly("Clip", partly("Add", picture, partly("Mul", kept, lost)), 0.0, 1.0)
    share = partly("Clip", partly("Div", partly("Sub", kept, UNTOUCHED), 1 - UNTOUCHED), 0.0, 1.0)
    mixed = partly("Add", mixed, partly("Mul", share, partly("Sub", rgb, mixed)))
    branches = [
        each.finish(value, [], helper.make_tensor_value_info(f"{name}_picture", TensorProto.FLOAT, None))
        for name, each, value in (("mixed", partly, mixed), ("whole", fully, picture))
    ]
    return g("If", g("Less", "strength", 1.0), then_branch=branches[0], else_branch=branches[1])
