"""Which pictures of a batch exist already, which can be painted, and which can't."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from impasto.batch.items import BatchItem
from impasto.errors import ImpastoError, PictureError
from impasto.images.formats import WRITE_FORMATS
from impasto.images.opening import explain_missing
from impasto.recipes.build import build_recipe, fingerprint_picture
from impasto.recipes.files import read_recipe
from impasto.recipes.locate import fingerprint_file
from impasto.recipes.recipe import Recipe, identify_recipe
from impasto.recipes.text import list_differences
from impasto.runs.job import Job, check_job
from impasto.workers.messages import TaskResult

LOSSY_FORMATS = ("JPEG", "WEBP")
FinishedPictures = dict[str, dict[Path, Recipe]]  # by key, then by path


def resolve_items(items: Sequence[BatchItem], names: Sequence[str], folder: Path, *, overwrite: bool) -> None:
    """Set each item's output, and its status: kept if it exists, failed if it can't be painted, waiting otherwise.

    A picture in the folder or below is an item's if it is finished and its recipe has the same files, by their
    digests, and the same settings. Its name does not matter. Each picture belongs to one item only.
    """
    for item, name in zip(items, names, strict=True):
        item.job = item.job.model_copy(update={"output": folder / name, "overwrite": overwrite})
        _try(item, _set_key)
    _match_finished(items, find_finished(folder))
    keys: Counter[str] = Counter()
    for item in items:
        item.label = relative_name(item.job.output, folder)
        keys[item.key] += 1
        item.key = f"{item.key[:32]}-{keys[item.key]}"
        if item.status == "waiting":
            _try(item, _check_job)


def find_finished(folder: Path) -> FinishedPictures:
    """Find the pictures in a folder and below that carry a recipe and are painted to their end.

    Returns them by key, then path, each with its recipe.
    """
    found: FinishedPictures = {}
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for path in (Path(parent, name) for name in sorted(names)):
            recipe = _read_finished_recipe(path)
            if recipe and recipe.result:
                key = _make_key(recipe, path, recipe.result.bits, recipe.result.quality)
                found.setdefault(key, {})[path] = recipe
    return found


def relative_name(path: Path, folder: Path) -> str:
    """Return a path relative to the folder, if it is inside."""
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)


def _try(item: BatchItem, action: Callable[[BatchItem], None]) -> None:
    """Call a function for an item. If it raises, the item fails for that reason."""
    try:
        action(item)
    except FileNotFoundError as error:
        item.fail(explain_missing(Path(error.filename)))
    except OSError as error:
        item.fail(f"{error.filename} can't be read: {error.strerror or error}")
    except ImpastoError as error:
        item.fail(str(error))


def _set_key(item: BatchItem) -> None:
    """Replace folders of paintings by the paintings in them, and set the key."""
    item.job = item.job.expand_folders()
    item.key = _make_key(_build_recipe(item.job), item.job.output, item.job.bits, item.job.quality)


def _match_finished(items: Sequence[BatchItem], found: FinishedPictures) -> None:
    """Give finished pictures to their items: first those with the item's own name."""
    for item in items:
        _take_finished(item, found.get(item.key, {}), item.job.output)
    for item in items:
        if item.status == "waiting" and (others := found.get(item.key)):
            _take_finished(item, others, next(iter(others)))


def _take_finished(item: BatchItem, pictures: dict[Path, Recipe], path: Path) -> None:
    if (recipe := pictures.pop(path, None)) and (result := recipe.result):
        item.status = "kept"
        item.job = item.job.model_copy(update={"output": path})
        item.result = TaskResult(result.width, result.height, result.losses)


def _check_job(item: BatchItem) -> None:
    """Raise ImpastoError if the job can't be painted at its place; set the digests of its files."""
    output = item.job.output
    if os.path.lexists(output) and not item.job.overwrite and not output.is_dir():
        raise PictureError(_explain_clash(item.job))
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PictureError(f"{output.parent} can't be made: {error.strerror or error}") from error
    files = check_job(item.job).list_inputs()
    item.digests = {path: fingerprint_file(path).sha256 or "" for path in files}


def _read_finished_recipe(path: Path) -> Recipe | None:
    if path.suffix.lower() not in WRITE_FORMATS:
        return None
    try:
        recipe = read_recipe(path)
    except ImpastoError:
        return None
    return recipe if recipe.result and recipe.result.step == recipe.result.steps else None


def _build_recipe(job: Job) -> Recipe:
    assert job.photo
    device, precision = torch.device("cpu"), torch.float32  # not part of a picture's identity
    return build_recipe(job.settings, fingerprint_picture(job.photo), job.paintings, device, precision)


def _make_key(recipe: Recipe, path: Path, bits: int, quality: int) -> str:
    format_name = WRITE_FORMATS[path.suffix.lower()]
    written_as = f"{format_name} {bits} {quality if format_name in LOSSY_FORMATS else ''}"
    return hashlib.sha256(f"{identify_recipe(recipe)} {written_as}".encode()).hexdigest()


def _explain_clash(job: Job) -> str:
    advice = "choose another `output` or `name`, or allow it with `overwrite`"
    try:
        existing = read_recipe(job.output)
    except ImpastoError as error:
        return f"{job.output} already exists and {str(error).removeprefix(f'{job.output} ')}; {advice}"
    wanted = _build_recipe(job)
    equal_parts = {"painted_with": existing.painted_with, "result": existing.result}
    lines = list(list_differences(existing, wanted.model_copy(update=equal_parts)))
    differences = [line.replace(" in A,", " there,").removesuffix(" in B") + " wanted" for line in lines[:3]]
    difference = "; ".join(differences) or "unfinished, or written otherwise"
    return f"{job.output} already exists and is another picture ({difference}): {advice}"
