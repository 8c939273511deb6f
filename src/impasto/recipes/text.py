"""Recipes as text: one described for a person, and the differences between two."""

import shlex
from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from impasto.recipes.recipe import FileRef, Recipe

ENVIRONMENT_LABELS = {
    "impasto": "impasto",
    "torch": "PyTorch",
    "python": "Python",
    "platform": "platform",
    "device": "painted on",
    "precision": "painted in",
    "threads": "threads",
}


NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})


def describe_recipe(
    recipe: Recipe, program: str = "", options: Mapping[str, Any] = NO_OPTIONS, given: Collection[str] = ()
) -> Iterator[str]:
    """Yield lines that describe how a picture was painted.

    `program` is the command that painted it, if it is not `impasto` or `impasto texture`; `options` are that command's
    own, and `given` names those that the user chose.
    """
    rows = [("painted with", _format_environment(recipe))]
    for role, file in recipe.iterate_files():
        rows += [(role, _format_name(file)), *([("", f"sha256 {file.sha256}")] if file.sha256 else [])]
    if result := recipe.result:
        steps = f"step {result.step} of {result.steps}" + ("" if result.step == result.steps else ", unfinished")
        rows.append(("picture", f"{result.width} x {result.height}, {result.bits} bits, {steps}"))
        rows.append(("losses", ", ".join(f"{name} {loss:.6g}" for name, loss in result.losses.items())))
    if recipe.overridden:
        before = ", ".join(f"{name} {_format_value(value)}" for name, value in recipe.overridden.items())
        rows.append(("painted again", f"before it was {before}"))
    rows.append(("command", format_command(recipe, program, {name: options[name] for name in given})))
    rows.append(("settings", "those that were given have a star"))
    for name, value in recipe.settings.model_dump(mode="json").items():
        rows.append(("  " + name, f"{_format_value(value)}{' *' if name in recipe.given else ''}"))
    rows += [(f"  {name}", f"{_format_value(it)}{' *' if name in given else ''}") for name, it in options.items()]
    width = max(len(head) for head, _ in rows) + 2
    yield from (f"{head:<{width}}{words}" for head, words in rows)


def format_command(recipe: Recipe, program: str = "", options: Mapping[str, Any] = NO_OPTIONS) -> str:
    """Return the command line that paints a recipe, if its files are in the current folder."""
    pictures = [recipe.photo, *recipe.paintings] if recipe.photo else recipe.paintings
    words = [*(program or ("impasto" if recipe.photo else "impasto texture")).split(), *map(_format_name, pictures)]
    for name, value in {**recipe.settings.model_dump(mode="json", include=set(recipe.given)), **options}.items():
        flag = name.replace("_", "-")
        words += (
            ["--" + ("" if value else "no-") + flag] if isinstance(value, bool) else [f"--{flag}", _format_value(value)]
        )
    return shlex.join(words)


def list_differences(one: Recipe, other: Recipe) -> Iterator[str]:
    """Yield a line for each difference between recipes A and B, with both values.

    Files are compared by their digests, not their names.

    Example: list(list_differences(one, other)) == ["size: 256 in A, 512 in B"]
    """
    for part in (_list_files, _list_settings, _list_environment, _list_results):
        here, there = part(one), part(other)
        for what in {**here, **there}:
            mine, yours = here.get(what, _MISSING), there.get(what, _MISSING)
            if mine.compared != yours.compared:
                yield f"{what}: {mine.text} in A, {yours.text} in B"


class _Value(NamedTuple):
    compared: Any  # what is compared
    text: str


_MISSING = _Value(None, "none")


def _list_files(recipe: Recipe) -> dict[str, _Value]:
    roles = {**({"photo": recipe.photo} if recipe.photo else {}), "network": recipe.network}
    roles |= {f"painting {number}": painting for number, painting in enumerate(recipe.paintings, start=1)}
    roles |= {role: file for role, _, _, file in recipe.iterate_setting_files()}
    return {
        role: _Value(it.sha256, f"{_format_name(it)} (sha256 {(it.sha256 or 'none')[:12]})")
        for role, it in roles.items()
    }


def _list_settings(recipe: Recipe) -> dict[str, _Value]:
    settings = recipe.settings.model_dump(mode="json", exclude={"network", *recipe.files})
    return {name: _Value(value, _format_value(value)) for name, value in settings.items()}


def _list_environment(recipe: Recipe) -> dict[str, _Value]:
    return {
        ENVIRONMENT_LABELS[name]: _Value(value, str(value)) for name, value in recipe.painted_with.model_dump().items()
    }


def _list_results(recipe: Recipe) -> dict[str, _Value]:
    it = recipe.result
    if it is None:
        return {}
    plain = {
        "picture": f"{it.width} x {it.height}",
        "bits": f"{it.bits}",
        "quality": f"{it.quality}",
        "painted": f"to step {it.step} of {it.steps}",
    }
    values = {what: _Value(words, words) for what, words in plain.items()}
    return values | {f"{name} loss": _Value(loss, f"{loss:.9g}") for name, loss in it.losses.items()}


def _format_value(value: Any) -> str:
    """Write a value as on the command line."""
    if isinstance(value, list):
        return ",".join(map(_format_value, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)


def _format_name(file: FileRef) -> str:
    return file.name or "(an image in memory)"


def _format_environment(recipe: Recipe) -> str:
    it = recipe.painted_with
    return (
        f"impasto {it.impasto}, PyTorch {it.torch}, Python {it.python} on {it.platform}; {it.device}, {it.precision}, "
        f"{it.threads} threads"
    )
