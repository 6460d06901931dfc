"""Silero's voice activity detection, for one call or many calls in batches.

The network gets worse in long silence: after a minute of zeros at 8 kHz it found 85 windows of a sentence
instead of 100 at the start of the call, some of them up to 64 ms late (at 16 kHz it missed one of 98). So:

* While nobody speaks, the state is reset every 5 s to that of a call's start.
* In sound too faint to be a voice, the state is set back every half second to what it was after the first
  half second.

A faint window is therefore not processed at once. It is queued, and processed only if the sound gets louder
within that half second; otherwise it affects nothing. Tests compare the decisions, to the sample, with those
from processing every window.

Windows of several calls are processed in batches, which takes a tenth of the time per window. A single call
on a loop does not wait. With several, windows wait for each other up to `TICK_S` or until there are `ENOUGH`,
so an interruption is detected at most that much later.
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

Each batch evicts the CPU caches: with 150 calls, batches of up to 128 cost 4.3 ms of CPU per second of call,
of up to 32 4.7 ms."""

COMPANY_S = 0.1
"""Time (s) after windows of two different calls during which windows wait for each other."""


def batch_of(loop: asyncio.AbstractEventLoop) -> Batch:
    """The batch of this loop."""
    return of_loop(loop, Batch, lambda: Batch(loop))


class Batch:
    """The calls of this loop with queued windows."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._waiting: dict[SileroVADAnalyzer, None] = {}
        self._last_call = 0
        self._company_until = 0.0
        self._rounds = rounds_of(loop)
        self._timer: Due | None = None

    def add(self, call: SileroVADAnalyzer) -> None:
        """This call has new windows; process them now or soon."""
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
        # A call's windows one after another: each needs the state after the previous one.
        while calls := [call for call in calls if call.pending]:
            for rate in {call.model_rate for call in calls}:
                judge_next([call for call in calls if call.model_rate == rate])


def judge_next(calls: list[SileroVADAnalyzer]) -> None:
    """Process the next window of each of these calls, all at the same rate."""
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
        except Exception:  # an error in one call must not stop the detection in others
            logger.exception("VAD: a handler of speech events failed")


_WINDOW_SECS = 0.032
_FAINT_WINDOWS = 16  # half a second
_QUIET_WINDOWS = 156  # five seconds


def preload() -> None:
    """Load the network before the first call: 0.1 to 0.5 s, mostly onnxruntime's import."""
    from runner.vad.network import RATES

    for rate in RATES:
        SileroVADAnalyzer(sample_rate=rate).analyze(bytes(2 * rate // 10), now=0.1)


class SileroVADAnalyzer(VADAnalyzer):
    """Detects when a caller starts and stops speaking. Sound at rates other than 8 and 16 kHz is resampled to
    16 kHz.

    `sample_rate` (Hz) is optional: a transport sets it.
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
        """Like `analyze`, but windows of several calls are processed together, within 20 ms."""
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
        """Add sound; returns whether at least one window is complete."""
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
        """Whether the network must process the next window, the end of `frame`; if not, it is skipped."""
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
        """Queue one more window of steady faint sound."""
        frame, ended = self.pending.popleft()
        if self._faint_windows % _FAINT_WINDOWS == 1:
            self._unheard = []
        self._unheard.append(frame)
        self._quiet_windows = 0
        self._machine.update(0.0, self._volume, ended)

    def _catch_up(self) -> None:
        """The sound gets louder: process the queued windows first."""
        frames, _ = self.model.read(self._unheard)
        self._unheard = []
        _, (self.network_state,) = self.model.infer(frames, [self.network_state])

    def judge(self, confidence: float) -> None:
        """Finish the next window with the network's result."""
        if self.pending:  # another call's event may have ended this one
            _, ended = self.pending.popleft()
            event = self._machine.update(confidence, self._volume, ended)
            if event is not None:
                self._on_event(event)


def _nobody(event: VADEvent) -> None:
    """Placeholder for `on_event` before `listen` sets it."""
