"""Hand-written forward and backward passes through a frozen network: no weight gradients, few maps kept."""

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from impasto.network.winograd import WinogradWeight

Backward = Callable[[Tensor], Tensor]  # from the gradient of a layer's output to that of its input
Layer = Callable[[Tensor], tuple[Tensor, Backward]]

MAX_PACKED_SIZES = 32  # for which a weight is kept: of views, and of tiles in the middle, at a side and in a corner
# Private operators of torch 2.13, tested in tests/test_network.py; without them a plain convolution is used.
ONEDNN_OPERATORS = ("_is_mkldnn_bf16_supported", "_reorder_convolution_weight", "_convolution_pointwise")


class Probe(NamedTuple):
    """Reads tensors from a layer's output, and carries their gradients back to it.

    `read(output)` returns the tensors. `backward(output, grad, *read_grads)` returns the gradient of `output`: `grad`
    (or None) plus the contribution of each tensor read, whose gradient may be None. It may reuse the memory of `grad`.
    """

    read: Callable[[Tensor], tuple[Tensor, ...]]
    backward: Callable[..., Tensor]


class FrozenPass(torch.autograd.Function):
    """A chain of layers with probes after some; differentiable once, with respect to the input.

    The numbers equal those of autograd through the same layers. A layer keeps only what its own gradient needs (a
    ReLU's output, a pool's differences), and frees it as soon as the gradient has passed.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, chain: Sequence[tuple[Layer, Sequence[Probe]]], needs_grad: bool
    ) -> tuple[Tensor, ...]:
        """Send `x` (B, C, H, W) through `chain`; return all tensors that its probes read, in order."""
        ctx.set_materialize_grads(False)
        ctx.tape, found = [], []
        for layer, probes in chain:
            x, backward = layer(x)
            read = [(probe, probe.read(x)) for probe in probes]
            found += [tensor for _, tensors in read for tensor in tensors]
            if needs_grad:
                ctx.tape.append((backward, [(probe, x, len(tensors)) for probe, tensors in read]))
        return tuple(found)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, None, None]:
        """Go back from the last layer, adding each probe's gradients. Raises RuntimeError the second time."""
        remaining, ctx.tape, tape = list(gradients), None, ctx.tape
        if tape is None:
            raise RuntimeError("The gradient has gone through this pass already; nothing was kept for a second time.")
        g: Tensor | None = None
        while tape:
            backward, probes = tape.pop()
            for probe, x, count in reversed(probes):
                remaining, read_grads = remaining[:-count], remaining[-count:]
                if any(gradient is not None for gradient in read_grads):
                    g = probe.backward(x, g, *read_grads)
            g = None if g is None else backward(g)
        return g, None, None


def _add_gradient(x: Tensor, g: Tensor | None, read_grad: Tensor) -> Tensor:  # noqa: ARG001
    return read_grad if g is None else g.add_(read_grad)


# Features are read as a copy: the layers' backward functions overwrite what they keep.
FEATURE_PROBE = Probe(lambda x: (x.clone(),), _add_gradient)


def normalize_probe(probe: Probe, norm: float) -> Probe:
    """Scale a probe's contribution to the gradient to an L1 norm of `norm`, the weight that its gradients carry.

    Source: Johnson, neural-style's -normalize_gradients.
    """

    def backward(x: Tensor, g: Tensor | None, *read_grads: Tensor | None) -> Tensor:
        own = probe.backward(x, None, *read_grads)
        found = torch.linalg.vector_norm(own, 1, dtype=torch.promote_types(own.dtype, torch.float32))
        own = own * (norm / (found + 1e-8 * norm) if norm else 0.0)
        return own.to(x.dtype) if g is None else g.add_(own)

    return Probe(probe.read, backward)


def crop_probe(probe: Probe, rows: slice, columns: slice) -> Probe:
    """Restrict a probe to a part of a layer's output."""

    def backward(x: Tensor, g: Tensor | None, *read_grads: Tensor | None) -> Tensor:
        g = torch.zeros_like(x) if g is None else g
        g[..., rows, columns] += probe.backward(x[..., rows, columns], None, *read_grads)
        return g

    return Probe(lambda x: probe.read(x[..., rows, columns]), backward)


class Convolution:
    """A frozen 3x3 convolution: `weight` (D, C, 3, 3), `bias` (D,), `padding` rows and columns of zeros on each side.

    On a CPU in bfloat16 the weights are reordered once for oneDNN, and the ReLU is fused: it is applied to numbers that
    a core has just computed and needn't read again. On a CPU in float32, Winograd's filtering is used for gradients.
    """

    def __init__(self, weight: Tensor, bias: Tensor, padding: int) -> None:
        self.weight: Tensor = weight
        self.bias: Tensor = bias
        self.padding: int = padding
        self.is_packed: bool = weight.device.type == "cpu" and weight.dtype == torch.bfloat16 and _can_pack()
        if self.is_packed:
            self.packed_forward: PackedWeight = PackedWeight(weight, padding)
            self.packed_backward: PackedWeight = PackedWeight(weight, 2 - padding, is_backward=True)

    @cached_property
    def winograd(self) -> WinogradWeight:
        """The transformed weight, made when it is first needed."""
        return WinogradWeight(self.weight)

    def __call__(self, x: Tensor, *, has_relu: bool, needs_grad: bool) -> tuple[Tensor, Backward]:
        """Convolve `x` (B, C, h, w), then apply a ReLU if `has_relu`; backward is the convolution's alone.

        Without `needs_grad` equal windows give equal numbers, wherever they are, which the one pass needs.
        """
        if self.is_packed:
            y = self.packed_forward.convolve(x, self.bias, has_relu=has_relu)
            return y, lambda g: self.packed_backward.convolve(g, None, has_relu=False)
        backward: Backward
        if needs_grad and WinogradWeight.is_faster(self.weight, x, self.padding):
            y = self.winograd.convolve(x, self.bias, self.padding, has_relu=has_relu)
            backward = partial(self.winograd.convolve_back, padding=self.padding)
        else:
            y = F.conv2d(x, self.weight, self.bias, padding=self.padding)
            backward = partial(F.conv_transpose2d, weight=self.weight, padding=self.padding)
            if has_relu:
                _as_integers(y).clamp_min_(0)
        return y, backward


def _can_pack() -> bool:
    """Tell whether torch has oneDNN here, and bfloat16 on this processor."""
    return (
        all(hasattr(torch.ops.mkldnn, name) for name in ONEDNN_OPERATORS)
        and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )


class PackedWeight:
    """A weight (D, C, 3, 3) in the order in which oneDNN reads it, or turned for the way back.

    Where the channels are powers of two there is one order. Elsewhere it depends on the size of the map, and in another
    order each call would reorder the weight itself, which takes up to a hundred times as long as the convolution.
    """

    def __init__(self, weight: Tensor, padding: int, *, is_backward: bool = False) -> None:
        self.weight: Tensor = weight  # as the convolution has it: a turned copy is made only to be packed
        self.is_backward: bool = is_backward
        self.padding: list[int] = [padding] * 2
        self.is_same_for_all_sizes: bool = all(channels.bit_count() == 1 for channels in weight.shape[:2])
        self.by_size: dict[torch.Size | None, Tensor] = {}

    def convolve(self, x: Tensor, bias: Tensor | None, *, has_relu: bool) -> Tensor:
        """Convolve `x` (B, C, h, w), then apply a ReLU if `has_relu`."""
        fused = "relu" if has_relu else "none"
        y: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x, self._pack_for(x), bias, self.padding, [1, 1], [1, 1], 1, fused, [], None
        )
        return y

    def _pack_for(self, x: Tensor) -> Tensor:
        size = None if self.is_same_for_all_sizes else x.shape
        if size not in self.by_size:
            if len(self.by_size) >= MAX_PACKED_SIZES:
                self.by_size.clear()
            weight = self.weight.transpose(0, 1).flip(2, 3) if self.is_backward else self.weight
            weight = weight.contiguous(memory_format=torch.channels_last)
            self.by_size[size] = torch.ops.mkldnn._reorder_convolution_weight(
                weight, self.padding, [1, 1], [1, 1], 1, size
            )
        return self.by_size[size]


def relu(x: Tensor) -> tuple[Tensor, Backward]:
    """Set negative values to 0, in a new map, which is kept for the backward function."""
    y = _as_integers(x).clamp_min(0)
    return y.view(x.dtype), partial(_mask_where_positive, y)


def apply_fused_relu(convolve: Layer, x: Tensor) -> tuple[Tensor, Backward]:
    """Apply a convolution that includes its ReLU; return its output, and the backward function, which keeps it."""
    y, backward = convolve(x)
    return y, lambda g: backward(_mask_where_positive(_as_integers(y), g))


def max_pool(x: Tensor, *, overwrite: bool) -> tuple[Tensor, Backward]:
    """Take the maximum over 2x2 of a ReLU's output; the backward function is the pool's and the ReLU's.

    Rows are compared first, then columns; a tie goes to the first of the two. Gradients go to the larger by the sign of
    the difference, several times faster than by the indices of F.max_pool2d, and to 0 where the maximum is 0, which is
    the ReLU's backward pass. With `overwrite`, the differences and then the gradients reuse the memory of `x`.
    """
    if not overwrite:
        x = x.clone()
    height, width = (size // 2 * 2 for size in x.shape[2:])
    rows = _as_integers(x).permute(0, 2, 3, 1)  # (B, H, W, C), as it lies in memory
    upper, lower = rows[:, 0:height:2, :width], rows[:, 1:height:2, :width]
    columns = torch.maximum(upper, lower)
    torch.sub(upper, lower, out=lower)
    left, right = columns[:, :, 0::2], columns[:, :, 1::2]
    y = torch.maximum(left, right)
    torch.sub(left, right, out=right)

    def backward(g: Tensor) -> Tensor:
        _send_to_larger(_as_integers(_mask_where_positive(y, g.permute(0, 2, 3, 1))), left, right)
        rows[:, height:].zero_()  # the last row and column of odd sizes
        rows[:, :, width:].zero_()
        _send_to_larger(columns, upper, lower)
        return x

    return y.view(x.dtype).permute(0, 3, 1, 2), backward


def max_pool_ceil(pool: Layer, x: Tensor) -> tuple[Tensor, Backward]:
    """Pool so that the last row and column of odd sizes get cells of their own: they are doubled first."""
    odd = [dimension for dimension in (2, 3) if x.shape[dimension] % 2]
    for dimension in odd:
        x = torch.cat([x, x.narrow(dimension, x.shape[dimension] - 1, 1)], dimension)
    y, pool_backward = pool(x)

    def backward(g: Tensor) -> Tensor:
        g = pool_backward(g)
        for dimension in reversed(odd):
            last = g.shape[dimension] - 1
            g.narrow(dimension, last - 1, 1).add_(g.narrow(dimension, last, 1))
            g = g.narrow(dimension, 0, last)
        return g.contiguous(memory_format=torch.channels_last) if odd else g

    return y, backward


def _as_integers(x: Tensor) -> Tensor:
    """View floating point numbers as integers: the order of positive numbers is the same, negative ones stay negative.

    A CPU compares and masks 16-bit integers several times faster than bfloat16.
    """
    return x.view({2: torch.int16, 4: torch.int32, 8: torch.int64}[x.element_size()])


def _mask_where_positive(bits: Tensor, g: Tensor) -> Tensor:
    """Return `g` where a number, given by its `bits` and not negative, is above 0; 0 elsewhere.

    The result reuses the memory of `bits`, which are not needed again: large maps are expensive.
    """
    kept: Tensor = torch.ops.aten.threshold_backward.grad_input(g.view(bits.dtype), bits, 0, grad_input=bits)
    return kept.view(g.dtype)


def _send_to_larger(bits: Tensor, first: Tensor, second: Tensor) -> None:
    """Write `bits` to `second` where the difference held there is negative, else to `first`; 0 to the other."""
    second.bitwise_right_shift_(8 * bits.element_size() - 1)  # all bits where it is negative, none elsewhere
    second.bitwise_and_(bits)
    torch.bitwise_xor(bits, second, out=first)


def apply_by_autograd(function: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Backward]:
    """Apply a layer too rare to have a backward function of its own."""
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        y = function(x)
    return y.detach(), lambda g: torch.autograd.grad(y, x, g, retain_graph=True)[0]
