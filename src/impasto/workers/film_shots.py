"""A film's shots painted side by side: each by a worker of its own, in the film's folder, joined by who began it."""

from pathlib import Path
from typing import TYPE_CHECKING

from impasto.batch.run import WorkerOptions, allocate_for, open_pool
from impasto.errors import ImpastoError
from impasto.settings.model import Settings
from impasto.terminal.interrupts import Interrupts
from impasto.terminal.progress import ItemsDisplay
from impasto.workers.messages import Event, FilmShot, Task, TaskFailed, TaskFinished, TaskProgress, WorkerLost
from impasto.workers.resources import estimate_bytes
from impasto.workers.scheduler import Scheduler

if TYPE_CHECKING:
    from impasto.films.film_run import FilmRun


def paint_shots(run: "FilmRun", settings: Settings, plan: WorkerOptions, interrupts: Interrupts, quiet: bool) -> None:
    """Have all shots painted that are not; after it, only what an interrupt has left is not done.

    Raises ImpastoError where a shot failed; the others are kept.
    """
    shots = run.list_shots()
    if not shots:
        return
    needed = estimate_bytes(settings)
    shares = allocate_for([settings] * len(shots), plan)
    tasks = [
        Task(
            number,
            FilmShot(run.folder.absolute(), shot.start, shot.stop, settings),
            memory_bytes=needed,
            threads=plan.threads or 1 if plan.engine == "ray" else shares.count_threads(needed),
            checkpoint=Path(),
            digests={},
            shared_folder_marker=run.folder.absolute() / "film.json",
        )
        for number, shot in enumerate(shots)
    ]
    failures: list[str] = []
    with ItemsDisplay(len(tasks), quiet) as display, open_pool(tasks, shares, plan, quiet) as (crew, limits):
        interrupts.mode = "ask"
        foreman = Scheduler(crew, lambda event: _on_event(event, shots, display, failures), limits)
        foreman.run(sorted(tasks, key=lambda task: -len(shots[task.number])), lambda: bool(interrupts.count))
    run.reload_progress()
    if failures:
        raise ImpastoError("\n".join(failures))


def _on_event(event: Event, shots: list[range], display: ItemsDisplay, failures: list[str]) -> None:
    shot = shots[event.number]
    name = f"frames {shot.start + 1} to {shot.stop}"
    match event:
        case TaskProgress():
            display.update_item(event.number, event.progress)
        case TaskFinished():
            for note in event.notes:
                display.note(note)
            display.finish_item(event.number, f"{name}: {event.seconds:.1f} s")
        case WorkerLost():
            display.note(f"{name}: the worker was lost ({event.reason}); another one goes on with it")
        case TaskFailed():
            failures.append(f"{name}: {event.reason}")
            display.finish_item(event.number, f"{name}: failed")
