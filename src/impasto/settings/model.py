"""Settings: each default, range and help text; command line, recipes and forms are derived from it."""

from collections.abc import Callable, Container, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, ModelWrapValidatorHandler, model_validator

from impasto.settings.lengths import Length
from impasto.settings.presets import get_preset_values
from impasto.settings.types import (
    ASPECT_PATTERN,
    FILE_SETTINGS,
    NETWORK_NAMES,
    Clamp,
    ColorMatch,
    ColorMode,
    ColorSpace,
    ContentColors,
    ContentLoss,
    Device,
    FileName,
    FileNames,
    Fit,
    Init,
    LargeViewNetwork,
    Layout,
    Lengths,
    LossWeights,
    Memory,
    NetworkName,
    Noise,
    Optimizer,
    Padding,
    Pooling,
    Precision,
    Preset,
    Propagation,
    Regions,
    Scaling,
    TapWeights,
    Trim,
    Variation,
    ViewWeights,
    Weight,
)

DEFAULT_CONTENT_TAPS = {"relu3_1": 0.2, "relu4_1": 1.0, "relu5_1": 0.5}
DEFAULT_COARSE_TAPS = {"relu2_1": 1.0, "relu3_1": 1.0, "relu4_1": 1.0, "relu5_1": 0.5}
STRUCTURE_TAPS = ("relu3_1", "relu4_1")
DEFAULT_STYLE_TAPS = {"relu1_1": 1.0, "relu2_1": 1.0, "relu3_1": 1.0, "relu4_1": 1.0, "relu5_1": 1.0}


def setting(default: Any, group: str, help: str, **bounds: Any) -> Any:
    """Declare one setting: its default, the heading it stands under, what it does, its range."""
    return Field(default, description=help, json_schema_extra={"group": group}, **bounds)


class Settings(BaseModel):
    """How a picture is painted; what is not given comes from the preset, then from the defaults here.

    Example: Settings(preset="gatys2015", size=400)
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    preset: Preset = setting("default", "Picture", "a named set of values for all options below")
    size: int = setting(512, "Picture", "size of the picture in pixels, by default its longer side", ge=16, le=32768)
    fit: Fit = setting(
        "longest",
        "Picture",
        "what size is: the longest or shortest side, the height, the width, or the side of a square of the same area; "
        "shrink: the longest side, but nothing is enlarged",
    )
    max_pixels: int = setting(
        180_000_000, "Picture", "pictures of more pixels are not read: a small file may hold a huge one", ge=1
    )
    seed: int = setting(
        0, "Picture", "number that all chance is drawn from; the same seed paints the same picture", ge=0, le=2**63 - 1
    )
    aspect: str = setting(
        "1:1", "Picture", "width to height of a texture, which has no photo to take it from", pattern=ASPECT_PATTERN
    )

    init: Init = setting(
        "recolored",
        "Beginning",
        "what the canvas starts as: recolored (the photo with the paintings' range of colors), photo, fast (painted in "
        "one pass), noise, painting (the first that has a weight), gray, or a picture file",
    )
    fast_strength: float = setting(
        1.0, "Beginning", "how far the one pass goes from the photo to the paintings' style", ge=0, le=1
    )
    init_noise: float = setting(0.0, "Beginning", "how much noise is mixed into what the canvas starts as", ge=0, le=1)
    init_blur: float = setting(
        0.0, "Beginning", "how far what the canvas starts as is blurred, as a share of its longer side", ge=0, le=0.5
    )
    noise: Noise = setting(
        "uniform",
        "Beginning",
        "uniform: any value alike; normal: around gray; painting: with the mean and covariance of the paintings' "
        "colors",
    )
    noise_strength: float = setting(1.0, "Beginning", "how far noise goes from its mean", ge=0, le=1)

    content_weight: Weight = setting(0.21, "Content and style", "weight of the photo (alpha)")
    style_weight: Weight = setting(1.0, "Content and style", "weight of the paintings (beta)")
    style_size: Lengths = setting(
        (Length(1.0),),
        "Content and style",
        "size of the paintings, and of their strokes: relative to the canvas [0.05 to 10], or in pixels of the "
        "finished picture, such as 512px, or auto: so large that its own strokes show; one for all, or one for each "
        "painting",
    )
    style_blend: tuple[Weight, ...] = setting(
        (), "Content and style", "weight of each painting, in their order; all alike if not given"
    )
    gram_shift: float = setting(
        0.0,
        "Content and style",
        "added to all activations before their Gram matrices (Novak and Nikulin 2016: -1)",
        ge=-1000,
        le=1000,
    )
    tv_weight: Weight = setting(0.02, "Content and style", "weight of total variation, which smooths")
    tv_loss: Variation = setting(
        "mean",
        "Content and style",
        "total variation, of steps down and to the right: their means; sums; of both together (isotropic), as mean or "
        "sum; or of those on the diagonals too (nine_point)",
    )
    tv_exponent: float = setting(
        2.0, "Content and style", "power of a step in total variation: 1 spares edges, 2 does not", ge=1, le=4
    )
    range_weight: Weight = setting(
        300.0, "Content and style", "weight of values outside 0 to 1, which no picture can show; adam never leaves it"
    )
    content_taps: TapWeights = setting(
        DEFAULT_CONTENT_TAPS, "Content and style", "taps that see the content, with weights"
    )
    coarse_taps: TapWeights = setting(
        DEFAULT_COARSE_TAPS,
        "Content and style",
        "the same for the smallest of several views, where light and dark keep their places",
    )
    content_colors: ContentColors = setting(
        "painting",
        "Content and style",
        "reduced views compare the content with the photo in the paintings' range of colors (painting), or as it is "
        "(photo), as the full size does",
    )
    structure_weight: Weight = setting(
        0.7,
        "Content and style",
        "weight of the photo's structure beside its features: places that are alike in the photo stay alike, whatever "
        "their colors and strokes",
    )
    style_taps: TapWeights = setting(DEFAULT_STYLE_TAPS, "Content and style", "taps that see the style, with weights")
    content_loss: ContentLoss = setting(
        "relative",
        "Content and style",
        "relative: as a share of the photo's own variance; sum: the paper's 1/2 sum (F-P)^2; mean: the mean of "
        "(F-P)^2; root: sum (F-P)^2 / 2 sqrt(NM)",
    )
    views: ViewWeights = setting(
        (1.0, 1.0, 1.0),
        "Content and style",
        "weights of the style as it is seen at full size, at half of it, a quarter ...: large forms show in the small "
        "views; 1: at full size alone, as the papers do",
    )
    style_loss: LossWeights = setting(
        {"wasserstein": 1.0, "gram": 0.6},
        "Content and style",
        "one or several, with weights: wasserstein, between means and covariances; gram: |G-A|^2 / |A|^2; "
        "covariance: the same of covariances; mean_std: of means and deviations; histogram: of each channel's values; "
        "gatys: the paper's sum (G-A)^2 / 4 N^2 M^2; gram_mean: the mean of ((G-A) / NM)^2; wasserstein_mean: for a "
        "channel",
    )
    normalize_gradients: bool = setting(
        False, "Content and style", "scale each tap's gradient to an L1 norm of the tap's weight"
    )

    mask: FileNames = setting(
        (),
        "Where",
        "where on the canvas each painting is painted with, in their order: gray pictures of the photo's aspect, white "
        "is here; rest: what the others leave",
    )
    style_mask: FileNames = setting(
        (), "Where", "which part of each painting is used, in their order: gray pictures of its aspect; all: all of it"
    )
    trim: Trim = setting(
        "auto",
        "Where",
        "auto: a flat white or black border of a painting, a scan's margin, is left out, and that is said; none: it "
        "is kept",
    )
    preserve_mask: FileName = setting(
        "", "Where", "a gray picture of the photo's aspect: what is white stays as in the photo"
    )
    guard: float = setting(
        0.5, "Where", "how much more faces are kept as in the photo than all else; 0: no more", ge=0, le=1
    )
    guard_mask: FileName = setting(
        "", "Where", "a gray picture of the photo's aspect: white is kept by `guard`, in place of the faces"
    )
    labels: FileName = setting(
        "",
        "Where",
        "a picture of the photo's aspect in which each plain color is a region, painted in the style of the same "
        "color in `style_labels`",
    )
    style_labels: FileNames = setting((), "Where", "such a picture for each painting, in their order")
    regions: Regions = setting(
        0,
        "Where",
        "find so many regions by color and place in photo and paintings, and paint each in the style of the one most "
        "like it; 0: none",
        ge=0,
        le=16,
    )
    mask_propagation: Propagation = setting(
        "simple",
        "Where",
        "which of the network's cells are a region's: those inside of it by their own pixels; inside: by all that they "
        "see; all: by anything that they see",
    )

    color: ColorMode = setting(
        "none",
        "Color",
        "keep: the photo's colors on the painted picture; match: paintings take the photo's colors before they are "
        "painted with; only: the painted colors on the photo, whose texture stays",
    )
    color_space: ColorSpace = setting("lab", "Color", "where luminance is told from color, by keep and only")
    color_match: ColorMatch = setting(
        "symmetric", "Color", "what match matches: mean and covariance in one of three ways, or the histogram"
    )
    color_strength: float = setting(
        1.0, "Color", "how much of the new colors keep, match and only bring; 0: none", ge=0, le=1
    )

    network: NetworkName = setting(
        "vgg19",
        "Network",
        "vgg19 (the publishers' own weights), slim (small and fast), vgg19-torchvision (fetched once), or a file of "
        "VGG-16 or VGG-19 weights",
    )
    large_view_network: LargeViewNetwork = setting(
        "auto",
        "Network",
        "sees the views that are larger than `large_view_size`; auto: slim if `network` is vgg19, otherwise the same",
    )
    large_view_size: int = setting(
        1100, "Network", "longer side in pixels above which a view is seen by `large_view_network`", ge=16
    )
    layout: Layout = setting("auto", "Network", "how a weights file names and scales things; auto recognises it")
    pooling: Pooling = setting("max", "Network", "how blocks are joined")
    pooling_gain: bool = setting(
        True, "Network", "average and l2 pooling are scaled to keep the activations' size; the papers don't"
    )
    pooling_ceil_mode: bool = setting(False, "Network", "pool an odd last row or column too")
    input_scaling: Scaling = setting(
        "own",
        "Network",
        "own: as the network was trained; 256: brighter by 256/255; 255: 0 to 255 minus the mean, without a deviation",
    )
    padding: Padding = setting(
        "reflect", "Network", "what lies beyond the border; replicate-first: the border again, and zero above conv1_1"
    )
    device: Device = setting("auto", "Network", "auto, cpu, gpu, cuda, cuda:1, mps")
    precision: Precision = setting(
        "auto", "Network", "of the network; auto: bfloat16 where the processor is fast at it"
    )
    memory: Memory = setting(
        "auto", "Network", "the most that may be used, such as 4GiB; auto: what is free. What does not fit is tiled"
    )

    optimizer: Optimizer = setting("lbfgs", "Optimizing", "what moves the pixels")
    start_size: int = setting(
        128, "Optimizing", "longer side of the first, coarsest scale; the full size or more paints at one scale", ge=16
    )
    scale_step: float = setting(
        2.0, "Optimizing", "each scale is so many times as large as the one before", gt=1.05, le=4
    )
    steps: int = setting(40, "Optimizing", "steps at the first scale", ge=1, le=1_000_000)
    later_steps: int = setting(30, "Optimizing", "steps at each scale after the first", ge=1, le=1_000_000)
    final_steps: int = setting(
        0,
        "Optimizing",
        "steps at the last of several scales, the dearest by far; 0: as at the others",
        ge=0,
        le=1_000_000,
    )
    learning_rate: float = setting(0.02, "Optimizing", "step length of adam; 1 is a pixel's whole range", gt=0, le=10)
    adam_beta1: float = setting(0.9, "Optimizing", "decay of adam's mean of gradients", ge=0, lt=1)
    adam_beta2: float = setting(0.99, "Optimizing", "decay of adam's mean of squared gradients", ge=0, lt=1)
    adam_epsilon: float = setting(
        1e-8, "Optimizing", "added to adam's root mean square; 1 is a pixel's whole range", gt=0, le=1
    )
    lbfgs_history: int = setting(10, "Optimizing", "steps that lbfgs learns curvature from", ge=1, le=1000)
    lbfgs_max_step: float = setting(
        0.5,
        "Optimizing",
        "farthest that lbfgs moves a value in a step, 1 is a pixel's whole range; 0: any way, upwards too, as torch's",
        ge=0,
    )
    lbfgs_range: float = setting(
        1.0, "Optimizing", "a pixel's whole range as lbfgs counts it, which decides its first step", gt=0, le=65536
    )
    lbfgs_preconditioner: bool = setting(
        True, "Optimizing", "at coarse scales lbfgs moves large forms farther than small ones"
    )
    clamp: Clamp = setting(
        "auto",
        "Optimizing",
        "keep the canvas within 0 to 1 at each step; auto: with adam, not with lbfgs",
    )
    min_improvement: float = setting(
        0.0, "Optimizing", "a scale ends where ten steps lower the loss by less than this share; 0: never", ge=0, lt=1
    )
    ema_decay: float = setting(
        0.0, "Optimizing", "decay of the average over steps that becomes the picture; 0: the last step", ge=0, lt=1
    )

    @model_validator(mode="wrap")
    @classmethod
    def _fill_from_preset(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(values, Mapping):
            return handler(values)
        filled = handler({**get_preset_values(values.get("preset", "default"), values.get("network")), **values})
        filled.model_fields_set.intersection_update(values)  # not those that only the preset has set
        return filled

    @property
    def is_one_pass(self) -> bool:
        """Is the picture painted in one pass, without a step of the optimizer?"""
        return self.init == "fast" and self.steps == 1 and self.start_size >= self.size

    @property
    def aspect_sides(self) -> tuple[int, int]:
        """Width and height of the aspect, in no unit."""
        width, height = map(int, self.aspect.split(":"))
        return width, height

    def map_files(self, function: Callable[[str], str], among: Container[str] | None = None) -> Self:
        """Return the settings with `function(file)` for each file that they name, or that those `among` them name."""
        changed: dict[str, Any] = {}
        for name, words in {**FILE_SETTINGS, "network": NETWORK_NAMES}.items():
            if among is None or name in among:
                value = getattr(self, name)
                files = (value,) if isinstance(value, str) else value
                moved = tuple(file if file in words else function(file) for file in files)
                changed[name] = moved[0] if isinstance(value, str) else moved
        return self.model_copy(update={name: value for name, value in changed.items() if value != getattr(self, name)})

    def list_files(self) -> list[Path]:
        """List the files that the settings name."""
        found: list[str] = []
        self.map_files(lambda file: found.append(file) or file)  # type: ignore[func-returns-value]
        return [Path(file) for file in found]

    @property
    def active_content_taps(self) -> dict[str, float]:
        """The content taps with their weights, or none where the content has no weight."""
        return self.content_taps if self.content_weight else {}

    @property
    def active_structure_taps(self) -> tuple[str, ...]:
        """The taps that see the photo's structure, the finer first, or none where it has no weight."""
        return STRUCTURE_TAPS if self.content_weight and self.structure_weight else ()

    @property
    def active_style_taps(self) -> dict[str, float]:
        """The style taps with their weights, or none where the style has no weight."""
        return self.style_taps if self.style_weight else {}

    @property
    def weights(self) -> tuple[float, float]:
        """The weights of content and style, alpha and beta."""
        return self.content_weight, self.style_weight
