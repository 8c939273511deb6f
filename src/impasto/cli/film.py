"""`impasto film`: a film painted, gone on with after any end, with somebody looking on."""

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from impasto.cli.arguments import (
    OUTPUT_GROUP,
    OverwriteOption,
    PaintingArguments,
    QuietOutputOption,
    RecipeFileOption,
    RecipeModeOption,
    find_free_name,
)
from impasto.cli.batch_options import WORKERS_GROUP, Address, EngineName, Memory, Threads, check_address
from impasto.cli.options import parse_options, parse_settings, with_settings
from impasto.cli.paint import INTERRUPT_NOTICE, describe_losses
from impasto.errors import ImpastoError, UsageError
from impasto.films.film_options import FilmOptions
from impasto.settings.model import Settings
from impasto.terminal.console import DONE, INTERRUPTED, print_message, print_result
from impasto.terminal.interrupts import Interrupts
from impasto.terminal.progress import ProgressDisplay, show_download
from impasto.workers.resources import read_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from impasto.batch.run import WorkerOptions
    from impasto.films.film_run import FilmRun
    from impasto.films.sequence import FrameStep

SECONDS_BETWEEN_LINES = 20.0
FilmArgument = Annotated[
    Path,
    Parameter(
        name="FILM",
        help="a film, GIF, animated WebP or PNG, a folder of frames or a pattern of their names: frames/%04d.png",
    ),
]
FilmOutputOption = Annotated[
    Path | None,
    Parameter(
        alias="-o",
        group=OUTPUT_GROUP,
        help="where the film goes: .mp4, .mov, .mkv, .gif, .webp, .png, a folder, or a pattern: painted/%04d.png",
        show_default="FILM_PAINTING with FILM's suffix, or .mp4, numbered if that exists",
    ),
]
ShotWorkersOption = Annotated[
    int | None,
    Parameter(
        group=WORKERS_GROUP,
        validator=Number(gte=1),
        show_default="one shot after the other, with all threads",
        help="how many shots are painted at one time, one for each core at best [1 or more]",
    ),
]
SaveEveryFramesOption = Annotated[
    int,
    Parameter(
        group=OUTPUT_GROUP,
        validator=Number(gte=0),
        help="frames between previews, OUTPUT.preview.png; 0: none [0 or more]",
    ),
]


@with_settings({}, FilmOptions)
def film(
    source: FilmArgument,
    /,
    *paintings: PaintingArguments,
    output: FilmOutputOption = None,
    overwrite: OverwriteOption = False,
    save_every: SaveEveryFramesOption = 0,
    recipe: RecipeModeOption = "embed",
    recipe_file: RecipeFileOption = None,
    quiet: QuietOutputOption = False,
    engine: EngineName = "local",
    address: Address = None,
    workers: ShotWorkersOption = None,
    threads: Threads = None,
    memory: Memory = None,
    **given: Any,
) -> int:
    """Repaint a FILM in the style of one or more PAINTINGs, without flicker.

    What is painted is kept in a folder beside the output, OUTPUT.film: the film so far can be played
    from there, and impasto resume OUTPUT goes on with it after any end. With --workers or --engine
    ray, shots are painted side by side. Takes impasto[film].
    """
    check_address(engine, address)
    limit = read_bytes(memory) if memory else None
    options = parse_options(
        FilmOptions, {name: given.pop(name) for name in [*given] if name in FilmOptions.model_fields}
    )
    settings = parse_settings(given)
    with Interrupts("" if quiet else INTERRUPT_NOTICE) as interrupts:
        start = _import_films()
        from impasto.batch.run import WorkerOptions
        from impasto.films.film_job import FilmJob

        together = (
            WorkerOptions(engine, address, "shared", workers, threads, limit) if workers or engine == "ray" else None
        )
        job = FilmJob(
            source=source,
            paintings=paintings,
            output=output or _name_output(source, paintings[0]),
            settings=settings,
            options=options,
            save_every=save_every,
            overwrite=overwrite,
            recipe=recipe,
            recipe_file=recipe_file,
        )
        with show_download(settings.network, quiet) as fetching:
            return paint_film_run(
                lambda: start.start_film(job, fetching), job.output, interrupts, quiet, settings, together
            )


def resume_film_file(file: Path, quiet: bool) -> int:
    """Go on with a film that was not finished, named by itself or by its folder."""
    from impasto.films.work_folder import WORK_FOLDER_SUFFIX

    with Interrupts("" if quiet else INTERRUPT_NOTICE) as interrupts:
        start = _import_films()
        with show_download("the network", quiet) as fetching:
            output = file.with_suffix("") if file.suffix == WORK_FOLDER_SUFFIX and file.is_dir() else file
            return paint_film_run(lambda: start.resume_film(file, fetching), output, interrupts, quiet)


def is_unfinished_film(file: Path) -> bool:
    """Tell whether a film was begun at a place and not finished."""
    from impasto.films.work_folder import find_work_folder

    try:
        find_work_folder(file)
    except UsageError:
        return False
    return True


def paint_film_run(
    start_run: "Callable[[], FilmRun]",
    output: Path,
    interrupts: Interrupts,
    quiet: bool,
    settings: Settings | None = None,
    worker_plan: "WorkerOptions | None" = None,
) -> int:
    """Paint, show it, and write the film, or what there is of it after a failure or an interrupt.

    `output` is what the film is called in the end. `together`, where it is given, has its shots painted side by side.
    """
    run: FilmRun | None = None
    failure: BaseException | None = None
    seconds = 0.0
    try:
        run = start_run()
        if worker_plan and settings:
            from impasto.workers.film_shots import paint_shots

            paint_shots(run, settings, worker_plan, interrupts, quiet)
        with ProgressDisplay(quiet, SECONDS_BETWEEN_LINES) as shown:
            told = 0
            for step in run if not interrupts.count else ():
                interrupts.mode = "ask"
                show_frame(step, shown)
                seconds = shown.seconds_elapsed
                for note in run.notes[told:]:
                    shown.note(note)
                told = len(run.notes)
                if interrupts.count:
                    break
    except (Exception, KeyboardInterrupt) as error:
        failure = error
    interrupts.mode = "hold"
    if run and run.is_finished:
        words = f": {run.frame_count} frame{'' if run.frame_count == 1 else 's'}, {seconds:.1f} s"
        print_result(f"{output}{'' if quiet else words}")
        return DONE
    if run:
        write_unfinished_film(run, output, failure, quiet)
    if interrupts.count:
        return INTERRUPTED
    assert failure is not None
    raise failure


def show_frame(step: "FrameStep", shown: ProgressDisplay) -> None:
    """Show a step of a film's frame."""
    pass_number = f", pass {step.pass_number}/{step.passes}" if step.passes > 1 else ""
    stage = f"frame {step.frame}/{step.frames}{pass_number}, {step.width} x {step.height}"
    shown.update(step.progress, stage, detail=describe_losses(step))


def write_unfinished_film(run: "FilmRun", output: Path, failure: BaseException | None, quiet: bool) -> None:
    """Write what there is of a film, and say how to go on with it."""
    written = None
    with suppress(*([Exception] if failure else [])):  # what has ended it may end this too, and is said already
        written = run.write_unfinished()
    if written:
        print_result(
            str(output) if quiet else f"{output}: unfinished, {run.painted_frames} of {run.frame_count} frames"
        )
    said = "interrupted" if failure is None or isinstance(failure, KeyboardInterrupt) else "stopped"
    print_message(f"impasto: {said}; impasto resume {os.path.relpath(run.folder)} goes on with it")


def _name_output(source: Path, painting: Path) -> Path:
    from impasto.films.encoder import FILM_FORMATS

    suffix = source.suffix.lower()
    several = source.is_dir() or not source.exists()
    kept = suffix if suffix in (*FILM_FORMATS, ".gif", ".webp", ".png") else ".mp4"
    stem = source.name if source.is_dir() else "frames" if several else source.stem
    return find_free_name(f"{stem}_{painting.stem}", "" if several else kept)


def _import_films() -> Any:
    try:
        from impasto.films import start
    except ModuleNotFoundError as error:
        if error.name not in ("av", "cv2"):
            raise
        raise ImpastoError("films need PyAV and OpenCV: install them with pip install 'impasto[film]'") from None
    return start
