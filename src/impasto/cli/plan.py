"""`impasto plan`: estimate the memory and time of a picture before it is painted."""

import json as text_of
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from impasto.cli.arguments import (
    DEFAULT_OUTPUT_OPTIONS,
    FlatOutputOptions,
    PaintingArguments,
    PhotoArgument,
    make_output_option,
)
from impasto.cli.options import with_settings
from impasto.settings.parsing import parse_settings
from impasto.terminal.console import DONE, FAILED, format_flags, print_message, print_result
from impasto.terminal.progress import show_download

if TYPE_CHECKING:
    from impasto.painting.planner import PaintingPlan


@with_settings()
def plan(
    photo: PhotoArgument,
    /,
    *paintings: PaintingArguments,
    output: Annotated[Path | None, make_output_option("")] = None,  # noqa: ARG001
    options: FlatOutputOptions = DEFAULT_OUTPUT_OPTIONS,
    **given: Any,
) -> int:
    """Estimate the memory and time that PHOTO in the style of PAINTINGs takes, without painting it.

    Compares three ways: whole; recomputing, in large tiles whose features are computed twice and
    not stored; and tiled, with the least memory. Exits with 1 if none fits into the memory that may
    be used. With --json, bytes and seconds. The other output options change nothing here, and are
    accepted so that `plan` can be put into any command that paints a picture.
    """
    pictures = (photo, *paintings)
    if str(photo) == "paint" and not photo.exists():  # the command's own name, which may be left out there too
        pictures = paintings
    settings = parse_settings(given)
    from impasto.api import start

    with show_download(settings.network, quiet=options.as_json) as fetching:
        run = start(pictures[0], [*pictures[1:]], settings=settings, fetch_progress=fetching)
    found = run.plan
    for note in () if options.as_json or options.quiet else run.notes:
        print_message(note)
    for line in [text_of.dumps({**_to_data(found), "notes": run.notes})] if options.as_json else found.format_table():
        print_result(format_flags(line))
    return DONE if found.is_feasible else FAILED


def _to_data(plan: "PaintingPlan") -> dict[str, Any]:
    ways = {**plan.alternatives, "chosen": plan.chosen}
    return {
        "sizes": plan.sizes,
        "steps": plan.steps,
        "limit": plan.limit,
        "fits": plan.is_feasible,
        "ways": {
            name: {
                "bytes": way.bytes,
                "seconds": way.seconds,
                "strategies": [asdict(strategy) for strategy in way.strategies],
            }
            for name, way in ways.items()
        },
    }
