"""The figures of a whole call reach the pipeline."""

from __future__ import annotations

import logging
from typing import Any

import httpx2
import pytest
from eventually import eventually
from test_webrtc_endpoint import EchoBot, tone

from runner.arguments import SmallWebRTCRunnerArguments
from runner.callers.webrtc import WebRTCCaller
from runner.frames import Frame, FrameDirection
from runner.pipeline import Pipeline, PipelineRunner, PipelineTask
from runner.processors import FrameProcessor
from runner.transports.params import TransportParams
from runner.transports.webrtc import SessionStats, transport

CALM_MS = 100.0


async def test_a_call_reports_its_figures(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "STATS_EVERY_SECS", 0.5)
    received: list[SessionStats] = []
    push = transport.SmallWebRTCInput.push_frame

    async def note(self: Any, frame: Any, *more: Any) -> None:
        if isinstance(frame, SessionStats):
            received.append(frame)
        await push(self, frame, *more)

    monkeypatch.setattr(transport.SmallWebRTCInput, "push_frame", note)
    async with serve(EchoBot()) as served, WebRTCCaller(served.url) as caller:
        await caller.say(tone(1.0), 16000)
        await eventually(lambda: sum(stats.packets for stats in received) > 50)
        # The round trip is known with the caller's second report.
        await eventually(lambda: received and received[-1].round_trip_ms is not None)
    assert all(not stats.loss and not stats.concealed and not stats.late for stats in received)
    last = received[-1]
    assert last.round_trip_ms is not None
    assert 0 <= last.round_trip_ms < CALM_MS
    assert last.outbound_loss == 0
    assert 20 <= last.target_ms <= 60


class Reader(FrameProcessor):
    def __init__(self) -> None:
        super().__init__()
        self.read: list[SessionStats] = []

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if isinstance(frame, SessionStats):
            self.read.append(frame)
        await self.push_frame(frame, direction)


async def test_audio_statistics_reach_a_processor_the_status_and_the_last_log_line(
    serve: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(transport, "STATS_EVERY_SECS", 0.2)
    readers = [Reader(), Reader()]

    async def bot(args: SmallWebRTCRunnerArguments) -> None:
        params = TransportParams(audio_in_enabled=True, audio_out_enabled=True)
        ends = transport.SmallWebRTCTransport(args.webrtc_connection, params)
        first, last = readers
        await PipelineRunner().run(PipelineTask(Pipeline([ends.input(), first, ends.output(), last])))

    with caplog.at_level(logging.INFO, "runner.sessions.session"):
        async with serve(bot) as served, httpx2.AsyncClient(base_url=served.url) as http:
            async with WebRTCCaller(served.url) as caller:
                await caller.say(tone(0.5), 16000)
                await eventually(lambda: all(reader.read and reader.read[-1].packets for reader in readers))
                [response] = (await http.get("/status")).json()["sessions"]
                [session] = served.seen
            await eventually(lambda: session.ended.is_set())
    assert (response["kind"], response["id"]) == ("webrtc", session.id[:6])
    assert {"loss", "concealed", "jitter_ms", "buffer_ms"} <= response["sound"].keys()
    [line] = [record.getMessage() for record in caplog.records if " ended after " in record.getMessage()]
    assert "the caller left. The caller's sound came whole" in line
