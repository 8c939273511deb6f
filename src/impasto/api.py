"""impasto from Python: `paint` a picture, or `start` one and watch it grow."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from impasto.errors import UsageError
from impasto.painting.hardware import choose_device, choose_dtype
from impasto.painting.objective import Source
from impasto.painting.painter import Painter, Step
from impasto.perception import weights
from impasto.perception.network import VGG19_DEPTHS, plan_layers
from impasto.pictures import files
from impasto.pictures.color import after_painting, before_painting
from impasto.pictures.files import Picture
from impasto.pictures.sizes import resize
from impasto.settings import Settings

if TYPE_CHECKING:
    from PIL.Image import Image

    PictureLike: TypeAlias = str | os.PathLike[str] | Image
FetchProgress: TypeAlias = Callable[[int, int], None]

BEGINNINGS = ("noise", "photo", "painting")  # what `init` means, where it is no file


class Job(BaseModel):
    """One picture to paint, as plain data: where things are, and how to paint.

    `save_every` is the number of steps between previews, written to OUTPUT's folder as NAME.preview.SUFFIX; 0 for none.
    What is at `output` or at the preview's place before is kept unless `overwrite`, the inputs in any case.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    photo: Path
    paintings: Annotated[tuple[Path, ...], Field(min_length=1)]
    output: Path
    settings: Settings = Settings()
    save_every: int = Field(0, ge=0)
    overwrite: bool = False
    bits: Literal[8, 16] = 8
    quality: int = Field(95, ge=1, le=100)

    @property
    def preview(self) -> Path:
        """Where the previews go."""
        return self.output.with_name(f"{self.output.stem}.preview{self.output.suffix}")


class Run:
    """A picture being painted: iterate over it for Steps, ask it for the picture at any time.

    Nothing is painted that is not asked for: to stop is not to ask for the next Step. `notes` holds what happened that
    a user should know. Errors while iterating: DivergedError.
    """

    def __init__(self, painter: Painter, photo: Picture, job: Job | None = None) -> None:
        self._painter, self._photo, self._job = painter, photo, job
        self._previewed = False

    def __iter__(self) -> Iterator[Step]:
        return self

    def __next__(self) -> Step:
        step = next(self._painter)
        job = self._job
        if job and job.save_every and step.step % job.save_every == 0 and step.step < self.total:
            # Not a file that has come there since the job was checked, but one of this run's own.
            self._write(job.preview, overwrite=job.overwrite or self._previewed)
            self._previewed = True
        return step

    @property
    def total(self) -> int:
        """How many steps there are in all, over all scales."""
        return self._painter.total

    @property
    def notes(self) -> list[str]:
        """What happened that a user should know, in order."""
        return self._painter.notes

    def picture(self) -> "Image":
        """Return the picture so far, at the size of the scale that it has come to, as a PIL image in sRGB."""
        return files.to_image(*self._visible())

    def write(self, path: str | os.PathLike[str] | None = None) -> Path:
        """Write the picture so far, to the job's output where `path` is not given; returns where it is.

        Errors: PictureError when it can't be written, or exists and the job does not say `overwrite`.
        """
        if path is None and self._job is None:
            raise UsageError("This run has no output of its own: say where the picture shall go.")
        target = Path(path) if path is not None else self._job.output  # type: ignore[union-attr]
        return self._write(target, overwrite=bool(self._job and self._job.overwrite))

    def _write(self, path: Path, *, overwrite: bool) -> Path:
        rgb, alpha = self._visible()
        bits, quality = (self._job.bits, self._job.quality) if self._job else (8, 95)
        return files.write(rgb, path, alpha=alpha, bits=bits, quality=quality, overwrite=overwrite)

    def _visible(self) -> tuple[Tensor, Tensor | None]:
        rgb = after_painting(self._painter.picture(), self._photo, self._painter.settings)
        if self._photo.alpha is None:
            return rgb, None
        return rgb, resize(self._photo.alpha, rgb.shape[3], rgb.shape[2]).clamp(0, 1)


def paint(
    photo: "PictureLike",
    paintings: "PictureLike | Sequence[PictureLike]",
    *,
    output: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    settings: Settings | None = None,
    **overrides: Any,
) -> "Image":
    """Repaint a photo in the style of one or more paintings, and return the picture as a PIL image in sRGB.

    Pictures are paths or PIL images. Settings come from `settings`, or from keywords named like them, which win.
    `output` writes the picture to a file as well; a file that is there is kept unless `overwrite`.

    Errors: UsageError for a wrong setting or argument; PictureError, NetworkError; DivergedError.

    Example: impasto.paint("photo.jpg", "painting.jpg", size=400, seed=7).show()
    """
    chosen, picture = _settle(settings, overrides), files.read(photo)
    if output is not None:
        inputs = _list_inputs(chosen, photo, *_as_list(paintings))
        alpha = picture.alpha is not None
        files.check_target(output, inputs=inputs, overwrite=overwrite, alpha=alpha, size=chosen.size)
    run = _begin(chosen, picture, [files.read(painting) for painting in _as_list(paintings)])
    for _ in run:
        pass
    if output is not None:
        run._write(Path(output), overwrite=overwrite)
    return run.picture()


def start(
    photo: "PictureLike",
    paintings: "PictureLike | Sequence[PictureLike]",
    *,
    settings: Settings | None = None,
    **overrides: Any,
) -> Run:
    """Read the pictures, load the network, and return a Run: an iterator of Steps with a picture on request.

    Arguments and errors as for `paint`.

    Example:
        run = impasto.start("photo.jpg", "painting.jpg")
        for step in run:
            print(step.step, run.total, step.losses["total"])
        run.picture().save("picture.png")
    """
    chosen = _settle(settings, overrides)
    return _begin(chosen, files.read(photo), [files.read(painting) for painting in _as_list(paintings)])


def start_job(job: Job, fetch_progress: FetchProgress | None = None) -> Run:
    """Check that the job's output can be written, read its pictures, load its network, and return its Run.

    `fetch_progress` is told (bytes done, bytes in all) where a network has to be fetched. Errors as for `paint`.
    """
    photo = files.read(job.photo)
    for target in (job.output, job.preview) if job.save_every else (job.output,):
        files.check_target(
            target,
            inputs=_list_inputs(job.settings, job.photo, *job.paintings),
            overwrite=job.overwrite,
            alpha=photo.alpha is not None,
            bits=job.bits,
            size=job.settings.size,
        )
    return _begin(job.settings, photo, [files.read(painting) for painting in job.paintings], job, fetch_progress)


def _begin(
    settings: Settings,
    photo: Picture,
    paintings: Sequence[Picture],
    job: Job | None = None,
    fetch_progress: FetchProgress | None = None,
) -> Run:
    shares = settings.style_blend or (1.0,) * len(paintings)
    if len(shares) != len(paintings):
        raise UsageError(
            f"--style-blend has {_count(len(shares), 'weight')} for {_count(len(paintings), 'painting')}: "
            "give one for each."
        )
    if not sum(shares):
        raise UsageError("--style-blend: at least one painting needs a weight above 0.")
    plan, taps = plan_layers(VGG19_DEPTHS), {**settings.content_taps, **settings.style_taps}
    for tap in taps:
        if tap not in plan:
            raise UsageError(f"There is no tap {tap!r}: VGG-19 has two layers in blocks 1 and 2, four in 3 to 5.")
    if not (settings.content_weight or settings.style_weight):
        raise UsageError("--content-weight and --style-weight are both 0: there is nothing to paint.")
    device = choose_device(settings.device)
    network = weights.load(
        settings.network,
        layout=settings.layout,
        cut=max(taps, key=plan.index),
        pooling=settings.pooling,
        padding=settings.padding,
        keep_activation_size=settings.pooling_gain,
        progress=fetch_progress,
    ).to(device, choose_dtype(settings.precision, device))
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs
    begin = None
    if settings.init not in BEGINNINGS:
        begun = files.read(settings.init)
        if begun.alpha is not None and not bool(begun.alpha.any()):
            raise UsageError(f"--init {settings.init}: the picture is wholly transparent, there is nothing to see.")
        begin = Source(begun.rgb, begun.alpha).opaque()
    colored = [before_painting(painting, photo, settings) for painting in paintings]
    sources = [
        Source(painting.rgb.to(device), _to(painting.alpha, device), share)
        for painting, share in zip(colored, shares, strict=True)
        if share
    ]
    painter = Painter(network, settings, Source(photo.rgb.to(device), _to(photo.alpha, device)), sources, begin)
    return Run(painter, photo, job)


def _list_inputs(settings: Settings, *pictures: "PictureLike") -> list[Path]:
    """List the picture files that are read."""
    inputs = [Path(picture) for picture in pictures if isinstance(picture, str | os.PathLike)]
    return inputs if settings.init in BEGINNINGS else [*inputs, Path(settings.init)]


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _to(tensor: Tensor | None, device: torch.device) -> Tensor | None:
    return None if tensor is None else tensor.to(device)


def _as_list(paintings: "PictureLike | Sequence[PictureLike]") -> "list[PictureLike]":
    listed: list[PictureLike] = list(paintings) if isinstance(paintings, list | tuple) else [paintings]  # type: ignore[list-item]
    if not listed:
        raise UsageError("Give at least one painting.")
    return listed


def _settle(settings: Settings | None, overrides: dict[str, Any]) -> Settings:
    if settings is not None and not overrides:
        return settings
    given = settings.model_dump(exclude_unset=True) if settings else {}
    try:
        return Settings(**{**given, **overrides})
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, fault['loc'])) or 'settings'}: {fault['msg']}" for fault in error.errors()]
        raise UsageError("; ".join(faults)) from None
