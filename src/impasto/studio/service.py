"""What the page and programs ask for: checked, and passed on to the queue."""

import functools
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from fastapi import Body
from pydantic import BaseModel, ConfigDict, Field

from impasto.errors import ImpastoError, UsageError
from impasto.images.guard import SEARCHED_SIDE
from impasto.images.image import Image
from impasto.images.read import read_image
from impasto.painting.model_cache import ModelCache
from impasto.recipes.files import read_recipe
from impasto.recipes.locate import locate_files
from impasto.recipes.recipe import Recipe
from impasto.runs.start import start_job
from impasto.settings.changes import STEERABLE, check_painting_weights
from impasto.settings.model import Settings
from impasto.settings.presets import FILM_DEFAULTS
from impasto.settings.types import REST_MASK
from impasto.settings.variations import parse_variations
from impasto.studio.form import add_masks, check_settings, form_fields, given_settings
from impasto.studio.job_runner import describe_plan, make_job
from impasto.studio.masks import PAINTING_COLORS, check_brushed, read_brushed, write_faces, write_masks, write_regions
from impasto.studio.queue import JobQueue
from impasto.studio.quick_look import quick_look
from impasto.studio.store import BRUSHED_NAME, JobStore, StudioJob
from impasto.studio.uploads import Role, Upload, UploadStore, encode_jpeg, is_film, shrink

MAX_PAINTINGS = len(PAINTING_COLORS)
MAX_VARIATIONS = 12
MAX_PICTURE_SIZE = 16384
MAX_FILM_SIZE = 1280
MAX_LAST_LOOKS = 20
QUICK_INPUT_PIXELS = 320  # longer side


class Composition(BaseModel):
    """What is painted: uploads or pictures that come with impasto, by their IDs, and settings that are not usual.

    `masks` is an upload, a picture in which each painting's place has its color. `photo` may be a film.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    photo: str
    paintings: list[str] = Field(min_length=1, max_length=MAX_PAINTINGS)
    settings: dict[str, Any] = {}
    masks: str | None = None


class StudioService:
    """Checks requests against the uploads and the settings; all errors are ImpastoErrors.

    What needs no check is asked of the `queue` and the `store` directly.
    """

    def __init__(self, store: JobStore, queue: JobQueue) -> None:
        self.store: JobStore = store
        self.queue: JobQueue = queue
        self.uploads: UploadStore = store.uploads
        self._cache = ModelCache()  # of the background thread
        self._last_looks: dict[tuple[str, ...], Any] = {}  # by masks or none, photo and paintings
        self._read_small = functools.lru_cache(maxsize=64)(self._read_preview)

    def submit(self, wanted: Composition, visitor: str = "") -> StudioJob:
        """Put a picture or a film into the queue; faults inside a film show when it is painted."""
        photo, paintings = self._find_files(wanted)
        brushed = self._find_masks(wanted, photo)
        settings = check_settings(wanted.settings, {"mask": [REST_MASK]} if brushed else {})
        kind, maximum = ("film", MAX_FILM_SIZE) if is_film(photo) else ("painting", MAX_PICTURE_SIZE)
        _check_size(settings, maximum, " of a film" if kind == "film" else "")
        if brushed:
            check_brushed(read_brushed(brushed), self._read_small(wanted.photo), len(paintings), settings.guard)
        given: dict[str, Any] = {"settings": wanted.settings, "visitor": visitor, "kind": kind}
        return self.queue.submit(photo, paintings, brushed=brushed, **given)

    def plan_painting(self, wanted: Composition) -> str:
        """Describe the size, time and memory that a picture will take, measured in about a second."""
        photo, paintings = self._find_files(wanted)
        settings = check_settings(wanted.settings)
        _check_size(settings, MAX_PICTURE_SIZE)
        if is_film(photo):
            raise UsageError("A film's time is not known before it is painted.")
        self._share_cores()
        job = make_job(photo, paintings, self.store.root / "planned.png", settings)  # which is never written
        return describe_plan(start_job(job, cache=self._cache))

    def quick_look(self, wanted: Composition, steps: int, *, fresh: bool = False) -> Iterator[bytes]:
        """Yield JPEGs of ever better small pictures, from the last look at the same pictures on unless `fresh`.

        Looks with masks and without do not go on from each other. Of a film, they are looks at its first frame.
        """
        path = self.uploads.find(wanted.photo)
        settings = check_settings((FILM_DEFAULTS if is_film(path) else {}) | wanted.settings)  # at once: looks wait
        check_painting_weights(settings, len(wanted.paintings))
        return self._paint_looks(wanted, settings, self._find_masks(wanted, path), steps, fresh=fresh)

    def _paint_looks(
        self, wanted: Composition, settings: Settings, brushed: Path | None, steps: int, *, fresh: bool
    ) -> Iterator[bytes]:
        self._share_cores()
        paintings = [self._read_small(painting) for painting in wanted.paintings]
        if brushed:
            folder = brushed.parents[1] / f"split_{len(paintings)}"
            folder.mkdir(exist_ok=True)
            settings = add_masks(wanted.settings, write_masks(read_brushed(brushed), len(paintings), folder), folder)
        key = ("masks" if brushed else "", wanted.photo, *wanted.paintings)  # what was wiped would stay for long
        photo, start = self._read_small(wanted.photo), None if fresh else self._last_looks.get(key)
        for picture in quick_look(photo, paintings, settings, steps, self._cache, start):
            if not fresh:
                self._last_looks = {**dict(list(self._last_looks.items())[-MAX_LAST_LOOKS:]), key: picture}
            yield encode_jpeg(picture, QUICK_INPUT_PIXELS)

    def vary_settings(
        self,
        vary: Annotated[list[str], Body(max_length=10)],
        settings: Annotated[dict[str, Any], Body()] = {},  # noqa: B006
    ) -> list[dict[str, Any]]:
        """Return settings for each combination of values such as `style_weight=0.3,1,3`."""
        varied = parse_variations([text for text in vary if text.strip()], {})
        if len(varied) > MAX_VARIATIONS:
            raise UsageError(f"These are {len(varied)} pictures: vary less, {MAX_VARIATIONS} at most.")
        base = [{name: value for name, value in settings.items() if name not in variation} for variation in varied]
        return [given_settings(check_settings(*pair)) for pair in zip(varied, base, strict=True)]

    def find_regions(self, photo: str, paintings: int) -> Upload:
        """Return masks that are found in a photo, as they would be brushed."""
        return self._add_masks(partial(write_regions, self._read_small(photo), min(paintings, MAX_PAINTINGS)))

    def find_faces(self, photo: str) -> Upload:
        """Return a photo's faces, as they would be brushed to stay readable."""
        path = self.uploads.find_preview(photo, SEARCHED_SIDE)
        return self._add_masks(partial(write_faces, read_image(path)))

    def _add_masks(self, write: Callable[[Path], None]) -> Upload:
        with tempfile.TemporaryDirectory(dir=self.store.root) as folder:
            write(path := Path(folder) / BRUSHED_NAME)
            return self.uploads.add(path, BRUSHED_NAME, "masks")

    def change_settings(self, job_id: str, changes: Mapping[str, Any]) -> None:
        """Change settings of a picture while it is painted."""
        for name in changes:
            if name not in STEERABLE:
                raise UsageError(f"`{name}` can not be changed while painting.", setting=name)
        job = self.queue.get_job(job_id)
        if job.kind == "film":
            raise UsageError("A film is painted as it was begun.")
        settings = check_settings(changes, {**job.settings, **job.masks})
        check_painting_weights(settings, len(job.paintings))
        self.queue.change_settings(job_id, dict(changes), given_settings(settings))

    def read_recipe(self, upload_id: str) -> dict[str, Any]:
        """Read the recipe out of a painted picture, and find its photo and paintings among those that are here.

        `left_out` are settings that can't be set here, `files` the names of the inputs.
        """
        path = self.uploads.find(upload_id)
        try:
            recipe = read_recipe(path)
        except ImpastoError as error:
            raise UsageError(str(error).replace(str(path), path.name)) from None
        given = given_in_recipe(recipe)
        settings = {name: value for name, value in given.items() if name in form_fields()}
        check_settings(settings)
        files = [str(file.name) for role, file in recipe.iterate_files() if role.startswith(("photo", "painting"))]
        left_out = sorted(given.keys() - settings.keys())
        return {"settings": settings, "left_out": left_out, "files": files, **self._find_inputs(recipe)}

    def reuse(self, job_id: str, name: str = "") -> Composition:
        """Return what a job, or one of its pictures, was painted from: of a picture, the settings in its recipe."""
        job = self.queue.get_job(job_id)
        inputs = self.store.job_folder(job_id) / "inputs"
        path = self.store.find_file(job.id, name) if name.endswith(".png") else None
        given = given_in_recipe(read_recipe(path)) if path else job.settings
        return Composition(
            photo=self._copy_input(inputs / job.photo, "photo"),
            paintings=[self._copy_input(inputs / painting, "painting") for painting in job.paintings],
            settings={name: value for name, value in given.items() if name in form_fields()},
            masks=self._copy_input(inputs / BRUSHED_NAME, "masks") if job.masks else None,
        )

    def _share_cores(self) -> None:
        """Use one core while the worker paints, and all when it does not: a crowd of threads slows both."""
        torch.set_num_threads(1 if self.queue.is_painting else os.cpu_count() or 1)

    def _find_files(self, wanted: Composition) -> tuple[Path, list[Path]]:
        return self.uploads.find(wanted.photo), [self.uploads.find(painting) for painting in wanted.paintings]

    def _find_masks(self, wanted: Composition, photo: Path) -> Path | None:
        if wanted.masks and is_film(photo):
            raise UsageError("A film is painted everywhere: `masks` are for photos.")
        return self.uploads.find(wanted.masks, "masks") if wanted.masks else None

    def _read_preview(self, upload_id: str) -> Image:
        return shrink(read_image(self.uploads.find_preview(upload_id, QUICK_INPUT_PIXELS)), QUICK_INPUT_PIXELS)

    def _find_inputs(self, recipe: Recipe) -> dict[str, Any]:
        try:
            places = [self.store.jobs, self.uploads.root]
            found = locate_files(recipe, folders=[], search=places, replaced=("network", "init"))
        except ImpastoError:
            return {}
        photo = {"photo": self._copy_input(found.photo, "photo")} if found.photo else {}  # a texture has none
        return {**photo, "paintings": [self._copy_input(path, "painting") for path in found.paintings]}

    def _copy_input(self, path: Path, role: Role) -> str:
        """Make a job's input an upload again; returns its ID."""
        return self.uploads.add(path, path.name, role).id


def given_in_recipe(recipe: Recipe) -> dict[str, Any]:
    """Return the settings that somebody chose for a recipe's picture, without the defaults, as plain data."""
    return recipe.settings.model_dump(mode="json", include=set(recipe.given))


def _check_size(settings: Settings, maximum: int, what: str = "") -> None:
    if settings.size > maximum:
        raise UsageError(f"`size`{what} is {maximum} at most in the studio.", setting="size")
