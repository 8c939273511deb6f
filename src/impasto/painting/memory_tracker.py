"""How much memory tensors take while something runs: counted, not guessed from what the system says."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class MemoryTracker(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of the tensors that are made while it is entered, as long as each of them lives.

    `peak` is the most that lived at once. What lived before is not counted, nor what a library keeps to itself.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # torch would import its compiler, a second and 200 MB, only to keep it away from this class

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._living: dict[StorageWeakRef, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operation of torch's and enter what came of it."""
        given = {storage._cdata for storage in _storages((args, kwargs))}
        found = func(*args, **(kwargs or {}))
        self._living = {held: size for held, size in self._living.items() if not held.expired()}  # type: ignore[no-untyped-call]
        for storage in _storages(found):
            if storage._cdata not in given:
                self._living[StorageWeakRef(storage)] = storage.nbytes()  # type: ignore[no-untyped-call]
        self.peak = max(self.peak, sum(self._living.values()))
        return found


def _storages(values: Any) -> list[torch.UntypedStorage]:
    """List the storages of all tensors in nested lists; the packed weights of oneDNN have none."""
    tensors = [value for value in tree_leaves(values) if isinstance(value, Tensor)]
    return [tensor.untyped_storage() for tensor in tensors if tensor.layout is torch.strided]


def measure_peak_bytes(run: Callable[[], object]) -> int:
    """Return the most bytes that the tensors made by `run` take at once."""
    ledger = MemoryTracker()
    with ledger:
        run()
    return ledger.peak
