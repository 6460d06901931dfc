"""Silero's rules written down plainly: every window shown to the network of its file, alone, when it comes.

What the analyzer tells must be this to the sample, however it batches, waits and leaves out.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import onnxruntime

from runner.audio.level import volume
from runner.audio.resampler import Resampler
from runner.turns.vad import VADEvent, VADState, VADStateMachine
from runner.vad.network import SileroModel, context_samples, model_file, window_samples


def probability(frame: bytes, state: np.ndarray) -> tuple[float, np.ndarray]:  # type: ignore[type-arg]
    """What Silero's file, as it is, says of one frame, and the state after it."""
    samples = np.frombuffer(frame, "<i2").astype(np.float32)[None] / 32768
    rate = np.array(8000 if len(frame) == 576 else 16000, np.int64)
    confidence, moved = its_session().run(None, {"input": samples, "state": state, "sr": rate})
    return float(confidence[0, 0]), moved


@cache
def its_session() -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(model_file()), options, providers=["CPUExecutionProvider"])


class EachAlone:
    """One call: pieces of sound and when they came go in, events come out."""

    def __init__(self, rate: int) -> None:
        self.shown = 0
        self._resampler = Resampler(rate, 16000) if rate not in (8000, 16000) else None
        self._rate = 16000 if self._resampler else rate
        self._window = 2 * window_samples(self._rate)
        self._context = bytes(2 * context_samples(self._rate))
        self._sound = b""
        self._machine = VADStateMachine()
        self._state = self._kept = SileroModel.new_state
        self._faint = self._quiet = 0

    def hear(self, pcm: bytes, now: float) -> list[VADEvent]:
        self._sound += self._resampler.process(pcm) if self._resampler else pcm
        events = []
        while len(self._sound) >= self._window:
            window, self._sound = self._sound[: self._window], self._sound[self._window :]
            event = self._judge(window, now - len(self._sound) / (2 * self._rate))
            events += [event] if event else []
        return events

    def _judge(self, window: bytes, ended: float) -> VADEvent | None:
        quiet = self._machine.state is VADState.QUIET
        faint = quiet and not self._machine.may_be_voice(volume(window))
        self._faint = self._faint + 1 if faint else 0
        self._quiet = self._quiet + 1 if quiet else 0
        if self._faint > 16:  # each further half second begins with what was known after the first
            self._quiet = 0
            self._kept = self._state if self._faint == 17 else self._kept
            self._state = self._kept if self._faint % 16 == 1 else self._state
        elif self._quiet >= 156:  # after five seconds without speech the network is reset
            self._quiet = 0
            self._state, self._context = SileroModel.new_state, bytes(len(self._context))
        confidence, self._state = probability(self._context + window, self._state)
        self._context = window[-len(self._context) :]
        self.shown += 1
        return self._machine.update(confidence, volume(window), ended)
