"""Films from Python: `film` paints one, `start_film` a job, `resume_film` goes on with one that was ended."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError
from torch import Tensor

from impasto.errors import PictureError, UsageError
from impasto.films.encoder import check_sound_fits, has_sound
from impasto.films.film_job import FilmJob
from impasto.films.film_options import FilmOptions
from impasto.films.film_output import FilmOutput, check_film_output, choose_output_kind
from impasto.films.film_run import FilmRun
from impasto.films.frame_masks import FrameMask, check_film_masks, list_film_masks, open_frame_mask
from impasto.films.frame_painter import FramePainter
from impasto.films.frames import FrameReader, FrameSelection, Timeline, choose_frame_size, parse_time_point, scan
from impasto.films.image_sequence import find_frame_folder, has_frame_files, open_reader
from impasto.films.prefetch import FrameCache, FrameSource, SequentialFrames
from impasto.films.sequence import FilmSequence
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
from impasto.settings.model import Settings
from impasto.settings.types import REST_MASK

PathLike = str | os.PathLike[str]


def film(
    source: PathLike,
    paintings: PathLike | Sequence[PathLike],
    *,
    output: PathLike,
    overwrite: bool = False,
    recipe: Literal["embed", "none"] = "embed",
    settings: Settings | None = None,
    options: FilmOptions | None = None,
    **overrides: Any,
) -> FilmRun:
    """Repaint a film in the style of one or more paintings; it is painted as the FilmRun is iterated over.

    `source` and `output` are a film, a GIF, animated WebP or PNG, a folder of frames or a pattern such as
    "frames/%04d.png". Keywords named like settings or film options win over `settings` and `options`. The FrameSteps
    say which frame is painted; with the last one the film is written.

    Errors: UsageError for a wrong setting or argument; PictureError, NetworkError; DivergedError.

    Example:
        for step in impasto.film("film.mp4", "painting.jpg", output="painted.mp4", size=320):
            print(step.frame, step.frames)
    """
    chosen = {name: overrides.pop(name) for name in [*overrides] if name in FilmOptions.model_fields}
    listed = [*paintings] if isinstance(paintings, list | tuple) else [paintings]
    try:
        job = FilmJob(
            source=Path(source),
            paintings=tuple(Path(painting) for painting in listed),  # type: ignore[arg-type]
            output=Path(output),
            settings=Settings(**{**(settings.model_dump(exclude_unset=True) if settings else {}), **overrides}),
            options=FilmOptions(**{**(options.list_given() if options else {}), **chosen}),
            overwrite=overwrite,
            recipe=recipe,
        )
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, fault['loc'])) or 'settings'}: {fault['msg']}" for fault in error.errors()]
        raise UsageError("; ".join(faults)) from None
    return start_film(job)


def start_film(job: FilmJob, fetch_progress: DownloadProgress | None = None) -> FilmRun:
    """Look through the film, check that the job can be done, and return its FilmRun. Errors as for `film`."""
    paintings, settings = expand_folders(job.paintings, job.settings)
    job = job.model_copy(update={"paintings": tuple(paintings), "settings": settings}).relocate(Path.absolute)
    inputs = job.list_inputs()
    check_film_output(job.output, inputs, None, job.overwrite, False)
    if (
        choose_output_kind(job.output) == "images"
        and has_frame_files(job.source)
        and find_frame_folder(job.output) == find_frame_folder(job.source)
    ):
        raise UsageError(f"{job.output} is in the folder of the frames: choose another folder", setting="output")
    if job.recipe_file:
        check_recipe_file(job.recipe_file, inputs=inputs, overwrite=job.overwrite)
    check_film_masks(job.settings, len(job.paintings))
    reader, timeline = _scan_source(job)
    for option, name in list_film_masks(job.settings):
        open_frame_mask(name, option, timeline, (timeline.width, timeline.height), job.options.rate)
    notes = _check_sound(job, reader)
    check_film_output(job.output, inputs, len(timeline.times), job.overwrite, timeline.has_transparency)
    storage = WorkFolder(name_work_folder(job.output))
    prepared, recipe = _prepare_job(job, timeline, fetch_progress)
    if job.overwrite and storage.folder.is_dir():
        storage.delete_previous()
    plan = {
        "film": 1,
        "job": job.model_dump(mode="json"),
        "inputs": job.digest_inputs(),
        "painted_with": recipe.painted_with.model_dump(),
    }
    storage.create(plan)
    return _build_run(job, reader, timeline, storage, prepared, recipe, notes)


def resume_film(path: PathLike, fetch_progress: DownloadProgress | None = None) -> FilmRun:
    """Go on with a film that was begun: `path` is where it goes, or the folder beside it in which it is kept.

    On the same machine it becomes the film that it would have been. Errors: UsageError where no film was begun;
    PictureError where its files have changed, are damaged, or another program is painting it.

    Example:
        for step in impasto.resume_film("painted.mp4"):
            print(step.frame)
    """
    storage = WorkFolder(find_work_folder(Path(path)))
    plan = storage.open()
    try:
        try:
            job = FilmJob.model_validate(plan["job"])
        except (KeyError, ValidationError) as error:
            raise PictureError(
                f"{storage.folder} was begun by another impasto, or is damaged: begin again with --overwrite ({error})"
            ) from None
        for name, digest in job.digest_inputs().items():
            if plan["inputs"].get(name) != digest:
                raise PictureError(f"{name} has changed since the film was begun: begin it again with --overwrite")
        reader, timeline = _scan_source(job)
        prepared, recipe = _prepare_job(job, timeline, fetch_progress)
        here, before = recipe.painted_with.model_dump(), plan["painted_with"]
        changed = [f"{name} {before.get(name)}, here {here[name]}" for name in here if here[name] != before.get(name)]
        notes = [f"begun with {'; '.join(changed)}: the rest may come out a little different"] if changed else []
        return _build_run(job, reader, timeline, storage, prepared, recipe, notes, plan.get("unfinished"))
    except BaseException:
        storage.release()
        raise


def start_shot(folder: Path, frames: range, fetch_progress: DownloadProgress | None = None) -> FilmSequence:
    """Paint one shot of a film that `start_film` has begun and holds: an iterator of FrameSteps, kept in its folder.

    Errors: PictureError where the folder can't be read.
    """
    storage = WorkFolder(folder, shot=frames.start)
    job = FilmJob.model_validate(storage.open()["job"])
    reader, timeline = _scan_source(job)
    prepared, recipe = _prepare_job(job, timeline, fetch_progress)
    return _build_run(job, reader, timeline, storage, prepared, recipe, [], only=frames).sequence


class NullSink:
    """Who paints a shot shows it to nobody: the film is written by who has them all."""

    def show_frame(self, turn: int, frame: int, picture: Tensor, photo: Image) -> None:
        """Show nothing."""


def _scan_source(job: FilmJob) -> tuple[FrameReader, Timeline]:
    reader = open_reader(job.source, job.options.rate)
    return reader, scan(reader, _make_selection(job.options))


def _make_selection(options: FilmOptions) -> FrameSelection:
    places = {
        name: parse_time_point(text, name) for name in ("start", "end") if (text := getattr(options, name).strip())
    }
    return FrameSelection(every=options.every, **places)


def _prepare_job(job: FilmJob, timeline: Timeline, fetch_progress: DownloadProgress | None) -> tuple[Prepared, Recipe]:
    """Load the network and read the paintings, whose colors are matched, if at all, to all of the film's.

    Errors: as for `film`, also where the frames are too small for the taps.
    """
    settings = job.settings.model_copy(update={"mask": (), "preserve_mask": ""})  # each frame has its own
    colors = Image(timeline.colors)
    prepared = prepare(settings, colors, read_paintings(job.paintings, settings, colors), None, fetch_progress)
    plan_schedule(settings, (timeline.width, timeline.height), prepared.cell_size)
    recipe = build_recipe(settings, job.fingerprint_source(), job.paintings, prepared.device, prepared.dtype)
    return prepared, recipe


def _build_run(
    job: FilmJob,
    reader: FrameReader,
    timeline: Timeline,
    storage: WorkFolder,
    prepared: Prepared,
    recipe: Recipe,
    notes: list[str],
    unfinished: str | None = None,
    only: range | None = None,
) -> FilmRun:
    options, kind = job.options, choose_output_kind(job.output)
    even, rule = kind == "film" and options.codec == "h264", job.settings.fit
    width, height = choose_frame_size(timeline.width, timeline.height, job.settings.size, even, rule)
    rule = "longest" if rule == "area" else rule  # whose side is no whole number
    settings = job.settings.model_copy(update={"size": int(measure_side(width, height, rule)), "fit": rule})
    sources = _FilmInputs(reader, timeline, (width, height), options, storage.folder)
    shown = sources.open_photos(1)
    photos = sources.open_photos(1 + max(options.look_back))
    preserve = shown_preserve = None
    if settings.preserve_mask:
        preserve, shown_preserve = (sources.open_mask("preserve_mask", settings.preserve_mask) for _ in range(2))
    delivery = FilmOutput(job, reader, timeline, storage, shown, shown_preserve)
    delivery.overwrite = job.overwrite or _is_own_output(job.output, unfinished)
    places = {name: sources.open_mask("mask", name) for name in dict.fromkeys(settings.mask) if name != REST_MASK}
    sequence = FilmSequence(
        FramePainter(prepared, settings, places),
        photos if preserve is None else lambda frame: photos(frame).masked_out(preserve(frame)),
        len(timeline.times),
        (width, height),
        () if options.cuts == "none" else timeline.cuts,
        options,
        storage,
        delivery if only is None else NullSink(),
        repeating=not places,
        only=only,
    )
    return FilmRun(job, sequence, delivery, storage, recipe, [*reader.notes, *prepared.notes, *notes])


class _FilmInputs:
    """The frames and masks of a film at their size, each opened for one user alone; in albums if in any order."""

    def __init__(
        self, reader: FrameReader, timeline: Timeline, size: tuple[int, int], options: FilmOptions, folder: Path
    ) -> None:
        self.reader, self.timeline, self.size, self.options, self.folder = reader, timeline, size, options, folder
        self.caches: dict[str, int] = {}

    def open_photos(self, kept: int) -> FrameSource:
        """Open the frames, of which the last few are kept."""
        choice = _make_selection(self.options)
        photos: FrameSource = SequentialFrames(lambda: choice.apply(self.reader), *self.size, kept)
        if self.options.passes == 1:
            return photos
        return FrameCache(self.folder / "photos", photos, len(self.timeline.times), bits=16)

    def open_mask(self, option: str, name: str) -> FrameMask:
        """Open a mask."""
        number = self.caches.setdefault(name, len(self.caches))
        album = self.folder / f"masks{number}" if self.options.passes > 1 else None
        return open_frame_mask(name, option, self.timeline, self.size, self.options.rate, album)


def _check_sound(job: FilmJob, reader: FrameReader) -> list[str]:
    """Say where sound is lost, or raise UsageError where it need not be."""
    if reader.sound_path is None or not job.options.sound or not has_sound(reader.sound_path):
        return []
    if choose_output_kind(job.output) == "film":
        check_sound_fits(reader.sound_path, job.output)
        return []
    return [f"{job.output} has no place for the sound or subtitles of {job.source}: they are left out"]


def _is_own_output(output: Path, digest: str | None) -> bool:
    """Tell whether a file is the unfinished film that was written when its painting was stopped."""
    return bool(digest) and output.is_file() and fingerprint_file(output).sha256 == digest
