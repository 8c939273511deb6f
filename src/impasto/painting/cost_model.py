"""What painting costs per pixel, in memory and time: measured in about a second, on a small canvas."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from impasto.images.sizes import fit_size
from impasto.painting.compact_lbfgs import CompactLBFGS
from impasto.painting.device import measure_used_memory, return_freed_memory
from impasto.painting.memory_tracker import measure_peak_bytes
from impasto.painting.painter import Painter
from impasto.painting.pixel_terms import can_use_bands
from impasto.painting.strategy import ScaleStrategy

SAMPLE_SIDE = 512  # of the canvas that is measured on, where the picture is no smaller
# What oneDNN keeps of the sizes of pictures that it is prepared for, as bounded in hardware.py: 30 to 45 MB each.
ONEDNN_CACHE_BYTES = 100 * 2**20
TIMED_COMPACT_HISTORY = 4  # that is timed; others take longer in proportion


@dataclass(frozen=True)
class PixelCosts:
    """What is needed for each pixel, in bytes and seconds, and `base`, the bytes that the program has in any case.

    `whole` and `tile` are the most that lives while a gradient is found, over the whole canvas (with the gradient) and
    for a tile's window; `look` without a gradient. `beside` is what terms of pixels take that can't be
    found in bands. `step` is the same for the optimiser's step, `coarse_step` at coarse scales, and `state` what it
    keeps for the full history.
    """

    base: int
    whole: float
    tile: float
    look: float
    content: float
    beside: float
    step: float
    coarse_step: float
    state: float
    whole_seconds: float
    look_seconds: float
    step_seconds: float
    coarse_step_seconds: float
    compact_seconds: float


def measure_costs(painter: Painter, *, whole_only: bool = False) -> PixelCosts:
    """Look at a small canvas, whole and as one tile, move it as each scale's optimiser would, and count.

    If `whole_only`, what only tiles and a compact history take is not measured: it takes a third of the time.
    """
    each = _measure(painter, whole_only=whole_only)
    return_freed_memory()
    prepared = 0 if painter.device.type == "cuda" else ONEDNN_CACHE_BYTES
    return PixelCosts(measure_used_memory(painter.device) + prepared, *each)


def _measure(painter: Painter, *, whole_only: bool) -> list[float]:
    width, height = painter.sizes[-1]
    small = fit_size(width, height, min(SAMPLE_SIDE, max(width, height)))
    if min(small) < painter.cell_size or painter.is_seamless:
        small = next((size for size in reversed(painter.sizes) if max(size) <= SAMPLE_SIDE), painter.sizes[0])
    photo = painter.photo and painter.photo.resized(*small)
    objective = painter.make_objective(photo, *small, ScaleStrategy())
    chance = torch.Generator().manual_seed(0)
    canvas = _draw_canvas(painter.paintings[0].rgb.new_empty(1, 3, small[1], small[0]), chance).requires_grad_()
    pixels = canvas[0, 0].numel()

    beside = 0 if can_use_bands(painter.settings) else measure_peak_bytes(lambda: objective.compare_pixels(canvas))
    whole = measure_peak_bytes(lambda: objective.backward(canvas))
    canvas.grad = None
    content = sum(features.nbytes for features in objective.content.values())
    whole_seconds = _time_call(lambda: objective.backward(canvas))
    if whole_only:  # a look takes less than a gradient
        tile, look, look_seconds = whole, whole, whole_seconds / 2
    else:
        tiled = (
            painter.make_objective(photo, *small, ScaleStrategy(tile_size=max(small)))
            if painter.can_tile
            else objective
        )
        tile = measure_peak_bytes(lambda: tiled.backward(canvas)) - canvas.nbytes - beside
        look = measure_peak_bytes(lambda: objective.evaluate(canvas))
        look_seconds = _time_call(lambda: objective.evaluate(canvas))
    slope = _draw_canvas(canvas, chance)
    last, coarse = (_try_optimizer(painter, canvas, scale, slope) for scale in (len(painter.sizes), 1))
    compact_seconds = last.seconds if whole_only else _time_compact(canvas, slope)
    counted = (whole, tile, look, content, beside, last.bytes, coarse.bytes, last.state)
    timed = (whole_seconds, look_seconds, last.seconds, coarse.seconds, compact_seconds)
    return [each / pixels for each in (*counted, *timed)]


@dataclass(frozen=True)
class _Tried:
    bytes: int
    state: int
    seconds: float


def _try_optimizer(painter: Painter, canvas: Tensor, scale: int, slope: Tensor) -> _Tried:
    """Take a few steps with a scale's optimiser as it is by default, down a bowl of that slope."""
    optimizer = painter.make_optimizer(scale, ScaleStrategy())
    moved = canvas.detach().clone()
    for _ in range(2):  # it has taken its memory then
        optimizer.step(moved, slope * moved)
    state = sum(each.nbytes for each in vars(optimizer).values() if isinstance(each, Tensor))
    gradient = slope * moved
    transient = measure_peak_bytes(lambda: optimizer.step(moved, gradient))
    gradient = slope * moved
    return _Tried(transient, state, _time_call(lambda: optimizer.step(moved, gradient), 1))


def _time_compact(canvas: Tensor, slope: Tensor) -> float:
    """Return the seconds of a step with COMPACT_HISTORY pairs kept in bfloat16."""
    optimizer, moved = CompactLBFGS(TIMED_COMPACT_HISTORY), canvas.detach().clone()
    for _ in range(TIMED_COMPACT_HISTORY + 1):
        optimizer.step(moved, slope * moved)
    gradient = slope * moved
    return _time_call(lambda: optimizer.step(moved, gradient), 1)


def _draw_canvas(like: Tensor, chance: torch.Generator) -> Tensor:
    """Draw a canvas (1, 3, H, W) by a chance of its own: the program's is left alone."""
    return torch.rand(like.shape, generator=chance).to(like).contiguous(memory_format=torch.channels_last)


def _time_call(run: Callable[[], object], times: int = 2) -> float:
    """Return the seconds that something takes, the shortest of a few."""
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        run()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    return min(seconds)
