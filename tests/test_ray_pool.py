"""Batches on a Ray cluster of several local nodes: the same pictures as here, whatever nodes and files do."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_batch import Place, pixels, start, succeed, wait_for

ray = pytest.importorskip("ray")

QUICK_TO_NOTICE = {
    "health_check_initial_delay_ms": 500,
    "health_check_period_ms": 500,
    "health_check_failure_threshold": 2,
}
OUTSIDE = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head and one node, each with room for one worker."""
    from ray.cluster_utils import Cluster

    before = {name: os.environ.get(name) for name in OUTSIDE}
    os.environ.update(OUTSIDE)
    made = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "include_dashboard": False, "_system_config": QUICK_TO_NOTICE},
    )
    made.add_node(num_cpus=1)
    yield made
    made.shutdown()
    for name, value in before.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, weights_file: Path) -> Place:
    """Six photos and what comes of them on this machine."""
    place = Place(tmp_path_factory.mktemp("undisturbed"), weights_file)
    for number in range(6):
        place.picture(f"photos/{number}.png", number + 1)
    place.picture("style.jpg", 9)
    succeed(start(place, "--threads", "1", "--workers", "2"))
    return place


@pytest.fixture
def place(tmp_path: Path, weights_file: Path, undisturbed: Place) -> Place:
    """The same photos, not painted yet."""
    shutil.copytree(undisturbed.folder / "photos", tmp_path / "photos")
    shutil.copy(undisturbed.folder / "style.jpg", tmp_path)
    return Place(tmp_path, weights_file)


def start_on(cluster: Any, place: Place, *words: str) -> subprocess.Popen[str]:
    return start(place, "--engine", "ray", "--address", cluster.address, *words)


def assert_same_pictures(place: Place, undisturbed: Place) -> None:
    assert place.names() == undisturbed.names()
    assert len(place.names()) == 6
    for name in place.names():
        assert np.array_equal(pixels(place.folder / "out" / name), pixels(undisturbed.folder / "out" / name)), name


def test_a_node_that_is_killed_has_its_pictures_painted_elsewhere(cluster, place, undisturbed):
    doomed = cluster.add_node(num_cpus=1)
    driver = start_on(cluster, place)
    wait_for(lambda: len(place.names()) >= 1)
    cluster.remove_node(doomed, allow_graceful=False)
    answer = succeed(driver)
    assert_same_pictures(place, undisturbed)
    rows = place.rows()
    assert {row["state"] for row in rows.values()} == {"painted"}
    assert sum(int(row["tries"]) for row in rows.values()) <= 7
    assert "6 pictures: 6 painted" in answer
    assert len(answer.splitlines()) == 1  # Ray has said nothing there


def test_files_go_through_the_object_store_where_nodes_lack_them(cluster, place, undisturbed):
    driver = start_on(cluster, place, "--transfer", "store", "-q")
    answer = succeed(driver)
    assert sorted(answer.splitlines()) == sorted(f"out/{name}" for name in place.names())
    assert_same_pictures(place, undisturbed)
    # and the recipes are the same, so that they are known again
    assert "6 pictures: 6 there already" in succeed(start(place))


def test_cancelling_from_the_driver(cluster, place, undisturbed):
    driver = start_on(cluster, place)
    wait_for(place.names)
    driver.send_signal(signal.SIGINT)
    _, said = driver.communicate(timeout=60)
    assert driver.returncode == 130, said
    assert "interrupted; the same command goes on from here" in said
    assert "Traceback" not in said
    assert place.names() < undisturbed.names()


def test_a_cluster_that_is_not_there(place):
    driver = start(place, "--engine", "ray", "--address", "ray://127.0.0.1:1")
    assert "run impasto on a machine of the cluster" in driver.communicate()[1]
    assert driver.returncode == 2
