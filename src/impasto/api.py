"""impasto from Python: `paint` a picture, or `start` one and watch it grow."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from pydantic import ValidationError
from torch import Tensor

from impasto.errors import UsageError
from impasto.jobs import Job, Keeping, Run, check_keeping
from impasto.painting.hardware import choose_device, choose_dtype
from impasto.painting.painter import Painter
from impasto.painting.shelf import Shelf
from impasto.painting.style import Source
from impasto.perception.network import VGG19_DEPTHS, plan_layers
from impasto.pictures import files
from impasto.pictures.color import before_painting
from impasto.pictures.files import Picture
from impasto.pictures.inscriptions import check_length
from impasto.pictures.placing import Part, plan_parts, read_keep, under, without
from impasto.recipes.inputs import find
from impasto.recipes.recipe import Recipe
from impasto.recipes.storage import check_recipe_file, read_recipe
from impasto.recipes.writing import compare_workshops, write_down
from impasto.settings import BEGINNINGS, Settings

if TYPE_CHECKING:
    from PIL.Image import Image

    PictureLike: TypeAlias = str | os.PathLike[str] | Image
FetchProgress: TypeAlias = Callable[[int, int], None]

ROOM_FOR_RESULT = 2000  # bytes of a recipe's text, for what it does not say before painting


def paint(
    photo: "PictureLike",
    paintings: "PictureLike | Sequence[PictureLike]",
    *,
    output: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    recipe: Keeping = "embed",
    settings: Settings | None = None,
    **overrides: Any,
) -> "Image":
    """Repaint a photo in the style of one or more paintings, and return the picture as a PIL image in sRGB.

    Pictures are paths or PIL images. Settings come from `settings`, or from keywords named like them, which win.
    `output` writes the picture to a file as well, with its recipe inside unless `recipe` is "none"; a file that is
    there is kept unless `overwrite`.

    Errors: UsageError for a wrong setting or argument; PictureError, NetworkError; DivergedError.

    Example: impasto.paint("photo.jpg", "painting.jpg", size=400, seed=7).show()
    """
    check_keeping(recipe)
    chosen, picture = _settle(settings, overrides), files.read(photo)
    if output is not None:
        inputs = _list_inputs(chosen, photo, *_as_list(paintings))
        alpha = picture.alpha is not None
        files.check_target(output, inputs=inputs, overwrite=overwrite, alpha=alpha, size=chosen.size)
    run = _begin(chosen, picture, [files.read(painting) for painting in _as_list(paintings)])
    if output is not None and recipe == "embed":
        _check_room(run, output)
    for _ in run:
        pass
    if output is not None:
        run.write_to(Path(output), recipe, overwrite=overwrite)
    return run.picture()


def rerun(
    source: str | os.PathLike[str] | Recipe,
    *,
    output: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    recipe: Keeping = "embed",
    search: Sequence[str | os.PathLike[str]] = (),
    **overrides: Any,
) -> "Image":
    """Paint a picture again from the recipe in its file, or in a recipe's own, and return it as a PIL image in sRGB.

    Its photo, paintings and other files are looked for by their digests: in the source's folder, in the current one,
    and in the folders in `search` with all that are in them. Keywords replace settings; without any, and on the same
    machine, it is the same picture. The rest is as for `paint`.

    Errors: RecipeError where there is no recipe, or a file is missing or has changed; the others as for `paint`.

    Example: impasto.rerun("picture.png", output="large.png", size=2000)
    """
    check_keeping(recipe)
    first = source if isinstance(source, Recipe) else read_recipe(source)
    beside = [*([] if isinstance(source, Recipe) else [Path(source).parent]), Path()]
    found = find(first, beside=beside, search=search, replaced=overrides)
    settings = _settle(None, {**found.values, **overrides})
    if output is None:
        return paint(found.photo, found.paintings, settings=settings)
    bits, quality = first.written_as(output)
    job = Job(
        photo=found.photo,
        paintings=found.paintings,
        output=Path(output),
        settings=settings,
        overwrite=overwrite,
        recipe=recipe,
        bits=bits,
        quality=quality,
        first=first,
    )
    run = start_job(job)
    for _ in run:
        pass
    run.write()
    return run.picture()


def start(
    photo: "PictureLike",
    paintings: "PictureLike | Sequence[PictureLike]",
    *,
    settings: Settings | None = None,
    fetch_progress: FetchProgress | None = None,
    **overrides: Any,
) -> Run:
    """Read the pictures, load the network, and return a Run: an iterator of Steps with a picture on request.

    `fetch_progress` is as for `start_job`; arguments and errors otherwise as for `paint`.

    Example:
        run = impasto.start("photo.jpg", "painting.jpg")
        for step in run:
            print(step.step, run.total, step.losses["total"])
        run.picture().save("picture.png")
    """
    chosen = _settle(settings, overrides)
    read = [files.read(painting) for painting in _as_list(paintings)]
    return _begin(chosen, files.read(photo), read, fetch_progress=fetch_progress)


def start_job(job: Job, fetch_progress: FetchProgress | None = None, shelf: Shelf | None = None) -> Run:
    """Check that the job's output can be written, read its pictures, load its network, and return its Run.

    `fetch_progress` is told (bytes done, bytes in all) where a network has to be fetched. `shelf` keeps the network and
    the paintings' styles for the next job. Errors as for `paint`.
    """
    shelf = shelf or Shelf()
    photo, inputs = files.read(job.photo), _list_inputs(job.settings, job.photo, *job.paintings)
    for target in (job.output, job.preview) if job.save_every else (job.output,):
        files.check_target(
            target,
            inputs=inputs,
            overwrite=job.overwrite,
            alpha=photo.alpha is not None,
            bits=job.bits,
            size=job.settings.size,
        )
    if job.recipe_file:
        check_recipe_file(job.recipe_file, inputs=inputs, overwrite=job.overwrite)
    paintings = [shelf.read_painting(painting) for painting in job.paintings]
    run = _begin(job.settings, photo, paintings, job, fetch_progress, shelf)
    if job.recipe == "embed":
        _check_room(run, job.output)
    return run


def _begin(
    settings: Settings,
    photo: Picture,
    paintings: Sequence[Picture],
    job: Job | None = None,
    fetch_progress: FetchProgress | None = None,
    shelf: Shelf | None = None,
) -> Run:
    shelf = shelf or Shelf()
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
    precision = choose_dtype(settings.precision, device)
    network = shelf.load_network(settings, max(taps, key=plan.index), device, precision, fetch_progress)
    begin = None
    if settings.init not in BEGINNINGS:
        begun = files.read(settings.init)
        if begun.alpha is not None and not bool(begun.alpha.any()):
            raise UsageError(f"--init {settings.init}: the picture is wholly transparent, there is nothing to see.")
        begin = Source(begun.rgb, begun.alpha).opaque()
    keep = read_keep(settings, photo)
    seen = without(photo, keep)
    parts, notes = plan_parts(settings, seen, paintings)
    sources = _make_sources(settings, seen, paintings, parts, shares, device)
    painter = Painter(
        network, settings, Source(photo.rgb.to(device), _to(seen.alpha, device)), sources, begin, shelf.palette
    )
    painter.notes += notes
    first = job.first if job else None
    paths = [painting.source for painting in paintings]
    recipe = write_down(settings, photo.source, paths, device, precision, first)
    if first and (difference := compare_workshops(recipe, first)):
        painter.notes.append(difference)
    return Run(painter, photo, recipe, job, keep)


def _make_sources(
    settings: Settings,
    photo: Picture,
    paintings: Sequence[Picture],
    parts: Sequence[Part],
    shares: Sequence[float],
    device: torch.device,
) -> list[Source]:
    """Give each part the colours that it is painted with, and its share."""
    sources = []
    placed = {id(part.place): _to(part.place, device) for part in parts}  # the very same for those that blend
    for part in parts:
        painting, share = paintings[part.painting], shares[part.painting]
        if share or part.place is not None:  # without a share, it keeps others from its place
            colored = before_painting(under(painting, part.used), under(photo, part.place), settings)
            rgb, alpha, used = (_to(it, device) for it in (colored.rgb, painting.alpha, part.used))
            assert rgb is not None
            sources.append(Source(rgb, alpha, share, used, placed[id(part.place)]))
    return sources


def _check_room(run: Run, output: str | os.PathLike[str]) -> None:
    """Raise now where the output's format will not hold the recipe."""
    check_length(output, len(run.recipe().to_json().encode()) + ROOM_FOR_RESULT)


def _list_inputs(settings: Settings, *pictures: "PictureLike") -> list[Path]:
    """List the picture files that are read."""
    inputs = [Path(picture) for picture in pictures if isinstance(picture, str | os.PathLike)]
    return [*inputs, *(Path(file) for _, _, file in settings.files())]


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
