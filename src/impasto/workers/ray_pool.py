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
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from io import TextIOBase
from pathlib import Path
from typing import Any, Literal

import ray
from ray.exceptions import RayError, RayTaskError

from impasto.errors import UsageError
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

MAX_CACHED_FILES = 64  # that were carried to a worker, or are in the object store to be carried
Transfer = Literal["auto", "shared", "store"]

ray_remote: Any = ray.remote  # its types know no max_concurrency


@contextmanager
def connect(address: str | None, cores: int) -> Iterator[None]:
    """Join the cluster at an address, or where none is given and RAY_ADDRESS names none, be one of this machine alone.

    Ray sends no usage statistics, and what it has to say stays in its logs. Raises UsageError where there is no
    cluster.
    """
    if address and address.startswith("ray://"):
        raise UsageError(
            f"--address {address}: run impasto on a machine of the cluster, with --address auto; or send the whole "
            "command there with ray job submit"
        )
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    options: dict[str, Any] = {"num_cpus": cores, "include_dashboard": False} if address == "local" else {}
    handlers = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)}
    with _mute_background_output() as stdout:
        try:
            ray.init(address, logging_level=logging.ERROR, log_to_driver=False, **options)
        except (ConnectionError, RayError, ValueError, RuntimeError) as error:
            said = str(error).partition("\n")[0]
            raise UsageError(f"--address {address}: there is no Ray cluster ({said})") from error
        for name, handler in handlers.items():
            signal.signal(name, handler)  # Ray puts its own in their place
        try:
            yield
        finally:
            stdout.open = False  # here Ray prints what it has held back
            ray.shutdown()


@contextmanager
def _mute_background_output() -> Iterator["_MainThreadStdout"]:
    """Keep stdout for the answers of the command: Ray's threads print pages on it when a node dies."""
    before = sys.stdout
    keeper = _MainThreadStdout(before)
    sys.stdout = keeper
    try:
        yield keeper
    finally:
        sys.stdout = before


class _MainThreadStdout(TextIOBase):
    """Lets only the main thread through to stdout, while it is open."""

    def __init__(self, stdout: Any) -> None:
        self._stdout, self.open = stdout, True

    def write(self, text: str) -> int:
        if self.open and threading.current_thread() is threading.main_thread():
            self._stdout.write(text)
        return len(text)

    def flush(self) -> None:
        self._stdout.flush()

    def fileno(self) -> int:
        return int(self._stdout.fileno())


@dataclass(eq=False)
class RayWorkerHandle:
    """An actor and what is awaited from it."""

    actor: Any
    pool: "RayPool"
    pending: Any = None  # the reference of its arrival, then a generator of a task's events
    name: str = "an actor"
    node_id: str = ""
    task: Task | None = None

    def submit(self, task: Task) -> None:
        """Let it paint a task, from its checkpoint where there is one."""
        resumed = self.pool.transfer != "shared" and task.checkpoint.exists()
        self.submit_with_files(task, {task.checkpoint: ray.put(task.checkpoint.read_bytes())} if resumed else {})

    def submit_with_files(self, task: Task, carried: Mapping[Path, Any]) -> None:
        """Let it paint a task, with references to the bytes of files that it may lack."""
        self.task = task
        self.pending = self.actor.paint.options(num_returns="streaming").remote(task, dict(carried), self.pool.transfer)

    def request_stop(self) -> None:
        """Let it leave its task between two steps."""
        self.actor.stop.remote()


@dataclass(eq=False)
class RayPool:
    """Hires actors on the cluster that this process has joined, as many as its nodes have room for.

    Each takes `threads` processor cores, `bytes` of its node's memory, and where `on_gpu` and the cluster has any, a
    graphics card.
    """

    threads: int
    memory_bytes: int
    transfer: Transfer = "auto"
    max_workers: int | None = None
    on_gpu: bool = True
    _workers: list[RayWorkerHandle] = field(default_factory=list)
    _stored_files: OrderedDict[Path, Any] = field(default_factory=OrderedDict)

    def count_workers(self) -> int:
        """How many actors there is room for now. Of a given number, those that wait for nodes count too."""
        if self.max_workers:
            return self.max_workers
        needs = self._actor_resources()
        nodes = [node["Resources"] for node in _list_nodes()]
        rooms = [min(int(node.get(what, 0) // need) for what, need in needs.items() if need) for node in nodes]
        return max(1, sum(rooms))

    def start_worker(self) -> RayWorkerHandle:
        """Start one more actor."""
        needs = self._actor_resources()
        resources = {"num_cpus": needs["CPU"], "num_gpus": needs["GPU"], "memory": needs["memory"]}
        # One thread paints, the other hears that it shall stop; who dies is buried here, not born again there.
        actor = ray_remote(max_concurrency=2, max_restarts=0, **resources)(RayWorker).remote(self.threads)
        hand = RayWorkerHandle(actor, self)
        hand.pending = actor.report_ready.remote()
        self._workers.append(hand)
        return hand

    def poll(self, seconds: float) -> Sequence[tuple[RayWorkerHandle, Event]]:
        """Return what the actors have said, and which of them have died."""
        awaited = {hand.pending: hand for hand in self._workers if hand.pending is not None}
        if not awaited:
            threading.Event().wait(seconds)
            return []
        ready, others = ray.wait([*awaited], num_returns=1, timeout=seconds, fetch_local=False)
        if others:  # all that are ready, not only the first
            more, _ = ray.wait(others, num_returns=len(others), timeout=0, fetch_local=False)
            ready += more
        return [(awaited[it], event) for it in ready if (event := self._receive(awaited[it])) is not None]

    def close(self) -> None:
        """End all actors at once."""
        for hand in self._workers:
            with suppress(RayError, ValueError):
                ray.kill(hand.actor)
        self._workers.clear()

    def _receive(self, hand: RayWorkerHandle) -> Event | None:
        awaited, number = hand.pending, hand.task.number if hand.task else 0
        try:
            if not isinstance(awaited, ray.ObjectRefGenerator):
                hand.pending = None
                event = ray.get(awaited)
            else:
                event = ray.get(next(awaited))
        except StopIteration:
            hand.pending = None
            return None
        except RayTaskError as error:
            hand.pending = None
            return TaskFailed(number, hand.name, reason=f"the worker failed: {str(error).strip().splitlines()[-1]}")
        except RayError as error:  # it died, or what it said was lost with its node
            return self._reap(hand, number, error)
        if isinstance(event, WorkerReady):
            hand.name, _, hand.node_id = event.worker.partition(" ")
            return WorkerReady(0, hand.name)
        if isinstance(event, FilesMissing):
            return self._send_missing_files(hand, event)
        if isinstance(event, TaskFinished | TaskFailed | TaskStopped):
            hand.pending = None  # the generator's end tells nothing more
        assert event is None or isinstance(event, Event)
        return event

    def _send_missing_files(self, hand: RayWorkerHandle, missing: FilesMissing) -> Event | None:
        """Give it the task again, with the files that it lacks."""
        assert hand.task
        try:
            carried = {path: self._store_file(path) for path in missing.paths}
            if hand.task.checkpoint.exists():
                carried[hand.task.checkpoint] = ray.put(hand.task.checkpoint.read_bytes())
        except OSError as error:
            hand.pending = None
            return TaskFailed(hand.task.number, hand.name, reason=f"{error.filename} can't be read: {error.strerror}")
        hand.submit_with_files(hand.task, carried)
        return None

    def _reap(self, hand: RayWorkerHandle, number: int, error: RayError) -> WorkerLost:
        self._workers.remove(hand)
        alive = {node["NodeID"] for node in _list_nodes()}
        with suppress(RayError, ValueError):
            ray.kill(hand.actor)
        if hand.node_id and hand.node_id not in alive:
            return WorkerLost(number, hand.name, reason="its node is gone", node_failure=True)
        said = next((line.strip() for line in str(error).splitlines() if "exit detail" in line.lower()), str(error))
        return WorkerLost(number, hand.name, reason=f"its process ended: {said[:300]}")

    def _actor_resources(self) -> dict[str, float]:
        """What an actor takes of its node; no more than the largest node has, as it could never start."""
        nodes = [node["Resources"] for node in _list_nodes()]
        most = {what: max((node.get(what, 0.0) for node in nodes), default=0.0) for what in ("CPU", "GPU", "memory")}
        cpus, memory = float(self.threads), float(self.memory_bytes)
        return {
            "CPU": min(cpus, most["CPU"] or cpus),
            "GPU": 1.0 if self.on_gpu and most["GPU"] >= 1 else 0.0,
            "memory": min(memory, most["memory"] or memory),
        }

    def _store_file(self, path: Path) -> Any:
        """Put a file into the object store; the last ones stay there."""
        reference = self._stored_files.pop(path, None) or ray.put(path.read_bytes())
        self._stored_files[path] = reference
        while len(self._stored_files) > MAX_CACHED_FILES:
            self._stored_files.popitem(last=False)
        return reference


def _list_nodes() -> list[dict[str, Any]]:
    """List what Ray knows of each living node."""
    return [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


class RayWorker:
    """A worker on some node: paints where it sees the files, and has them sent where it does not."""

    def __init__(self, threads: int) -> None:
        os.environ["OMP_NUM_THREADS"] = str(threads)  # read when torch is imported
        from impasto.workers.worker import Worker

        self._worker = Worker()
        self._stopping = threading.Event()
        self._folder = Path(tempfile.mkdtemp(prefix="impasto-"))
        self._received_files: OrderedDict[tuple[str, str], Path] = OrderedDict()  # by digest and name

    def report_ready(self) -> Event:
        """Say who it is, and on which node."""
        return WorkerReady(0, f"{self._worker.name} {ray.get_runtime_context().get_node_id()}")

    def request_stop(self) -> None:
        """Leave the task between two steps."""
        self._stopping.set()

    def paint(self, task: Task, carried: dict[Path, Any], transfer: Transfer) -> Iterator[Event]:
        """Paint a task and yield what happens; `carried` has references to the bytes of files."""

        places, missing = self._locate_files(task, carried, transfer)
        if missing:
            yield FilesMissing(task.number, paths=tuple(missing))
            return
        sees_outputs = transfer != "store" and (transfer == "shared" or task.shared_folder_marker.exists())
        if isinstance(task.job, FilmShot):
            reason = f"{task.job.folder} is not seen on the node {platform.node()}: a film takes a folder that all see"
            yield from (
                self._worker.paint(task, self._stopping.is_set)
                if task.shared_folder_marker.exists()
                else [TaskFailed(task.number, reason=reason)]
            )
            return
        moved = task.job.relocate(lambda path: places.get(path, path))
        if sees_outputs:
            yield from self._worker.paint(replace(task, job=moved), self._stopping.is_set)
            return
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            output, checkpoint = Path(folder) / task.job.output.name, Path(folder) / task.checkpoint.name
            if task.checkpoint in carried:
                checkpoint.write_bytes(ray.get(carried[task.checkpoint]))
            job = moved.model_copy(update={"output": output})
            for event in self._worker.paint(replace(task, job=job, checkpoint=checkpoint), self._stopping.is_set):
                if isinstance(event, TaskFinished):
                    yield replace(event, data=output.read_bytes())
                elif isinstance(event, CheckpointSaved):
                    yield replace(event, data=checkpoint.read_bytes())
                else:
                    yield event

    def _locate_files(
        self, task: Task, carried: Mapping[Path, Any], transfer: Transfer
    ) -> tuple[dict[Path, Path], list[Path]]:
        """Return where the task's files are that came with it or before, and which must still come."""
        places, missing = {}, []
        for path, digest in task.digests.items():
            if transfer != "store" and _has_file(path, digest):
                continue
            if (known := (digest, path.name)) in self._received_files:
                self._received_files.move_to_end(known)
                places[path] = self._received_files[known]
            elif path in carried:
                places[path] = self._save_file(path, digest, ray.get(carried[path]))
            elif transfer != "shared":
                missing.append(path)
        return places, missing

    def _save_file(self, path: Path, digest: str, data: bytes) -> Path:
        kept = self._folder / digest / path.name
        kept.parent.mkdir(exist_ok=True)
        kept.write_bytes(data)
        self._received_files[digest, path.name] = kept
        while len(self._received_files) > MAX_CACHED_FILES:
            self._received_files.popitem(last=False)[1].unlink()
        return kept


def _has_file(path: Path, digest: str) -> bool:
    from impasto.network.download import digest_file

    try:
        return digest_file(path) == digest
    except OSError:
        return False
