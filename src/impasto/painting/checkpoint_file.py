"""A painter's state in a safetensors file, written whole or not at all."""

import json
import os
import shutil
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from impasto.errors import CheckpointError, PictureError
from impasto.images.opening import check_regular_file, explain_missing
from impasto.images.output import replace_file

FORMAT = "4"
KIND = "impasto checkpoint"
MAX_HEADER_BYTES = 100_000_000  # as in safetensors
OWN_TEXTS = ("kind", "format", "numbers", "checksum")


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by name; `numbers`, plain data; and `texts`, which mean nothing to the painter."""

    tensors: Mapping[str, Tensor]
    numbers: Mapping[str, Any]
    texts: Mapping[str, str]


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, and replace the one before once the new one is whole.

    Tensors are written as they are in memory, without a copy. Until then the file is in a folder next to `path`; what
    a killed program leaves there is deleted by the next one. Errors: PictureError where the disk refuses.
    """
    rows = {name: _to_rows(tensor) for name, tensor in checkpoint.tensors.items()}
    turned = [name for name, tensor in rows.items() if tensor.shape != checkpoint.tensors[name].shape]
    numbers = json.dumps({**checkpoint.numbers, "turned": turned})
    texts = {"kind": KIND, "format": FORMAT, "numbers": numbers, **checkpoint.texts}
    folder = path.with_name(f".{path.name}.part")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir()
        part = folder / "checkpoint"
        save_file(rows, part, {**texts, "checksum": _measure_checksum(rows, texts)})
        with part.open("r+b") as file:  # Windows syncs no file that is only read
            os.fsync(file.fileno())
        replace_file(part, path)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise PictureError(f"{path} can't be written, {reason}: make room, or choose another place") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def is_checkpoint(path: Path) -> bool:
    """Tell by its header whether a file is a checkpoint of impasto, whole or cut short."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length)) if length <= MAX_HEADER_BYTES else {}
        return bool(header["__metadata__"]["kind"] == KIND)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Its tensors are copies, not maps of the file. Errors: CheckpointError where there is no checkpoint, or one that is
    damaged, cut short, or of another format.
    """
    try:
        check_regular_file(path)
        with safe_open(path, framework="pt") as file:
            texts = file.metadata() or {}
            if texts.get("kind") != KIND:
                raise CheckpointError(f"{path} is no checkpoint of impasto: name the file that `checkpoint` wrote")
            if texts["format"] != FORMAT:
                raise CheckpointError(f"{path} has another format: resume it with the version of impasto that wrote it")
            numbers = json.loads(texts["numbers"])
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        if texts.pop("checksum") != _measure_checksum(tensors, texts):
            raise ValueError("its checksum is wrong")
        for name in numbers.pop("turned"):
            tensors[name] = tensors[name].permute(0, 3, 1, 2)
    except FileNotFoundError:
        raise CheckpointError(explain_missing(path)) from None
    except PictureError as error:
        raise CheckpointError(str(error)) from None
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path} is no checkpoint, or is damaged or cut short ({error}): begin anew, or resume from another one"
        ) from None
    return Checkpoint(tensors, numbers, {name: text for name, text in texts.items() if name not in OWN_TEXTS})


def _measure_checksum(rows: Mapping[str, Tensor], texts: Mapping[str, str]) -> str:
    """Return the CRC-32 of all that a checkpoint holds: a single wrong bit could spoil hours of painting."""
    checksum = zlib.crc32(json.dumps(texts, sort_keys=True).encode())
    for name in sorted(rows):
        checksum = zlib.crc32(f"{name} {rows[name].dtype} {[*rows[name].shape]}".encode(), checksum)
        checksum = zlib.crc32(rows[name].cpu().reshape(-1).view(torch.uint8).numpy().data, checksum)
    return f"{checksum:08x}"


def _to_rows(tensor: Tensor) -> Tensor:
    """Return a tensor as it is in memory: (1, C, H, W) in channels_last as (1, H, W, C)."""
    tensor = tensor.detach()
    if tensor.dim() == 4 and not tensor.is_contiguous() and tensor.is_contiguous(memory_format=torch.channels_last):
        return tensor.permute(0, 2, 3, 1)
    return tensor.contiguous()
