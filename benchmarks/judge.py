"""Judge a painted picture by VGG-19: how far its style is from the painting's, and its content from the photo's.

    python benchmarks/judge.py PICTURE PHOTO PAINTING... [--size 512]

style       the mean over relu1_1, relu2_1, relu3_1, relu4_1, relu5_1 of |G - G*| / |G*|: G is the picture's Gram
            matrix per position, G* the painting's; 0 is the painting itself. Several paintings have the mean of theirs.
views       the same of both pictures at --size, a half and a quarter of it: strokes, patches, large forms
style_all   the mean over the views
content     |F - F*| / |F* - its mean over positions| at relu4_1; 0 is the photo itself, about 1 an unrelated picture
structure   how far places that are alike in the photo are alike in the picture, whatever their colors and strokes: the
            correlation of both pictures' self-similarities, the mean over the views; 1 is the photo itself, and an
            unrelated picture has 0.2 to 0.3. Self-similarity: the cosines between features at 24 x 24 places (Kolkin,
            Salavon and Shakhnarovich 2019, "Style Transfer by Relaxed Optimal Transport and Self-Similarity")

Everything is float32 and padded by reflection. Each channel is divided by its mean activation over photographs and
paintings, as training measured it, so that none outweighs the others.
"""

import argparse
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, interpolate, normalize

from reference import DEPTHS, STYLE_TAPS, Vgg, gram, see

CONTENT_TAP = "relu4_1"
STRUCTURE_TAPS = ("relu3_1", "relu4_1")
STRUCTURE_GRID = 24  # places along each side
PARTS = (1, 2, 4)  # of the longer side: the views
MIN_VIEW_SIZE = 64  # pixels; a smaller view is left out, as relu5_1 has a sixteenth of them
REFLECTED = {f"conv{block}_{n}": "reflect" for block, depth in enumerate(DEPTHS, 1) for n in range(1, depth + 1)}
SCALES = Path(__file__).parent.parent / "training" / "guesses.safetensors"  # TAP.scale: 1 over mean activations
# Mean activations of those channels of relu5_1 that fire so rarely that training limits their scales.
RARE_MEANS = {5: 0.906707, 34: 8.857457, 276: 1.364036, 396: 8.082959}

Picture = str | Path | Image.Image


@cache
def load_vgg(network: str = "vgg19", device: str = "cpu") -> Vgg:
    """Load a network of impasto's registry, or of a file, as far as relu5_1."""
    from impasto.network.registry import load_network

    held = load_network(network, cut="relu5_1", pooling="max", padding="reflect").to(device)
    weights = {name.removeprefix("convs."): tensor for name, tensor in held.state_dict().items()}
    return Vgg(weights, held.normalization.mean, held.normalization.std, held.normalization.bgr)


@torch.no_grad()
def judge(picture: Picture, photo: Picture, paintings: Sequence[Picture], size: int = 512, device: str = "cpu") -> Any:
    """Return style, style_all, content, structure and views of a picture, given as a file or as a PIL image."""
    sizes = [size // part for part in PARTS if part == 1 or size // part >= MIN_VIEW_SIZE]
    views = {each: compare_styles(picture, paintings, each, device) for each in sizes}
    seen, wanted = (look(each, size, device)[CONTENT_TAP] for each in (picture, photo))
    if seen.shape != wanted.shape:
        wanted = interpolate(wanted, seen.shape[2:], mode="bilinear", align_corners=False)
    content = (seen - wanted).norm() / (wanted - wanted.mean((2, 3), keepdim=True)).norm()
    return {
        "style": views[size],
        "style_all": sum(views.values()) / len(views),
        "content": float(content),
        "structure": sum(compare_structure(picture, photo, each, device) for each in sizes) / len(sizes),
        "views": views,
    }


def compare_styles(picture: Picture, paintings: Sequence[Picture], size: int, device: str) -> float:
    """Return the style error of a picture at one size."""
    grams, *others = ({tap: gram(f) for tap, f in look(each, size, device).items()} for each in (picture, *paintings))
    wanted = {tap: torch.stack([each[tap] for each in others]).mean(0) for tap in grams}
    errors = [float((grams[tap] - wanted[tap]).norm() / wanted[tap].norm()) for tap in STYLE_TAPS]
    return sum(errors) / len(errors)


def compare_structure(picture: Picture, photo: Picture, size: int, device: str) -> float:
    """Return how alike the self-similarities of two pictures are at one size: their correlation."""
    ours, theirs = (measure_self_similarity(look(each, size, device)) for each in (picture, photo))
    return float(torch.corrcoef(torch.stack([ours, theirs]))[0, 1])


def measure_self_similarity(features: dict[str, Tensor]) -> Tensor:
    """Return the cosines between the features of all pairs of places (pairs,)."""
    maps = [adaptive_avg_pool2d(features[tap], STRUCTURE_GRID)[0].flatten(1) for tap in STRUCTURE_TAPS]
    places = torch.cat([each / each.norm(dim=0).mean() for each in maps])  # (C, places): taps count alike
    places = normalize(places - places.mean(1, keepdim=True), dim=0)
    rows, columns = torch.triu_indices(places.shape[1], places.shape[1], 1, device=places.device)
    return (places.T @ places)[rows, columns]


def look(picture: Picture, size: int, device: str) -> dict[str, Tensor]:
    """Return the features (1, C, h, w) of a picture at a longer side of `size`, each channel scaled."""
    seen = see(load_vgg(device=device), read(picture, size).to(device), STYLE_TAPS, REFLECTED)
    return {tap: features * load_scales()[tap].to(device).view(1, -1, 1, 1) for tap, features in seen.items()}


@cache
def load_scales() -> dict[str, Tensor]:
    """Return 1 over the mean activation of each channel (C,), by tap."""
    kept = load_file(SCALES)
    for channel, mean in RARE_MEANS.items():
        kept["relu5_1.scale"][channel] = 1 / mean
    return {tap: kept[f"{tap}.scale"] for tap in STYLE_TAPS}


def read(picture: Picture, size: int) -> Tensor:
    """Return a picture (1, 3, H, W) in [0, 1] at a longer side of `size` pixels, in 8 bits."""
    opened = picture if isinstance(picture, Image.Image) else Image.open(picture)
    upright = ImageOps.exif_transpose(opened).convert("RGB")
    scale = size / max(upright.size)
    width, height = (round(side * scale) for side in upright.size)
    pixels = np.asarray(upright.resize((width, height), Image.Resampling.LANCZOS))
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255


def main() -> None:
    """Judge a file, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path)
    parser.add_argument("photo", type=Path)
    parser.add_argument("paintings", type=Path, nargs="+")
    parser.add_argument("--size", type=int, default=512)
    given = parser.parse_args()
    print(json.dumps(judge(given.picture, given.photo, given.paintings, given.size)))


if __name__ == "__main__":
    main()
