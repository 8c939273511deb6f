"""GIF and animated WebP and PNG: read frame by frame, written whole or not at all."""

import io
import itertools
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image as PilImage
from PIL import ImageSequence
from torch import Tensor

from impasto.errors import PictureError
from impasto.images.formats import ANIMATION_FORMATS, MAX_PIXELS, READ_ANIMATIONS, READ_SUFFIXES
from impasto.images.image import Image
from impasto.images.metadata import pack_xmp
from impasto.images.opening import limit_pillow, open_file
from impasto.images.output import atomic_write
from impasto.images.write import make_png_text, to_pil

DEFAULT_FRAME_MILLISECONDS = 100  # for frames that give no duration, or 0, as in browsers
ANIMATED_SUFFIXES: list[str] = [suffix for form in READ_ANIMATIONS for suffix in READ_SUFFIXES[form]]
MAX_PALETTE_FRAMES = 16  # that a GIF's one palette is taken from


def read_animation(path: Path) -> Iterator[tuple[Image, int]]:
    """Yield each whole frame and its duration in milliseconds.

    Raises PictureError where the file can't be read, or is damaged: then after the frames before the damage.
    """
    with open_file(path) as file:
        try:
            with limit_pillow(MAX_PIXELS):
                image = PilImage.open(file, formats=READ_ANIMATIONS)
            if image.width * image.height > MAX_PIXELS:
                raise PictureError(f"{path} has more than {MAX_PIXELS:,} pixels a frame: make it smaller first")
            for frame in ImageSequence.Iterator(image):
                picture = _to_image(frame, path)  # before its duration, which WebP knows only then
                yield picture, round(frame.info.get("duration") or DEFAULT_FRAME_MILLISECONDS)
        except PictureError:
            raise
        except Exception as error:  # given damaged bytes, a decoder raises anything
            raise PictureError(f"{path} is no animation, or damaged or cut short ({error}): get it again") from error


def is_animated(path: Path) -> bool:
    """Tell whether a file is a GIF, or a WebP, PNG or AVIF of several frames."""
    if path.suffix.lower() not in ANIMATED_SUFFIXES:
        return False
    try:
        with limit_pillow(MAX_PIXELS), PilImage.open(path, formats=READ_ANIMATIONS) as image:
            return image.format == "GIF" or bool(getattr(image, "is_animated", False))
    except Exception:  # reading it will report the error
        return path.suffix.lower() == ".gif"


def read_gif_comment(path: Path) -> str | None:
    """Return the comment inside a GIF."""
    try:
        with PilImage.open(path, formats=("GIF",)) as image:
            comment = image.info.get("comment")
    except OSError:
        return None
    return comment.decode(errors="replace") if isinstance(comment, bytes) else None


def write_animation(
    frames: Iterator[tuple[Tensor, Tensor | None]],
    times: Sequence[Fraction],
    path: Path,
    *,
    palette_samples: Sequence[Tensor] = (),
    quality: int,
    embedded_text: str = "",
    overwrite: bool = False,
) -> None:
    """Write frames, rgb (1, 3, H, W) and alpha (1, 1, H, W) or None, that repeat for ever.

    `times` are the seconds at which each frame begins, and one more, at which the last ends. All frames of a GIF share
    one palette, taken from `palette_samples`: a palette for each would flicker. Errors: as for `write_image`.
    """
    form = ANIMATION_FORMATS[path.suffix.lower()]
    unit = 10 if form == "GIF" else 1  # of milliseconds
    ticks = [round((time - times[0]) * 1000 / unit) for time in times]
    lasts = [max(1, after - before) * unit for before, after in itertools.pairwise(ticks)]
    palette = _make_palette(palette_samples) if form == "GIF" else None
    first, *others = (_apply_palette(to_pil(*frame), palette) for frame in frames)
    xmp = pack_xmp(embedded_text) if embedded_text else b""
    options: dict[str, dict[str, Any]] = {
        "GIF": {
            "optimize": False,
            "disposal": 1 if first.info.get("transparency") is None else 2,
            "comment": embedded_text.encode(),
        },
        "WEBP": {"quality": quality, "lossless": quality == 100, "xmp": xmp},
        "PNG": {"pnginfo": make_png_text(xmp)} if xmp else {},
    }
    written = io.BytesIO()
    first.save(written, form, save_all=True, append_images=others, duration=lasts, loop=0, **options[form])
    with atomic_write(path, overwrite=overwrite) as file:
        file.write(written.getbuffer())


def _to_image(frame: PilImage.Image, path: Path) -> Image:
    pixels = np.asarray(frame.convert("RGBA"), np.float32) / 255
    values = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    alpha = values[:, 3:].contiguous()
    return Image(values[:, :3].contiguous(), alpha if float(alpha.min()) < 1 else None, path)


def _make_palette(samples: Sequence[Tensor]) -> PilImage.Image:
    step = max(1, -(-len(samples) // MAX_PALETTE_FRAMES))
    row = to_pil(torch.cat([sample[..., ::2, ::2] for sample in samples[::step]], 3))
    return row.quantize(255, method=PilImage.Quantize.MEDIANCUT)


def _apply_palette(image: PilImage.Image, palette: PilImage.Image | None) -> PilImage.Image:
    """Reduce an image to the palette, if any; color 255 is transparent. Dithering would crawl from frame to frame."""
    if palette is None:
        return image
    reduced = image.convert("RGB").quantize(palette=palette, dither=PilImage.Dither.NONE)
    if image.mode == "RGBA":
        indices = np.array(reduced)
        indices[np.asarray(image)[..., 3] < 128] = 255
        colors = (reduced.getpalette() or [])[: 255 * 3]
        reduced = PilImage.fromarray(indices, "P")
        reduced.putpalette(colors + [0] * (768 - len(colors)))
        reduced.info["transparency"] = 255
    return reduced
