"""Precisions, devices and repetition: pictures that can't be told apart, and the same picture again."""

import math
import sys
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
import torch
from conftest import make_network, make_objective, make_picture, make_settings
from PIL import Image
from torch import Tensor

import impasto
from impasto.network.moments import measure_moments
from impasto.network.registry import load_network
from impasto.network.vgg import Network
from impasto.painting.device import choose_device, choose_dtype
from impasto.painting.styles import StyleInput

SHARED = Path(__file__).parents[2] / "shared"
EXAMPLES = Path(__file__).parents[1] / "examples"
PHOTO, PAINTING = EXAMPLES / "cut_paper.jpg", EXAMPLES / "flow_strokes.jpg"
STYLE_TAPS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")


def paint(precision: str, **settings: Any) -> Image.Image:
    chosen = {"network": "slim", "size": 96, "start_size": 48, "steps": 12, "later_steps": 12, **settings}
    return impasto.paint(PHOTO, PAINTING, precision=precision, **chosen)


def see(network: Network, picture: Image.Image | Path) -> dict[str, Tensor]:
    image = Image.open(picture) if isinstance(picture, Path) else picture
    image = image.convert("RGB").resize((128, 96))
    rgb = torch.tensor(
        list(image.getdata()) if not hasattr(image, "get_flattened_data") else list(image.get_flattened_data())
    )
    return network(rgb.float().view(1, 96, 128, 3).permute(0, 3, 1, 2) / 255, STYLE_TAPS)


def judge(picture: Image.Image) -> tuple[float, float]:
    """Return mean relative Gram error and relative content distance, by the embedded network in float32."""
    network = load_network("slim", cut="relu5_1", pooling="max", padding="reflect")
    ours, photo, painting = (see(network, of) for of in (picture, PHOTO, PAINTING))
    grams = [[measure_moments(of[tap]).second_moment for tap in STYLE_TAPS] for of in (ours, painting)]
    style = [float((a - b).norm() / b.norm()) for a, b in zip(*grams, strict=True)]
    target = photo["relu4_1"]
    content = (ours["relu4_1"] - target).norm() / (target - target.mean((2, 3), keepdim=True)).norm()
    return sum(style) / len(style), float(content)


@pytest.mark.parametrize(("precision", "is_exact"), [("float32", True), ("bfloat16", False)])
def test_float32_is_not_convolved_in_tf32(precision: str, is_exact: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    impasto.start(Image.open(PHOTO), Image.open(PAINTING), network="slim", size=64, precision=precision)
    assert torch.backends.cudnn.allow_tf32 is not is_exact


@pytest.mark.slow
def test_bfloat16_pictures_are_as_good_as_float32() -> None:
    # After few steps a single picture may differ by chance, by a tenth in its style.
    pictures = [
        [judge(paint(precision, size=size)) for size in (88, 104, 112)] for precision in ("bfloat16", "float32")
    ]
    ours, exact = ([mean(values) for values in zip(*each, strict=True)] for each in pictures)
    assert ours == pytest.approx(exact, rel=0.03)


@pytest.mark.skipif(not (SHARED / "tools" / "judge.py").is_file(), reason="the judge's networks are not here")
@pytest.mark.skipif(
    choose_dtype("auto", choose_device("auto")) is not torch.bfloat16,
    reason="bfloat16 is emulated here, as `precision` auto finds: minutes for a picture of VGG-19's size",
)
@pytest.mark.slow
def test_independent_judges_rate_precisions_equally(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(SHARED / "tools")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    from judge import judge as ask  # type: ignore[import-not-found]

    photo, painting = SHARED / "images" / "content" / "tubingen.jpg", SHARED / "images" / "style" / "the_scream.jpg"
    found = []
    for precision in ("float32", "bfloat16"):
        picture = tmp_path / f"{precision}.png"
        impasto.paint(photo, painting, output=picture, size=224, start_size=112, precision=precision)
        verdict = ask(picture, photo, [painting], size=224)
        found.append((verdict["style"], verdict["content"]))
    assert found[1] == pytest.approx(found[0], rel=0.03)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.slow
def test_the_same_seed_paints_the_same_picture(precision: str) -> None:
    chosen = {"size": 48, "start_size": 24, "steps": 4, "later_steps": 4, "init": "noise"}
    first, second, other = (paint(precision, seed=seed, **chosen).tobytes() for seed in (5, 5, 6))
    assert first == second
    assert first != other


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA here")
@pytest.mark.parametrize("style_loss", ["gatys", "gram", "wasserstein"])
def test_cuda_losses_and_gradient_match_cpu(style_loss: str) -> None:
    """Within 1e-3 in float32: TF32 is off unless somebody asks for it, so only orders of summation differ."""
    found = []
    for device in ("cpu", "cuda"):
        network = make_network().float().to(device, memory_format=torch.channels_last)
        photo, painting, canvas = (make_picture(48, 40, seed).float().to(device) for seed in (1, 2, 3))
        objective = make_objective(
            network, make_settings(style_loss={style_loss: 1.0}), StyleInput(photo), [StyleInput(painting)]
        )
        canvas.requires_grad_()
        losses = objective.backward(canvas)
        assert canvas.grad is not None
        found.append((losses, canvas.grad.cpu()))
    (ours, slope), (theirs, other_slope) = found
    assert theirs == pytest.approx(ours, rel=1e-3)
    torch.testing.assert_close(other_slope, slope, rtol=1e-3, atol=1e-3 * float(slope.abs().max()))


@pytest.mark.slow
def test_channels_that_hardly_fire_give_a_finite_loss():
    photo = Path(impasto.__file__).parent / "studio" / "examples" / "coffee.jpg"
    steps = list(impasto.start(photo, "starry_night", size=96, steps=1, later_steps=1, precision="bfloat16"))
    assert math.isfinite(steps[-1].losses["total"])
