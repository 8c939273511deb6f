"""Training pictures: read once, kept on the device, cropped and disturbed there."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

HELD_OUT_EVERY = {"photos": 20, "paintings": 10}  # every n-th by name is never trained on
COARSE_FROM = 1.4  # source pixels per pixel from which the picture at half its size is sampled


def list_pictures(folder: Path, held_out_every: int) -> tuple[list[Path], list[Path]]:
    """Split a folder's pictures, sorted by name, into those to train on and those held out."""
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in {".jpg", ".jpeg", ".png", ".webp"})
    held_out = files[::held_out_every]
    return [file for file in files if file not in held_out], held_out


def read_picture(file: Path) -> Tensor:
    """Read a picture as (3, H, W) uint8."""
    return torch.from_numpy(np.asarray(Image.open(file).convert("RGB")).copy()).permute(2, 0, 1)


class Pictures:
    """Pictures of several kinds, and random crops of them: sRGB in [0, 1], channels_last."""

    def __init__(self, kinds: Sequence[Sequence[Path]], device: torch.device) -> None:
        with ThreadPoolExecutor() as pool:
            read = [levels for files in kinds for levels in pool.map(_read_levels, files)]
        self.counts = [len(files) for files in kinds]
        rows, parts, offset = [], [], 0
        for levels in read:
            row: list[int] = []
            for level in levels:
                row += [offset, *level.shape[:2]]
                offset += level.shape[0] * level.shape[1]
                parts.append(level.reshape(-1, 3))
            rows.append(row)
        self.pixels = torch.from_numpy(np.concatenate(parts)).to(device)
        self.rows = torch.tensor(rows, device=device)  # offset, height, width at full and at half size
        self.device = device

    def draw(self, *counts: int) -> Tensor:
        """Draw so many pictures of each kind; returns indices."""
        drawn, before = [], 0
        for count, of in zip(counts, self.counts, strict=True):
            drawn.append(before + torch.randint(of, (count,), device=self.device))
            before += of
        return torch.cat(drawn)

    def crop(
        self,
        which: Tensor,
        size: int,
        *,
        zoom: tuple[float, float] = (-0.7, 1.0),
        whole: float = 0.2,
        disturb: bool = True,
    ) -> Tensor:
        """Crop the pictures `which` (B,) at random places to (B, 3, size, size).

        A window is 2^zoom times `size` on a side, a little stretched; a share `whole` sees nearly all of its picture.
        """
        batch, device = len(which), self.device
        row = self.rows[which]
        full = row[:, 1:3].float()  # (B, 2), height and width
        side = full.amin(1, keepdim=True)
        window = size * 2 ** torch.empty(batch, 1, device=device).uniform_(*zoom)
        stretch = 2 ** torch.empty(batch, 1, device=device).uniform_(-0.125, 0.125)
        window = torch.minimum(window * torch.cat([stretch, 1 / stretch], 1), full)
        sees_all = torch.rand(batch, 1, device=device) < whole
        window = torch.where(sees_all, torch.minimum(1.25 * side, full), window)
        corner = (full - window) * torch.rand(batch, 2, device=device)
        return self._sample(row, corner, window, size, disturb=disturb)

    def crop_middle(self, which: Tensor, size: int) -> Tensor:
        """Take the largest square in the middle, as (B, 3, size, size)."""
        row = self.rows[which]
        full = row[:, 1:3].float()
        window = full.amin(1, keepdim=True).expand(-1, 2)
        return self._sample(row, (full - window) / 2, window, size, disturb=False)

    def _sample(self, row: Tensor, corner: Tensor, window: Tensor, size: int, *, disturb: bool) -> Tensor:
        is_coarse = (window.amax(1) / size > COARSE_FROM).long()
        level = torch.arange(3, device=self.device)[None] + 3 * is_coarse[:, None]
        offset, height, width = row.gather(1, level).unbind(1)
        steps = (torch.arange(size, device=self.device) + 0.5) / size
        places = []
        for axis, length in enumerate((height, width)):
            place = corner[:, axis, None] + window[:, axis, None] * steps
            place = place * (length / row[:, 1 + axis])[:, None] - 0.5
            places.append(torch.minimum(place.clamp_min(0), length[:, None] - 1.0))
        y, x = places
        y0, x0 = y.floor(), x.floor()
        down, right = (y - y0)[:, :, None, None], (x - x0)[:, None, :, None]
        rows = y0.long(), torch.minimum(y0.long() + 1, height[:, None] - 1)
        columns = x0.long(), torch.minimum(x0.long() + 1, width[:, None] - 1)

        def read(rows: Tensor, columns: Tensor) -> Tensor:
            index = offset[:, None, None] + rows[:, :, None] * width[:, None, None] + columns[:, None, :]
            return self.pixels[index].float()

        upper, lower = (torch.lerp(read(r, columns[0]), read(r, columns[1]), right) for r in rows)
        rgb = torch.lerp(upper, lower, down).permute(0, 3, 1, 2) / 255
        return disturb_pictures(rgb) if disturb else rgb


def disturb_pictures(rgb: Tensor) -> Tensor:
    """Mirror, turn and recolor pictures (B, 3, H, W), each by chance: a thousand pictures are few."""
    batch, device = rgb.shape[0], rgb.device

    def chance(share: float) -> Tensor:
        return torch.rand(batch, 1, 1, 1, device=device) < share

    def between(low: float, high: float) -> Tensor:
        return torch.empty(batch, 1, 1, 1, device=device).uniform_(low, high)

    x = torch.where(chance(0.5), rgb.flip(3), rgb)
    x = torch.where(chance(0.1), x.flip(2), x)
    x = torch.where(chance(0.1), x.transpose(2, 3), x)
    order = torch.rand(batch, 3, device=device).argsort(1)[:, :, None, None].expand_as(x)
    x = torch.where(chance(0.15), x.gather(1, order), x)
    matrix = torch.eye(3, device=device) + 0.25 * torch.randn(batch, 3, 3, device=device)
    mean = x.mean((2, 3), keepdim=True)
    x = torch.where(chance(0.2), torch.einsum("nij,njhw->nihw", matrix, x - mean) + mean, x)
    gray = x.mean(1, keepdim=True)
    x = torch.where(chance(0.3), gray + (x - gray) * between(0.0, 2.0), x)
    x = torch.where(chance(0.5), (x - 0.5) * between(0.5, 1.6) + 0.5 + between(-0.15, 0.15), x).clamp(0, 1)
    x = torch.where(chance(0.3), (x + 1e-4) ** between(0.5, 2.0), x)
    x = torch.where(chance(0.04), 1 - x, x)
    x = torch.where(chance(0.08), x + between(0.0, 0.15) * torch.randn_like(x), x)
    return x.clamp(0, 1).contiguous(memory_format=torch.channels_last)


def _read_levels(file: Path) -> tuple[np.ndarray, np.ndarray]:
    picture = Image.open(file).convert("RGB")
    half = picture.resize((max(1, picture.width // 2), max(1, picture.height // 2)), Image.Resampling.BOX)
    return np.asarray(picture), np.asarray(half)
