"""What size, memory and time a painting will take, as its plan says; asked for before it is painted."""

from pathlib import Path
from typing import Any

from impasto.amounts import say_bytes, say_seconds
from impasto.api import start_job
from impasto.apps.studio.knobs import check
from impasto.jobs import Job
from impasto.painting.plan import Plan
from impasto.painting.shelf import Shelf


def in_words(plan: Plan) -> str:
    """Say a plan for the page."""
    (width, height), scales = plan.sizes[-1], len(plan.sizes)
    last = plan.chosen.manners[-1]
    return (
        f"{width} x {height} pixels in {scales} scale{'s' if scales > 1 else ''}"
        f"{f', {last.describe()}' if last.side else ''}: "
        f"about {say_seconds(plan.chosen.seconds)} and {say_bytes(plan.chosen.bytes)} of memory."
    )


def foresee(photo: str, paintings: list[str], settings: dict[str, Any], kit: Shelf) -> str:
    """Plan a painting and say what it takes; `kit` has the networks and styles that the painter keeps.

    Errors: ImpastoError where it can't be painted, as with too little memory for it.
    """
    chosen = check({}, settings)
    output = Path(photo).with_name("planned.png")  # never written
    job = Job(
        photo=Path(photo),
        paintings=tuple(map(Path, paintings)),
        output=output,
        settings=chosen,
        quality=95,
        checkpoint="none",
    )
    return in_words(start_job(job, shelf=kit).plan)
