"""A pool of workers, on this machine or on a Ray cluster: which one to open, and what it may use."""

import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol

import torch

from impasto.errors import UsageError, describe_install
from impasto.painting.cost_model import estimate_pass_bytes, estimate_whole_bytes
from impasto.painting.device import measure_free_memory
from impasto.settings.model import Settings
from impasto.workers.messages import Event, Task
from impasto.workers.process_pool import ProcessPool
from impasto.workers.resources import IDLE_BYTES, Allocation, allocate, count_cores


class WorkerHandle(Protocol):
    """A worker. It takes one task at a time, after it has reported WorkerReady."""

    def submit(self, task: Task) -> None:
        """Start to paint a task."""

    def request_stop(self) -> None:
        """Leave the task after the present step."""


class WorkerPool(Protocol):
    """Workers of one kind: processes on this machine, or actors on a cluster."""

    def count_workers(self) -> int:
        """How many workers there may be now."""

    def start_worker(self) -> WorkerHandle:
        """Start one more worker."""

    def poll(self, seconds: float) -> Sequence[tuple[WorkerHandle, Event]]:
        """Wait at most `seconds` for events; returns them in order, each with its worker."""

    def close(self) -> None:
        """End all workers at once."""


@dataclass(frozen=True)
class WorkerOptions:
    """Who paints, and what the workers may use; None: chosen to fit the machine or the cluster."""

    engine: Literal["local", "ray"] = "local"
    address: str | None = None
    transfer: Literal["auto", "shared", "store"] = "auto"
    workers: int | None = None
    threads: int | None = None
    memory_bytes: int | None = None
    checkpoint_every: float = 30.0

    def allocate(self, settings: Sequence[Settings]) -> Allocation:
        """Divide this machine among workers for pictures with these settings."""
        return allocate(
            [estimate_task_bytes(each) for each in settings],
            cores=count_cores(),
            memory=self.memory_bytes or measure_free_memory(torch.device("cpu")),
            workers=self.workers or _count_cards(settings) or None,
            threads=self.threads,
        )

    def count_threads(self, allocation: Allocation, memory_bytes: int) -> int:
        """Choose the number of threads for a task that needs so much memory."""
        return allocation.count_threads(memory_bytes) if self.engine == "local" else self.threads or 1


def estimate_task_bytes(settings: Settings) -> int:
    """Estimate from the settings alone how many bytes a picture or frame takes, besides an idle worker's IDLE_BYTES."""
    if settings.is_one_pass:
        return estimate_pass_bytes(settings.size**2) - IDLE_BYTES
    return estimate_whole_bytes(settings)


@contextmanager
def open_pool(tasks: Sequence[Task], allocation: Allocation, options: WorkerOptions) -> Iterator[WorkerPool]:
    """Open the pool that `options` ask for, and end its workers at the end.

    Raises UsageError if there is no such engine or cluster.
    """
    settings = [task.job.settings for task in tasks]
    if options.engine == "local":
        threads = max(task.threads for task in tasks)
        with closing(ProcessPool(allocation.workers, threads, _list_cards(settings))) as pool:
            yield pool
        return
    try:
        from impasto.workers.ray_pool import RayPool, connect
    except ImportError:
        raise UsageError(f"`engine` ray needs Ray: {describe_install('ray')}") from None
    memory_bytes = IDLE_BYTES + max(task.memory_bytes for task in tasks)
    with (
        connect(options.address, allocation.cores),
        closing(
            RayPool(options.threads or 1, memory_bytes, options.transfer, options.workers, _can_take_any_card(settings))
        ) as pool,
    ):
        yield pool


def _count_cards(settings: Sequence[Settings]) -> int:
    """Count the graphics cards of this machine that the pictures may be painted on."""
    if _can_take_any_card(settings):
        return len(_list_cards(settings))
    return len({each.device for each in settings if _wants_card(each)}) if torch.cuda.is_available() else 0


def _list_cards(settings: Sequence[Settings]) -> list[str]:
    """List the graphics cards that workers may share out, as CUDA_VISIBLE_DEVICES names them."""
    if not _can_take_any_card(settings):
        return []
    count = torch.cuda.device_count()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return [str(number) for number in range(count)] if visible is None else visible.split(",")[:count]


def _can_take_any_card(settings: Sequence[Settings]) -> bool:
    """Whether graphics cards are wanted, and none by its number, which a worker that sees one card would not find."""
    wanted = {each.device for each in settings if _wants_card(each)}
    return bool(wanted) and wanted <= {"auto", "gpu", "cuda"}


def _wants_card(settings: Settings) -> bool:
    return settings.device in ("auto", "gpu") or settings.device.startswith("cuda")
