"""What settings may be: the names to choose from, weights, lengths, files; each read as a person writes it."""

import os
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer

from impasto.settings.lengths import Length, format_lengths, parse_lengths
from impasto.settings.units import check_bytes


def parse_weights(value: Any) -> Any:
    """Read `relu4_2:1,relu3_1:0.5` as {"relu4_2": 1.0, "relu3_1": 0.5}; a name without a weight counts 1."""
    if not isinstance(value, str):
        return value
    weights: dict[str, float] = {}
    for item in value.split(","):
        name, colon, weight = item.strip().partition(":")
        if name in weights:
            raise ValueError(f"{name!r} is named twice")
        try:
            weights[name] = float(weight) if colon else 1.0
        except ValueError:
            raise ValueError(f"{weight!r} is not a weight; write it as relu4_2:1,relu3_1:0.5") from None
    return weights


def format_weights(weights: Mapping[str, float]) -> str:
    """Write {"relu4_2": 1.0} as `relu4_2:1`, every digit that `parse_weights` needs to read the same weights."""
    return ",".join(f"{name}:{repr(float(weight)).removesuffix('.0')}" for name, weight in weights.items())


def check_weights(weights: dict[str, float]) -> dict[str, float]:
    """Refuse weights that are all 0."""
    if weights and not any(weights.values()):
        raise ValueError(f"{format_weights(weights)} leaves nothing: give at least one a weight above 0")
    return weights


def split_at_commas(value: Any) -> Any:
    """Read `1,1,0.5` as ["1", "1", "0.5"]."""
    return value.split(",") if isinstance(value, str) else value


def join_with_commas(values: Sequence[float]) -> str:
    """Write (1.0, 0.5) as `1,0.5`."""
    return ",".join(repr(float(value)).removesuffix(".0") for value in values)


def check_view_weights(weights: tuple[float, ...]) -> tuple[float, ...]:
    """Refuse weights of views that are all 0."""
    if not any(weights):
        raise ValueError("no view has a weight: give at least one a weight above 0")
    return weights


Preset = Literal[
    "default",
    "instant",
    "draft",
    "fine",
    "film",
    "gatys2015",
    "gatys2016",
    "gatys-pytorch",
    "neural-style",
    "neural-style-pt",
    "neural-style-tf",
    "anishathalye",
    "gordicaleksa",
    "style-transfer-pytorch",
]
Fit = Literal["longest", "shortest", "height", "width", "area", "shrink"]
ContentColors = Literal["painting", "photo"]
ContentLoss = Literal["relative", "sum", "mean", "root"]
StyleLoss = Literal[
    "wasserstein", "gram", "covariance", "mean_std", "histogram", "gatys", "gram_mean", "wasserstein_mean"
]
Variation = Literal["mean", "sum", "isotropic", "isotropic_sum", "nine_point"]
ColorMode = Literal["none", "keep", "match", "only"]
ColorSpace = Literal["lab", "luv", "yuv", "ycbcr"]
ColorMatch = Literal["symmetric", "cholesky", "pca", "histogram"]
Layout = Literal["auto", "impasto", "torchvision", "caffe", "gatys"]
Pooling = Literal["max", "average", "l2"]
Padding = Literal["replicate-first", "zero", "replicate", "reflect", "circular"]
Trim = Literal["auto", "none"]
Noise = Literal["uniform", "normal", "painting"]
Rounding = Literal["down", "up"]
Scaling = Literal["own", "256", "255"]
Propagation = Literal["simple", "inside", "all"]
Precision = Literal["auto", "float32", "bfloat16"]
Optimizer = Literal["adam", "lbfgs"]
Clamp = Literal["auto", "always", "never"]

Memory = Annotated[str, AfterValidator(check_bytes)]

TapName = Annotated[str, Field(pattern=r"^(conv|relu)[1-5]_[1-4]$")]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
ViewWeights = Annotated[
    tuple[Weight, ...],
    BeforeValidator(split_at_commas),
    PlainSerializer(join_with_commas, return_type=str),
    Field(min_length=1, max_length=6),
    AfterValidator(check_view_weights),
]
WEIGHTS_FIELD = (
    BeforeValidator(parse_weights),
    PlainSerializer(format_weights, return_type=str),
    Field(min_length=1),
    AfterValidator(check_weights),
)
TapWeights = Annotated[dict[TapName, Weight], *WEIGHTS_FIELD]
LossWeights = Annotated[dict[StyleLoss, Weight], *WEIGHTS_FIELD]
Lengths = Annotated[
    tuple[Length, ...], BeforeValidator(parse_lengths), PlainSerializer(format_lengths, return_type=str)
]

ASPECT_PATTERN = r"^[1-9]\d{0,4}:[1-9]\d{0,4}$"
INIT_CHOICES = ("recolored", "photo", "fast", "noise", "painting", "gray")  # what `init` means, where it is no file
INIT_SYNONYMS = {"random": "noise", "content": "photo", "image": "photo", "style": "painting"}  # of other programs
REST_MASK, WHOLE_MASK = "rest", "all"  # what `mask` and `style_mask` say where they name no file

LargeViewNetwork = Literal["auto", "same", "slim", "vgg19"]
NETWORK_NAMES = ("slim", "vgg19", "vgg19-torchvision")  # what `network` says where it names no file

# The settings that name picture files, and what they say instead.
FILE_SETTINGS: dict[str, tuple[str, ...]] = {
    "init": INIT_CHOICES,
    "mask": (REST_MASK,),
    "style_mask": (WHOLE_MASK,),
    "preserve_mask": ("",),
    "guard_mask": ("",),
    "labels": ("",),
    "style_labels": (),
}


def check_init(init: str) -> str:
    """Refuse an empty name, and a word of another program that is no file."""
    if init in INIT_SYNONYMS and not os.path.lexists(init):
        raise ValueError(f"there is no file {init}: did you mean {INIT_SYNONYMS[init]}?")
    if not init.strip():
        raise ValueError(f"takes {', '.join(INIT_CHOICES)} or the name of a picture file; not {init!r}")
    return init


def parse_file_names(names: Any) -> Any:
    """Read `sky.png,rest` as ("sky.png", "rest"); paths become text."""
    if isinstance(names, str):
        names = [name.strip() for name in names.split(",")] if names else ()
    if isinstance(names, list | tuple):
        return tuple(path_to_text(name) for name in names)
    return (path_to_text(names),) if isinstance(names, os.PathLike) else names


def path_to_text(name: Any) -> Any:
    """Read a path as text."""
    return os.fspath(name) if isinstance(name, os.PathLike) else name


def expand_home(file: str) -> str:
    """Replace a leading ~ by the home folder, where there is one of that name."""
    return os.path.expanduser(file)  # noqa: PTH111 - Path.expanduser raises for a file that is only called ~something


def parse_device(name: str) -> str:
    """Read `CUDA` as cuda, and `1` as cuda:1."""
    name = name.strip().lower()
    return f"cuda:{name}" if name.isdecimal() else name


def check_regions(count: int) -> int:
    """Refuse one region."""
    if count == 1:
        raise ValueError("1 is the whole picture: leave it out, or ask for 2 to 16")
    return count


Regions = Annotated[int, AfterValidator(check_regions)]
Device = Annotated[str, AfterValidator(parse_device)]
FileName = Annotated[str, BeforeValidator(path_to_text), AfterValidator(expand_home)]
NetworkName = Annotated[str, AfterValidator(expand_home)]
Init = Annotated[FileName, AfterValidator(check_init)]
ListedFile = Annotated[str, Field(min_length=1), AfterValidator(expand_home)]
FileNames = Annotated[tuple[ListedFile, ...], BeforeValidator(parse_file_names)]
