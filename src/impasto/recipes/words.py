"""Recipes in words: one as a person reads it, and what differs between two."""

import shlex
from collections.abc import Iterator
from typing import Any, NamedTuple

from impasto.recipes.recipe import Ingredient, Recipe

WORKSHOP = {
    "impasto": "impasto",
    "torch": "PyTorch",
    "python": "Python",
    "platform": "platform",
    "device": "painted on",
    "precision": "painted in",
    "threads": "threads",
}


def describe(recipe: Recipe) -> Iterator[str]:
    """Yield the lines that tell a person how a picture was painted."""
    rows = [("painted with", _workshop(recipe))]
    for role, ingredient in recipe.ingredients():
        rows += [(role, _name(ingredient)), *([("", f"sha256 {ingredient.sha256}")] if ingredient.sha256 else [])]
    if it := recipe.result:
        unfinished = "" if it.step == it.steps else ", unfinished"
        rows.append(("picture", f"{it.width} x {it.height}, {it.bits} bits, step {it.step} of {it.steps}{unfinished}"))
        rows.append(("losses", ", ".join(f"{name} {loss:.6g}" for name, loss in it.losses.items())))
    if recipe.overridden:
        before = ", ".join(f"{name} {_show(value)}" for name, value in recipe.overridden.items())
        rows.append(("painted again", f"before it was {before}"))
    rows.append(("command", command(recipe)))
    rows.append(("settings", "those that were given have a star"))
    for name, value in recipe.settings.model_dump(mode="json").items():
        rows.append(("  " + name, f"{_show(value)}{' *' if name in recipe.given else ''}"))
    width = max(len(head) for head, _ in rows) + 2
    yield from (f"{head:<{width}}{words}" for head, words in rows)


def command(recipe: Recipe) -> str:
    """Write the command line that paints a recipe where its files are at hand."""
    pictures = [recipe.photo, *recipe.paintings] if recipe.photo else recipe.paintings
    words = ["impasto", *([] if recipe.photo else ["texture"]), *map(_name, pictures)]
    for name, value in recipe.settings.model_dump(mode="json", include=set(recipe.given)).items():
        flag = name.replace("_", "-")
        words += ["--" + ("" if value else "no-") + flag] if isinstance(value, bool) else [f"--{flag}", _show(value)]
    return shlex.join(words)


def differences(one: Recipe, other: Recipe) -> Iterator[str]:
    """Yield a line for each thing that recipes A and B differ in, with both values.

    Files are compared by their digests, whatever they are called.

    Example: list(differences(one, other)) == ["size: 256 in A, 512 in B"]
    """
    for part in (_files, _settings, _workshops, _results):
        here, there = part(one), part(other)
        for what in {**here, **there}:
            mine, yours = here.get(what, _NOTHING), there.get(what, _NOTHING)
            if mine.counts != yours.counts:
                yield f"{what}: {mine.words} in A, {yours.words} in B"


class _Value(NamedTuple):
    counts: Any  # what is compared
    words: str


_NOTHING = _Value(None, "none")


def _files(recipe: Recipe) -> dict[str, _Value]:
    roles = {**({"photo": recipe.photo} if recipe.photo else {}), "network": recipe.network}
    roles |= {f"painting {number}": painting for number, painting in enumerate(recipe.paintings, start=1)}
    roles |= {role: file for role, _, _, file in recipe.named()}
    return {role: _Value(it.sha256, f"{_name(it)} (sha256 {(it.sha256 or 'none')[:12]})") for role, it in roles.items()}


def _settings(recipe: Recipe) -> dict[str, _Value]:
    settings = recipe.settings.model_dump(mode="json", exclude={"network", *recipe.files})
    return {name: _Value(value, _show(value)) for name, value in settings.items()}


def _workshops(recipe: Recipe) -> dict[str, _Value]:
    return {WORKSHOP[name]: _Value(value, str(value)) for name, value in recipe.painted_with.model_dump().items()}


def _results(recipe: Recipe) -> dict[str, _Value]:
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


def _show(value: Any) -> str:
    """Write a value as one would write it on the command line."""
    if isinstance(value, list):
        return ",".join(map(_show, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)


def _name(ingredient: Ingredient) -> str:
    return ingredient.name or "(an image in memory)"


def _workshop(recipe: Recipe) -> str:
    it = recipe.painted_with
    return (
        f"impasto {it.impasto}, PyTorch {it.torch}, Python {it.python} on {it.platform}; {it.device}, {it.precision}, "
        f"{it.threads} threads"
    )
