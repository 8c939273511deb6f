"""What can be seen of a painting before anybody waits: that its style will disappoint."""

import cmath
import math

import torch
from torch import Tensor

from impasto.images.color_spaces import take_luma
from impasto.images.image import Image
from impasto.images.sizes import fit_size, resize_clamped

SEEN_SIDE = 256  # pixels that a painting's longer side is looked at
FORMS_SIDE = 48  # the same, for its large forms
CELL_SIDE = 16  # pixels of the first
MAX_EMPTY_SPREAD = 0.06  # of the values of an empty cell, of 1
MAX_EMPTY_SHARE = 0.33  # of all cells; a sky or a sheet of paper beside a picture is less
MIN_CONTRAST = 0.1  # the standard deviation of the brightness
MIN_CHROMA = 0.05  # the mean difference between a pixel's largest and smallest value
VIVID_CHROMA = 0.3  # the mean length of the hue vectors; brown masters are below
MAX_ONE_HUE = 0.9  # of the hue vectors' lengths that their mean keeps: 1 where all have one hue
MAX_ONE_WAY = 1 / 3  # of the gradients that runs one way: 0 where all ways are alike, 1 for straight stripes
MAX_ENLARGEMENT = 2.0


def find_weaknesses(painting: Image, side: int, *, needs_color: bool, is_texture: bool = False) -> list[str]:
    """Say why a painting's style, measured at `side` pixels, may disappoint, and what to do; [] if nothing is seen.

    A texture may be pale, or run one way.

    The bounds come from 30,000 ratings of stylized pictures (Kitov 2024). Of 25 paintings they find the ten that were
    rated worst, two of the five in the middle, and of the ten best a drawing in black. Streaks that run one way tell
    most (Spearman's correlation with the rating is -0.71); one vivid hue rests on three paintings only.
    """
    name = painting.as_painting
    small = _shrink(painting, SEEN_SIDE)
    notes = []
    if needs_color and float((small.amax(1) - small.amin(1)).mean()) < MIN_CHROMA:
        notes.append(f"{name} has hardly any color, nor will the picture: `color` keep gives it the photo's.")
    elif needs_color and _has_one_hue(small):
        notes.append(f"{name} is nearly all of one hue, and so will the picture be: `color` keep gives it the photo's.")
    if _measure_empty_share(small) > MAX_EMPTY_SHARE:
        notes.append(f"{name} is empty over large parts, and so may the picture be: cut it to what is painted.")
    elif not is_texture and float(take_luma(small).std(correction=0)) < MIN_CONTRAST:
        notes.append(f"{name} has hardly any light and dark, and so may the picture: try it at a small `size` first.")
    if not is_texture and _measure_one_way(_shrink(painting, FORMS_SIDE)) > MAX_ONE_WAY:
        notes.append(
            f"{name} runs mostly one way, and the picture may become streaks: try it at a small `size` first, or mix "
            "it with another painting."
        )
    longest = max(painting.width, painting.height)
    if MAX_ENLARGEMENT * longest < side:
        notes.append(
            f"{name} has only {longest} pixels and is enlarged to {side}, which blurs its strokes: take a larger file "
            "of it, or a smaller `style_size`."
        )
    return notes


def _shrink(painting: Image, side: int) -> Tensor:
    width, height = fit_size(painting.width, painting.height, side, "shrink")
    return resize_clamped(painting.flattened().float(), width, height)


def _measure_empty_share(rgb: Tensor) -> float:
    """Return the share of the cells that hold next to nothing."""
    cell = min(CELL_SIDE, *rgb.shape[-2:])
    cells = rgb.unfold(2, cell, cell).unfold(3, cell, cell).flatten(4)
    return float((cells.var(-1, correction=0).sum(1).sqrt() < MAX_EMPTY_SPREAD).float().mean())


def _has_one_hue(rgb: Tensor) -> bool:
    """Say whether a picture (1, 3, H, W) is vivid and its hue vectors, as long as the chroma, all point one way."""
    third = cmath.rect(1, math.tau / 3)
    hues = rgb[:, 0] + rgb[:, 1] * third + rgb[:, 2] * third.conjugate()
    chroma = float(hues.abs().mean())
    return chroma > VIVID_CHROMA and float(hues.mean().abs()) > MAX_ONE_HUE * chroma


def _measure_one_way(rgb: Tensor) -> float:
    """Return the coherence of the structure tensor of the whole picture (1, 3, H, W) (Bigün and Granlund 1987)."""
    if min(rgb.shape[-2:]) < 2:
        return 0.0
    down, right = torch.gradient(rgb, dim=(2, 3))
    across, both, along = (float((one * other).sum()) for one, other in ((right, right), (right, down), (down, down)))
    return math.hypot(across - along, 2 * both) / max(across + along, 1e-12)
