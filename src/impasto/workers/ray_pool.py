"""Workers on a Ray cluster: actors, each with its share of a node."""

import logging
import os
import platform
import signal
import sys
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, field, replace
from io import TextIOBase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import ray
from ray.exceptions import RayError, RayTaskError
from typing_extensions import override

from impasto.errors import PictureError, UsageError
from impasto.images.output import atomic_write
from impasto.workers.messages import (
    CheckpointSaved,
    Event,
    FilesMissing,
    FilmShot,
    Task,
    TaskFailed,
    TaskFinished,
    TaskStopped,
    WorkerLost,
    WorkerReady,
)
from impasto.workers.openmp import configure_openmp

if TYPE_CHECKING:
    from impasto.runs.job import Job

MAX_CACHED_FILES = 64  # in the object store for the workers, and at each worker
Transfer = Literal["auto", "shared", "store"]

ray_remote: Any = ray.remote  # its types do not know max_concurrency


@contextmanager
def connect(address: str | None, cores: int) -> Iterator[None]:
    """Join the cluster at an address or at RAY_ADDRESS. If neither is given, start one on this machine alone.

    Ray sends no usage statistics, and writes its messages to its logs only. Raises UsageError if there is no cluster.
    """
    if address and address.startswith("ray://"):
        raise UsageError(
            f"`address` {address}: run impasto on a machine of the cluster, with `address` auto; or send the whole "
            "command there with ray job submit",
        )
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    options: dict[str, Any] = {"num_cpus": cores, "include_dashboard": False} if address == "local" else {}
    handlers = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)}
    stdout = _MainThreadStdout(sys.stdout)
    with redirect_stdout(stdout):
        try:
            ray.init(address, logging_level=logging.ERROR, log_to_driver=False, **options)
        except (ConnectionError, RayError, ValueError, RuntimeError) as error:
            reason = str(error).partition("\n")[0]
            raise UsageError(f"`address` {address}: there is no Ray cluster ({reason})") from error
        for name, handler in handlers.items():
            signal.signal(name, handler)  # ray.init has replaced them
        try:
            yield
        finally:
            stdout.is_open = False  # Ray now prints what it has held back
            ray.shutdown()


class _MainThreadStdout(TextIOBase):
    """A stdout for the main thread only, while it is open: Ray's threads print pages when a node dies."""

    def __init__(self, stdout: Any) -> None:
        self._stdout, self.is_open = stdout, True

    @override
    def write(self, text: str) -> int:
        if self.is_open and threading.current_thread() is threading.main_thread():
            self._stdout.write(text)
        return len(text)

    @override
    def flush(self) -> None:
        self._stdout.flush()

    @override
    def fileno(self) -> int:
        return int(self._stdout.fileno())


@dataclass(eq=False)
class RayWorkerHandle:
    """An actor, and what is expected from it next."""

    actor: Any
    pool: "RayPool"
    pending: Any = None  # the reference to WorkerReady, then the generator of a task's events
    name: str = "an actor"
    node_id: str = ""
    task: Task | None = None

    def submit(self, task: Task) -> None:
        """Paint a task, from its checkpoint if there is one."""
        self.task = task
        self.paint({} if self.pool.transfer == "shared" else self.put_checkpoint())

    def paint(self, files: Mapping[Path, Any]) -> None:
        """Paint the task, with references to the bytes of files that the worker may lack."""
        options = self.actor.paint.options(num_returns="streaming")
        self.pending = options.remote(self.task, dict(files), self.pool.transfer)

    def put_checkpoint(self) -> dict[Path, Any]:
        """Put the task's checkpoint into the object store, if there is one."""
        path = self.task.checkpoint if self.task else Path()
        return {path: ray.put(path.read_bytes())} if path.is_file() else {}

    def request_stop(self) -> None:
        """Ask the actor to leave its task after the present step."""
        self.actor.request_stop.remote()


@dataclass(eq=False)
class RayPool:
    """Actors on the cluster that this process has joined, as many as its nodes have room for.

    Each takes `threads` cores and `memory_bytes` of its node, and a graphics card if `on_gpu` and the cluster has any.
    """

    threads: int
    memory_bytes: int
    transfer: Transfer = "auto"
    max_workers: int | None = None
    on_gpu: bool = True
    _workers: list[RayWorkerHandle] = field(default_factory=list)
    _stored_files: OrderedDict[Path, Any] = field(default_factory=OrderedDict)

    def count_workers(self) -> int:
        """Return how many actors there is room for now, or `max_workers`, some of which may wait for new nodes."""
        if self.max_workers:
            return self.max_workers
        needs = self._actor_resources()
        nodes = [node["Resources"] for node in _list_nodes()]
        rooms = [min(int(node.get(kind, 0) // need) for kind, need in needs.items() if need) for node in nodes]
        return max(1, sum(rooms))

    def start_worker(self) -> RayWorkerHandle:
        """Start one more actor."""
        needs = self._actor_resources()
        resources = {"num_cpus": needs["CPU"], "num_gpus": needs["GPU"], "memory": needs["memory"]}
        # Two threads: one paints, the other receives the request to stop. The scheduler replaces lost actors, not Ray.
        actor = ray_remote(max_concurrency=2, max_restarts=0, **resources)(RayWorker).remote(self.threads)
        worker = RayWorkerHandle(actor, self, pending=actor.report_ready.remote())
        self._workers.append(worker)
        return worker

    def poll(self, seconds: float) -> Sequence[tuple[RayWorkerHandle, Event]]:
        """Wait at most `seconds` for events of actors and for actors that are lost."""
        pending = {worker.pending: worker for worker in self._workers if worker.pending is not None}
        if not pending:
            threading.Event().wait(seconds)
            return []
        ready, others = ray.wait([*pending], num_returns=1, timeout=seconds, fetch_local=False)
        if others:  # all that are ready, not only the first
            more, _ = ray.wait(others, num_returns=len(others), timeout=0, fetch_local=False)
            ready += more
        events = [(pending[reference], self._receive(pending[reference])) for reference in ready]
        return [(worker, event) for worker, event in events if event is not None]

    def close(self) -> None:
        """End all actors at once."""
        for worker in self._workers:
            _kill(worker)
        self._workers.clear()

    def _receive(self, worker: RayWorkerHandle) -> Event | None:
        pending, number = worker.pending, worker.task.number if worker.task else 0
        try:
            if not isinstance(pending, ray.ObjectRefGenerator):
                worker.pending = None
                event = ray.get(pending)
            else:
                event = ray.get(next(pending))
        except StopIteration:
            worker.pending = None
            return None
        except RayTaskError as error:
            worker.pending = None
            reason = str(error).strip().splitlines()[-1]
            return TaskFailed(number, worker.name, reason=f"the worker failed: {reason}")
        except RayError as error:  # the actor died, or its event was lost with its node
            return self._reap(worker, number, error)
        return self._on_event(worker, event)

    def _on_event(self, worker: RayWorkerHandle, event: Event) -> Event | None:
        if isinstance(event, WorkerReady):
            worker.name, _, worker.node_id = event.worker.partition(" ")
            return WorkerReady(0, worker.name)
        assert worker.task
        if isinstance(event, FilesMissing):
            return self._send_missing_files(worker, worker.task, event)
        if isinstance(event, TaskFinished | TaskFailed | TaskStopped):
            worker.pending = None  # the end of the generator brings no news
        return write_received_data(event, worker.task)

    def _send_missing_files(self, worker: RayWorkerHandle, task: Task, missing: FilesMissing) -> Event | None:
        """Give the worker its task again, with the files that it lacks."""
        try:
            worker.paint({path: self._store_file(path) for path in missing.paths} | worker.put_checkpoint())
        except OSError as error:
            worker.pending = None
            return TaskFailed(task.number, worker.name, reason=f"{error.filename} can't be read: {error.strerror}")
        return None

    def _reap(self, worker: RayWorkerHandle, number: int, error: RayError) -> WorkerLost:
        self._workers.remove(worker)
        alive = {node["NodeID"] for node in _list_nodes()}
        _kill(worker)
        if worker.node_id and worker.node_id not in alive:
            return WorkerLost(number, worker.name, reason="its node is gone", node_failure=True)
        details = (line.strip() for line in str(error).splitlines() if "exit detail" in line.lower())
        return WorkerLost(number, worker.name, reason=f"its process ended: {next(details, str(error))[:300]}")

    def _actor_resources(self) -> dict[str, float]:
        """What an actor takes of its node; at most what the largest node has, or the actor could never start."""
        nodes = [node["Resources"] for node in _list_nodes()]
        most = {kind: max((node.get(kind, 0.0) for node in nodes), default=0.0) for kind in ("CPU", "GPU", "memory")}
        cpus, memory = float(self.threads), float(self.memory_bytes)
        return {
            "CPU": min(cpus, most["CPU"] or cpus),
            "GPU": 1.0 if self.on_gpu and most["GPU"] >= 1 else 0.0,
            "memory": min(memory, most["memory"] or memory),
        }

    def _store_file(self, path: Path) -> Any:
        """Put a file into the object store. The most recent files stay there."""
        reference = self._stored_files.pop(path, None) or ray.put(path.read_bytes())
        self._stored_files[path] = reference
        while len(self._stored_files) > MAX_CACHED_FILES:
            self._stored_files.popitem(last=False)
        return reference


def write_received_data(event: Event, task: Task) -> Event:
    """Write the picture or checkpoint that came with an event. If it can't be written, the task has failed."""
    try:
        if isinstance(event, CheckpointSaved) and event.data:
            with atomic_write(task.checkpoint, overwrite=True) as file:
                file.write(event.data)
        if isinstance(event, TaskFinished) and event.data and not isinstance(task.job, FilmShot):
            with atomic_write(task.job.output, overwrite=task.job.overwrite) as file:
                file.write(event.data)
            task.checkpoint.unlink(missing_ok=True)
            return replace(event, data=b"")
    except PictureError as error:
        return TaskFailed(event.number, event.worker, reason=str(error))
    return event


def _list_nodes() -> list[dict[str, Any]]:
    """List what Ray knows of each living node."""
    return [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def _kill(worker: RayWorkerHandle) -> None:
    with suppress(RayError, ValueError):
        ray.kill(worker.actor)


class RayWorker:
    """A worker on some node. It reads the files that it sees, and asks for those that it does not see."""

    def __init__(self, threads: int) -> None:
        configure_openmp(threads)
        from impasto.workers.worker import Worker

        self._worker = Worker()
        self._stop_requested = threading.Event()
        self._folder = Path(tempfile.mkdtemp(prefix="impasto-"))
        self._received_files: OrderedDict[tuple[str, str], Path] = OrderedDict()  # by digest and name

    def report_ready(self) -> Event:
        """Return the names of the worker and of its node."""
        return WorkerReady(0, f"{self._worker.name} {ray.get_runtime_context().get_node_id()}")

    def request_stop(self) -> None:
        """Leave the task after the present step."""
        self._stop_requested.set()

    def paint(self, task: Task, files: dict[Path, Any], transfer: Transfer) -> Iterator[Event]:
        """Paint a task and yield what happens; `files` has references to the bytes of files."""
        paths, missing = self._locate_files(task, files, transfer)
        if missing:
            yield FilesMissing(task.number, paths=tuple(missing))
        elif isinstance(task.job, FilmShot):
            yield from self._paint_shot(task, task.job)
        elif transfer == "shared" or (transfer == "auto" and task.shared_folder_marker.exists()):
            yield from self._paint(replace(task, job=_relocate(task.job, paths)))
        else:
            yield from self._paint_here(task, files.get(task.checkpoint), _relocate(task.job, paths))

    def _paint(self, task: Task) -> Iterator[Event]:
        return self._worker.paint(task, self._stop_requested.is_set)

    def _paint_shot(self, task: Task, shot: FilmShot) -> Iterator[Event]:
        if task.shared_folder_marker.exists():
            yield from self._paint(task)
            return
        reason = f"the node {platform.node()} can't see {shot.folder}: put the film where all nodes can see it"
        yield TaskFailed(task.number, reason=reason)

    def _paint_here(self, task: Task, checkpoint: Any, job: "Job") -> Iterator[Event]:
        """Paint into a temporary folder, and send the picture and its checkpoints back as bytes."""
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            job = job.model_copy(update={"output": Path(folder) / job.output.name})
            here = replace(task, job=job, checkpoint=Path(folder) / task.checkpoint.name)
            if checkpoint is not None:
                here.checkpoint.write_bytes(ray.get(checkpoint))
            for event in self._paint(here):
                if isinstance(event, TaskFinished):
                    yield replace(event, data=job.output.read_bytes())
                elif isinstance(event, CheckpointSaved):
                    yield replace(event, data=here.checkpoint.read_bytes())
                else:
                    yield event

    def _locate_files(
        self, task: Task, files: Mapping[Path, Any], transfer: Transfer
    ) -> tuple[dict[Path, Path], list[Path]]:
        """Return where the task's files are that were sent, now or before, and which must still be sent."""
        paths, missing = {}, []
        for path, digest in task.digests.items():
            if transfer != "store" and _has_file(path, digest):
                continue
            if (known := (digest, path.name)) in self._received_files:
                self._received_files.move_to_end(known)
                paths[path] = self._received_files[known]
            elif path in files:
                paths[path] = self._save_file(path, digest, ray.get(files[path]))
            elif transfer != "shared":
                missing.append(path)
        return paths, missing

    def _save_file(self, path: Path, digest: str, data: bytes) -> Path:
        saved = self._folder / digest / path.name
        saved.parent.mkdir(exist_ok=True)
        saved.write_bytes(data)
        self._received_files[digest, path.name] = saved
        while len(self._received_files) > MAX_CACHED_FILES:
            self._received_files.popitem(last=False)[1].unlink()
        return saved


def _relocate(job: "Job", paths: Mapping[Path, Path]) -> "Job":
    return job.relocate(lambda path: paths.get(path, path))


def _has_file(path: Path, digest: str) -> bool:
    from impasto.network.download import digest_file

    try:
        return digest_file(path) == digest
    except OSError:
        return False
