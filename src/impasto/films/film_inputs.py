"""What a film is painted from: its frames and masks at the size that is painted, its paintings and its network."""

from functools import cached_property
from pathlib import Path

from impasto.films.film_job import FilmJob
from impasto.films.film_options import FilmOptions
from impasto.films.frame_masks import FrameMask, open_frame_mask
from impasto.films.frames import FrameReader, FrameSelection, Timeline, choose_frame_size, parse_time_point, scan
from impasto.films.image_sequence import open_reader
from impasto.films.prefetch import FrameCache, FrameSource, SequentialFrames, guard_frames
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
        self._cache_numbers: dict[str, int] = {}

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
    def has_guard(self) -> bool:
        """Tell whether frames get guard maps."""
        return self.job.settings.guard > 0 and not explain_missing_faces(self.job.settings)

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
        settings = self.job.settings.model_copy(
            update={"mask": (), "preserve_mask": "", "guard_mask": ""}
        )  # each frame has its own
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

    def open_visible_photos(self, kept_frames: int) -> FrameSource:
        """Open the frames for one reader; what stays as it is, is transparent, and faces are in the guard map."""
        photos, mask = self.open_photos(kept_frames), self.open_preserve_mask()
        visible = photos if mask is None else lambda frame: photos(frame).masked_out(mask(frame))
        if not self.has_guard:
            return visible
        name = self.job.settings.guard_mask
        return guard_frames(visible, self.open_mask("guard_mask", name) if name else None, kept_frames)

    def open_painting_masks(self) -> dict[str, FrameMask]:
        """Open the paintings' masks, by name, for one reader."""
        names = dict.fromkeys(self.job.settings.mask)
        return {name: self.open_mask("mask", name) for name in names if name != REST_MASK}
