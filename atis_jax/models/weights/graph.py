"""Arrays of an ONNX file by the names that they had in the network that was exported, and what its graph says of it.

PyTorch's exporter keeps most names. The matrix of a linear layer is transposed and loses its own, and what the exporter
computes beforehand has none. The first is named after the bias that its product is added to, the second after the place
and the kind of the operation that reads it: ``backbone.embeddings.(Concat)``.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

ANONYMOUS = "onnx::"
"""In front of what has lost its name."""
_BIAS, _WEIGHT = ".bias", ".weight"
_GELU = {"Erf": "gelu", "Tanh": "gelu_new"}
"""Operations that tell how a GELU is computed, and Hugging Face's name of it."""


class Graph:
    """Nodes of an ONNX graph, by what they read and write."""

    def __init__(self, graph: Any):
        from onnx import numpy_helper

        self.nodes = list(graph.node)
        self.arrays = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
        self.readers: dict[str, list[Any]] = {}
        self.writer = {name: node for node in self.nodes for name in node.output}
        for node in self.nodes:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)
        self.constants = self.arrays | {
            node.output[0]: numpy_helper.to_array(one.t)
            for node in self.nodes
            if node.op_type == "Constant"
            for one in node.attribute
            if one.name == "value"
        }

    def operation(self, name: str) -> str:
        """The kind of the operation that writes ``name``; empty where none does."""
        return self.writer[name].op_type if name in self.writer else ""

    def named(self, name: str) -> tuple[str, np.ndarray]:
        """An array of no name by what is done with it, as the network had it.

        Raises:
            ValueError: several operations read it, or none.
        """
        nodes, array = self.readers.get(name, []), self.arrays[name]
        if len(nodes) != 1:
            raise ValueError(f"{name} is read by {len(nodes)} operations, and one tells what it is")
        (node,) = nodes
        if node.op_type == "MatMul":
            for after in self.readers.get(node.output[0], []):
                bias = next((one for one in after.input if one in self.arrays and one.endswith(_BIAS)), None)
                if after.op_type == "Add" and bias is not None:
                    return bias.removesuffix(_BIAS) + _WEIGHT, array.T
        scope = ".".join(node.name.split("/")[1:-1])
        return f"{scope}.({node.op_type})", array

    def said(self) -> dict[str, Any]:
        """What the graph shows of the network, by the names of Hugging Face's ``config.json``."""
        heads: set[int] = set()
        epsilons: set[float] = set()
        activations: set[str] = set()
        for node in self.nodes:
            inputs = list(node.input)
            if node.op_type == "Reshape" and self.operation(inputs[1]) == "Concat":
                shape = list(self.writer[inputs[1]].input)
                if len(shape) == 4 and set(shape[2:]) <= set(self.constants):  # batch and tokens as they come
                    heads.add(int(self.constants[shape[2]][0]))
            if node.op_type == "Add" and {self.operation(name) for name in inputs} == {"ReduceMean", "Constant"}:
                epsilons.update(float(str(self.constants[name])) for name in inputs if name in self.constants)
            if node.op_type == "LayerNormalization":
                epsilons.update(float(str(np.float32(one.f))) for one in node.attribute if one.name == "epsilon")
            if node.op_type in _GELU:
                activations.add(_GELU[node.op_type])
        return _single(num_attention_heads=heads, layer_norm_eps=epsilons, hidden_act=activations)


def load_graph(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays by name; and ``hidden_act``, ``layer_norm_eps`` and ``num_attention_heads`` where the graph shows them.

    Raises:
        ImportError: the library ``onnx`` is not installed.
        ValueError: an array is read by an operation that does not tell what it is.
    """
    import onnx

    graph = Graph(onnx.load(path).graph)
    named: dict[str, np.ndarray] = {}
    for name, array in graph.arrays.items():
        new, array = graph.named(name) if name.startswith(ANONYMOUS) else (name, array)
        if new in named:
            raise ValueError(f"{name} and another array are both {new} by their place in the graph")
        named[new] = array
    return named, graph.said()


def _single(**found: Iterable[Any]) -> dict[str, Any]:
    """Those of which there is one value alone."""
    return {name: value for name, values in found.items() for value in values if len(list(values)) == 1}
