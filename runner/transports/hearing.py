"""Hears in the caller's sound when speech begins and when it ends; also when the sound stops coming."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import copy_context

from runner.frames import InputAudioRawFrame
from runner.processors.base import ProcessorSetup
from runner.turns.vad import VADEvent
from runner.vad.base import VADAnalyzer

GAP_S = 0.3
"""When the caller's sound stops coming in the middle of speech for so long (s), silence is put in its place:
a muted or broken microphone must not leave the user speaking for ever."""


class Hearing:
    """One call's speech detection, between the transport's reader and the analyzer.

    Args:
        analyzer: tells speech from other sound.
        lent: the call's clock and tasks.
        on_event: takes each beginning and end of speech, behind the sound it was noticed with; must not wait.
        on_gap: takes silence that stands for sound that did not come.
    """

    def __init__(
        self,
        analyzer: VADAnalyzer,
        lent: ProcessorSetup,
        *,
        on_event: Callable[[VADEvent], None],
        on_gap: Callable[[InputAudioRawFrame], None],
    ) -> None:
        self._analyzer = analyzer
        self._lent = lent
        self._clock = lent.clock
        self._on_event = on_event
        self._on_gap = on_gap
        self._context = copy_context()
        self._heard_at = 0.0
        self._gap_watch: asyncio.Task[None] | None = None

    def hear(self, frame: InputAudioRawFrame) -> None:
        """Take in sound; never waits."""
        self._heard_at = now = self._clock()
        if self._analyzer.sample_rate != frame.sample_rate:
            self._analyzer.set_sample_rate(frame.sample_rate)
        self._analyzer.listen(frame.audio, now, self._heard)

    def close(self) -> None:
        """The call is over."""
        self._analyzer.close()

    def _heard(self, event: VADEvent) -> None:
        # Several calls may be heard together: what follows belongs to this one.
        self._context.run(self._on_event, event)
        self._watch_for_gaps(event.started, self._analyzer.sample_rate or 0)

    def _watch_for_gaps(self, speaking: bool, sample_rate: int) -> None:
        if speaking:
            self._gap_watch = self._lent.create_task(self._fill_gaps(sample_rate), "gaps")
        elif self._gap_watch is not None:
            self._gap_watch.cancel()

    async def _fill_gaps(self, sample_rate: int) -> None:
        """While the user speaks: silence where no sound comes any more."""
        while True:
            await asyncio.sleep(GAP_S / 3)
            missing_s = self._clock() - self._heard_at
            if missing_s >= GAP_S:
                self._on_gap(InputAudioRawFrame(bytes(2 * int(missing_s * sample_rate)), sample_rate))
