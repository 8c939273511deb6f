"""The loop over a run of any painting command: progress, interrupts, and what is written at the end."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from impasto.errors import ImpastoError
from impasto.terminal.console import DONE, INTERRUPTED, print_message, print_result
from impasto.terminal.interrupts import INTERRUPT_NOTICE, Interrupts
from impasto.terminal.progress import ProgressDisplay, show_download

if TYPE_CHECKING:
    from impasto.painting.painter import Step
    from impasto.runs.run import PaintingRun

DownloadProgress = Callable[[int, int], None]
PaintingRunT = TypeVar("PaintingRunT", bound="PaintingRun")


def paint_run(
    start: Callable[[DownloadProgress], PaintingRunT],
    network: str,
    quiet: bool,
    as_json: bool = False,
    seconds_between_lines: float = 0.0,
    paint_parts: Callable[[PaintingRunT, Interrupts], None] | None = None,
) -> int:
    """Start a run, paint it to its end or to an interrupt, and write what there is; returns the exit code.

    `as_json` prints the result as one JSON object, in place of a line for people. `paint_parts` paints what can be
    painted at the same time, before the rest.
    """
    run: PaintingRunT | None = None
    failure: BaseException | None = None
    display = ProgressDisplay(quiet, seconds_between_lines)
    with Interrupts("" if quiet else INTERRUPT_NOTICE) as interrupts:
        try:
            with show_download(network, quiet) as show_bytes:
                run = start(show_bytes)
            if paint_parts:
                paint_parts(run, interrupts)
            with display:
                for line in run.begin():
                    display.note(line)
                for step in run if not interrupts.count else ():
                    interrupts.mode = "ask"
                    display.update(step.progress, step.stage, describe_step(step))
                    display.show_new_notes(run.notes)
                    if interrupts.count:
                        break
        except (Exception, KeyboardInterrupt) as error:
            failure = error
        interrupts.mode = "hold"
        return finish_run(run, failure, display, interrupts, as_json)


def finish_run(
    run: "PaintingRun | None",
    failure: BaseException | None,
    display: ProgressDisplay,
    interrupts: Interrupts,
    as_json: bool,
) -> int:
    """Write what is painted, and a checkpoint if it is unfinished; returns the exit code, or raises the failure."""
    is_finished = run is not None and failure is None and run.is_finished
    if run:
        if failure is None and not is_finished:
            run.save_checkpoint()
        try:
            if path := run.write_result():
                say_result(run, path, display.is_quiet, as_json)
        except Exception as error:
            if is_finished:
                run.save_checkpoint()
            failure = failure or error
        display.show_new_notes(run.notes)
    return DONE if is_finished and failure is None else explain_end(run, failure, interrupts)


def say_result(run: "PaintingRun", path: Path, quiet: bool, as_json: bool) -> None:
    """Print where the result is, and what it is; that stdout is full is no failure, as the file is written."""
    line = shorten_path(path) if quiet else f"{shorten_path(path)}: {run.describe_result()}"
    try:
        print_result(describe_as_json(run, path) if as_json else line)
    except ImpastoError as error:
        print_message(f"impasto: {error}")


def describe_as_json(run: "PaintingRun", path: Path) -> str:
    """Describe a result for programs; `steps` are frames if it is a film."""
    result = run.recipe().result
    assert result
    facts = {
        "file": str(path.absolute()),
        "width": result.width,
        "height": result.height,
        "finished": run.is_finished,
        "step": result.step,
        "steps": result.steps,
        "seconds": round(run.seconds, 3),
        "losses": result.losses,
        "notes": run.notes,
        "resume": str(run.resume_path) if run.resume_path else None,
    }
    return json.dumps(facts)


def explain_end(run: "PaintingRun | None", failure: BaseException | None, interrupts: Interrupts) -> int:
    """Say how to go on with a run that ended early; returns the exit code of an interrupt, or raises the failure."""
    path = run and run.resume_path
    hint = f"impasto resume {shlex.quote(shorten_path(path))} continues it" if path else ""
    if failure is None or (interrupts.count and isinstance(failure, KeyboardInterrupt)):
        print_message("; ".join(filter(None, ["impasto: interrupted", hint])))
        return INTERRUPTED
    if hint:
        print_message(f"impasto: {hint}")
    failure.resume_path = path  # type: ignore[attr-defined]
    raise failure


def can_be_resumed(failure: BaseException) -> bool:
    """Whether `impasto resume` goes on with the run that failed."""
    return getattr(failure, "resume_path", None) is not None


def shorten_path(path: Path) -> str:
    """Return a path relative to the current folder, if it is inside."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_absolute() and path.is_relative_to(here) else path)


def describe_step(step: "Step") -> str:
    """Return a step's number, its main losses, and the time since the start."""
    losses = [f"{name} {step.losses[name]:.3g}" for name in ("content", "style", "total") if name in step.losses]
    return ", ".join([f"step {step.step}", *losses, f"{step.seconds:.1f} s"])
