"""impasto from Python: `paint`, `paint_fast`, `texture` and `rerun` return a picture, `start` a Run to iterate over."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from impasto.errors import UsageError
from impasto.fast.style_file import write_style_file
from impasto.images.folders import expand_folders
from impasto.images.output import check_output
from impasto.network.download import DownloadProgress
from impasto.recipes.files import read_recipe
from impasto.recipes.locate import locate_files
from impasto.recipes.recipe import Recipe
from impasto.runs.inputs import measure_style, read_paintings, read_photo
from impasto.runs.job import Job, RecipeMode, check_recipe_mode
from impasto.runs.run import Run
from impasto.runs.start import check_photo_format, check_recipe_fits, start_job, start_run
from impasto.settings.changes import merge_settings
from impasto.settings.dependencies import check_one_pass
from impasto.settings.model import Settings
from impasto.settings.presets import FAST_DEFAULTS
from impasto.settings.texture import TEXTURE_DEFAULTS, check_texture, merge_texture_size, unmark_defaults
from impasto.settings.types import Trim

if TYPE_CHECKING:
    from PIL import Image as PilImage

    PictureLike: TypeAlias = str | os.PathLike[str] | PilImage.Image


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
    `output` also writes the picture to a file, with its recipe inside unless `recipe` is "none"; an existing file is
    replaced only with `overwrite`. `checkpoint` is the file to which the run is saved, for `resume`, as for Job; it
    requires an output, and pictures that are files.

    Errors: UsageError for a wrong setting or argument; PictureError, NetworkError, CheckpointError; DivergedError.

    Example: impasto.paint("photo.jpg", "painting.jpg", size=400, seed=7).show()
    """
    chosen = merge_settings(settings, overrides)
    return _paint(photo, _as_list(paintings), chosen, output, overwrite, recipe, os.fspath(checkpoint))


def paint_fast(
    photo: "PictureLike",
    paintings: "PictureLike | Sequence[PictureLike]",
    *,
    output: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    recipe: RecipeMode = "embed",
    settings: Settings | None = None,
    **overrides: Any,
) -> "PilImage.Image":
    """Repaint a photo in one pass, which takes a fraction of a second: `paint` with the preset `instant`.

    `fast_strength`, from 0 to 1, says how far it goes from the photo. The rest is as for `paint`.

    Example: impasto.paint_fast("photo.jpg", "painting.jpg", size=512).show()
    """
    chosen = merge_settings(settings, overrides, FAST_DEFAULTS)
    check_one_pass(chosen)
    if photo is None:
        raise UsageError("Give a photo: one pass paints no textures.")
    return _paint(photo, _as_list(paintings), chosen, output, overwrite, recipe, "none")


def save_style(
    painting: "PictureLike",
    output: str | os.PathLike[str],
    *,
    size: int = 512,
    trim: Trim = "auto",
    credit: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Save what one pass needs of a painting in a style file, which takes its place in `paint_fast`; returns where.

    `output` ends in .safetensors. `size` is that of the pictures that will be painted with it, in pixels. `credit` says
    whose painting it is; a painting of the collection has its own.

    Errors: UsageError for a wrong argument; PictureError.

    Example: impasto.save_style("painting.jpg", "style.safetensors")
    """
    write_style_file(measure_style(painting, size, trim, credit), Path(output), overwrite=overwrite)
    return Path(output)


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

    It tiles without a seam, unless `padding` is not circular. `size` may also be both sides: "1024x512" or
    (1024, 512). The rest is as for `paint`.

    Errors: UsageError also where a setting needs a photo, or a side is not a multiple of the deepest tap's stride.

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
    every, settings, notes = expand_folders(paintings, settings)
    files = [Path(picture) for picture in (photo, *every) if isinstance(picture, str | os.PathLike)]
    if output is not None and len(files) == len(every) + (photo is not None):
        job = Job(
            photo=files[0] if photo is not None else None,
            paintings=tuple(files[-len(every) :]),
            output=Path(output),
            settings=settings,
            overwrite=overwrite,
            recipe=recipe,
            checkpoint=checkpoint,
            notes=notes,
        )
        return _finish_run(start_job(job))
    if checkpoint not in ("auto", "none"):
        raise UsageError(
            f"`checkpoint` {checkpoint} takes an output, and a photo and paintings that are files.",
            setting="checkpoint",
        )
    picture = None if photo is None else read_photo(photo, settings)
    if output is not None:
        inputs = _list_inputs(settings, photo, *every)
        check_output(output, inputs=inputs, overwrite=overwrite)
        check_photo_format(output, settings, picture)
    run = start_run(settings, picture, read_paintings(every, settings, picture))
    if output is not None and recipe == "embed":
        check_recipe_fits(run, output)
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
    """Paint a picture again from its recipe, in the picture or in a recipe file, and return it as a PIL image in sRGB.

    Its photo, paintings and other files are found by their digests: in the source's folder, in the current one, and
    anywhere below the folders in `search`. Keywords replace settings; without any, and on the same machine, it is the
    same picture. The rest is as for `paint`.

    Errors: RecipeError where there is no recipe, or a file is missing or has changed; the others as for `paint`.

    Example: impasto.rerun("picture.png", output="large.png", size=2000)
    """
    check_recipe_mode(recipe)
    first = source if isinstance(source, Recipe) else read_recipe(source)
    beside = [*([] if isinstance(source, Recipe) else [Path(source).parent]), Path()]
    found = locate_files(first, folders=beside, search=search, replaced=overrides)
    settings = merge_settings(None, overrides, found.values)
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
            print(step.step, run.total_steps, step.losses["total"])
        run.picture().save("picture.png")
    """
    if photo is None:
        chosen, picture = _resolve_texture_settings(settings, overrides), None
    else:
        chosen = merge_settings(settings, overrides)
        picture = read_photo(photo, chosen)
    every, chosen, notes = expand_folders(_as_list(paintings), chosen)
    run = start_run(chosen, picture, read_paintings(every, chosen, picture), fetch_progress=fetch_progress)
    run.notes.extend(notes)
    return run


def _list_inputs(settings: Settings, *pictures: "PictureLike | None") -> list[Path]:
    """List the picture files that are read."""
    inputs = [Path(picture) for picture in pictures if isinstance(picture, str | os.PathLike)]
    return [*inputs, *settings.list_files()]


def _as_list(paintings: "PictureLike | Sequence[PictureLike]") -> "list[PictureLike]":
    listed: list[PictureLike] = list(paintings) if isinstance(paintings, list | tuple) else [paintings]  # type: ignore[list-item]
    if not listed:
        raise UsageError("Give at least one painting.")
    return listed


def _resolve_texture_settings(settings: Settings | None, overrides: Mapping[str, Any]) -> Settings:
    asked = merge_texture_size(overrides)
    chosen = merge_settings(settings, asked, TEXTURE_DEFAULTS)
    check_texture(chosen, asked)
    return unmark_defaults(chosen, [*(settings.model_fields_set if settings else ()), *asked])
