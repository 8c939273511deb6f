"""What the page and programs ask for: checked, and passed on to the queue."""

import re
import shutil
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files as resources
from pathlib import Path
from typing import Any

from impasto.errors import ImpastoError, UsageError
from impasto.recipes.files import read_recipe
from impasto.recipes.locate import locate_files
from impasto.recipes.recipe import Recipe
from impasto.settings.changes import STEERABLE, check_painting_weights
from impasto.settings.model import Settings
from impasto.settings.variations import parse_variations
from impasto.studio import uploads
from impasto.studio.form import check_settings, find_changes, form_fields, given_settings
from impasto.studio.queue import BRUSHED_NAME, JobQueue
from impasto.studio.store import FINISHED, JobStore, StudioJob

MAX_SHEET_CELLS = 12
MAX_PICTURE_SIZE = 16384
MAX_FILM_SIZE = 1280
CELL_SIZE = 256
MAX_THUMBNAILS = 100  # in memory
PHOTO_COPY_PIXELS = 1200  # longer side
PHOTO_COPY_DELAY_SECONDS = 2
EXAMPLE_PHOTOS = ("coffee.jpg", "cat.jpg")
EXAMPLE_PAINTINGS = ("flow_strokes.jpg", "pointillist_dots.jpg", "cut_paper.jpg")


@dataclass(frozen=True)
class FormPrefill:
    """What a job was painted from, for the form. Files are paths of uploads; `brushed` is empty if no masks were."""

    settings: Settings
    photo: str
    paintings: list[str]
    brushed: str
    name: str


class StudioService:
    """Checks requests against the uploads and the settings; all errors are ImpastoErrors.

    What needs no check is asked of the `queue` and the `store` directly.
    """

    def __init__(self, store: JobStore, queue: JobQueue) -> None:
        self.store, self.queue = store, queue
        self._thumbnails: dict[tuple[Path, int], bytes] = {}

    def load_picture(self, given: Any) -> tuple[Path, bytes]:
        """Check an uploaded picture by reading it. Returns its path, and a small JPEG of it."""
        path = uploads.check_upload(self.store.uploads, given)
        key = (path, path.stat().st_mtime_ns)
        if key not in self._thumbnails:
            if len(self._thumbnails) >= MAX_THUMBNAILS:
                self._thumbnails.clear()
            self._thumbnails[key] = uploads.make_thumbnail(uploads.read_picture(path))
        return path, self._thumbnails[key]

    def copy_example(self, name: str) -> str:
        """Copy one of the example pictures to the uploads, and return its path."""
        if name not in (*EXAMPLE_PHOTOS, *EXAMPLE_PAINTINGS):
            raise UsageError("There is no such example.")
        target = Path(tempfile.mkdtemp(dir=self.store.uploads)) / name
        target.write_bytes(resources("impasto.studio").joinpath("examples", name).read_bytes())
        return str(target)

    def submit_painting(
        self,
        photo: Any,
        paintings: Sequence[Any],
        given: Mapping[str, Any],
        *,
        visitor: str = "",
        vary: str = "",
        brushed: str | None = None,
        plan: str = "",
    ) -> StudioJob:
        """Put a picture into the queue, or a sheet of small ones if settings are to `vary`.

        `brushed` is an uploaded picture of masks, as the mask editor makes it.
        """
        _check_chosen(photo, paintings)
        masks = uploads.check_upload(self.store.uploads, brushed) if brushed else None
        _check_size(_check_masked_settings(given) if masks else check_settings(given))
        cells = self._parse_cells(given, vary) if vary else []
        photo_path, *others = [self.load_picture(picture)[0] for picture in (photo, *paintings)]
        job = self.queue.submit(
            photo_path,
            others,
            kind="sheet" if cells else "painting",
            settings=_as_plain_data(given),
            cells=cells,
            visitor=visitor,
            brushed=masks,
            plan=plan,
        )
        threading.Thread(target=self._write_photo_copy, args=(job, photo_path), daemon=True).start()
        return job

    def submit_film(
        self, film: Any, paintings: Sequence[Any], given: Mapping[str, Any], *, visitor: str = ""
    ) -> StudioJob:
        """Put a film into the queue; faults inside it show when it is painted."""
        path = uploads.check_upload(self.store.uploads, film)
        if not uploads.is_film(path):
            raise UsageError(f"{path.name} is no film that is painted here: take MP4, MOV, MKV, WebM, AVI or GIF.")
        if not uploads.CAN_READ_FILMS:
            raise UsageError("Films take more than there is here: pip install 'impasto[film]'")
        _check_chosen(path, paintings)
        _check_size(check_settings(given), MAX_FILM_SIZE, " of a film")
        others = [self.load_picture(painting)[0] for painting in paintings]
        return self.queue.submit(path, others, kind="film", settings=_as_plain_data(given), visitor=visitor)

    def submit_many(
        self, given_files: Sequence[Any], paintings: Sequence[Any], given: Mapping[str, Any], *, visitor: str = ""
    ) -> int:
        """Put many photos and films into the queue, each as its own job, once all are checked. Returns how many."""
        if not given_files:
            raise UsageError("Choose photos or films first.")
        paths = [uploads.check_upload(self.store.uploads, file) for file in given_files]
        films = {path for path in paths if uploads.is_film(path)}
        for path in paths:
            try:
                if path not in films:
                    self.load_picture(str(path))
            except ImpastoError as error:
                raise UsageError(f"{error}\nNone of the {len(paths)} is in the queue.") from None
        for done, path in enumerate(paths):
            try:
                submit = self.submit_film if path in films else self.submit_painting
                submit(str(path), paintings, given, visitor=visitor)
            except UsageError as error:
                raise UsageError(f"{error} {done} of {len(paths)} are in the queue." if done else str(error)) from None
        return len(paths)

    def plan_painting(self, photo: Any, paintings: Sequence[Any], given: Mapping[str, Any]) -> str:
        """Describe the size, time and memory that a picture will take."""
        _check_chosen(photo, paintings)
        _check_size(check_settings(given))
        path, *others = [self.load_picture(picture)[0] for picture in (photo, *paintings)]
        return self.queue.plan_painting(path, others, _as_plain_data(given))

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

    def apply_form(self, job_id: str, given: Mapping[str, Any]) -> None:
        """Change those settings of an unfinished picture that are different in the form now."""
        job = self.queue.get_job(job_id)
        if job.status in FINISHED or job.kind == "film":
            return
        current = check_settings({}, {**job.settings, **job.masks})
        if changes := find_changes(check_settings(given), current, len(job.paintings)):
            self.change_settings(job_id, changes)

    def read_recipe(self, given: Any) -> Recipe:
        """Read the recipe out of a painted picture that was uploaded."""
        path = uploads.check_upload(self.store.uploads, given)
        try:
            return read_recipe(path)
        except ImpastoError as error:
            raise UsageError(str(error).replace(str(path), path.name)) from None

    def find_inputs(self, recipe: Recipe) -> tuple[str, list[str]] | None:
        """Find a recipe's photo and paintings among the inputs of all jobs, and copy them to the uploads."""
        try:
            found = locate_files(recipe, folders=[], search=[self.store.jobs], replaced=("network", "init"))
        except ImpastoError:
            return None
        if found.photo is None:  # of a texture
            return None
        photo, *paintings = self._copy_to_uploads([found.photo, *found.paintings])
        return photo, paintings

    def prefill_form(self, job_id: str, name: str) -> FormPrefill:
        """Return what a job, a cell of its sheet, or one of its pictures was painted from."""
        job = self.queue.get_job(job_id)
        if job.kind == "film":
            raise UsageError("Of a film, nothing goes back into the form.")
        inputs = self.store.job_folder(job_id) / "inputs"
        names = [job.photo, *job.paintings, *([BRUSHED_NAME] if job.masks else [])]
        photo, *others = self._copy_to_uploads([inputs / input_name for input_name in names])
        given = self._find_settings(job, name)
        settings = check_settings({name: value for name, value in given.items() if name in form_fields()}, job.masks)
        brushed = others.pop() if job.masks else ""
        return FormPrefill(settings, photo, others, brushed, job.photo)

    def _find_settings(self, job: StudioJob, name: str) -> dict[str, Any]:
        """Return the settings of a job's picture or cell: of a picture, those in its recipe."""
        cell = re.fullmatch(r"cell-(\d{2,3})\.png", name)
        if cell and 1 <= int(cell[1]) <= len(job.cells):
            given = {**job.settings, **job.cells[int(cell[1]) - 1]}
            return {name: value for name, value in given.items() if name != "size"}
        if name.endswith(".png") and (path := self.store.find_file(job.id, name)):
            return given_in_recipe(read_recipe(path))
        return job.settings

    def _copy_to_uploads(self, paths: Sequence[Path]) -> list[str]:
        folder = Path(tempfile.mkdtemp(dir=self.store.uploads))
        copies = []
        for number, path in enumerate(paths):
            target = folder / str(number) / path.name
            target.parent.mkdir()
            shutil.copyfile(path, target)
            copies.append(str(target))
        return copies

    def _parse_cells(self, given: Mapping[str, Any], vary: str) -> list[dict[str, str]]:
        texts = [text for text in vary.splitlines() if text.strip()]
        cells = parse_variations(texts, {})
        if len(cells) > MAX_SHEET_CELLS:
            raise UsageError(f"These are {len(cells)} pictures: vary less, {MAX_SHEET_CELLS} at most.")
        for cell in cells:
            check_settings(cell, {name: value for name, value in given.items() if name not in cell})
        return [{"size": str(CELL_SIZE), **cell} for cell in cells]

    def _write_photo_copy(self, job: StudioJob, path: Path) -> None:
        """Write a small copy of the photo for the page, when the worker has begun."""
        time.sleep(PHOTO_COPY_DELAY_SECONDS)
        try:
            small = uploads.make_thumbnail(uploads.read_picture(path), PHOTO_COPY_PIXELS)
            (self.store.job_folder(job.id) / "photo.jpg").write_bytes(small)
        except (ImpastoError, OSError):
            return
        self.queue.mark_changed(job.id)


def given_in_recipe(recipe: Recipe) -> dict[str, Any]:
    """Return the settings that were given for a recipe's picture, as plain data."""
    return recipe.settings.model_dump(mode="json", include=set(recipe.given))


def _check_masked_settings(given: Mapping[str, Any]) -> Settings:
    """Check the settings of a picture with brushed masks, some of which do nothing without masks."""
    others = {name: value for name, value in given.items() if name != "mask_propagation"}
    return check_settings(others, {"preserve_mask": "brushed"})


def _check_chosen(photo: Any, paintings: Sequence[Any]) -> None:
    if not photo:
        raise UsageError("Choose a photo first.")
    if not paintings:
        raise UsageError("Choose a painting first.")
    if len(paintings) > uploads.MAX_PAINTINGS:
        raise UsageError(f"{uploads.MAX_PAINTINGS} paintings at most: take some away.")


def _check_size(settings: Settings, maximum: int = MAX_PICTURE_SIZE, what: str = "") -> None:
    if settings.size > maximum:
        raise UsageError(f"`size`{what} is {maximum} at most in the studio.", setting="size")


def _as_plain_data(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}
