"""Films from Python: `film` paints one, `start_film` starts a job, `resume_film` continues an unfinished film."""

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from impasto.errors import PictureError, UsageError
from impasto.films.encoder import check_sound_fits
from impasto.films.film_job import FilmJob
from impasto.films.film_options import FilmOptions
from impasto.films.film_output import FilmOutput, check_film_output, choose_output_kind
from impasto.films.film_run import FilmRun
from impasto.films.frame_masks import FrameMask, check_film_masks, list_film_masks, open_frame_mask
from impasto.films.frames import FrameSelection, choose_frame_size, parse_time_point, scan
from impasto.films.image_sequence import find_frame_folder, has_frame_files, open_reader
from impasto.films.prefetch import FrameCache, FrameSource, SequentialFrames
from impasto.films.sequence import FilmSequence, FramePainter, FrameSink
from impasto.films.work_folder import WorkFolder, find_work_folder, name_work_folder
from impasto.images.folders import expand_folders
from impasto.images.image import Image
from impasto.images.sizes import measure_side
from impasto.network.download import DownloadProgress
from impasto.painting.prepare import Prepared, prepare
from impasto.painting.schedule import plan_schedule
from impasto.recipes.build import build_recipe
from impasto.recipes.files import check_recipe_file
from impasto.recipes.locate import fingerprint_file
from impasto.recipes.recipe import Recipe
from impasto.runs.inputs import read_paintings
from impasto.runs.job import RecipeMode, check_recipe_mode
from impasto.settings.changes import merge_settings
from impasto.settings.model import Settings
from impasto.settings.parsing import parse_options
from impasto.settings.types import REST_MASK

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
        settings=merge_settings(settings, overrides),
        options=parse_options(FilmOptions, {**(options.list_given() if options else {}), **chosen}),
        overwrite=overwrite,
        recipe=recipe,
    )
    return start_film(job)


def start_film(job: FilmJob, fetch_progress: DownloadProgress | None = None) -> FilmRun:
    """Scan the film, check that the job can be done, and return its FilmRun. Errors as for `film`."""
    paintings, settings = expand_folders(job.paintings, job.settings)
    job = job.model_copy(update={"paintings": tuple(paintings), "settings": settings}).relocate(Path.absolute)
    _check_job(job)
    work_folder = WorkFolder(name_work_folder(job.output))
    inputs = _FilmInputs(job, work_folder.folder)
    notes = inputs.check()
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
        inputs = _FilmInputs(job, work_folder.folder)
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
    inputs = _FilmInputs(_read_job(work_folder.open(), folder), folder)
    return _build_sequence(inputs, inputs.prepare(fetch_progress)[0], work_folder, None, frames)


def _check_job(job: FilmJob) -> None:
    """Raise what can be known before the film is read."""
    paths = job.list_inputs()
    check_film_output(job.output, paths, None, job.overwrite, False)
    is_same_folder = find_frame_folder(job.output) == find_frame_folder(job.source)
    if choose_output_kind(job.output) == "images" and has_frame_files(job.source) and is_same_folder:
        raise UsageError(f"{job.output} is in the folder of the frames: choose another folder", setting="output")
    if job.recipe_file:
        check_recipe_file(job.recipe_file, inputs=paths, overwrite=job.overwrite)
    check_film_masks(job.settings, len(job.paintings))


def _read_job(plan: dict[str, Any], folder: Path) -> FilmJob:
    try:
        return FilmJob.model_validate(plan["job"])
    except (KeyError, ValidationError) as error:
        raise PictureError(
            f"{folder} was begun by another impasto, or is damaged: begin again with `overwrite` ({error})"
        ) from None


class _FilmInputs:
    """A film that is scanned, and its frames and masks at the size that is painted."""

    def __init__(self, job: FilmJob, folder: Path) -> None:
        self.job, self.options, self.folder = job, job.options, folder
        self.reader = open_reader(job.source, job.options.rate)
        self.timeline = scan(self.reader, self._selection)
        self._cache_numbers: dict[str, int] = {}

    @property
    def _selection(self) -> FrameSelection:
        points = {name: text for name in ("start", "end") if (text := getattr(self.options, name).strip())}
        points = {name: parse_time_point(text, name) for name, text in points.items()}
        return FrameSelection(every=self.options.every, **points)

    @cached_property
    def size(self) -> tuple[int, int]:
        """Width and height that are painted."""
        is_even = choose_output_kind(self.job.output) == "film" and self.options.codec == "h264"
        settings = self.job.settings
        return choose_frame_size(self.timeline.width, self.timeline.height, settings.size, is_even, settings.fit)

    @property
    def frame_settings(self) -> Settings:
        """The settings of each frame, which has its size already."""
        settings = self.job.settings
        rule = "longest" if settings.fit == "area" else settings.fit  # a side by area is not always a whole number
        return settings.model_copy(update={"size": int(measure_side(*self.size, rule)), "fit": rule})

    def check(self) -> list[str]:
        """Raise what would go wrong at the end; return notes on what is lost. Errors as for `film`."""
        job, timeline, sound = self.job, self.timeline, self.reader.sound_path
        for setting, name in list_film_masks(job.settings):
            open_frame_mask(name, setting, timeline, (timeline.width, timeline.height), job.options.rate)
        count = len(timeline.times)
        check_film_output(job.output, job.list_inputs(), count, job.overwrite, timeline.has_transparency)
        if sound is None or not job.options.sound:
            return []
        if choose_output_kind(job.output) == "film":
            check_sound_fits(sound, job.output)
            return []
        return [f"{job.output} can't hold the sound or subtitles of {job.source}: they are left out"]

    def prepare(self, fetch_progress: DownloadProgress | None) -> tuple[Prepared, Recipe]:
        """Load the network, and match the paintings' colors, if at all, to those of the whole film.

        Errors: as for `film`, also if frames are too small for the taps.
        """
        settings = self.job.settings.model_copy(update={"mask": (), "preserve_mask": ""})  # each frame has its own
        colors = Image(self.timeline.colors)
        paintings = read_paintings(self.job.paintings, settings, colors)
        prepared = prepare(settings, colors, paintings, fetch_progress=fetch_progress)
        plan_schedule(settings, (self.timeline.width, self.timeline.height), prepared.cell_size)
        source = self.job.fingerprint_source()
        return prepared, build_recipe(settings, source, self.job.paintings, prepared.device, prepared.dtype)

    def open_photos(self, kept_frames: int) -> FrameSource:
        """Open the frames for one reader; with several passes they are cached on disk."""
        frames: FrameSource = SequentialFrames(lambda: self._selection.apply(self.reader), *self.size, kept_frames)
        if self.options.passes == 1:
            return frames
        return FrameCache(self.folder / "photos", frames, len(self.timeline.times), bits=16)

    def open_mask(self, setting: str, name: str) -> FrameMask:
        """Open a mask for one reader; with several passes it is cached on disk."""
        number = self._cache_numbers.setdefault(name, len(self._cache_numbers))
        cache = self.folder / f"masks{number}" if self.options.passes > 1 else None
        return open_frame_mask(name, setting, self.timeline, self.size, self.options.rate, cache)

    def open_preserve_mask(self) -> FrameMask | None:
        """Open the mask of what stays as it is, for one reader."""
        name = self.job.settings.preserve_mask
        return self.open_mask("preserve_mask", name) if name else None


def _build_run(
    inputs: _FilmInputs,
    prepared: Prepared,
    recipe: Recipe,
    work_folder: WorkFolder,
    notes: list[str],
    unfinished: str | None = None,
) -> FilmRun:
    """Build the run; `unfinished` is the digest of the unfinished film that may be at the output."""
    photos, preserve_mask = inputs.open_photos(1), inputs.open_preserve_mask()
    output = FilmOutput(inputs.job, inputs.reader, inputs.timeline, work_folder, photos, preserve_mask)
    if unfinished and inputs.job.output.is_file():
        output.overwrite |= fingerprint_file(inputs.job.output).sha256 == unfinished
    sequence = _build_sequence(inputs, prepared, work_folder, output.show_frame)
    return FilmRun(inputs.job, sequence, output, work_folder, recipe, [*inputs.reader.notes, *prepared.notes, *notes])


def _build_sequence(
    inputs: _FilmInputs,
    prepared: Prepared,
    work_folder: WorkFolder,
    sink: FrameSink | None,
    frames: range | None = None,
) -> FilmSequence:
    photos, preserve_mask = inputs.open_photos(1 + max(inputs.options.look_back)), inputs.open_preserve_mask()
    visible = photos if preserve_mask is None else lambda frame: photos(frame).masked_out(preserve_mask(frame))
    settings = inputs.frame_settings
    names = [name for name in dict.fromkeys(settings.mask) if name != REST_MASK]
    masks = {name: inputs.open_mask("mask", name) for name in names}
    painter = FramePainter(prepared, settings, masks)
    return FilmSequence(painter, visible, inputs.timeline, inputs.size, inputs.options, work_folder, sink, frames)
