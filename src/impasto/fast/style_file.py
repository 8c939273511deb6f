"""Style files: all that one pass needs of a painting, saved once; and read as what a stranger may have made."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar

import safetensors.torch
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from impasto.errors import NetworkError, PictureError, UsageError
from impasto.fast.canvas import MIN_PAINTING_SIDE, load_fast_network
from impasto.fast.decoder import LEVELS, read_widths
from impasto.fast.transfer import measure_levels
from impasto.fast.transport import StyleTarget
from impasto.images.borders import trim_border
from impasto.images.image import Image
from impasto.images.opening import open_file
from impasto.images.output import atomic_write
from impasto.images.sizes import fit_size, resize_clamped
from impasto.images.weaknesses import find_weaknesses
from impasto.network.formats import parse_safetensors
from impasto.network.moments import Moments, solve_symmetric
from impasto.network.registry import get_digest
from impasto.painting.measured import MeasuredPainting
from impasto.painting.prepare import MAX_SIDE, check_visible
from impasto.painting.styles import StyleInput
from impasto.recipes.recipe import Text
from impasto.settings.types import Trim

STYLE_SUFFIX = ".safetensors"
FORMAT = 1
FACTS = "impasto_style"  # the one key of its metadata: safetensors does not keep the order of several
MAX_BYTES = 500_000
MAX_VALUE = 10_000.0  # of a mean or deviation: noise of black and white has 2300
THUMBNAIL_SIDE = 192  # pixels
SAVE_ANEW = "save it anew from the painting with `impasto style`"


class StyleFacts(BaseModel):
    """What a style file says of its moments: the digest of the network that saw them, and the size of the pictures."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    format: int
    network: str
    size: Annotated[int, Field(ge=MIN_PAINTING_SIDE, le=MAX_SIDE)]
    credit: Text


def measure_painting(painting: Image, size: int, trim: Trim, credit: str) -> MeasuredPainting:
    """Measure a painting as one pass does for pictures of `size` pixels; its notes are for the user.

    Errors: UsageError where nothing of it is visible, or it becomes too small.
    """
    check_visible(painting, painting.as_painting)
    painting, note = painting.with_hidden_filled(), None
    if trim == "auto":
        painting, note = trim_border(painting)
    notes = [*painting.notes, *([note] if note else []), *find_weaknesses(painting, size, needs_color=True)]
    width, height = fit_size(painting.width, painting.height, size)
    if min(width, height) < MIN_PAINTING_SIDE:
        raise UsageError(
            f"`size`: the painting would be {width} x {height} pixels, and one pass needs {MIN_PAINTING_SIDE} on each "
            "side: choose a larger one."
        )
    seen = StyleInput(painting.rgb, painting.alpha).resized(width, height)
    levels = measure_levels(load_fast_network(torch.device("cpu"), torch.float32), seen)
    thumbnail = fit_size(width, height, THUMBNAIL_SIDE, "shrink")
    small = resize_clamped(seen.flattened(), *thumbnail)
    return MeasuredPainting(small, None, painting.path, tuple(notes), levels=levels, side=size, credit=credit)


def write_style_file(painting: MeasuredPainting, path: Path, *, overwrite: bool = False) -> None:
    """Write a style file, whole or not at all.

    Errors: UsageError for another suffix, or a credit that is no short line; PictureError where the disk refuses, or
    the file exists.
    """
    if path.suffix.lower() != STYLE_SUFFIX:
        raise UsageError(f"{path} must end in {STYLE_SUFFIX}, as a style file is recognized by it.", setting="output")
    tensors = {"thumbnail": (255 * painting.rgb).round().byte().contiguous()}
    for name, moments in painting.levels.items():
        tensors[f"{name} mean"], tensors[f"{name} root"] = moments.mean.half(), _pack_root(moments.covariance)
    try:
        facts = StyleFacts(
            format=FORMAT, network=get_digest("slim"), size=painting.side, credit=painting.credit
        ).model_dump_json()
    except ValidationError:
        raise UsageError("`credit` takes one line of at most 200 characters.") from None
    data = safetensors.torch.save(tensors, {FACTS: facts})
    with atomic_write(path, overwrite=overwrite) as file:
        file.write(data)


def is_style_file(source: object) -> bool:
    """Tell whether a painting is a path that names a style file."""
    return isinstance(source, str | os.PathLike) and Path(source).suffix.lower() == STYLE_SUFFIX


def read_style_file(path: Path) -> MeasuredPainting:
    """Read a style file; nothing in it is run, and its covariances are symmetric and positive whatever it holds.

    Errors: PictureError where it can't be read, is another file, damaged, or was saved with another network.
    """
    with open_file(path) as file:
        data = file.read(MAX_BYTES + 1)
    other = f"{path} is no style file of impasto: give a painting, or what `impasto style` saved of one"
    if len(data) > MAX_BYTES:
        raise PictureError(other)
    try:
        tensors, about = parse_safetensors(data, str(path))
    except NetworkError as error:
        raise PictureError(f"{error} If it was a style file, {SAVE_ANEW}.") from None
    if FACTS not in about:
        raise PictureError(other)
    try:
        facts = StyleFacts.model_validate_json(about[FACTS])
        if (facts.format, facts.network) != (FORMAT, get_digest("slim")):
            raise PictureError(f"{path} was saved by another impasto, whose network sees otherwise: {SAVE_ANEW}")
        return _unpack(tensors, facts, path)
    except (KeyError, ValueError) as error:
        raise PictureError(f"{path} is a damaged style file, {_describe(error)}: {SAVE_ANEW}") from None


def _unpack(tensors: Mapping[str, Tensor], facts: StyleFacts, path: Path) -> MeasuredPainting:
    """Make what the file says; raises KeyError or ValueError where that is nonsense."""
    thumbnail = tensors["thumbnail"]
    batch, channels, *sides = thumbnail.shape
    is_picture = (batch, channels, len(sides), thumbnail.dtype) == (1, 3, 2, torch.uint8)
    if not is_picture or not all(1 <= side <= THUMBNAIL_SIDE for side in sides):
        raise ValueError("the thumbnail is no small picture")
    levels = {
        level.name: _unpack_moments(tensors, level.name, width)
        for level, width in zip(LEVELS, read_widths(), strict=True)
    }
    notes = (f"{path} holds the style of {facts.credit}",) if facts.credit else ()
    return MeasuredPainting(thumbnail / 255, None, path, notes, levels=levels, side=facts.size, credit=facts.credit)


def _unpack_moments(tensors: Mapping[str, Tensor], name: str, width: int) -> Moments:
    mean, packed = (
        _take_numbers(tensors, f"{name} {what}", count)
        for what, count in (("mean", width), ("root", width * (width + 1) // 2))
    )
    root = torch.zeros(width, width)
    root[tuple(torch.tril_indices(width, width))] = packed
    moments = Moments(torch.tensor(1.0), mean, root @ root.mT + mean.outer(mean))
    if not bool(StyleTarget(moments).root.isfinite().all()):
        raise ValueError(f"no covariance at {name}")
    return moments


def _take_numbers(tensors: Mapping[str, Tensor], name: str, count: int) -> Tensor:
    found = tensors[name]
    if found.dtype != torch.float16 or found.shape != (count,):
        raise ValueError(f"{name} has another form")
    if not bool((found.float().abs() <= MAX_VALUE).all()):  # nor is NaN
        raise ValueError(f"{name} is too large")
    return found.float()


def _pack_root(covariance: Tensor) -> Tensor:
    """Return the lower triangle of L with L L^T = covariance, in float16.

    What L L^T is rounds to is a covariance again; the rounded covariance might have negative eigenvalues.
    """
    values, vectors = solve_symmetric(torch.linalg.eigh, covariance.double())
    lower = torch.linalg.qr((vectors * values.clamp_min(0).sqrt()).mT).R.mT
    packed: Tensor = lower[tuple(torch.tril_indices(*lower.shape))].half()
    return packed


def _describe(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return "its metadata is not understood"
    return f"without {error}" if isinstance(error, KeyError) else str(error)
