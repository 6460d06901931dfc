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

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from runner.audio.chunker import Chunker
from runner.turns.vad import VADEvent, VADParams, VADState
from runner.vad.base import VADAnalyzer
from runner.vad.batch import batch_of, judge_next

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
        self.pending: deque[tuple[bytes, float]] = deque()
        self._on_event: Callable[[VADEvent], None] = _nobody
        self.model = SileroModel.shared()
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

        self.model_rate = rate if rate in RATES else 16000
        self._resampler: Resampler | None = None
        if rate != self.model_rate:
            self._resampler = Resampler(rate, self.model_rate)
        self.stream = SileroStream(self.model, self.model_rate)
        self._windows = Chunker(2 * window_samples(self.model_rate))
        self._rms, self._to_volume = rms, to_volume
        self._silent_windows = 0
        self._quiet_windows = 0
        self.pending.clear()

    def analyze(self, pcm: bytes, now: float) -> list[VADEvent]:
        events: list[VADEvent] = []
        self._cut(pcm, now)
        self._on_event = events.append
        while self.pending:
            judge_next([self])
        return events

    def listen(self, pcm: bytes, now: float, on_event: Callable[[VADEvent], None]) -> None:
        """As `analyze`; where several calls listen, their windows are judged together, within 10 ms."""
        self._cut(pcm, now)
        self._on_event = on_event
        if self.pending:
            batch_of(asyncio.get_running_loop()).add(self)

    def close(self) -> None:
        self.pending.clear()

    def _cut(self, pcm: bytes, now: float) -> None:
        if self._sample_rate is None:
            raise ValueError("the VAD does not know its sample rate: call set_sample_rate first")
        if self._resampler:
            pcm = self._resampler.process(pcm)
        windows = self._windows.push(pcm)
        later_bytes = self._windows.pending + len(windows) * self._windows.chunk_bytes
        for window in windows:
            later_bytes -= len(window)
            self.pending.append((window, now - later_bytes / (2 * self.model_rate)))

    # ------------------------------------------------------------ for the batch

    def show_next(self) -> bool:
        """Whether the network is to see the next window, which then stands in `stream`."""
        window, _ = self.pending[0]
        self._amplitude = self._rms(window)
        self._silent_windows = 0 if self._amplitude else self._silent_windows + 1
        quiet = self.state is VADState.QUIET
        self._quiet_windows = self._quiet_windows + 1 if quiet else 0
        unheard = quiet and self._silent_windows > _SILENT_WINDOWS
        if unheard or self._quiet_windows >= _QUIET_WINDOWS:
            self.stream.reset()
            self._quiet_windows = 0
        if not unheard:
            self.stream.load(window)
        return not unheard

    def judge_next(self) -> None:
        """Judge the next window by what the network found; 0 if it did not see it."""
        _, ended = self.pending.popleft()
        event = self._machine.update(self.stream.confidence, self._to_volume(self._amplitude), ended)
        if event is not None:
            self._on_event(event)


def _nobody(event: VADEvent) -> None:
    """Takes events before anybody listens: there are none."""
