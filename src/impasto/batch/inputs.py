"""Input pictures of a batch: from files, folders and patterns, in pairs of photo and painting."""

import glob
import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from impasto.errors import PictureError, UsageError
from impasto.images.collection import find_painting
from impasto.images.folders import select_pictures
from impasto.images.metadata import read_embedded_text
from impasto.images.opening import explain_missing
from impasto.settings.units import format_count

Pairs = Literal["product", "zip"]
REPORT_NAMES = ("report.csv", "report.html")  # of the files beside a batch's pictures


class InputCollector:
    """Collects picture files; `notes` says what was left out and why.

    Pictures that carry a recipe are left out, as impasto has painted them: in the output folder, and those in a folder
    of photos. A name of such a file itself stands for it.
    """

    def __init__(self, output: Path) -> None:
        self.notes: list[str] = []
        self._output = Path(os.path.realpath(output))
        self._own_outputs = 0

    def collect(self, names: Sequence[str], option: str) -> list[Path]:
        """Return the absolute paths of all pictures that `names` stand for, each once, in the order of the names.

        A name is a file, a folder (with its subfolders), or a pattern with *, ?, [abc] or **. Raises UsageError if a
        name stands for no picture; `option` is the option that the names were given to.
        """
        found: dict[Path, None] = {}
        for name in names:
            before = self._own_outputs
            pictures = [Path(os.path.normpath(path.absolute())) for path in self._expand_name(name, option)]
            if not pictures:
                own = ", except those that impasto painted" if self._own_outputs > before else ""
                why = "".join(f"\n{note}" for note in self.notes)
                raise UsageError(
                    f"{option} {name}: there is no picture{own}; quote patterns, as in 'photos/*.jpg'{why}"
                )
            found.update(dict.fromkeys(pictures))
        return list(found)

    def list_notes(self) -> list[str]:
        """Return notes on all that was left out."""
        if not self._own_outputs:
            return self.notes
        count = format_count(self._own_outputs, "picture")
        verb = "is" if self._own_outputs == 1 else "are"
        return [*self.notes, f"{count} painted by impasto {verb} not painted again; name such a file alone to paint it"]

    def _expand_name(self, name: str, option: str) -> Iterator[Path]:
        path = Path(name).expanduser()
        if path.is_dir():
            yield from self._select_pictures(sorted(_walk_visible_files(path)), everywhere=option == "PHOTO")
        elif os.path.lexists(path):  # checked before patterns: photo[1].jpg is a common name
            yield path
        elif painting := find_painting(name):
            yield painting
        elif glob.has_magic(str(path)):
            # unlike Path.glob, it leaves out hidden files
            matches = sorted(Path(match) for match in glob.iglob(str(path), recursive=True))  # noqa: PTH207
            yield from self._select_pictures(matches)
        else:
            raise UsageError(f"{option} {explain_missing(path)}")

    def _select_pictures(self, paths: Sequence[Path], *, everywhere: bool = False) -> Iterator[Path]:
        """Yield the pictures among files but those that impasto painted: into the output folder, or everywhere."""
        pictures, notes = select_pictures(path for path in paths if path.name not in REPORT_NAMES)
        self.notes += notes
        for path in pictures:
            if (everywhere or self._is_in_output(path)) and _is_painted(path):
                self._own_outputs += 1
            else:
                yield path

    def _is_in_output(self, path: Path) -> bool:
        return self._output in Path(os.path.realpath(path)).parents


def make_pairs(photos: Sequence[Path], paintings: Sequence[Path], pairs: Pairs) -> list[tuple[Path, Path]]:
    """Pair every photo with every painting ("product"), or the first with the first and so on ("zip").

    Raises UsageError for a zip of lists that differ in length.
    """
    if pairs == "product":
        return list(itertools.product(photos, paintings))
    if len(photos) != len(paintings):
        raise UsageError(
            f"`pairs` zip takes as many paintings as photos: there are {len(photos)} photos and {len(paintings)} "
            "paintings",
        )
    return list(zip(photos, paintings, strict=True))


def _is_painted(path: Path) -> bool:
    try:
        return read_embedded_text(path) is not None
    except PictureError:  # reading it as a photo will report what is wrong
        return False


def _walk_visible_files(folder: Path) -> Iterator[Path]:
    """Yield all files in a folder and below, except hidden ones."""
    for inside, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(inside, name) for name in names if not name.startswith("."))
