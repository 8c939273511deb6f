"""A graph of ONNX, written node by node."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

Value = str  # the name of a value in the graph


class Graph:
    """Nodes in their order, and the constants that they use; a graph within another one shares its constants."""

    def __init__(self, outer: "Graph | None" = None) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = [] if outer is None else outer.constants
        self._names: list[Value] = [] if outer is None else outer._names
        self._kept: dict[tuple[str, bytes], Value] = {} if outer is None else outer._kept
        self._weights: dict[Tensor, Value] = {} if outer is None else outer._weights

    def __call__(self, kind: str, *inputs: Value | float | Sequence[int] | Tensor, **attributes: Any) -> Value:
        """Add a node with one output. Among its inputs, numbers are float32, lists int64."""
        given = [each if isinstance(each, str) else self._keep(each) for each in inputs]
        output = self._make_name()
        self.nodes.append(helper.make_node(kind, given, [output], **attributes))
        return output

    def weight(self, value: Tensor) -> Value:
        """Keep a weight in float16, as impasto's files have it, and widen it where it is used."""
        if value not in self._weights:
            self._weights[value] = self("Cast", value.half(), to=TensorProto.FLOAT)
        return self._weights[value]

    def finish(
        self, output: Value, inputs: Sequence[onnx.ValueInfoProto], result: onnx.ValueInfoProto
    ) -> onnx.GraphProto:
        """Return the graph with a name for its output."""
        self.nodes.append(helper.make_node("Identity", [output], [result.name]))
        return helper.make_graph(self.nodes, "impasto", inputs, [result])

    def _keep(self, value: float | Sequence[int] | Tensor) -> Value:
        array = value.numpy() if isinstance(value, Tensor) else np.asarray(value)
        array = array.astype(np.float32) if isinstance(value, float) else array
        key = (f"{array.dtype} {array.shape}", array.tobytes())
        if key not in self._kept:
            self._kept[key] = self._make_name()
            self.constants.append(numpy_helper.from_array(array, self._kept[key]))
        return self._kept[key]

    def _make_name(self) -> Value:
        self._names.append(f"v{len(self._names)}")
        return self._names[-1]


def exact(number: float) -> Tensor:
    """Return a number in float64."""
    return torch.tensor(number, dtype=torch.float64)
