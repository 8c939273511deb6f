"""The benchmarks compare like with like: one network, one objective written twice; figures come out."""

import dataclasses
import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import safetensors.torch
import torch
from conftest import make_objective, make_picture

from impasto.images.read import read_image
from impasto.images.write import write_image
from impasto.network import registry
from impasto.network.vgg import Network, plan_layers
from impasto.painting.styles import StyleInput
from impasto.settings.model import Settings
from impasto.settings.types import Padding

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import figures  # noqa: E402
import gpu  # noqa: E402
import judge  # noqa: E402
import pieces  # noqa: E402
import plot  # noqa: E402
import speed  # noqa: E402
from pieces import Scene  # noqa: E402
from reference import STYLE_TAPS, Reference  # noqa: E402

TINY = speed.Plan(
    repeats=2,
    steps=3,
    warm_up=1,
    large_steps=3,
    large_warm_up=1,
    reference_steps=3,
    parts=["step", "bound", "large", "huge", "loss"],
    ladder={**speed.LADDER, "start_size": 16, "steps": 8},
)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, weights_file: Path) -> Scene:
    """A tiny network, a photo and a painting as files."""
    folder = tmp_path_factory.mktemp("benchmarks")
    for seed, name in enumerate(("photo.png", "painting.png"), start=1):
        write_image(make_picture(64, 64, seed), folder / name)
    return Scene(str(weights_file), str(folder / "photo.png"), str(folder / "painting.png"), size=32)


def load(scene: Scene, padding: Padding = "replicate-first") -> Network:
    return registry.load_network(scene.network, cut="relu5_1", pooling="max", padding=padding)


@pytest.mark.parametrize("layout", ["impasto", "gatys"])  # of RGB, and of BGR in 0 to 255
def test_the_reference_has_impastos_loss_and_gradient(scene, layout, tmp_path):
    weights = safetensors.torch.load_file(scene.network)
    safetensors.torch.save_file(weights, tmp_path / "a.safetensors", metadata={"layout": layout})
    scene = dataclasses.replace(scene, network=str(tmp_path / "a.safetensors"))
    photo, painting, canvas = (make_picture(*size, dtype=torch.float64) for size in ((64, 48), (56, 72), (64, 48)))
    canvas = (canvas + torch.rand(canvas.shape, generator=torch.Generator().manual_seed(3))).requires_grad_()
    vgg = judge.load_vgg(scene.network)
    double = {name: tensor.double() for name, tensor in vgg.weights.items()}
    reference = Reference(dataclasses.replace(vgg, weights=double), photo, painting)
    objective = make_objective(
        load(scene).double(), Settings(**pieces.OBJECTIVE), StyleInput(photo), [StyleInput(painting)]
    )
    losses = objective.backward(canvas)
    assert canvas.grad is not None
    loss = reference.loss(canvas)
    (gradient,) = torch.autograd.grad(loss, canvas)
    assert losses["total"] == pytest.approx(float(loss.detach()), rel=1e-9)
    torch.testing.assert_close(canvas.grad, gradient, rtol=1e-6, atol=1e-9 * float(gradient.abs().max()))


def test_the_reference_paints_towards_its_goal(scene):
    reference = scene.set_up()
    steps = list(reference.paint(8))
    assert [step.step for step in steps] == list(range(1, 9))
    assert steps[-1].loss < steps[0].loss / 4
    assert all(0 < before.seconds < after.seconds for before, after in pairwise(steps))


def test_both_sides_take_the_same_steps_from_the_same_noise(scene):
    reference = pieces.reference_steps(scene, steps=4, warm_up=1)
    impasto = pieces.impasto_steps(scene, steps=4, warm_up=1, precision="float32")
    for name in ("loss", "loss_raw"):
        assert impasto[name] == pytest.approx(reference[name], rel=1e-3)


def test_the_bound_covers_every_convolution_at_its_size(scene):
    found = list(pieces.convolutions(dataclasses.replace(scene, size=50)))
    assert [name for name, *_ in found] == [layer for layer in load(scene).layers if layer.startswith("conv")]
    seen = load(scene)(make_picture(50, 50), [name for name, *_ in found])
    for name, weight, height, width in found:
        assert seen[name].shape == (1, len(weight), height, width)
    assert [weight.shape[1] for _, weight, *_ in found] == [3, *(len(weight) for _, weight, *_ in found[:-1])]


def test_a_bare_convolution_has_the_gradient_of_autograd():
    x, kernel, gradient = torch.rand(1, 3, 6, 5).requires_grad_(), torch.rand(4, 3, 3, 3), torch.rand(1, 4, 6, 5)
    forward, backward = pieces.bare_calls(x, kernel, gradient)
    (expected,) = torch.autograd.grad(forward(), x, gradient)
    torch.testing.assert_close(backward()[0], expected)


@pytest.mark.slow
def test_every_figure_comes_out(scene):
    tasks = speed.list_tasks(TINY, dataclasses.replace(scene, size=16))
    listed = [task for part in TINY.parts for task in tasks[part]]
    results: figures.Results = {}
    for name, measured in speed.measure(listed, TINY.repeats, pieces.run_piece):
        results.setdefault(name, []).append(measured)
    assert {len(rounds) for name, rounds in results.items() if not name.endswith(("curve", "curve_float32"))} == {2}
    found = figures.summarise(results)
    never = {name for name in figures.RATIOS if "default" in name or "picture" in name or "time_to_loss" in name}
    assert {name for name, value in found.items() if value is None} <= {*never, "startup_over_torch_s"}
    assert all(value > 0 for value in found.values() if isinstance(value, float))
    assert found["memory_ratio_full_history"] < found["memory_ratio"]
    assert (
        found["step_ratio"]
        == found["medians"]["reference_step"]["seconds"] / (found["medians"]["impasto_step"]["seconds"])
    )
    assert set(found["curves"]) == {"reference", "impasto", "impasto, float32"}
    for curve in found["curves"].values():
        assert len(curve["seconds"]) == len(curve["loss"]) == len(curve["loss_raw"]) > 0
    json.dumps(found, allow_nan=False)


def test_the_curves_are_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    curve = {"seconds": [1.0, 2.0], "loss": [2.0, 1.0], "loss_raw": [1.0, 0.5]}
    for out in (first := tmp_path / "first.svg", second := tmp_path / "second.svg"):
        plot.draw({"curves": dict.fromkeys(plot.STYLES, curve)}, out)
    assert first.read_bytes() == second.read_bytes()
    assert all(name in first.read_text() for name in plot.STYLES)


@pytest.mark.slow
def test_a_picture_is_timed_and_judged(scene):
    measured = pieces.picture(scene, network="slim", views="1", steps=3)
    assert measured["steps"] == 3
    assert measured["seconds"] > 0
    assert 0 < measured["style_all"] < 10
    assert 0 < measured["content"] < 10


@pytest.mark.slow
def test_the_judge_equals_an_independent_evaluation(scene):
    photo, painting = (read_image(path).rgb.double() for path in (scene.photo, scene.painting))
    network = registry.load_network("vgg19", cut="relu5_1", pooling="max", padding="reflect").double()
    scales = {tap: scale.double().view(-1, 1, 1) for tap, scale in judge.load_scales().items()}
    seen, wanted = ({t: f[0] * scales[t] for t, f in network(x, STYLE_TAPS).items()} for x in (photo, painting))
    errors = []
    for tap in STYLE_TAPS:
        ours, theirs = (torch.einsum("chw,dhw->cd", f[tap], f[tap]) / f[tap][0].numel() for f in (seen, wanted))
        errors.append(float((ours - theirs).square().sum().sqrt() / theirs.square().sum().sqrt()))
    found = judge.judge(scene.photo, scene.painting, [scene.painting], size=64)
    assert found["style"] == found["style_all"] == pytest.approx(sum(errors) / 5, rel=1e-4)
    content = wanted["relu4_1"]
    deviation = (content - content.mean((1, 2), keepdim=True)).norm()
    assert found["content"] == pytest.approx(float((seen["relu4_1"] - content).norm() / deviation), rel=1e-4)


def test_the_judge_finds_no_fault_in_the_same_picture(scene):
    found = judge.judge(scene.photo, scene.photo, [scene.photo], size=64)
    assert found["style_all"] == found["content"] == 0
    assert found["structure"] == pytest.approx(1, abs=1e-5)


@pytest.mark.slow
def test_pastiche_is_timed(scene, tmp_path):
    assert pieces.time_pastiche(scene, tmp_path / "a.png", 1) > 0
    assert max(read_image(tmp_path / "a.png").rgb.shape) == scene.size


def test_first_step_of_pastiche_does_not_count(scene, monkeypatch):
    monkeypatch.setattr(pieces, "time_pastiche", lambda _scene, _painted, steps: 20.0 + 3.0 * (steps - 1))
    assert pieces.peer(scene, steps=6) == {"seconds": 3000.0, "step_seconds": 3.0, "steps": 6}


def test_a_transparent_picture_is_refused(scene, tmp_path):
    write_image(make_picture(64, 64), tmp_path / "cutout.png", alpha=torch.linspace(0, 1, 64).expand(1, 1, 64, 64))
    with pytest.raises(ValueError, match="transparent"):
        dataclasses.replace(scene, photo=str(tmp_path / "cutout.png")).set_up()


def test_the_goal_is_reached_when_a_curve_is_first_there():
    curve = {"seconds": [1.0, 2.0, 3.0, 4.0], "loss": [5.0, 0.9, 1.1, 0.5]}
    assert figures.reach(curve, "loss", 1.0) == 2.0
    assert figures.reach(curve, "loss", 0.1) is None


def test_the_losses_are_compared_as_saved_and_as_canvases():
    theirs = {"curve": {}, "seconds": 60.0, "loss": 3.0, "loss_raw": 1.0}
    curve = {"seconds": [1.0, 2.0, 3.0], "loss": [4.0, 3.0, 2.0], "loss_raw": [2.0, 1.5, 1.0]}
    found = figures.summarise({"reference_curve": [theirs], "impasto_curve": [{"curve": curve, "seconds": 3.0}]})
    assert found["time_to_loss_ratio"] == 30.0
    assert found["time_to_loss_ratio_raw"] == 20.0


@pytest.mark.slow
def test_the_command_line_measures_apart_and_writes(tmp_path):
    words = ["--quick", "--only", "bound", "--size", "32", "--json", str(tmp_path / "figures.json")]
    shown = subprocess.run(
        [sys.executable, str(BENCHMARKS / "speed.py"), *words], check=True, capture_output=True, text=True
    ).stdout
    written = json.loads((tmp_path / "figures.json").read_text())
    assert set(written["medians"]) == {"bound", "bound_1024"}
    assert set(written["rounds"]["bound"][0]["layers"]) <= set(plan_layers((2, 2, 4, 4, 4)))
    assert {"processor", "torch", "commit"} <= set(written["machine"])
    assert "bound_1024" in shown


def test_a_start_up_is_timed_to_what_it_says_first():
    assert pieces.time_until_said("import os; os.write(1, b'.')") > 0
    with pytest.raises(RuntimeError, match="said nothing"):
        pieces.time_until_said("pass")


def test_numbers_of_a_device_are_compared(scene, monkeypatch):
    monkeypatch.setattr(gpu, "NETWORKS", (scene.network,))
    monkeypatch.setattr(gpu, "choose_dtype", lambda *_: torch.float32)  # bfloat16 is too coarse for chance weights
    rows = list(gpu.check_numbers(scene))
    assert rows
    assert all(row.is_within for row in rows)
    assert any("gradient" in row.name for row in rows)


def test_tiles_of_a_device_are_exact(scene):
    assert all(row.is_within for row in gpu.check_tiles(scene))


def test_a_failing_part_leaves_the_others(capsys):
    def fail():
        raise RuntimeError("no such kernel")
        yield

    rows, failed = gpu.run_parts({"first": fail, "second": lambda: iter([gpu.Row("tiles", 2.0, limit=1.0)])})
    assert failed == ["first"]
    assert [row.is_within for row in rows] == [False]
    said = capsys.readouterr().out
    assert "no such kernel" in said
    assert "FAILED" in said


def test_a_number_that_is_none_is_beyond_its_limit():
    assert not gpu.Row("loss", float("nan"), limit=1.0).is_within
    assert gpu.Row("step", float("nan")).is_within


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card here")
def test_a_missing_device_is_named(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gpu.py"])
    assert gpu.main() == 2
    assert "there is no such device here" in capsys.readouterr().out
