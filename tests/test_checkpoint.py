"""Checkpoints as files: what goes in comes out, and whatever is broken, foreign or full is said."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
from conftest import limit_file_size, make_picture

from impasto.errors import CheckpointError, PictureError
from impasto.painting.checkpoint_file import Checkpoint, is_checkpoint, read_checkpoint, write_checkpoint

TENSORS = {
    "canvas": make_picture(13, 9).contiguous(memory_format=torch.channels_last),
    "plain": make_picture(5, 4),
    "history": torch.arange(7).bfloat16(),
    "across": torch.eye(3, dtype=torch.float64),
    "rng_state": torch.get_rng_state(),
    "empty": torch.zeros(0, 0, dtype=torch.float64),
}
WHOLE = Checkpoint(TENSORS, {"place": {"scale": 2, "ceiling": float("inf")}}, {"job": "{}", "recipe": "später"})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a.checkpoint"
    write_checkpoint(path, WHOLE)
    return path


def test_checkpoint_round_trips(path: Path) -> None:
    back = read_checkpoint(path)
    assert back.numbers == WHOLE.numbers
    assert back.texts == WHOLE.texts
    assert set(back.tensors) == set(TENSORS)
    for name, tensor in TENSORS.items():
        assert back.tensors[name].dtype == tensor.dtype
        assert back.tensors[name].stride() == tensor.stride() or not tensor.numel()
        assert torch.equal(back.tensors[name], tensor)
    assert is_checkpoint(path)
    assert [it.name for it in path.parent.iterdir()] == [path.name]


def test_safetensors_reads_a_checkpoint(path: Path) -> None:
    loaded = safetensors.torch.load_file(path)
    assert torch.equal(loaded["history"], TENSORS["history"])
    assert torch.equal(loaded["canvas"].permute(0, 3, 1, 2), TENSORS["canvas"])


def test_read_tensors_are_copies(path: Path) -> None:
    back = read_checkpoint(path)
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))
    assert torch.equal(back.tensors["canvas"], TENSORS["canvas"])


def test_truncated_checkpoint_is_refused(path: Path) -> None:
    data = path.read_bytes()
    for length in {0, 1, 7, 8, 9, 100, *range(0, len(data), 97), len(data) - 1}:
        path.write_bytes(data[:length])
        with pytest.raises(CheckpointError, match="cut short"):
            read_checkpoint(path)
    path.write_bytes(data + b"more")
    with pytest.raises(CheckpointError, match="cut short"):
        read_checkpoint(path)


def test_any_wrong_bit_is_found(path: Path) -> None:
    data = path.read_bytes()
    for at in range(0, len(data), max(1, len(data) // 200)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with pytest.raises(CheckpointError):
            read_checkpoint(path)


def _header(path: Path, change: object) -> None:
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    change(header)  # type: ignore[operator]
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda header: header["__metadata__"].update(format="9"), "another format"),
        (lambda header: header["__metadata__"].update(kind="weights"), "no checkpoint of impasto"),
        (lambda header: header.pop("__metadata__"), "no checkpoint of impasto"),
        (lambda header: header["__metadata__"].pop("numbers"), "damaged"),
        (lambda header: header["canvas"].update(dtype="F1"), "damaged"),
        (lambda header: header["canvas"].update(shape=[1, 2]), "damaged"),
        (lambda header: header["canvas"].update(shape=[10**9, 10**9]), "damaged"),
    ],
)
def test_malformed_checkpoint_is_refused(path: Path, change: object, said: str) -> None:
    _header(path, change)
    with pytest.raises(CheckpointError, match=said):
        read_checkpoint(path)


def test_foreign_files_are_no_checkpoints(tmp_path: Path) -> None:
    for name, data in {
        "empty": b"",
        "text": b"no checkpoint at all",
        "huge": b"\xff" * 64,
        "list": b"\2" + bytes(7),
    }.items():
        path = tmp_path / name
        path.write_bytes(data + (b"[]" if name == "list" else b""))
        assert not is_checkpoint(path)
        with pytest.raises(CheckpointError, match=name):
            read_checkpoint(path)
    safetensors.torch.save_file({"a": torch.zeros(3)}, tmp_path / "weights")
    assert not is_checkpoint(tmp_path / "weights")
    with pytest.raises(CheckpointError, match="no checkpoint of impasto"):
        read_checkpoint(tmp_path / "weights")
    for missing in (tmp_path / "nowhere", tmp_path):
        assert not is_checkpoint(missing)
        with pytest.raises(CheckpointError, match=str(missing)):
            read_checkpoint(missing)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no limits to a file's size")
def test_failed_write_keeps_the_last_checkpoint(path: Path) -> None:
    before = path.read_bytes()
    with limit_file_size(100_000), pytest.raises(PictureError, match="can't be written"):
        write_checkpoint(path, Checkpoint({"canvas": torch.zeros(1, 3, 300, 300)}, {}, {}))
    assert path.read_bytes() == before
    assert [it.name for it in path.parent.iterdir()] == [path.name]


def test_full_disk_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "impasto", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small disk can't be mounted here")
    try:
        path = disk / "a.checkpoint"
        write_checkpoint(path, WHOLE)
        before = path.read_bytes()
        with pytest.raises(PictureError, match="No space left"):
            write_checkpoint(path, Checkpoint({"canvas": torch.zeros(1, 3, 300, 300)}, {}, {}))
        assert path.read_bytes() == before
        assert os.listdir(disk) == ["a.checkpoint"]  # noqa: PTH208
    finally:
        subprocess.run(["umount", str(disk)], check=True)
