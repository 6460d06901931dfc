"""Makes a whisper model of 170 kB, in CTranslate2's format: it answers any sound with the same words.

Its decoder has one layer of zeros, one-hot embeddings, and a projection that leads from each token to the
next.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np

WORDS = ["book", "a", "table"]
TOKENS = [
    "<unk>", *WORDS, "<|endoftext|>", "<|startoftranscript|>", "<|translate|>", "<|transcribe|>",
    "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>", "<|0.00|>", "<|0.02|>",
]  # fmt: skip
WIDTH = 16


def make(folder: Path) -> Path:
    """Write the model; returns its folder."""
    from ctranslate2.specs import whisper_spec

    folder.mkdir(parents=True, exist_ok=True)
    spec = whisper_spec.WhisperSpec(1, 1, 1, 1)
    shapes = {"conv1/weight": (WIDTH, 80, 3), "conv2/weight": (WIDTH, WIDTH, 3)}
    _fill(spec.encoder, shapes, positions=1500)
    _fill(spec.decoder, {}, positions=448)
    embeddings = np.zeros((len(TOKENS), WIDTH), np.float32)
    embeddings[np.arange(len(TOKENS)), np.arange(len(TOKENS))] = 1
    spec.decoder.embeddings.weight = embeddings
    spec.decoder.projection.weight = _next_tokens()
    spec.register_vocabulary(TOKENS)
    spec.validate()
    spec.save(str(folder))
    _write_tokenizer(folder)
    return folder


def _next_tokens() -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Which token follows which: the words after the prompt, then the end."""
    follows = {"<|notimestamps|>": WORDS[0], WORDS[-1]: "<|endoftext|>"}
    follows.update(itertools.pairwise(WORDS))
    weight = np.zeros((len(TOKENS), WIDTH), np.float32)
    for token, following in follows.items():
        weight[TOKENS.index(following), TOKENS.index(token)] = 8
    return weight


def _fill(layer: object, shapes: dict[str, tuple[int, ...]], positions: int) -> None:
    """Zeros for all weights, ones for the norms' scale."""
    from ctranslate2.specs import model_spec

    def visit(spec: object, name: str, value: object) -> None:
        if value is not None and not name.endswith("encodings"):
            return
        shape = next((s for end, s in shapes.items() if name.endswith(end)), None) or _shape(name, positions)
        setattr(spec, name.rsplit("/", 1)[-1], np.full(shape, float("gamma" in name), np.float32))

    model_spec.visit_spec(layer, visit)


def _shape(name: str, positions: int) -> tuple[int, ...]:
    if name.endswith("encodings"):
        return (positions, WIDTH)
    if "ffn/linear_0" in name:
        return (4 * WIDTH, WIDTH) if name.endswith("weight") else (4 * WIDTH,)
    if "ffn/linear_1" in name:
        return (WIDTH, 4 * WIDTH) if name.endswith("weight") else (WIDTH,)
    parts = 1
    if "self_attention/linear_0" in name:
        parts = 3
    elif "/attention/linear_1" in name:
        parts = 2
    return (parts * WIDTH, WIDTH) if name.endswith("weight") else (parts * WIDTH,)


def _write_tokenizer(folder: Path) -> None:
    special = [
        {"id": index, "content": token, "special": True, "single_word": False, "lstrip": False,
         "rstrip": False, "normalized": False}
        for index, token in enumerate(TOKENS) if token.startswith("<|")
    ]  # fmt: skip
    vocabulary = {token: index for index, token in enumerate(TOKENS)}
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": special, "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"}, "post_processor": None, "decoder": None,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "<unk>"},
    }  # fmt: skip
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
