"""A new ICE session within a call, as after a change of networks: Pipecat's bot notices nothing."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

pytest.importorskip("pipecat", reason="pipecat is not installed: pip install 'botrun[pipecat]'")

from eventually import eventually
from pipecat.transports.base_transport import TransportParams
from pipecat.transports.smallwebrtc.transport import RawAudioTrack, SmallWebRTCTransport
from webrtc_page import Page, call

from runner.integrations.pipecat.transports.webrtc import BridgedConnection


async def heard_by(page: Page, pcm: bytes, track: RawAudioTrack) -> int:
    """Loudest sample that the page hears of this, sent again and again until it hears something."""
    (receiver,) = [r for r in page.pc.getReceivers() if r.track.kind == "audio"]
    loudest = 0
    async with asyncio.timeout(20):
        while loudest < 1000:
            await track.add_audio_bytes(pcm)
            frame = await receiver.track.recv()
            loudest = max(loudest, int(np.abs(frame.to_ndarray().astype(int)).max()))
    return loudest


async def test_the_call_goes_on_over_a_new_peer() -> None:
    async with call() as (connection, first, log):
        bridged = BridgedConnection(connection)
        transport = SmallWebRTCTransport(bridged, TransportParams(audio_in_enabled=True))
        states: list[str] = []

        @bridged.event_handler("connected")
        async def connected(connection: object) -> None:
            states.append("connected")

        @bridged.event_handler("closed")
        async def closed(connection: object) -> None:
            states.append("closed")

        await bridged.connect()
        track, ears = RawAudioTrack(sample_rate=24000), bridged.audio_input_track()
        bridged.replace_audio_track(track)
        tone = (np.sin(np.arange(480) / 24000 * 2 * np.pi * 440) * 8000).astype("<i2").tobytes()
        await eventually(lambda: first.channel.readyState == "open" and states == ["connected"])
        await heard_by(first, tone, track)
        second = Page()
        await connection.renegotiate(**await second.offer(), restart_pc=True)
        await second.take(connection.get_answer())
        await first.aclose()
        await eventually(lambda: second.channel.readyState == "open")
        assert log.names == ["connected", "restarted"]
        await heard_by(second, tone, track)
        await ears.discard_old_frames()
        async with asyncio.timeout(20):
            frame = await ears.recv()
        assert (frame.sample_rate, frame.samples) == (16000, 320)
        bridged.send_app_message({"again": 1})
        await eventually(lambda: second.got)
        assert (states, bridged.caller_left, bridged.is_connected()) == (["connected"], False, True)
        await second.aclose()
        await eventually(lambda: states == ["connected", "closed"])
        assert transport is not None
