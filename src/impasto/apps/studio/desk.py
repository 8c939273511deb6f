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

from impasto.apps.sheets import read_choices
from impasto.apps.studio import knobs, uploads
from impasto.apps.studio.commissions import ENDED, Commission, Shelf
from impasto.apps.studio.workshop import BRUSH, Workshop
from impasto.errors import ImpastoError, UsageError
from impasto.recipes.inputs import find
from impasto.recipes.recipe import Recipe
from impasto.recipes.storage import read_recipe
from impasto.settings import Settings
from impasto.steering import STEERABLE, check_weights

MOST_CELLS = 12
LARGEST_SIZE = 16384
LARGEST_FILM = 1280
SMALL = 256
EXAMPLE_PHOTOS = ("coffee.jpg", "cat.jpg")
EXAMPLE_PAINTINGS = ("flow_strokes.jpg", "pointillist_dots.jpg", "cut_paper.jpg")


@dataclass(frozen=True)
class Reopened:
    """What something was painted from, in the form again; files are paths of uploads, `brushed` empty where none is."""

    settings: Settings
    photo: str
    paintings: list[str]
    brushed: str
    name: str


class Desk:
    """What the page, its script and the interface for programs ask for; all errors are ImpastoErrors."""

    def __init__(self, shelf: Shelf, workshop: Workshop) -> None:
        self.shelf, self.workshop = shelf, workshop
        self._looked: dict[tuple[Path, int], tuple[bytes, tuple[int, int]]] = {}

    def look(self, given: Any) -> tuple[Path, bytes]:
        """Check an uploaded picture by reading it; returns where it is, and a small JPEG of it."""
        path = uploads.accept(self.shelf.uploads, given)
        key = (path, path.stat().st_mtime_ns)
        if key not in self._looked:
            if len(self._looked) > 100:
                self._looked.clear()
            picture = uploads.read(path)
            height, width = picture.rgb.shape[2:]
            self._looked[key] = uploads.thumbnail(picture), (width, height)
        return path, self._looked[key][0]

    def size_of(self, path: Path) -> tuple[int, int]:
        """Return the width and height of a picture that was looked at."""
        self.look(str(path))
        return self._looked[(path, path.stat().st_mtime_ns)][1]

    def fetch_example(self, name: str) -> str:
        """Put one of the example pictures where uploads are, and return its path."""
        if name not in (*EXAMPLE_PHOTOS, *EXAMPLE_PAINTINGS):
            raise UsageError("There is no such example.")
        target = Path(tempfile.mkdtemp(dir=self.shelf.uploads)) / name
        with resources("impasto.apps.studio").joinpath("examples", name).open("rb") as source:
            target.write_bytes(source.read())
        return str(target)

    def order(
        self,
        photo: Any,
        paintings: Sequence[Any],
        given: Mapping[str, Any],
        *,
        visitor: str = "",
        vary: str = "",
        brushed: str | None = None,
        plan: str = "",
    ) -> Commission:
        """Put a picture into the queue, or a sheet of small ones where settings are to `vary`.

        `brushed` is an uploaded picture of masks, as `brush` makes it.
        """
        _check_chosen(photo, paintings)
        masked = uploads.accept(self.shelf.uploads, brushed) if brushed else None
        masks = {"keep_mask": "brushed"} if masked else {}
        settings = knobs.check(
            {name: it for name, it in given.items() if not masks or name != "mask_propagation"}, masks
        )
        _check_size(settings)
        cells = self._read_cells(given, vary) if vary else []
        chosen = [self.look(it)[0] for it in (photo, *paintings)]
        commission = self.workshop.submit(
            chosen[0], chosen[1:], _plain(given), cells=cells, visitor=visitor, brushed=masked, plan=plan
        )
        threading.Thread(target=self._put_up_photo, args=(commission, chosen[0]), daemon=True).start()
        return commission

    def order_many(
        self, given_files: Sequence[Any], paintings: Sequence[Any], given: Mapping[str, Any], *, visitor: str = ""
    ) -> int:
        """Put many photos and films into the queue, each a commission of its own; returns how many.

        All are looked at before the first is put there.
        """
        if not given_files:
            raise UsageError("Choose photos or films first.")
        paths = [uploads.accept(self.shelf.uploads, it) for it in given_files]
        films = {path for path in paths if uploads.is_film(path)}
        for path in paths:
            if path not in films:
                try:
                    self.look(str(path))
                except ImpastoError as error:
                    raise UsageError(f"{error}\nNone of the {len(paths)} is in the queue.") from None
        for done, path in enumerate(paths):
            try:
                if path in films:
                    self.order_film(str(path), paintings, given, visitor=visitor)
                else:
                    self.order(str(path), paintings, given, visitor=visitor)
            except UsageError as error:
                raise UsageError(f"{error} {done} of {len(paths)} are in the queue." if done else str(error)) from None
        return len(paths)

    def order_film(
        self, film: Any, paintings: Sequence[Any], given: Mapping[str, Any], *, visitor: str = ""
    ) -> Commission:
        """Put a film into the queue; what is wrong inside it shows when it is painted."""
        path = uploads.accept(self.shelf.uploads, film)
        if not uploads.is_film(path):
            raise UsageError(f"{path.name} is no film that is painted here: take MP4, MOV, MKV, WebM, AVI or GIF.")
        if not uploads.CAN_READ_FILMS:
            raise UsageError("Films take more than there is here: pip install 'impasto[video]'")
        _check_chosen(path, paintings)
        _check_size(knobs.check(given), LARGEST_FILM)
        chosen = [self.look(it)[0] for it in paintings]
        return self.workshop.submit(path, chosen, _plain(given), visitor=visitor, film=True)

    def plan(self, photo: Any, paintings: Sequence[Any], given: Mapping[str, Any]) -> str:
        """Say what size, time and memory a picture will take."""
        _check_chosen(photo, paintings)
        _check_size(knobs.check(given))
        path, *others = [self.look(it)[0] for it in (photo, *paintings)]
        return self.workshop.plan(path, others, _plain(given))

    def steer(self, identity: str, changes: Mapping[str, Any]) -> None:
        """Move knobs of a picture while it is painted."""
        for name in changes:
            if name not in STEERABLE:
                raise UsageError(f"“{knobs.label(str(name))}” can not be moved while painting.")
        it = self.workshop.get(identity)
        if it.kind == "film":
            raise UsageError("A film is painted as it was begun.")
        settings = knobs.check(changes, {**it.settings, **it.masks})
        check_weights(settings, len(it.paintings))
        self.workshop.steer(identity, dict(changes), knobs.given_of(settings))

    def steer_towards(self, identity: str, given: Mapping[str, Any]) -> None:
        """Move those knobs of a picture that the form has elsewhere now."""
        it = self.workshop.get(identity)
        if it.stage in ENDED or it.kind == "film":
            return
        changes = knobs.compare(knobs.check(given), knobs.check({}, {**it.settings, **it.masks}), len(it.paintings))
        if changes:
            self.steer(identity, changes)

    def read_picture(self, given: Any) -> Recipe:
        """Read the recipe out of a painted picture that was uploaded."""
        path = uploads.accept(self.shelf.uploads, given)
        try:
            return read_recipe(path)
        except ImpastoError as error:
            raise UsageError(str(error).replace(str(path), path.name).replace("--recipe none", "no recipe")) from None

    def find_inputs(self, recipe: Recipe) -> tuple[str, list[str]] | None:
        """Find a recipe's photo and paintings among all that was painted here, and bring them back as uploads."""
        try:
            found = find(recipe, beside=[], search=[self.shelf.paintings], replaced=("network", "init"))
        except ImpastoError:
            return None
        if found.photo is None:  # of a texture
            return None
        photo, *paintings = self._bring_back([found.photo, *found.paintings])
        return photo, paintings

    def reopen(self, identity: str, name: str) -> "Reopened":
        """Give what a commission was painted from, or a cell on its sheet, or one of its pictures, to go on with."""
        it = self.workshop.get(identity)
        if it.kind == "film":
            raise UsageError("Of a film, nothing goes back into the form.")
        given = dict(it.settings)
        cell = re.fullmatch(r"cell-(\d{2,3})\.png", name)
        if cell and 1 <= int(cell[1]) <= len(it.cells):
            given |= it.cells[int(cell[1]) - 1]
            given.pop("size", None)
        elif (path := self.shelf.find(identity, name)) and name.endswith(".png"):
            recipe = read_recipe(path)
            given = recipe.settings.model_dump(mode="json", include=set(recipe.given))
        inputs = self.shelf.folder(identity) / "inputs"
        names = [it.photo, *it.paintings, *([BRUSH] if it.masks else [])]
        photo, *others = self._bring_back([inputs / known for known in names])
        settings = knobs.check({name: value for name, value in given.items() if name in knobs.knobs()}, it.masks)
        return Reopened(settings, photo, others[: len(it.paintings)], others[-1] if it.masks else "", it.photo)

    def _bring_back(self, paths: Sequence[Path]) -> list[str]:
        folder = Path(tempfile.mkdtemp(dir=self.shelf.uploads))
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
        cells = read_choices(texts, {})
        if len(cells) > MOST_CELLS:
            raise UsageError(f"These are {len(cells)} pictures: vary less, {MOST_CELLS} at most.")
        for cell in cells:
            knobs.check(cell, {name: it for name, it in given.items() if name not in varied})
        return [{"size": str(SMALL), **cell} for cell in cells]

    def _put_up_photo(self, commission: Commission, path: Path) -> None:
        """Write a small copy of the photo for the page, once the painter is at work."""
        time.sleep(2)
        try:
            small = uploads.thumbnail(uploads.read(path), 1200)
            (self.shelf.folder(commission.identity) / "photo.jpg").write_bytes(small)
        except (ImpastoError, OSError):
            return
        self.workshop.touch(commission.identity)


def _check_chosen(photo: Any, paintings: Sequence[Any]) -> None:
    if not photo:
        raise UsageError("Choose a photo first.")
    if not paintings:
        raise UsageError("Choose a painting first.")
    if len(paintings) > uploads.MOST_PAINTINGS:
        raise UsageError(f"{uploads.MOST_PAINTINGS} paintings at most: take some away.")


def _check_size(settings: Settings, most: int = LARGEST_SIZE) -> None:
    if settings.size > most:
        of = " of a film" if most == LARGEST_FILM else ""
        raise UsageError(f"“{knobs.label('size')}”{of} is {most} at most in the studio.")


def _plain(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}
