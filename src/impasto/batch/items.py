"""What is there already: outputs that are finished, known by their recipes, and files that stand in the way."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from impasto.batch.commissions import Commission
from impasto.errors import ImpastoError
from impasto.images.folders import expand_folders
from impasto.images.output import FORMATS, check_output
from impasto.recipes.build import build_recipe, fingerprint_picture
from impasto.recipes.files import read_recipe
from impasto.recipes.identity import identify_recipe
from impasto.recipes.locate import fingerprint_file
from impasto.recipes.recipe import Recipe
from impasto.recipes.text import list_differences
from impasto.runs.job import Job

LOSSY_FORMATS = ("JPEG", "WEBP")


@dataclass(frozen=True)
class BatchItem:
    """How a commission stands: finished, or still to be painted as `job`, or impossible for a `reason`.

    `output` is the file it is in or will be in; `key` is its own among all commissions, and the same in every run.
    `digests` has the sha256 of each file that it is painted from.
    """

    commission: Commission
    output: Path
    key: str = ""
    job: Job | None = None
    finished: Recipe | None = None
    reason: str = ""
    digests: Mapping[Path, str] = field(default_factory=dict)


def resolve_items(
    commissions: Sequence[Commission], names: Sequence[str], folder: Path, *, overwrite: bool
) -> list[BatchItem]:
    """Say how each commission stands, in their order.

    A picture in the folder or below counts for a commission if its recipe is the commission's (the same files by their
    digests, the same settings) and it is painted to its end; whatever it is called, and each picture for one
    commission alone.
    """
    found = find_finished(folder)
    planned = [_identify(commission, folder / name) for commission, name in zip(commissions, names, strict=True)]
    seen: dict[str, int] = {}
    keys = []
    for key, _, _ in planned:
        seen[key] = seen.get(key, 0) + 1
        keys.append(f"{key[:32]}-{seen[key]}")
    finished: dict[int, Path] = {}
    for number, (key, output, _) in enumerate(planned):  # those at their own places first
        if output in found.get(key, {}):
            finished[number] = output
    taken = set(finished.values())
    standings = []
    for number, (commission, (key, output, fault)) in enumerate(zip(commissions, planned, strict=True)):
        if number not in finished and (other := next((it for it in found.get(key, {}) if it not in taken), None)):
            finished[number] = other
            taken.add(other)
        if fault:
            standings.append(BatchItem(commission, output, reason=fault))
        elif place := finished.get(number):
            standings.append(BatchItem(commission, place, keys[number], finished=found[key][place]))
        else:
            standing = _prepare_item(commission, output, keys[number], overwrite)
            read = standing.job.list_inputs() if standing.job else []
            digests = {path: fingerprint_file(path).sha256 or "" for path in read}
            standings.append(replace(standing, digests=digests))
    return standings


def find_finished(folder: Path) -> dict[str, dict[Path, Recipe]]:
    """Return the pictures below a folder that carry a recipe and are painted to their end, by what `_key` says."""
    found: dict[str, dict[Path, Recipe]] = {}
    for inside, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(inside, name)
            if path.suffix.lower() not in FORMATS:
                continue
            try:
                recipe = read_recipe(path)
            except ImpastoError:
                continue
            if recipe.result and recipe.result.step == recipe.result.steps:
                key = _make_key(recipe, path, recipe.result.bits, recipe.result.quality)
                found.setdefault(key, {})[path] = recipe
    return found


def _make_key(recipe: Recipe, path: Path, bits: int, quality: int) -> str:
    form = FORMATS[path.suffix.lower()]
    written = f"{form} {bits} {quality if form in LOSSY_FORMATS else ''}"
    return hashlib.sha256(f"{identify_recipe(recipe)} {written}".encode()).hexdigest()


def _identify(commission: Commission, output: Path) -> tuple[str, Path, str]:
    """Return the key that the commission's picture will have, where it will be, and what is wrong with its files."""
    try:
        recipe = _write_down(commission)
    except OSError as error:
        return "", output, f"{error.filename} can't be read: {error.strerror or error}"
    except ImpastoError as error:
        return "", output, str(error)
    return _make_key(recipe, output, commission.bits, commission.quality), output, ""


def _write_down(commission: Commission) -> Recipe:
    device, precision = torch.device("cpu"), torch.float32  # which have no part in what a picture is
    paintings, settings = expand_folders(commission.paintings, commission.settings)
    return build_recipe(settings, fingerprint_picture(commission.photo), paintings, device, precision)


def _prepare_item(commission: Commission, output: Path, key: str, overwrite: bool) -> BatchItem:
    """Make the job of a commission, or say why it can't be painted there."""
    try:
        paintings, settings = expand_folders(commission.paintings, commission.settings)
        inputs = (commission.photo, *paintings, *settings.list_files())
        if os.path.lexists(output) and not overwrite and not output.is_dir():
            return BatchItem(commission, output, key, reason=_explain_clash(commission, output))
        output.parent.mkdir(parents=True, exist_ok=True)
        size = settings.size if settings.fit == "longest" else 1  # otherwise it takes the photo to know
        check_output(output, inputs=inputs, overwrite=overwrite, bits=commission.bits, size=size)
    except ImpastoError as error:
        return BatchItem(commission, output, key, reason=str(error))
    except OSError as error:
        return BatchItem(commission, output, key, reason=f"{output.parent} can't be made: {error.strerror or error}")
    job = Job(
        photo=commission.photo,
        paintings=tuple(paintings),
        output=output,
        settings=settings,
        overwrite=overwrite,
        bits=commission.bits,
        quality=commission.quality,
        checkpoint="none",  # the batch keeps its own
    )
    return BatchItem(commission, output, key, job=job)


def _explain_clash(commission: Commission, output: Path) -> str:
    advice = "choose another --output or --name, or allow it with --overwrite"
    try:
        there = read_recipe(output)
        wanted = _write_down(commission)
    except (ImpastoError, OSError):
        return f"{output} already exists and was not painted by impasto: {advice}"
    alike = {"painted_with": there.painted_with, "result": there.result}
    lines = list(list_differences(there, wanted.model_copy(update=alike)))
    said = "; ".join(line.replace(" in A,", " there,").removesuffix(" in B") + " wanted" for line in lines[:3])
    return f"{output} already exists and is another picture ({said or 'unfinished, or written otherwise'}): {advice}"
