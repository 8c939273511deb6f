"""A recipe written down as the painting begins: what went in, and what it is painted with."""

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from pydantic import JsonValue

from impasto.perception import weights
from impasto.recipes.inputs import weigh
from impasto.recipes.recipe import Ingredient, Recipe, Workshop
from impasto.settings import Settings


def write_down(
    settings: Settings,
    photo: Ingredient | None,
    paintings: Sequence[Path | None],
    device: torch.device,
    precision: torch.dtype,
    first: Recipe | None = None,
) -> Recipe:
    """Write a recipe without its result; a painting that is None is an image in memory.

    `photo` is as `weigh_source` has it; a texture has none. `first` is what this is a rerun of.

    Errors: as for reading the files.
    """
    files = _weigh_named(settings)
    network = _weigh_network(settings.network)
    named = settings.model_copy(update={"network": network.name, **_name_files(settings, files)})
    return Recipe(
        photo=photo,
        paintings=tuple(map(weigh_source, paintings)),
        files=files,
        network=network,
        settings=named,
        given=_list_given(settings.model_fields_set, named, first),
        overridden=_list_overridden(named, first),
        painted_with=Workshop(
            impasto=version("impasto"),
            torch=torch.__version__,
            python=platform.python_version(),
            platform=f"{platform.system()} {platform.machine()}",
            device=_name_device(device),
            precision=str(precision).removeprefix("torch."),
            threads=torch.get_num_threads(),
        ),
    )


def compare_workshops(recipe: Recipe, first: Recipe) -> str:
    """Say where a rerun is painted with something else than the first picture; nothing if it is not."""
    here, before = recipe.painted_with.model_dump(), first.painted_with.model_dump()
    changed = [f"{name} {before[name]}, here {here[name]}" for name in here if here[name] != before[name]]
    if not changed:
        return ""
    return f"painted first with {'; '.join(changed)}: the picture may come out a little different"


def weigh_source(path: Path | None) -> Ingredient:
    """Write down a picture's file, or an Ingredient of nothing for an image in memory."""
    return weigh(path) if path else Ingredient()


def _weigh_named(settings: Settings) -> dict[str, tuple[Ingredient, ...]]:
    """Write down the files that settings name, with an Ingredient of nothing for each value that is no file."""
    files: dict[str, list[Ingredient]] = {}
    for name, place, file in settings.files():
        value = getattr(settings, name)
        files.setdefault(name, [Ingredient()] * (1 if isinstance(value, str) else len(value)))[place] = weigh(
            Path(file)
        )
    return {name: tuple(its) for name, its in files.items()}


def _name_files(settings: Settings, files: Mapping[str, tuple[Ingredient, ...]]) -> dict[str, Any]:
    """Give the settings' values without the folders of the files that they name."""
    names: dict[str, Any] = {}
    for name, its in files.items():
        value = getattr(settings, name)
        values = (value,) if isinstance(value, str) else value
        plain = tuple(file.name or word for file, word in zip(its, values, strict=True))
        names[name] = plain[0] if isinstance(value, str) else plain
    return names


def _weigh_network(network: str) -> Ingredient:
    if network in weights.REGISTRY:
        return Ingredient(name=network, sha256=weights.digest(network))
    return weigh(Path(network).expanduser())


def _list_given(chosen: set[str], settings: Settings, first: Recipe | None) -> tuple[str, ...]:
    """Name the settings that the user chose, for a rerun those of both times."""
    if first and first.settings.preset == settings.preset:  # a rerun spells out all settings
        chosen = {*first.given, *_list_overridden(settings, first)}
    return tuple(name for name in Settings.model_fields if name in chosen)


def _list_overridden(settings: Settings, first: Recipe | None) -> dict[str, JsonValue]:
    """Give the first picture's value of each setting that has another one now."""
    if first is None:
        return {}
    before = {**first.settings.model_dump(mode="json"), **first.overridden}
    now = settings.model_dump(mode="json")
    return {name: before[name] for name in now if before[name] != now[name]}


def _name_device(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"{device} ({torch.backends.cpu.get_cpu_capability()})" if device.type == "cpu" else str(device)
