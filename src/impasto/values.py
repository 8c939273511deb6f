"""What settings may be: the names to choose from, weights, lengths, files; each read as a person writes it."""

import os
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer

from impasto.amounts import check_bytes
from impasto.lengths import Length, parse_lengths, write_lengths
from impasto.weighed import check_weights, parse_weights, write_weights

Preset = Literal[
    "default",
    "draft",
    "fine",
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
ContentLoss = Literal["relative", "sum", "mean", "root"]
StyleLoss = Literal["wasserstein", "gram", "covariance", "mean_std", "histogram", "sum", "mean", "wasserstein_mean"]
Variation = Literal["mean", "sum", "isotropic", "isotropic_sum", "nine_point"]
ColorMode = Literal["none", "keep", "match", "only"]
ColorSpace = Literal["lab", "luv", "yuv", "ycbcr"]
ColorMatch = Literal["symmetric", "cholesky", "pca", "histogram"]
Layout = Literal["auto", "impasto", "torchvision", "caffe", "gatys"]
Pooling = Literal["max", "average", "l2"]
Padding = Literal["replicate-first", "zero", "replicate", "reflect", "circular"]
Noise = Literal["uniform", "normal", "painting"]
Rounding = Literal["down", "up"]
Scaling = Literal["own", "256", "255"]
Propagation = Literal["simple", "inside", "all"]
Precision = Literal["auto", "float32", "bfloat16"]
Optimizer = Literal["adam", "lbfgs"]
Limits = Literal["auto", "clamp", "none"]

Memory = Annotated[str, AfterValidator(check_bytes)]

TapName = Annotated[str, Field(pattern=r"^(conv|relu)[1-5]_[1-4]$")]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Weighed = (
    BeforeValidator(parse_weights),
    PlainSerializer(write_weights, return_type=str),
    Field(min_length=1),
    AfterValidator(check_weights),
)
TapWeights = Annotated[dict[TapName, Weight], *Weighed]
LossWeights = Annotated[dict[StyleLoss, Weight], *Weighed]
Lengths = Annotated[tuple[Length, ...], BeforeValidator(parse_lengths), PlainSerializer(write_lengths, return_type=str)]

ASPECT = r"^[1-9]\d{0,4}:[1-9]\d{0,4}$"
BEGINNINGS = ("noise", "photo", "painting", "gray")  # what `init` means, where it is no file
REST, ALL = "rest", "all"  # what `mask` and `style_mask` say where they name no file

# The settings that name picture files, and what they say instead.
FILE_SETTINGS: dict[str, tuple[str, ...]] = {
    "init": BEGINNINGS,
    "mask": (REST,),
    "style_mask": (ALL,),
    "keep_mask": ("",),
    "labels": ("",),
    "style_labels": (),
}


def check_init(init: str) -> str:
    """Refuse an empty name."""
    if not init.strip():
        raise ValueError(f"takes {', '.join(BEGINNINGS)} or the name of a picture file; not {init!r}")
    return init


def list_names(names: Any) -> Any:
    """Read `sky.png,rest` as ("sky.png", "rest"); paths become text."""
    if isinstance(names, str):
        names = [name.strip() for name in names.split(",")] if names else ()
    if isinstance(names, list | tuple):
        return tuple(name_file(name) for name in names)
    return (name_file(names),) if isinstance(names, os.PathLike) else names


def name_file(name: Any) -> Any:
    """Read a path as text."""
    return os.fspath(name) if isinstance(name, os.PathLike) else name


FileName = Annotated[str, BeforeValidator(name_file)]
Beginning = Annotated[FileName, AfterValidator(check_init)]
FileNames = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(list_names)]
