"""`impasto resume`: continue a picture or a film that was not finished."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Group, Parameter

from impasto.cli.arguments import JsonOption, QuietOption
from impasto.cli.film import is_unfinished_film, resume_film_file
from impasto.cli.run_loop import DownloadProgress, paint_run
from impasto.errors import UsageError
from impasto.terminal.console import print_message

if TYPE_CHECKING:
    from impasto.runs.run import Run

RESUMING_GROUP = Group("Resuming", sort_key=1)


def resume(
    file: Annotated[Path, Parameter(help="a picture or its checkpoint; an unfinished film or its folder")],
    /,
    *,
    overwrite: Annotated[
        bool,
        Parameter(
            group=RESUMING_GROUP, negative=(), show_default=False, help="replace a picture that was written there since"
        ),
    ] = False,
    quiet: Annotated[QuietOption, Parameter(group=RESUMING_GROUP)] = False,
    as_json: Annotated[JsonOption, Parameter(group=RESUMING_GROUP)] = False,
) -> int:
    """Continue a picture or a film that was not finished, after an interrupt or a crash.

    On the same machine the result is the same as without the interrupt: a picture bit for bit, a
    film frame for frame. A picture's checkpoint is OUTPUT.checkpoint or the file given with
    --checkpoint; a film's folder is OUTPUT.film.
    """
    if is_unfinished_film(file):
        if overwrite:
            raise UsageError("`overwrite` is for pictures: an unfinished film is replaced anyway", setting="overwrite")
        return resume_film_file(file, quiet, as_json)

    def start(download_progress: DownloadProgress) -> "Run":
        from impasto.runs.resume import read_unfinished

        unfinished = read_unfinished(file)
        step = unfinished.step
        if not quiet:
            print_message(f"continuing {unfinished.job.output} after step {step.step}, {step.width} x {step.height}")
        return unfinished.start(download_progress, overwrite=overwrite)

    return paint_run(start, "the network", quiet, as_json)
