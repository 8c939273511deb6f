"""The peak memory of tensors while something runs, counted by torch's dispatch."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class MemoryTracker(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of tensors created while it is entered, as long as each of them lives.

    `peak` is the maximum at one time. Older tensors, and what libraries allocate internally, are not counted.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # torch would import its compiler, a second and 200 MB, only to keep it away from this class

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak: int = 0
        self._living: dict[StorageWeakRef, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operation of torch and record its results."""
        given = {storage._cdata for storage in _storages((args, kwargs))}
        found = func(*args, **(kwargs or {}))
        self._living = {held: size for held, size in self._living.items() if not held.expired()}  # type: ignore[no-untyped-call]
        for storage in _storages(found):
            if storage._cdata not in given:
                self._living[StorageWeakRef(storage)] = storage.nbytes()  # type: ignore[no-untyped-call]
        self.peak = max(self.peak, sum(self._living.values()))
        return found


def _storages(values: Any) -> list[torch.UntypedStorage]:
    """List the storages of all tensors in nested containers; oneDNN's packed weights have none."""
    tensors = [value for value in tree_leaves(values) if isinstance(value, Tensor)]
    return [tensor.untyped_storage() for tensor in tensors if tensor.layout is torch.strided]


def measure_peak_bytes(run: Callable[[], object]) -> int:
    """Return the peak bytes of the tensors that a call creates."""
    tracker = MemoryTracker()
    with tracker:
        run()
    return tracker.peak
