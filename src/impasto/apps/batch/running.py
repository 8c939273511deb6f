"""A batch from its plan to its report: what is finished is left, the rest is painted, what failed is told."""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from filelock import FileLock, Timeout

from impasto.apps.batch.board import make_board
from impasto.apps.batch.books import Books
from impasto.apps.batch.clerk import Clerk
from impasto.apps.batch.commissions import Commission
from impasto.apps.batch.foreman import Crew, Foreman, Limits
from impasto.apps.batch.local import LocalCrew
from impasto.apps.batch.machine import IDLE_BYTES, Shares, count_cores, estimate_bytes, share_out
from impasto.apps.batch.report import check_report
from impasto.apps.batch.stock import Standing, take_stock
from impasto.apps.batch.tasks import Task
from impasto.apps.interrupts import Interrupts
from impasto.apps.progress import download
from impasto.apps.terminal import DONE, FAILED, INTERRUPTED, say
from impasto.errors import PictureError, UsageError
from impasto.painting.hardware import free_memory
from impasto.perception import weights
from impasto.settings import Settings

STATE = ".impasto"  # the folder, in the output's, of what a batch needs while it runs


@dataclass(frozen=True)
class Plan:
    """Who paints, and what they may take; None where that is chosen by what there is."""

    engine: Literal["local", "ray"] = "local"
    address: str | None = None
    transfer: Literal["auto", "shared", "store"] = "auto"
    workers: int | None = None
    threads: int | None = None
    memory: int | None = None
    save_every: float = 30.0


def run_batch(
    commissions: Sequence[Commission],
    names: Sequence[str],
    output: Path,
    plan: Plan,
    interrupts: Interrupts,
    *,
    overwrite: bool,
    quiet: bool,
) -> int:
    """Paint what is not finished yet, report, and return the exit code."""
    with _alone_in(output) as folder:
        books = Books(standings := take_stock(commissions, names, folder, overwrite=overwrite), folder, output, quiet)
        finished = False
        try:
            _paint(standings, folder, plan, interrupts, books, quiet)
            finished = not interrupts.asked
        except KeyboardInterrupt:
            pass
        finally:
            interrupts.mode = "hold"
            books.close()
            if not books.left:
                for checkpoint in (folder / STATE).glob("*.checkpoint"):  # of what is not wanted any more, too
                    checkpoint.unlink()
    if not finished and books.left:
        say("impasto: interrupted; the same command goes on from here")
        return INTERRUPTED
    return FAILED if books.failed else DONE


@contextmanager
def _alone_in(output: Path) -> Iterator[Path]:
    """Make the output folder and hold it against other batches; yields its absolute path."""
    folder = output.expanduser().absolute()
    # The empty lock file stays: who removes it takes it away from under those that wait for it.
    lock = FileLock(folder / STATE / "lock")
    try:
        (folder / STATE).mkdir(parents=True, exist_ok=True)
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


def _paint(
    standings: Sequence[Standing], folder: Path, plan: Plan, interrupts: Interrupts, books: Books, quiet: bool
) -> None:
    settings = [standing.job.settings for standing in standings if standing.job]
    if not settings:
        return
    shares = share(settings, plan)
    room = shares.bytes if plan.engine == "local" else plan.memory
    token = folder / STATE / secrets.token_hex(8)
    token.touch()
    tasks = [
        Task(
            number,
            standing.job,
            bytes=(needed := estimate_bytes(standing.job.settings)),
            threads=plan.threads or 1 if plan.engine == "ray" else shares.count_threads(needed),
            checkpoint=folder / STATE / f"{standing.key}.checkpoint",
            digests=standing.digests,
            token=token,
            save_every=plan.save_every,
            # The more there are on a cluster, the less the driver wants to hear of each.
            tell_every=0.5 if plan.engine == "local" else min(60.0, max(2.0, len(settings) / 200)),
            limit=None if room is None or needed <= room else room + IDLE_BYTES,
        )
        for number, standing in enumerate(standings)
        if standing.job
    ]
    tasks.sort(key=lambda task: -task.bytes)  # the longest first, so that no worker is left with one at the end
    with make_board(len(tasks), quiet) as board, gather(tasks, shares, plan, quiet) as (crew, limits):
        clerk = Clerk(tasks, lambda event: books.hear(event, board))
        foreman = Foreman(crew, clerk.take, limits)
        interrupts.mode = "ask"
        try:
            foreman.work(tasks, lambda: bool(interrupts.asked))
        finally:
            interrupts.mode = "hold"
            token.unlink(missing_ok=True)


def share(settings: Sequence[Settings], plan: Plan) -> Shares:
    """Share this machine out among workers for pictures of these settings."""
    cards = _count_cards(settings)
    return share_out(
        [estimate_bytes(each) for each in settings],
        cores=count_cores(),
        memory=plan.memory or free_memory(torch.device("cpu")),
        workers=plan.workers or cards or None,
        threads=plan.threads,
    )


def _count_cards(settings: Sequence[Settings]) -> int:
    """Count this machine's graphics cards, if any picture is for one."""
    return torch.cuda.device_count() if any(_wants_card(each) for each in settings) else 0


def _wants_card(settings: Settings) -> bool:
    return settings.device == "auto" or settings.device.startswith("cuda")


@contextmanager
def gather(tasks: Sequence[Task], shares: Shares, plan: Plan, quiet: bool) -> Iterator[tuple[Crew, Limits]]:
    """Call the workers together, and let them go at the end."""
    settings = [task.job.settings for task in tasks]
    crew: Crew
    if plan.engine == "local":
        for network in {each.network for each in settings} & set(weights.REGISTRY):
            with download(network, quiet) as progress:  # once, and not in each worker
                weights.fetch(network, progress=progress)
        crew = LocalCrew(shares.workers, max(task.threads for task in tasks), _count_cards(settings))
        try:
            yield crew, Limits(shares.bytes, max(shares.cores, shares.workers * (shares.fixed_threads or 1)))
        finally:
            crew.close()
        return
    try:
        from impasto.apps.batch.cluster import RayCrew, connect
    except ImportError:
        raise UsageError("--engine ray needs Ray: pip install 'impasto[ray]'") from None
    with connect(plan.address, shares.cores):
        needed = IDLE_BYTES + max(task.bytes for task in tasks)
        crew = RayCrew(plan.threads or 1, needed, plan.transfer, plan.workers, any(map(_wants_card, settings)))
        try:
            yield crew, Limits()
        finally:
            crew.close()
