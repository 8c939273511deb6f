"""Films from Python: `film` paints one, `start_film` a job, `resume_film` goes on with one that was ended."""

import json
import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError
from torch import Tensor

from impasto import api
from impasto.errors import PictureError, UsageError
from impasto.jobs import Run
from impasto.painting.style import Source
from impasto.pictures import files
from impasto.pictures.folders import unfold
from impasto.pictures.sizes import measure_side
from impasto.recipes.inputs import weigh
from impasto.recipes.storage import check_recipe_file
from impasto.settings import Settings
from impasto.values import REST
from impasto.video.clips import Choice, Reader, Timeline, choose_size, read_place, survey
from impasto.video.delivery import Delivery, check_output, folder_for, kind_of
from impasto.video.easel import PainterEasel
from impasto.video.folders import open_reader
from impasto.video.job import FilmJob, weigh_source
from impasto.video.masks import Covered, Mask, check_masks, list_masks, open_mask
from impasto.video.options import FilmOptions
from impasto.video.run import FilmRun
from impasto.video.scout import Album, Photos, Stream
from impasto.video.sequence import FilmSequence
from impasto.video.storage import Storage, find_folder, folder_of
from impasto.video.writing import check_passing_on, has_sound

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
            options=FilmOptions(**{**(options.given() if options else {}), **chosen}),
            overwrite=overwrite,
            recipe=recipe,
        )
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, fault['loc'])) or 'settings'}: {fault['msg']}" for fault in error.errors()]
        raise UsageError("; ".join(faults)) from None
    return start_film(job)


def start_film(job: FilmJob, fetch_progress: api.FetchProgress | None = None) -> FilmRun:
    """Look through the film, check that the job can be done, and return its FilmRun. Errors as for `film`."""
    paintings, settings = unfold(job.paintings, job.settings)
    job = job.model_copy(update={"paintings": tuple(paintings), "settings": settings}).anchored()
    inputs = job.list_inputs()
    check_output(job.output, inputs, None, job.overwrite, False)
    if kind_of(job.output) == "pictures" and job.gives_frames and folder_for(job.output) == folder_for(job.source):
        raise UsageError(f"{job.output} is in the folder that the frames come from: choose another folder")
    if job.recipe_file:
        check_recipe_file(job.recipe_file, inputs=inputs, overwrite=job.overwrite)
    check_masks(job.settings, len(job.paintings))
    reader, timeline = _look_through(job)
    for option, name in list_masks(job.settings):
        open_mask(name, option, timeline, (timeline.width, timeline.height), job.options.rate)
    notes = _check_sound(job, reader)
    check_output(job.output, inputs, len(timeline.times), job.overwrite, timeline.transparent)
    storage = Storage(folder_of(job.output))
    gathered = _gather(job, timeline, fetch_progress)
    if job.overwrite and storage.folder.is_dir():
        storage.clear()
    plan = {
        "film": 1,
        "job": job.model_dump(mode="json"),
        "inputs": job.digest_inputs(),
        "painted_with": gathered.recipe().painted_with.model_dump(),
    }
    storage.create(json.dumps(plan))
    return _assemble(job, reader, timeline, storage, gathered, notes)


def resume_film(path: PathLike, fetch_progress: api.FetchProgress | None = None) -> FilmRun:
    """Go on with a film that was begun: `path` is where it goes, or the folder beside it in which it is kept.

    On the same machine it becomes the film that it would have been. Errors: UsageError where no film was begun;
    PictureError where its files have changed, are damaged, or another program is painting it.

    Example:
        for step in impasto.resume_film("painted.mp4"):
            print(step.frame)
    """
    storage = Storage(find_folder(Path(path)))
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
        reader, timeline = _look_through(job)
        gathered = _gather(job, timeline, fetch_progress)
        here, before = gathered.recipe().painted_with.model_dump(), plan["painted_with"]
        changed = [f"{name} {before.get(name)}, here {here[name]}" for name in here if here[name] != before.get(name)]
        notes = [f"begun with {'; '.join(changed)}: the rest may come out a little different"] if changed else []
        return _assemble(job, reader, timeline, storage, gathered, notes, plan.get("unfinished"))
    except BaseException:
        storage.release()
        raise


def start_shot(folder: Path, frames: range, fetch_progress: api.FetchProgress | None = None) -> FilmSequence:
    """Paint one shot of a film that `start_film` has begun and holds: an iterator of FrameSteps, kept in its folder.

    Errors: PictureError where the folder can't be read.
    """
    storage = Storage(folder, shot=frames.start)
    job = FilmJob.model_validate(storage.open()["job"])
    reader, timeline = _look_through(job)
    gathered = _gather(job, timeline, fetch_progress)
    return _assemble(job, reader, timeline, storage, gathered, [], only=frames).sequence


class _Nobody:
    """Who paints a shot shows it to nobody: the film is written by who has them all."""

    def show(self, turn: int, frame: int, picture: Tensor, photo: Source) -> None:
        """Show nothing."""


def _look_through(job: FilmJob) -> tuple[Reader, Timeline]:
    reader = open_reader(job.source, job.options.rate)
    return reader, survey(reader, _choose(job.options))


def _choose(options: FilmOptions) -> Choice:
    places = {
        name: read_place(text, f"--{name}") for name in ("start", "end") if (text := getattr(options, name).strip())
    }
    return Choice(every=options.every, **places)


def _gather(job: FilmJob, timeline: Timeline, fetch_progress: api.FetchProgress | None) -> Run:
    """Load the network and read the paintings, whose colours are matched, if at all, to all of the film's."""
    colors = files.to_image(timeline.colors)
    settings = job.settings.model_copy(update={"mask": (), "keep_mask": ""})  # those are the frames'
    return api.start(colors, [*job.paintings], settings=settings, fetch_progress=fetch_progress)


def _assemble(
    job: FilmJob,
    reader: Reader,
    timeline: Timeline,
    storage: Storage,
    gathered: Run,
    notes: list[str],
    unfinished: str | None = None,
    only: range | None = None,
) -> FilmRun:
    options, kind = job.options, kind_of(job.output)
    even, rule = kind == "film" and options.codec == "h264", job.settings.fit
    width, height = choose_size(timeline.width, timeline.height, job.settings.size, even, rule)
    rule = "longest" if rule == "area" else rule  # whose side is no whole number
    settings = job.settings.model_copy(update={"size": int(measure_side(width, height, rule)), "fit": rule})
    sources = _Sources(reader, timeline, (width, height), options, storage.folder)
    shown = sources.open_photos(1)
    photos = sources.open_photos(1 + max(options.look_back))
    if settings.keep_mask:
        photos = Covered(photos, sources.open("--keep-mask", settings.keep_mask))
    sound = reader.sound if options.sound and kind == "film" and reader.sound and has_sound(reader.sound) else None
    first = timeline.times[0]
    origin = first if options.start or not sound else min(first, getattr(reader, "begin", first))
    delivery = Delivery(
        job.output,
        timeline,
        settings,
        options,
        storage,
        shown,
        clock=reader.clock,
        sound=sound,
        origin=Fraction(origin),
        overwrite=job.overwrite or _is_own(job.output, unfinished),
        save_every=job.save_every,
        keep=sources.open("--keep-mask", settings.keep_mask) if settings.keep_mask else None,
    )
    places = {name: sources.open("--mask", name) for name in dict.fromkeys(settings.mask) if name != REST}
    sequence = FilmSequence(
        PainterEasel(gathered.painter, settings, places),
        photos,
        len(timeline.times),
        (width, height),
        () if options.cuts == "none" else timeline.cuts,
        options,
        storage,
        delivery if only is None else _Nobody(),
        repeating=not places,
        only=only,
    )
    recipe = gathered.recipe().model_copy(update={"photo": weigh_source(job)})
    return FilmRun(job, sequence, delivery, storage, recipe, [*reader.notes, *gathered.notes, *notes])


class _Sources:
    """The frames and masks of a film at their size, each opened for one user alone; in albums if in any order."""

    def __init__(
        self, reader: Reader, timeline: Timeline, size: tuple[int, int], options: FilmOptions, folder: Path
    ) -> None:
        self.reader, self.timeline, self.size, self.options, self.folder = reader, timeline, size, options, folder
        self.albums: dict[str, int] = {}

    def open_photos(self, kept: int) -> Photos:
        """Open the frames, of which the last few are kept."""
        choice = _choose(self.options)
        photos: Photos = Stream(lambda: choice.of(self.reader), *self.size, kept)
        if self.options.passes == 1:
            return photos
        return Album(self.folder / "photos", photos, len(self.timeline.times), bits=16)

    def open(self, option: str, name: str) -> Mask:
        """Open a mask."""
        number = self.albums.setdefault(name, len(self.albums))
        album = self.folder / f"masks{number}" if self.options.passes > 1 else None
        return open_mask(name, option, self.timeline, self.size, self.options.rate, album)


def _check_sound(job: FilmJob, reader: Reader) -> list[str]:
    """Say where sound is lost, or raise UsageError where it need not be."""
    if reader.sound is None or not job.options.sound or not has_sound(reader.sound):
        return []
    if kind_of(job.output) == "film":
        check_passing_on(reader.sound, job.output)
        return []
    return [f"{job.output} has no place for the sound or subtitles of {job.source}: they are left out"]


def _is_own(output: Path, digest: str | None) -> bool:
    """Tell whether a file is the unfinished film that was written when its painting was stopped."""
    return bool(digest) and output.is_file() and weigh(output).sha256 == digest
