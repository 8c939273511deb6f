"""Films from Python: `film` paints one, `start_film` starts a job, `resume_film` continues an unfinished film."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from impasto.errors import PictureError, UsageError
from impasto.films.encoder import check_sound_fits
from impasto.films.film_inputs import FilmInputs
from impasto.films.film_job import FilmJob
from impasto.films.film_options import MOTION_GROUP, USED_IN_ONE_PASS, FilmOptions
from impasto.films.film_output import FilmOutput, check_film_output
from impasto.films.film_run import FilmRun
from impasto.films.frame_masks import check_film_masks, list_film_masks, open_frame_mask
from impasto.films.image_sequence import find_frame_folder, has_frame_files
from impasto.films.sequence import FilmSequence
from impasto.films.work_folder import WorkFolder, find_work_folder, name_work_folder
from impasto.images.guard import explain_missing_faces, load_detector
from impasto.network.download import DownloadProgress
from impasto.painting.prepare import Prepared
from impasto.recipes.files import check_recipe_file
from impasto.recipes.locate import fingerprint_file
from impasto.recipes.recipe import Recipe
from impasto.runs.job import RecipeMode, check_recipe_mode
from impasto.settings.changes import merge_settings
from impasto.settings.dependencies import note_unused
from impasto.settings.model import Settings
from impasto.settings.parsing import drop_unused, list_schemas, parse_options
from impasto.settings.presets import FILM_DEFAULTS

PathLike = str | os.PathLike[str]


def film(
    source: PathLike,
    paintings: PathLike | Sequence[PathLike],
    *,
    output: PathLike,
    overwrite: bool = False,
    recipe: RecipeMode = "embed",
    settings: Settings | None = None,
    options: FilmOptions | None = None,
    **overrides: Any,
) -> FilmRun:
    """Repaint a film in the style of one or more paintings. The FilmRun paints as it is iterated over.

    `source` and `output` are each a film, a GIF, animated WebP or PNG, a folder of frames or a pattern such as
    "frames/%04d.png". Keywords named like settings or film options win over `settings` and `options`. After the last
    FrameStep, the film is written.

    Errors: UsageError for a wrong setting or argument; PictureError, NetworkError; DivergedError.

    Example:
        for step in impasto.film("film.mp4", "painting.jpg", output="painted.mp4", size=320):
            print(step.frame, step.frames)
    """
    listed = paintings if isinstance(paintings, list | tuple) else [paintings]
    if not listed:
        raise UsageError("Give at least one painting.")
    check_recipe_mode(recipe)
    chosen = {name: overrides.pop(name) for name in [*overrides] if name in FilmOptions.model_fields}
    job = FilmJob(
        source=Path(source),
        paintings=tuple(map(Path, listed)),
        output=Path(output),
        settings=merge_settings(settings, overrides, FILM_DEFAULTS),
        options=parse_options(FilmOptions, {**(options.list_given() if options else {}), **chosen}),
        overwrite=overwrite,
        recipe=recipe,
    )
    return start_film(job)


def start_film(job: FilmJob, fetch_progress: DownloadProgress | None = None) -> FilmRun:
    """Scan the film, check that the job can be done, and return its FilmRun. Errors as for `film`."""
    job = job.expand_folders().relocate(Path.absolute)
    _check_job(job)
    job, unused = _drop_unused(job)
    work_folder = WorkFolder(name_work_folder(job.output))
    inputs = FilmInputs(job, work_folder.folder)
    notes = [*job.notes, *_check_film(inputs), *unused]
    prepared, recipe = inputs.prepare(fetch_progress)
    plan = {
        "film": 1,
        "job": job.model_dump(mode="json"),
        "inputs": job.digest_inputs(),
        "painted_with": recipe.painted_with.model_dump(),
    }
    work_folder.create(plan, job.overwrite)
    return _build_run(inputs, prepared, recipe, work_folder, notes)


def resume_film(path: PathLike, fetch_progress: DownloadProgress | None = None) -> FilmRun:
    """Continue an unfinished film; `path` is its output, or its work folder.

    On the same machine the film becomes the same as without the interruption. Errors: UsageError if no film was begun
    there; PictureError if its files have changed, are damaged, or another program is painting it.

    Example:
        for step in impasto.resume_film("painted.mp4"):
            print(step.frame)
    """
    work_folder = WorkFolder(find_work_folder(Path(path)))
    plan = work_folder.open()
    try:
        job = _read_job(plan, work_folder.folder)
        for name, digest in job.digest_inputs().items():
            if plan["inputs"].get(name) != digest:
                raise PictureError(f"{name} has changed since the film was begun: begin it again with `overwrite`")
        inputs = FilmInputs(job, work_folder.folder)
        prepared, recipe = inputs.prepare(fetch_progress)
        here, before = recipe.painted_with.model_dump(), plan["painted_with"]
        changed = [f"{name} {before.get(name)}, here {here[name]}" for name in here if here[name] != before.get(name)]
        notes = [f"begun with {'; '.join(changed)}: the rest may come out slightly different"] if changed else []
        return _build_run(inputs, prepared, recipe, work_folder, notes, plan.get("unfinished"))
    except BaseException:
        work_folder.release()
        raise


def start_shot(folder: Path, frames: range, fetch_progress: DownloadProgress | None = None) -> FilmSequence:
    """Return the steps that paint one shot of a film that `start_film` has begun; its frames are kept in its folder.

    Errors: PictureError if the folder can't be read.
    """
    work_folder = WorkFolder(folder, shot=frames.start)
    inputs = FilmInputs(_read_job(work_folder.open(), folder), folder)
    prepared, _ = inputs.prepare(fetch_progress)
    return FilmSequence(inputs, prepared, work_folder, None, frames)


def _check_job(job: FilmJob) -> None:
    """Raise what can be known before the film is read."""
    check_film_output(job, None, has_transparency=False)
    is_same_folder = find_frame_folder(job.output) == find_frame_folder(job.source)
    if job.output_kind == "images" and has_frame_files(job.source) and is_same_folder:
        raise UsageError(f"{job.output} is in the folder of the frames: choose another folder", setting="output")
    if job.recipe_file:
        check_recipe_file(job.recipe_file, inputs=job.list_inputs(), overwrite=job.overwrite)
    check_film_masks(job.settings, len(job.paintings))


def _read_job(plan: dict[str, Any], folder: Path) -> FilmJob:
    try:
        return FilmJob.model_validate(plan["job"])
    except (KeyError, ValidationError) as error:
        raise PictureError(
            f"{folder} was begun by another impasto, or is damaged: begin again with `overwrite` ({error})"
        ) from None


def _drop_unused(job: FilmJob) -> tuple[FilmJob, list[str]]:
    """Return the job without the settings and options that one pass does not use, and notes on them."""
    settings, notes = drop_unused(job.settings)
    given, schemas = job.options.list_given() if settings.is_one_pass else {}, list_schemas(FilmOptions)
    unused = [name for name in given if schemas[name]["group"] == MOTION_GROUP and name not in USED_IN_ONE_PASS]
    usual = {name: FilmOptions.model_fields[name].default for name in unused}
    options = job.options.model_copy(update=usual)
    return job.model_copy(update={"settings": settings, "options": options}), notes + note_unused(unused)


def _check_film(inputs: FilmInputs) -> list[str]:
    """Raise what would go wrong at the end; return notes on what is lost. Errors as for `film`."""
    job, timeline, sound = inputs.job, inputs.timeline, inputs.reader.sound_path
    if inputs.finds_faces:
        load_detector()
    for setting, name in list_film_masks(job.settings):
        open_frame_mask(name, setting, timeline, (timeline.width, timeline.height), job.options.rate)
    check_film_output(job, len(timeline.times), timeline.has_transparency)
    if sound is None or not job.options.sound:
        return []
    if job.output_kind == "film":
        check_sound_fits(sound, job.output)
        return []
    return [f"{job.output} can't hold the sound or subtitles of {job.source}: they are left out"]


def _build_run(
    inputs: FilmInputs,
    prepared: Prepared,
    recipe: Recipe,
    work_folder: WorkFolder,
    notes: list[str],
    unfinished: str | None = None,
) -> FilmRun:
    """Build the run; `unfinished` is the digest of the unfinished film that may be at the output."""
    output = FilmOutput(inputs, work_folder)
    if unfinished and output.path.is_file():
        output.overwrite |= fingerprint_file(output.path).sha256 == unfinished
    sequence = FilmSequence(inputs, prepared, work_folder, output.show_frame)
    missing = explain_missing_faces(inputs.job.settings)
    notes = [*inputs.reader.notes, *prepared.notes, *notes, *([missing] if missing else [])]
    return FilmRun(inputs.job, sequence, output, work_folder, recipe, notes)
