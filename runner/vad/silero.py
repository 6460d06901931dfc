"""Silero's voice activity detection, for one call and for many calls together.

The network's state wears out in long silence: after a minute of zeros at 8 kHz it found 85 windows of a
sentence where it had found 100 at the start of the call, some of them up to 64 ms late (at 16 kHz it lost
one of 98). So:

* While nobody speaks, the state is reset every 5 s to that of a call's start.
* In sound too faint to be a voice, the state goes back every half second to what it was after the first
  half second.

A faint window therefore need not be judged at once. It waits, and is judged when the sound gets louder in
that half second; otherwise nothing depends on it. Tests compare the decisions, to the sample, with
judging every window.

Windows of several calls are judged together, which takes a tenth of the time for each. A call that is
alone on its loop does not wait. Where several talk, windows wait for each other up to `TICK_S`, or until
`ENOUGH` are there, so an interruption is noticed that much later at most.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from runner.eventloop.batched_reads import Due, rounds_of
from runner.eventloop.waiting import of_loop
from runner.turns.vad import VADEvent, VADParams, VADState
from runner.vad.base import VADAnalyzer

if TYPE_CHECKING:
    from runner.audio.resampler import Resampler
    from runner.vad.network import Floats

logger = logging.getLogger(__name__)

TICK_S = 0.020
ENOUGH = 128
"""A window in a batch of 32 costs 15 us, of 16 17, of 8 30, one alone 175 (8 kHz, cold caches).

Each batch takes the caches from what follows it: 150 calls cost 4.3 ms a call-second with 128 at most in one,
4.7 with 32."""

COMPANY_S = 0.1
"""So long (s) after windows of two calls, a window waits for others."""


def batch_of(loop: asyncio.AbstractEventLoop) -> Batch:
    """The one of this loop."""
    return of_loop(loop, Batch, lambda: Batch(loop))


class Batch:
    """The calls of this loop that have windows waiting."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._waiting: dict[SileroVADAnalyzer, None] = {}
        self._last_call = 0
        self._company_until = 0.0
        self._rounds = rounds_of(loop)
        self._timer: Due | None = None

    def add(self, call: SileroVADAnalyzer) -> None:
        """Windows of this call have come; they are judged now or soon."""
        self._waiting[call] = None
        if self._timer is None:
            self._judge_now_or_soon(call)
        elif len(self._waiting) >= ENOUGH:
            self._judge()

    def _judge_now_or_soon(self, call: SileroVADAnalyzer) -> None:
        now = self.loop.time()
        if self._last_call not in (0, id(call)):
            self._company_until = now + COMPANY_S
        self._last_call = id(call)
        if now < self._company_until:
            self._timer = self._rounds.call_at(now + TICK_S, self._judge)
        else:
            self._judge()

    def _judge(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        calls, self._waiting = list(self._waiting), {}
        if len(calls) > 1:
            self._company_until = self.loop.time() + COMPANY_S
        # A call's windows one after the other: each needs the state that the one before has left.
        while calls := [call for call in calls if call.pending]:
            for rate in {call.model_rate for call in calls}:
                judge_next([call for call in calls if call.model_rate == rate])


def judge_next(calls: list[SileroVADAnalyzer]) -> None:
    """Judge the next window of each of these calls; all are of one rate."""
    model = calls[0].model
    frames, volumes = model.read([call.pending[0][0] for call in calls])
    weighed = zip(calls, volumes, frames, strict=True)
    shown = [row for row, (call, volume, frame) in enumerate(weighed) if call.weigh(volume, frame)]
    if not shown:
        return
    if len(shown) < len(calls):
        calls, frames = [calls[row] for row in shown], frames[shown]
    confidences, states = model.infer(frames, [call.network_state for call in calls])
    for call, state in zip(calls, states, strict=True):
        call.network_state = state
    for call, confidence in zip(calls, confidences, strict=True):
        try:
            call.judge(confidence)
        except Exception:  # the boundary between calls: one that fails must not make the others deaf
            logger.exception("VAD: a call could not be notified of the beginning or end of speech")


_WINDOW_SECS = 0.032
_FAINT_WINDOWS = 16  # half a second
_QUIET_WINDOWS = 156  # five seconds


def preload() -> None:
    """Load the network now, not at the first call: about 0.1 to 0.5 s, most of it onnxruntime's import."""
    from runner.vad.network import RATES

    for rate in RATES:
        SileroVADAnalyzer(sample_rate=rate).analyze(bytes(2 * rate // 10), now=0.1)


class SileroVADAnalyzer(VADAnalyzer):
    """Detects when a caller begins and stops speaking. 8 and 16 kHz are heard as they are, other rates
    at 16 kHz.

    `sample_rate`, in Hz, is that of the sound to come; a transport sets it, so that it may be left out.
    """

    def __init__(self, *, sample_rate: int | None = None, params: VADParams | None = None) -> None:
        from runner.vad.network import SileroModel

        super().__init__(params=params, window_secs=_WINDOW_SECS)
        self.model = SileroModel.shared()
        self.pending: deque[tuple[bytearray, float]] = deque()
        self._sound = bytearray()
        self._frame_bytes = 0
        self._resampler: Resampler | None = None
        self._on_event: Callable[[VADEvent], None] = _nobody
        self._batch: Batch | None = None
        if sample_rate is not None:
            self.set_sample_rate(sample_rate)

    def reset(self) -> None:
        super().reset()
        if self._sample_rate is not None:
            self._begin(self._sample_rate)

    def _begin(self, rate: int) -> None:
        from runner.audio.resampler import Resampler
        from runner.vad.network import RATES, context_samples, window_samples

        self.model_rate = rate if rate in RATES else 16000
        self._resampler = None if rate == self.model_rate else Resampler(rate, self.model_rate)
        self._context = context_samples(self.model_rate)
        self._window_bytes = 2 * window_samples(self.model_rate)
        self._frame_bytes = 2 * self._context + self._window_bytes
        self._sound = bytearray(2 * self._context)
        self.pending.clear()
        self.network_state = self.model.new_state
        self._volume = 0.0
        self._unheard: list[bytearray] = []
        self._faint_windows = 0
        self._quiet_windows = 0

    def analyze(self, pcm: bytes, now: float) -> list[VADEvent]:
        events: list[VADEvent] = []
        self._on_event = events.append
        self._take_in(pcm, now)
        while self.pending:
            judge_next([self])
        return events

    def listen(self, pcm: bytes, now: float, on_event: Callable[[VADEvent], None]) -> None:
        """As `analyze`; where several calls listen, their windows are judged together, within 20 ms."""
        self._on_event = on_event
        if not self._take_in(pcm, now):
            return
        loop = asyncio.get_running_loop()
        if self._batch is None or self._batch.loop is not loop:
            self._batch = batch_of(loop)
        self._batch.add(self)

    def close(self) -> None:
        self.pending.clear()

    def _take_in(self, pcm: bytes, now: float) -> bool:
        """Whether a window has become whole."""
        if self._resampler is not None:
            pcm = self._resampler.process(pcm)
        sound = self._sound
        sound += pcm
        if len(sound) < self._frame_bytes:
            return False
        if self._sample_rate is None:
            raise ValueError("the VAD does not know its sample rate: call set_sample_rate first")
        while (later_bytes := len(sound) - self._frame_bytes) >= 0:
            ended = now - later_bytes / (2 * self.model_rate)
            self.pending.append((sound[: self._frame_bytes], ended))
            del sound[: self._window_bytes]  # its end is the context of the next
        return True

    # ------------------------------------------------------------ for the batch

    def weigh(self, volume: float, frame: Floats) -> bool:
        """Whether the network is to see the next window, which ends `frame`; if not, it is done with."""
        self._volume = volume
        if self._machine.state is not VADState.QUIET:
            self._faint_windows = self._quiet_windows = 0
            return True
        self._faint_windows = 0 if self._machine.may_be_voice(volume) else self._faint_windows + 1
        if self._faint_windows > _FAINT_WINDOWS:
            self._pass_over()
            return False
        self._quiet_windows += 1
        if self._unheard:
            self._catch_up()
        elif self._quiet_windows >= _QUIET_WINDOWS:
            self._quiet_windows = 0
            self.network_state = self.model.new_state
            frame[: self._context] = 0
        return True

    def _pass_over(self) -> None:
        """One more window of steady faint sound: it waits."""
        frame, ended = self.pending.popleft()
        if self._faint_windows % _FAINT_WINDOWS == 1:
            self._unheard = []
        self._unheard.append(frame)
        self._quiet_windows = 0
        self._machine.update(0.0, self._volume, ended)

    def _catch_up(self) -> None:
        """It gets louder: what has waited comes first."""
        frames, _ = self.model.read(self._unheard)
        self._unheard = []
        _, (self.network_state,) = self.model.infer(frames, [self.network_state])

    def judge(self, confidence: float) -> None:
        """Judge the next window by what the network found."""
        if self.pending:  # another call's event may have ended this one
            _, ended = self.pending.popleft()
            event = self._machine.update(confidence, self._volume, ended)
            if event is not None:
                self._on_event(event)


def _nobody(event: VADEvent) -> None:
    """Takes events before anybody listens: there are none."""
