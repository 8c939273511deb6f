"""What size, memory and time a painting will take, as its plan says; asked for before it is painted."""

from pathlib import Path
from typing import Any

from impasto.api import start_job
from impasto.painting.model_cache import ModelCache
from impasto.painting.planner import PaintingPlan
from impasto.runs.job import Job
from impasto.settings.units import format_bytes, format_seconds
from impasto.studio.form_fields import check_settings


def describe_plan(plan: PaintingPlan) -> str:
    """Say a plan for the page."""
    (width, height), scales = plan.sizes[-1], len(plan.sizes)
    last = plan.chosen.strategies[-1]
    return (
        f"{width} x {height} pixels in {scales} scale{'s' if scales > 1 else ''}"
        f"{f', {last.describe()}' if last.tile_size else ''}: "
        f"about {format_seconds(plan.chosen.seconds)} and {format_bytes(plan.chosen.bytes)} of memory."
    )


def plan_text(photo: str, paintings: list[str], settings: dict[str, Any], cache: ModelCache) -> str:
    """Plan a painting and say what it takes; `kit` has the networks and styles that the painter keeps.

    Errors: ImpastoError where it can't be painted, as with too little memory for it.
    """
    chosen = check_settings({}, settings)
    output = Path(photo).with_name("planned.png")  # never written
    job = Job(
        photo=Path(photo),
        paintings=tuple(map(Path, paintings)),
        output=output,
        settings=chosen,
        quality=95,
        checkpoint="none",
    )
    return describe_plan(start_job(job, cache=cache).plan)
