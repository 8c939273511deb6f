"""Color spaces with luminance and chroma: sRGB to Lab, Luv, YUV, YCbCr and back, fitted into the gamut.

Pictures are (B, 3, H, W). Channel 0 is the luminance, channels 1 and 2 are the chroma, which is 0 for gray.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from impasto.settings.types import ColorSpace

# Linear sRGB to XYZ under D65: IEC 61966-2-1, with Lindbloom's digits. White is (1, 1, 1) in sRGB.
TO_XYZ = torch.tensor(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]],
    dtype=torch.float64,
)
WHITE = TO_XYZ.sum(1)
WHITE_UV = torch.stack([4 * WHITE[0], 9 * WHITE[1]]) / (WHITE[0] + 15 * WHITE[1] + 3 * WHITE[2])
LUMA = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)  # ITU-R BT.601, of encoded sRGB
LAB_LINEAR_LIMIT = 6 / 29  # cube root of the luminance below which Lab and Luv are linear
MIN_DIVISOR = 1e-6  # instead of 0, where there is no light

GAMUT_TOLERANCE = 1e-4  # beyond 0 and 1: no 8-bit picture shows it
GAMUT_BISECTIONS = 12


class ColorConversion(NamedTuple):
    """From sRGB and back; `to_rgb` turns colors outside the gamut into values outside [0, 1]."""

    from_rgb: Callable[[Tensor], Tensor]
    to_rgb: Callable[[Tensor], Tensor]


def fit_into_gamut(colors: Tensor, space: ColorConversion) -> Tensor:
    """Convert colors of a space to sRGB in [0, 1]; colors outside the gamut keep as much chroma as sRGB can show.

    Luminance and hue are kept, as the space defines them, where clipping would shift both. Luminances must lie between
    those of black and white.
    """
    rgb = space.to_rgb(colors)
    outside = ~_is_in_gamut(rgb)
    if bool(outside.any()):
        rgb.movedim(1, 0)[:, outside] = _reduce_chroma(colors.movedim(1, 0)[:, outside][None], space)[0]
    return rgb.clamp(0, 1)


def _reduce_chroma(colors: Tensor, space: ColorConversion) -> Tensor:
    """Find the largest chroma of (1, 3, N) within the gamut, by bisection between gray and the color."""
    luminance, chroma = colors[:, :1], colors[:, 1:]
    kept, step = torch.zeros_like(luminance), 0.5
    for _ in range(GAMUT_BISECTIONS):
        tried = space.to_rgb(torch.cat([luminance, (kept + step) * chroma], 1))
        kept += step * _is_in_gamut(tried)[:, None]
        step /= 2
    return space.to_rgb(torch.cat([luminance, kept * chroma], 1))


def _is_in_gamut(rgb: Tensor) -> Tensor:
    return ((rgb >= -GAMUT_TOLERANCE) & (rgb <= 1 + GAMUT_TOLERANCE)).all(1)


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """CIE 1976 L*a*b* under D65: L* is 0 to 100. Source: CIE 15."""
    x, y, z = _lab_root(multiply_channels(TO_XYZ / WHITE[:, None], _to_linear(rgb))).unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)


def lab_to_rgb(lab: Tensor) -> Tensor:
    """Undo `rgb_to_lab`."""
    lightness, a, b = lab.unbind(1)
    y = (lightness + 16) / 116
    cubes = _lab_cube(torch.stack([y + a / 500, y, y - b / 200], 1))
    return _from_linear(multiply_channels(torch.linalg.inv(TO_XYZ / WHITE[:, None]), cubes))


def rgb_to_luv(rgb: Tensor) -> Tensor:
    """CIE 1976 L*u*v* under D65: L* is 0 to 100. Source: CIE 15."""
    x, y, z = multiply_channels(TO_XYZ, _to_linear(rgb)).unbind(1)
    lightness = 116 * _lab_root(y) - 16
    whole = (x + 15 * y + 3 * z).clamp_min(MIN_DIVISOR)
    u, v = 4 * x / whole - float(WHITE_UV[0]), 9 * y / whole - float(WHITE_UV[1])
    return torch.stack([lightness, 13 * lightness * u, 13 * lightness * v], 1)


def luv_to_rgb(luv: Tensor) -> Tensor:
    """Undo `rgb_to_luv`."""
    lightness, u, v = luv.unbind(1)
    y = _lab_cube((lightness + 16) / 116)
    u = u / (13 * lightness).clamp_min(MIN_DIVISOR) + float(WHITE_UV[0])
    v = (v / (13 * lightness).clamp_min(MIN_DIVISOR) + float(WHITE_UV[1])).clamp_min(MIN_DIVISOR)
    x, z = y * 9 * u / (4 * v), y * (12 - 3 * u - 20 * v) / (4 * v)
    return _from_linear(multiply_channels(torch.linalg.inv(TO_XYZ), torch.stack([x, y, z], 1)))


def take_luma(rgb: Tensor) -> Tensor:
    """Return the luma (B, 1, H, W) of (B, 3, H, W), in its number type."""
    return torch.einsum("bchw,c->bhw", rgb, LUMA.to(rgb))[:, None]


def _make_luma_conversion(blue: float, red: float) -> ColorConversion:
    """Make YUV or YCbCr: luma, then blue and red minus luma, each scaled. Sources: ITU-R BT.470, BT.601."""
    rows = [LUMA, blue * (torch.tensor([0, 0, 1]) - LUMA), red * (torch.tensor([1, 0, 0]) - LUMA)]
    matrix = torch.stack(rows)
    return ColorConversion(
        lambda rgb: multiply_channels(matrix, rgb), lambda colors: multiply_channels(torch.linalg.inv(matrix), colors)
    )


CONVERSIONS: Mapping[ColorSpace, ColorConversion] = {
    "lab": ColorConversion(rgb_to_lab, lab_to_rgb),
    "luv": ColorConversion(rgb_to_luv, luv_to_rgb),
    "yuv": _make_luma_conversion(0.492, 0.877),
    "ycbcr": _make_luma_conversion(0.5 / 0.886, 0.5 / 0.701),
}


def _to_linear(rgb: Tensor) -> Tensor:
    """Undo sRGB's encoding. Source: IEC 61966-2-1."""
    return torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb.clamp_min(0.04045) + 0.055) / 1.055) ** 2.4)


def _from_linear(light: Tensor) -> Tensor:
    return torch.where(light <= 0.0031308, 12.92 * light, 1.055 * light.clamp_min(0.0031308) ** (1 / 2.4) - 0.055)


def _lab_root(light: Tensor) -> Tensor:
    straight = light / (3 * LAB_LINEAR_LIMIT**2) + 4 / 29
    return torch.where(light > LAB_LINEAR_LIMIT**3, light.clamp_min(LAB_LINEAR_LIMIT**3) ** (1 / 3), straight)


def _lab_cube(root: Tensor) -> Tensor:
    return torch.where(root > LAB_LINEAR_LIMIT, root**3, 3 * LAB_LINEAR_LIMIT**2 * (root - 4 / 29))


def multiply_channels(matrix: Tensor, channels: Tensor) -> Tensor:
    """Multiply the channels of (B, 3, ...) by a 3 x 3 matrix."""
    return torch.einsum("ij,bj...->bi...", matrix.to(channels), channels)
