"""The studio's queue with a stand-in for its worker, the worker with a stand-in for the studio, and the folder."""

import errno
import multiprocessing
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import make_picture
from filelock import FileLock
from PIL import Image

from impasto.errors import ImpastoError, PictureError, UsageError
from impasto.images.read import read_image
from impasto.images.write import write_image
from impasto.painting.model_cache import ModelCache
from impasto.studio import job_runner, routes, service, uploads
from impasto.studio import queue as queue_module
from impasto.studio.job_runner import JobRunner, run_studio_worker
from impasto.studio.masks import (
    GUARD_COLOR,
    PAINTING_COLORS,
    PRESERVE_COLOR,
    read_brushed,
    split_masks,
    write_masks,
    write_regions,
)
from impasto.studio.queue import JobQueue
from impasto.studio.routes import make_api
from impasto.studio.server import serve
from impasto.studio.service import Composition, StudioService
from impasto.studio.snapshots import PreviewWriter
from impasto.studio.store import JobStore, Snapshot, StudioJob
from impasto.workers import processes
from impasto.workers.processes import WorkerProcess

PATIENCE_SECONDS = 60
SETTINGS = {"network": "slim", "views": "1", "size": 32, "start_size": 32, "steps": 3, "later_steps": 3}


class StandIn(WorkerProcess):
    """Stands for the worker: the test reads what it is sent, and says what it answers."""

    started: list["StandIn"]

    def __init__(self, *_: object, **__: object) -> None:
        self.connection, self.end = multiprocessing.Pipe()
        self.is_killed = False
        self.started.append(self)

    def say(self, kind: str, **content: Any) -> None:
        self.end.send((kind, content))

    def hear(self) -> tuple[str, Any]:
        """Return the next command."""
        assert self.end.poll(PATIENCE_SECONDS)
        kind, content = self.end.recv()
        return kind, content

    def kill(self) -> None:
        self.is_killed = True

    def reap(self) -> str:
        return "was ended by SIGKILL"


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> list[StandIn]:
    StandIn.started = []
    monkeypatch.setattr(queue_module, "WorkerProcess", StandIn)
    return StandIn.started


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    return JobStore(tmp_path / "studio", 10**9)


@pytest.fixture
def queue(store: JobStore, workers: list[StandIn]) -> Iterator[JobQueue]:
    opened = JobQueue(store)
    yield opened
    opened.begin_closing()
    for worker in workers:
        worker.end.close()
    opened.close()


def wait_for(condition: Callable[[], object]) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def submit(queue: JobQueue, **fields: Any) -> StudioJob:
    photo, painting = uploads.BUILT_IN["cat"], uploads.BUILT_IN["starry_night"]
    return queue.submit(photo, [painting], settings=SETTINGS, **fields)


def begin(queue: JobQueue, workers: list[StandIn]) -> tuple[StudioJob, StandIn]:
    """Put a job into the queue, and have it painted up to its third snapshot."""
    wait_for(lambda: workers and not workers[-1].end.closed)  # a worker that ended is replaced
    workers[-1].say("ready")
    job = submit(queue)
    assert workers[-1].hear()[0] == "paint"
    size = {"scale": 1, "width": 32, "height": 24}
    snapshots = [Snapshot(number=n, step=10 * n, settings={"seed": n}, **size) for n in (1, 2, 3)]
    workers[-1].say("changed", snapshots=snapshots)
    wait_for(lambda: queue.get_job(job.id).snapshots)
    return job, workers[-1]


def test_a_second_studio_is_refused_and_changes_nothing(store):
    job = store.add_job(uploads.BUILT_IN["cat"], [uploads.BUILT_IN["starry_night"]], settings={}, status="painting")
    with (
        FileLock(store.root / "lock"),
        pytest.raises(UsageError, match=r"Another studio has `folder`.*open: use that one"),
    ):
        serve(store.root, host="127.0.0.1", port=0, max_bytes=1, hosts=frozenset(), password=None, on_start=print)
    assert store.read_jobs()[0].status == job.status


def test_a_pause_is_taken_back_by_going_on(queue, workers):
    job, worker = begin(queue, workers)
    queue.pause_job(job.id)
    queue.resume_job(job.id)
    assert [worker.hear()[1]["status"] for _ in range(2)] == ["paused", None]
    worker.say("ended", status="paused", message="")  # it had not heard of the second
    kind, content = worker.hear()
    assert (kind, content["job"].id, content["job"].start_snapshot) == ("paint", job.id, None)
    assert queue.get_job(job.id).status == "painting"


def test_a_pause_after_going_back_forgets_neither(queue, workers):
    job, worker = begin(queue, workers)
    queue.resume_job(job.id, 1)
    queue.pause_job(job.id)
    assert [worker.hear()[0] for _ in range(3)] == ["copy", "end", "end"]
    worker.say("ended", status="paused", message="")
    wait_for(lambda: queue.get_job(job.id).status == "paused")
    queue.resume_job(job.id)
    _, content = worker.hear()
    assert (content["job"].start_snapshot, content["job"].settings) == (1, {"seed": 1})
    assert queue.get_job(job.id).start_snapshot is None  # the next time, it goes on from its newest state


def test_a_stop_is_not_weakened_by_a_pause(queue, workers):
    job, worker = begin(queue, workers)
    queue.stop_job(job.id)
    queue.pause_job(job.id)
    worker.say("ended", status="stopped", message="")
    wait_for(lambda: queue.get_job(job.id).status == "stopped")
    assert worker.hear() == ("end", {"status": "stopped", "spared": None})
    assert not worker.end.poll()


def test_going_back_as_a_picture_ends_keeps_that_picture(queue, workers, store):
    job, worker = begin(queue, workers)
    (store.job_folder(job.id) / "picture.png").write_bytes(b"the end")
    worker.say("changed", pictures=["picture.png"])
    queue.resume_job(job.id, 2)
    worker.say("ended", status="done", message="")
    wait_for(lambda: queue.get_job(job.id).pictures == ["kept-1.png"])
    assert (store.job_folder(job.id) / "kept-1.png").read_bytes() == b"the end"
    commands = [worker.hear() for _ in range(3)]
    assert [kind for kind, _ in commands] == ["copy", "end", "paint"]
    assert commands[-1][1]["job"].start_snapshot == 2


def test_painting_anew_without_any_state_keeps_the_picture(queue, workers, store):
    job, worker = begin(queue, workers)
    (store.job_folder(job.id) / "picture.png").write_bytes(b"mine")
    worker.say("changed", pictures=["picture.png"], snapshots=[])
    worker.say("ended", status="stopped", message="")
    queue.stop_job(job.id)
    wait_for(lambda: queue.get_job(job.id).status == "stopped")
    queue.resume_job(job.id)
    assert (store.job_folder(job.id) / "kept-1.png").read_bytes() == b"mine"


def test_a_killed_worker_is_given_no_other_job(queue, workers):
    job, worker = begin(queue, workers)
    other = submit(queue)
    queue.stop_job(job.id, now=True)
    worker.say("ended", status="done", message="")  # sent just before it was killed
    wait_for(lambda: queue.get_job(job.id).status == "done")
    time.sleep(0.2)
    assert worker.is_killed
    assert queue.get_job(other.id).status == "waiting"
    worker.end.close()
    wait_for(lambda: len(workers) == 2)
    workers[1].say("ready")
    assert workers[1].hear()[1]["job"].id == other.id


def test_a_job_fails_with_its_worker_whatever_goes_wrong(queue, workers, monkeypatch):
    job, worker = begin(queue, workers)

    def fail(_: object) -> str:
        raise OSError("no such process")

    monkeypatch.setattr(StandIn, "reap", fail)
    worker.end.close()
    wait_for(lambda: queue.get_job(job.id).status == "failed")
    assert "no such process" in queue.get_job(job.id).message
    assert begin(queue, workers)[1] is not worker  # and the next one is painted


def test_a_worker_that_does_not_start_is_reported(store, workers, monkeypatch):
    attempts: list[float] = []

    def start_or_fail(*_: object, **__: object) -> StandIn:
        attempts.append(time.monotonic())
        if len(attempts) == 1:
            raise OSError("too many processes")
        return StandIn()

    monkeypatch.setattr(queue_module, "WorkerProcess", start_or_fail)
    queue = JobQueue(store)
    job = submit(queue)
    wait_for(lambda: "too many processes" in queue.list_changes(0)["fault"])
    wait_for(lambda: workers)
    workers[0].end.close()  # it dies in its warm-up
    wait_for(lambda: "ended by SIGKILL before it could paint" in queue.list_changes(0)["fault"])
    assert queue.get_job(job.id).status == "waiting"
    wait_for(lambda: len(workers) == 2)
    workers[1].say("ready")
    assert workers[1].hear()[1]["job"].id == job.id
    assert queue.list_changes(0)["fault"] == ""
    workers[1].say("ended", status="done", message="")
    queue.close()


def test_a_refused_job_leaves_nothing(queue, store, tmp_path):
    Image.new("RGB", (2100, 2000)).save(tmp_path / "brush.png")
    with pytest.raises(ImpastoError, match="more than"):
        submit(queue, brushed=tmp_path / "brush.png")
    assert list(store.jobs.iterdir()) == []
    assert queue.list_changes(0)["order"] == []


@pytest.mark.parametrize("name", ["brush.png", "preserve_mask.png"])
def test_a_photo_may_be_called_as_masks_are(store, tmp_path, name):
    (tmp_path / "brushed").mkdir()
    Image.new("RGB", (8, 8), PRESERVE_COLOR).save(tmp_path / "brushed" / "any.png")
    Image.new("RGB", (60, 40)).save(tmp_path / name)
    brushed = tmp_path / "brushed" / "any.png"
    job = store.add_job(tmp_path / name, [uploads.BUILT_IN["cat"]], brushed=brushed, settings={})
    inputs = store.job_folder(job.id) / "inputs"
    for file, size in ((job.photo, (60, 40)), (job.masks["preserve_mask"], (8, 8))):
        with Image.open(inputs / file) as image:
            assert image.size == size


def test_looking_for_space_keeps_nobody_waiting(queue, monkeypatch):
    job, is_free, is_looking = submit(queue), threading.Event(), threading.Event()

    def look(_: object, __: int) -> int:
        is_looking.set()
        is_free.wait(PATIENCE_SECONDS)
        return 0

    monkeypatch.setattr(JobStore, "free_uploads", look)
    looker = threading.Thread(target=queue.free_space, args=(1,))
    looker.start()
    is_looking.wait(PATIENCE_SECONDS)
    asker = threading.Thread(target=queue.get_job, args=(job.id,))
    asker.start()
    asker.join(5)
    assert not asker.is_alive()
    is_free.set()
    looker.join()


# The worker


@pytest.fixture
def painted(store: JobStore) -> Callable[..., tuple[StudioJob, list[tuple[str, Any]]]]:
    """Paint a job in this process; returns it, and what the worker said."""

    def paint(*commands: tuple[str, Any], **fields: Any) -> tuple[StudioJob, list[tuple[str, Any]]]:
        photo, painting = store.root / "photo.png", store.root / "painting.png"
        for seed, path in enumerate((photo, painting)):
            write_image(make_picture(40, 30, seed), path, overwrite=True)
        job = store.add_job(photo, [painting], settings=SETTINGS, **fields)
        here, there = multiprocessing.Pipe()
        for command in commands:
            here.send(command)
        JobRunner(there, store.job_folder(job.id), job, ModelCache()).run_job()
        there.close()
        said = []
        while here.poll():
            try:
                said.append(here.recv())
            except EOFError:
                break
        return job, said

    return paint


def test_a_preview_that_cannot_be_written_is_a_note(painted, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(uploads, "replace_file", refuse)
    monkeypatch.setattr(PreviewWriter, "is_due", lambda _: True)
    job, said = painted()
    assert said[-1] == ("ended", {"status": "done", "message": ""})
    assert sum("no preview: preview.jpg can't be written, No space left" in note for note in job.notes) == 1
    assert not list(Path(job_runner.__file__).parent.glob("*.part"))


def test_two_copies_at_once_have_two_names(painted, store):
    job, _ = painted(("copy", {}), ("copy", {}))
    assert job.pictures == ["kept-1.png", "kept-2.png", "picture.png"]
    assert all((store.job_folder(job.id) / name).is_file() for name in job.pictures)


def test_the_last_wanted_end_counts(painted):
    ends = [("end", {"status": status, "spared": None}) for status in ("paused", None)]
    assert painted(*ends)[1][-1][1]["status"] == "done"
    assert painted(*reversed(ends))[1][-1][1]["status"] == "paused"


def test_a_film_that_is_too_long_is_refused_again(painted, tmp_path, monkeypatch):
    start_film = pytest.importorskip("impasto.films.start_film", reason="needs PyAV: pip install 'impasto[film]'")
    monkeypatch.setattr("impasto.films.work_folder.name_work_folder", lambda _: tmp_path)  # it was begun
    closed: list[bool] = []

    class LongFilm:
        frame_count = 5000

        def close(self) -> None:
            closed.append(True)

    monkeypatch.setattr(start_film, "resume_film", lambda _: LongFilm())
    _, said = painted(kind="film")
    assert said[-1][1]["status"] == "failed"
    assert "5000 frames" in said[-1][1]["message"]
    assert closed


def test_a_worker_ends_quietly_with_the_studio(tmp_path, monkeypatch):
    monkeypatch.setattr(job_runner, "warm_up", lambda: None)
    monkeypatch.setattr(os, "nice", lambda _: 0)
    here, there = multiprocessing.Pipe()
    here.close()
    assert run_studio_worker(there, tmp_path) is None


def close_files_and_stay(_: object) -> None:
    os.closerange(3, 256)
    time.sleep(20)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="how a process ends is told by a pipe on POSIX alone")
def test_a_process_that_does_not_end_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(processes, "EXIT_WAIT_SECONDS", 1.0)
    worker = WorkerProcess(close_files_and_stay)
    wait_for(lambda: not worker.receive()[1])
    started = time.monotonic()
    assert worker.reap() == "was ended by SIGKILL"
    assert time.monotonic() - started < 10


# Uploads and requests


def add_masks(store: JobStore) -> str:
    path = store.root / "brush.png"
    Image.new("RGB", (8, 8), "#e4572e").save(path)
    return store.uploads.add(path, "brush.png", "masks").id


@pytest.mark.parametrize("route", ["submit", "quick_look"])
def test_masks_are_uploads_and_of_photos(queue, store, monkeypatch, route):
    studio = StudioService(store, queue)
    ask = studio.submit if route == "submit" else lambda wanted: studio.quick_look(wanted, 2)
    wanted = {"photo": "cat", "paintings": ["starry_night", "the_scream"]}
    with pytest.raises(UsageError, match="not uploaded here"):
        ask(Composition(**wanted, masks="cat"))
    monkeypatch.setattr(service, "is_film", lambda _: True)
    with pytest.raises(UsageError, match="film is painted everywhere"):
        ask(Composition(**wanted, masks=add_masks(store)))
    assert queue.list_changes(0)["order"] == []


@pytest.mark.parametrize(
    ("shape", "color", "settings", "said"),
    [
        ((60, 60), GUARD_COLOR, {}, "`masks` are 60 x 60 pixels, another shape"),
        ((60, 40), PAINTING_COLORS[5], {}, "Nothing of `masks` counts"),
        ((60, 40), GUARD_COLOR, {"guard": 0}, "needs a `guard` above 0"),
    ],
)
def test_masks_that_would_not_count_are_refused(queue, store, shape, color, settings, said):
    Image.new("RGB", shape, color).save(path := store.root / "brush.png")
    masks = store.uploads.add(path, "brush.png", "masks").id
    wanted = Composition(photo="coffee", paintings=["starry_night", "the_scream"], settings=settings, masks=masks)
    with pytest.raises(UsageError, match=said):
        StudioService(store, queue).submit(wanted)
    assert queue.list_changes(0)["order"] == []


def test_two_may_ask_for_one_preview_at_once(tmp_path, monkeypatch):
    path, replace = tmp_path / "320.jpg", uploads.replace_file

    def replace_after_another(source: Path, target: Path) -> None:
        monkeypatch.setattr(uploads, "replace_file", replace)
        uploads.write_jpeg(Image.new("RGB", (9, 9)), target, 320)
        replace(source, target)

    monkeypatch.setattr(uploads, "replace_file", replace_after_another)
    uploads.write_jpeg(Image.new("RGB", (8, 8)), path, 320)
    assert [file.name for file in tmp_path.iterdir()] == ["320.jpg"]


@pytest.mark.parametrize("route", ["uploads?name=cat.jpg", "jobs"])
def test_a_full_disk_is_said_and_leaves_nothing(queue, store, monkeypatch, route):
    testclient = pytest.importorskip("fastapi.testclient", reason="needs httpx: pip install httpx")

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", refuse)
    client = testclient.TestClient(make_api(StudioService(store, queue)))
    picture = uploads.BUILT_IN["cat"].read_bytes() + b" "  # not the one that comes with impasto
    body = {"json": {"photo": "cat", "paintings": ["starry_night"]}} if route == "jobs" else {"content": picture}
    answer = client.post(f"/api/{route}", **body)
    assert (answer.status_code, "The disk is full: make room" in answer.json()["detail"]) == (507, True)
    assert [*store.jobs.iterdir(), *store.uploads.root.glob("*/*")] == []


def test_regions_for_one_painting_color_what_stays_alone(tmp_path):
    pytest.importorskip("skimage", reason="needs scikit-image: pip install 'impasto[regions]'")
    photo = Image.new("RGB", (60, 40))
    photo.paste((255, 255, 255), (0, 0, 60, 20))
    photo.save(tmp_path / "photo.png")
    write_regions(read_image(tmp_path / "photo.png"), 1, tmp_path / "brush.png")
    paintings, stays, _ = split_masks(read_brushed(tmp_path / "brush.png"), 1)
    assert paintings == {}
    assert stays is not None
    assert 0.2 < float(stays.mean()) < 0.8


def test_each_brushed_color_is_a_mask_of_its_own(tmp_path):
    brushed = Image.new("RGBA", (60, 40))
    for place, color in enumerate((PAINTING_COLORS[1], PRESERVE_COLOR, GUARD_COLOR)):
        brushed.paste(color, (20 * place, 0, 20 * place + 20, 20))
    brushed.save(tmp_path / "brush.png")
    settings = write_masks(read_brushed(tmp_path / "brush.png"), 2, tmp_path)
    assert settings == {
        "mask": ["rest", "mask_2.png"],
        "preserve_mask": "preserve_mask.png",
        "guard_mask": "guard_mask.png",
    }
    for place, name in enumerate(("mask_2.png", "preserve_mask.png", "guard_mask.png")):
        white = np.asarray(Image.open(tmp_path / name).convert("L")) > 128
        expected = np.zeros((40, 60), bool)
        expected[:20, 20 * place : 20 * place + 20] = True
        assert (white == expected).all()


def test_a_damaged_picture_is_not_said_to_be_large(tmp_path):
    (path := tmp_path / "`max_pixels`.png").write_bytes(b"no picture")
    with pytest.raises(PictureError, match="not a picture"):
        uploads.read_picture(path)


def test_quick_looks_lower_no_other_threads_priority(monkeypatch):
    lowered: list[int] = []
    monkeypatch.setattr(os, "nice", lowered.append)
    for platform in ("darwin", "win32", "linux"):
        monkeypatch.setattr("sys.platform", platform)
        routes.lower_thread_priority()
    assert lowered == [routes.NICENESS]
