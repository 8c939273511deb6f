"""A studio that is used for a long time by one visitor, over its REST routes, and killed now and then."""

import hashlib
import io
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import psutil
from PIL import Image

PAINT = {"network": "slim", "views": "1", "size": 96, "steps": 12, "start_size": 96}
MAX_KEPT = 12  # finished pictures: older ones are deleted, as a visitor does
MAX_QUEUED = 4
QUIET_SHARE = 0.7  # of the time: memory is watched in one life of the studio; the kills come after it
PATIENCE_SECONDS = 1800.0  # of a request: the machine may be busy
FINISH_SECONDS = 3600.0
UNFINISHED = ("waiting", "painting", "paused")


@dataclass
class Seen:
    """What was found: samples of (studio's bytes, worker's bytes, open files), and what went wrong."""

    samples: list[tuple[int, int, int]] = field(default_factory=list)
    pictures: int = 0
    kills: int = 0
    lost: list[str] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        """Growth of memory and of open files: the second half's median over that from the first tenth to the half."""
        count = len(self.samples)
        early, late = self.samples[count // 10 : count // 2 + 1], self.samples[count // 2 :]
        studio, worker, files = (
            median(new) - median(old)
            for new, old in zip(zip(*late, strict=True), zip(*early, strict=True), strict=True)
        )
        return {
            "studio_growth_mib": studio / 2**20,
            "studio_worker_growth_mib": worker / 2**20,
            "studio_open_files": files,
            "studio_pictures": self.pictures,
            "studio_kills": self.kills,
            "studio_lost": len(self.lost),
        }


class StudioVisit:
    """A studio in a folder, and what its visitor knows of it; `pictures` are digests of finished pictures by job."""

    def __init__(self, folder: Path, photos: Sequence[Path]) -> None:
        self.folder, self.photos, self.chance = folder, photos, random.Random(0)
        self.jobs: list[str] = []
        self.pictures: dict[str, str] = {}
        self.seen = Seen()
        self.open()

    def open(self) -> None:
        """Start the studio, and wait until it paints."""
        command = [sys.executable, "-m", "impasto", "studio", "--port", "0", "--folder", str(self.folder)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        url = next(word for word in self.process.stdout.readline().split() if word.startswith("http"))
        self.client = httpx.Client(base_url=f"{url}api/", timeout=PATIENCE_SECONDS)
        while not self.ask("GET", "jobs")["ready"]:
            time.sleep(0.1)

    def ask(self, method: str, path: str, **content: Any) -> Any:
        """Send a request; returns what the JSON says, or None."""
        answer = self.client.request(method, path, **content).raise_for_status()
        return answer.json() if answer.content else None

    def use(self, seconds: float) -> Iterator[None]:
        """Do what a visitor does, for so many seconds; yields after each visit."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            known = self.resume("paused")
            if sum(job["status"] in UNFINISHED for job in known.values()) < MAX_QUEUED:
                self.paint()
            for job_id, job in known.items():
                if job["status"] == "done" and job_id not in self.pictures:
                    self.pictures[job_id] = self.digest(job_id)
                    self.seen.pictures += 1
            for job_id in list(self.pictures)[:-MAX_KEPT]:
                del self.pictures[job_id]
                self.jobs.remove(job_id)
                self.ask("DELETE", f"jobs/{job_id}")
            yield
            time.sleep(0.5)

    def paint(self) -> None:
        """Upload a photo, look at it quickly, put a picture into the queue, watch it, change it, pause it."""
        photo = self.chance.choice(self.photos)
        file = {"content": photo.read_bytes(), "headers": {"content-type": "application/octet-stream"}}
        upload = self.ask("POST", "uploads", params={"name": photo.name}, **file)["id"]
        wanted = {"photo": upload, "paintings": ["starry_night"], "settings": PAINT}
        self.client.post("quick_look", params={"steps": 2}, json=wanted).raise_for_status()
        job_id = self.ask("POST", "jobs", json=wanted)["id"]
        self.jobs.append(job_id)
        with self.client.stream("GET", "events") as events:  # and leave, as a page that is closed
            next(events.iter_lines())
        with suppress(httpx.HTTPStatusError):  # it may be finished
            self.ask("PATCH", f"jobs/{job_id}", json={"style_weight": self.chance.uniform(0.5, 2)})
        if self.chance.random() < 0.3:
            self.ask("POST", f"jobs/{job_id}/pause", json={})
        if self.chance.random() < 0.3:
            self.ask("DELETE", f"uploads/{upload}")

    def digest(self, job_id: str) -> str:
        """Return the digest of a finished picture, which must be whole."""
        content = self.client.get(f"jobs/{job_id}/files/picture.png").raise_for_status().content
        Image.open(io.BytesIO(content)).load()
        return hashlib.sha256(content).hexdigest()

    def sample(self) -> None:
        """Take down the memory and the open files of the studio and its worker."""
        studio = psutil.Process(self.process.pid)
        with suppress(psutil.NoSuchProcess, StopIteration):
            worker = max(studio.children(), key=lambda child: child.memory_info().rss)
            files = studio.num_fds() + worker.num_fds()
            self.seen.samples.append((studio.memory_info().rss, worker.memory_info().rss, files))

    def use_and_kill(self, seconds: float) -> None:
        """Kill the studio or, in turn, its worker, while it is used; the visitor goes on with what is interrupted."""
        children = psutil.Process(self.process.pid).children()
        worker = max(children, key=lambda child: child.memory_info().rss)
        self.seen.kills += 1
        is_studio = self.seen.kills % 2
        killer = threading.Timer(seconds * self.chance.uniform(0.5, 1), (self.process if is_studio else worker).kill)
        killer.start()
        with suppress(httpx.TransportError):
            for _ in self.use(seconds):
                pass
        killer.join()
        if is_studio:
            self.process.wait()
            self.client.close()
            _, alive = psutil.wait_procs(children, PATIENCE_SECONDS)
            self.seen.lost += [f"process {child.pid} stayed" for child in alive]
            self.open()
        self.resume("stopped", "failed")

    def resume(self, *statuses: str) -> dict[str, Any]:
        """Go on with jobs that are in one of these states; returns all jobs, as they were."""
        known = self.check()
        for job_id, job in known.items():
            if job["status"] in statuses:
                self.ask("POST", f"jobs/{job_id}/resume", json={})
        return known

    def check(self) -> dict[str, Any]:
        """Compare what the studio has with what the visitor knows; returns its jobs."""
        known = {job["id"]: job for job in self.ask("GET", "jobs")["changed"]}
        self.seen.lost += [f"job {job_id} is gone" for job_id in self.jobs if job_id not in known]
        for job_id, digest in self.pictures.items():
            if job_id in known and self.digest(job_id) != digest:
                self.seen.lost.append(f"picture {job_id} has changed")
        return known

    def finish(self) -> None:
        """Wait until all is painted, and look for what is missing or left over."""
        until, known = time.monotonic() + FINISH_SECONDS, self.check()
        while any(job["status"] in UNFINISHED for job in known.values()) and time.monotonic() < until:
            time.sleep(1)
            known = self.resume("paused")
        self.seen.lost += [f"job {job['id']} is {job['status']}" for job in known.values() if job["status"] != "done"]
        self.seen.lost += [f"{path} was left" for path in self.folder.rglob("*.part")]

    def close(self) -> None:
        """End the studio."""
        self.client.close()
        self.process.terminate()
        self.process.wait()


def use_studio(folder: Path, photos: Sequence[Path], minutes: float, kills: int) -> Seen:
    """Use a studio for so many minutes, with kills in the last third of them."""
    visit = StudioVisit(folder, photos)
    try:
        for _ in visit.use(minutes * 60 * QUIET_SHARE):
            visit.sample()
        for _ in range(kills):
            visit.use_and_kill(minutes * 60 * (1 - QUIET_SHARE) / kills)
        visit.finish()
    finally:
        visit.close()
    return visit.seen
