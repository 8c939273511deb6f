"""impasto from Python: `paint` a picture, or `start` one and watch it grow."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

from impasto.errors import UsageError
from impasto.images.assignments import plan_assignments, read_preserve_mask
from impasto.images.folders import expand_folders
from impasto.images.image import Image
from impasto.images.metadata import check_text_length
from impasto.images.output import check_output
from impasto.images.read import read_image
from impasto.network.vgg import VGG19_DEPTHS, plan_layers
from impasto.painting.device import choose_device, choose_dtype
from impasto.painting.model_cache import ModelCache
from impasto.painting.painter import Painter
from impasto.painting.styles import StyleInput
from impasto.recipes.build import build_recipe, compare_environments, fingerprint_picture
from impasto.recipes.files import check_recipe_file, read_recipe
from impasto.recipes.locate import locate_files
from impasto.recipes.recipe import Recipe
from impasto.runs.inputs import (
    build_style_inputs,
    check_visible,
    measure_canvas,
    read_initial_picture,
    read_paintings,
    to_style_input,
)
from impasto.runs.job import Job, RecipeMode, check_recipe_mode
from impasto.runs.run import Run
from impasto.settings.changes import merge_settings
from impasto.settings.model import Settings
from impasto.settings.texture import TEXTURE_DEFAULTS, check_texture, merge_texture_size, unmark_defaults
from impasto.settings.types import INIT_CHOICES

if TYPE_CHECKING:
    from PIL import Image as PilImage

    PictureLike: TypeAlias = str | os.PathLike[str] | PilImage.Image
DownloadProgress: TypeAlias = Callable[[int, int], None]

RESERVED_RESULT_BYTES = 2000  # bytes of a recipe's text, for what it does not say before painting


def paint(
    photo: "PictureLike",
    paintings: "PictureLike | Sequence[PictureLike]",
    *,
    output: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    recipe: RecipeMode = "embed",
    checkpoint: str | os.PathLike[str] = "auto",
    settings: Settings | None = None,
    **overrides: Any,
) -> "PilImage.Image":
    """Repaint a photo in the style of one or more paintings, and return the picture as a PIL image in sRGB.

    Pictures are paths or PIL images. Settings come from `settings`, or from keywords named like them, which win.
    `output` writes the picture to a file as well, with its recipe inside unless `recipe` is "none"; a file that is
    there is kept unless `overwrite`. `checkpoint` is a file that the painting is kept in as it goes, for `resume`, as
    for Job; it takes an output, and pictures that are files.

    Errors: UsageError for a wrong setting or argument; PictureError, NetworkError, CheckpointError; DivergedError.

    Example: impasto.paint("photo.jpg", "painting.jpg", size=400, seed=7).show()
    """
    chosen = _resolve_settings(settings, overrides)
    return _paint(photo, _as_list(paintings), chosen, output, overwrite, recipe, os.fspath(checkpoint))


def texture(
    paintings: "PictureLike | Sequence[PictureLike]",
    *,
    output: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    recipe: RecipeMode = "embed",
    checkpoint: str | os.PathLike[str] = "auto",
    settings: Settings | None = None,
    **overrides: Any,
) -> "PilImage.Image":
    """Paint a texture in the style of one or more paintings, without a photo, and return it as a PIL image in sRGB.

    It tiles without a seam, unless `padding` is another than circular. `size` may also be both sides: "1024x512" or
    (1024, 512). The rest is as for `paint`.

    Errors: UsageError also where a setting needs a photo, or a side is no multiple of what the deepest tap sees.

    Example: impasto.texture("painting.jpg", size="1024x512", output="texture.png")
    """
    chosen = _resolve_texture_settings(settings, overrides)
    return _paint(None, _as_list(paintings), chosen, output, overwrite, recipe, os.fspath(checkpoint))


def _paint(
    photo: "PictureLike | None",
    paintings: "Sequence[PictureLike]",
    settings: Settings,
    output: str | os.PathLike[str] | None,
    overwrite: bool,
    recipe: RecipeMode,
    checkpoint: str,
) -> "PilImage.Image":
    check_recipe_mode(recipe)
    every, settings = expand_folders(paintings, settings)
    files_alone = [Path(it) for it in (photo, *every) if isinstance(it, str | os.PathLike)]
    if output is not None and len(files_alone) == len(every) + (photo is not None):
        job = Job(
            photo=files_alone[0] if photo is not None else None,
            paintings=tuple(files_alone[-len(every) :]),
            output=Path(output),
            settings=settings,
            overwrite=overwrite,
            quality=95,
            recipe=recipe,
            checkpoint=checkpoint,
        )
        return _finish_run(start_job(job))
    if checkpoint not in ("auto", "none"):
        raise UsageError(f"checkpoint: {checkpoint} takes an output, and a photo and paintings that are files.")
    picture = None if photo is None else read_image(photo, max_pixels=settings.max_pixels)
    if output is not None:
        inputs = _list_inputs(settings, photo, *every)
        alpha, size = picture is not None and picture.alpha is not None, max(measure_canvas(settings, picture))
        check_output(output, inputs=inputs, overwrite=overwrite, alpha=alpha, size=size)
    run = _start_run(settings, picture, read_paintings(every, settings, picture))
    if output is not None and recipe == "embed":
        _check_recipe_fits(run, output)
    for _ in run:
        pass
    if output is not None:
        run.write_picture(Path(output), recipe, overwrite=overwrite)
    return run.picture()


def _finish_run(run: Run) -> "PilImage.Image":
    for _ in run:
        pass
    run.write()
    return run.picture()


def rerun(
    source: str | os.PathLike[str] | Recipe,
    *,
    output: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    recipe: RecipeMode = "embed",
    checkpoint: str | os.PathLike[str] = "auto",
    search: Sequence[str | os.PathLike[str]] = (),
    **overrides: Any,
) -> "PilImage.Image":
    """Paint a picture again from the recipe in its file, or in a recipe's own, and return it as a PIL image in sRGB.

    Its photo, paintings and other files are looked for by their digests: in the source's folder, in the current one,
    and in the folders in `search` with all that are in them. Keywords replace settings; without any, and on the same
    machine, it is the same picture. The rest is as for `paint`.

    Errors: RecipeError where there is no recipe, or a file is missing or has changed; the others as for `paint`.

    Example: impasto.rerun("picture.png", output="large.png", size=2000)
    """
    check_recipe_mode(recipe)
    first = source if isinstance(source, Recipe) else read_recipe(source)
    beside = [*([] if isinstance(source, Recipe) else [Path(source).parent]), Path()]
    found = locate_files(first, folders=beside, search=search, replaced=overrides)
    settings = _resolve_settings(None, overrides, found.values)
    if output is None:
        return _paint(found.photo, found.paintings, settings, None, overwrite, recipe, os.fspath(checkpoint))
    bits, quality = first.get_output_quality(output)
    job = Job(
        photo=found.photo,
        paintings=found.paintings,
        output=Path(output),
        settings=settings,
        overwrite=overwrite,
        recipe=recipe,
        bits=bits,
        quality=quality,
        checkpoint=os.fspath(checkpoint),
        first=first,
    )
    return _finish_run(start_job(job))


def start(
    photo: "PictureLike | None",
    paintings: "PictureLike | Sequence[PictureLike]",
    *,
    settings: Settings | None = None,
    fetch_progress: DownloadProgress | None = None,
    **overrides: Any,
) -> Run:
    """Read the pictures, load the network, and return a Run: an iterator of Steps with a picture on request.

    Arguments and errors as for `paint`, without a photo as for `texture`; `fetch_progress` is as for `start_job`.

    Example:
        run = impasto.start("photo.jpg", "painting.jpg")
        for step in run:
            print(step.step, run.total, step.losses["total"])
        run.picture().save("picture.png")
    """
    if photo is None:
        chosen, picture = _resolve_texture_settings(settings, overrides), None
    else:
        chosen = _resolve_settings(settings, overrides)
        picture = read_image(photo, max_pixels=chosen.max_pixels)
    every, chosen = expand_folders(_as_list(paintings), chosen)
    return _start_run(chosen, picture, read_paintings(every, chosen, picture), fetch_progress=fetch_progress)


def start_job(
    job: Job,
    fetch_progress: DownloadProgress | None = None,
    cache: ModelCache | None = None,
    may_replace: Callable[[Path], bool] = lambda _: False,
) -> Run:
    """Check that the job's output can be written, read its pictures, load its network, and return its Run.

    `fetch_progress` is told (bytes done, bytes in all) where a network has to be fetched. `shelf` keeps the network and
    the paintings' styles for the next job. `may_replace` tells of a file that stands where the job writes whether it
    may be replaced though the job does not say so. Errors as for `paint`.
    """
    cache = cache or ModelCache()
    paintings, settings = expand_folders(job.paintings, job.settings)
    photo = None if job.photo is None else read_image(job.photo, max_pixels=settings.max_pixels)
    inputs = _list_inputs(settings, job.photo, *paintings)
    for target in (job.output, job.preview_path) if job.save_every else (job.output,):
        check_output(
            target,
            inputs=inputs,
            overwrite=job.overwrite or may_replace(target),
            alpha=photo is not None and photo.alpha is not None,
            bits=job.bits,
            size=max(measure_canvas(settings, photo)),
        )
    if job.recipe_file:
        replaced = job.overwrite or may_replace(job.recipe_file)
        check_recipe_file(job.recipe_file, inputs=inputs, overwrite=replaced)
    read = read_paintings(paintings, settings, photo, cache.read_painting)
    run = _start_run(settings, photo, read, job, fetch_progress, cache)
    if job.recipe == "embed":
        _check_recipe_fits(run, job.output)
    return run


def _start_run(
    settings: Settings,
    photo: Image | None,
    paintings: Sequence[Image],
    job: Job | None = None,
    fetch_progress: DownloadProgress | None = None,
    cache: ModelCache | None = None,
) -> Run:
    cache = cache or ModelCache()
    _check_settings(settings, photo)
    plan, taps = plan_layers(VGG19_DEPTHS), {**settings.active_content_taps, **settings.style_taps}
    for tap in taps:
        if tap not in plan:
            raise UsageError(f"There is no tap {tap!r}: VGG-19 has two layers in blocks 1 and 2, four in 3 to 5.")
    device = choose_device(settings.device)
    precision = choose_dtype(settings.precision, device)
    network = cache.load_network(settings, max(taps, key=plan.index), device, precision, fetch_progress)
    begin = None if settings.init in INIT_CHOICES else read_initial_picture(settings.init, settings.max_pixels)
    keep = read_preserve_mask(settings, photo) if photo else None
    seen = photo.masked_out(keep) if photo else None
    parts, notes = plan_assignments(settings, seen, paintings)

    def mix(settings: Settings) -> list[StyleInput]:
        return build_style_inputs(settings, seen, paintings, parts, device)

    canvas = to_style_input(seen, device) if seen else None
    painter = Painter(network, settings, canvas, mix(settings), begin, cache.styles)
    painter.notes += notes
    first = job.first if job else None
    paths = [painting.path for painting in paintings]
    recipe = build_recipe(settings, fingerprint_picture(photo.path) if photo else None, paths, device, precision, first)
    if first and (difference := compare_environments(recipe, first)):
        painter.notes.append(difference)
    return Run(painter, photo, recipe, job, keep, mix)


def _check_settings(settings: Settings, photo: Image | None) -> None:
    """Raise UsageError where the settings do not fit what there is to paint."""
    if photo is None:
        check_texture(settings)
    else:
        check_visible(photo, f"The photo{f' {photo.path}' if photo.path else ''}")
    if photo is not None and settings.aspect != Settings.model_fields["aspect"].default:
        raise UsageError(f"--aspect {settings.aspect} does nothing with a photo, whose aspect the picture has.")
    if not any(settings.weights):
        raise UsageError("--content-weight and --style-weight are both 0: there is nothing to paint.")


def _check_recipe_fits(run: Run, output: str | os.PathLike[str]) -> None:
    """Raise now where the output's format will not hold the recipe."""
    check_text_length(output, len(run.recipe().to_json().encode()) + RESERVED_RESULT_BYTES)


def _list_inputs(settings: Settings, *pictures: "PictureLike | None") -> list[Path]:
    """List the picture files that are read."""
    inputs = [Path(picture) for picture in pictures if isinstance(picture, str | os.PathLike)]
    return [*inputs, *settings.list_files()]


def _as_list(paintings: "PictureLike | Sequence[PictureLike]") -> "list[PictureLike]":
    listed: list[PictureLike] = list(paintings) if isinstance(paintings, list | tuple) else [paintings]  # type: ignore[list-item]
    if not listed:
        raise UsageError("Give at least one painting.")
    return listed


def _resolve_settings(
    settings: Settings | None, asked: Mapping[str, Any], before: Mapping[str, Any] = MappingProxyType({})
) -> Settings:
    """Build the settings of what is `asked`, over those of `settings`, over what was `before`."""
    if settings is not None and not asked and not before:
        return settings
    return merge_settings(settings, asked, before)


def _resolve_texture_settings(settings: Settings | None, overrides: Mapping[str, Any]) -> Settings:
    asked = merge_texture_size(overrides)
    chosen = _resolve_settings(settings, asked, TEXTURE_DEFAULTS)
    check_texture(chosen, asked)
    return unmark_defaults(chosen, [*(settings.model_fields_set if settings else ()), *asked])
