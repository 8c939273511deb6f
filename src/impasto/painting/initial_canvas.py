"""The first canvas: the photo, a painting, any picture, gray or noise; recolored, blurred, or mixed with noise."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad, softshrink

from impasto.errors import UsageError
from impasto.images.color_matching import Colors, clamp_luma_first, match_colors, measure_colors, visible_colors
from impasto.images.color_spaces import take_luma
from impasto.images.image import Image
from impasto.images.masks import divide_canvas
from impasto.images.sizes import resize
from impasto.painting.styles import StyleInput, group_by_region
from impasto.painting.tiles import split_into_bands
from impasto.settings.model import Settings

GRAY = 0.5
MIN_RECOLORED_VARIANCE = 2e-3  # of a photo's colors, in any direction: the grain of a flat photo must not be amplified
LOST_DETAIL = 0.7  # of the photo's detail that a smaller canvas could not hold: given to the enlarged one
NOISE_LEVEL = 2.0  # of the median of the lost detail: below is the camera's noise
MAX_NOISE_SAMPLES = 1_000_000  # about
NOISE_STD = 0.25  # of normal noise, truncated to [0, 1] (Crowson, style-transfer-pytorch)


def make_initial_canvas(
    settings: Settings,
    width: int,
    height: int,
    photo: Image | None,
    paintings: Sequence[StyleInput],
    picture: Tensor | None = None,
) -> Tensor:
    """Return the first canvas (1, 3, height, width) in [0, 1], on the CPU.

    `photo` has its size already; `picture` is the one that `settings.init` names, if it names a file.

    Errors: UsageError where `settings.init` asks for a photo or a file that is not given.
    """
    if settings.init == "noise":
        return draw_noise(settings, width, height, paintings)
    canvas = blur_canvas(_choose_picture(settings, width, height, photo, paintings, picture).cpu(), settings)
    if not settings.init_noise:
        return canvas
    return torch.lerp(canvas, draw_noise(settings, width, height, paintings).to(canvas), settings.init_noise)


def _choose_picture(
    settings: Settings,
    width: int,
    height: int,
    photo: Image | None,
    paintings: Sequence[StyleInput],
    picture: Tensor | None,
) -> Tensor:
    if settings.init == "gray":
        return torch.full((1, 3, height, width), GRAY)
    if settings.init in ("photo", "recolored"):
        if photo is None:
            raise UsageError(
                f"`init` {settings.init}: there is no photo. Choose noise, painting, gray or a picture file.",
                setting="init",
            )
        return photo.rgb.clone() if settings.init == "photo" else recolor_photo(photo, paintings)
    if settings.init == "painting":
        picture = next(painting for painting in paintings if painting.weight).flattened()
    if picture is None:
        raise UsageError(f"`init` {settings.init}: the picture to begin with was not given.")
    return _resize_to_cover(picture, width, height)


def recolor_photo(photo: Image, paintings: Sequence[StyleInput]) -> Tensor:
    """Give the photo the mean and covariance of the paintings' colors, in each region those of its own paintings.

    Far from the painting's colors the losses are flat, and an optimizer that starts there takes many steps to leave.
    """
    photo = photo.to(torch.device("cpu"))
    weighed = [painting for painting in paintings if painting.weight]
    groups = [[weighed[number] for number in numbers] for numbers in group_by_region(weighed)]
    masks = [group[0].region for group in groups]
    if all(mask is None for mask in masks):
        return _match_to_paintings(photo, weighed)
    resized = [None if mask is None else resize(mask.cpu(), photo.width, photo.height).clamp(0, 1) for mask in masks]
    canvas = photo.rgb.clone()
    for mask, group in zip(divide_canvas(resized), groups, strict=True):
        canvas += mask * (_match_to_paintings(photo.masked_to(mask), group) - photo.rgb)
    return canvas


def find_lost_detail(photo: Tensor, width: int, height: int) -> Tensor:
    """Return what an enlarged canvas gets back of a photo (1, 3, H, W), as luma (1, 1, H, W).

    It is the part of the detail that a canvas of width x height could not hold. An enlarged canvas is blurred; with
    this, fewer steps bring it to the same style at the same content. Colors stay those of the canvas. What most pixels
    have is a camera's noise, and is left out.

    Source: Burt and Adelson, "The Laplacian Pyramid as a Compact Image Code", 1983.
    """
    luma = take_luma(photo)
    detail = luma.sub_(resize(resize(luma, width, height), photo.shape[3], photo.shape[2]))
    step = math.ceil(math.sqrt(detail.numel() / MAX_NOISE_SAMPLES))
    noise = NOISE_LEVEL * float(detail[..., ::step, ::step].abs().median())
    return softshrink(detail, noise).mul_(LOST_DETAIL)


def _match_to_paintings(photo: Image, paintings: Sequence[StyleInput]) -> Tensor:
    seen, wanted = visible_colors(photo.rgb, photo.alpha), _collect_colors(paintings)
    if seen is None or wanted is None:
        return photo.rgb
    matched = torch.empty_like(photo.rgb)
    for band in split_into_bands(photo.rgb):  # whole, a large photo would take several times its memory
        colors = match_colors(photo.rgb[:, :, band], seen, wanted, min_variance=MIN_RECOLORED_VARIANCE)
        matched[:, :, band] = clamp_luma_first(colors)
    return matched


def draw_noise(settings: Settings, width: int, height: int, paintings: Sequence[StyleInput]) -> Tensor:
    """Draw noise (1, 3, height, width) of the settings' kind and strength, from their seed."""
    generator, strength = torch.Generator().manual_seed(settings.seed), settings.noise_strength
    if settings.noise == "uniform":
        noise = torch.rand(1, 3, height, width, generator=generator)
        return noise if strength == 1 else GRAY + (noise - GRAY) * strength
    if settings.noise == "painting":
        mean, root = _measure_painting_colors(paintings)
        noise = torch.randn(1, 3, height, width, generator=generator)
        return (mean[:, None, None] + strength * torch.einsum("dc,bchw->bdhw", root, noise)).clamp(0, 1)
    noise = torch.empty(1, 3, height, width)
    return torch.nn.init.trunc_normal_(noise, GRAY, max(NOISE_STD * strength, 1e-12), 0.0, 1.0, generator=generator)


def _measure_painting_colors(paintings: Sequence[StyleInput]) -> tuple[Tensor, Tensor]:
    """Return the mean (3,) of the paintings' visible colors, and the square root (3, 3) of their covariance."""
    colors = _collect_colors(paintings)
    assert colors is not None
    mean, covariance = measure_colors(colors)
    values, vectors = torch.linalg.eigh(covariance)
    return mean.float(), ((vectors * values.clamp_min(0).sqrt()) @ vectors.T).float()


def _collect_colors(paintings: Sequence[StyleInput]) -> Colors | None:
    """Return the paintings' visible colors, by their weights; None if nothing is visible."""
    seen = [(painting.weight, visible_colors(painting.rgb.cpu(), _visible_mask(painting))) for painting in paintings]
    parts = [(share, colors) for share, colors in seen if share and colors is not None]
    if not parts:
        return None
    whole = sum(share for share, _ in parts)
    return Colors(
        torch.cat([colors.values for _, colors in parts], 1),
        torch.cat([colors.shares * (share / whole) for share, colors in parts]),
    )


def blur_canvas(canvas: Tensor, settings: Settings) -> Tensor:
    """Blur (1, 3, H, W) by a Gaussian with a deviation of `init_blur` times the longer side; seamlessly if it tiles."""
    deviation = settings.init_blur * max(canvas.shape[2:])
    if deviation < 0.1:  # of a pixel: invisible
        return canvas
    reach = math.ceil(3 * deviation)
    weights = torch.exp(-((torch.arange(-reach, reach + 1) / deviation) ** 2) / 2)
    weights = (weights / weights.sum()).to(canvas).expand(3, 1, 1, -1)
    for turned in (weights, weights.transpose(2, 3)):
        sides = (reach, reach, 0, 0) if turned is weights else (0, 0, reach, reach)
        canvas = conv2d(_pad_border(canvas, sides, settings.padding == "circular"), turned, groups=3)
    return canvas


def _pad_border(canvas: Tensor, sides: tuple[int, int, int, int], around: bool) -> Tensor:
    if not around:
        return pad(canvas, sides, mode="replicate")
    left, right, top, bottom = sides
    height, width = canvas.shape[2:]
    rows = torch.arange(-top, height + bottom) % height
    columns = torch.arange(-left, width + right) % width
    return canvas[:, :, rows][..., columns]


def _resize_to_cover(picture: Tensor, width: int, height: int) -> Tensor:
    """Resize a picture to cover width x height at its own aspect, and crop the rest."""
    scale = max(width / picture.shape[3], height / picture.shape[2])
    wide, high = max(width, round(picture.shape[3] * scale)), max(height, round(picture.shape[2] * scale))
    left, top = (wide - width) // 2, (high - height) // 2
    return resize(picture, wide, high)[..., top : top + height, left : left + width].clamp(0, 1)


def _visible_mask(painting: StyleInput) -> Tensor | None:
    """Return the visible part of a painting, within its mask (1, 1, H, W), at its size; None for all of it."""
    if painting.mask is None:
        return None if painting.alpha is None else painting.alpha.cpu()
    used = resize(painting.mask, painting.rgb.shape[3], painting.rgb.shape[2]).clamp(0, 1)
    return (used if painting.alpha is None else used * painting.alpha).cpu()
