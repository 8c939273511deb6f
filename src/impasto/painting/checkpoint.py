"""A painter's state in one file, and back: safetensors, written whole or not at all, the one before kept until then."""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from impasto.errors import CheckpointError, PictureError
from impasto.images.opening import check_regular_file
from impasto.images.output import atomic_write

FORMAT = "1"
KIND = "impasto checkpoint"
NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.uint8: "U8",
}
TYPES = {name: kind for kind, name in NAMES.items()}
LONGEST_HEADER = 100_000_000  # bytes, as in safetensors


@dataclass(frozen=True)
class Checkpoint:
    """What is in a checkpoint: tensors by name; `numbers`, plain data; `texts` that the painter does not know about."""

    tensors: Mapping[str, Tensor]
    numbers: Mapping[str, Any]
    texts: Mapping[str, str]


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, in place of the one that is there, as soon as the new one is whole.

    Tensors are written as they lie in memory, without a copy. Until it is whole it stands beside `path`, under a name
    of its own that the next one takes again. Raises PictureError where the disk refuses.
    """
    rows = {name: _as_rows(tensor) for name, tensor in checkpoint.tensors.items()}
    header, place = {}, 0
    for name, tensor in rows.items():
        size = tensor.numel() * tensor.element_size()
        header[name] = {
            "dtype": NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [place, place + size],
        }
        place += size
    turned = [name for name, tensor in rows.items() if tensor.shape != checkpoint.tensors[name].shape]
    numbers = json.dumps({**checkpoint.numbers, "turned": turned})
    notes = {"kind": KIND, "format": FORMAT, "numbers": numbers, **checkpoint.texts}
    text = json.dumps({"__metadata__": notes, **header}).encode()
    text += b" " * (-len(text) % 8)
    with atomic_write(path, overwrite=True, temporary=path.with_name(f".{path.name}.part")) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in rows.values():
            _write(file, tensor)


def is_checkpoint(path: Path) -> bool:
    """Is a file a checkpoint of impasto, whole or not? Its first bytes tell."""
    try:
        with path.open("rb") as file:
            return bool(_read_header(file)["__metadata__"]["kind"] == KIND)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint; raises CheckpointError where there is none, or one that is cut short, foreign or too new.

    Its tensors are copies in memory, not maps of the file: that may be replaced by the next one meanwhile.
    """
    try:
        check_regular_file(path)
        with path.open("rb") as file:
            header = _read_header(file)
            notes = header.pop("__metadata__", {})
            if notes.get("kind") != KIND:
                raise CheckpointError(f"{path} is no checkpoint of impasto: name the file that --checkpoint wrote")
            if notes["format"] != FORMAT:
                raise CheckpointError(f"{path} is a checkpoint of another format: it takes the impasto that wrote it")
            numbers = json.loads(notes["numbers"])
            _check_length(file, header)
            tensors = {name: _read(file, header[name]) for name in header}
    except FileNotFoundError:
        raise CheckpointError(f"{path} does not exist: check the name and the folder") from None
    except PictureError as error:
        raise CheckpointError(str(error)) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path} is no checkpoint, or is damaged or cut short ({error}): begin anew, or resume from another one"
        ) from None
    for name in numbers.pop("turned"):
        tensors[name] = tensors[name].permute(0, 3, 1, 2)
    return Checkpoint(
        tensors, numbers, {name: notes[name] for name in notes if name not in ("kind", "format", "numbers")}
    )


def _read_header(file: BinaryIO) -> dict[str, Any]:
    length = int.from_bytes(file.read(8), "little")
    if not 2 <= length <= LONGEST_HEADER:
        raise ValueError("it does not begin as one")
    header = json.loads(_take(file, length))
    if not isinstance(header, dict):
        raise ValueError("it does not begin as one")
    return header


def _check_length(file: BinaryIO, header: Mapping[str, Any]) -> None:
    """Raise ValueError where the tensors are not, one after the other, what the rest of the file holds."""
    place = 0
    for entry in header.values():
        size = math.prod(entry["shape"]) * TYPES[entry["dtype"]].itemsize
        if entry["data_offsets"] != [place, place + size]:
            raise ValueError("its tensors don't lie as they were written")
        place += size
    held = os.fstat(file.fileno()).st_size - file.tell()
    if held != place:
        raise ValueError(f"it holds {held:,} bytes of {place:,}")


def _read(file: BinaryIO, entry: Mapping[str, Any]) -> Tensor:
    tensor = torch.empty(entry["shape"], dtype=TYPES[entry["dtype"]])
    held = tensor.flatten().view(torch.uint8).numpy().data
    if tensor.numel() and file.readinto(held) != len(held):  # type: ignore[attr-defined]
        raise ValueError("it is cut short")
    return tensor


def _take(file: BinaryIO, length: int) -> bytes:
    data = file.read(length)
    if len(data) < length:
        raise ValueError("it is cut short")
    return data


def _as_rows(tensor: Tensor) -> Tensor:
    """Return a tensor as it lies in memory: (1, C, H, W) in channels_last as (1, H, W, C)."""
    tensor = tensor.detach()
    if tensor.dim() == 4 and not tensor.is_contiguous() and tensor.is_contiguous(memory_format=torch.channels_last):
        return tensor.permute(0, 2, 3, 1)
    return tensor.contiguous()


def _write(file: BinaryIO, tensor: Tensor) -> None:
    flat = tensor.flatten()
    if flat.is_cuda or flat.device.type == "mps":
        flat = flat.cpu()
    if flat.numel():
        file.write(flat.view(torch.uint8).numpy().data)
