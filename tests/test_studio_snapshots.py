"""The studio's earlier states and plans: how many are kept, what is said where there is no answer."""

import threading
from itertools import pairwise
from pathlib import Path

import pytest
from conftest import SPELT_OUT, make_picture

pytest.importorskip("gradio", reason="needs Gradio: pip install 'impasto[studio]'")

from impasto import Job, Run, Settings, start_job
from impasto.errors import PictureError, UsageError
from impasto.images.write import write_image
from impasto.studio import snapshots as states_module
from impasto.studio.plan_requests import MAX_PLAN_REQUESTS, PlanRequests
from impasto.studio.snapshots import SnapshotStore


@pytest.fixture
def run(tmp_path: Path, weights_file: Path) -> Run:
    for seed, name in enumerate(("photo.png", "painting.png"), start=1):
        write_image(make_picture(40, 32, seed), tmp_path / name)
    chosen = {**SPELT_OUT, "network": str(weights_file), "size": 32, "start_size": 32, "steps": 100}
    job = Job(
        photo=tmp_path / "photo.png",
        paintings=(tmp_path / "painting.png",),
        output=tmp_path / "out.png",
        settings=Settings(**chosen),
        checkpoint="none",
    )
    return start_job(job)


def find_files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.name.startswith("state-")}


def test_of_many_states_the_first_and_the_last_and_some_between_are_kept(run: Run, tmp_path: Path) -> None:
    states = SnapshotStore(tmp_path, [])
    for _ in range(40):
        next(run)
        states.add_snapshot(run)
        assert len(states.snapshots) <= states_module.MAX_SNAPSHOTS
    steps = [it.step for it in states.snapshots]
    assert (steps[0], steps[-1]) == (1, 40)
    assert steps == sorted(steps)
    assert max(later - sooner for sooner, later in pairwise(steps)) <= 8
    kept = {f"state-{it.number}.{suffix}" for it in states.snapshots for suffix in ("jpg", "safetensors")}
    assert find_files(tmp_path) == kept


def test_states_take_so_much_of_the_disk_and_the_last_one_always_stays(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = SnapshotStore(tmp_path, [])
    next(run)
    states.add_snapshot(run)
    size = (tmp_path / "state-1.safetensors").stat().st_size
    for most, left in ((4.5 * size, 4), (0.5 * size, 1)):
        monkeypatch.setattr(states_module, "MOST_BYTES", most)
        for _ in range(6):
            next(run)
            states.add_snapshot(run)
        assert len(states.snapshots) == left
        assert states.snapshots[-1].step == run.last_step.step  # type: ignore[union-attr]


def test_a_state_that_is_gone_or_damaged_is_said(run: Run, tmp_path: Path) -> None:
    states = SnapshotStore(tmp_path, [])
    next(run)
    next(run)
    states.add_snapshot(run, memory=True)
    state, checkpoint = states.read_snapshot(1)
    assert (state.step, state.settings["steps"]) == (2, 100)
    assert any(name.startswith("optimizer") for name in checkpoint.tensors)
    (tmp_path / "state-1.safetensors").write_bytes(b"no state")
    for number in (1, 2):
        with pytest.raises(PictureError, match="This earlier state is gone"):
            states.read_snapshot(number)


def test_whoever_asks_for_a_plan_gets_an_answer_or_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("impasto.studio.plan_requests.PLAN_TIMEOUT_SECONDS", 0.05)
    plans = PlanRequests()
    assert plans.request_plan(lambda number: plans.set_answer(number, said="a minute")) == "a minute"
    with pytest.raises(UsageError, match="too little memory"):
        plans.request_plan(lambda number: plans.set_answer(number, fault="too little memory"))
    with pytest.raises(UsageError, match="it died"):
        plans.request_plan(lambda _: plans.fail_all("it died"))
    with pytest.raises(UsageError, match="busy"):
        plans.request_plan(lambda _: None)
    monkeypatch.setattr("impasto.studio.plan_requests.PLAN_TIMEOUT_SECONDS", 5)
    sent: list[int] = []
    crowd = [threading.Thread(target=plans.request_plan, args=(sent.append,)) for _ in range(MAX_PLAN_REQUESTS)]
    for one in crowd:
        one.start()
    while len(sent) < MAX_PLAN_REQUESTS:
        pass
    with pytest.raises(UsageError, match="Other plans"):
        plans.request_plan(sent.append)
    for number in sent:
        plans.set_answer(number, said="now")
    for one in crowd:
        one.join()
