"""The loop over a run of any painting command: progress, interrupts, and what is written at the end."""

import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from impasto.terminal.console import DONE, INTERRUPTED, print_message, print_result
from impasto.terminal.interrupts import INTERRUPT_NOTICE, Interrupts
from impasto.terminal.progress import ProgressDisplay, show_download

if TYPE_CHECKING:
    from impasto.runs.run import PaintingRun

DownloadProgress = Callable[[int, int], None]


class RunView(Protocol):
    """How a kind of run is described to a person."""

    seconds_between_lines: float

    def announce(self, run: Any) -> Iterator[str]:
        """Yield what is to be said before the first step."""

    def describe_step(self, step: Any) -> str:
        """Return the stage that a step belongs to."""

    def describe_result(self, run: Any, seconds: float) -> str:
        """Describe what was written, after so many seconds."""


def paint_run(
    start: Callable[[DownloadProgress, Interrupts], "PaintingRun"], network: str, view: RunView, quiet: bool
) -> int:
    """Start a run, paint it to its end or to an interrupt, and write what there is; returns the exit code."""
    run: PaintingRun | None = None
    failure: BaseException | None = None
    display = ProgressDisplay(quiet, view.seconds_between_lines)
    with Interrupts("" if quiet else INTERRUPT_NOTICE) as interrupts:
        try:
            with show_download(network, quiet) as show_bytes:
                run = start(show_bytes, interrupts)
            with display:
                for line in view.announce(run):
                    display.note(line)
                for step in run if not interrupts.count else ():
                    interrupts.mode = "ask"
                    display.update(step.progress, view.describe_step(step), describe_losses(step))
                    display.show_new_notes(run.notes)
                    if interrupts.count and not run.is_finished:
                        break
        except (Exception, KeyboardInterrupt) as error:
            failure = error
        interrupts.mode = "hold"
        if run:
            failure = write_result(run, failure, view, display, quiet)
            if failure is None and run.is_finished:
                return DONE
        return explain_end(run, failure, interrupts)


def write_result(
    run: "PaintingRun", failure: BaseException | None, view: RunView, display: ProgressDisplay, quiet: bool
) -> BaseException | None:
    """Write what is painted, and a checkpoint if it is unfinished or can't be written; returns the first failure."""
    if failure is None and not run.is_finished:
        run.save_checkpoint()
    try:
        if path := run.write_result():
            name = shorten_path(path)
            print_result(name if quiet else f"{name}: {view.describe_result(run, display.seconds_elapsed)}")
    except Exception as error:
        if failure is None and run.is_finished:
            run.save_checkpoint()
        failure = failure or error
    display.show_new_notes(run.notes)
    return failure


def explain_end(run: "PaintingRun | None", failure: BaseException | None, interrupts: Interrupts) -> int:
    """Say how to go on with a run that ended early; returns the exit code of an interrupt, or raises the failure."""
    path = run and run.resume_path
    hint = f"impasto resume {shlex.quote(shorten_path(path))} continues it" if path else ""
    if failure is None or (interrupts.count and isinstance(failure, KeyboardInterrupt)):
        print_message("; ".join(filter(None, ["impasto: interrupted", hint])))
        return INTERRUPTED
    if hint:
        print_message(f"impasto: {hint}")
    raise failure


def shorten_path(path: Path) -> str:
    """Return a path relative to the current folder, if it is inside."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_absolute() and path.is_relative_to(here) else path)


def describe_losses(step: Any) -> str:
    """List a step's number, its main losses, and the time since the start."""
    losses = [f"{name} {step.losses[name]:.3g}" for name in ("content", "style", "total") if name in step.losses]
    return ", ".join([f"step {step.step}", *losses, f"{step.seconds:.1f} s"])
