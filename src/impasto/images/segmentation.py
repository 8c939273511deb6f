"""Regions found in pictures by color and position, and matched between a photo and a painting; with scikit-image."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from impasto.errors import UsageError, describe_install
from impasto.images.image import Image
from impasto.images.masks import soften_masks
from impasto.images.sizes import fit_size, resize

Array = NDArray[Any]

MAX_SIDE_PIXELS = 384  # that the picture is searched at: regions are large
SUPERPIXEL_COUNT = 400  # small pieces of nearly one color, which are joined to regions
VERTICAL_WEIGHT, HORIZONTAL_WEIGHT = 1.0, 0.3  # of position, relative to color: skies are above, in any color


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Regions of a picture: soft `masks` (N, 1, h, w) that sum to 1 where it is visible; their `features` (N, 5)."""

    masks: Tensor
    features: Array

    def reordered_like(self, other: "Segmentation") -> "Segmentation":
        """Return the same regions in the order of the most similar ones of another picture."""
        from scipy.optimize import linear_sum_assignment

        costs = ((other.features[:, None] - self.features[None]) ** 2).sum(2)
        order = linear_sum_assignment(costs)[1]
        return Segmentation(self.masks[order.tolist()], self.features[order])


def find_regions(picture: Image, count: int, name: str) -> Segmentation:
    """Find `count` regions of similar color and position in a picture; transparent pixels belong to none.

    Small pieces of nearly one color (SLIC) are joined by Ward's method. Nothing is random: each call finds the same.
    Errors: UsageError where the picture, called `name`, has too few different parts, or scikit-image is missing.

    Sources: Achanta et al. 2012, "SLIC Superpixels Compared to State-of-the-art Superpixel Methods"; Ward 1963.

    Example: find_regions(read_image("photo.jpg"), 3, "photo.jpg").masks
    """
    slic = _import_slic()
    rgb, alpha = _shrink(picture)
    pieces = slic(rgb, n_segments=SUPERPIXEL_COUNT, compactness=10, start_label=0)  # (h, w) whole numbers
    features, is_visible = _measure_superpixels(rgb, alpha, pieces)
    if len(np.unique(features[is_visible].round(6), axis=0)) < count:
        raise UsageError(f"`regions` {count}: {name} does not have that many different parts; ask for fewer")
    regions = _join_superpixels(features, is_visible, count)
    members = regions[pieces]
    masks = torch.from_numpy(np.stack([(members == number) for number in range(count)])[:, None]).float()
    weights = np.bincount(pieces.ravel(), alpha.ravel())
    means = [
        np.average(features[regions == number], axis=0, weights=weights[regions == number]) for number in range(count)
    ]
    return Segmentation(soften_masks(masks), np.stack(means))


def _shrink(picture: Image) -> tuple[Array, Array]:
    """Return the picture's rgb (h, w, 3) and alpha (h, w), float64, at the size that it is searched at."""
    small = fit_size(picture.width, picture.height, MAX_SIDE_PIXELS, "shrink")
    rgb = resize(picture.rgb, *small).clamp(0, 1)[0].permute(1, 2, 0).numpy().astype(np.float64)
    if picture.alpha is None:
        return rgb, np.ones(rgb.shape[:2])
    return rgb, resize(picture.alpha, *small).clamp(0, 1)[0, 0].numpy().astype(np.float64)


def _join_superpixels(features: Array, is_visible: Array, count: int) -> Array:
    """Give each superpixel (P,) the number of its region; -1 for those that are transparent."""
    from scipy.cluster.hierarchy import fcluster, linkage

    regions = np.full(len(features), -1)
    regions[is_visible] = fcluster(linkage(features[is_visible], "ward"), count, "maxclust") - 1
    return regions


def _measure_superpixels(rgb: Array, alpha: Array, pieces: Array) -> tuple[Array, Array]:
    """Return the features of each superpixel (P, 5), color relative to the picture's and position; and its visibility.

    A superpixel is visible (P,) where more than half of it is.
    """
    from skimage.color import rgb2lab

    height, width = alpha.shape
    position = np.stack(np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij"), 2)
    each = np.concatenate([rgb2lab(rgb), position], 2).reshape(-1, 5)
    numbers, weights = pieces.ravel(), alpha.ravel() + 1e-9
    sums = np.stack([np.bincount(numbers, column * weights) for column in each.T], 1)
    features = sums / np.bincount(numbers, weights)[:, None]
    is_visible = np.bincount(numbers, alpha.ravel()) > 0.5 * np.bincount(numbers)
    colors = features[is_visible, :3] if is_visible.any() else features[:, :3]
    features[:, :3] = (features[:, :3] - colors.mean(0)) / max(1e-6, float(np.sqrt(colors.var(0).sum())))
    features[:, 3:] *= VERTICAL_WEIGHT, HORIZONTAL_WEIGHT
    return features, is_visible


def _import_slic() -> Any:
    try:
        from skimage.segmentation import slic
    except ImportError:
        raise UsageError(
            f"`regions`: scikit-image, which finds regions, is not installed: {describe_install('regions')}"
        ) from None
    return slic
