"""What a picture, or each frame of a film, is painted with: the network, the paintings and their styles."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache as cache_results
from functools import cached_property
from itertools import chain

import torch
from torch import Tensor

from impasto.errors import UsageError
from impasto.images.assignments import StyleAssignment, plan_assignments
from impasto.images.borders import trim_border
from impasto.images.color import is_gray, recolor_painting
from impasto.images.image import Image
from impasto.images.read import read_image
from impasto.images.strokes import choose_style_size
from impasto.images.weaknesses import find_weaknesses
from impasto.network.download import DownloadProgress
from impasto.network.vgg import VGG19_DEPTHS, Network, plan_layers
from impasto.painting.device import choose_device, choose_dtype, use_exact_float32
from impasto.painting.histograms import Histogram
from impasto.painting.initial_canvas import recolor_photo
from impasto.painting.measured import MeasuredPainting, check_measured, note_other_sizes
from impasto.painting.model_cache import ModelCache
from impasto.painting.objective import Objective, TemporalTarget, list_taps, needs_features
from impasto.painting.schedule import Schedule, Size, list_steps, plan_schedule
from impasto.painting.strategy import ScaleStrategy
from impasto.painting.style_regions import StyleRegion, make_regions
from impasto.painting.styles import StyleCache, StyleInput, capture_histograms
from impasto.painting.tiled_objective import TiledObjective, cut_tiles_for
from impasto.painting.views import CanvasObjective, MultiViewObjective, View, choose_network, plan_views
from impasto.settings.lengths import Length
from impasto.settings.model import Settings
from impasto.settings.texture import check_texture
from impasto.settings.types import INIT_CHOICES

MAX_SIDE = 32768  # pixels, of any canvas


@dataclass(frozen=True, eq=False)
class Prepared:
    """Networks on their device, paintings as they are painted with, and the settings that both were made for.

    `network` is the one of the settings; `other_networks` are those that see large views, by name. `initial_picture`
    (1, 3, H, W) is what the canvas starts as where `settings.init` names a file. `styles` keeps the styles of paintings
    from one painter to the next. `has_gray_photo`: the photo, if any, is black and white. `notes` are for the user.
    `build_paintings` makes the paintings for other settings; without it the settings can't change. `paint_fast` paints
    a photo's first canvas (1, 3, H, W) of a schedule, of the same size, where `settings.init` is fast.
    """

    network: Network
    settings: Settings
    paintings: Sequence[StyleInput]
    initial_picture: Tensor | None = None
    styles: StyleCache = field(default_factory=StyleCache)
    notes: Sequence[str] = ()
    build_paintings: Callable[[Settings], Sequence[StyleInput]] | None = None
    other_networks: Mapping[str, Network] = field(default_factory=dict)
    has_gray_photo: bool = False
    paint_fast: Callable[["Prepared", Schedule, Image], Tensor] | None = None

    @cached_property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    @cached_property
    def dtype(self) -> torch.dtype:
        """The network's number type."""
        return next(self.network.parameters()).dtype

    @cached_property
    def cell_size(self) -> int:
        """The stride of the deepest tap, in pixels."""
        return max(self.network.stride[tap] for tap in list_taps(self.settings))

    @cached_property
    def is_gray(self) -> bool:
        """Are the photo and all paintings, as they are painted with, black and white? Then the picture is, too."""
        return self.has_gray_photo and all(map(is_gray, self.paintings))

    @cached_property
    def style_networks(self) -> dict[Network, Network]:
        """The networks that measure paintings, by the network that sees the canvas.

        A seamless canvas continues at its other side, but a painting does not: its border is repeated.
        """
        is_seamless = self.settings.padding == "circular"
        networks = [self.network, *self.other_networks.values()]
        return {each: each.with_padding("replicate") if is_seamless else each for each in networks}

    def plan_views(self, schedule: Schedule, canvas: Size) -> list[View]:
        """Plan the views of a canvas of that size, without reduced views for which a painting becomes too small."""

        return plan_views(self.settings, canvas, self.cell_size, lambda size: self._can_measure(schedule, size))

    def plan_schedule(self, photo_size: Size | None) -> Schedule:
        """Plan the scales, without those for which a painting becomes too small. Errors: as `plan_schedule`."""
        every = plan_schedule(self.settings, photo_size, self.cell_size)
        sizes = tuple(size for size in every.sizes if self._can_measure(every, size)) or every.sizes[-1:]
        return replace(every, sizes=sizes, steps=list_steps(self.settings, len(sizes)))

    def _can_measure(self, schedule: Schedule, canvas: Size) -> bool:
        try:
            self.list_painting_sizes(schedule, canvas)
        except UsageError:
            return False
        return True

    def get_network(self, view: View) -> Network:
        """Return the network that sees a view."""
        return self.other_networks.get(view.network, self.network)

    def change_settings(self, settings: Settings) -> "Prepared":
        """Return the same with other weights, blend, stroke size or colors. Errors: UsageError."""
        if self.build_paintings is None:
            raise UsageError("This run can't be steered.")
        return replace(self, settings=settings, paintings=self.build_paintings(settings))

    def list_painting_sizes(self, schedule: Schedule, canvas: Size) -> list[Size]:
        """Return, for each painting, the size at which its style is captured for a canvas of size `canvas`."""
        default = self.settings.style_size[0]
        return [
            schedule.fit_painting((each.width, each.height), each.size or default, canvas) for each in self.paintings
        ]

    def make_objective(
        self,
        photo: Image | None,
        schedule: Schedule,
        canvas: Size,
        strategy: ScaleStrategy,
        temporal_targets: Sequence[TemporalTarget] = (),
    ) -> CanvasObjective:
        """Make the objective of a canvas of that size, which is also the size of `photo`, if there is one."""
        first, *others = self.plan_views(schedule, canvas)
        full = self.make_view_objective(first, photo, schedule, strategy, temporal_targets)
        if not others:
            return full
        reduced = [
            (view.size, self.make_view_objective(view, photo and self._reduce(photo, view.size), schedule, strategy))
            for view in others
        ]
        return MultiViewObjective(full, reduced, wraps=self.settings.padding == "circular")

    def _reduce(self, photo: Image, size: Size) -> Image:
        """Return the photo as a reduced view compares the content with it."""
        small = photo.resized(*size)
        if self.settings.content_colors == "photo":
            return small
        return replace(small, rgb=recolor_photo(small, self.paintings).to(self.device))

    def make_view_objective(
        self,
        view: View,
        photo: Image | None,
        schedule: Schedule,
        strategy: ScaleStrategy,
        temporal_targets: Sequence[TemporalTarget] = (),
    ) -> Objective:
        """Make the objective of one view, which is also the size of `photo`, if there is one."""
        network = self.get_network(view)
        regions = self._make_regions(view, photo, self.list_painting_sizes(schedule, view.size), strategy.tile_size)
        is_seen = view.settings.active_style_taps or (photo and view.settings.active_content_taps)
        if not strategy.tile_size or not is_seen:  # a view that no network sees needs no tiles
            return Objective(network, view.settings, photo, regions, temporal_targets)
        tiles = cut_tiles_for(network, view.settings, *view.size, strategy.tile_size)
        return TiledObjective(network, view.settings, photo, regions, tiles, on_disk=strategy.on_disk)

    def _make_regions(
        self, view: View, photo: Image | None, sizes: Sequence[Size], tile_size: int
    ) -> list[StyleRegion]:
        """Measure the paintings at their sizes, and assign their styles to the view."""
        settings, network = view.settings, self.style_networks[self.get_network(view)]
        taps, propagation = list_taps(settings), settings.mask_propagation
        pairs = list(zip(self.paintings, sizes, strict=True))
        tiles = [cut_tiles_for(network, settings, *size, tile_size) if tile_size else [] for size in sizes]
        styles = [
            self.styles.get(network, painting, *size, taps, propagation, cut) if painting.weight else {}
            for (painting, size), cut in zip(pairs, tiles, strict=True)
        ]
        histograms: list[dict[str, Histogram]] = [{} for _ in pairs]
        if needs_features(settings):
            histograms = [
                capture_histograms(network, painting.resized(*size), settings.style_taps, propagation)
                for painting, size in pairs
            ]
        return make_regions(self.get_network(view), settings, photo, self.paintings, styles, histograms)


def prepare(
    settings: Settings,
    reference: Image | None,
    paintings: Sequence[Image],
    cache: ModelCache | None = None,
    fetch_progress: DownloadProgress | None = None,
) -> Prepared:
    """Load the network and make the paintings ready, for one picture or for all frames of a film.

    `reference` is the photo, as visible as it will be painted, or a picture with the colors of a whole film; None for
    a texture. `fetch_progress` is called with (bytes done, bytes in all) while a network is downloaded.

    Errors: UsageError for settings that don't fit the pictures; PictureError, NetworkError.

    Example: Painter(prepare(settings, photo, [painting]), photo)
    """
    cache = cache or ModelCache()
    _check_settings(settings, reference)
    check_measured(settings, paintings)
    device = choose_device(settings.device)
    dtype = choose_dtype(settings.precision, device)
    if dtype is torch.float32:
        use_exact_float32()
    names = {settings.network, choose_network(settings, (MAX_SIDE, MAX_SIDE))}
    deepest = _find_deepest_tap(settings)
    networks = {name: cache.load_network(name, settings, deepest, device, dtype, fetch_progress) for name in names}
    initial = None if settings.init in INIT_CHOICES else read_initial_picture(settings.init, settings.max_pixels)
    paintings, trimmed = _trim_paintings(settings, [painting.with_hidden_filled() for painting in paintings])
    assignments, notes = plan_assignments(settings, reference, paintings)
    read = [*([reference] if reference else []), *paintings, *([initial] if initial else [])]
    choose_size = cache_results(choose_style_size)  # for each painting once, however often the run is steered
    lengths = _find_lengths(settings, paintings, choose_size)
    weaknesses = [*_find_weaknesses(settings, reference, paintings, lengths), *note_other_sizes(settings, paintings)]
    notes = [*dict.fromkeys(chain.from_iterable(image.notes for image in read)), *notes, *trimmed]
    notes += [*_note_lengths(settings, paintings, lengths), *weaknesses]

    def build_paintings(settings: Settings) -> list[StyleInput]:
        check_measured(settings, paintings)  # again, as a run may be steered
        lengths = _find_lengths(settings, paintings, choose_size)
        return _build_style_inputs(settings, reference, paintings, lengths, assignments, device)

    return Prepared(
        networks.pop(settings.network),
        settings,
        build_paintings(settings),
        initial.flattened() if initial else None,
        cache.styles,
        notes,
        build_paintings,
        networks,
        has_gray_photo=reference is None or is_gray(reference),
    )


def read_initial_picture(path: str, max_pixels: int) -> Image:
    """Read the file that `init` names. Errors: as `read_image` and `check_visible`."""
    picture = read_image(path, max_pixels=max_pixels)
    check_visible(picture, f"`init` {path}: the picture")
    return picture


def check_visible(picture: Image, name: str) -> None:
    """Raise UsageError where a picture is wholly transparent; `name` begins the message."""
    if picture.alpha is not None and not bool(picture.alpha.any()):
        raise UsageError(f"{name} is wholly transparent: there is nothing to see.")


def repeat_lengths(lengths: tuple[Length, ...], count: int) -> tuple[Length, ...]:
    """Return one length for each of `count` paintings; a single length is for all of them."""
    return lengths if len(lengths) > 1 else lengths * count


def _find_lengths(
    settings: Settings, paintings: Sequence[Image], choose_size: Callable[[Image], float]
) -> list[Length]:
    """Return how long each painting is; one that is automatic is chosen by `choose_size`."""
    lengths = repeat_lengths(settings.style_size, len(paintings))
    return [
        Length(choose_size(painting)) if length.is_auto else length
        for painting, length in zip(paintings, lengths, strict=True)
    ]


def _note_lengths(settings: Settings, paintings: Sequence[Image], lengths: Sequence[Length]) -> list[str]:
    """Say which lengths were chosen."""
    asked = repeat_lengths(settings.style_size, len(paintings))
    return [
        f"{painting.as_painting} is used at {length.value:.2g} times the canvas's size: `style_size` auto."
        for painting, length, before in zip(paintings, lengths, asked, strict=True)
        if before.is_auto
    ]


def _trim_paintings(settings: Settings, paintings: Sequence[Image]) -> tuple[Sequence[Image], list[str]]:
    """Leave out the paintings' flat borders, unless the settings or masks say what is used of them; and say so."""
    if settings.trim == "none" or settings.style_mask or settings.style_labels:
        return paintings, []
    trimmed = [(it, None) if isinstance(it, MeasuredPainting) else trim_border(it) for it in paintings]
    return [painting for painting, _ in trimmed], [note for _, note in trimmed if note]


def _find_weaknesses(
    settings: Settings, reference: Image | None, paintings: Sequence[Image], lengths: Sequence[Length]
) -> list[str]:
    """Say why paintings may disappoint."""
    needs_color = settings.color == "none" and reference is not None and not is_gray(reference)
    side = settings.size if reference is None else min(settings.size, max(reference.width, reference.height))
    return [
        note
        for painting, length in zip(paintings, lengths, strict=True)
        if not isinstance(painting, MeasuredPainting)
        for note in find_weaknesses(
            painting, length.to_pixels(side, side), needs_color=needs_color, is_texture=reference is None
        )
    ]


def _check_settings(settings: Settings, reference: Image | None) -> None:
    """Raise UsageError where the settings do not fit what there is to paint."""
    if settings.preset == "instant" and settings.init != "fast":
        raise UsageError(
            f"`preset` instant is one pass, and no step for a canvas that begins with {settings.init}: leave `init` "
            "out, or choose another preset.",
            setting="init",
        )
    if reference is None:
        check_texture(settings)
    else:
        check_visible(reference, f"The photo{f' {reference.path}' if reference.path else ''}")
    if reference is not None and settings.aspect != Settings.model_fields["aspect"].default:
        raise UsageError(
            f"`aspect` {settings.aspect} has no effect with a photo, whose aspect the picture has.", setting="aspect"
        )
    if not any(settings.weights):
        raise UsageError(
            "`content_weight` and `style_weight` are both 0: there is nothing to paint.", setting="style_weight"
        )


def _find_deepest_tap(settings: Settings) -> str:
    """Return the layer that the network is cut after."""
    layers = plan_layers(VGG19_DEPTHS)
    for name in ("content_taps", "coarse_taps", "style_taps"):
        for tap in getattr(settings, name):
            if tap not in layers:
                raise UsageError(
                    f"There is no tap {tap!r}: VGG-19 has two layers in blocks 1 and 2, four in 3 to 5.", setting=name
                )
    with_content = settings.model_copy(update={"content_weight": 1.0})  # a run may be steered to it
    return max(list_taps(with_content), key=layers.index)


def _build_style_inputs(
    settings: Settings,
    reference: Image | None,
    paintings: Sequence[Image],
    lengths: Sequence[Length],
    assignments: Sequence[StyleAssignment],
    device: torch.device,
) -> list[StyleInput]:
    """Give each assigned painting its colors, weight, size and masks, on the device."""
    weights = settings.style_blend or (1.0,) * len(paintings)
    # One tensor for each mask: paintings with the same one blend there.
    regions = {id(each.canvas_mask): _move(each.canvas_mask, device) for each in assignments}
    inputs = []
    for each in assignments:
        number, painting = each.painting, paintings[each.painting]
        if not weights[number] and each.canvas_mask is None:  # with a mask it still keeps others away from there
            continue
        check_visible(painting, f"The painting {painting.path or number + 1}")
        colored = painting
        if reference is not None:
            canvas = reference.masked_to(each.canvas_mask)
            colored = recolor_painting(painting.masked_to(each.painting_mask), canvas, settings)
        inputs.append(
            StyleInput(
                colored.rgb.to(device),
                _move(painting.alpha, device),
                painting.path,
                weight=weights[number],
                size=lengths[number],
                mask=_move(each.painting_mask, device),
                region=regions[id(each.canvas_mask)],
                levels=painting.levels if isinstance(painting, MeasuredPainting) else None,
            )
        )
    return inputs


def _move(tensor: Tensor | None, device: torch.device) -> Tensor | None:
    return None if tensor is None else tensor.to(device)
