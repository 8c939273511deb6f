"""Building a recipe when a painting begins: its files, its settings, and the software and machine."""

import platform
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import torch
from pydantic import JsonValue

from impasto.network import registry
from impasto.recipes.locate import fingerprint_file
from impasto.recipes.recipe import Environment, FileRef, Recipe, plain_name
from impasto.settings.model import Settings
from impasto.settings.types import FILE_SETTINGS


def build_recipe(
    settings: Settings,
    photo: FileRef | None,
    paintings: Sequence[Path | None],
    device: torch.device,
    precision: torch.dtype,
    first: Recipe | None = None,
    fingerprint: Callable[[Path], FileRef] = fingerprint_file,
) -> Recipe:
    """Build a recipe without its result; a painting that is None is an image in memory.

    `photo` is as `fingerprint_picture` returns it; a texture has none. `first` is the recipe that this is a rerun of.
    `fingerprint` is for the files that settings name, which in films may be folders.

    Errors: OSError where a file can't be read.
    """
    files = _fingerprint_setting_files(settings, fingerprint)
    network = _fingerprint_network(settings.network)
    named = settings.map_files(lambda file: plain_name(file) or "_")
    return Recipe(
        photo=photo,
        paintings=tuple(map(fingerprint_picture, paintings)),
        files=files,
        network=network,
        settings=named,
        given=_list_given(settings.model_fields_set, named, first),
        overridden=_list_overridden(named, first),
        painted_with=Environment(
            impasto=version("impasto"),
            torch=torch.__version__,
            python=platform.python_version(),
            platform=f"{platform.system()} {platform.machine()}",
            device=_name_device(device),
            precision=str(precision).removeprefix("torch."),
            threads=torch.get_num_threads(),
        ),
    )


def compare_environments(recipe: Recipe, first: Recipe) -> str:
    """Say what differs between the software and machines of a rerun and of its first picture; "" if nothing does."""
    here, before = recipe.painted_with.model_dump(), first.painted_with.model_dump()
    changed = [f"{name} {before[name]}, here {here[name]}" for name in here if here[name] != before[name]]
    if not changed:
        return ""
    return f"painted first with {'; '.join(changed)}: the picture may come out a little different"


def fingerprint_picture(path: Path | None) -> FileRef:
    """Return a picture's FileRef, an empty one for an image in memory."""
    return fingerprint_file(path) if path else FileRef()


def _fingerprint_setting_files(
    settings: Settings, fingerprint: Callable[[Path], FileRef]
) -> dict[str, tuple[FileRef, ...]]:
    """Return a FileRef for each value of the settings that name files, an empty one where the value is no file."""
    files = {}
    for name, words in FILE_SETTINGS.items():
        value = getattr(settings, name)
        values = (value,) if isinstance(value, str) else value
        if not {*values} <= {*words}:
            files[name] = tuple(FileRef() if file in words else fingerprint(Path(file)) for file in values)
    return files


def _fingerprint_network(network: str) -> FileRef:
    if network in registry.REGISTRY:
        return FileRef(name=network, sha256=registry.get_digest(network))
    return fingerprint_file(Path(network))


def _list_given(chosen: set[str], settings: Settings, first: Recipe | None) -> tuple[str, ...]:
    """List the settings that the user chose, for a rerun those of both times."""
    if first and first.settings.preset == settings.preset:  # a rerun spells out all settings
        chosen = {*first.given, *_list_overridden(settings, first)}
    return tuple(name for name in Settings.model_fields if name in chosen)


def _list_overridden(settings: Settings, first: Recipe | None) -> dict[str, JsonValue]:
    """Return the first picture's value of each setting that a rerun has changed."""
    if first is None:
        return {}
    before = {**first.settings.model_dump(mode="json"), **first.overridden}
    now = settings.model_dump(mode="json")
    return {name: before[name] for name in now if before[name] != now[name]}


def _name_device(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"{device} ({torch.backends.cpu.get_cpu_capability()})" if device.type == "cpu" else str(device)
