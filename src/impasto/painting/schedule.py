"""The sizes and steps of all scales of a picture, and the size of the paintings at each."""

from dataclasses import dataclass
from functools import cached_property

from impasto.errors import UsageError
from impasto.images.image import Image
from impasto.images.sizes import fit_size, list_scale_sizes, measure_side
from impasto.settings.lengths import Length
from impasto.settings.model import Settings
from impasto.settings.types import Fit

Size = tuple[int, int]  # width and height, in pixels


@dataclass(frozen=True)
class Schedule:
    """Width and height in pixels, and number of steps, of each scale, coarsest first.

    `cell_size` is the stride of the deepest tap, in pixels: no side is shorter. `fit` says which side counts as size.
    """

    sizes: tuple[Size, ...]
    steps: tuple[int, ...]
    cell_size: int
    fit: Fit = "longest"

    @property
    def last_size(self) -> Size:
        """The size of the finished picture."""
        return self.sizes[-1]

    @cached_property
    def work(self) -> tuple[int, ...]:
        """The pixels painted over all steps of each scale: the unit of progress."""
        return tuple(steps * width * height for steps, (width, height) in zip(self.steps, self.sizes, strict=True))

    def keep_last_scale(self, steps: int) -> "Schedule":
        """Return a schedule of the last scale alone."""
        return Schedule(self.sizes[-1:], (steps,), self.cell_size, self.fit)

    def fit_painting(self, size: Size, length: Length, canvas: Size) -> Size:
        """Return the size at which a painting of `size` is measured for a canvas of that size.

        Errors: UsageError where it becomes too small for the deepest tap.
        """
        # A small painting grows with the canvas, even where a small photo does not.
        rule = "longest" if self.fit == "shrink" else self.fit
        side = length.to_pixels(measure_side(*canvas, rule), measure_side(*self.last_size, rule))
        width, height = fit_size(*size, side, rule)
        if min(width, height) < self.cell_size:
            raise UsageError(
                f"A painting would be {width} x {height} pixels, but the deepest tap needs {self.cell_size} on each "
                "side: choose a larger `style_size` or `start_size`, or shallower `style_taps`.",
                setting="style_size",
            )
        return width, height


def plan_schedule(settings: Settings, photo_size: Size | None, cell_size: int) -> Schedule:
    """Plan the scales of a picture, without those too small for the deepest tap. A texture has no photo.

    Errors: UsageError where the finished picture is too small for the deepest tap, or can't be made seamless.
    """
    width, height = photo_size or settings.aspect_sides
    size = min(settings.size, max(width, height)) if settings.fit == "shrink" else settings.size
    sides = list_scale_sizes(size, settings.start_size, settings.scale_step)
    sizes = [fit_size(width, height, side, settings.fit) for side in sides]
    if min(sizes[-1]) < cell_size:
        raise UsageError(
            f"The picture would be {sizes[-1][0]} x {sizes[-1][1]} pixels; the deepest tap needs {cell_size} on each "
            "side: choose a larger `size`, or shallower `content_taps` and `style_taps`.",
            setting="size",
        )
    if settings.padding == "circular":
        _check_seamless(settings, sizes[-1], cell_size, has_photo=photo_size is not None)
        sizes = [(_round_to_cells(wide, cell_size), _round_to_cells(high, cell_size)) for wide, high in sizes]
    sizes = [size for size in sizes if min(size) >= cell_size]
    return Schedule(tuple(sizes), list_steps(settings, len(sizes)), cell_size, settings.fit)


def measure_canvas(settings: Settings, photo: Image | None) -> Size:
    """Return the size of the finished picture before `padding` circular rounds it; a texture has no photo."""
    width, height = (photo.width, photo.height) if photo else settings.aspect_sides
    return fit_size(width, height, settings.size, settings.fit)


def list_steps(settings: Settings, scales: int) -> tuple[int, ...]:
    """List the steps of each of so many scales."""
    steps = [settings.steps] + [settings.later_steps] * (scales - 1)
    if scales > 1 and settings.final_steps:
        steps[-1] = settings.final_steps
    return tuple(steps)


def _round_to_cells(side: int, cell_size: int) -> int:
    return cell_size * max(1, round(side / cell_size))


def _check_seamless(settings: Settings, size: Size, cell_size: int, *, has_photo: bool) -> None:
    """Refuse sides that the user chose and that the grid of the deepest tap does not divide evenly."""
    chosen = size if not has_photo else () if settings.fit in ("area", "shrink") else (settings.size,)
    for side in chosen:
        if side % cell_size:
            below = side // cell_size * cell_size
            near = " or ".join(str(multiple) for multiple in (below, below + cell_size) if multiple)
            raise UsageError(
                f"`size`: with `padding` circular, a side of {side} pixels would not tile. Choose a multiple of "
                f"{cell_size}, such as {near}, or another `padding`.",
                setting="size",
            )
