"""A batch from its plan to its report: what is finished is left, the rest is painted, what failed is told."""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from filelock import FileLock, Timeout

from impasto.batch.books import BatchReport
from impasto.batch.commissions import Commission
from impasto.batch.items import BatchItem, resolve_items
from impasto.batch.report import check_report
from impasto.errors import PictureError, UsageError
from impasto.network import registry
from impasto.painting.device import measure_free_memory
from impasto.settings.model import Settings
from impasto.terminal.console import DONE, FAILED, INTERRUPTED, print_message
from impasto.terminal.interrupts import Interrupts
from impasto.terminal.progress import ItemsDisplay, show_download
from impasto.workers.clerk import ResultWriter
from impasto.workers.messages import Task
from impasto.workers.process_pool import ProcessPool
from impasto.workers.resources import IDLE_BYTES, Allocation, allocate, count_cores, estimate_bytes
from impasto.workers.scheduler import Limits, Scheduler, WorkerPool

STATE_FOLDER = ".impasto"  # the folder, in the output's, of what a batch needs while it runs


@dataclass(frozen=True)
class WorkerOptions:
    """Who paints, and what they may take; None where that is chosen by what there is."""

    engine: Literal["local", "ray"] = "local"
    address: str | None = None
    transfer: Literal["auto", "shared", "store"] = "auto"
    workers: int | None = None
    threads: int | None = None
    memory_bytes: int | None = None
    checkpoint_every: float = 30.0


def run_batch(
    commissions: Sequence[Commission],
    names: Sequence[str],
    output: Path,
    plan: WorkerOptions,
    interrupts: Interrupts,
    *,
    overwrite: bool,
    quiet: bool,
) -> int:
    """Paint what is not finished yet, report, and return the exit code."""
    with _lock_output(output) as folder:
        books = BatchReport(
            standings := resolve_items(commissions, names, folder, overwrite=overwrite), folder, output, quiet
        )
        finished = False
        try:
            _paint_items(standings, folder, plan, interrupts, books, quiet)
            finished = not interrupts.count
        except KeyboardInterrupt:
            pass
        finally:
            interrupts.mode = "hold"
            books.close()
            if not books.has_waiting:
                for checkpoint in (folder / STATE_FOLDER).glob("*.checkpoint"):  # of what is not wanted any more, too
                    checkpoint.unlink()
    if not finished and books.has_waiting:
        print_message("impasto: interrupted; the same command goes on from here")
        return INTERRUPTED
    return FAILED if books.has_failures else DONE


@contextmanager
def _lock_output(output: Path) -> Iterator[Path]:
    """Make the output folder and hold it against other batches; yields its absolute path."""
    folder = output.expanduser().absolute()
    # The empty lock file stays: who removes it takes it away from under those that wait for it.
    lock = FileLock(folder / STATE_FOLDER / "lock")
    try:
        (folder / STATE_FOLDER).mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise PictureError(f"Another impasto batch is painting into {output}: wait for it, or choose another") from None
    except (FileExistsError, NotADirectoryError):
        raise PictureError(f"{output} can't be made, there is a file of that name: choose another --output") from None
    except OSError as error:
        raise PictureError(f"{output} can't be written to, {error.strerror}: choose another --output") from None
    try:
        check_report(folder)
        yield folder
    finally:
        lock.release()


def _paint_items(
    standings: Sequence[BatchItem],
    folder: Path,
    plan: WorkerOptions,
    interrupts: Interrupts,
    books: BatchReport,
    quiet: bool,
) -> None:
    settings = [standing.job.settings for standing in standings if standing.job]
    if not settings:
        return
    shares = allocate_for(settings, plan)
    room = shares.memory_bytes if plan.engine == "local" else plan.memory_bytes
    token = folder / STATE_FOLDER / secrets.token_hex(8)
    token.touch()
    tasks = [
        Task(
            number,
            standing.job,
            memory_bytes=(needed := estimate_bytes(standing.job.settings)),
            threads=plan.threads or 1 if plan.engine == "ray" else shares.count_threads(needed),
            checkpoint=folder / STATE_FOLDER / f"{standing.key}.checkpoint",
            digests=standing.digests,
            shared_folder_marker=token,
            checkpoint_every=plan.checkpoint_every,
            # The more there are on a cluster, the less the driver wants to hear of each.
            progress_every=0.5 if plan.engine == "local" else min(60.0, max(2.0, len(settings) / 200)),
            memory_limit=None if room is None or needed <= room else room + IDLE_BYTES,
        )
        for number, standing in enumerate(standings)
        if standing.job
    ]
    tasks.sort(key=lambda task: -task.memory_bytes)  # the longest first, so that no worker is left with one at the end
    with ItemsDisplay(len(tasks), quiet) as display, open_pool(tasks, shares, plan, quiet) as (crew, limits):
        clerk = ResultWriter(tasks, lambda event: books.on_event(event, display))
        foreman = Scheduler(crew, clerk.on_event, limits)
        interrupts.mode = "ask"
        try:
            foreman.run(tasks, lambda: bool(interrupts.count))
        finally:
            interrupts.mode = "hold"
            token.unlink(missing_ok=True)


def allocate_for(settings: Sequence[Settings], plan: WorkerOptions) -> Allocation:
    """Share this machine out among workers for pictures of these settings."""
    cards = _count_gpus(settings)
    return allocate(
        [estimate_bytes(each) for each in settings],
        cores=count_cores(),
        memory=plan.memory_bytes or measure_free_memory(torch.device("cpu")),
        workers=plan.workers or cards or None,
        threads=plan.threads,
    )


def _count_gpus(settings: Sequence[Settings]) -> int:
    """Count this machine's graphics cards, if any picture is for one."""
    return torch.cuda.device_count() if any(_wants_gpu(each) for each in settings) else 0


def _wants_gpu(settings: Settings) -> bool:
    return settings.device == "auto" or settings.device.startswith("cuda")


@contextmanager
def open_pool(
    tasks: Sequence[Task], shares: Allocation, plan: WorkerOptions, quiet: bool
) -> Iterator[tuple[WorkerPool, Limits]]:
    """Call the workers together, and let them go at the end."""
    settings = [task.job.settings for task in tasks]
    crew: WorkerPool
    if plan.engine == "local":
        for network in {each.network for each in settings} & set(registry.REGISTRY):
            with show_download(network, quiet) as progress:  # once, and not in each worker
                registry.fetch_network(network, progress=progress)
        crew = ProcessPool(shares.workers, max(task.threads for task in tasks), _count_gpus(settings))
        try:
            yield crew, Limits(shares.memory_bytes, max(shares.cores, shares.workers * (shares.fixed_threads or 1)))
        finally:
            crew.close()
        return
    try:
        from impasto.workers.ray_pool import RayPool, connect
    except ImportError:
        raise UsageError("--engine ray needs Ray: pip install 'impasto[ray]'") from None
    with connect(plan.address, shares.cores):
        needed = IDLE_BYTES + max(task.memory_bytes for task in tasks)
        crew = RayPool(plan.threads or 1, needed, plan.transfer, plan.workers, any(map(_wants_gpu, settings)))
        try:
            yield crew, Limits()
        finally:
            crew.close()
