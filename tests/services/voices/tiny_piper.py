"""Makes a Piper voice of a few hundred bytes: each phoneme id is 256 samples of one value.

With `durations` it has inside what `piper.patch_voice_with_alignment` looks for in a published voice: how
long each id lasts, rounded up.
"""

from __future__ import annotations

import json
from pathlib import Path

HOP = 256
RATE_HZ = 22050
IDS = {"_": [0], "^": [1], "$": [2], " ": [3]}
PHONEMES = "abcdefghijklmnopqrstuvwxyzæðŋɐɑɒɔəɚɛɜɡɪɫɹɾʃʊʌʒʔˈˌːθᵻ.,!?"


def make(path: Path, *, durations: bool = True) -> Path:
    """Write the voice `path` and its `.json`; returns `path`."""
    from onnx import TensorProto, helper, save_model

    path.parent.mkdir(parents=True, exist_ok=True)
    inputs = [
        helper.make_tensor_value_info("input", TensorProto.INT64, ["batch", "phonemes"]),
        helper.make_tensor_value_info("input_lengths", TensorProto.INT64, ["batch"]),
        helper.make_tensor_value_info("scales", TensorProto.FLOAT, [3]),
    ]
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, None)
    hop = helper.make_tensor("hop", TensorProto.INT64, [3], [1, 1, HOP])
    last = helper.make_tensor("last", TensorProto.INT64, [1], [2])
    flat = helper.make_tensor("flat", TensorProto.INT64, [3], [1, 1, -1])
    nodes = [
        helper.make_node("Cast", ["input"], ["values"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["values", "last"], ["columns"]),
        helper.make_node("Tile", ["columns", "hop"], ["samples"]),
        helper.make_node("Reshape", ["samples", "flat"], ["output"]),
    ]
    if durations:
        zero = helper.make_node("Sub", ["values", "values"], ["zeros"])
        one = helper.make_node("Exp", ["zeros"], ["ones"])
        nodes += [zero, one, helper.make_node("Ceil", ["ones"], ["w_ceil"])]
    graph = helper.make_graph(nodes, "tiny", inputs, [output], [hop, last, flat])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    save_model(model, str(path))
    ids = {**IDS, **{phoneme: [index + 4] for index, phoneme in enumerate(PHONEMES)}}
    config = {
        "audio": {"sample_rate": RATE_HZ}, "espeak": {"voice": "en-us"}, "phoneme_type": "espeak",
        "num_symbols": len(ids), "num_speakers": 1, "phoneme_id_map": ids, "hop_length": HOP,
        "inference": {"noise_scale": 0.667, "length_scale": 1, "noise_w": 0.8},
    }  # fmt: skip
    Path(f"{path}.json").write_text(json.dumps(config))
    return path
