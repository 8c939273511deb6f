"""The files that a job reads: which they are, and the same job with them in other places."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from impasto.network.registry import REGISTRY
from impasto.runs.job import Job


def list_input_files(job: Job) -> list[Path]:
    """List the files that a job reads, each once; a registry's network is none of them."""
    named = [Path(file) for _, _, file in job.settings.iterate_files()]
    network = [] if job.settings.network in REGISTRY else [Path(job.settings.network).expanduser()]
    photo = [job.photo] if job.photo else []
    return list(dict.fromkeys([*photo, *job.paintings, *named, *network]))


def relocate(job: Job, places: Mapping[Path, Path]) -> Job:
    """Return the job with its files in other places; those that are not in `places` stay where they are."""
    settings = job.settings
    moved: dict[str, Any] = {}
    for name, place, file in settings.iterate_files():
        value, new = moved.get(name, getattr(settings, name)), str(places.get(Path(file), file))
        moved[name] = new if isinstance(value, str) else (*value[:place], new, *value[place + 1 :])
    if (network := places.get(Path(settings.network).expanduser())) is not None:
        moved["network"] = str(network)
    return job.model_copy(
        update={
            "photo": job.photo and places.get(job.photo, job.photo),
            "paintings": tuple(places.get(painting, painting) for painting in job.paintings),
            "settings": settings.model_copy(update=moved) if moved else settings,
        }
    )
