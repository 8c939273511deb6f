"""`impasto paint`, and what it has in common with texture, rerun and resume."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from impasto.cli.arguments import (
    DEFAULT_OUTPUT_OPTIONS,
    FlatOutputOptions,
    OutputOptions,
    PaintingArguments,
    PhotoArgument,
    find_free_name,
    make_output_option,
)
from impasto.cli.options import with_settings
from impasto.cli.run_loop import DownloadProgress, paint_run
from impasto.runs.job import Job, check_job
from impasto.settings.model import Settings
from impasto.settings.parsing import parse_settings

if TYPE_CHECKING:
    from impasto.recipes.recipe import Recipe
    from impasto.runs.run import Run


@with_settings()
def paint(
    photo: PhotoArgument,
    /,
    *paintings: PaintingArguments,
    output: Annotated[Path | None, make_output_option("PHOTO_PAINTING.png, numbered if that exists")] = None,
    options: FlatOutputOptions = DEFAULT_OUTPUT_OPTIONS,
    **given: Any,
) -> int:
    """Repaint PHOTO in the style of one or more PAINTINGs."""
    output = output or find_free_name(photo, paintings[0])
    job = make_job(photo, paintings, output, parse_settings(given), options)
    return paint_run(lambda fetch: start_picture(job, fetch), job.settings.network, options.quiet, options.as_json)


def make_job(
    photo: Path | None,
    paintings: tuple[Path, ...],
    output: Path,
    settings: Settings,
    options: OutputOptions,
    first: "Recipe | None" = None,
) -> Job:
    """Make a picture's job, and check its outputs before torch is imported, which takes seconds."""
    fields = {name: value for name, value in asdict(options).items() if name not in ("quiet", "as_json")}
    job = Job(photo=photo, paintings=paintings, output=output, settings=settings, first=first, **fields)
    return check_job(job)


def start_picture(job: Job, download_progress: DownloadProgress) -> "Run":
    """Start a picture's run, fetching its network if needed; this imports torch. Errors: as `start_job`."""
    from impasto.runs.start import start_job

    return start_job(job, fetch_progress=download_progress)
