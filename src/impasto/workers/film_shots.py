"""A film's shots painted in parallel, each by one worker, in the film's folder."""

from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from impasto.errors import ImpastoError
from impasto.settings.model import Settings
from impasto.workers.messages import Event, FilmShot, Task, TaskFailed
from impasto.workers.pool import WorkerOptions, estimate_task_bytes
from impasto.workers.scheduler import run_tasks

if TYPE_CHECKING:
    from impasto.films.film_run import FilmRun


def paint_shots(
    run: "FilmRun", settings: Settings, options: WorkerOptions, is_stopping: Callable[[], bool]
) -> Generator[tuple[str, Event]]:
    """Paint all unfinished shots. Yields what happens, each event with its shot's name; arguments as for `run_tasks`.

    Raises ImpastoError at the end if a shot failed; finished shots are kept.
    """
    shots = run.list_shots()
    if not shots:
        return
    allocation = options.allocate([settings] * len(shots))
    threads = options.count_threads(allocation, estimate_task_bytes(settings))
    tasks = [_make_task(number, shot, run.folder.absolute(), settings, threads) for number, shot in enumerate(shots)]
    tasks.sort(key=lambda task: -len(shots[task.number]))  # the longest first, so that none begins alone at the end
    failures: list[str] = []
    try:
        with closing(run_tasks(tasks, allocation, options, is_stopping)) as events:
            for event in events:
                name = f"frames {shots[event.number].start + 1} to {shots[event.number].stop}"
                if isinstance(event, TaskFailed):
                    failures.append(f"{name}: {event.reason}")
                yield name, event
    finally:
        run.reload_progress()
    if failures:
        raise ImpastoError("\n".join(failures))


def _make_task(number: int, shot: range, folder: Path, settings: Settings, threads: int) -> Task:
    return Task(
        number,
        FilmShot(folder, shot.start, shot.stop, settings),
        memory_bytes=estimate_task_bytes(settings),
        threads=threads,
        checkpoint=Path(),
        digests={},
        shared_folder_marker=folder / "film.json",
    )
