"""`impasto resume`: a picture or a film that was not finished is gone on with, whatever ended it."""

from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

from impasto.apps.films import go_on_with_film, is_film
from impasto.apps.interrupts import Interrupts
from impasto.apps.options import Quiet
from impasto.apps.painting import NOTICE, paint_run
from impasto.apps.terminal import say
from impasto.errors import UsageError

RESUMING = Group("Resuming", sort_key=1)


def resume(
    file: Annotated[
        Path, Parameter(help="a checkpoint, or the picture that it is of; a film that was not finished, or its folder")
    ],
    /,
    *,
    overwrite: Annotated[
        bool,
        Parameter(group=RESUMING, negative=(), show_default=False, help="replace another picture that is there by now"),
    ] = False,
    quiet: Annotated[Quiet, Parameter(group=RESUMING)] = False,
) -> int:
    """Go on with a picture or a film that was not finished, whatever ended it.

    On the same machine it becomes the picture that it would have been, bit for bit, and the film
    frame for frame. A picture's checkpoint is OUTPUT.checkpoint or what --checkpoint named, a film's
    folder OUTPUT.film; the output's own name serves too.
    """
    if is_film(file):
        if overwrite:
            raise UsageError("--overwrite is for pictures: a film that was not finished replaces what is there of it")
        return go_on_with_film(file, quiet)
    with Interrupts("" if quiet else NOTICE) as interrupts:
        from impasto.unfinished import read_unfinished

        unfinished = read_unfinished(file)
        step, job = unfinished.step, unfinished.job
        if not quiet:
            say(f"going on with {job.output}, after step {step.step}, {step.width} x {step.height}")
        return paint_run(
            lambda fetching: unfinished.start(fetching, overwrite=overwrite), job.settings, interrupts, quiet
        )
