"""Every knob once: its default, its range, its help; command line, recipe and forms are derived from here."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PlainSerializer,
    model_validator,
)

Preset = Literal["default", "gatys2015"]


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


def write_weights(weights: Mapping[str, float]) -> str:
    """Write {"relu4_2": 1.0} as `relu4_2:1`, every digit that `parse_weights` needs to read the same weights."""
    return ",".join(f"{name}:{repr(float(weight)).removesuffix('.0')}" for name, weight in weights.items())


ContentLoss = Literal["relative", "sum"]
StyleLoss = Literal["wasserstein", "gram", "sum"]
ColorMode = Literal["none", "keep", "match", "only"]
ColorSpace = Literal["lab", "luv", "yuv", "ycbcr"]
ColorMatch = Literal["symmetric", "cholesky", "pca", "histogram"]
Layout = Literal["auto", "impasto", "torchvision", "caffe", "gatys"]
Pooling = Literal["max", "average", "l2"]
Padding = Literal["replicate-first", "zero", "replicate", "reflect"]
Precision = Literal["auto", "float32", "bfloat16"]
Optimizer = Literal["adam", "lbfgs"]

TapName = Annotated[str, Field(pattern=r"^(conv|relu)[1-5]_[1-4]$")]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Weighed = (BeforeValidator(parse_weights), PlainSerializer(write_weights, return_type=str), Field(min_length=1))
TapWeights = Annotated[dict[TapName, Weight], *Weighed]
LossWeights = Annotated[dict[StyleLoss, Weight], *Weighed]

BEGINNINGS = ("noise", "photo", "painting")  # what `init` means, where it is no file
CONTENT_TAPS = {"relu3_1": 0.2, "relu4_1": 1.0, "relu5_1": 0.5}
STYLE_TAPS = {"relu1_1": 1.0, "relu2_1": 1.0, "relu3_1": 1.0, "relu4_1": 1.0, "relu5_1": 1.0}


def knob(default: Any, group: str, help: str, **bounds: Any) -> Any:
    """Declare one setting: its default, the heading it stands under, what it does, its range."""
    return Field(default, description=help, json_schema_extra={"group": group}, **bounds)


class Settings(BaseModel):
    """How a picture is painted; what is not given comes from the preset, then from the defaults here.

    Example: Settings(preset="gatys2015", size=400)
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    preset: Preset = knob("default", "Picture", "a named set of values for all options below")
    size: int = knob(512, "Picture", "longer side of the picture in pixels", ge=16, le=32768)
    seed: int = knob(
        0, "Picture", "number that all chance is drawn from; the same seed paints the same picture", ge=0, le=2**63 - 1
    )
    init: str = knob(
        "photo",
        "Picture",
        "what the canvas starts as: noise, photo, painting (the first that has a weight), or a picture file",
    )

    content_weight: Weight = knob(0.138, "Content and style", "weight of the photo (alpha)")
    style_weight: Weight = knob(1.0, "Content and style", "weight of the paintings (beta)")
    style_size: float = knob(
        1.0, "Content and style", "size of the paintings, and of their strokes, relative to the canvas", ge=0.05, le=10
    )
    style_blend: tuple[Weight, ...] = knob(
        (), "Content and style", "weight of each painting, in their order; all alike if not given"
    )
    tv_weight: Weight = knob(0.02, "Content and style", "weight of total variation, which smooths")
    range_weight: Weight = knob(
        300.0, "Content and style", "weight of values outside 0 to 1, which no picture can show; adam never leaves it"
    )
    content_taps: TapWeights = knob(CONTENT_TAPS, "Content and style", "taps that see the content, with weights")
    style_taps: TapWeights = knob(STYLE_TAPS, "Content and style", "taps that see the style, with weights")
    content_loss: ContentLoss = knob(
        "relative",
        "Content and style",
        "sum: the paper's 1/2 sum (F-P)^2; relative: as a share of the photo's own variance",
    )
    style_loss: LossWeights = knob(
        {"wasserstein": 1.0, "gram": 0.6},
        "Content and style",
        "one or several, with weights: wasserstein, between means and covariances; gram: |G-A|^2 / |A|^2; "
        "sum: the paper's sum (G-A)^2 / 4 N^2 M^2",
    )

    color: ColorMode = knob(
        "none",
        "Colour",
        "keep: the photo's colours on the painted picture; match: paintings take the photo's colours before they are "
        "painted with; only: the painted colours on the photo, whose texture stays",
    )
    color_space: ColorSpace = knob("lab", "Colour", "where luminance is told from colour, by keep and only")
    color_match: ColorMatch = knob(
        "symmetric", "Colour", "what match matches: mean and covariance in one of three ways, or the histogram"
    )
    color_strength: float = knob(
        1.0, "Colour", "how much of the new colours keep, match and only bring; 0: none", ge=0, le=1
    )

    network: str = knob(
        "slim", "Network", "slim (embedded), vgg19 (fetched once), or a file of VGG-16 or VGG-19 weights"
    )
    layout: Layout = knob("auto", "Network", "how a weights file names and scales things; auto recognises it")
    pooling: Pooling = knob("max", "Network", "how blocks are joined")
    pooling_gain: bool = knob(
        True, "Network", "average and l2 pooling are scaled to keep the activations' size; the papers don't"
    )
    padding: Padding = knob(
        "replicate-first", "Network", "what lies beyond the border; replicate-first: zero above conv1_1"
    )
    device: str = knob("auto", "Network", "auto, cpu, cuda, cuda:1, mps")
    precision: Precision = knob("auto", "Network", "of the network; auto: bfloat16 where the processor is fast at it")

    optimizer: Optimizer = knob("lbfgs", "Optimising", "what moves the pixels")
    start_size: int = knob(
        256, "Optimising", "longer side of the first, coarsest scale; the full size or more paints at one scale", ge=16
    )
    scale_step: float = knob(2.0, "Optimising", "each scale is so many times as large as the one before", gt=1.05, le=4)
    steps: int = knob(60, "Optimising", "steps at the first scale", ge=1, le=1_000_000)
    later_steps: int = knob(100, "Optimising", "steps at each scale after the first", ge=1, le=1_000_000)
    final_steps: int = knob(
        0,
        "Optimising",
        "steps at the last of several scales, the dearest by far; 0: as at the others",
        ge=0,
        le=1_000_000,
    )
    learning_rate: float = knob(0.02, "Optimising", "step length of adam; 1 is a pixel's whole range", gt=0, le=10)
    average: float = knob(
        0.0, "Optimising", "decay of the average over steps that becomes the picture; 0: the last step", ge=0, lt=1
    )

    @model_validator(mode="wrap")
    @classmethod
    def _fill_from_preset(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(values, Mapping):
            return handler(values)
        preset = values.get("preset", "default")
        filled = handler({**(PRESETS.get(preset, {}) if isinstance(preset, str) else {}), **values})
        filled.model_fields_set.intersection_update(values)  # not what only the preset has set
        return filled

    @model_validator(mode="after")
    def _check_color(self) -> Self:
        for name, modes in COLOR_MODES.items():
            value = getattr(self, name)
            if self.color not in modes and value != type(self).model_fields[name].default:
                raise ValueError(
                    f"--{name.replace('_', '-')} {value} does nothing with --color {self.color}: leave it out, or "
                    f"choose --color {' or '.join(modes)}"
                )
        return self


# What of `color` each of its companions is for.
COLOR_MODES: dict[str, tuple[ColorMode, ...]] = {
    "color_space": ("keep", "only"),
    "color_match": ("match",),
    "color_strength": ("keep", "match", "only"),
}

# What each preset changes. `default` is the class's own defaults.
PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "gatys2015": {
        "init": "noise",
        "content_weight": 1.0,
        "style_weight": 1000.0,
        "content_taps": {"conv4_2": 1.0},
        "style_taps": dict.fromkeys(("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1"), 0.2),
        "content_loss": "sum",
        "style_loss": {"sum": 1.0},
        "tv_weight": 0.0,
        "range_weight": 0.0,
        "pooling": "average",
        "pooling_gain": False,
        "padding": "zero",
        "optimizer": "lbfgs",
        "start_size": 32768,
        "steps": 500,
        "average": 0.0,
    },
}
