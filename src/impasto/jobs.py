"""A picture to paint, as plain data, and the painting of it: Job and Run."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, get_args

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from impasto.errors import UsageError
from impasto.painting.painter import Painter, Position, Step
from impasto.painting.style import Source
from impasto.pictures import files
from impasto.pictures.color import after_painting
from impasto.pictures.files import Picture
from impasto.pictures.sizes import resize
from impasto.recipes.recipe import Recipe, Result
from impasto.recipes.storage import write_recipe
from impasto.settings import Settings

if TYPE_CHECKING:
    from PIL.Image import Image

Keeping: TypeAlias = Literal["embed", "none"]


class Job(BaseModel):
    """One picture to paint, as plain data: where things are, and how to paint. A texture has no `photo`.

    `save_every` is the number of steps between previews, written to OUTPUT's folder as NAME.preview.SUFFIX; 0 for none.
    What is at `output` or at the preview's place before is kept unless `overwrite`, the inputs in any case. `recipe`
    says whether pictures carry theirs; `recipe_file` gets the output's as TOML or JSON. `first` is the recipe that this
    is a rerun of: what differs from it is written down.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    photo: Path | None
    paintings: Annotated[tuple[Path, ...], Field(min_length=1)]
    output: Path
    settings: Settings = Settings()
    save_every: int = Field(default=0, ge=0)
    overwrite: bool = False
    bits: Literal[8, 16] = 8
    quality: int = Field(95, ge=1, le=100)
    recipe: Keeping = "embed"
    recipe_file: Path | None = None
    first: Recipe | None = None

    @property
    def preview(self) -> Path:
        """Where the previews go."""
        return self.output.with_name(f"{self.output.stem}.preview{self.output.suffix}")


Mix: TypeAlias = Callable[[Settings], Sequence[Source]]  # the paintings with the shares and colours of some settings

# What may change while a picture is painted; all else decides its ladder, its network or its beginning.
STEERABLE = (
    "balance",
    "content_weight",
    "style_weight",
    "style_size",
    "style_blend",
    "tv_weight",
    "range_weight",
    "color",
    "color_space",
    "color_match",
    "color_strength",
)


class Run:
    """A picture being painted: iterate over it for Steps, ask it for the picture at any time.

    `keep`, a mask (1, 1, H, W), says what stays as it is in the photo.

    Nothing is painted that is not asked for: to stop is not to ask for the next Step. `notes` holds what happened that
    a user should know. Errors while iterating: DivergedError.
    """

    def __init__(
        self,
        painter: Painter,
        photo: Picture | None,
        recipe: Recipe,
        job: Job | None = None,
        keep: Tensor | None = None,
        mix: Mix | None = None,
    ) -> None:
        self._painter, self._photo, self._recipe, self._job = painter, photo, recipe, job
        self._keep, self._mix = keep, mix
        self._last: Step | None = None
        self._previewed = False

    def __iter__(self) -> Iterator[Step]:
        return self

    def __next__(self) -> Step:
        self._last = step = next(self._painter)
        job = self._job
        if job and job.save_every and step.step % job.save_every == 0 and step.step < self.total:
            # Not a file that has come there since the job was checked, but one of this run's own.
            self.write_to(job.preview, job.recipe, overwrite=job.overwrite or self._previewed)
            self._previewed = True
        return step

    @property
    def painter(self) -> Painter:
        """What paints it; a film takes its network and paintings from there."""
        return self._painter

    @property
    def total(self) -> int:
        """How many steps there are in all, over all scales."""
        return self._painter.total

    @property
    def notes(self) -> list[str]:
        """What happened that a user should know, in order."""
        return self._painter.notes

    @property
    def settings(self) -> Settings:
        """The settings that it is painted with now."""
        return self._painter.settings

    def steer(self, **changes: Any) -> None:
        """Go on with other settings from the next step on: weights, blend, stroke size, colours.

        Errors: UsageError for a setting that can't change while painting, or a wrong value; nothing changes then.

        Example: run.steer(style_weight=3, style_size=0.5)
        """
        if fixed := sorted(set(changes) - set(STEERABLE)):
            raise UsageError(f"{', '.join(fixed)} can't change while painting; {', '.join(STEERABLE)} can.")
        settings = merge_settings(self.settings, changes)
        if settings == self.settings:
            return
        if settings.style_blend and len(settings.style_blend) != len(self._recipe.paintings):
            raise UsageError(f"--style-blend needs a weight for each of {len(self._recipe.paintings)} paintings.")
        if (
            self._mix is None
            or not (settings.content_weight or settings.style_weight)
            or not any(settings.style_blend or (1,))
        ):
            raise UsageError("All the weights would be 0: there is nothing to paint.")
        self._painter.steer(settings, self._mix(settings))
        given = tuple(name for name in Settings.model_fields if name in {*self._recipe.given, *changes})
        named = {name: getattr(settings, name) for name in STEERABLE}
        update = {"settings": self._recipe.settings.model_copy(update=named), "given": given}
        self._recipe = self._recipe.model_copy(update=update)

    def position(self) -> Position:
        """Return where the painting is; `start_job` goes on from there."""
        return self._painter.position()

    def picture(self) -> "Image":
        """Return the picture so far, at the size of the scale that it has come to, as a PIL image in sRGB."""
        return files.to_image(*self._visible())

    def recipe(self) -> Recipe:
        """Return how the picture is painted, and what has come of it so far."""
        if self._last is None:
            return self._recipe
        height, width = self._painter.picture().shape[2:]
        bits, quality = self._written_as
        step, losses = self._last.step, self._last.losses
        result = Result(
            width=width, height=height, bits=bits, quality=quality, step=step, steps=self.total, losses=losses
        )
        return self._recipe.model_copy(update={"result": result})

    def write(self, path: str | os.PathLike[str] | None = None, *, recipe: Keeping | None = None) -> Path:
        """Write the picture so far, to the job's output where `path` is not given; returns where it is.

        It carries its recipe unless `recipe`, or where that is not given the job's, is "none".
        Errors: PictureError when it can't be written, or exists and the job does not say `overwrite`.
        """
        job = self._job
        if path is None and job is None:
            raise UsageError("This run has no output of its own: say where the picture shall go.")
        keeping = recipe or (job.recipe if job else "embed")
        check_keeping(keeping)
        overwrite = bool(job and job.overwrite)
        target = self.write_to(Path(path) if path is not None else job.output, keeping, overwrite=overwrite)  # type: ignore[union-attr]
        if path is None and job and job.recipe_file:
            write_recipe(self.recipe(), job.recipe_file, overwrite=overwrite)
        return target

    @property
    def _written_as(self) -> tuple[Literal[8, 16], int]:
        """Bits and quality of the files that are written."""
        return (self._job.bits, self._job.quality) if self._job else (8, 95)

    def write_to(self, path: Path, keeping: Keeping, *, overwrite: bool) -> Path:
        """Write the picture so far to `path` alone, whatever the job says."""
        rgb, alpha = self._visible()
        bits, quality = self._written_as
        text = self.recipe().to_json() if keeping == "embed" else ""
        return files.write(rgb, path, alpha=alpha, bits=bits, quality=quality, inscription=text, overwrite=overwrite)

    def _visible(self) -> tuple[Tensor, Tensor | None]:
        rgb = self._painter.picture()
        if self._photo is None:
            return rgb, None
        rgb = after_painting(rgb, self._photo, self._painter.settings)
        width, height = rgb.shape[3], rgb.shape[2]
        if self._keep is not None:
            photo, keep = (resize(it, width, height).clamp(0, 1) for it in (self._photo.rgb, self._keep))
            rgb = torch.lerp(rgb, photo, keep)
        if self._photo.alpha is None:
            return rgb, None
        return rgb, resize(self._photo.alpha, width, height).clamp(0, 1)


def merge_settings(
    settings: Settings | None, asked: Mapping[str, Any], before: Mapping[str, Any] = MappingProxyType({})
) -> Settings:
    """Build the settings of what is `asked`, over those of `settings`, over what was `before`; names each fault."""
    given = settings.model_dump(exclude_unset=True) if settings else {}
    try:
        return Settings.model_validate({**before, **given, **asked}, context={"asked": asked, "strict": False})
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, fault['loc'])) or 'settings'}: {fault['msg']}" for fault in error.errors()]
        raise UsageError("; ".join(faults)) from None


def check_keeping(recipe: str) -> None:
    """Raise UsageError where `recipe` is not one of its values."""
    if recipe not in get_args(Keeping):
        raise UsageError(f"recipe: takes {' or '.join(get_args(Keeping))}; not {recipe!r}")
