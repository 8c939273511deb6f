"""`impasto film`: a film painted, gone on with after any end, with somebody looking on."""

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from impasto.apps.arguments import OUTPUT, Keeping, Overwrite, Paintings, RecipeFile, Silent, free_name
from impasto.apps.batch.arguments import WORKERS, Address, EngineName, Memory, Threads, check_engine
from impasto.apps.batch.machine import read_bytes
from impasto.apps.film_progress import film_reporter
from impasto.apps.interrupts import Interrupts
from impasto.apps.options import read_knobs, read_settings, with_settings
from impasto.apps.painting import NOTICE
from impasto.apps.progress import download
from impasto.apps.terminal import DONE, INTERRUPTED, answer, say
from impasto.errors import ImpastoError, UsageError
from impasto.settings import Settings
from impasto.video.options import FilmOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from impasto.apps.batch.running import Plan
    from impasto.video.run import FilmRun

SourceFilm = Annotated[
    Path,
    Parameter(
        name="FILM",
        help="a film, GIF, animated WebP or PNG, a folder of frames or a pattern of their names: frames/%04d.png",
    ),
]
FilmOutput = Annotated[
    Path | None,
    Parameter(
        alias="-o",
        group=OUTPUT,
        help="where the film goes: .mp4, .mov, .mkv, .gif, .webp, .png, a folder, or a pattern: painted/%04d.png",
        show_default="FILM_PAINTING with FILM's suffix, or .mp4, numbered if that exists",
    ),
]
ShotWorkers = Annotated[
    int | None,
    Parameter(
        group=WORKERS,
        validator=Number(gte=1),
        show_default="one shot after the other, with all threads",
        help="how many shots are painted at one time, one for each core at best [1 or more]",
    ),
]
SavedFrames = Annotated[
    int,
    Parameter(
        group=OUTPUT, validator=Number(gte=0), help="frames between previews, OUTPUT.preview.png; 0: none [0 or more]"
    ),
]


@with_settings(Settings(), FilmOptions())
def film(
    source: SourceFilm,
    /,
    *paintings: Paintings,
    output: FilmOutput = None,
    overwrite: Overwrite = False,
    save_every: SavedFrames = 0,
    recipe: Keeping = "embed",
    recipe_file: RecipeFile = None,
    quiet: Silent = False,
    engine: EngineName = "local",
    address: Address = None,
    workers: ShotWorkers = None,
    threads: Threads = None,
    memory: Memory = None,
    **given: Any,
) -> int:
    """Repaint a FILM in the style of one or more PAINTINGs, without flicker.

    What is painted is kept in a folder beside the output, OUTPUT.film: the film so far can be played
    from there, and impasto resume OUTPUT goes on with it after any end. With --workers or --engine
    ray, shots are painted side by side. Takes impasto[video].
    """
    check_engine(engine, address)
    limit = read_bytes(memory) if memory else None
    options = read_knobs(FilmOptions, {name: given.pop(name) for name in [*given] if name in FilmOptions.model_fields})
    settings = read_settings(given)
    with Interrupts("" if quiet else NOTICE) as interrupts:
        films = _import_films()
        from impasto.apps.batch.running import Plan
        from impasto.video.job import FilmJob

        together = Plan(engine, address, "shared", workers, threads, limit) if workers or engine == "ray" else None
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
        with download(settings.network, quiet) as fetching:
            return paint_film(
                lambda: films.start_film(job, fetching), job.output, interrupts, quiet, settings, together
            )


def go_on_with_film(file: Path, quiet: bool) -> int:
    """Go on with a film that was not finished, named by itself or by its folder."""
    from impasto.video.storage import SUFFIX

    with Interrupts("" if quiet else NOTICE) as interrupts:
        films = _import_films()
        with download("the network", quiet) as fetching:
            output = file.with_suffix("") if file.suffix == SUFFIX and file.is_dir() else file
            return paint_film(lambda: films.resume_film(file, fetching), output, interrupts, quiet)


def is_film(file: Path) -> bool:
    """Tell whether a film was begun at a place and not finished."""
    from impasto.video.storage import find_folder

    try:
        find_folder(file)
    except UsageError:
        return False
    return True


def paint_film(
    begin: "Callable[[], FilmRun]",
    output: Path,
    interrupts: Interrupts,
    quiet: bool,
    settings: Settings | None = None,
    together: "Plan | None" = None,
) -> int:
    """Paint, show it, and write the film, or what there is of it after a failure or an interrupt.

    `output` is what the film is called in the end. `together`, where it is given, has its shots painted side by side.
    """
    run: FilmRun | None = None
    failure: BaseException | None = None
    seconds = 0.0
    try:
        run = begin()
        if together and settings:
            from impasto.apps.batch.shots import paint_shots

            paint_shots(run, settings, together, interrupts, quiet)
        with film_reporter(quiet) as shown:
            told = 0
            for step in run if not interrupts.asked else ():
                interrupts.mode = "ask"
                seconds = shown.step(step)
                for note in run.notes[told:]:
                    shown.note(note)
                told = len(run.notes)
                if interrupts.asked:
                    break
    except (Exception, KeyboardInterrupt) as error:
        failure = error
    interrupts.mode = "hold"
    if run and run.finished:
        words = f": {run.frames} frame{'' if run.frames == 1 else 's'}, {seconds:.1f} s"
        answer(f"{output}{'' if quiet else words}")
        return DONE
    if run:
        leave(run, output, failure, quiet)
    if interrupts.asked:
        return INTERRUPTED
    assert failure is not None
    raise failure


def leave(run: "FilmRun", output: Path, failure: BaseException | None, quiet: bool) -> None:
    """Write what there is of a film, and say how to go on with it."""
    written = None
    with suppress(*([Exception] if failure else [])):  # what has ended it may end this too, and is said already
        written = run.write_unfinished()
    if written:
        answer(str(output) if quiet else f"{output}: unfinished, {run.done} of {run.frames} frames")
    said = "interrupted" if failure is None or isinstance(failure, KeyboardInterrupt) else "stopped"
    say(f"impasto: {said}; impasto resume {os.path.relpath(run.folder)} goes on with it")


def _name_output(source: Path, painting: Path) -> Path:
    from impasto.video.writing import FORMATS

    suffix = source.suffix.lower()
    several = source.is_dir() or not source.exists()
    kept = suffix if suffix in (*FORMATS, ".gif", ".webp", ".png") else ".mp4"
    stem = source.name if source.is_dir() else "frames" if several else source.stem
    return free_name(f"{stem}_{painting.stem}", "" if several else kept)


def _import_films() -> Any:
    try:
        from impasto import films
    except ModuleNotFoundError as error:
        if error.name not in ("av", "cv2"):
            raise
        raise ImpastoError("films need PyAV and OpenCV: install them with pip install 'impasto[video]'") from None
    return films
