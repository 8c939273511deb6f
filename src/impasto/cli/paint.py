"""Painting a job with somebody looking on: progress, interrupts, and the words at the end."""

import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from impasto.errors import ImpastoError
from impasto.images.folders import expand_folders
from impasto.images.output import check_output
from impasto.recipes.files import check_recipe_file
from impasto.settings.model import Settings
from impasto.terminal.console import DONE, INTERRUPTED, print_message, print_result
from impasto.terminal.interrupts import Interrupts
from impasto.terminal.progress import ProgressDisplay, show_download

if TYPE_CHECKING:
    from impasto.painting.painter import Step
    from impasto.runs.job import Job
    from impasto.runs.run import Run

INTERRUPT_NOTICE = "finishing this step; Ctrl-C again stops at once"


def paint_files(
    photo: Path | None,
    paintings: tuple[Path, ...],
    output: Path,
    settings: Settings,
    *,
    overwrite: bool,
    bits: Literal[8, 16],
    recipe_file: Path | None,
    quiet: bool,
    announcement: str = "",
    **rest: Any,
) -> int:
    """Check where the picture and its recipe shall go, say what is announced, and paint; `rest` is as for Job."""
    # start_job does and checks this too, but seconds later: torch comes first there.
    every, settings = expand_folders(paintings, settings)
    named = settings.list_files()
    inputs = [*([photo] if photo else []), *every, *named]
    size = settings.size if settings.fit == "longest" else 1  # otherwise it takes the photo to know
    check_output(output, inputs=inputs, overwrite=overwrite, bits=bits, size=size)
    if recipe_file:
        check_recipe_file(recipe_file, inputs=inputs, overwrite=overwrite)
    if announcement and not quiet:
        print_message(announcement)
    with Interrupts("" if quiet else INTERRUPT_NOTICE) as interrupts:
        from impasto.runs.job import Job

        job = Job(
            photo=photo,
            paintings=tuple(every),
            output=output,
            settings=settings,
            overwrite=overwrite,
            bits=bits,
            recipe_file=recipe_file,
            **rest,
        )
        return paint_job(job, interrupts, quiet)


def paint_job(job: "Job", interrupts: Interrupts, quiet: bool) -> int:
    """Paint, show it, write the picture, or what there is of it after a failure or an interrupt."""
    from impasto.api import start_job

    return paint_run(lambda fetching: start_job(job, fetch_progress=fetching), job.settings, interrupts, quiet)


def paint_run(
    start_run: "Callable[[Callable[[int, int], None]], Run]", settings: Settings, interrupts: Interrupts, quiet: bool
) -> int:
    """Begin a run and paint it, as `paint_job` does; `begin` is given what is told of a network's fetching."""
    run: Run | None = None
    last: Step | None = None
    finished = False
    failure: BaseException | None = None
    try:
        with show_download(settings.network, quiet) as fetching:
            run = start_run(fetching)
        last = run.last_step
        with ProgressDisplay(quiet) as shown:
            if last is None:
                announce_plan(run, shown)
            for step in watch_steps(run, shown):
                last = step
                interrupts.mode = "ask"
                if interrupts.count and step.step < run.total_steps:
                    break
            else:
                finished = True
    except (Exception, KeyboardInterrupt) as error:
        failure = error
    interrupts.mode = "hold"
    kept = save_checkpoint(run, failure is None and not finished, quiet) if run else ""
    if run and last:
        try:
            write_picture(run, last, quiet, finished)
        except ImpastoError:
            if words := save_checkpoint(run, failure is None, quiet):
                print_message(f"impasto: {words}")
            raise
    if interrupts.count and not finished:
        said = "interrupted" if last else "interrupted before the first step; no picture was written"
        print_message(f"impasto: {said}{kept and '; '}{kept}")
        return INTERRUPTED
    if failure:
        if kept:
            print_message(f"impasto: {kept}")
        raise failure
    return DONE


def announce_plan(run: "Run", shown: ProgressDisplay) -> None:
    """Settle how a run is painted, and say it, and where it is kept."""
    words = run.quick_plan().describe()
    run.apply_plan()
    shown.note(words)
    if run.checkpoint_writer:
        shown.note(f"kept in {run.checkpoint_writer.path} every few minutes, until it is finished")


def save_checkpoint(run: "Run", between_steps: bool, quiet: bool) -> str:
    """Keep a run that ends before it is finished, and say how to go on with it, if it is kept anywhere.

    Within a step, where it can't be written down, it is kept as it was last.
    """
    told = len(run.notes)
    if between_steps:
        run.save_checkpoint()
    for note in [] if quiet else run.notes[told:]:
        print_message(note)
    keeper = run.checkpoint_writer
    return f"impasto resume {shlex.quote(str(keeper.path))} goes on with it" if keeper and keeper.written_step else ""


def watch_steps(run: "Run", shown: ProgressDisplay) -> Iterator["Step"]:
    """Pass on the steps of a run, and show each with the notes that came with it."""
    told = 0
    try:
        for step in run:
            show_step(step, run.total_steps, shown)
            for note in run.notes[told:]:
                shown.note(note)
            told = len(run.notes)
            yield step
    finally:
        for note in run.notes[told:]:
            shown.note(note)


def show_step(step: "Step", total: int, shown: ProgressDisplay) -> None:
    """Show a step of a picture."""
    stage = f"scale {step.scale}/{step.scales}, {step.width} x {step.height}"
    shown.update(step.progress, stage, f"step {step.step}/{total}", describe_losses(step))


def describe_losses(step: "Step") -> str:
    """List the main losses of a step, and the time since the start."""
    losses = [f"{name} {step.losses[name]:.3g}" for name in ("content", "style", "total") if name in step.losses]
    return ", ".join([*losses, f"{step.seconds:.1f} s"])


def write_picture(run: "Run", last: "Step", quiet: bool, finished: bool) -> None:
    """Write the picture and say on stdout where it is."""
    path = run.write()
    size = f"{last.width} x {last.height}, {last.seconds:.1f} s"
    state = (
        "" if finished else f", unfinished: scale {last.scale} of {last.scales}, step {last.step} of {run.total_steps}"
    )
    print_result(str(path) if quiet else f"{path}: {size}{state}")
