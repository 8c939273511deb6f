"""`impasto plan`: what a picture will take, in memory and time, before it is painted."""

import json as text_of
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from impasto.apps.arguments import Paintings, Photo
from impasto.apps.options import read_settings, with_settings
from impasto.apps.progress import download
from impasto.apps.terminal import DONE, FAILED, answer
from impasto.settings import Settings

if TYPE_CHECKING:
    from impasto.painting.plan import Plan


@with_settings(Settings())
def plan(
    photo: Photo,
    /,
    *paintings: Paintings,
    json: Annotated[bool, Parameter(negative=(), help="as JSON, in bytes and seconds")] = False,
    **given: Any,
) -> int:
    """Say how PHOTO would be painted in the style of PAINTINGs, and what that will take.

    Compares three ways: whole; recomputing, in large tiles whose features are found twice, so that
    none has to be kept; and tiled, with the least memory. Exits with 1 where nothing fits into the
    memory that may be used.
    """
    settings = read_settings(given)
    from impasto.api import start

    with download(settings.network, quiet=json) as fetching:
        run = start(photo, [*paintings], settings=settings, fetch_progress=fetching)
    found = run.plan
    for line in [text_of.dumps(_as_data(found))] if json else found.table():
        answer(line)
    return DONE if found.fits else FAILED


def _as_data(plan: "Plan") -> dict[str, Any]:
    ways = {**plan.ways, "chosen": plan.chosen}
    return {
        "sizes": plan.sizes,
        "steps": plan.steps,
        "limit": plan.limit,
        "fits": plan.fits,
        "ways": {
            name: {"bytes": way.bytes, "seconds": way.seconds, "manners": [asdict(manner) for manner in way.manners]}
            for name, way in ways.items()
        },
    }
