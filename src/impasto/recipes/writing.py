"""A recipe written down as the painting begins: what went in, and what it is painted with."""

import platform
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import torch
from pydantic import JsonValue

from impasto.perception import weights
from impasto.recipes.inputs import weigh
from impasto.recipes.recipe import Ingredient, Recipe, Workshop
from impasto.settings import BEGINNINGS, Settings


def write_down(
    settings: Settings,
    photo: Path | None,
    paintings: Sequence[Path | None],
    device: torch.device,
    precision: torch.dtype,
    first: Recipe | None = None,
    weigh: Callable[[Path], Ingredient] = weigh,
) -> Recipe:
    """Write a recipe without its result; None stands for an image in memory, `first` is what this is a rerun of.

    `weigh` writes down a file; a caller with many recipes gives one that remembers. Errors: as for reading the files.
    """
    init = None if settings.init in BEGINNINGS else weigh(Path(settings.init))
    network = _weigh_network(settings.network, weigh)
    named = settings.model_copy(update={"network": network.name, **({"init": init.name} if init else {})})
    return Recipe(
        photo=weigh(photo) if photo else Ingredient(),
        paintings=tuple(weigh(painting) if painting else Ingredient() for painting in paintings),
        init=init,
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


def _weigh_network(network: str, weigh: Callable[[Path], Ingredient]) -> Ingredient:
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
