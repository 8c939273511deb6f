"""Bias, rectifier and border in one pass over a map, and roots of matrices: what training does most, done fast."""

from typing import Any

import torch
from torch import Tensor

try:
    import triton  # type: ignore[import-not-found,unused-ignore]  # where PyTorch has a GPU
    import triton.language as tl  # type: ignore[import-not-found,unused-ignore]
except ImportError:
    triton = None

BLOCK = 1024
CHECKED_SHAPES = ((2, 24, 8, 10, 1), (3, 96, 3, 3, 1), (2, 64, 6, 6, 0))  # B, C, h, w, border
_use_triton = False


def rectify(x: Tensor, bias: Tensor | None, border: int) -> Tensor:
    """Add a bias (C,), set what is negative to 0, and frame the map by reflection if `border` is 1.

    Three passes over memory in place of nine on a GPU with Triton (after `check_kernels`); elsewhere plain PyTorch.
    """
    if _use_triton and x.is_cuda:
        rectified: Tensor = _Rectify.apply(x, bias, border)  # type: ignore[no-untyped-call]
        return rectified
    return _rectify_plainly(x, bias, border)


def _rectify_plainly(x: Tensor, bias: Tensor | None, border: int) -> Tensor:
    x = (x if bias is None else x + bias.to(x.dtype).view(1, -1, 1, 1)).relu()
    if border:
        x = torch.cat([x[:, :, 1:2], x, x[:, :, -2:-1]], 2)
        x = torch.cat([x[..., 1:2], x, x[..., -2:-1]], 3)
    return x


def check_kernels(device: torch.device) -> str:
    """Compare the Triton kernels with plain PyTorch, both ways, use them if they agree, and say so."""
    global _use_triton
    _use_triton = False
    if triton is None or device.type != "cuda":
        return "plain PyTorch"
    try:
        difference = max(_measure_difference(device, *shape) for shape in CHECKED_SHAPES)
    except Exception as error:  # whatever a compiler says on an unknown machine
        return f"plain PyTorch; Triton failed: {error!r:.200}"
    _use_triton = difference < 1e-4
    return f"Triton's kernels differ by {difference:.1e}" + ("" if _use_triton else " and are not used")


def _measure_difference(device: torch.device, batch: int, channels: int, height: int, width: int, border: int) -> float:
    x = torch.randn(batch, channels, height, width, device=device).contiguous(memory_format=torch.channels_last)
    pairs = [(x.clone().requires_grad_(), torch.ones(channels, device=device).requires_grad_()) for _ in range(2)]
    y = _rectify_plainly(*pairs[0], border)
    z: Tensor = _Rectify.apply(*pairs[1], border)  # type: ignore[no-untyped-call]
    g = torch.randn_like(y)
    torch.autograd.backward([y, z], [g, g])
    differences = [(y - z).detach().abs().max()]
    for one, other in zip(*pairs, strict=True):
        assert one.grad is not None
        assert other.grad is not None
        differences.append((one.grad - other.grad).abs().max() / one.grad.abs().max())
    return float(torch.stack(differences).max())


class _Rectify(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, bias: Tensor | None, border: int) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        channels, height, width = x.shape[1:]
        y = _empty_map(x, height + 2 * border, width + 2 * border)
        has_bias = bias is not None
        _rectify_kernel[(triton.cdiv(y.numel(), BLOCK),)](
            x, bias if has_bias else x, y, y.numel(), height, width, channels, border, has_bias, BLOCK
        )
        ctx.border, ctx.bias_dtype = border, bias.dtype if bias is not None else None
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor | None, None]:
        (y,) = ctx.saved_tensors
        g = g.contiguous(memory_format=torch.channels_last)
        height, width = (size - 2 * ctx.border for size in y.shape[2:])
        pulled = _empty_map(g, height, width)
        _pull_kernel[(triton.cdiv(pulled.numel(), BLOCK),)](
            y, g, pulled, pulled.numel(), height, width, y.shape[1], ctx.border, BLOCK
        )
        bias = pulled.sum((0, 2, 3), dtype=torch.float32).to(ctx.bias_dtype) if ctx.needs_input_grad[1] else None
        return pulled, bias, None


def _empty_map(like: Tensor, height: int, width: int) -> Tensor:
    shape = (like.shape[0], like.shape[1], height, width)
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last)


if triton is not None:

    @triton.jit  # type: ignore[untyped-decorator,unused-ignore]
    def _rectify_kernel(  # type: ignore[no-untyped-def]
        x, bias, y, total, height, width,
        channels: tl.constexpr, border: tl.constexpr, has_bias: tl.constexpr, block: tl.constexpr,
    ):  # fmt: skip
        i = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
        inside = i < total
        c, rest = i % channels, i // channels
        column = rest % (width + 2 * border) - border
        rest = rest // (width + 2 * border)
        row = rest % (height + 2 * border) - border
        picture = rest // (height + 2 * border)
        row = tl.where(row < 0, -row, row)
        row = tl.where(row >= height, 2 * height - 2 - row, row)
        column = tl.where(column < 0, -column, column)
        column = tl.where(column >= width, 2 * width - 2 - column, column)
        value = tl.load(x + ((picture * height + row) * width + column) * channels + c, mask=inside, other=0.0)
        value = value.to(tl.float32)
        if has_bias:
            value += tl.load(bias + c, mask=inside, other=0.0).to(tl.float32)
        tl.store(y + i, tl.maximum(value, 0.0).to(y.dtype.element_ty), mask=inside)

    @triton.jit  # type: ignore[untyped-decorator,unused-ignore]
    def _pull_kernel(  # type: ignore[no-untyped-def]
        y, g, pulled, total, height, width,
        channels: tl.constexpr, border: tl.constexpr, block: tl.constexpr,
    ):  # fmt: skip
        i = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
        inside = i < total
        c, rest = i % channels, i // channels
        column, rest = rest % width, rest // width
        row, picture = rest % height, rest // height
        framed = width + 2 * border
        first = picture * (height + 2 * border)
        here = ((first + row + border) * framed + column + border) * channels + c
        is_positive = tl.load(y + here, mask=inside, other=0.0).to(tl.float32) > 0
        total_g = tl.load(g + here, mask=inside, other=0.0).to(tl.float32)
        if border == 1:  # a row or column next to the border is its reflection too
            top, bottom, left, right = row == 1, row == height - 2, column == 1, column == width - 2
            upper, lower, end = first * framed, (first + height + 1) * framed, width + 1
            across = (first + row + 1) * framed
            for_top, for_bottom = inside & top, inside & bottom
            total_g += tl.load(g + (upper + column + 1) * channels + c, mask=for_top, other=0.0).to(tl.float32)
            total_g += tl.load(g + (lower + column + 1) * channels + c, mask=for_bottom, other=0.0).to(tl.float32)
            total_g += tl.load(g + across * channels + c, mask=inside & left, other=0.0).to(tl.float32)
            total_g += tl.load(g + (across + end) * channels + c, mask=inside & right, other=0.0).to(tl.float32)
            total_g += tl.load(g + upper * channels + c, mask=for_top & left, other=0.0).to(tl.float32)
            total_g += tl.load(g + (upper + end) * channels + c, mask=for_top & right, other=0.0).to(tl.float32)
            total_g += tl.load(g + lower * channels + c, mask=for_bottom & left, other=0.0).to(tl.float32)
            total_g += tl.load(g + (lower + end) * channels + c, mask=for_bottom & right, other=0.0).to(tl.float32)
        tl.store(pulled + i, tl.where(is_positive, total_g, 0.0).to(pulled.dtype.element_ty), mask=inside)


def mean_outer(f: Tensor) -> Tensor:
    """Mean over positions of F F^T: (B, P, C) -> (B, C, C); long sums in parts, which keeps a GPU busy."""
    batch, positions, channels = f.shape
    parts = 16 if positions >= 4096 and positions % 16 == 0 else 1
    g = f.reshape(batch * parts, positions // parts, channels)
    return torch.bmm(g.transpose(1, 2), g).view(batch, parts, channels, channels).sum(1) / positions


def find_roots(matrices: Tensor, iterations: int) -> tuple[Tensor, Tensor]:
    """Return the square roots of symmetric positive matrices (B, D, D) and the inverses of these.

    On a GPU by Newton's and Schulz's iteration in float64: products alone, for a batch at once, where a GPU's
    eigenvalue solvers go one matrix after another. An eigenvalue below 1.5^(-2 iterations) of the largest comes out too
    small.
    """
    if not matrices.is_cuda:
        values, vectors = torch.linalg.eigh(matrices)
        roots = values.clamp_min(1e-6 * values.amax(1, keepdim=True)).sqrt()[:, None]
        return (vectors * roots) @ vectors.mT, (vectors / roots) @ vectors.mT
    a = matrices.double()
    scale = a.flatten(1).norm(dim=1).clamp_min(1e-12).view(-1, 1, 1)
    identity = torch.eye(a.shape[1], device=a.device, dtype=a.dtype).expand_as(a)
    root, inverse = a / scale, identity.contiguous()
    for _ in range(iterations):
        correction = torch.baddbmm(1.5 * identity, inverse, root, alpha=-0.5)
        root, inverse = torch.bmm(root, correction), torch.bmm(correction, inverse)
    return (root * scale.sqrt()).to(matrices.dtype), (inverse / scale.sqrt()).to(matrices.dtype)


def add_ridge(covariance: Tensor, share: float) -> Tensor:
    """Add a share of the mean eigenvalue to the diagonals of matrices (B, D, D)."""
    ridge = share * covariance.diagonal(dim1=1, dim2=2).mean(1).clamp_min(1e-8)
    return covariance + torch.diag_embed(ridge[:, None].expand(-1, covariance.shape[1]))
