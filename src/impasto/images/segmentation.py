"""Regions found in pictures by colour and place, and matched between a photo and a painting; with scikit-image."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from impasto.errors import UsageError
from impasto.images.image import Image
from impasto.images.masks import soften_masks
from impasto.images.sizes import fit_size, resize

SEGMENTATION_MAX_SIDE_PIXELS = 384  # pixels of the longer side of what is looked at: regions are large
SUPERPIXELS = 400  # small pieces of nearly one colour that regions are put together from
VERTICAL_WEIGHT, HORIZONTAL_WEIGHT = (
    1.0,
    0.3,
)  # how much place counts, down and across, beside colour: skies are above, in any colour


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Regions of a picture: soft masks (N, 1, h, w) that sum to 1 where it is visible; their `traits` (N, 5)."""

    masks: Tensor
    features: NDArray[np.float64]

    def reordered_like(self, other: "Segmentation") -> "Segmentation":
        """Return the same regions in the order of those of another picture that they are most like."""
        from scipy.optimize import linear_sum_assignment

        costs = ((other.features[:, None] - self.features[None]) ** 2).sum(2)
        order = linear_sum_assignment(costs)[1]
        return Segmentation(self.masks[order.tolist()], self.features[order])


def find_regions(picture: Image, count: int, name: str) -> Segmentation:
    """Find `count` regions of like colour and place in a picture, with soft edges; what is transparent is in none.

    Small pieces of nearly one colour (SLIC) are joined by Ward's method: without chance, the same at each call.
    Errors: UsageError naming the picture where it has not so many different parts, or where scikit-image is missing.

    Sources: Achanta et al. 2012, "SLIC Superpixels Compared to State-of-the-art Superpixel Methods"; Ward 1963.

    Example: find_regions(read("photo.jpg"), 3, "photo.jpg").masks
    """
    slic = _import_slic()
    from scipy.cluster.hierarchy import fcluster, linkage

    height, width = picture.rgb.shape[2:]
    small = fit_size(width, height, min(SEGMENTATION_MAX_SIDE_PIXELS, max(width, height)))
    rgb = resize(picture.rgb, *small).clamp(0, 1)[0].permute(1, 2, 0).numpy().astype(np.float64)  # (h, w, 3)
    alpha = np.ones(rgb.shape[:2])
    if picture.alpha is not None:
        alpha = resize(picture.alpha, *small).clamp(0, 1)[0, 0].numpy().astype(np.float64)
    pieces = slic(rgb, n_segments=SUPERPIXELS, compactness=10, start_label=0)  # (h, w) whole numbers
    traits, visible = _measure_superpixels(rgb, alpha, pieces)
    if len(np.unique(traits[visible].round(6), axis=0)) < count:
        raise UsageError(f"--regions {count}: {name} has not so many parts that differ; ask for fewer")
    joined = np.full(len(traits), -1)
    joined[visible] = fcluster(linkage(traits[visible], "ward"), count, "maxclust") - 1
    members = joined[pieces]
    masks = torch.from_numpy(np.stack([(members == number) for number in range(count)])[:, None]).float()
    weights = np.bincount(pieces.ravel(), alpha.ravel())
    means = [np.average(traits[joined == number], axis=0, weights=weights[joined == number]) for number in range(count)]
    return Segmentation(soften_masks(masks), np.stack(means))


def _measure_superpixels(
    rgb: NDArray[Any], alpha: NDArray[Any], pieces: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Give each piece's traits (P, 5), colour as it stands out in the picture and place, and whether it is visible."""
    from skimage.color import rgb2lab

    lab = rgb2lab(rgb)
    height, width = alpha.shape
    place = np.stack(np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij"), 2)
    each = np.concatenate([lab, place], 2).reshape(-1, 5)
    weights = np.bincount(pieces.ravel(), alpha.ravel())
    area = np.bincount(pieces.ravel())
    seen = alpha.ravel() + 1e-9
    sums = np.stack([np.bincount(pieces.ravel(), column * seen) for column in each.T], 1)
    traits = sums / np.bincount(pieces.ravel(), seen)[:, None]
    visible = weights > 0.5 * area
    colors = traits[visible, :3] if visible.any() else traits[:, :3]
    traits[:, :3] = (traits[:, :3] - colors.mean(0)) / max(1e-6, float(np.sqrt(colors.var(0).sum())))
    traits[:, 3:] *= VERTICAL_WEIGHT, HORIZONTAL_WEIGHT
    return traits, visible


def _import_slic() -> Any:
    try:
        from skimage.segmentation import slic
    except ImportError:
        raise UsageError(
            "--regions: scikit-image, which finds regions, is not installed: pip install 'impasto[regions]'"
        ) from None
    return slic
