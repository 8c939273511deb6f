"""Weights files in four layouts: read without running code, recognized, and checked tensor by tensor."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from impasto.errors import NetworkError
from impasto.network.download import digest_file
from impasto.network.vgg import CAFFE, IMAGENET, VGG16_DEPTHS, VGG19_DEPTHS, Normalization, plan_layers
from impasto.settings.types import Layout

NORMALIZATIONS: dict[Layout, Normalization] = {
    "impasto": IMAGENET,
    "torchvision": IMAGENET,
    "caffe": CAFFE,
    "gatys": CAFFE,
}
NUMBERED_LAYOUTS = ("torchvision", "caffe")  # name weights features.N.weight, where the others have convX_Y.weight
WEIGHT_SUFFIXES = (".pth", ".pt", ".pkl", ".safetensors", ".ckpt", ".bin")
# A painter needs no opinion on dog breeds. timm has the last two in place of the classifier.
IGNORED_PREFIXES = ("classifier.", "fc", "pre_logits.", "head.")
STATE_DICT_KEYS = ("state_dict", "model_state_dict", "model", "state", "net", "weights")  # of training checkpoints
# How the first weight may be called, and what is to be put before: `vgg19().features.state_dict()` has bare numbers.
FIRST_WEIGHTS = (("features.0.weight", ""), ("conv1_1.weight", ""), ("0.weight", "features."))

# torchvision's layout and the Caffe conversions' have the same names and shapes, and weights of the same size: only who
# published a file tells them apart. Publishers put the first eight digits of the sha256 into the file's name.
LAYOUTS_BY_DIGEST: dict[str, Layout] = {
    "dcbb9e9d": "torchvision",  # vgg19-dcbb9e9d.pth
    "397923af": "torchvision",  # vgg16-397923af.pth
    "d01eb7cb": "caffe",  # vgg19-d01eb7cb.pth, jcjohnson/pytorch-vgg
    "00b39a1b": "caffe",  # vgg16-00b39a1b.pth, jcjohnson/pytorch-vgg
}


def read_weights(path: Path, layout: Layout) -> tuple[dict[str, Tensor], Normalization]:
    """Return a user's weights and normalization: {`convX_Y.weight`: (C, N, 3, 3), `convX_Y.bias`: (C,)}, float32.

    Names, shapes and numbers are checked; the origin can't be, as there is no digest of a user's own file.

    Errors: NetworkError where the file can't be read, is no VGG-16 or VGG-19, or its layout can't be recognized.
    """
    if path.suffix.lower() not in WEIGHT_SUFFIXES:
        raise NetworkError(f"{path} is not a known kind of weights file: {', '.join(WEIGHT_SUFFIXES)}.")
    metadata: Mapping[str, str] = {}
    try:
        if path.suffix.lower() == ".safetensors":
            tensors, metadata = parse_safetensors(path.read_bytes(), str(path))
        else:
            tensors = load_pickle(path)
    except OSError as error:
        raise NetworkError(f"Can't read {path}: {error.strerror or error}.") from error
    tensors = _strip_prefix(tensors)
    if layout == "auto":
        layout = detect_layout(tensors, metadata, path)
    return arrange_weights(tensors, layout, str(path)), NORMALIZATIONS[layout]


def parse_safetensors(data: bytes, file: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors and the metadata of a safetensors file's bytes; `file` is its name in the NetworkError."""
    try:
        tensors = safetensors.torch.load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    except Exception as error:  # given foreign bytes, a parser raises anything
        raise NetworkError(f"{file} is truncated or not a safetensors file.") from error
    return tensors, header.get("__metadata__") or {}


def load_pickle(path: Path) -> dict[str, Tensor]:
    """Return the tensors by name of a file by torch.save, running no code; NetworkError if it holds more."""
    with path.open("rb") as file:
        try:
            found: Any = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # given foreign bytes, a parser raises anything
            if isinstance(error, UnpicklingError) and (refused := re.search(r"GLOBAL ([\w.]+)", str(error))):
                raise NetworkError(
                    f"{path} holds more than weights ({refused[1]}) and could run any program; none of it was run. "
                    "If you trust it, save the model's state_dict() alone and give that file."
                ) from error
            raise NetworkError(f"{path} is truncated or not a file by torch.save.") from error
    if not isinstance(found, Mapping):
        raise NetworkError(f"{path} holds a {type(found).__name__}, not a state_dict: tensors by name.")
    inner = (found[key] for key in STATE_DICT_KEYS if isinstance(found.get(key), Mapping))
    return {str(name): tensor for name, tensor in next(inner, found).items() if isinstance(tensor, Tensor)}


def _strip_prefix(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Name tensors as the layouts do: DataParallel writes `module.` before each, models with a VGG inside its name."""
    for first, added in FIRST_WEIGHTS:
        prefixes = [
            name.removesuffix(first)
            for name, tensor in tensors.items()
            if name.endswith(f".{first}") or name == first
            if tensor.ndim == 4 and tensor.shape[1] == 3
        ]
        if prefixes:
            prefix = min(prefixes, key=len)
            return {
                added + name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)
            }
    return tensors


def detect_layout(names: Iterable[str], metadata: Mapping[str, str], path: Path) -> Layout:
    """Return a file's layout by its metadata, its names, or its publisher's digits; or NetworkError asks for it."""
    stated: Any = metadata.get("layout")
    if stated in NORMALIZATIONS:
        return stated  # type: ignore[no-any-return]
    names = list(names)
    if any(name.startswith("conv1_1.") for name in names):
        return "gatys"
    if any(name.startswith("pre_logits.") for name in names):  # timm's, which are torchvision's
        return "torchvision"
    if not any(name.startswith("features.") for name in names):
        raise NetworkError(
            f"{path} holds no VGG weights: {_sample_names(names)} instead of features.0.weight or conv1_1.weight."
        )
    # The file's own digest comes before the digits in its name, which may be wrong in a copy. The name counts because
    # neural-style-pt saves the Caffe files again under their publisher's name, which changes the digest.
    for digits in (digest_file(path)[:8], *re.findall(r"[0-9a-f]{8}", path.name)):
        if digits in LAYOUTS_BY_DIGEST:
            return LAYOUTS_BY_DIGEST[digits]
    raise NetworkError(
        f"{path}: torchvision's and Caffe's VGG weights look alike; set `layout` to torchvision (RGB, ImageNet mean "
        "and deviation) or to caffe (BGR, 0 to 255, mean subtracted)."
    )


def arrange_weights(found: Mapping[str, Tensor], layout: Layout, file: str) -> dict[str, Tensor]:
    """Check all tensors against VGG-19 or VGG-16 and return them as float32 `convX_Y.weight` and `convX_Y.bias`.

    Whichever fits the names better is taken, at any widths, up to the deepest convolution in the file; the layout
    impasto may have mixes as well (see Network).

    Errors: NetworkError naming `file` and the first tensor that is missing, unexpected, of another shape or not finite.
    """
    if any(name.endswith("running_mean") for name in found):
        raise NetworkError(f"{file} has batch normalization; only plain VGG-16 and VGG-19 can be read.")
    found = {name: tensor for name, tensor in found.items() if not name.startswith(IGNORED_PREFIXES)}
    convs = _choose_plan({name.rpartition(".")[0] for name in found if "_mix." not in name}, layout)
    if not convs:
        raise NetworkError(f"{file} is not in the layout {layout}: it has {_sample_names(list(found))}.")
    expected = list(_list_expected(found, convs, layout))
    weights = {name: _take_tensor(found, name_in_file, shape, file) for name, name_in_file, shape in expected}
    known = {name_in_file for _, name_in_file, _ in expected}
    for name, tensor in found.items():
        if name not in known:
            raise NetworkError(f"{file}: {name} {tuple(tensor.shape)} is unexpected in a VGG-16 or VGG-19.")
    return weights


def _list_expected(
    found: Mapping[str, Tensor], convs: Mapping[str, str], layout: Layout
) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """Yield each tensor's name here, its name in the file, and its shape; the file's own widths are taken."""
    channels = 3
    for conv, prefix in convs.items():
        if conv.endswith("_1"):
            width = _find_width(found, prefix)
        yield f"{conv}.weight", f"{prefix}.weight", (width, channels, 3, 3)
        yield f"{conv}.bias", f"{prefix}.bias", (width,)
        channels = width
        for mix in (f"{conv}_mix", f"{conv.replace('conv', 'relu')}_mix"):
            if layout == "impasto" and f"{mix}.weight" in found:
                mixed = _find_width(found, mix)
                yield f"{mix}.weight", f"{mix}.weight", (mixed, width)
                yield f"{mix}.bias", f"{mix}.bias", (mixed,)


def _find_width(found: Mapping[str, Tensor], prefix: str) -> int:
    weight = found.get(f"{prefix}.weight")
    return max(1, weight.shape[0]) if weight is not None and weight.ndim else 1


def _choose_plan(prefixes: set[str], layout: Layout) -> dict[str, str]:
    """Return {`convX_Y`: its name in the file}, in order, of the VGG whose names differ least from `prefixes`."""

    def name_convs(depths: Sequence[int]) -> dict[str, str]:
        numbered = layout in NUMBERED_LAYOUTS
        layers = enumerate(plan_layers(depths))
        names = {layer: f"features.{n}" if numbered else layer for n, layer in layers if layer.startswith("conv")}
        deepest = max((at for at, name in enumerate(names.values()) if name in prefixes), default=-1)
        return dict(list(names.items())[: deepest + 1])

    plans = [name_convs(depths) for depths in (VGG19_DEPTHS, VGG16_DEPTHS)]
    return min(plans, key=lambda plan: len(prefixes.symmetric_difference(plan.values())))


def _take_tensor(found: Mapping[str, Tensor], name: str, shape: tuple[int, ...], file: str) -> Tensor:
    if name not in found:
        raise NetworkError(f"{file}: {name} {shape} is missing.")
    tensor = found[name].detach()
    if tuple(tensor.shape) != shape:
        raise NetworkError(f"{file}: {name} has shape {tuple(tensor.shape)}, expected is {shape}.")
    if not tensor.is_floating_point():
        raise NetworkError(f"{file}: {name} holds {tensor.dtype} numbers; floating point is needed.")
    if not tensor.isfinite().all():
        raise NetworkError(f"{file}: {name} holds numbers that are not finite.")
    return tensor.to(torch.float32).contiguous()


def _sample_names(names: Sequence[str]) -> str:
    return ", ".join(list(names)[:3]) or "no tensors"
