"""The colors of the result: the photo's, matched to the photo's, or the painting's colors alone on the photo.

Pictures are (1, 3, H, W) sRGB in [0, 1], alphas (1, 1, H, W); transparent pixels are left out of all statistics.
"""

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from impasto.images.color_matching import clamp_luma_first, match_colors, visible_colors
from impasto.images.color_spaces import CONVERSIONS, ColorConversion, fit_into_gamut
from impasto.images.image import Image
from impasto.images.sizes import fit_size, resize
from impasto.settings.model import Settings
from impasto.settings.types import ColorSpace

BAND_ROWS = 256  # rows that are converted at once

MAX_GRAY_SPREAD = 2.5 / 255  # between the channels of a gray that JPEG has rounded

# The guided filter that tells painted colors from painted strokes:
FILTER_MAX_SIDE_PIXELS = 256
FILTER_RADIUS_SHARE = 1 / 32  # of the longer side: wider than a stroke
FILTER_EPSILON = 1e-3  # variance of the photo that counts as an edge, which colors follow


def is_gray(picture: Image) -> bool:
    """Tell whether a picture is black and white: red, green and blue are equal wherever it is visible."""
    spread = picture.rgb.amax(1, keepdim=True) - picture.rgb.amin(1, keepdim=True)
    return float((spread if picture.alpha is None else spread * (picture.alpha > 0)).max()) <= MAX_GRAY_SPREAD


def to_gray(rgb: Tensor) -> Tensor:
    """Return the luma of (1, 3, H, W) in all three channels."""
    return CONVERSIONS["yuv"].from_rgb(rgb)[:, :1].expand_as(rgb)


def recolor_painting(painting: Image, photo: Image, settings: Settings) -> Image:
    """Return the painting as its style is taken: with colors matched to the photo's, or as it is.

    A black and white photo makes it black and white. Where either has no visible pixels there is nothing to match.
    """
    if settings.color != "match" or not settings.color_strength:
        return painting
    rgb = to_gray(painting.rgb) if is_gray(photo) else painting.rgb
    source, goal = visible_colors(rgb, painting.alpha), visible_colors(photo.rgb, photo.alpha)
    if source is None or goal is None:
        return painting
    matched = match_colors(rgb, source, goal, settings.color_match)
    return replace(painting, rgb=clamp_luma_first(torch.lerp(painting.rgb, matched, settings.color_strength)))


def recolor_result(painted: Tensor, photo: Image, settings: Settings) -> Tensor:
    """Return the painted picture (1, 3, H, W) with the photo's colors, or its colors on the photo, or as it is."""
    if settings.color not in ("keep", "only"):
        return painted
    height, width = painted.shape[2:]
    rgb = resize(photo.rgb, width, height).clamp(0, 1)
    if settings.color == "keep":
        return keep_photo_colors(painted, rgb, settings.color_space, settings.color_strength)
    alpha = None if photo.alpha is None else resize(photo.alpha, width, height).clamp(0, 1)
    return transfer_chroma(rgb, painted, settings.color_space, settings.color_strength, alpha)


def keep_photo_colors(painted: Tensor, photo: Tensor, space: ColorSpace = "lab", strength: float = 1.0) -> Tensor:
    """Give the painted picture the photo's chroma; its luminance, and so its strokes, are kept.

    Both have one size. `strength` goes from the painted chroma, 0, to the photo's, 1. Where sRGB can't show the photo's
    chroma at the painted luminance, it is reduced; the hue stays.

    Source: Gatys et al. 2016, "Preserving Color in Neural Artistic Style Transfer", luminance only, after painting.

    Example: keep_photo_colors(run_picture, photo, "lab", 0.8)
    """
    if not strength:
        return painted
    return torch.cat(
        [
            _with_chroma(ours, CONVERSIONS[space].from_rgb(theirs)[:, 1:], CONVERSIONS[space], strength)
            for ours, theirs in zip(*(torch.split(x, BAND_ROWS, 2) for x in (painted, photo)), strict=True)
        ],
        dim=2,
    )


def transfer_chroma(
    photo: Tensor, painted: Tensor, space: ColorSpace = "lab", strength: float = 1.0, alpha: Tensor | None = None
) -> Tensor:
    """Give the photo the painted picture's chroma without its strokes; the photo's luminance and texture are kept.

    Both have one size; `alpha` is the photo's. A guided filter tells colors from strokes: around each pixel, the
    painted chroma is fitted as an affine function of the photo's colors, so that it changes where the photo does.
    `strength` goes from the photo's chroma, 0, to the painted, 1.

    Source: He, Sun and Tang 2013, "Guided Image Filtering"; He and Sun 2015, "Fast Guided Filter".

    Example: transfer_chroma(photo, run_picture, "lab", 0.8)
    """
    if not strength:
        return photo
    slopes, offsets = _fit_chroma(photo, painted, CONVERSIONS[space], alpha)
    bands = []
    for ours, slope, offset in zip(*(torch.split(x, BAND_ROWS, 2) for x in (photo, slopes, offsets)), strict=True):
        chroma = (slope.view(1, 3, 2, *slope.shape[2:]) * ours[:, :, None]).sum(1) + offset
        bands.append(_with_chroma(ours, chroma, CONVERSIONS[space], strength))
    taken = torch.cat(bands, 2)
    return taken if alpha is None else torch.where(alpha > 0, taken, photo)


def _with_chroma(rgb: Tensor, chroma: Tensor, space: ColorConversion, strength: float) -> Tensor:
    colors = space.from_rgb(rgb)
    return fit_into_gamut(torch.cat([colors[:, :1], torch.lerp(colors[:, 1:], chroma, strength)], 1), space)


def _fit_chroma(photo: Tensor, painted: Tensor, space: ColorConversion, alpha: Tensor | None) -> tuple[Tensor, Tensor]:
    """Fit painted chroma = slope x photo + offset around each pixel: slopes (1, 3 x 2, H, W), offsets (1, 2, H, W)."""
    height, width = photo.shape[2:]
    small = fit_size(width, height, FILTER_MAX_SIDE_PIXELS, "shrink")
    guide = resize(photo, *small).clamp(0, 1)
    chroma = space.from_rgb(resize(painted, *small).clamp(0, 1))[:, 1:]
    weight = torch.ones_like(guide[:, :1]) if alpha is None else resize(alpha, *small).clamp(0, 1)
    radius = max(1, round(FILTER_RADIUS_SHARE * max(small)))

    def average(x: Tensor) -> Tensor:
        total = avg_pool2d(weight, 2 * radius + 1, stride=1, padding=radius)
        return avg_pool2d(weight * x, 2 * radius + 1, stride=1, padding=radius) / total.clamp_min(1e-6)

    guide_mean, chroma_mean = average(guide), average(chroma)
    variance = average(_outer_products(guide, guide)) - _outer_products(guide_mean, guide_mean)
    covariance = average(_outer_products(guide, chroma)) - _outer_products(guide_mean, chroma_mean)
    epsilon = FILTER_EPSILON * torch.eye(3).to(guide)
    slope = torch.linalg.solve(_to_matrices(variance, 3) + epsilon, _to_matrices(covariance, 2))  # (1, H, W, 3, 2)
    slope = slope.permute(0, 3, 4, 1, 2)
    offset = chroma_mean - (slope * guide_mean[:, :, None]).sum(1)
    return resize(average(slope.flatten(1, 2)), width, height), resize(average(offset), width, height)


def _outer_products(x: Tensor, y: Tensor) -> Tensor:
    return (x[:, :, None] * y[:, None]).flatten(1, 2)


def _to_matrices(x: Tensor, columns: int) -> Tensor:
    """Reshape (1, 3 x columns, H, W) to (1, H, W, 3, columns)."""
    return x.view(1, 3, columns, *x.shape[2:]).permute(0, 3, 4, 1, 2)
