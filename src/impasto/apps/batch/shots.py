"""A film's shots painted side by side: each by a worker of its own, in the film's folder, joined by who began it."""

from pathlib import Path
from typing import TYPE_CHECKING

from impasto.apps.batch.board import Board, make_board
from impasto.apps.batch.foreman import Foreman
from impasto.apps.batch.machine import estimate_bytes
from impasto.apps.batch.running import Plan, gather, share
from impasto.apps.batch.tasks import Died, Event, Failed, Finished, Progressed, Shot, Task
from impasto.apps.interrupts import Interrupts
from impasto.errors import ImpastoError
from impasto.settings import Settings

if TYPE_CHECKING:
    from impasto.video.run import FilmRun


def paint_shots(run: "FilmRun", settings: Settings, plan: Plan, interrupts: Interrupts, quiet: bool) -> None:
    """Have all shots painted that are not; after it, only what an interrupt has left is not done.

    Raises ImpastoError where a shot failed; the others are kept.
    """
    shots = run.list_shots()
    if not shots:
        return
    needed = estimate_bytes(settings)
    shares = share([settings] * len(shots), plan)
    tasks = [
        Task(
            number,
            Shot(run.folder.absolute(), shot.start, shot.stop, settings),
            bytes=needed,
            threads=plan.threads or 1 if plan.engine == "ray" else shares.count_threads(needed),
            checkpoint=Path(),
            digests={},
            token=run.folder.absolute() / "film.json",
        )
        for number, shot in enumerate(shots)
    ]
    failures: list[str] = []
    with make_board(len(tasks), quiet) as board, gather(tasks, shares, plan, quiet) as (crew, limits):
        interrupts.mode = "ask"
        foreman = Foreman(crew, lambda event: _hear(event, shots, board, failures), limits)
        foreman.work(sorted(tasks, key=lambda task: -len(shots[task.number])), lambda: bool(interrupts.asked))
    run.take_in()
    if failures:
        raise ImpastoError("\n".join(failures))


def _hear(event: Event, shots: list[range], board: Board, failures: list[str]) -> None:
    shot = shots[event.number]
    name = f"frames {shot.start + 1} to {shot.stop}"
    match event:
        case Progressed():
            board.progress(event.number, event.step / event.steps)
        case Finished():
            for note in event.notes:
                board.note(note)
            board.done(event.number, f"{name}: {event.seconds:.1f} s")
        case Died():
            board.note(f"{name}: the worker was lost ({event.reason}); another one goes on with it")
        case Failed():
            failures.append(f"{name}: {event.reason}")
            board.done(event.number, f"{name}: failed")
