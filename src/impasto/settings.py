"""Every knob once: its default, its range, its help; command line, recipe and forms are derived from here."""

import math
from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PlainSerializer,
    ValidationInfo,
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


def check_weights(weights: dict[str, float]) -> dict[str, float]:
    """Refuse weights that are all 0."""
    if weights and not any(weights.values()):
        raise ValueError(f"{write_weights(weights)} leaves nothing: give at least one a weight above 0")
    return weights


class Length(NamedTuple):
    """How long a painting's longer side is: so many pixels of the finished picture, or times its longer side."""

    value: float
    pixels: bool = False

    def beside(self, longer: int, finished: int) -> int:
        """Give the pixels beside a canvas of that longer side, which will have `finished` in the end."""
        return max(1, round(self.value * longer / finished if self.pixels else self.value * longer))


def parse_lengths(value: Any) -> Any:
    """Read `1,400px` as (Length(1), Length(400, pixels=True)); a number alone is one length."""
    if isinstance(value, Length):
        return (value,)
    if isinstance(value, str):
        value = value.split(",")
    return tuple(map(_parse_length, value if isinstance(value, list | tuple) else (value,)))


def _parse_length(value: Any) -> Length:
    if isinstance(value, Length):
        return value
    text = str(value).strip()
    pixels = text.endswith("px")
    try:
        number = float(text.removesuffix("px"))
    except ValueError:
        number = math.nan
    least, most = PIXELS if pixels else RELATIVE
    if not least <= number <= most:
        raise ValueError(
            f"takes sizes relative to the canvas, {RELATIVE[0]:g} to {RELATIVE[1]:g}, or in pixels, {PIXELS[0]}px to "
            f"{PIXELS[1]}px, with commas between them; not {text!r}"
        )
    return Length(number, pixels)


def write_lengths(lengths: tuple[Length, ...]) -> str:
    """Write lengths as `parse_lengths` reads them."""
    return ",".join(f"{repr(float(it.value)).removesuffix('.0')}{'px' if it.pixels else ''}" for it in lengths)


def check_init(init: str) -> str:
    """Refuse an empty name."""
    if not init.strip():
        raise ValueError(f"takes {', '.join(BEGINNINGS)} or the name of a picture file; not {init!r}")
    return init


ContentLoss = Literal["relative", "sum"]
StyleLoss = Literal["wasserstein", "gram", "sum"]
ColorMode = Literal["none", "keep", "match", "only"]
ColorSpace = Literal["lab", "luv", "yuv", "ycbcr"]
ColorMatch = Literal["symmetric", "cholesky", "pca", "histogram"]
Layout = Literal["auto", "impasto", "torchvision", "caffe", "gatys"]
Pooling = Literal["max", "average", "l2"]
Padding = Literal["replicate-first", "zero", "replicate", "reflect", "circular"]
Noise = Literal["uniform", "normal", "painting"]
Precision = Literal["auto", "float32", "bfloat16"]
Optimizer = Literal["adam", "lbfgs"]

TapName = Annotated[str, Field(pattern=r"^(conv|relu)[1-5]_[1-4]$")]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Weighed = (BeforeValidator(parse_weights), PlainSerializer(write_weights, return_type=str), Field(min_length=1), AfterValidator(check_weights))
TapWeights = Annotated[dict[TapName, Weight], *Weighed]
LossWeights = Annotated[dict[StyleLoss, Weight], *Weighed]

Lengths = Annotated[
    tuple[Length, ...],
    BeforeValidator(parse_lengths),
    PlainSerializer(write_lengths, return_type=str),
]

ASPECT = r"^[1-9]\d{0,4}:[1-9]\d{0,4}$"
RELATIVE, PIXELS = (0.05, 10.0), (16, 32768)  # how long a painting may be
BEGINNINGS = ("noise", "photo", "painting", "gray")  # what `init` means, where it is no file
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
    aspect: str = knob(
        "1:1", "Picture", "width to height of a texture, which has no photo to take it from", pattern=ASPECT
    )

    init: Annotated[str, AfterValidator(check_init)] = knob(
        "photo",
        "Beginning",
        "what the canvas starts as: noise, photo, painting (the first that has a weight), gray, or a picture file",
    )
    init_noise: float = knob(0.0, "Beginning", "how much noise is mixed into what the canvas starts as", ge=0, le=1)
    init_blur: float = knob(
        0.0, "Beginning", "how far what the canvas starts as is blurred, as a share of its longer side", ge=0, le=0.5
    )
    noise: Noise = knob(
        "uniform",
        "Beginning",
        "uniform: any value alike; normal: around grey; painting: with the mean and covariance of the paintings' "
        "colours",
    )
    noise_strength: float = knob(1.0, "Beginning", "how far noise goes from its mean", ge=0, le=1)

    balance: float = knob(
        50.0,
        "Content and style",
        "one dial in place of both weights: 0 is almost the photo, 100 almost the paintings alone, 50 the preset's "
        "own weights",
        ge=0,
        le=100,
    )
    content_weight: Weight = knob(0.138, "Content and style", "weight of the photo (alpha)")
    style_weight: Weight = knob(1.0, "Content and style", "weight of the paintings (beta)")
    style_size: Lengths = knob(
        1.0,
        "Content and style",
        "size of the paintings, and of their strokes: relative to the canvas [0.05 to 10], or in pixels of the finished "
        "picture, such as 512px; one for all, or one for each painting",
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
    learning_rate: float = knob(0.02, "Optimising", "step length of adam; 1 is a pixel's whole range", gt=0, le=10)
    average: float = knob(
        0.0, "Optimising", "decay of the average over steps that becomes the picture; 0: the last step", ge=0, lt=1
    )

    @model_validator(mode="wrap")
    @classmethod
    def _fill_from_preset(cls, values: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo) -> Self:
        if not isinstance(values, Mapping):
            return handler(values)
        preset = values.get("preset", "default")
        filling = PRESETS.get(preset, {}) if isinstance(preset, str) else {}
        # What somebody asks for now stands above what else is spelt out here, as where a recipe is painted again.
        asked = set(info.context["asked"]) if info.context else set()
        filled = handler({**filling, **values})
        if idle := _find_idle(filled, values, filling, asked, strict=not info.context):
            values = {name: value for name, value in values.items() if name not in idle}
            filled = handler({**filling, **values})
        filled.model_fields_set.intersection_update(values)  # not what only the preset has set
        return filled

    @property
    def weights(self) -> tuple[float, float]:
        """The weights of content and style after the turn of the balance."""
        return self.content_weight * BALANCE_SPAN ** ((50 - self.balance) / 50), self.style_weight


BALANCE_SPAN = 30.0  # what the content's weight is multiplied by from 50 to 0, and divided by from 50 to 100


class Companion(NamedTuple):
    """When a setting that goes with others does something, and in words, what without and what to choose."""

    works: Callable[[Settings], bool]
    without: Callable[[Settings], str]
    choose: str


def _goes_with_color(*modes: ColorMode) -> Companion:
    return Companion(lambda it: it.color in modes, lambda it: f"with --color {it.color}", f"--color {' or '.join(modes)}")


NOISY = Companion(
    lambda it: it.init == "noise" or it.init_noise > 0, lambda _: "without noise", "--init noise or an --init-noise above 0"
)
COMPANIONS: Mapping[str, Companion] = {
    "color_space": _goes_with_color("keep", "only"),
    "color_match": _goes_with_color("match"),
    "color_strength": _goes_with_color("keep", "match", "only"),
    "init_noise": Companion(lambda it: it.init != "noise", lambda _: "with --init noise", "another --init"),
    "init_blur": Companion(
        lambda it: it.init not in ("noise", "gray"), lambda it: f"with --init {it.init}", "another --init"
    ),
    "noise": NOISY,
    "noise_strength": NOISY,
}


def _find_idle(
    settings: Settings, values: Mapping[str, Any], filling: Mapping[str, Any], asked: Collection[str], strict: bool
) -> set[str]:
    """Name what in `values` has to give way to what is `asked`; raise ValueError where that does nothing itself.

    If `strict`, all that has another value than it had of itself is asked for, and nothing gives way.
    """

    def wanted(name: str) -> bool:
        usual = filling.get(name, Settings.model_fields[name].default)
        return name in asked or (strict and name in values and getattr(settings, name) != usual)

    def flag(name: str) -> str:
        value = getattr(settings, name)
        return f"--{name.replace('_', '-')} {f'{value:g}' if isinstance(value, float) else value}"

    idle = [name for name, companion in COMPANIONS.items() if not companion.works(settings)]
    for name in filter(wanted, idle):
        it = COMPANIONS[name]
        raise ValueError(f"{flag(name)} does nothing {it.without(settings)}: leave it out, or choose {it.choose}")
    weights = list(filter(wanted, ("content_weight", "style_weight")))
    if weights and wanted("balance"):
        raise ValueError(
            f"{flag('balance')} and {flag(weights[0])} contradict each other: the balance turns the preset's own "
            "weights, leave one of the two out"
        )
    if strict:
        return set()
    replaced = ["content_weight", "style_weight"] if "balance" in asked else ["balance"] if weights else []
    return {*idle, *replaced}


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
