"""Batches on a Ray cluster of several local nodes paint the same pictures as local workers."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from batch_folder import BatchFolder, assert_same_pictures, start_batch, wait_for, wait_for_success

from impasto.runs.job import Job
from impasto.workers.messages import CheckpointSaved, Task, TaskFailed, TaskFinished

pytest.importorskip("ray")

from impasto.workers.ray_pool import write_received_data

QUICK_HEALTH_CHECKS = {
    "health_check_initial_delay_ms": 500,
    "health_check_period_ms": 500,
    "health_check_failure_threshold": 2,
}
ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head and one node, each with room for one worker."""
    from ray.cluster_utils import Cluster

    before = {name: os.environ.get(name) for name in ENVIRONMENT}
    os.environ.update(ENVIRONMENT)
    made = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "include_dashboard": False, "_system_config": QUICK_HEALTH_CHECKS},
    )
    made.add_node(num_cpus=1)
    yield made
    made.shutdown()
    for name, value in before.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, weights_file: Path) -> BatchFolder:
    """Six photos and their pictures, painted here."""
    batch = BatchFolder(tmp_path_factory.mktemp("undisturbed"), weights_file)
    batch.paint_alone(6)
    return batch


@pytest.fixture
def batch(tmp_path: Path, weights_file: Path, undisturbed: BatchFolder) -> BatchFolder:
    """The same photos, not painted yet."""
    shutil.copytree(undisturbed.folder / "photos", tmp_path / "photos")
    shutil.copy(undisturbed.folder / "style.jpg", tmp_path)
    return BatchFolder(tmp_path, weights_file)


def start_on(cluster: Any, batch: BatchFolder, *words: str) -> subprocess.Popen[str]:
    return start_batch(batch, "--engine", "ray", "--address", cluster.address, *words)


@pytest.mark.ray
def test_other_nodes_continue_after_a_node_is_killed(cluster, batch, undisturbed):
    doomed = cluster.add_node(num_cpus=1)
    driver = start_on(cluster, batch)
    wait_for(lambda: len(batch.picture_names()) >= 1)
    cluster.remove_node(doomed, allow_graceful=False)
    output = wait_for_success(driver)
    assert_same_pictures(batch, undisturbed)
    rows = batch.rows()
    assert {row["status"] for row in rows.values()} == {"painted"}
    assert sum(int(row["attempts"]) for row in rows.values()) <= 7
    assert "6 pictures: 6 painted" in output
    assert len(output.splitlines()) == 1  # nothing from Ray


@pytest.mark.ray
def test_files_travel_through_the_object_store(cluster, batch, undisturbed):
    driver = start_on(cluster, batch, "--transfer", "store", "-q")
    output = wait_for_success(driver)
    assert sorted(output.splitlines()) == sorted(f"out/{name}" for name in batch.picture_names())
    assert_same_pictures(batch, undisturbed)
    # the recipes are the same, so the pictures are found
    assert "6 pictures: 6 there already" in wait_for_success(start_batch(batch))


@pytest.mark.ray
def test_an_interrupt_keeps_finished_pictures(cluster, batch, undisturbed):
    driver = start_on(cluster, batch)
    wait_for(batch.picture_names)
    driver.send_signal(signal.SIGINT)
    _, said = driver.communicate(timeout=60)
    assert driver.returncode == 130, said
    assert "interrupted; the same command goes on from here" in said
    assert "Traceback" not in said
    assert batch.picture_names() < undisturbed.picture_names()


@pytest.mark.ray
def test_a_missing_cluster_is_an_error(batch):
    driver = start_batch(batch, "--engine", "ray", "--address", "ray://127.0.0.1:1")
    assert "run impasto on a machine of the cluster" in driver.communicate()[1]
    assert driver.returncode == 2


# Data that workers send back


def test_received_data_is_written_unless_the_disk_refuses(tmp_path):
    job = Job(photo=Path("a"), paintings=(Path("b"),), output=tmp_path / "out.png", quality=95)
    task = Task(0, job, 1, 1, tmp_path / "checkpoint", {}, tmp_path / "marker")
    assert write_received_data(CheckpointSaved(0, data=b"state"), task) == CheckpointSaved(0, data=b"state")
    assert task.checkpoint.read_bytes() == b"state"
    finished = write_received_data(TaskFinished(0, data=b"picture"), task)
    assert finished == TaskFinished(0)
    assert job.output.read_bytes() == b"picture"
    assert not task.checkpoint.exists()
    failed = write_received_data(TaskFinished(0, data=b"another"), task)
    assert isinstance(failed, TaskFailed)
    assert "already exists" in failed.reason
    assert job.output.read_bytes() == b"picture"
