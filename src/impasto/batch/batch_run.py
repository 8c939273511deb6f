"""A batch from its items to its report: finished pictures are kept, the others are painted by workers."""

import secrets
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from impasto.batch.items import BatchItem
from impasto.batch.report import HTML_NAME, BatchReport, check_report, count_statuses
from impasto.batch.resolve import resolve_items
from impasto.errors import PictureError
from impasto.images.output import check_place
from impasto.settings.units import format_count
from impasto.terminal.console import DONE, FAILED, INTERRUPTED, print_message, print_result
from impasto.terminal.interrupts import Interrupts
from impasto.terminal.progress import WorkerDisplay, fetch_networks
from impasto.workers.messages import Event, Task, TaskFinished
from impasto.workers.pool import WorkerOptions, estimate_task_bytes
from impasto.workers.resources import IDLE_BYTES, Allocation
from impasto.workers.scheduler import run_tasks

STATE_FOLDER = ".impasto"  # in the output folder: the lock and the checkpoints
MAX_FAILURES_SHOWN = 40
PROGRESS_SECONDS = 0.5
MAX_CLUSTER_PROGRESS_SECONDS = 60.0


def run_batch(
    items: Sequence[BatchItem],
    names: Sequence[str],
    output: Path,
    options: WorkerOptions,
    interrupts: Interrupts,
    *,
    overwrite: bool,
    quiet: bool,
) -> int:
    """Paint the pictures that are not finished yet, write the report, and return the exit code."""
    with _lock_output(output) as folder:
        check_report(folder, len(items))
        resolve_items(items, names, folder, overwrite=overwrite)
        report = BatchReport(items, folder)
        try:
            with closing(paint_items(items, folder / STATE_FOLDER, options, interrupts, quiet)) as events:
                for item, event in events:
                    if quiet and isinstance(event, TaskFinished):
                        print_result(str(output / item.label))
                    report.write_if_due()
        except KeyboardInterrupt:
            pass
        finally:
            interrupts.mode = "hold"
            report.write()
            print_failures(items, f"in {output / 'report.csv'}")
            if not quiet:
                print_result(f"{output}: {count_statuses(items)}; see {output / HTML_NAME}")
        if any(item.status == "waiting" for item in items):
            print_message("impasto: interrupted; the same command goes on from here")
            return INTERRUPTED
        kept = {f"{item.key}.checkpoint" for item in items if item.status == "failed"}  # to go on with less memory
        for checkpoint in (folder / STATE_FOLDER).glob("*.checkpoint"):  # also of pictures of earlier commands
            if checkpoint.name not in kept:
                checkpoint.unlink()
    return FAILED if any(item.status == "failed" for item in items) else DONE


def paint_items(
    items: Sequence[BatchItem], state_folder: Path, options: WorkerOptions, interrupts: Interrupts, quiet: bool
) -> Generator[tuple[BatchItem, Event]]:
    """Paint the waiting items; show, record and yield what happens to each.

    The first interrupt stops the workers and ends this in order. `state_folder` is for checkpoints.
    """
    waiting = [item for item in items if item.status == "waiting"]
    if not waiting:
        return
    settings = [item.job.settings for item in waiting]
    fetch_networks(settings, options, quiet)
    allocation = options.allocate(settings)
    marker = state_folder / secrets.token_hex(8)
    marker.touch()
    tasks = [_make_task(number, item, marker, options, allocation, len(waiting)) for number, item in enumerate(waiting)]
    tasks.sort(key=lambda task: -task.memory_bytes)  # the longest first, so that none begins alone at the end
    with (
        WorkerDisplay(len(tasks), quiet) as display,
        closing(run_tasks(tasks, allocation, options, lambda: interrupts.count > 0)) as events,
    ):
        interrupts.mode = "ask"
        try:
            for event in events:
                item = waiting[event.number]
                item.record(event)
                display.show_event(item.label, event)
                yield item, event
        finally:
            interrupts.mode = "hold"
            marker.unlink(missing_ok=True)


def print_failures(items: Sequence[BatchItem], more: str = "") -> None:
    """Print which items failed and why; `more` says where the rest is listed."""
    failures = [item for item in items if item.status == "failed"]
    if not failures:
        return
    print_message(f"impasto: {len(failures)} of {format_count(len(items), 'picture')} failed:")
    shown = failures[:MAX_FAILURES_SHOWN]
    width = min(40, max(len(item.label) for item in shown))
    for item in shown:
        print_message(f"  {item.label:<{width}}  {item.reason}")
    if len(failures) > len(shown):
        print_message(f"  and {len(failures) - len(shown)} more, {more}")


@contextmanager
def _lock_output(output: Path) -> Iterator[Path]:
    """Make the output folder and lock it against other batches; yields its absolute path."""
    check_place(output)
    folder = output.expanduser().absolute()
    # The empty lock file stays: if it were removed, two batches that wait for it could both get a lock.
    lock = FileLock(folder / STATE_FOLDER / "lock")
    try:
        (folder / STATE_FOLDER).mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise PictureError(f"Another impasto batch is painting into {output}: wait for it, or choose another") from None
    except (FileExistsError, NotADirectoryError):
        raise PictureError(f"{output} can't be made, there is a file of that name: choose another `output`") from None
    except OSError as error:
        raise PictureError(f"{output} can't be written to, {error.strerror}: choose another `output`") from error
    try:
        yield folder
    finally:
        lock.release()


def _make_task(
    number: int, item: BatchItem, marker: Path, options: WorkerOptions, allocation: Allocation, task_count: int
) -> Task:
    memory_bytes = estimate_task_bytes(item.job.settings)
    is_local = options.engine == "local"
    available = allocation.memory_bytes if is_local else options.memory_bytes
    # The more pictures are painted on a cluster, the less often the driver wants to hear of each.
    cluster_seconds = min(MAX_CLUSTER_PROGRESS_SECONDS, max(2.0, task_count / 200))
    return Task(
        number,
        item.job,
        memory_bytes=memory_bytes,
        threads=options.count_threads(allocation, memory_bytes),
        checkpoint=marker.with_name(f"{item.key}.checkpoint"),
        digests=item.digests,
        shared_folder_marker=marker,
        checkpoint_every=options.checkpoint_every,
        progress_every=PROGRESS_SECONDS if is_local else cluster_seconds,
        memory_limit=None if available is None or memory_bytes <= available else available + IDLE_BYTES,
    )
