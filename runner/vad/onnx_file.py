"""ONNX files: constants read, and small graphs written.

The format is protocol buffers (onnx/onnx.proto3 of onnx 1.17; https://protobuf.dev/programming-guides/encoding/).
The field numbers here are all of it that Silero's network takes; the package `onnx` is 17 MB.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32] | npt.NDArray[np.int64]
Shape = tuple[int | str, ...]
Value = int | str | bytes
_FLOAT, _INT64 = 1, 7  # TensorProto.DataType
_OPSET, _IR_VERSION = 16, 8


def constants(file: bytes) -> dict[str, npt.NDArray[np.float32]]:
    """The floats that nodes named `Constant` hold, by what they are called, in branches too."""
    (graph,) = (part for number, part in _fields(memoryview(file)) if number == 7)
    return dict(_constants_of(graph))


def _constants_of(graph: memoryview) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    for node in _parts(graph, 1):
        for attribute in _parts(node, 5):
            for tensor in _parts(attribute, 5):
                floats = _floats(tensor)
                if floats is not None:
                    yield str(next(_parts(node, 2)), "utf-8"), floats
            for branch in _parts(attribute, 6):
                yield from _constants_of(branch)


def _floats(tensor: memoryview) -> npt.NDArray[np.float32] | None:
    fields = list(_fields(tensor))
    raw = [value for number, value in fields if number == 9]
    if (2, _FLOAT) not in fields or not raw:
        return None
    shape = [value for number, value in fields if number == 1]
    return np.frombuffer(raw[0], "<f4").reshape(shape)


def _parts(message: memoryview, wanted: int) -> Iterator[memoryview]:
    return (value for number, value in _fields(message) if number == wanted)


def _fields(message: memoryview) -> Iterator[tuple[int, Any]]:
    """Field numbers and values: whole numbers, or the bytes of texts and of messages within."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        length, at = _varint(message, at) if kind == 2 else ({1: 8, 5: 4}[kind], at)
        yield key >> 3, message[at : at + length]
        at += length


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


class GraphWriter:
    """A graph in the making: each `op` is a node, whose result the next ones take by its name."""

    def __init__(self) -> None:
        self._nodes: list[tuple[int, bytes]] = []
        self._tensors: list[tuple[int, bytes]] = []

    def op(self, kind: str, *inputs: str | Array, name: str = "", **attributes: int) -> str:
        """Add an operator of one result; arrays become constants. Tells the result's name."""
        return self.ops(kind, *inputs, names=(name or f"result{len(self._nodes)}",), **attributes)[0]

    def ops(
        self, kind: str, *inputs: str | Array, names: tuple[str, ...], **attributes: int
    ) -> tuple[str, ...]:
        """Add an operator of several results, which are called so."""
        taken = [given if isinstance(given, str) else self._constant(given) for given in inputs]
        node = [(1, name) for name in taken] + [(2, name) for name in names] + [(4, kind)]
        told = [(5, _message((1, name), (3, value), (20, 2))) for name, value in attributes.items()]
        self._nodes.append((1, _message(*node, *told)))
        return names

    def _constant(self, array: Array) -> str:
        name = f"constant{len(self._tensors)}"
        kind = _FLOAT if array.dtype == np.float32 else _INT64
        content = np.ascontiguousarray(array).tobytes()
        tensor = _message(*((1, size) for size in array.shape), (2, kind), (8, name), (9, content))
        self._tensors.append((5, tensor))
        return name

    def model(self, inputs: dict[str, Shape], outputs: dict[str, Shape]) -> bytes:
        """The whole file. Inputs and outputs are floats of these shapes; a size that differs has a name."""
        ends = [(11, _end(*end)) for end in inputs.items()] + [(12, _end(*end)) for end in outputs.items()]
        graph = _message((2, "graph"), *self._nodes, *self._tensors, *ends)
        return _message((1, _IR_VERSION), (7, graph), (8, _message((1, ""), (2, _OPSET))))


def _end(name: str, shape: Shape) -> bytes:
    sizes = [(1, _message((1, size) if isinstance(size, int) else (2, size))) for size in shape]
    return _message((1, name), (2, _message((1, _message((1, _FLOAT), (2, _message(*sizes)))))))


def _message(*fields: tuple[int, Value]) -> bytes:
    parts = []
    for number, value in fields:
        if isinstance(value, int):
            parts += [_to_varint(number << 3), _to_varint(value)]
        else:
            content = value.encode() if isinstance(value, str) else value
            parts += [_to_varint(number << 3 | 2), _to_varint(len(content)), content]
    return b"".join(parts)


def _to_varint(value: int) -> bytes:
    written = bytearray()
    while value > 127:
        written.append(value & 127 | 128)
        value >>= 7
    return bytes([*written, value])
