"""Silero's voice activity detection for one call.

Two rules stand between the sound and the network. Both begin with the fact that its state wears out
in long silence: after a minute of zeros at 8 kHz it found 85 windows of a sentence where it had found
100 at the start of the call, some of them up to 64 ms late (at 16 kHz it lost one window of 98).

* While nobody speaks, the state begins anew every 5 s, as it does at the start of a call.
* In sound that is too faint to be voice, whatever the network says, the state stays what it was after half a
  second of it: every further half second it goes back to that.

So a faint window need not be shown at once. It waits, and is shown when it gets louder in that half second;
else nothing depends on it. Tested: the same decisions to the sample as with every window shown at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from runner.audio.chunker import Chunker
from runner.turns.vad import VADEvent, VADParams, VADState
from runner.vad.base import VADAnalyzer
from runner.vad.batch import Batch, batch_of, judge_next

if TYPE_CHECKING:
    from runner.audio.resampler import Resampler

_WINDOW_SECS = 0.032
_FAINT_WINDOWS = 16  # half a second
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

    defers = True
    """Whether faint windows wait; it changes no decision, and what it saves is half of a usual call's."""

    def __init__(self, *, sample_rate: int | None = None, params: VADParams | None = None) -> None:
        from runner.vad.model import SileroModel

        super().__init__(params=params, window_secs=_WINDOW_SECS)
        self.pending: deque[tuple[bytes, float | None]] = deque()
        self._on_event: Callable[[VADEvent], None] = _nobody
        self._batch: Batch | None = None
        self.model = SileroModel.shared()
        if sample_rate is not None:
            self.set_sample_rate(sample_rate)

    def reset(self) -> None:
        super().reset()
        if self._sample_rate is not None:
            self._begin(self._sample_rate)

    def _begin(self, rate: int) -> None:
        from runner.audio.level import to_volume
        from runner.audio.resampler import Resampler
        from runner.vad.model import RATES, SileroStream, window_samples

        self.model_rate = rate if rate in RATES else 16000
        self._resampler: Resampler | None = None
        if rate != self.model_rate:
            self._resampler = Resampler(rate, self.model_rate)
        self.stream = SileroStream(self.model, self.model_rate)
        self._windows = Chunker(2 * window_samples(self.model_rate))
        self._to_volume = to_volume
        self._faint_windows = 0
        self._window = bytes(2 * window_samples(self.model_rate))
        self._unheard: list[bytes] = []
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
        """As `analyze`; where several calls listen, their windows are judged together, within 20 ms."""
        self._cut(pcm, now)
        self._on_event = on_event
        if not self.pending:
            return
        loop = asyncio.get_running_loop()
        if self._batch is None or self._batch.loop is not loop:
            self._batch = batch_of(loop)
        self._batch.add(self)

    def close(self) -> None:
        self.pending.clear()

    def _cut(self, pcm: bytes, now: float) -> None:
        if self._sample_rate is None:
            raise ValueError("the VAD does not know its sample rate: call set_sample_rate first")
        if self._resampler:
            pcm = self._resampler.process(pcm)
        windows = self._windows.push(pcm)
        if not windows:
            return
        later_bytes = self._windows.pending + len(windows) * self._windows.chunk_bytes
        for window in windows:
            later_bytes -= len(window)
            self.pending.append((window, now - later_bytes / (2 * self.model_rate)))

    # ------------------------------------------------------------ for the batch

    def show_next(self) -> bool:
        """Whether the network is to see the next window, which then stands in `stream`."""
        window, ended = self.pending[0]
        self.stream.load(window)
        if ended is None:
            return True  # it has waited
        self._volume = self._to_volume(self.stream.amplitude)
        quiet = self.state is VADState.QUIET
        faint = quiet and not self._machine.may_be_voice(self._volume)
        self._faint_windows = self._faint_windows + 1 if faint else 0
        self._quiet_windows = self._quiet_windows + 1 if quiet else 0
        if self._faint_windows > _FAINT_WINDOWS:
            return self._show_faint(window)
        if self._unheard:
            self._show_unheard()
        elif self._quiet_windows >= _QUIET_WINDOWS:
            self._quiet_windows = 0
            self.stream.reset()
            self.stream.load(window)
        self._window = window
        return True

    def _show_faint(self, window: bytes) -> bool:
        """One more window of steady faint sound: it waits."""
        self._quiet_windows = 0
        since = self._faint_windows - _FAINT_WINDOWS - 1
        if since == 0:
            self.stream.remember()
        elif since % _FAINT_WINDOWS == 0:
            self.stream.go_back()
        if since % _FAINT_WINDOWS == 0:
            self._unheard = [self._window]  # whose end the network hears before the next
        self._unheard.append(window)
        self._window = window
        return not self.defers

    def _show_unheard(self) -> None:
        """It gets louder: what has waited comes first."""
        before, *waiting = self._unheard
        self._unheard = []
        if self.defers:
            self._quiet_windows = 0
            self.pending.extendleft((window, None) for window in reversed(waiting))
            self.stream.load(before)
            self.stream.load(waiting[0])

    def judge_next(self) -> None:
        """Judge the next window by what the network found; 0 if it did not see it."""
        _, ended = self.pending.popleft()
        if ended is None:
            return  # it was judged before
        event = self._machine.update(self.stream.confidence, self._volume, ended)
        if event is not None:
            self._on_event(event)


def _nobody(event: VADEvent) -> None:
    """Takes events before anybody listens: there are none."""
