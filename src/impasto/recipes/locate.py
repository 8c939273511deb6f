"""Files known by their digests: fingerprinted when a picture is painted, and found again for a rerun."""

import functools
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from impasto.errors import RecipeError, UsageError
from impasto.images.collection import COLLECTION_FOLDER
from impasto.network.download import digest_file
from impasto.recipes.recipe import FileRef, Recipe, plain_name
from impasto.settings.texture import TEXTURE_DEFAULTS


def fingerprint_file(path: Path) -> FileRef:
    """Return a file's name, length and digest, which is cached until the file changes."""
    state = path.stat()
    return _fingerprint_file(path, state.st_size, state.st_mtime_ns)


@functools.lru_cache(maxsize=10_000)
def _fingerprint_file(path: Path, length: int, _: int) -> FileRef:
    return FileRef(name=plain_name(path) or "_", bytes=length, sha256=digest_file(path))


@dataclass(frozen=True)
class LocatedFiles:
    """Where a recipe's files are, and the values of its settings, which name those files."""

    photo: Path | None
    paintings: tuple[Path, ...]
    values: dict[str, Any]


def locate_files(
    recipe: Recipe,
    *,
    folders: Sequence[str | os.PathLike[str]] = (".",),
    search: Sequence[str | os.PathLike[str]] = (),
    replaced: Collection[str] = (),
) -> LocatedFiles:
    """Find the files that a recipe was painted from, by their digests alone.

    Searches `folders`, and the trees below `search`: first for a file of the recipe's name, then for any of its length.
    The paintings that come with impasto are found, too.
    Settings named in `replaced` will get other values, so their files are not searched for. If `preset` is among them,
    only the settings that were given are kept, and the preset fills in the rest.

    Errors: RecipeError that names each file that is missing or different; UsageError where `search` names no folder.
    """
    for folder in map(Path, search):
        if not folder.is_dir():
            raise UsageError(f"`search` {folder}: there is no such folder", setting="search")
    settings = {role: name for role, name, _, _ in recipe.iterate_setting_files()}
    needed = {
        role: file
        for role, file in recipe.iterate_files()
        if settings.get(role, role) not in replaced and not (role == "network" and _is_registered(file))
    }
    file_search = FileSearch([Path(folder).absolute() for folder in folders], [Path(it).absolute() for it in search])
    collection = FileSearch([COLLECTION_FOLDER], [])
    found = {role: file_search.find_file(file) or collection.find_file(file) for role, file in needed.items()}
    faults = [file_search.explain_missing(role, needed[role]) for role, path in found.items() if path is None]
    if "network" not in replaced and "network" not in needed:
        faults += _compare_registered(recipe.network)
    if faults:
        raise RecipeError("\n".join(faults))
    paths = {role: path for role, path in found.items() if path}
    paintings = tuple(path for role, path in paths.items() if role.startswith("painting"))
    return LocatedFiles(paths.get("photo"), paintings, _list_values(recipe, paths, given_only="preset" in replaced))


def _list_values(recipe: Recipe, paths: Mapping[str, Path], *, given_only: bool) -> dict[str, Any]:
    """List the values of a recipe's settings, with the files' paths by their roles."""
    values = recipe.settings.model_dump(mode="json", include=set(recipe.given) if given_only else None)
    if recipe.photo is None:
        values = {**TEXTURE_DEFAULTS, **values}
    if "network" in paths:
        values["network"] = str(paths["network"])
    for role, name, index, _ in recipe.iterate_setting_files():
        if role in paths and isinstance(values.get(name), list):
            values[name][index] = str(paths[role])
        elif role in paths and name in values:
            values[name] = str(paths[role])
    return values


def _is_registered(network: FileRef) -> bool:
    return network.bytes is None  # only a user's own file has a length of its own


def _compare_registered(network: FileRef) -> list[str]:
    from impasto.network import registry  # brings torch

    if network.name not in registry.REGISTRY:
        return [f"The network {network.name} is not known here: name a file with `network`"]
    if (here := registry.get_digest(network.name)) == network.sha256:
        return []
    return [
        f"The network {network.name} is another one here: its sha256 is {here}, the recipe's is {network.sha256}. "
        "Install the impasto that the recipe names, or choose another `network`"
    ]


class FileSearch:
    """Searches folders, and trees of folders, for files of given digests."""

    def __init__(self, folders: Sequence[Path], trees: Sequence[Path]) -> None:
        self.folders: list[Path] = list(dict.fromkeys(folders))
        self.trees: list[Path] = list(dict.fromkeys(trees))
        self._digests: dict[Path, str] = {}
        self._by_length: dict[int, list[Path]] | None = None

    def find_file(self, wanted: FileRef) -> Path | None:
        """Return the absolute path of a file with the wanted digest, or None."""
        if wanted.sha256 is None:
            return None
        return next((path for path in self._candidates(wanted) if self._digest(path) == wanted.sha256), None)

    def explain_missing(self, role: str, missing: FileRef) -> str:
        """Say why a file was not found, and what to do."""
        if missing.name is None:
            return f"The {role} was an image in memory, not a file: it can't be found again"
        if namesakes := self._namesakes(missing):
            return (
                f"{namesakes[0]} is not the {role} of the recipe, or has changed: put the right file there, or name "
                f"its folder with `search` (its sha256 is {self._digest(namesakes[0])}, the recipe's {missing.sha256})"
            )
        folders = ", ".join(map(str, [*self.folders, *self.trees]))
        wanted = f"its sha256 is {missing.sha256}"
        return f"The {role} {missing.name} is not in {folders}: name its folder with `search` ({wanted})"

    def _candidates(self, wanted: FileRef) -> Iterator[Path]:
        yield from (path for path in self._namesakes(wanted) if path.stat().st_size == wanted.bytes)
        if self._by_length is None:
            self._by_length = {}
            for path in self._files():
                self._by_length.setdefault(path.stat().st_size, []).append(path)
        yield from self._by_length.get(wanted.bytes or 0, [])

    def _namesakes(self, wanted: FileRef) -> list[Path]:
        places = [folder / str(wanted.name) for folder in (*self.folders, *self.trees)]
        return [path for path in places if path.is_file()]

    def _files(self) -> Iterator[Path]:
        for folder in self.folders:
            yield from (path for path in sorted(folder.glob("*")) if path.is_file())
        for folder in self.trees:
            for inside, _, names in os.walk(folder):
                yield from (path for name in sorted(names) if (path := Path(inside, name)).is_file())

    def _digest(self, path: Path) -> str:
        if path not in self._digests:
            try:
                self._digests[path] = digest_file(path)
            except OSError:
                self._digests[path] = "unreadable"
        return self._digests[path]
