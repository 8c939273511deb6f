"""What painting takes for each pixel, in memory and time: measured in about a second, or known from the settings."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from impasto.images.image import Image
from impasto.images.sizes import fit_size
from impasto.painting.compact_lbfgs import CompactLBFGS
from impasto.painting.device import measure_used_memory, return_freed_memory
from impasto.painting.memory_tracker import measure_peak_bytes
from impasto.painting.optimizers import make_optimizer
from impasto.painting.pixel_terms import can_use_bands
from impasto.painting.prepare import Prepared
from impasto.painting.schedule import Schedule, Size
from impasto.painting.strategy import ScaleStrategy
from impasto.painting.tiled_objective import why_untileable
from impasto.settings.model import Settings

SAMPLE_SIDE = 512  # pixels of the canvas that is measured, unless the picture is smaller
# What oneDNN keeps for the picture sizes that it is prepared for (see device.limit_primitive_cache).
ONEDNN_CACHE_BYTES = 100 * 2**20
TIMED_COMPACT_HISTORY = 4  # pairs; longer histories take longer in proportion

# For `estimate_bytes`: measured with slim in bfloat16 from 256 to 1024 pixels; other networks up to VGG-19's widths.
FIXED_BYTES = 60_000_000
SLIM_PIXEL_VALUES, OTHER_PIXEL_VALUES = 550, 1100
HISTORY_PIXEL_BYTES = 24  # of one more pair of L-BFGS


@dataclass(frozen=True)
class PixelCosts:
    """Bytes and seconds for each pixel, and `base_bytes`, what the program takes in any case.

    `backward` is the peak while a gradient is computed for the whole canvas, and `tile_backward` for the window of a
    tile; `forward` without a gradient. `pixel_terms` is what the terms of pixels take if not computed in bands. `step`
    is the peak of an optimizer's step at the last scale, `coarse_step` at others; `optimizer` what it keeps for the
    full history.
    """

    base_bytes: int
    backward: float
    tile_backward: float
    forward: float
    content: float
    pixel_terms: float
    step: float
    coarse_step: float
    optimizer: float
    backward_seconds: float
    forward_seconds: float
    step_seconds: float
    coarse_step_seconds: float
    compact_step_seconds: float


def estimate_bytes(settings: Settings, pixels: int | None = None, value_bytes: int | None = None) -> int:
    """Estimate the memory of painting whole, without measuring and without the program itself.

    `pixels` are those of the picture, by default of a square one; `value_bytes` is the size of the network's numbers,
    by default as the settings say, 2 where they leave it open.
    """
    value_bytes = value_bytes or (4 if settings.precision == "float32" else 2)
    per_pixel = value_bytes * (SLIM_PIXEL_VALUES if settings.network == "slim" else OTHER_PIXEL_VALUES)
    if settings.optimizer == "lbfgs":
        per_pixel += HISTORY_PIXEL_BYTES * max(0, settings.lbfgs_history - 10)
    return FIXED_BYTES + per_pixel * (pixels or settings.size**2)


def measure_costs(prepared: Prepared, photo: Image | None, schedule: Schedule) -> PixelCosts:
    """Evaluate a small canvas, whole and as one tile, take a step with each scale's optimizer, and count."""
    costs = _measure_pixels(prepared, photo, schedule)
    return_freed_memory()
    kept = 0 if prepared.device.type == "cuda" else ONEDNN_CACHE_BYTES
    return PixelCosts(measure_used_memory(prepared.device) + kept, *costs)


def _measure_pixels(prepared: Prepared, photo: Image | None, schedule: Schedule) -> list[float]:
    settings, size = prepared.settings, _choose_sample_size(prepared, schedule)
    photo = photo and photo.resized(*size)
    objective = prepared.make_objective(photo, schedule, size, ScaleStrategy())
    tiled = objective
    if not why_untileable(settings):
        tiled = prepared.make_objective(photo, schedule, size, ScaleStrategy(tile_size=max(size)))
    chance = torch.Generator().manual_seed(0)
    canvas = _draw_canvas(prepared.paintings[0].rgb.new_empty(1, 3, *reversed(size)), chance).requires_grad_()

    terms = 0 if can_use_bands(settings) else measure_peak_bytes(lambda: objective.compare_pixels(canvas))
    backward = measure_peak_bytes(lambda: objective.backward(canvas))
    canvas.grad = None
    backward_seconds = _time_call(lambda: objective.backward(canvas))
    content = sum(features.nbytes for features in objective.content.values())
    tile_backward = measure_peak_bytes(lambda: tiled.backward(canvas)) - canvas.nbytes - terms
    forward = measure_peak_bytes(lambda: objective.evaluate(canvas))
    forward_seconds = _time_call(lambda: objective.evaluate(canvas))

    slope, scales = _draw_canvas(canvas, chance), len(schedule.sizes)
    last, coarse = (_try_optimizer(prepared, canvas, slope, is_last_scale=it) for it in (True, scales == 1))
    counted = (backward, tile_backward, forward, content, terms, last.bytes, coarse.bytes, last.kept_bytes)
    timed = (backward_seconds, forward_seconds, last.seconds, coarse.seconds, _time_compact_step(canvas, slope))
    return [each / canvas[0, 0].numel() for each in (*counted, *timed)]


def _choose_sample_size(prepared: Prepared, schedule: Schedule) -> Size:
    """Return the size of the canvas that is measured; a seamless one can only have a size of the schedule."""
    width, height = schedule.last_size
    size = fit_size(width, height, min(SAMPLE_SIDE, max(width, height)))
    if min(size) >= prepared.cell_size and prepared.settings.padding != "circular":
        return size
    return next((size for size in reversed(schedule.sizes) if max(size) <= SAMPLE_SIDE), schedule.sizes[0])


@dataclass(frozen=True)
class _StepCosts:
    bytes: int
    kept_bytes: int
    seconds: float


def _try_optimizer(prepared: Prepared, canvas: Tensor, slope: Tensor, *, is_last_scale: bool) -> _StepCosts:
    """Take a few steps with a scale's default optimizer, down a quadratic with that curvature."""
    optimizer = make_optimizer(prepared.settings, ScaleStrategy(), prepared.dtype, is_last_scale=is_last_scale)
    moved = canvas.detach().clone()
    for _ in range(2):  # then it has taken its memory
        optimizer.step(moved, slope * moved)
    kept = sum(each.nbytes for each in vars(optimizer).values() if isinstance(each, Tensor))
    gradient = slope * moved
    peak = measure_peak_bytes(lambda: optimizer.step(moved, gradient))
    gradient = slope * moved
    return _StepCosts(peak, kept, _time_call(lambda: optimizer.step(moved, gradient), repeats=1))


def _time_compact_step(canvas: Tensor, slope: Tensor) -> float:
    """Return the seconds of a step with TIMED_COMPACT_HISTORY pairs in bfloat16."""
    optimizer, moved = CompactLBFGS(TIMED_COMPACT_HISTORY), canvas.detach().clone()
    for _ in range(TIMED_COMPACT_HISTORY + 1):
        optimizer.step(moved, slope * moved)
    gradient = slope * moved
    return _time_call(lambda: optimizer.step(moved, gradient), repeats=1)


def _draw_canvas(like: Tensor, chance: torch.Generator) -> Tensor:
    """Draw a random canvas (1, 3, H, W) from a generator of its own, so that the program's is not advanced."""
    return torch.rand(like.shape, generator=chance).to(like).contiguous(memory_format=torch.channels_last)


def _time_call(call: Callable[[], object], repeats: int = 2) -> float:
    """Return the seconds that a call takes, the shortest of a few."""
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        call()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    return min(seconds)
