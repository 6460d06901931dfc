"""Windows of many calls, shown to the network together: that takes a tenth of the time for each.

A call that is alone on its loop does not wait; where several talk, their windows wait for each other up to
`TICK_S`, or until `ENOUGH` are there. So an interruption is noticed at most that much later, and there only;
the more calls there are, the shorter is the wait.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from runner.eventloop.batched_reads import Due, rounds_of

if TYPE_CHECKING:
    from runner.vad.silero import SileroVADAnalyzer

logger = logging.getLogger(__name__)

TICK_S = 0.020
ENOUGH = 128
"""A window in a batch of 32 costs 15 us, of 16 17, of 8 30, one alone 175 (8 kHz, cold caches).

Each batch takes the caches from what follows it: 150 calls cost 4.3 ms a call-second with 128 at most in one,
4.7 with 32."""

COMPANY_S = 0.1
"""So long (s) after windows of two calls, a window waits for others."""

_batches: WeakKeyDictionary[asyncio.AbstractEventLoop, Batch] = WeakKeyDictionary()


def batch_of(loop: asyncio.AbstractEventLoop) -> Batch:
    """The one of this loop."""
    found = _batches.get(loop)
    if found is None:
        found = _batches[loop] = Batch(loop)
    return found


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
            logger.exception("what began or ended with speech could not be told")
