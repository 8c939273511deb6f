"""The files that a job reads: which they are, and the same job with them in other places."""

from collections.abc import Mapping
from pathlib import Path

from impasto.jobs import Job
from impasto.perception.weights import REGISTRY
from impasto.settings import BEGINNINGS


def list_files(job: Job) -> list[Path]:
    """List the files that a job reads, each once; a registry's network is none of them."""
    named = [Path(value).expanduser() for value in _list_settings(job).values()]
    return list(dict.fromkeys([job.photo, *job.paintings, *named]))


def relocate(job: Job, places: Mapping[Path, Path]) -> Job:
    """Return the job with its files in other places; those that are not in `places` stay where they are."""
    named = {
        name: str(places[path])
        for name, value in _list_settings(job).items()
        if (path := Path(value).expanduser()) in places
    }
    return job.model_copy(
        update={
            "photo": places.get(job.photo, job.photo),
            "paintings": tuple(places.get(painting, painting) for painting in job.paintings),
            "settings": job.settings.model_copy(update=named),
        }
    )


def _list_settings(job: Job) -> dict[str, str]:
    """Return the settings that name files."""
    settings = job.settings
    found = {} if settings.init in BEGINNINGS else {"init": settings.init}
    return found if settings.network in REGISTRY else {**found, "network": settings.network}
