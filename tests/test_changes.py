"""Steering: other weights, blend, stroke size and colours while a picture is painted; left, taken up, and branched."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import SPELT_OUT, build_painter, make_network, make_picture, make_settings
from torch import Tensor

import impasto
from impasto import Job, Settings, UsageError
from impasto.images.write import to_pil
from impasto.painting.checkpoint_file import Checkpoint, read_checkpoint, write_checkpoint
from impasto.painting.lbfgs import LBFGS
from impasto.painting.painter import Painter
from impasto.painting.strategy import ScaleStrategy
from impasto.painting.styles import StyleInput
from impasto.recipes.recipe import Recipe
from impasto.runs.checkpoints import CheckpointWriter
from impasto.settings.lengths import Length

NETWORK = make_network()
PHOTO, PAINTING, OTHER = make_picture(40, 32, 1), make_picture(36, 36, 2), make_picture(36, 30, 3)
WHOLE = ScaleStrategy()
STRATEGIES = (WHOLE, ScaleStrategy(tile_size=16), ScaleStrategy(tile_size=16, history=2, compact=True, on_disk=True))


def make_painter(
    paintings: tuple[StyleInput, ...] = (StyleInput(PAINTING),), strategy: ScaleStrategy = WHOLE, **chosen: Any
) -> Painter:
    painter = build_painter(NETWORK, make_settings(**{"steps": 8, **chosen}), StyleInput(PHOTO), paintings)
    painter.state.strategies = [strategy] * len(painter.schedule.sizes)
    return painter


def give_paintings(painter: Painter, paintings: tuple[StyleInput, ...]) -> None:
    """Have the painter continue with other paintings when it is steered."""
    painter.prepared = replace(painter.prepared, build_paintings=lambda _: paintings)


def take(painter: Painter, steps: int) -> list[Any]:
    return [next(painter) for _ in range(steps)]


def finish(painter: Painter) -> Tensor:
    for _ in painter:
        pass
    return painter.picture()


# The painter


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_losses_follow_a_steer_at_once(optimizer: str, strategy: ScaleStrategy) -> None:
    painter = make_painter(strategy=strategy, optimizer=optimizer)
    before = take(painter, 3)[-1].losses
    canvas = painter.picture()
    painter.steer(make_settings(steps=8, optimizer=optimizer, style_weight=0.0, tv_weight=2.0))
    step = next(painter)
    assert (step.scale, step.step) == (1, 4)
    assert step.losses["style"] == 0 < before["style"]
    assert step.losses["tv"] > 0
    assert step.losses["total"] == pytest.approx(step.losses["content"] + step.losses["tv"])
    assert 0 < float((painter.picture() - canvas).abs().mean()) < 0.1  # it goes on from where it was
    rest = [step, *painter]
    assert rest[-1].step == painter.total_steps == 8
    assert rest[-1].losses["total"] < rest[0].losses["total"]


def test_first_step_after_a_steer_is_shortened_too(monkeypatch: pytest.MonkeyPatch) -> None:
    painter = make_painter(optimizer="lbfgs")
    take(painter, 3)
    painter.steer(make_settings(steps=8, optimizer="lbfgs", style_weight=5.0))
    monkeypatch.setattr(LBFGS, "step", lambda _, canvas, gradient: canvas.add_(0.02 * gradient.sign()))  # uphill
    monkeypatch.setattr(LBFGS, "shorten_last_step", lambda *_: None)
    next(painter)
    assert painter.state.backtracks == 1


def test_steering_before_the_first_step_equals_starting_so() -> None:
    steered = make_painter()
    steered.steer(make_settings(steps=8, style_weight=5.0))
    assert torch.equal(finish(steered), finish(make_painter(style_weight=5.0)))


def test_steering_at_a_scales_end_affects_the_next() -> None:
    painter = make_painter(start_size=20, steps=3, later_steps=2)
    take(painter, 3)
    painter.steer(make_settings(start_size=20, steps=3, later_steps=2, style_weight=0.0))
    step = next(painter)
    assert (step.scale, step.step, step.losses["style"]) == (2, 4, 0)
    assert [it.step for it in painter] == [5]


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_steering_the_blend_favors_the_other_painting(optimizer: str) -> None:
    paintings = (StyleInput(PAINTING), StyleInput(OTHER, weight=0.0))
    kept, steered = (make_painter(paintings, optimizer=optimizer, content_weight=0.1, steps=30) for _ in range(2))
    for painter in (kept, steered):
        take(painter, 5)
    give_paintings(steered, (StyleInput(PAINTING, weight=0.0), StyleInput(OTHER)))
    steered.steer(steered.settings.model_copy(update={"style_blend": (0.0, 1.0)}))
    other = make_painter((StyleInput(OTHER),), optimizer=optimizer, content_weight=0.1)
    objective = other.prepared.make_objective(other.photo, other.schedule, (40, 32), WHOLE)
    far, near = (objective.evaluate(finish(painter))["style"] for painter in (kept, steered))
    assert near < 0.7 * far


def test_steering_to_too_small_paintings_changes_nothing() -> None:
    untouched, painter = make_painter(), make_painter()
    take(painter, 3)
    give_paintings(painter, (StyleInput(OTHER),))
    with pytest.raises(UsageError, match="A painting would be"):
        painter.steer(make_settings(steps=8, style_size=0.1, style_weight=9.0))
    assert torch.equal(finish(painter), finish(untouched))


# Left and taken up


def move(state: Checkpoint, path: Path) -> Checkpoint:
    write_checkpoint(path, state)
    return read_checkpoint(path)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("memory", [True, False])
@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_restored_and_steered_equals_steered(
    tmp_path: Path, optimizer: str, memory: bool, strategy: ScaleStrategy
) -> None:
    turned = make_settings(steps=8, optimizer=optimizer, style_weight=4.0)
    first, second = (make_painter(strategy=strategy, optimizer=optimizer) for _ in range(2))
    take(first, 4)
    state = move(first.capture_state({}, with_optimizer=memory), tmp_path / "state")
    first.steer(turned)
    second.restore_state(state)
    second.steer(turned)
    assert torch.equal(finish(first), finish(second))


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_state_without_optimizer_is_small_and_continues(tmp_path: Path, optimizer: str) -> None:
    first, whole, light = (make_painter(optimizer=optimizer, steps=40) for _ in range(3))
    take(first, 6)
    for painter, memory in ((whole, True), (light, False)):
        painter.restore_state(move(first.capture_state({}, with_optimizer=memory), tmp_path / f"{memory}"))
    assert (tmp_path / "False").stat().st_size < 0.6 * (tmp_path / "True").stat().st_size
    assert torch.equal(light.picture(), first.picture())
    on = list(light)
    assert [it.step for it in on] == [*range(7, 41)]
    assert on[-1].losses["total"] < first.state.losses["total"]
    assert torch.equal(finish(whole), finish(first))


# The run


@pytest.fixture
def job(tmp_path: Path, weights_file: Path) -> Job:
    paths = [tmp_path / f"{name}.png" for name in ("photo", "painting", "other")]
    for path, picture in zip(paths, (PHOTO, PAINTING, OTHER), strict=True):
        to_pil(picture).save(path)
    chosen = {**SPELT_OUT, "network": str(weights_file), "size": 32, "start_size": 32, "steps": 6}
    return Job(
        photo=paths[0],
        paintings=tuple(paths[1:]),
        output=tmp_path / "out.png",
        settings=Settings(**chosen),
        checkpoint=str(tmp_path / "kept"),
    )


def test_recipe_has_the_steered_settings(job: Job) -> None:
    run = impasto.start_job(job)
    next(run)
    run.steer(tv_weight=0.5, style_blend=[1, 3], style_size="0.8")
    for _ in run:
        pass
    recipe = impasto.read_recipe(run.write())
    assert recipe.settings.tv_weight == 0.5
    assert recipe.settings.style_blend == (1, 3)
    assert [length.value for length in recipe.settings.style_size] == [0.8]
    assert {"tv_weight", "style_blend", "style_size"} <= set(recipe.given)
    assert recipe.settings.style_weight == job.settings.style_weight


def test_checkpoint_has_the_steered_settings(job: Job) -> None:
    run = impasto.start_job(job)
    next(run)
    run.steer(style_weight=3)
    assert isinstance(run.checkpoint_writer, CheckpointWriter)
    assert run.save_checkpoint()
    texts = read_checkpoint(run.checkpoint_writer.path).texts
    assert Job.model_validate_json(texts["job"]).settings.style_weight == 3
    assert Recipe.model_validate_json(texts["recipe"]).settings.style_weight == 3


@pytest.mark.parametrize("chosen", [{}, {"init": "fast", "steps": 1, "style_size": (Length(2.0),)}])
def test_finished_picture_takes_other_colors_alone(job: Job, chosen: dict[str, Any]) -> None:
    run = impasto.start_job(job.model_copy(update={"settings": job.settings.model_copy(update=chosen)}))
    for _ in run:
        pass
    plain, recipe = run.picture().tobytes(), run.recipe()
    for changes in ({"tv_weight": 0.5}, {"color": "match"}, {"color": "keep", "style_weight": 2}):
        with pytest.raises(UsageError, match="The picture is finished"):
            run.steer(**changes)
    assert run.recipe() == recipe
    run.steer(color="keep", color_strength=0.5)
    assert run.picture().tobytes() != plain
    assert run.recipe().settings.color == "keep"
    run.steer(color="none")
    assert run.picture().tobytes() == plain


def test_content_can_be_given_a_weight_later(job: Job) -> None:
    chosen = {"content_weight": 0.0, "style_taps": {"relu1_1": 1.0}}
    run = impasto.start_job(job.model_copy(update={"settings": job.settings.model_copy(update=chosen)}))
    assert next(run).losses["content"] == 0
    run.steer(content_weight=1)
    assert next(run).losses["content"] > 0


@pytest.mark.parametrize(
    ("chosen", "names"),
    [
        (
            {"content_weight": 0.0, "content_loss": "mean", "guard": 0.7},
            ["content_taps", "content_loss", "guard"],
        ),
        (
            {"content_weight": 0.0, "init": "fast", "guard": 0.7, "style_size": (Length(2.0),)},
            ["content_taps"],
        ),
        ({"start_size": 16, "final_steps": 2}, []),
        ({"final_steps": 2}, ["final_steps"]),
    ],
)
def test_settings_that_do_nothing_are_noted(job: Job, chosen: dict[str, Any], names: list[str]) -> None:
    given = {"later_steps": 30, "structure_weight": 0.7, **chosen}
    notes = impasto.start_job(job.model_copy(update={"settings": job.settings.model_copy(update=given)})).notes
    assert [note.split("`")[1] for note in notes if " has no effect" in note] == names


def test_one_pass_says_that_it_has_no_checkpoint(job: Job) -> None:
    one_pass = {"init": "fast", "steps": 1, "style_size": (Length(2.0),)}
    run = impasto.start_job(job.model_copy(update={"settings": job.settings.model_copy(update=one_pass)}))
    next(run)
    assert any(f"{job.checkpoint} is not written" in note for note in run.notes)


def test_one_pass_takes_a_steer_before_it(job: Job) -> None:
    chosen = {"init": "fast", "steps": 1, "style_size": (Length(2.0),), "style_blend": (1.0, 0.0)}
    steered, blended = (
        impasto.start_job(job.model_copy(update={"settings": job.settings.model_copy(update={**chosen, **given})}))
        for given in ({}, {"style_blend": (0.0, 1.0)})
    )
    steered.steer(style_blend=(0, 1))
    for run in (steered, blended):
        next(run)
    assert steered.picture().tobytes() == blended.picture().tobytes()


def test_steering_to_no_weight_and_back_keeps_the_rest(job: Job) -> None:
    chosen = {"tv_weight": 0.1, "tv_loss": "sum", "color": "keep", "color_strength": 0.5}
    settings = job.settings.model_copy(update=chosen)
    run = impasto.start_job(job.model_copy(update={"settings": settings}))
    run.steer(tv_weight=0, color="none")
    run.steer()
    run.steer(style_weight=settings.style_weight)
    run.steer(tv_weight=0.1, color="keep")
    assert run.settings == settings


def test_colors_of_the_result_change_nothing_else(job: Job) -> None:
    untouched, steered = (impasto.start_job(job.model_copy(update={"checkpoint": "none"})) for _ in range(2))
    for run in (untouched, steered):
        next(run)
        next(run)
    steered.steer(color="keep")
    assert [step.losses for step in steered] == [step.losses for step in untouched]


@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({"size": 64}, "size"),
        ({"network": "x", "tv_weight": 1}, "network"),
        ({"tv_weight": -1}, "tv_weight"),
        ({"style_blend": [1]}, "style_blend"),
        ({"content_weight": 0, "style_weight": 0}, "style_weight"),
    ],
)
def test_refused_changes_change_nothing(job: Job, changes: dict[str, Any], setting: str) -> None:
    run = impasto.start_job(job)
    next(run)
    with pytest.raises(UsageError) as refused:
        run.steer(**changes)
    assert refused.value.setting == setting
    assert run.settings == job.settings
    for _ in run:
        pass
    untouched = impasto.start_job(
        job.model_copy(update={"output": job.output.with_name("again.png"), "overwrite": True})
    )
    for _ in untouched:
        pass
    assert run.picture().tobytes() == untouched.picture().tobytes()


def test_run_continues_from_a_loaded_state(job: Job, tmp_path: Path) -> None:
    quiet = job.model_copy(update={"checkpoint": "none"})
    first, second = impasto.start_job(quiet), impasto.start_job(quiet)
    with pytest.raises(UsageError, match="Nothing is painted yet"):
        first.capture_state()
    next(first)
    left = next(first)
    second.load_state(move(first.capture_state(), tmp_path / "state"))
    assert second.last_step == left
    for run in (first, second):
        for _ in run:
            pass
    assert first.picture().tobytes() == second.picture().tobytes()
