"""Which device and which number type `auto` means, and what is said where there is no such device."""

import pytest
import torch

from impasto.errors import UsageError
from impasto.painting import device
from impasto.painting.device import (
    choose_device,
    choose_dtype,
    keep_freed_memory,
    measure_free_memory,
    return_freed_memory,
)

CPU, CUDA, MPS = torch.device("cpu"), torch.device("cuda"), torch.device("mps")


def pretend(monkeypatch: pytest.MonkeyPatch, *, cuda: bool, mps: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


def test_the_processor_is_always_there() -> None:
    assert choose_device("cpu") == CPU


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"), [(True, True, CUDA), (True, False, CUDA), (False, True, MPS), (False, False, CPU)]
)
def test_auto_prefers_cuda_then_mps(
    monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, expected: torch.device
) -> None:
    pretend(monkeypatch, cuda=cuda, mps=mps)
    assert choose_device("auto") == expected


@pytest.mark.parametrize("name", ["bogus", "", "cuda:99", "vulkan", "privateuseone", "hpu", "cpu:x"])
def test_missing_device_raises_with_its_name(name: str) -> None:
    with pytest.raises(UsageError) as refused:
        choose_device(name)
    message = str(refused.value)
    assert message.startswith(f"`device` {name}: there is no such device here (")
    assert "Of auto, cpu, cuda, cuda:0 (the first of several) and mps, there are: auto, cpu" in message
    assert len(message) < 400  # torch explains itself over pages


def test_meta_device_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^`device` meta: nothing can be painted there"):
        choose_device("meta")


@pytest.mark.parametrize("device", [CPU, CUDA, MPS])
def test_given_precision_is_used(device: torch.device) -> None:
    assert choose_dtype("float32", device) is torch.float32
    assert choose_dtype("bfloat16", device) is torch.bfloat16


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"amx_bf16": True, "avx512_bf16": True}, torch.bfloat16),
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": False, "avx512_bf16": False, "avx2": True}, torch.float32),
        ({}, torch.float32),
    ],
)
def test_cpu_uses_bfloat16_only_with_instructions_for_it(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], expected: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert choose_dtype("auto", CPU) is expected


@pytest.mark.parametrize(("native", "expected"), [(True, torch.bfloat16), (False, torch.float32)])
def test_gpu_uses_bfloat16_only_without_emulation(
    monkeypatch: pytest.MonkeyPatch, native: bool, expected: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or native)
    assert choose_dtype("auto", CUDA) is expected


def test_apples_chips_compute_in_float32() -> None:
    assert choose_dtype("auto", MPS) is torch.float32


def test_glibc_keeps_and_returns_freed_memory() -> None:
    keep_freed_memory()
    return_freed_memory()  # and that nothing is lost by it:
    assert torch.equal(torch.arange(10**6)[-2:], torch.tensor([999_998, 999_999]))


def test_what_torch_keeps_for_new_tensors_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"mem_get_info": (100, 1000), "memory_reserved": 70, "memory_allocated": 30}
    for name, value in found.items():
        monkeypatch.setattr(torch.cuda, name, lambda _, value=value: value)
    assert measure_free_memory(CUDA) == 140


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    monkeypatch.setattr(device.sys, "platform", platform)
    monkeypatch.setattr(device.ctypes, "CDLL", lambda name: pytest.fail(f"asked for {name}"))
    keep_freed_memory()
    return_freed_memory()
