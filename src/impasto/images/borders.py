"""Flat borders of a picture of a painting: margins of a scan or a page, which are no part of the painting."""

from dataclasses import replace

import torch
from torch import Tensor

from impasto.images.image import Image

MAX_DEVIATION = 0.1  # of a pixel from the border's color
MAX_MARKED = 0.005  # of a border's pixels in a row or column that deviate more, such as dust
MIN_INSIDE = 0.5  # of the pixels beside a border that deviate more: what is painted begins in a straight line
INSIDE_SHARE = 0.015  # of a side's length: where that line is looked for
MAX_CHROMA = 0.08  # of a border's color, between its largest and smallest value
WHITE, BLACK = 0.8, 0.15  # mean values from which a border is white, up to which it is black
MAX_SHARE = 0.3  # of a side's length that a border takes at each end
MIN_SHARE = 0.01  # of a side's length: a thinner line is left
EDGE_SHARE = 0.004  # of a side's length that is cut off beside a border, whose edge is soft or has a shadow
Border = tuple[int, int, int, int]  # rows at the top and bottom, columns at the left and right


def trim_border(painting: Image) -> tuple[Image, str | None]:
    """Cut a flat white or black border off, and say so; without one, the same image and None.

    A border lies on opposite sides, without a mark on it, and ends in a straight line; all else may be painted. A
    picture with transparent parts has none.
    """
    top, bottom, left, right = find_border(painting)
    if not any((top, bottom, left, right)):
        return painting, None
    rgb = painting.rgb[:, :, top : painting.height - bottom, left : painting.width - right]
    note = (
        f"{painting.as_painting} has a flat border, which is left out: "
        f"{top} pixels at the top, {bottom} at the bottom, {left} at the left, {right} at the right. "
        "`trim` none keeps it."
    )
    return replace(painting, rgb=rgb.contiguous(memory_format=torch.channels_last)), note


def find_border(painting: Image) -> Border:
    """Return how wide a flat white or black border is at the top, bottom, left and right, in pixels."""
    if painting.alpha is not None:
        return 0, 0, 0, 0
    rgb = painting.rgb[0]
    rows, columns = rgb.transpose(0, 1), rgb.permute(2, 0, 1)  # (H, 3, W), (W, 3, H)
    top, bottom = _find_pair(rows)
    left, right = _find_pair(columns)
    return top, bottom, left, right


def _find_pair(lines: Tensor) -> tuple[int, int]:
    """Return how many lines (N, 3, M) at the beginning and at the end are a border of one color."""
    color = lines[0].median(1).values
    mean = float(color.mean())
    is_border_color = float(color.max() - color.min()) <= MAX_CHROMA and (mean >= WHITE or mean <= BLACK)
    if not is_border_color:
        return 0, 0
    deviates = (lines - color[:, None]).abs().amax(1) > MAX_DEVIATION
    marked = deviates.float().mean(1)  # (N,)
    counts = [_count_border(ends) for ends in (marked, marked.flip(0))]
    if not all(counts):
        return 0, 0
    edge = round(EDGE_SHARE * len(lines))
    return counts[0] + edge, counts[1] + edge


def _count_border(marked: Tensor) -> int:
    """Return how many lines from the first on are a border, given the marked share (N,) of each; 0 if it is none."""
    most = int(MAX_SHARE * len(marked))
    count = int((marked[: most + 1] <= MAX_MARKED).long().cumprod(0).sum())
    if not MIN_SHARE * len(marked) <= count <= most:
        return 0
    inside = marked[count : count + max(2, round(INSIDE_SHARE * len(marked)))]
    return count if float(inside.max()) >= MIN_INSIDE else 0
