"""`impasto film`: paint a film, or continue one that was not finished."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from impasto.cli.arguments import (
    OUTPUT_GROUP,
    JsonOption,
    OverwriteOption,
    PaintingArguments,
    QuietOutputOption,
    RecipeFileOption,
    RecipeModeOption,
    find_free_name,
)
from impasto.cli.batch_options import WORKERS_GROUP, Address, EngineName, Memory, Threads, check_address, parse_memory
from impasto.cli.options import with_settings
from impasto.cli.run_loop import DownloadProgress, paint_run
from impasto.errors import ImpastoError, UsageError, describe_install
from impasto.films.film_options import FilmOptions
from impasto.settings.model import Settings
from impasto.settings.parsing import parse_options, parse_settings
from impasto.settings.presets import FILM_DEFAULTS, PRESETS
from impasto.terminal.interrupts import Interrupts

if TYPE_CHECKING:
    from impasto.films.film_run import FilmRun
    from impasto.workers.pool import WorkerOptions

SECONDS_BETWEEN_LINES = 20.0  # without a terminal
FilmArgument = Annotated[
    Path,
    Parameter(
        name="FILM",
        help="a film, a GIF, an animated WebP or PNG, a folder of frames, or a pattern of their names: frames/%04d.png",
    ),
]
FilmOutputOption = Annotated[
    Path | None,
    Parameter(
        alias="-o",
        group=OUTPUT_GROUP,
        help="the film to write: .mp4, .mov, .mkv, .gif, .webp, .png, a folder, or a pattern: painted/%04d.png",
        show_default="FILM_PAINTING with FILM's suffix, or .mp4, numbered if that exists",
    ),
]
ShotWorkersOption = Annotated[
    int | None,
    Parameter(
        group=WORKERS_GROUP,
        validator=Number(gte=1),
        show_default="one shot at a time, with all threads",
        help="how many shots to paint at the same time; one per core is fastest [1 or more]",
    ),
]
SaveEveryFramesOption = Annotated[
    int,
    Parameter(
        group=OUTPUT_GROUP,
        validator=Number(gte=0),
        help="write OUTPUT.preview.png every so many frames; 0: never [0 or more]",
    ),
]


@with_settings({**FILM_DEFAULTS, **PRESETS["film"]}, FilmOptions)
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
    as_json: JsonOption = False,
    engine: EngineName = "local",
    address: Address = None,
    workers: ShotWorkersOption = None,
    threads: Threads = None,
    memory: Memory = None,
    **given: Any,
) -> int:
    """Repaint a FILM in the style of one or more PAINTINGs, without flicker.

    Painted frames are stored in the folder OUTPUT.film: the film so far can be played from there,
    and after an interrupt or a crash impasto resume OUTPUT continues it. With --workers or --engine
    ray, several shots are painted at the same time. It needs the extra impasto[film].
    """
    check_address(engine, address)
    memory_bytes = parse_memory(memory)
    has_workers = workers is not None or engine == "ray"
    for name, value in (("threads", threads), ("memory", memory_bytes)):
        if value and not has_workers:
            raise UsageError(f"`{name}` is for shots that are painted at the same time: give `workers` too")
    if save_every and has_workers:
        raise UsageError(
            "`save_every` is for frames that are painted one after the other, without workers: leave it out"
        )
    if memory_bytes and engine == "ray":
        raise UsageError("`memory` is for workers of this machine: leave it out, as Ray knows what each machine has")
    options = parse_options(
        FilmOptions, {name: given.pop(name) for name in [*given] if name in FilmOptions.model_fields}
    )
    settings = parse_settings(given, FILM_DEFAULTS)

    def start(download_progress: DownloadProgress) -> "FilmRun":
        films = _import_films()
        from impasto.films.film_job import FilmJob

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
        run: FilmRun = films.start_film(job, download_progress)
        return run

    def paint_parts(run: "FilmRun", interrupts: Interrupts) -> None:
        from impasto.workers.pool import WorkerOptions

        worker_options = WorkerOptions(engine, address, "shared", workers, threads, memory_bytes)
        show_shots(run, settings, worker_options, interrupts, quiet)

    parts = paint_parts if has_workers else None
    return paint_run(start, settings.network, quiet, as_json, SECONDS_BETWEEN_LINES, parts)


def show_shots(
    run: "FilmRun", settings: Settings, options: "WorkerOptions", interrupts: Interrupts, quiet: bool
) -> None:
    """Paint a film's shots in parallel and show how far they are."""
    from impasto.terminal.progress import WorkerDisplay, fetch_networks
    from impasto.workers.film_shots import paint_shots

    fetch_networks([settings], options, quiet)
    with WorkerDisplay(len(run.list_shots()), quiet) as display:
        interrupts.mode = "ask"
        for name, event in paint_shots(run, settings, options, lambda: interrupts.count > 0):
            display.show_event(name, event)


def resume_film_file(file: Path, quiet: bool, as_json: bool) -> int:
    """Continue a film that was not finished, given its own name or its work folder's."""
    return paint_run(
        lambda fetch: _import_films().resume_film(file, fetch), "the network", quiet, as_json, SECONDS_BETWEEN_LINES
    )


def is_unfinished_film(file: Path) -> bool:
    """Return whether there is an unfinished film of this name, or in this folder."""
    from impasto.films.work_folder import find_work_folder

    try:
        find_work_folder(file)
    except UsageError:
        return False
    return True


def _name_output(source: Path, painting: Path) -> Path:
    from impasto.films.encoder import FILM_FORMATS
    from impasto.images.formats import ANIMATION_FORMATS

    suffix = source.suffix.lower()
    several = source.is_dir() or not source.exists()
    kept = suffix if suffix in (*FILM_FORMATS, *ANIMATION_FORMATS) else ".mp4"
    stem = source.name if source.is_dir() else "frames" if several else source.stem
    return find_free_name(stem, painting, suffix="" if several else kept)


def _import_films() -> Any:
    try:
        from impasto.films import start_film
    except ModuleNotFoundError as error:
        if error.name not in ("av", "cv2"):
            raise
        raise ImpastoError(f"films need PyAV and OpenCV: {describe_install('film')}") from None
    return start_film
