"""Soft masks (1, 1, H, W) in [0, 1]: read, divided, and carried to the grid of a tap."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, max_pool2d

from impasto.errors import PictureError, UsageError
from impasto.images.formats import MAX_PIXELS
from impasto.images.image import Image
from impasto.images.read import read_image
from impasto.images.sizes import find_expected_size
from impasto.settings.types import Propagation, Rounding

MAX_CHANNEL_DIFFERENCE = 0.1  # between a mask's channels: the noise of JPEG, no color
# The brightest value, of 255, that a mask must have: masks of class numbers have few values, and none that is bright.
MIN_BRIGHTEST, MIN_BRIGHTEST_OF_FEW_VALUES, MAX_CLASSES = 64, 128, 32
SOFT_EDGE_SHARE = 0.003  # of a mask's longer side: the blur of a hard edge to each side, done twice


def read_mask(name: str, setting: str, reference: Image, reference_name: str) -> Tensor:
    """Read a gray picture as the mask of a reference image, at its own size: white is 1, black and transparent are 0.

    Errors call the reference image `reference_name`: UsageError naming `setting` where the mask has colors, another
    aspect or is black, or nearly, all over; PictureError as for `read_image`.

    Example: read_mask("sky.png", "mask", photo, "photo")
    """
    picture = read_aligned_image(name, setting, reference, reference_name)
    if float((picture.rgb.amax(1) - picture.rgb.amin(1)).amax()) > MAX_CHANNEL_DIFFERENCE:
        raise UsageError(
            f"`{setting}` {name} has colors: a mask is gray, white where it counts, black where it does not"
        )
    mask = picture.rgb.mean(1, keepdim=True)
    if picture.alpha is not None:
        mask = mask * picture.alpha
    _check_brightness(mask, f"`{setting}` {name}")
    return mask


def _check_brightness(mask: Tensor, name: str) -> None:
    """Raise UsageError for a mask that is black, or so dark that its values are surely numbers of classes."""
    brightest = round(float(mask.max()) * 255)
    if brightest <= 1:
        raise UsageError(f"{name} is black all over: make it white where it counts")
    usual = MIN_BRIGHTEST_OF_FEW_VALUES if len(torch.unique(mask)) <= MAX_CLASSES else MIN_BRIGHTEST
    if brightest < usual:
        raise UsageError(
            f"{name} is nearly black all over: its brightest value is {brightest}, and white, where it counts in full, "
            "is 255. Where its values are numbers of classes, make one of them white, and the others black"
        )


def read_aligned_image(name: str, setting: str, reference: Image, reference_name: str) -> Image:
    """Read an image that describes a reference image, and so must have its size or its aspect; errors: `read_mask`."""
    try:
        picture = read_image(name, max_pixels=max(MAX_PIXELS, reference.width * reference.height))
    except PictureError as error:
        raise PictureError(f"`{setting}` {error}") from None
    expected = find_expected_size((picture.width, picture.height), (reference.width, reference.height))
    if expected:
        raise UsageError(
            f"`{setting}` {name} is {picture.width} x {picture.height} pixels, but the {reference_name} is "
            f"{reference.width} x {reference.height}: give it the same size, or the same aspect, such as "
            f"{expected[0]} x {expected[1]}"
        )
    return picture


def divide_canvas(masks: Sequence[Tensor | None]) -> list[Tensor]:
    """Divide the canvas among masks of one size: where they sum to more than 1, they are scaled to sum to 1.

    None stands for the rest, which no mask covers.
    """
    total = torch.stack([mask for mask in masks if mask is not None]).sum(0)
    return [(1 - total).clamp_min(0) if mask is None else mask / total.clamp_min(1) for mask in masks]


def soften_masks(masks: Tensor, share: float = SOFT_EDGE_SHARE) -> Tensor:
    """Blur the hard edges of masks (N, 1, H, W), twice by a share of the longer side; masks that sum to 1 still do."""
    radius = max(1, round(share * max(masks.shape[2:])))
    for _ in range(2):
        masks = avg_pool2d(masks, 2 * radius + 1, stride=1, padding=radius, count_include_pad=False)
    return masks


def propagate_mask(
    mask: Tensor | None,
    visible: Tensor | None,
    method: Propagation,
    stride: int,
    reach: int,
    rounding: Rounding = "down",
) -> Tensor | None:
    """Carry a mask (1, 1, H, W) and an alpha, `visible` (1, 1, H, W), to the grid (1, 1, h, w) of a tap.

    `stride` is the side of the tap's cells in pixels; `reach` is how many pixels they see beyond their own. `simple`
    weighs a cell by its own pixels' share of the mask; `inside` by the smallest value of the mask that it sees, so that
    nothing from beyond an edge comes in; `all` by the largest. Where no cell is inside, as in regions narrower than a
    cell's view, `inside` is `simple`. Visibility always counts by a cell's own pixels. None is all or all visible.

    Source: Gatys et al. 2017, "Controlling Perceptual Factors in Neural Style Transfer", section 4.
    """
    if mask is None:
        return shrink_mask(visible, stride, rounding)
    simple = shrink_mask(mask if visible is None else mask * visible, stride, rounding)
    if method == "simple":
        return simple
    ceil_mode = rounding == "up"
    if method == "all":
        cells = _max_seen(mask, stride, reach, ceil_mode)
    else:
        cells = 1 - _max_seen(1 - mask, stride, reach, ceil_mode)
    share = shrink_mask(visible, stride, rounding)
    cells = cells if share is None else cells * share
    return cells if float(cells.sum()) >= 1 else simple


def shrink_mask(mask: Tensor | None, stride: int, rounding: Rounding = "down") -> Tensor | None:
    """Carry a mask (1, 1, H, W) to the grid (1, 1, h, w) of a tap with that stride: each cell's own share of it.

    Pixels at the rim that pooling crops count to the cells next to them, so that nothing visible is lost; pooling that
    rounds `up` gives them cells of their own.
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


def _max_seen(mask: Tensor, stride: int, reach: int, ceil_mode: bool) -> Tensor:
    """Return the largest value of a mask that each cell sees; there is nothing to see beyond the border."""
    seen = stride + 2 * reach
    mask = max_pool2d(mask, (seen, 1), (stride, 1), (reach, 0), ceil_mode=ceil_mode)
    return max_pool2d(mask, (1, seen), (1, stride), (0, reach), ceil_mode=ceil_mode)
