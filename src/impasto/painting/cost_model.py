"""What painting takes for each pixel, in memory and time: measured in about a second, or known from the settings."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from impasto.images.image import Image
from impasto.images.sizes import fit_size
from impasto.network.vgg import Network
from impasto.painting.compact_lbfgs import CompactLBFGS
from impasto.painting.device import measure_used_memory, return_freed_memory
from impasto.painting.memory_tracker import measure_peak_bytes
from impasto.painting.objective import Objective
from impasto.painting.optimizers import make_optimizer
from impasto.painting.pixel_terms import can_use_bands
from impasto.painting.prepare import Prepared
from impasto.painting.schedule import Schedule, Size
from impasto.painting.strategy import ScaleStrategy
from impasto.painting.tiled_objective import why_untileable
from impasto.painting.views import View, choose_network
from impasto.settings.model import Settings

SAMPLE_SIDE = 512  # pixels of the canvas that is measured, unless the picture is smaller
# What oneDNN keeps for the picture sizes that it is prepared for (see device.limit_primitive_cache).
ONEDNN_CACHE_BYTES = 100 * 2**20
TIMED_COMPACT_HISTORY = 4  # pairs; longer histories take longer in proportion

# For `estimate_whole_bytes`: measured with slim in bfloat16 from 256 to 1024 pixels; other networks up to VGG-19's
# widths.
FIXED_BYTES = 60_000_000
SLIM_WEIGHT_BYTES, OTHER_WEIGHT_BYTES = 40_000_000, 210_000_000  # transformed in float32, as winograd.py has them
SLIM_PIXEL_VALUES, OTHER_PIXEL_VALUES = 550, 1100
HISTORY_PIXEL_BYTES = 24  # of one more pair of L-BFGS
PASS_FIXED_BYTES, PASS_PIXEL_BYTES = 900_000_000, 130  # for `estimate_pass_bytes`


@dataclass(frozen=True)
class ViewCosts:
    """Costs for each pixel of a view that one network sees: bytes, and seconds where the name says so.

    `backward` is the peak while a gradient is computed for the whole view, and `tile_backward` for the window of a
    tile; `forward` without a gradient. `content` is kept of the photo where the content is compared.
    """

    backward: float
    tile_backward: float
    forward: float
    content: float
    backward_seconds: float
    forward_seconds: float


@dataclass(frozen=True)
class PixelCosts:
    """Bytes and seconds for each pixel, and `base_bytes`, what the program takes in any case.

    `views` has the costs of each network. `pixel_terms` is what the terms of pixels take if not computed in bands.
    `step` is the peak of an optimizer's step at the last scale, `coarse_step` at others; `optimizer` what it keeps for
    the full history.
    """

    base_bytes: int
    views: Mapping[Network, ViewCosts]
    pixel_terms: float
    step: float
    coarse_step: float
    optimizer: float
    step_seconds: float
    coarse_step_seconds: float
    compact_step_seconds: float


def estimate_whole_bytes(settings: Settings, pixels: int | None = None, value_bytes: int | None = None) -> int:
    """Estimate from the settings alone how many bytes painting whole takes, besides the program's own.

    `pixels` is the number of pixels of the picture, by default `settings.size` squared. `value_bytes` is the size of
    one activation, by default 4 for float32 and otherwise 2.
    """
    value_bytes = value_bytes or (4 if settings.precision == "float32" else 2)
    pixels = pixels or settings.size**2
    side = round(pixels**0.5)
    full = choose_network(settings, (side, side))
    maps = pixels * (SLIM_PIXEL_VALUES if full == "slim" else OTHER_PIXEL_VALUES)
    names = {settings.network, full} if value_bytes == 4 else set()
    weights = sum(SLIM_WEIGHT_BYTES if name == "slim" else OTHER_WEIGHT_BYTES for name in names)
    if full != settings.network:
        maps = max(maps, min(pixels // 4, settings.large_view_size**2) * OTHER_PIXEL_VALUES)
    history = HISTORY_PIXEL_BYTES * max(0, settings.lbfgs_history - 10) if settings.optimizer == "lbfgs" else 0
    return FIXED_BYTES + weights + value_bytes * maps + history * pixels


def estimate_pass_bytes(pixels: int) -> int:
    """Estimate how many bytes a picture in one pass takes, with the program's own memory."""
    return PASS_FIXED_BYTES + PASS_PIXEL_BYTES * pixels


def measure_costs(prepared: Prepared, photo: Image | None, schedule: Schedule) -> PixelCosts:
    """Evaluate a small canvas, whole and as one tile, take a step with each scale's optimizer, and count."""
    settings, size = prepared.settings, _choose_sample_size(prepared, schedule)
    photo = photo and photo.resized(*size)
    generator = torch.Generator().manual_seed(0)
    canvas = _draw_canvas(prepared.paintings[0].rgb.new_empty(1, 3, *reversed(size)), generator).requires_grad_()
    terms, views = 0.0, {}
    for name, network in {settings.network: prepared.network, **prepared.other_networks}.items():
        view = View(size, name, settings)
        objective = prepared.make_view_objective(view, photo, schedule, ScaleStrategy())
        tiled = objective
        if not why_untileable(settings):
            tiled = prepared.make_view_objective(view, photo, schedule, ScaleStrategy(tile_size=max(size)))
        terms = 0.0 if can_use_bands(settings) else _measure_pixel_terms(objective, canvas)
        views[network] = _measure_view(objective, tiled, canvas, terms)

    slope, scales, pixels = _draw_canvas(canvas, generator), len(schedule.sizes), canvas[0, 0].numel()
    last, coarse = (_try_optimizer(prepared, canvas, slope, is_last_scale=each) for each in (True, scales == 1))
    counted = (terms, last.bytes, coarse.bytes, last.kept_bytes)
    timed = (last.seconds, coarse.seconds, _time_compact_step(canvas, slope))
    return_freed_memory()
    kept = 0 if prepared.device.type == "cuda" else ONEDNN_CACHE_BYTES
    per_pixel = [each / pixels for each in (*counted, *timed)]
    return PixelCosts(measure_used_memory(prepared.device) + kept, views, *per_pixel)


def _measure_pixel_terms(objective: Objective, canvas: Tensor) -> float:
    return float(measure_peak_bytes(lambda: objective.compare_pixels(canvas)))


def _measure_view(objective: Objective, tiled: Objective, canvas: Tensor, pixel_terms: float) -> ViewCosts:
    backward_seconds = _time_call(lambda: objective.backward(canvas))  # first: then weights are transformed
    canvas.grad = None
    backward = measure_peak_bytes(lambda: objective.backward(canvas))
    canvas.grad = None
    content = sum(features.nbytes for features in objective.content.values())
    tile_backward = measure_peak_bytes(lambda: tiled.backward(canvas)) - canvas.nbytes - pixel_terms
    forward = measure_peak_bytes(lambda: objective.evaluate(canvas))
    forward_seconds = _time_call(lambda: objective.evaluate(canvas))
    costs = (backward, tile_backward, forward, content, backward_seconds, forward_seconds)
    return ViewCosts(*(each / canvas[0, 0].numel() for each in costs))


def _choose_sample_size(prepared: Prepared, schedule: Schedule) -> Size:
    """Return the size of the canvas that is measured; a seamless one can only have a size of the schedule."""
    width, height = schedule.last_size
    size = fit_size(width, height, SAMPLE_SIDE, "shrink")
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


def _draw_canvas(like: Tensor, generator: torch.Generator) -> Tensor:
    """Draw a random canvas (1, 3, H, W) from a generator of its own, so that the program's is not advanced."""
    return torch.rand(like.shape, generator=generator).to(like).contiguous(memory_format=torch.channels_last)


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
