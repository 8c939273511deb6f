"""The studio's snapshots: which are kept."""

from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest
from conftest import SPELT_OUT, make_picture

from impasto import Job, Run, Settings, start_job
from impasto.errors import PictureError
from impasto.images.write import write_image
from impasto.painting.model_cache import ModelCache
from impasto.studio import snapshots as snapshots_module
from impasto.studio.job_runner import JobRunner
from impasto.studio.snapshots import SnapshotStore
from impasto.studio.store import StudioJob


@pytest.fixture
def job(tmp_path: Path, weights_file: Path) -> Job:
    for seed, name in enumerate(("photo.png", "painting.png"), start=1):
        write_image(make_picture(40, 32, seed), tmp_path / name)
    chosen = {**SPELT_OUT, "network": str(weights_file), "size": 32, "start_size": 32, "steps": 100}
    return Job(
        photo=tmp_path / "photo.png",
        paintings=(tmp_path / "painting.png",),
        output=tmp_path / "out.png",
        settings=Settings(**chosen),
        checkpoint="none",
    )


@pytest.fixture
def run(job: Job) -> Run:
    return start_job(job)


class FakeConnection:
    """Keeps what a worker sends."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, dict[str, Any]]] = []

    def send(self, event: tuple[str, dict[str, Any]]) -> None:
        self.sent.append(event)


def test_a_change_of_a_finished_picture_is_noted_and_taken_back(run: Run, tmp_path: Path) -> None:
    for _ in run:
        pass
    connection = FakeConnection()
    job = StudioJob(id="0" * 16, created=0.0, photo="", paintings=[""], settings={})
    runner = JobRunner(cast("Any", connection), tmp_path, job, ModelCache())
    runner._change_settings(run, {"style_weight": 3.0})
    (_, noted), (_, taken_back) = connection.sent
    assert noted["notes"][0].startswith("The picture is finished: only the colors")
    assert taken_back["settings"]["style_weight"] == 1


def find_files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.name.startswith("snapshot-")}


def test_of_many_snapshots_first_last_and_some_between_stay(run: Run, tmp_path: Path) -> None:
    snapshots = SnapshotStore(tmp_path, [])
    for _ in range(40):
        next(run)
        snapshots.add_snapshot(run)
        assert len(snapshots.snapshots) <= snapshots_module.MAX_SNAPSHOTS
    steps = [snapshot.step for snapshot in snapshots.snapshots]
    assert (steps[0], steps[-1]) == (1, 40)
    assert steps == sorted(steps)
    assert max(later - sooner for sooner, later in pairwise(steps)) <= 8
    kept = {
        f"snapshot-{snapshot.number}.{suffix}" for snapshot in snapshots.snapshots for suffix in ("jpg", "safetensors")
    }
    assert find_files(tmp_path) == kept


def test_a_state_that_is_gone_back_to_is_never_dropped(job: Job, run: Run, tmp_path: Path) -> None:
    snapshots = SnapshotStore(tmp_path, [])
    while len(snapshots.snapshots) < snapshots_module.MAX_SNAPSHOTS:
        next(run)
        snapshots.add_snapshot(run)
    for place in (1, 0, -1):  # the first of these would be dropped next
        number = snapshots.snapshots[place].number
        next(run)
        snapshots.add_snapshot(run, spared=number)
        snapshot, checkpoint = snapshots.read_snapshot(number)
        run = start_job(job)
        run.load_state(checkpoint)
        next(run)
        snapshots.add_snapshot(run)  # of a smaller step than those before it
        steps = [known.step for known in snapshots.snapshots]
        assert steps == sorted(steps)
        assert run.last_step.step == snapshot.step + 1  # type: ignore[union-attr]
        newest = max(snapshots.snapshots, key=lambda known: known.number)
        assert newest.step == snapshot.step + 1


def test_snapshots_stay_within_their_bytes_but_the_last_stays(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshots = SnapshotStore(tmp_path, [])
    next(run)
    snapshots.add_snapshot(run)
    size = (tmp_path / "snapshot-1.safetensors").stat().st_size
    for most, left in ((4.5 * size, 4), (0.5 * size, 1)):
        monkeypatch.setattr(snapshots_module, "MAX_SNAPSHOT_BYTES", most)
        for _ in range(6):
            next(run)
            snapshots.add_snapshot(run)
        assert len(snapshots.snapshots) == left
        assert snapshots.snapshots[-1].step == run.last_step.step  # type: ignore[union-attr]


def test_reading_a_lost_or_damaged_snapshot_raises(run: Run, tmp_path: Path) -> None:
    snapshots = SnapshotStore(tmp_path, [])
    next(run)
    next(run)
    snapshots.add_snapshot(run, memory=True)
    snapshot, checkpoint = snapshots.read_snapshot(1)
    assert (snapshot.step, snapshot.settings["steps"]) == (2, 100)
    assert any(name.startswith("optimizer") for name in checkpoint.tensors)
    (tmp_path / "snapshot-1.safetensors").write_bytes(b"no snapshot")
    for number in (1, 2):
        with pytest.raises(PictureError, match="This earlier state is gone"):
            snapshots.read_snapshot(number)
