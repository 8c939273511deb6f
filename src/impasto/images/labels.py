"""Label pictures: each colour is a region, which takes its style from what has the same colour in the paintings'."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from impasto.errors import UsageError
from impasto.images.image import Image
from impasto.images.masks import read_aligned_image

MAX_SAME_COLOR_DISTANCE = 40  # of 255 in any channel: colours that lie no farther apart are one label
MIN_LABEL_SHARE = 0.0005  # of a label picture's pixels: fewer of a colour are an edge between two labels
MAX_LABELS = 32  # labels that a picture may have: one with more is no label picture
MAX_MIXED_SHARE = 0.2  # of its pixels that may have colours between two labels

# Colours that are told apart easily, for label pictures that are made here.
LABEL_COLORS = ("e6194b", "3cb44b", "4363d8", "ffe119", "f58231", "911eb4", "42d4f4", "f032e6",
          "9a6324", "469990", "800000", "bfef45", "000075", "a9a9a9", "ffffff", "000000")  # fmt: skip


@dataclass(frozen=True, eq=False)
class LabelMap:
    """A label picture as read: its colours (K, 3) of 0 to 255, and which of them each pixel has (H, W)."""

    name: str
    colors: Tensor
    numbers: Tensor

    def find_label(self, color: Tensor) -> int | None:
        """Return the number of a colour (3,) here, if it is here."""
        distances = (self.colors - color).abs().amax(1)
        nearest = int(distances.argmin())
        return nearest if int(distances[nearest]) <= MAX_SAME_COLOR_DISTANCE else None

    def make_mask(self, number: int) -> Tensor:
        """Return where a label is, (1, 1, H, W), with hard edges."""
        return (self.numbers == number).float()[None, None]


def read_labels(name: str, setting: str, reference: Image, reference_name: str) -> LabelMap:
    """Read a label picture; `what` says in errors what the picture is that it lies on.

    What is left of colours between two labels, as at smooth edges, goes to the nearest label. Errors: UsageError naming
    `option` for too many colours or another aspect; PictureError as for `read_image`.
    """
    picture = read_aligned_image(name, setting, reference, reference_name)
    pixels = (picture.rgb[0].permute(1, 2, 0) * 255).round().to(torch.int64)  # (H, W, 3)
    packed, inverse, counts = np.unique(
        (pixels @ torch.tensor([65536, 256, 1])).numpy(), return_inverse=True, return_counts=True
    )
    found = torch.from_numpy(packed)
    every = torch.stack([found >> 16, (found >> 8) & 255, found & 255], 1)  # (U, 3)
    colors = _choose_label_colors(every, torch.from_numpy(counts))
    distances, nearest = torch.stack([(every - color).abs().amax(1) for color in colors]).min(0)
    between = int(torch.from_numpy(counts)[distances > MAX_SAME_COLOR_DISTANCE].sum())
    if len(colors) > MAX_LABELS or between > MAX_MIXED_SHARE * pixels[..., 0].numel():
        raise UsageError(
            f"{setting} {name} has too many colours: it takes a label picture, with one plain colour for each region, "
            f"{MAX_LABELS} at most, best saved as PNG"
        )
    numbers = nearest[torch.from_numpy(inverse.reshape(-1))].view(pixels.shape[:2])
    return LabelMap(name, colors, numbers)


def match_label_colors(photo: LabelMap, paintings: Sequence[LabelMap]) -> list[list[int | None]]:
    """Say for each of the photo's labels which of each painting's it is; None where a painting has it not.

    Errors: UsageError for a colour of the photo's that no painting has.
    """
    matches = []
    for color in photo.colors:
        match = [painting.find_label(color) for painting in paintings]
        if all(number is None for number in match):
            theirs = ", ".join(dict.fromkeys(format_color(it) for painting in paintings for it in painting.colors))
            raise UsageError(
                f"--labels {photo.name} has the colour {format_color(color)}, which --style-labels "
                f"{', '.join(painting.name for painting in paintings)} have not: there are {theirs}"
            )
        matches.append(match)
    return matches


def list_unused_colors(photo: LabelMap, painting: LabelMap) -> list[str]:
    """List the colours of a painting's labels that the photo has not, and that nothing is painted in."""
    return [format_color(color) for color in painting.colors if photo.find_label(color) is None]


def draw_labels(masks: Tensor) -> Tensor:
    """Draw masks (N, 1, H, W) as a label picture (1, 3, H, W), each pixel in the colour of its largest mask."""
    rows = torch.tensor([list(bytes.fromhex(color)) for color in LABEL_COLORS[: len(masks)]])
    return (rows[masks.argmax(0)[0]].permute(2, 0, 1)[None] / 255).float()


def format_color(color: Tensor) -> str:
    """Write a colour (3,) as #rrggbb."""
    return "#" + bytes(color.tolist()).hex()


def _choose_label_colors(every: Tensor, counts: Tensor) -> Tensor:
    """Choose those of all colours (U, 3) that are labels, the most frequent first; one more than MOST at most."""
    least = MIN_LABEL_SHARE * int(counts.sum())
    chosen: list[Tensor] = []
    for place in counts.argsort(descending=True, stable=True):
        if counts[place] < least or len(chosen) > MAX_LABELS:
            break
        if all(int((color - every[place]).abs().amax()) > MAX_SAME_COLOR_DISTANCE for color in chosen):
            chosen.append(every[place])
    return torch.stack(chosen or [every[counts.argmax()]])
