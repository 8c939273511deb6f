"""The decoder of the fast path: from features of a photo, level by level, to a painted picture."""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

DECODER_FILE = Path(__file__).with_name("decoder.safetensors")


class Level(NamedTuple):
    """A tap of the network in a view of the picture; a level's cells are twice as large as those of the next."""

    view: float  # of the picture's size
    tap: str

    @property
    def name(self) -> str:
        """Its name, such as `0.5 relu4_1`."""
        return f"{self.view:g} {self.tap}"


LEVELS = (
    Level(0.5, "relu4_1"),
    Level(1.0, "relu4_1"),
    Level(1.0, "relu3_1"),
    Level(1.0, "relu2_1"),
    Level(1.0, "relu1_1"),
)
BLOCKS = (3, 2, 2, 1, 1)  # residual blocks of each level
# Maps a level's features (B, C, h, w), given its number, to the painting's moments; returns them and the amount of
# change, which can be broadcast to (B, 1, h, w).
Transport = Callable[[int, Tensor], tuple[Tensor, Tensor]]


class Block(nn.Module):
    """A residual block: two 3x3 convolutions, their result added to what they see."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.one: nn.Conv2d = nn.Conv2d(width, width, 3)
        self.two: nn.Conv2d = nn.Conv2d(width, width, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Add to a map (B, C, h, w)."""
        return x + _convolve(self.two, F.relu(_convolve(self.one, F.relu(x))))


class Decoder(nn.Module):
    """From the coarsest level to a picture (B, 3, H, W), about in [0, 1]; `widths` are the channels of `LEVELS`.

    At each level the photo's features are joined to what comes from the level before, residual blocks predict the
    network's features of the painted picture, and these are carried to the painting's moments. How much that changed
    them is told to the next levels: where nothing changes, the picture is the photo.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.widths: tuple[int, ...] = tuple(widths)
        before = [0, *widths[:-1]]
        self.skip: nn.ModuleList = nn.ModuleList([nn.Conv2d(width, width, 1) for width in widths])
        self.up: nn.ModuleList = nn.ModuleList(
            [nn.Conv2d(last, w, 3) for last, w in zip(before, widths, strict=True) if last]
        )
        told = [*widths[1:], widths[-1]]
        self.tell: nn.ModuleList = nn.ModuleList(
            [nn.Conv2d(number, width, 1) for number, width in enumerate(told, start=1)]
        )
        self.blocks: nn.ModuleList = nn.ModuleList(
            [nn.Sequential(*[Block(width) for _ in range(count)]) for width, count in zip(widths, BLOCKS, strict=True)]
        )
        self.last: nn.Conv2d = nn.Conv2d(widths[-1], widths[-1], 3)
        self.rgb: nn.Conv2d = nn.Conv2d(widths[-1], 3, 3)

    def forward(self, features: Sequence[Tensor], transport: Transport) -> Tensor:
        """Decode the photo's features (B, C, h, w) of all levels."""
        x, amounts = None, list[Tensor]()
        for number, f in enumerate(features):
            told = join_amounts(amounts, *f.shape[-2:]) if amounts else None
            x, amount = transport(number, self.predict(number, f, x, told))
            amounts.append(amount)
        assert x is not None
        return self.draw(x, join_amounts(amounts, *x.shape[-2:]))

    def predict(self, number: int, photo: Tensor, coarser: Tensor | None, amounts: Tensor | None) -> Tensor:
        """Predict the features of a level from the photo's and those of the coarser level.

        `amounts` (B, number, h, w) or (B, number, 1, 1) are the changes so far; None at the coarsest level.
        """
        if coarser is None or amounts is None:
            x: Tensor = self.skip[number](photo)
        else:
            x = _convolve(self.skip[number], photo, self.tell[number - 1](amounts.to(photo.dtype)))
            x = x + double(_convolve(self.up[number - 1], coarser), *photo.shape[-2:])
        predicted: Tensor = self.blocks[number](x)
        return predicted

    def draw(self, features: Tensor, amounts: Tensor) -> Tensor:
        """Draw the picture from the finest level's features; `amounts` are the changes of all levels."""
        told = self.tell[-1](amounts.to(features.dtype))
        return _convolve(self.rgb, F.relu(_convolve(self.last, features, told)))


def _convolve(conv: nn.Module, x: Tensor, told: Tensor | None = None) -> Tensor:
    """Return conv(x), the border repeated, plus `told` (B, C, h, w), which is the bias where it is the same everywhere.

    Zeros beyond the border would be an edge, which a map of a flat photo's features makes a frame.
    """
    assert isinstance(conv, nn.Conv2d)
    assert conv.bias is not None
    if conv.kernel_size[0] > 1:
        for dimension in (2, 3):  # by slices: F.pad copies a bfloat16 map to another layout and back
            size = x.shape[dimension]
            x = torch.cat([x.narrow(dimension, 0, 1), x, x.narrow(dimension, size - 1, 1)], dimension)
    if told is None or told.numel() > len(conv.bias):
        y = F.conv2d(x, conv.weight, conv.bias)
        return y if told is None else y + told
    return F.conv2d(x, conv.weight, conv.bias + told.flatten())


def double(x: Tensor, height: int, width: int) -> Tensor:
    """Enlarge a map to twice its size by interpolation, then repeat its border or cut it: the same at every place."""
    x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
    missing = (max(0, width - x.shape[3]), max(0, height - x.shape[2]))
    if any(missing):
        x = F.pad(x, (0, missing[0], 0, missing[1]), mode="replicate")
    return x[..., :height, :width]


def join_amounts(amounts: Sequence[Tensor], height: int, width: int) -> Tensor:
    """Join amounts (B, 1, h, w) of several levels as channels; if all are of one cell, so is the result."""
    if all(amount.shape[-2:] == (1, 1) for amount in amounts):
        return torch.cat(list(amounts), 1)
    grown = [amount if amount.shape[-2:] == (height, width) else _fit(amount, height, width) for amount in amounts]
    return torch.cat(grown, 1)


def _fit(amount: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(amount, (height, width), mode="bilinear", align_corners=False)


def reduce_to_view(x: Tensor, view: float) -> Tensor:
    """Reduce pictures or masks (B, C, H, W) to a part of their size."""
    if view == 1:
        return x
    size = (round(x.shape[2] * view), round(x.shape[3] * view))
    return F.interpolate(x, size, mode="bilinear", antialias=True, align_corners=False)


@cache
def read_widths() -> tuple[int, ...]:
    """Return the channels of `LEVELS` that the decoder which comes with impasto knows."""
    with safe_open(DECODER_FILE, "pt") as held:
        return tuple(held.get_slice(f"skip.{number}.weight").get_shape()[0] for number in range(len(LEVELS)))


@cache
def load_decoder(device: torch.device, dtype: torch.dtype) -> Decoder:
    """Load the decoder that comes with impasto onto a device, once."""
    with torch.device("meta"):  # random weights would only be replaced
        decoder = Decoder(read_widths())
    decoder.load_state_dict(load_file(DECODER_FILE), assign=True)
    decoder = decoder.requires_grad_(False).eval().to(device, dtype)
    return decoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
