"""The studio's earlier states and plans: how many are kept, what is said where there is no answer."""

import threading
from itertools import pairwise
from pathlib import Path

import pytest
from conftest import SPELT_OUT, make_picture

pytest.importorskip("gradio", reason="needs Gradio: pip install 'impasto[studio]'")

from impasto import Job, Run, Settings, start_job
from impasto.apps.studio import states as states_module
from impasto.apps.studio.plans import MOST, Plans
from impasto.apps.studio.states import States
from impasto.errors import PictureError, UsageError
from impasto.pictures import files


@pytest.fixture
def run(tmp_path: Path, weights_file: Path) -> Run:
    for seed, name in enumerate(("photo.png", "painting.png"), start=1):
        files.write(make_picture(40, 32, seed), tmp_path / name)
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
    states = States(tmp_path, [])
    for _ in range(40):
        next(run)
        states.keep(run)
        assert len(states.known) <= states_module.MOST
    steps = [it.step for it in states.known]
    assert (steps[0], steps[-1]) == (1, 40)
    assert steps == sorted(steps)
    assert max(later - sooner for sooner, later in pairwise(steps)) <= 8
    kept = {f"state-{it.number}.{suffix}" for it in states.known for suffix in ("jpg", "safetensors")}
    assert find_files(tmp_path) == kept


def test_states_take_so_much_of_the_disk_and_the_last_one_always_stays(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = States(tmp_path, [])
    next(run)
    states.keep(run)
    size = (tmp_path / "state-1.safetensors").stat().st_size
    for most, left in ((4.5 * size, 4), (0.5 * size, 1)):
        monkeypatch.setattr(states_module, "MOST_BYTES", most)
        for _ in range(6):
            next(run)
            states.keep(run)
        assert len(states.known) == left
        assert states.known[-1].step == run.last.step  # type: ignore[union-attr]


def test_a_state_that_is_gone_or_damaged_is_said(run: Run, tmp_path: Path) -> None:
    states = States(tmp_path, [])
    next(run)
    next(run)
    states.keep(run, memory=True)
    state, checkpoint = states.read(1)
    assert (state.step, state.settings["steps"]) == (2, 100)
    assert any(name.startswith("optimizer") for name in checkpoint.tensors)
    (tmp_path / "state-1.safetensors").write_bytes(b"no state")
    for number in (1, 2):
        with pytest.raises(PictureError, match="This earlier state is gone"):
            states.read(number)


def test_whoever_asks_for_a_plan_gets_an_answer_or_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("impasto.apps.studio.plans.PATIENCE", 0.05)
    plans = Plans()
    assert plans.ask(lambda number: plans.answer(number, said="a minute")) == "a minute"
    with pytest.raises(UsageError, match="too little memory"):
        plans.ask(lambda number: plans.answer(number, fault="too little memory"))
    with pytest.raises(UsageError, match="it died"):
        plans.ask(lambda _: plans.give_up("it died"))
    with pytest.raises(UsageError, match="busy"):
        plans.ask(lambda _: None)
    monkeypatch.setattr("impasto.apps.studio.plans.PATIENCE", 5)
    sent: list[int] = []
    crowd = [threading.Thread(target=plans.ask, args=(sent.append,)) for _ in range(MOST)]
    for one in crowd:
        one.start()
    while len(sent) < MOST:
        pass
    with pytest.raises(UsageError, match="Other plans"):
        plans.ask(sent.append)
    for number in sent:
        plans.answer(number, said="now")
    for one in crowd:
        one.join()
