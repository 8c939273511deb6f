"""Both passes through a frozen network by hand: no weights' gradients, few maps kept, none gone over twice."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

Backward = Callable[[Tensor], Tensor]  # from the gradient at a layer's output to that at its input
Layer = Callable[[Tensor], tuple[Tensor, Backward]]


class Probe(NamedTuple):
    """What is read from the output of a layer, and what a gradient at that means for the output.

    `pull` is given the output, its gradient so far or None, and for each tensor read its gradient or None; it returns
    the output's gradient, which may stand where the gradient so far stood.
    """

    read: Callable[[Tensor], tuple[Tensor, ...]]
    backward: Callable[..., Tensor]


class FrozenPass(torch.autograd.Function):
    """A chain of layers with readers after some; differentiable once, by what goes in.

    The numbers are those of autograd through the same layers. A layer keeps only what its own gradient asks for (a
    rectifier's output, a pool's differences), and that is let go as soon as the gradient has come past.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, chain: Sequence[tuple[Layer, Sequence[Probe]]], needs_grad: bool
    ) -> tuple[Tensor, ...]:
        """Send `x` through `chain` and return all that is read; `keep` for a gradient later."""
        ctx.set_materialize_grads(False)
        ctx.passed, found = [], []
        for layer, readers in chain:
            x, pull = layer(x)
            held = [(reader, reader.read(x)) for reader in readers]
            found += [tensor for _, tensors in held for tensor in tensors]
            if needs_grad:
                ctx.passed.append((pull, [(reader, x, len(tensors)) for reader, tensors in held]))
        return tuple(found)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, None, None]:
        """Go back from the last layer, and add what each reader asks for on the way."""
        waiting, ctx.passed, passed = list(gradients), None, ctx.passed
        if passed is None:
            raise RuntimeError("The gradient has already come back through this pass, which kept nothing for a second.")
        g: Tensor | None = None
        while passed:
            pull, readers = passed.pop()
            for reader, x, count in reversed(readers):
                waiting, given = waiting[:-count], waiting[-count:]
                if any(gradient is not None for gradient in given):
                    g = reader.backward(x, g, *given)
            g = None if g is None else pull(g)
        return g, None, None


def _add_gradient(x: Tensor, g: Tensor | None, given: Tensor) -> Tensor:  # noqa: ARG001
    return given if g is None else g.add_(given)


FEATURE_PROBE = Probe(lambda x: (x.clone(),), _add_gradient)  # a copy, as the pulls end by writing over what they keep


def normalize_probe(reader: Probe, strength: float) -> Probe:
    """Scale what a reader adds to the gradient so that its absolute values sum to `strength`, whatever its size.

    `strength` is the weight that the gradients are given with. Source: Johnson, neural-style's -normalize_gradients.
    """

    def pull(x: Tensor, g: Tensor | None, *given: Tensor | None) -> Tensor:
        own = reader.backward(x, None, *given)
        whole = torch.linalg.vector_norm(own, 1, dtype=torch.promote_types(own.dtype, torch.float32))
        own = own * (strength / (whole + 1e-8 * strength) if strength else 0.0)
        return own.to(x.dtype) if g is None else g.add_(own)

    return Probe(reader.read, pull)


def crop_probe(reader: Probe, rows: slice, columns: slice) -> Probe:
    """Read a part of a layer's output alone."""

    def pull(x: Tensor, g: Tensor | None, *given: Tensor | None) -> Tensor:
        g = torch.zeros_like(x) if g is None else g
        g[..., rows, columns] += reader.backward(x[..., rows, columns], None, *given)
        return g

    return Probe(lambda x: reader.read(x[..., rows, columns]), pull)


class Convolution:
    """A frozen 3x3 convolution: `weight` (D, C, 3, 3), `bias` (D,), zeros for `padding` rows and columns around.

    On a CPU in bfloat16 the weights are put once into the order that oneDNN computes in, and the rectifier is applied
    to what a core has just computed, not to what it has to read again.
    """

    def __init__(self, weight: Tensor, bias: Tensor, padding: int) -> None:
        self.weight, self.bias, self.padding = weight, bias, padding
        self.is_packed = weight.device.type == "cpu" and weight.dtype == torch.bfloat16 and _can_pack()
        if self.is_packed:
            transposed = weight.transpose(0, 1).flip(2, 3)
            self.packed_forward, self.packed_backward = (
                _pack_weight(weight, padding),
                _pack_weight(transposed, 2 - padding),
            )

    def __call__(self, x: Tensor, *, relu: bool) -> tuple[Tensor, Backward]:
        """Convolve `x` (B, C, h, w), and set what is negative to 0 if `rectified`, of which the pull knows nothing."""
        if self.is_packed:
            return _convolve_packed(
                x, self.packed_forward, self.bias, self.padding, rectified=relu
            ), self._backward_packed
        y = F.conv2d(x, self.weight, self.bias, padding=self.padding)
        if relu:
            _as_integers(y).clamp_min_(0)
        return y, lambda g: F.conv_transpose2d(g, self.weight, padding=self.padding)

    def _backward_packed(self, g: Tensor) -> Tensor:
        return _convolve_packed(g, self.packed_backward, None, 2 - self.padding, rectified=False)


def _can_pack() -> bool:
    """Does torch here have oneDNN, for a processor that it can do bfloat16 on?"""
    wanted = ("_is_mkldnn_bf16_supported", "_reorder_convolution_weight", "_convolution_pointwise")
    return all(hasattr(torch.ops.mkldnn, name) for name in wanted) and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def _pack_weight(weight: Tensor, padding: int) -> Tensor:
    weight = weight.contiguous(memory_format=torch.channels_last)
    packed: Tensor = torch.ops.mkldnn._reorder_convolution_weight(weight, [padding] * 2, [1, 1], [1, 1], 1, None)
    return packed


def _convolve_packed(x: Tensor, packed: Tensor, bias: Tensor | None, padding: int, *, rectified: bool) -> Tensor:
    then = "relu" if rectified else "none"
    y: Tensor = torch.ops.mkldnn._convolution_pointwise(
        x, packed, bias, [padding] * 2, [1, 1], [1, 1], 1, then, [], None
    )
    return y


def relu(x: Tensor) -> tuple[Tensor, Backward]:
    """Set what is negative to 0, in a map of its own; the pull keeps it."""
    y = _as_integers(x).clamp_min(0)
    return y.view(x.dtype), partial(_mask_where_positive, y)


def apply_fused_relu(convolve: Layer, x: Tensor) -> tuple[Tensor, Backward]:
    """Apply a convolution that rectifies by itself; the pull keeps what comes out."""
    y, pull = convolve(x)
    return y, lambda g: pull(_mask_where_positive(_as_integers(y), g))


def max_pool(x: Tensor, *, overwrite: bool) -> tuple[Tensor, Backward]:
    """Take the maximum over 2x2 of what a rectifier has passed; the pull is its and the rectifier's.

    Rows are compared first, then columns; a tie goes to the first of the two. The pull sends a gradient to the larger
    by the sign of their difference: several times faster than by the indices that F.max_pool2d returns. What is not
    above 0 passes nothing on, which one look at the maxima tells. Differences and then gradients stand where `x` stood.
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

    def pull(g: Tensor) -> Tensor:
        _send_to_larger(_as_integers(_mask_where_positive(y, g.permute(0, 2, 3, 1))), left, right)
        rows[:, height:].zero_()  # what an odd size leaves over
        rows[:, :, width:].zero_()
        _send_to_larger(columns, upper, lower)
        return x

    return y.view(x.dtype).permute(0, 3, 1, 2), pull


def max_pool_ceil(pool: Layer, x: Tensor) -> tuple[Tensor, Backward]:
    """Pool so that what an odd size leaves over gives a cell of its own, of what there is: the last row twice."""
    odd = [dimension for dimension in (2, 3) if x.shape[dimension] % 2]
    for dimension in odd:
        x = torch.cat([x, x.narrow(dimension, x.shape[dimension] - 1, 1)], dimension)
    y, pull = pool(x)

    def pull_back(g: Tensor) -> Tensor:
        g = pull(g)
        for dimension in reversed(odd):
            last = g.shape[dimension] - 1
            g.narrow(dimension, last - 1, 1).add_(g.narrow(dimension, last, 1))
            g = g.narrow(dimension, 0, last)
        return g.contiguous(memory_format=torch.channels_last) if odd else g

    return y, pull_back


def _as_integers(x: Tensor) -> Tensor:
    """See floating point numbers as integers: for those not below 0 order is the same, all others are negative.

    A CPU compares and masks 16-bit integers several times faster than bfloat16.
    """
    return x.view({2: torch.int16, 4: torch.int32, 8: torch.int64}[x.element_size()])


def _mask_where_positive(bits: Tensor, g: Tensor) -> Tensor:
    """Return `g` where a number whose `bits` are given, none of them negative, is above 0; 0 elsewhere.

    What is returned stands where `bits` stood: they are not asked for again, and large maps are dear.
    """
    kept: Tensor = torch.ops.aten.threshold_backward.grad_input(g.view(bits.dtype), bits, 0, grad_input=bits)
    return kept.view(g.dtype)


def _send_to_larger(bits: Tensor, first: Tensor, second: Tensor) -> None:
    """Write `bits` to `second` where the difference that stands there is negative, else to `first`; 0 to the other."""
    second.bitwise_right_shift_(8 * bits.element_size() - 1)  # all bits where it is, none where it is not
    second.bitwise_and_(bits)
    torch.bitwise_xor(bits, second, out=first)


def apply_by_autograd(function: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Backward]:
    """Apply what is too rare to have a pull of its own."""
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        y = function(x)
    return y.detach(), lambda g: torch.autograd.grad(y, x, g, retain_graph=True)[0]
