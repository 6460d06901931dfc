"""Silero's voice activity detection for one call.

Two rules stand between the sound and the network. Both begin with the fact that its state wears out
in long silence: after a minute of zeros at 8 kHz it found 85 windows of a sentence where it had found
100 at the start of the call, some of them up to 64 ms late (at 16 kHz it lost one window of 98).

* While nobody speaks, the state begins anew every 5 s, as it does at the start of a call.
* Digital silence is not shown to the network for longer than half a second: then the state begins
  anew, and until the first sound the confidence is 0. Such a window is not voice whatever the network
  says, for its volume is 0; and the first sound meets the state that every call begins with. Tested:
  the same starts and stops as with every window shown, at the same times within two windows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.audio.chunker import Chunker
from runner.turns.vad import VADEvent, VADParams, VADState
from runner.vad.base import VADAnalyzer

if TYPE_CHECKING:
    from runner.audio.resampler import Resampler

_WINDOW_SECS = 0.032
_SILENT_WINDOWS = 16  # half a second
_QUIET_WINDOWS = 156  # five seconds


def preload() -> None:
    """Load the network now, not at the first call: about 0.1 to 0.5 s, most of it onnxruntime's import."""
    from runner.vad.model import RATES

    for rate in RATES:
        SileroVADAnalyzer(sample_rate=rate).analyze(bytes(2 * rate // 10), now=0.1)


class SileroVADAnalyzer(VADAnalyzer):
    """Tells when a caller begins and ends to speak. 8 and 16 kHz are heard as they are, other rates
    at 16 kHz.

    `sample_rate`, in Hz, is that of the sound to come; a transport sets it, so that it may be left out.
    """

    def __init__(self, *, sample_rate: int | None = None, params: VADParams | None = None) -> None:
        from runner.vad.model import SileroModel

        super().__init__(params=params, window_secs=_WINDOW_SECS)
        self._model = SileroModel.shared()
        if sample_rate is not None:
            self.set_sample_rate(sample_rate)

    def reset(self) -> None:
        super().reset()
        if self._sample_rate is not None:
            self._begin(self._sample_rate)

    def _begin(self, rate: int) -> None:
        from runner.audio.level import rms, to_volume
        from runner.audio.resampler import Resampler
        from runner.vad.model import RATES, SileroStream, window_samples

        self._model_rate = rate if rate in RATES else 16000
        self._resampler: Resampler | None = None
        if rate != self._model_rate:
            self._resampler = Resampler(rate, self._model_rate)
        self._stream = SileroStream(self._model, self._model_rate)
        self._windows = Chunker(2 * window_samples(self._model_rate))
        self._rms, self._to_volume = rms, to_volume
        self._silent_windows = 0
        self._quiet_windows = 0

    def analyze(self, pcm: bytes, now: float) -> list[VADEvent]:
        if self._sample_rate is None:
            raise ValueError("the VAD does not know its sample rate: call set_sample_rate first")
        if self._resampler:
            pcm = self._resampler.process(pcm)
        windows = self._windows.push(pcm)
        events = []
        later_bytes = self._windows.pending + len(windows) * self._windows.chunk_bytes
        for window in windows:
            later_bytes -= len(window)
            ended = now - later_bytes / (2 * self._model_rate)
            if event := self._judge(window, ended):
                events.append(event)
        return events

    def _judge(self, window: bytes, ended: float) -> VADEvent | None:
        amplitude = self._rms(window)
        self._silent_windows = 0 if amplitude else self._silent_windows + 1
        quiet = self.state is VADState.QUIET
        self._quiet_windows = self._quiet_windows + 1 if quiet else 0
        unheard = quiet and self._silent_windows > _SILENT_WINDOWS
        if unheard or self._quiet_windows >= _QUIET_WINDOWS:
            self._stream.reset()
            self._quiet_windows = 0
        confidence = 0.0 if unheard else self._stream.probability(window)
        return self._machine.update(confidence, self._to_volume(amplitude), ended)
