"""Each preset against its program: loss and gradient, and the first steps where the optimizer is torch's."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from conftest import build_painter, make_network, make_objective, make_picture
from programs import (
    CAFFE_CANVAS,
    LUA_CANVAS,
    PLAIN_CANVAS,
    PROGRAMS,
    Pictures,
    Program,
    make,
    neural_style,
    neural_style_tf,
    style_transfer_pytorch,
)
from torch import Tensor

import impasto
from impasto.images.write import to_pil
from impasto.network.vgg import CAFFE, IMAGENET, Network, rescale_normalization
from impasto.painting.styles import StyleInput
from impasto.settings.model import Settings
from impasto.settings.presets import PRESETS

DOUBLE = torch.float64
OURS = {"default", "instant", "draft", "fine", "film"}
ON_TORCHVISION = {"gordicaleksa", "style-transfer-pytorch"}
WIDTH, HEIGHT = 37, 29  # odd at every stage of pooling
CANVAS, PHOTO = make_picture(WIDTH, HEIGHT, 1, DOUBLE), make_picture(WIDTH, HEIGHT, 2, DOUBLE)
LARGER, SAME = (Pictures(PHOTO, make_picture(*size, 3, DOUBLE)) for size in ((41, 34), (WIDTH, HEIGHT)))


def build(settings: Settings) -> Network:
    trained = IMAGENET if settings.preset in ON_TORCHVISION else CAFFE
    return make_network(
        DOUBLE,
        normalization=rescale_normalization(trained, settings.input_scaling),
        pooling=settings.pooling,
        rounding="up" if settings.pooling_ceil_mode else "down",
        padding=settings.padding,
        keep_activation_size=settings.pooling_gain,
    )


def list_weights(network: Network) -> dict[str, Tensor]:
    return {name.removeprefix("convs."): value for name, value in network.state_dict().items()}


def compare(settings: Settings, program: Program, *, rel: float = 1e-9) -> None:
    # The programs that take raw sums for Gram matrices have paintings of the photo's size.
    pictures = SAME if settings.preset in ("gatys2015", "gatys2016", "neural-style-tf") else LARGER
    network = build(settings)
    objective = make_objective(network, settings, StyleInput(pictures.photo), [StyleInput(pictures.painting)])
    canvas = CANVAS.clone().requires_grad_()
    values = objective.backward(canvas)

    other = CANVAS.clone().requires_grad_()
    loss = program.loss(list_weights(network), pictures, program.enter(other))
    (slope,) = torch.autograd.grad(loss, other)
    total = values["total"] - (values["tv"] if settings.preset == "neural-style" else 0)  # which it does not report
    assert total == pytest.approx(float(loss.detach()), rel=rel)
    assert canvas.grad is not None
    assert float((canvas.grad - slope).norm() / slope.norm()) <= rel
    assert float(slope.norm()) > 0


def test_every_preset_of_a_program_is_compared_with_it() -> None:
    assert set(PROGRAMS) == set(PRESETS) - OURS


@pytest.mark.parametrize("preset", PROGRAMS)
def test_loss_and_gradient_are_the_programs(preset: str) -> None:
    compare(
        Settings(preset=preset, network="its_own.pth"),
        PROGRAMS[preset],
        rel=1e-6 if preset == "gatys-pytorch" else 1e-9,
    )


@pytest.mark.parametrize(("function", "kind"), [(1, "root"), (2, "mean"), (3, "sum")])
def test_neural_style_tf_has_three_content_losses(function: int, kind: str) -> None:
    settings = Settings(network="its_own.pth", preset="neural-style-tf", content_loss=kind)
    compare(settings, make(CAFFE_CANVAS, neural_style_tf, function=function))


def test_neural_style_normalizes_gradients_at_each_layer() -> None:
    settings = Settings(network="its_own.pth", preset="neural-style", normalize_gradients=True)
    compare(settings, make(LUA_CANVAS, neural_style, normalise=True))
    with pytest.raises(AssertionError):
        compare(settings, PROGRAMS["neural-style"])


def test_approximate_matrix_root_is_not_reproduced() -> None:
    """How far style-transfer-pytorch's own approximation is from the formula that it stands for."""
    settings = Settings(network="its_own.pth", preset="style-transfer-pytorch")
    rough = make(PLAIN_CANVAS, style_transfer_pytorch, iterations=12)
    compare(settings, rough, rel=0.05)
    with pytest.raises(AssertionError):
        compare(settings, rough, rel=1e-6)


# The first steps


def walk(preset: str, count: int, **chosen: Any) -> tuple[list[float], Tensor]:
    """Let the painter take steps from CANVAS; return the losses before each, and the canvas of the last."""
    side = {"shortest": HEIGHT, "height": HEIGHT, "area": round((WIDTH * HEIGHT) ** 0.5)}
    settings = Settings(preset=preset, network="its_own.pth", init="canvas.png", steps=count, **chosen)
    settings = settings.model_copy(
        update={"size": side.get(settings.fit, WIDTH), "start_size": 32768, "ema_decay": 0.0}
    )
    painter = build_painter(build(settings), settings, StyleInput(PHOTO), [StyleInput(SAME.painting)], CANVAS)
    losses = []
    for step in painter:
        assert (step.width, step.height) == (WIDTH, HEIGHT)
        losses.append(step.losses["total"] - (step.losses["tv"] if preset == "neural-style" else 0))
    assert painter.notes == []
    assert painter.state.accepted is not None
    return losses, painter.state.accepted


def run_program(
    preset: str, count: int, optimizer: Callable[..., torch.optim.Optimizer], **options: Any
) -> tuple[list[float], Tensor]:
    """Let torch's optimizer take the same steps on the program's own canvas."""
    program = PROGRAMS[preset]
    weights = list_weights(build(Settings(preset=preset, network="its_own.pth")))
    y = program.enter(CANVAS).clone().requires_grad_()
    walker = optimizer([y], **options)
    losses: list[float] = []
    canvases: list[Tensor] = []

    def closure() -> Tensor:
        walker.zero_grad()
        loss = program.loss(weights, SAME, y)
        loss.backward()
        losses.append(float(loss.detach()))
        canvases.append(program.leave(y.detach()).clone())
        return loss

    while len(losses) < count:
        walker.step(closure)
        if preset == "style-transfer-pytorch":
            with torch.no_grad():
                y.clamp_(0, 1)
    return losses[:count], canvases[count - 1]


TORCHS: dict[str, dict[str, Any]] = {
    "gatys-pytorch": {"optimizer": torch.optim.LBFGS},  # 20 steps a call, again and again
    "neural-style": {"optimizer": torch.optim.LBFGS, "max_iter": 20, "tolerance_grad": -1, "tolerance_change": -1},
    "neural-style-pt": {"optimizer": torch.optim.LBFGS, "max_iter": 20, "tolerance_grad": -1, "tolerance_change": -1},
    "anishathalye": {"optimizer": torch.optim.Adam, "lr": 10, "betas": (0.9, 0.999), "eps": 1e-8},
    "style-transfer-pytorch": {"optimizer": torch.optim.Adam, "lr": 0.02, "betas": (0.9, 0.99)},
}


@pytest.mark.parametrize("preset", TORCHS)
def test_the_first_steps_are_torchs(preset: str) -> None:
    count = 20
    losses, canvas = walk(preset, count)
    expected, other = run_program(preset, count, **TORCHS[preset])
    assert losses == pytest.approx(expected, rel=1e-6)
    assert losses[0] != pytest.approx(losses[-1], rel=1e-3)  # it has gone somewhere
    moved = (other - CANVAS).norm()
    assert float((canvas - other).norm() / moved) <= 1e-6
    if preset == "anishathalye":
        assert float(other.max()) > 1  # and isn't held


def test_first_direction_of_line_search_is_reproduced() -> None:
    _, canvas = walk("gordicaleksa", 2)
    _, other = run_program("gordicaleksa", 2, torch.optim.LBFGS, max_iter=2, line_search_fn="strong_wolfe")
    ours, theirs = (canvas - CANVAS).flatten(), (other - CANVAS).flatten()
    assert float(ours @ theirs / (ours.norm() * theirs.norm())) == pytest.approx(1, abs=1e-9)


# What a preset sets beside its formulas


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.slow
def test_each_paints_with_the_embedded_network(preset: str) -> None:
    photo, painting = (to_pil(make_picture(50, 40, seed)) for seed in (1, 2))
    run = impasto.start(photo, painting, preset=preset, network="slim", size=48, steps=12)
    losses = [step.losses["total"] for step in run]
    assert min(losses) < losses[0]
    assert run.picture().size == SIZES.get(Settings(preset=preset, network="its_own.pth").fit, (48, 38))


SIZES = {"shortest": (60, 48), "height": (60, 48), "area": (54, 43), "shrink": (48, 38)}


@pytest.mark.parametrize(
    ("preset", "photo", "expected"),
    [
        ("gatys2016", (1000, 640), (640, 410)),
        ("gatys-pytorch", (1000, 640), (800, 512)),
        ("neural-style", (1000, 640), (512, 328)),
        ("neural-style-tf", (1000, 640), (512, 328)),
        ("neural-style-tf", (100, 64), (100, 64)),
        ("anishathalye", (640, 1000), (512, 800)),
        ("gordicaleksa", (1000, 640), (625, 400)),
    ],
)
def test_each_program_measures_size_in_its_own_way(
    preset: str, photo: tuple[int, int], expected: tuple[int, int]
) -> None:
    settings = Settings(preset=preset, network="its_own.pth")
    picture = StyleInput(torch.zeros(1, 3, photo[1], photo[0]))
    assert build_painter(make_network(), settings, picture, [picture]).schedule.sizes == (expected,)


def test_style_transfer_pytorch_climbs_from_128_pixels() -> None:
    picture = StyleInput(torch.zeros(1, 3, 90, 120))
    painter = build_painter(
        make_network(), Settings(network="its_own.pth", preset="style-transfer-pytorch"), picture, [picture]
    )
    assert [max(size) for size in painter.schedule.sizes] == [128, 181, 256, 362, 512]
    assert painter.total_steps == 1000 + 4 * 500
