"""What a film is painted from: its frames and masks at the size that is painted, its paintings and its network."""

from dataclasses import replace
from functools import cached_property
from pathlib import Path

from impasto.films.film_job import FilmJob, fingerprint_frames
from impasto.films.film_options import FilmOptions
from impasto.films.frame_masks import FrameMask, list_film_masks, open_frame_mask
from impasto.films.frames import FrameReader, FrameSelection, Timeline, choose_frame_size, parse_time_point, scan
from impasto.films.image_sequence import open_reader
from impasto.films.prefetch import FrameCache, FrameSource, SequentialFrames, find_frame_faces
from impasto.images.guard import explain_missing_faces
from impasto.images.image import Image
from impasto.images.sizes import measure_side
from impasto.network.download import DownloadProgress
from impasto.painting.prepare import Prepared, prepare
from impasto.painting.schedule import plan_schedule
from impasto.recipes.build import build_recipe
from impasto.recipes.recipe import Recipe
from impasto.runs.inputs import read_paintings
from impasto.settings.model import Settings
from impasto.settings.types import REST_MASK


class FilmInputs:
    """A film that is scanned, and its frames and masks at the size that is painted."""

    def __init__(self, job: FilmJob, folder: Path) -> None:
        self.job: FilmJob = job
        self.options: FilmOptions = job.options
        self.folder: Path = folder
        self.reader: FrameReader = open_reader(job.source, job.options.rate)
        self.timeline: Timeline = scan(self.reader, self._selection)

    @property
    def _selection(self) -> FrameSelection:
        points = {name: text for name in ("start", "end") if (text := getattr(self.options, name).strip())}
        points = {name: parse_time_point(text, name) for name, text in points.items()}
        return FrameSelection(every=self.options.every, **points)

    @cached_property
    def size(self) -> tuple[int, int]:
        """Width and height that are painted."""
        is_even = self.job.output_kind == "film" and self.options.codec == "h264"
        settings = self.job.settings
        return choose_frame_size(self.timeline.width, self.timeline.height, settings.size, is_even, settings.fit)

    @property
    def finds_faces(self) -> bool:
        """Tell whether faces are looked for in each frame, to be kept readable."""
        settings = self.job.settings
        has_effect = settings.guard and (settings.content_weight or settings.init == "fast")
        return bool(has_effect) and not settings.guard_mask and not explain_missing_faces(settings)

    @property
    def frame_settings(self) -> Settings:
        """The settings of each frame, which has its size already."""
        settings = self.job.settings
        rule = "longest" if settings.fit == "area" else settings.fit  # a side by area is not always a whole number
        return settings.model_copy(update={"size": int(measure_side(*self.size, rule)), "fit": rule})

    def prepare(self, fetch_progress: DownloadProgress | None) -> tuple[Prepared, Recipe]:
        """Return what `prepare` makes for all frames, and the recipe.

        The paintings' colors, if matched at all, are matched to those of the whole film. Errors: as for `film`, also if
        frames are too small for the taps.
        """
        of_frames = {"mask": (), "preserve_mask": "", "guard_mask": ""}  # each frame has its own
        settings = self.job.settings.model_copy(update=of_frames)
        colors = Image(self.timeline.colors)
        paintings = read_paintings(self.job.paintings, settings, colors)
        prepared = prepare(settings, colors, paintings, fetch_progress=fetch_progress)
        plan_schedule(settings, (self.timeline.width, self.timeline.height), prepared.cell_size)
        recipe = build_recipe(
            self.job.settings,
            fingerprint_frames(self.job.source),
            self.job.paintings,
            prepared.device,
            prepared.dtype,
            fingerprint=fingerprint_frames,
        )
        return prepared, recipe

    def open_photos(self, kept_frames: int) -> FrameSource:
        """Open the frames for one reader; with several passes they are cached on disk."""
        frames: FrameSource = SequentialFrames(lambda: self._selection.apply(self.reader), *self.size, kept_frames)
        if self.options.passes == 1:
            return frames
        return FrameCache(self.folder / "photos", frames, len(self.timeline.times), bits=16)

    def open_mask(self, setting: str, name: str) -> FrameMask:
        """Open a mask for one reader; with several passes it is cached on disk."""
        number = list_film_masks(self.job.settings).index((setting, name))  # the same for each reader and process
        cache = self.folder / f"masks{number}" if self.options.passes > 1 else None
        return open_frame_mask(name, setting, self.timeline, self.size, self.options.rate, cache)

    def open_preserve_mask(self) -> FrameMask | None:
        """Open the mask of what stays as it is, for one reader."""
        name = self.job.settings.preserve_mask
        return self.open_mask("preserve_mask", name) if name else None

    def open_visible_photos(self, kept_frames: int) -> FrameSource:
        """Open the frames for one reader, without what stays as it is, and with guard maps of what stays readable."""
        photos, mask = self.open_photos(kept_frames), self.open_preserve_mask()
        visible = photos if mask is None else lambda frame: photos(frame).masked_out(mask(frame))
        if self.finds_faces:
            return find_frame_faces(visible, max(3, kept_frames))  # later passes look at both neighbors
        if not (self.job.settings.guard and self.job.settings.guard_mask):
            return visible
        guard = self.open_mask("guard_mask", self.job.settings.guard_mask)
        return lambda frame: replace(visible(frame), guard_map=guard(frame))

    def open_painting_masks(self) -> dict[str, FrameMask]:
        """Open the paintings' masks, by name, for one reader."""
        names = dict.fromkeys(self.job.settings.mask)
        return {name: self.open_mask("mask", name) for name in names if name != REST_MASK}
