"""The figures of a whole call reach the pipeline."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from test_webrtc_door import EchoBot, tone, until

from runner.callers.webrtc import WebRTCCaller
from runner.transports.webrtc import SessionStats, transport

CALM_MS = 100.0


async def test_a_call_tells_its_figures(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "STATS_EVERY_SECS", 0.5)
    told: list[SessionStats] = []
    push = transport.SmallWebRTCInput.push_frame

    async def note(self: Any, frame: Any, *more: Any) -> None:
        if isinstance(frame, SessionStats):
            told.append(frame)
        await push(self, frame, *more)

    monkeypatch.setattr(transport.SmallWebRTCInput, "push_frame", note)
    async with serve(EchoBot()) as served, WebRTCCaller(served.url) as caller:
        await caller.say(tone(1.0), 16000)
        await asyncio.sleep(1.0)
        # The round trip is known with the caller's second report.
        await until(lambda: told and told[-1].round_trip_ms is not None)
    assert sum(stats.packets for stats in told) > 50
    assert all(not stats.loss and not stats.concealed and not stats.late for stats in told)
    last = told[-1]
    assert last.round_trip_ms is not None
    assert 0 <= last.round_trip_ms < CALM_MS
    assert last.outbound_loss == 0
    assert 20 <= last.target_ms <= 60
