"""Soft masks (1, 1, H, W) in [0, 1]: read, divided among those who share a canvas, carried to the grid of a tap."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, max_pool2d

from impasto.errors import PictureError, UsageError
from impasto.images.image import Image
from impasto.images.read import MAX_PIXELS, read_image
from impasto.images.sizes import fit_size
from impasto.settings.types import Propagation, Rounding

MAX_CHANNEL_DIFFERENCE = 0.1  # how far a mask's channels may lie apart: the noise of JPEG, not colours
SOFT_EDGE_SHARE = 0.003  # of a mask's longer side, over which a hard edge becomes soft to each side, twice


def read_mask(name: str, setting: str, reference: Image, reference_name: str) -> Tensor:
    """Read a grey picture as a mask at its own size: white is 1, black and transparent are 0.

    `what` says in errors what the picture is that it lies on. Errors: UsageError naming `option` where the mask has
    colours, another aspect or is black all over; PictureError as for `read_image`.

    Example: read_mask("sky.png", "--mask", photo, "photo")
    """
    picture = read_aligned_image(name, setting, reference, reference_name)
    if float((picture.rgb.amax(1) - picture.rgb.amin(1)).amax()) > MAX_CHANNEL_DIFFERENCE:
        raise UsageError(
            f"{setting} {name} has colours: a mask is grey, white where it counts, black where it does not"
        )
    mask = picture.rgb.mean(1, keepdim=True)
    if picture.alpha is not None:
        mask = mask * picture.alpha
    if not bool((mask > 1 / 255).any()):
        raise UsageError(f"{setting} {name} is black all over: make white what it stands for")
    return mask


def read_aligned_image(name: str, setting: str, reference: Image, reference_name: str) -> Image:
    """Read a picture that says something of another one: of its size, or of another with the same aspect."""
    try:
        picture = read_image(name, max_pixels=max(MAX_PIXELS, reference.rgb[0, 0].numel()))
    except PictureError as error:
        raise PictureError(f"{setting} {error}") from None
    height, width = reference.rgb.shape[2:]
    own_height, own_width = picture.rgb.shape[2:]
    wide, high = fit_size(width, height, max(own_width, own_height))
    if max(abs(wide - own_width), abs(high - own_height)) > 1:
        raise UsageError(
            f"{setting} {name} is {own_width} x {own_height} pixels, but the {reference_name} is {width} x "
            f"{height}: give it "
            f"the same size, or the same aspect, such as {wide} x {high}"
        )
    return picture


def divide_canvas(masks: Sequence[Tensor | None]) -> list[Tensor]:
    """Give each of several masks of one size its part of the canvas.

    Where they sum to more than 1 they are made to sum to 1. None stands for what the others leave.
    """
    total = torch.stack([mask for mask in masks if mask is not None]).sum(0)
    return [(1 - total).clamp_min(0) if mask is None else mask / total.clamp_min(1) for mask in masks]


def soften_masks(masks: Tensor) -> Tensor:
    """Make the hard edges of masks (N, 1, H, W) soft; what sums to 1 still does."""
    reach = max(1, round(SOFT_EDGE_SHARE * max(masks.shape[2:])))
    for _ in range(2):
        masks = avg_pool2d(masks, 2 * reach + 1, stride=1, padding=reach, count_include_pad=False)
    return masks


def propagate_mask(
    mask: Tensor | None,
    visible: Tensor | None,
    method: Propagation,
    stride: int,
    reach: int,
    rounding: Rounding = "down",
) -> Tensor | None:
    """Carry a mask (1, 1, H, W), and what is visible at all, to the grid (1, 1, h, w) of a tap.

    `stride` is the side of the tap's cells in pixels, `reach` how far they see beyond their own pixels. With `simple` a
    cell counts by its own pixels' share of the mask; with `inside` by the least of the mask that it sees anywhere, so
    that nothing from beyond an edge comes in; with `all` by the most that it sees. Where no cell is inside, as in
    regions that are narrower than what a cell sees, cells count as with `simple`. What is visible, where None is
    everything, counts by a cell's own pixels in any case.

    Source: Gatys et al. 2017, "Controlling Perceptual Factors in Neural Style Transfer", section 4.
    """
    if mask is None:
        return shrink_mask(visible, stride, rounding)
    simple = shrink_mask(mask if visible is None else mask * visible, stride, rounding)
    share = shrink_mask(visible, stride, rounding)
    if method == "simple":
        return simple
    up = rounding == "up"
    cells = _max_seen(mask, stride, reach, up) if method == "all" else 1 - _max_seen(1 - mask, stride, reach, up)
    cells = cells if share is None else cells * share
    return cells if float(cells.sum()) >= 1 else simple


def shrink_mask(mask: Tensor | None, stride: int, rounding: Rounding = "down") -> Tensor | None:
    """Carry a mask (1, 1, H, W) to the grid of a tap with that stride: each cell's own share of it.

    The rim that pooling crops counts to the cells beside it, so that nothing visible is lost; pooling that rounds `up`
    gives it cells of its own.
    """
    if mask is None:
        return None
    if rounding == "up":
        return avg_pool2d(mask, stride, ceil_mode=True)
    for dimension in (2, 3):
        inner = (mask.shape[dimension] // stride - 1) * stride
        cells, last = mask.tensor_split([inner], dimension)
        cells = torch.unflatten(cells, dimension, (inner // stride, stride)).mean(dimension + 1)
        mask = torch.cat([cells, last.mean(dimension, keepdim=True)], dimension)
    return mask


def _max_seen(mask: Tensor, stride: int, reach: int, up: bool) -> Tensor:
    """The most of a mask that each cell sees; beyond the border there is nothing to see."""
    seen = stride + 2 * reach
    mask = max_pool2d(mask, (seen, 1), (stride, 1), (reach, 0), ceil_mode=up)
    return max_pool2d(mask, (1, seen), (1, stride), (0, reach), ceil_mode=up)
