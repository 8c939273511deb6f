"""The ComfyUI nodes, against a stub of ComfyUI's node protocol."""

import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import SPELT_OUT, make_picture
from film_clips import make_pan
from torch import Tensor

import impasto

SOURCE = Path(__file__).parent.parent / "integrations" / "comfyui" / "__init__.py"
SPELT_OUT_HERE = {**SPELT_OUT, "start_size": 32, "steps": 2, "later_steps": 1}


class CancelledError(Exception):
    """Stands for ComfyUI's InterruptProcessingException."""


def make_module(name: str, **contents: Any) -> types.ModuleType:
    module = types.ModuleType(name)
    vars(module).update(contents)
    return module


@pytest.fixture
def comfy(monkeypatch: pytest.MonkeyPatch) -> types.SimpleNamespace:
    """A stub of the modules that ComfyUI brings; it notes the updates of progress bars, and may cancel."""
    stub = types.SimpleNamespace(updates=[], steps_before_cancel=1000)

    def throw_exception_if_processing_interrupted() -> None:
        stub.steps_before_cancel -= 1
        if stub.steps_before_cancel < 0:
            raise CancelledError

    class Bar:
        def __init__(self, total: int) -> None:
            self.total = total

        def update_absolute(self, value: int, total: int, preview: Any = None) -> None:
            assert total == self.total
            stub.updates.append((value / total, preview))

    utils = make_module("comfy.utils", ProgressBar=Bar)
    management = make_module(
        "comfy.model_management", throw_exception_if_processing_interrupted=throw_exception_if_processing_interrupted
    )
    for module in (utils, management, make_module("comfy", utils=utils, model_management=management)):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return stub


@pytest.fixture
def nodes(comfy: types.SimpleNamespace, weights_file: Path) -> types.SimpleNamespace:  # noqa: ARG001
    """The node pack, loaded as ComfyUI loads it, and settings to paint quickly."""
    spec = importlib.util.spec_from_file_location("custom_nodes_comfyui_impasto", SOURCE)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    quick = {**SPELT_OUT_HERE, "network": str(weights_file)}
    del quick["size"], quick["style_weight"]  # which have widgets
    return types.SimpleNamespace(module=module, quick=to_toml(quick))


def to_toml(settings: dict[str, Any]) -> str:
    def show(value: Any) -> str:
        if isinstance(value, dict):
            return "{" + ", ".join(f"{name} = {number}" for name, number in value.items()) + "}"
        if isinstance(value, tuple):
            return str([*value])
        return str(value).lower() if isinstance(value, bool | int | float) else f"'{value}'"

    return "\n".join(f"{name} = {show(value)}" for name, value in settings.items())


def call(nodes: types.SimpleNamespace, name: str, **given: Any) -> Tensor:
    """Call a node as ComfyUI does: widgets at their defaults, in inference mode."""
    node = nodes.module.NODE_CLASS_MAPPINGS[name]()
    described = node.INPUT_TYPES()
    allowed = {**described["required"], **described.get("optional", {})}
    assert given.keys() <= allowed.keys()
    widgets = {name: it[1]["default"] for name, it in described["required"].items() if "default" in (*it, {})[1]}
    with torch.inference_mode():
        given = {name: it.clone() if isinstance(it, Tensor) else it for name, it in given.items()}
        returned = getattr(node, node.FUNCTION)(**{**widgets, "settings": nodes.quick, **given})
    assert len(returned) == len(node.RETURN_TYPES)
    return returned[0]


def make_batch(*seeds: int, width: int = 48, height: int = 36) -> Tensor:
    return torch.cat([make_picture(width, height, seed) for seed in seeds]).permute(0, 2, 3, 1)


@pytest.mark.parametrize("name", ["ImpastoPaint", "ImpastoFilm", "ImpastoCollection"])
def test_nodes_describe_themselves(nodes: types.SimpleNamespace, name: str) -> None:
    node = nodes.module.NODE_CLASS_MAPPINGS[name]
    assert nodes.module.NODE_DISPLAY_NAME_MAPPINGS.keys() == nodes.module.NODE_CLASS_MAPPINGS.keys()
    assert node.RETURN_TYPES == ("IMAGE",)
    assert node.CATEGORY == "image/impasto"
    for kind, *options in {**node.INPUT_TYPES()["required"], **node.INPUT_TYPES().get("optional", {})}.values():
        assert isinstance(kind, list) or kind in ("IMAGE", "MASK", "STRING", "INT", "FLOAT")
        if options and isinstance(kind, list):
            assert options[0]["default"] in kind


def test_each_photo_of_a_batch_is_painted(nodes: types.SimpleNamespace, comfy: types.SimpleNamespace) -> None:
    painted = call(nodes, "ImpastoPaint", photo=make_batch(1, 2), painting=make_batch(3), size=32)
    assert painted.shape == (2, 24, 32, 3)
    assert painted.dtype == torch.float32
    assert 0 <= float(painted.min()) <= float(painted.max()) <= 1
    shares = [share for share, _ in comfy.updates]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    kind, preview, side = comfy.updates[0][1]
    assert (kind, preview.mode, side) == ("JPEG", "RGB", 512)


def test_a_node_paints_what_python_paints(nodes: types.SimpleNamespace, weights_file: Path) -> None:
    photo, painting = make_batch(1), make_batch(3)
    painted = call(nodes, "ImpastoPaint", photo=photo, painting=painting, size=32, style_weight=3.0, color="keep")
    pictures = [nodes.module.Image.fromarray((it[0] * 255).round().byte().numpy()) for it in (photo, painting)]
    chosen = {**SPELT_OUT_HERE, "network": str(weights_file), "size": 32, "style_weight": 3.0, "color": "keep"}
    assert torch.equal(painted, nodes.module.to_batch([impasto.paint(*pictures, **chosen)]))


def test_masks_divide_the_picture_and_keep_the_photo(nodes: types.SimpleNamespace) -> None:
    photo = make_batch(1, width=64, height=48)
    left = torch.zeros(1, 48, 64)
    left[..., :32] = 1
    given = {"photo": photo, "painting": make_batch(3, 4), "size": 64}
    kept = call(nodes, "ImpastoPaint", **given, preserve_mask=left)
    assert float((kept - photo)[:, :, :32].abs().max()) < 0.01
    assert float((kept - photo)[:, :, 32:].abs().mean()) > 0.002
    divided = call(nodes, "ImpastoPaint", **given, second_painting=make_batch(5), mask=left)
    swapped = call(nodes, "ImpastoPaint", **given, second_painting=make_batch(5), mask=1 - left)
    assert not torch.equal(divided, swapped)


def test_masks_of_another_number_raise(nodes: types.SimpleNamespace) -> None:
    with pytest.raises(impasto.UsageError, match="2 masks for 3 photos"):
        call(nodes, "ImpastoPaint", photo=make_batch(1, 2, 3), painting=make_batch(4), mask=torch.ones(2, 36, 48))


def test_film_frames_are_painted_with_their_masks(nodes: types.SimpleNamespace, comfy: types.SimpleNamespace) -> None:
    frames = torch.cat(make_pan(3)).permute(0, 2, 3, 1)
    keep = torch.zeros(3, 48, 64)
    for frame in range(3):
        keep[frame, :, 16 * frame : 16 * frame + 32] = 1
    painted = call(nodes, "ImpastoFilm", frames=frames, painting=make_batch(4), size=64, passes=2, preserve_mask=keep)
    assert painted.shape == frames.shape
    assert float(((painted - frames) * keep[..., None]).abs().max()) < 0.02
    assert float((painted - frames).abs().mean()) > 0.001
    assert comfy.updates[-1][0] > 0.9


def test_cancelling_stops_between_two_steps(nodes: types.SimpleNamespace, comfy: types.SimpleNamespace) -> None:
    comfy.steps_before_cancel = 1
    with pytest.raises(CancelledError):
        call(nodes, "ImpastoPaint", photo=make_batch(1), painting=make_batch(3), size=32)
    with pytest.raises(CancelledError):
        call(nodes, "ImpastoFilm", frames=make_batch(1, 2), painting=make_batch(3), size=32)


@pytest.mark.parametrize(
    ("settings", "message"),
    [("style_size 3", "`settings` is not understood"), ("sice = 3", "no setting `sice`"), ("steps = 0", "`steps`")],
)
def test_wrong_settings_are_named(nodes: types.SimpleNamespace, settings: str, message: str) -> None:
    with pytest.raises(impasto.UsageError, match=message):
        call(nodes, "ImpastoPaint", photo=make_batch(1), painting=make_batch(3), settings=settings)


def test_a_painting_of_the_collection_is_loaded(nodes: types.SimpleNamespace) -> None:
    node = nodes.module.NODE_CLASS_MAPPINGS["ImpastoCollection"]()
    (painting,) = node.load("starry_night")
    assert painting.shape[0] == 1
    assert painting.shape[3] == 3
