"""Training pictures: read once, cropped and disturbed anew each time."""

import random
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

HELD_OUT_EVERY = {"photos": 20, "paintings": 10}  # every n-th by name is never trained on


def list_pictures(folder: Path, held_out_every: int) -> tuple[list[Path], list[Path]]:
    """Split a folder's pictures, sorted by name, into those to train on and those held out."""
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in {".jpg", ".jpeg", ".png", ".webp"})
    held_out = files[::held_out_every]
    return [file for file in files if file not in held_out], held_out


def read_picture(file: Path) -> Tensor:
    """Read a picture as (3, H, W) uint8."""
    return torch.from_numpy(np.asarray(Image.open(file).convert("RGB")).copy()).permute(2, 0, 1)


class CropSampler:
    """Random crops (B, 3, size, size) of pictures, zoomed, mirrored, recoloured; sRGB in [0, 1]."""

    def __init__(self, files: list[Path], seed: int) -> None:
        self.pictures = [read_picture(file) for file in files]
        self.random = random.Random(seed)

    def crop(self, size: int) -> Tensor:
        """Draw one crop (1, 3, size, size)."""
        picture = self.random.choice(self.pictures)
        shorter = min(picture.shape[1:])
        window = min(shorter, round(size * 2 ** self.random.uniform(-0.5, 1.0)))
        top = self.random.randint(0, picture.shape[1] - window)
        left = self.random.randint(0, picture.shape[2] - window)
        x = picture[None, :, top : top + window, left : left + window].float() / 255
        if window != size:
            x = F.interpolate(x, (size, size), mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
        if self.random.random() < 0.5:
            x = x.flip(3)
        if self.random.random() < 0.2:
            x = x[:, self.random.sample(range(3), 3)]
        if self.random.random() < 0.5:
            contrast, brightness = self.random.uniform(0.6, 1.5), self.random.uniform(-0.15, 0.15)
            x = ((x - 0.5) * contrast + 0.5 + brightness).clamp(0, 1)
        return x

    def batch(self, count: int, size: int) -> Tensor:
        """Draw crops (count, 3, size, size)."""
        return torch.cat([self.crop(size) for _ in range(count)])
