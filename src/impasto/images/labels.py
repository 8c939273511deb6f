"""Label pictures: each color is a region, painted in the style of the same color in the paintings' label pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import max_pool2d, pad

from impasto.errors import UsageError
from impasto.images.image import Image
from impasto.images.masks import read_aligned_image

MAX_SAME_COLOR_DISTANCE = 40  # of 255, in any channel: closer colors are one label, unless they are kept apart
MIN_LABEL_SHARE = 0.0005  # of all pixels: rarer colors are the edge between two labels
MAX_LABELS = 32
MAX_MIXED_SHARE = 0.2  # of all pixels, that may have a color between two labels
MAX_MERGED_SHARE = 0.02  # of all pixels, that may lie in plain areas of another color than their label's

# Colors that are easy to tell apart, for the label pictures that are drawn here.
LABEL_COLORS = ("e6194b", "3cb44b", "4363d8", "ffe119", "f58231", "911eb4", "42d4f4", "f032e6",
          "9a6324", "469990", "800000", "bfef45", "000075", "a9a9a9", "ffffff", "000000")  # fmt: skip


@dataclass(frozen=True, eq=False)
class LabelMap:
    """A label picture: its `colors` (K, 3), 0 to 255, and the number of each pixel's color, `numbers` (H, W).

    Class numbers and the palettes of data sets have labels of nearly the same color.
    """

    name: str
    colors: Tensor
    numbers: Tensor

    @cached_property
    def tolerance(self) -> int:
        """How far, of 255 in any channel, a color may be from that of a label, and not be taken for another."""
        distances = (self.colors[:, None] - self.colors).abs().amax(2)
        others: list[int] = distances[~torch.eye(len(distances), dtype=torch.bool)].tolist()
        return min([MAX_SAME_COLOR_DISTANCE, *((distance - 1) // 2 for distance in others)])

    def find_label(self, color: Tensor, tolerance: int = MAX_SAME_COLOR_DISTANCE) -> int | None:
        """Return the number of a color (3,), `tolerance` being that of the label picture it is from; None for none."""
        distances = (self.colors - color).abs().amax(1)
        nearest = int(distances.argmin())
        return nearest if int(distances[nearest]) <= min(self.tolerance, tolerance) else None

    def make_mask(self, number: int) -> Tensor:
        """Return the mask (1, 1, H, W) of a label, with hard edges."""
        return (self.numbers == number).float()[None, None]


def read_labels(name: str, setting: str, reference: Image, reference_name: str) -> LabelMap:
    """Read the label picture of a reference image, which errors call `reference_name`.

    Pixels of other colors, as at smooth edges, get the nearest label. Errors: UsageError naming `setting` for too many
    colors or another aspect; PictureError as for `read_image`.

    Example: read_labels("photo_labels.png", "labels", photo, "photo").colors
    """
    picture = read_aligned_image(name, setting, reference, reference_name)
    pixels = (picture.rgb[0].permute(1, 2, 0) * 255).round().to(torch.int64)  # (H, W, 3)
    packed = (pixels @ torch.tensor([65536, 256, 1])).numpy()
    found, inverse, counts = map(torch.from_numpy, np.unique(packed, return_inverse=True, return_counts=True))
    every = torch.stack([found >> 16, (found >> 8) & 255, found & 255], 1)  # (U, 3)
    inverse = inverse.view(pixels.shape[:2])
    plain = torch.bincount(inverse[_find_plain(inverse)], minlength=len(every))
    colors = _choose_label_colors(every, counts, plain)
    distances, nearest = torch.stack([(every - color).abs().amax(1) for color in colors]).min(0)
    mixed = int(counts[distances > MAX_SAME_COLOR_DISTANCE].sum())
    merged = int(plain[distances > 0].sum())
    is_mixed = mixed > MAX_MIXED_SHARE * packed.size or merged > MAX_MERGED_SHARE * packed.size
    if len(colors) > MAX_LABELS or is_mixed:
        raise UsageError(
            f"`{setting}` {name} has too many colors: it takes a label picture, with one plain color for each region, "
            f"{MAX_LABELS} at most, best saved as PNG"
        )
    return LabelMap(name, colors, nearest[inverse])


def match_label_colors(photo: LabelMap, paintings: Sequence[LabelMap]) -> list[list[int | None]]:
    """Find each of the photo's labels in each painting: its number there, or None.

    Errors: UsageError for a color of the photo that no painting has.
    """
    matches = [[painting.find_label(color, photo.tolerance) for painting in paintings] for color in photo.colors]
    for color, match in zip(photo.colors, matches, strict=True):
        if set(match) == {None}:
            known = ", ".join(dict.fromkeys(format_color(one) for painting in paintings for one in painting.colors))
            raise UsageError(
                f"`labels` {photo.name} has the color {format_color(color)}, which no `style_labels` picture of "
                f"{', '.join(painting.name for painting in paintings)} has: there are {known}"
            )
    return matches


def list_unused_colors(photo: LabelMap, painting: LabelMap) -> list[str]:
    """Return, as #rrggbb, the colors in a painting's label picture that the photo's lacks."""
    return [format_color(color) for color in painting.colors if photo.find_label(color, painting.tolerance) is None]


def draw_labels(masks: Tensor) -> Tensor:
    """Draw masks (N, 1, H, W) as a label picture (1, 3, H, W), each pixel in the color of its largest mask."""
    rows = torch.tensor([list(bytes.fromhex(color)) for color in LABEL_COLORS[: len(masks)]])
    return (rows[masks.argmax(0)[0]].permute(2, 0, 1)[None] / 255).float()


def format_color(color: Tensor) -> str:
    """Write a color (3,) as #rrggbb."""
    return "#" + bytes(color.tolist()).hex()


def _find_plain(numbers: Tensor) -> Tensor:
    """Tell which pixels (H, W) have the color of all their neighbors: none at an edge, however it is smoothed."""
    around = pad(numbers[None, None].double(), (1, 1, 1, 1), mode="replicate")
    return ((max_pool2d(around, 3, 1) == numbers) & (max_pool2d(-around, 3, 1) == -numbers))[0, 0]


def _choose_label_colors(every: Tensor, counts: Tensor, plain: Tensor) -> Tensor:
    """Choose the labels among all colors (U, 3), the most frequent first; at most MAX_LABELS and one more.

    `counts` and `plain` are the numbers of all their pixels, and of those in plain areas. Where there are few colors,
    each that has such an area is a label; where there are many, as in JPEG, those close to another are noise.
    """
    min_count = MIN_LABEL_SHARE * int(counts.sum())
    are_few = len(every) <= MAX_LABELS
    chosen: list[Tensor] = []
    for index in counts.argsort(descending=True, stable=True):
        if counts[index] < min_count or len(chosen) > MAX_LABELS:
            break
        is_far = all(int((color - every[index]).abs().amax()) > MAX_SAME_COLOR_DISTANCE for color in chosen)
        if is_far or (are_few and plain[index] >= min_count):
            chosen.append(every[index])
    return torch.stack(chosen or [every[counts.argmax()]])
