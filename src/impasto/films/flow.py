"""Optical flow between two frames: how far each pixel's flow can be trusted, and pictures warped along it.

`estimate_motion` is the only source of Motion: replace it to use another estimator. Frames and pictures are
(1, 3, H, W) sRGB in [0, 1]; a flow is (1, 2, H, W), in pixels to the right and down.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from impasto.images.sizes import fit_size, resize

MAX_FLOW_SIDE = 640  # a larger flow takes longer and finds little more
MIN_FLOW_SIDE = 32  # DIS's pyramid needs it

# At these values a pixel is trusted half. From Ruder et al.: |w~ + w|^2 is compared with the first pair, the squared
# slope of the flow with the second: a share of the squared flow, plus a constant in squared pixels.
CONSISTENCY_TOLERANCE = 0.01, 0.5
BOUNDARY_TOLERANCE = 0.01, 0.02  # theirs is 0.002, for a flow smoother than DIS's

FILL_RADIUS_SHARES = 1 / 64, 1 / 24, 1 / 8  # of the longer side
FREQUENCY_BANDS = 32  # up to half a cycle per pixel
MAX_BAND_GAIN = 1.5
LIKENESS_RIM_PIXELS = 0.25  # likeness falls to 0 over this distance outside the frame
LIKENESS_HALF_DIFFERENCE = 0.002  # squared color difference at which likeness is one half

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Motion:
    """The flow (1, 2, H, W) from each pixel of a frame to its place in another, and two maps (1, 1, H, W) in [0, 1].

    `trust` is high where the flow is certain, `likeness` where the two places have the same colors.
    """

    flow: Tensor
    trust: Tensor
    likeness: Tensor

    def carry(self, picture: Tensor) -> Tensor:
        """Warp a painted picture (1, 3, H, W) of the other frame to this one, and keep its strokes crisp."""
        moved = self.move(picture)
        return picture if moved is picture else restore_detail(moved, picture).clamp(0, 1)

    def move(self, picture: Tensor) -> Tensor:
        """Warp a picture (1, 3, H, W) of the other frame to this one; the same picture where nothing moves."""
        return warp(picture, self.flow) if bool(self.flow.any()) else picture


def estimate_motion(here: Tensor, there: Tensor, fine: bool = True) -> Motion:
    """Find where the pixels of `here` are in `there`, two frames (1, 3, H, W) of one size.

    Trust is 1 where the flow is smooth and the flow back returns to the start. It falls softly to 0 where something is
    hidden, at the edges of moving objects, and outside the frame. Where it is low, as in areas without texture, the
    flow is filled in from the trusted surroundings. Without `fine` it takes half the time, and is less exact.

    Source: Kroeger et al. 2016 (DIS) for the flow; Ruder, Dosovitskiy and Brox 2016, "Artistic style transfer for
    videos", section 4.2, after Sundaram et al. 2010, for the weights.

    Example: estimate_motion(frame, last_frame).carry(last_picture)
    """
    height, width = here.shape[2:]
    small = [max(MIN_FLOW_SIDE, side) for side in fit_size(width, height, MAX_FLOW_SIDE, "shrink")]
    ours, theirs = (_as_gray(rgb, *small) for rgb in (here, there))
    if np.array_equal(ours, theirs):
        still = here.new_zeros(1, 2, height, width)
        return Motion(still, torch.ones_like(still[:, :1]), _measure_likeness(here, there))
    preset = cv2.DISOPTICAL_FLOW_PRESET_MEDIUM if fine else cv2.DISOPTICAL_FLOW_PRESET_FAST
    estimator = cv2.DISOpticalFlow.create(preset)
    there_from_here, here_from_there = (
        _as_tensor(estimator.calc(*pair, np.zeros((*ours.shape, 2), np.float32)))
        for pair in ((ours, theirs), (theirs, ours))
    )
    trust = flow_confidence(there_from_here, here_from_there)
    filled = _fill_untrusted(there_from_here, trust)
    flow = resize(filled, width, height) * torch.tensor([width / small[0], height / small[1]]).view(1, 2, 1, 1)
    likeness = _measure_likeness(here, warp(there, flow)) * _measure_inside(flow, LIKENESS_RIM_PIXELS)
    return Motion(flow, resize(trust, width, height).clamp(0, 1), likeness)


def flow_confidence(flow: Tensor, back: Tensor) -> Tensor:
    """Measure the trust (1, 1, H, W) in a flow (1, 2, H, W), given the flow `back` in the other direction."""
    returned = warp(back, flow)
    length = _squared_length(flow)
    astray = _squared_length(returned + flow) / (
        CONSISTENCY_TOLERANCE[0] * (_squared_length(returned) + length) + CONSISTENCY_TOLERANCE[1]
    )
    across, down = torch.zeros_like(flow), torch.zeros_like(flow)
    across[..., :-1], down[..., :-1, :] = flow.diff(dim=3), flow.diff(dim=2)
    steep = (_squared_length(across) + _squared_length(down)) / (BOUNDARY_TOLERANCE[0] * length + BOUNDARY_TOLERANCE[1])
    return _box_blur(1 / (1 + astray**2), 1) * _box_blur(1 / (1 + steep**2), 1) * _measure_inside(flow)


def warp(picture: Tensor, flow: Tensor) -> Tensor:
    """Sample a picture (1, C, H, W) where the flow (1, 2, H, W) points. Values may overshoot [0, 1] at edges.

    Lanczos's kernel of 8 x 8 pixels: a softer one blurs fine strokes a little more at each frame. The picture is
    mirrored at its border, as a repeated border leaves stripes behind a slow camera.
    """
    height, width = flow.shape[2:]
    across = torch.arange(width) + flow[0, 0]
    down = torch.arange(height)[:, None] + flow[0, 1]
    sampled = cv2.remap(
        _as_array(picture), across.numpy(), down.numpy(), cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REFLECT_101
    )
    return _as_tensor(sampled)


def restore_detail(warped: Tensor, picture: Tensor) -> Tensor:
    """Give each frequency band of a warped picture (1, C, H, W) the energy that it has in the original picture.

    Sampling between pixels blurs fine strokes a little, which adds up from frame to frame.
    """
    height, width = warped.shape[2:]
    bands = _list_bands(height, width)
    ours, theirs = torch.fft.rfft2(warped), torch.fft.rfft2(picture)
    energies = torch.zeros(2, FREQUENCY_BANDS + 1, dtype=torch.float64)
    for energy, spectrum in zip(energies, (theirs, ours), strict=True):
        energy.index_add_(0, bands.flatten(), spectrum.abs().square().sum((0, 1)).flatten().double())
    gain = (energies[0] / energies[1].clamp_min(1e-12)).sqrt().clamp(1, MAX_BAND_GAIN).float()
    restored: Tensor = torch.fft.irfft2(ours * gain[bands], s=(height, width))
    return restored


@lru_cache(maxsize=2)
def _list_bands(height: int, width: int) -> Tensor:
    """Return the band of each frequency (H, W // 2 + 1) in rfft2's order; the corners share the last band."""
    frequency = torch.hypot(torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width))
    return (frequency * 2 * FREQUENCY_BANDS).long().clamp(max=FREQUENCY_BANDS)


def _measure_likeness(here: Tensor, there: Tensor) -> Tensor:
    """Return 1 where two frames have nearly the same colors, 0 where they differ."""
    difference = _box_blur((here - there).square().mean(1, keepdim=True), 1)
    return 1 / (1 + (difference / LIKENESS_HALF_DIFFERENCE) ** 2)


def _fill_untrusted(flow: Tensor, trust: Tensor) -> Tensor:
    """Replace an untrusted flow by the mean of the trusted flow around it; near pixels count most."""
    known = torch.cat([flow * trust, trust], 1)
    radii = [max(1, round(share * max(flow.shape[2:]))) for share in FILL_RADIUS_SHARES]
    around = torch.stack([_box_blur(known, radius) / radius**2 for radius in radii]).sum(0)
    return torch.lerp(around[:, :2] / around[:, 2:].clamp_min(1e-8), flow, trust)


def _measure_inside(flow: Tensor, rim: float = 1.0) -> Tensor:
    """Return 1 where a flow points into the frame, 0 where it points `rim` pixels or more outside."""
    height, width = flow.shape[2:]
    across = torch.arange(width) + flow[:, :1]
    down = torch.arange(height)[:, None] + flow[:, 1:]
    outside = torch.maximum(torch.maximum(-across, across - width + 1), torch.maximum(-down, down - height + 1))
    return (1 - outside / rim).clamp(0, 1)


def _squared_length(flow: Tensor) -> Tensor:
    return flow.square().sum(1, keepdim=True)


def _box_blur(x: Tensor, radius: int) -> Tensor:
    """Take the mean over a square of `radius` pixels in each direction."""
    side = 2 * radius + 1
    return _as_tensor(cv2.blur(_as_array(x), (side, side), borderType=cv2.BORDER_REPLICATE))


def _as_gray(rgb: Tensor, width: int, height: int) -> NDArray[np.uint8]:
    small = _as_array(resize(rgb, width, height).clamp(0, 1).mul(255).round())
    return np.asarray(cv2.cvtColor(small.astype(np.uint8), cv2.COLOR_RGB2GRAY), np.uint8)


def _as_array(x: Tensor) -> Floats:
    """Turn (1, C, H, W) to (H, W, C)."""
    return np.ascontiguousarray(x[0].permute(1, 2, 0).float().numpy())


def _as_tensor(x: Any) -> Tensor:
    """Turn (H, W, C) or (H, W) to (1, C, H, W)."""
    return torch.from_numpy(np.atleast_3d(np.asarray(x, np.float32))).permute(2, 0, 1)[None].contiguous()
