"""The desk: takes what visitors want in their own words, checks it, and hands it to the workshop."""

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

from impasto.cli.sheet import parse_variations
from impasto.errors import ImpastoError, UsageError
from impasto.recipes.files import read_recipe
from impasto.recipes.locate import locate_files
from impasto.recipes.recipe import Recipe
from impasto.settings.changes import STEERABLE, check_painting_weights
from impasto.settings.model import Settings
from impasto.studio import form_fields, uploads
from impasto.studio.queue import BRUSHED_NAME, JobQueue
from impasto.studio.store import FINISHED, JobStore, StudioJob

MAX_SHEET_CELLS = 12
MAX_PICTURE_SIZE = 16384
MAX_FILM_SIZE = 1280
CELL_SIZE = 256
EXAMPLE_PHOTOS = ("coffee.jpg", "cat.jpg")
EXAMPLE_PAINTINGS = ("flow_strokes.jpg", "pointillist_dots.jpg", "cut_paper.jpg")


@dataclass(frozen=True)
class FormPrefill:
    """What something was painted from, in the form again; files are paths of uploads, `brushed` empty where none is."""

    settings: Settings
    photo: str
    paintings: list[str]
    brushed: str
    name: str


class StudioService:
    """What the page, its script and the interface for programs ask for; all errors are ImpastoErrors."""

    def __init__(self, store: JobStore, queue: JobQueue) -> None:
        self.store, self.queue = store, queue
        self._thumbnails: dict[tuple[Path, int], tuple[bytes, tuple[int, int]]] = {}

    def load_picture(self, given: Any) -> tuple[Path, bytes]:
        """Check an uploaded picture by reading it; returns where it is, and a small JPEG of it."""
        path = uploads.check_upload(self.store.uploads, given)
        key = (path, path.stat().st_mtime_ns)
        if key not in self._thumbnails:
            if len(self._thumbnails) > 100:
                self._thumbnails.clear()
            picture = uploads.read_picture(path)
            height, width = picture.rgb.shape[2:]
            self._thumbnails[key] = uploads.make_thumbnail(picture), (width, height)
        return path, self._thumbnails[key][0]

    def picture_size(self, path: Path) -> tuple[int, int]:
        """Return the width and height of a picture that was looked at."""
        self.load_picture(str(path))
        return self._thumbnails[(path, path.stat().st_mtime_ns)][1]

    def copy_example(self, name: str) -> str:
        """Put one of the example pictures where uploads are, and return its path."""
        if name not in (*EXAMPLE_PHOTOS, *EXAMPLE_PAINTINGS):
            raise UsageError("There is no such example.")
        target = Path(tempfile.mkdtemp(dir=self.store.uploads)) / name
        with resources("impasto.studio").joinpath("examples", name).open("rb") as source:
            target.write_bytes(source.read())
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
        """Put a picture into the queue, or a sheet of small ones where settings are to `vary`.

        `brushed` is an uploaded picture of masks, as `brush` makes it.
        """
        _check_chosen(photo, paintings)
        masked = uploads.check_upload(self.store.uploads, brushed) if brushed else None
        masks = {"preserve_mask": "brushed"} if masked else {}
        settings = form_fields.check_settings(
            {name: it for name, it in given.items() if not masks or name != "mask_propagation"}, masks
        )
        _check_size(settings)
        cells = self._read_cells(given, vary) if vary else []
        chosen = [self.load_picture(it)[0] for it in (photo, *paintings)]
        commission = self.queue.submit(
            chosen[0], chosen[1:], _as_plain_data(given), cells=cells, visitor=visitor, brushed=masked, plan=plan
        )
        threading.Thread(target=self._write_photo_copy, args=(commission, chosen[0]), daemon=True).start()
        return commission

    def submit_many(
        self, given_files: Sequence[Any], paintings: Sequence[Any], given: Mapping[str, Any], *, visitor: str = ""
    ) -> int:
        """Put many photos and films into the queue, each a commission of its own; returns how many.

        All are looked at before the first is put there.
        """
        if not given_files:
            raise UsageError("Choose photos or films first.")
        paths = [uploads.check_upload(self.store.uploads, it) for it in given_files]
        films = {path for path in paths if uploads.is_film(path)}
        for path in paths:
            if path not in films:
                try:
                    self.load_picture(str(path))
                except ImpastoError as error:
                    raise UsageError(f"{error}\nNone of the {len(paths)} is in the queue.") from None
        for done, path in enumerate(paths):
            try:
                if path in films:
                    self.submit_film(str(path), paintings, given, visitor=visitor)
                else:
                    self.submit_painting(str(path), paintings, given, visitor=visitor)
            except UsageError as error:
                raise UsageError(f"{error} {done} of {len(paths)} are in the queue." if done else str(error)) from None
        return len(paths)

    def submit_film(
        self, film: Any, paintings: Sequence[Any], given: Mapping[str, Any], *, visitor: str = ""
    ) -> StudioJob:
        """Put a film into the queue; what is wrong inside it shows when it is painted."""
        path = uploads.check_upload(self.store.uploads, film)
        if not uploads.is_film(path):
            raise UsageError(f"{path.name} is no film that is painted here: take MP4, MOV, MKV, WebM, AVI or GIF.")
        if not uploads.CAN_READ_FILMS:
            raise UsageError("Films take more than there is here: pip install 'impasto[film]'")
        _check_chosen(path, paintings)
        _check_size(form_fields.check_settings(given), MAX_FILM_SIZE)
        chosen = [self.load_picture(it)[0] for it in paintings]
        return self.queue.submit(path, chosen, _as_plain_data(given), visitor=visitor, film=True)

    def plan_painting(self, photo: Any, paintings: Sequence[Any], given: Mapping[str, Any]) -> str:
        """Say what size, time and memory a picture will take."""
        _check_chosen(photo, paintings)
        _check_size(form_fields.check_settings(given))
        path, *others = [self.load_picture(it)[0] for it in (photo, *paintings)]
        return self.queue.plan_painting(path, others, _as_plain_data(given))

    def change_settings(self, identity: str, changes: Mapping[str, Any]) -> None:
        """Move knobs of a picture while it is painted."""
        for name in changes:
            if name not in STEERABLE:
                raise UsageError(f"“{form_fields.setting_label(str(name))}” can not be moved while painting.")
        it = self.queue.get_job(identity)
        if it.kind == "film":
            raise UsageError("A film is painted as it was begun.")
        settings = form_fields.check_settings(changes, {**it.settings, **it.masks})
        check_painting_weights(settings, len(it.paintings))
        self.queue.change_settings(identity, dict(changes), form_fields.given_settings(settings))

    def apply_form(self, identity: str, given: Mapping[str, Any]) -> None:
        """Move those knobs of a picture that the form has elsewhere now."""
        it = self.queue.get_job(identity)
        if it.stage in FINISHED or it.kind == "film":
            return
        changes = form_fields.find_changes(
            form_fields.check_settings(given),
            form_fields.check_settings({}, {**it.settings, **it.masks}),
            len(it.paintings),
        )
        if changes:
            self.change_settings(identity, changes)

    def read_recipe(self, given: Any) -> Recipe:
        """Read the recipe out of a painted picture that was uploaded."""
        path = uploads.check_upload(self.store.uploads, given)
        try:
            return read_recipe(path)
        except ImpastoError as error:
            raise UsageError(str(error).replace(str(path), path.name).replace("--recipe none", "no recipe")) from None

    def find_inputs(self, recipe: Recipe) -> tuple[str, list[str]] | None:
        """Find a recipe's photo and paintings among all that was painted here, and bring them back as uploads."""
        try:
            found = locate_files(recipe, folders=[], search=[self.store.paintings], replaced=("network", "init"))
        except ImpastoError:
            return None
        if found.photo is None:  # of a texture
            return None
        photo, *paintings = self._copy_to_uploads([found.photo, *found.paintings])
        return photo, paintings

    def prefill_form(self, identity: str, name: str) -> "FormPrefill":
        """Give what a commission was painted from, or a cell on its sheet, or one of its pictures, to go on with."""
        it = self.queue.get_job(identity)
        if it.kind == "film":
            raise UsageError("Of a film, nothing goes back into the form.")
        given = dict(it.settings)
        cell = re.fullmatch(r"cell-(\d{2,3})\.png", name)
        if cell and 1 <= int(cell[1]) <= len(it.cells):
            given |= it.cells[int(cell[1]) - 1]
            given.pop("size", None)
        elif (path := self.store.find_file(identity, name)) and name.endswith(".png"):
            recipe = read_recipe(path)
            given = recipe.settings.model_dump(mode="json", include=set(recipe.given))
        inputs = self.store.job_folder(identity) / "inputs"
        names = [it.photo, *it.paintings, *([BRUSHED_NAME] if it.masks else [])]
        photo, *others = self._copy_to_uploads([inputs / known for known in names])
        settings = form_fields.check_settings(
            {name: value for name, value in given.items() if name in form_fields.form_fields()}, it.masks
        )
        return FormPrefill(settings, photo, others[: len(it.paintings)], others[-1] if it.masks else "", it.photo)

    def _copy_to_uploads(self, paths: Sequence[Path]) -> list[str]:
        folder = Path(tempfile.mkdtemp(dir=self.store.uploads))
        copies = []
        for number, path in enumerate(paths):
            target = folder / str(number) / path.name
            target.parent.mkdir()
            shutil.copyfile(path, target)
            copies.append(str(target))
        return copies

    def _read_cells(self, given: Mapping[str, Any], vary: str) -> list[dict[str, str]]:
        texts = [text for text in vary.splitlines() if text.strip()]
        varied = {text.partition("=")[0].strip() for text in texts}
        cells = parse_variations(texts, {})
        if len(cells) > MAX_SHEET_CELLS:
            raise UsageError(f"These are {len(cells)} pictures: vary less, {MAX_SHEET_CELLS} at most.")
        for cell in cells:
            form_fields.check_settings(cell, {name: it for name, it in given.items() if name not in varied})
        return [{"size": str(CELL_SIZE), **cell} for cell in cells]

    def _write_photo_copy(self, commission: StudioJob, path: Path) -> None:
        """Write a small copy of the photo for the page, once the painter is at work."""
        time.sleep(2)
        try:
            small = uploads.make_thumbnail(uploads.read_picture(path), 1200)
            (self.store.job_folder(commission.identity) / "photo.jpg").write_bytes(small)
        except (ImpastoError, OSError):
            return
        self.queue.mark_changed(commission.identity)


def _check_chosen(photo: Any, paintings: Sequence[Any]) -> None:
    if not photo:
        raise UsageError("Choose a photo first.")
    if not paintings:
        raise UsageError("Choose a painting first.")
    if len(paintings) > uploads.MAX_PAINTINGS:
        raise UsageError(f"{uploads.MAX_PAINTINGS} paintings at most: take some away.")


def _check_size(settings: Settings, maximum: int = MAX_PICTURE_SIZE) -> None:
    if settings.size > maximum:
        of = " of a film" if maximum == MAX_FILM_SIZE else ""
        raise UsageError(f"“{form_fields.setting_label('size')}”{of} is {maximum} at most in the studio.")


def _as_plain_data(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}
