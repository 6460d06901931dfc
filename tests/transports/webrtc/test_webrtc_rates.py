"""A bot may use any sample rate over WebRTC: Opus has four, the rest is resampled."""

from __future__ import annotations

import asyncio
import math
import struct
from typing import Any

import numpy as np
import pytest
from eventually import eventually
from webrtc_page import Page

from runner.frames import Frame, FrameDirection, InputAudioRawFrame, OutputAudioRawFrame, StartFrame
from runner.pipeline import Pipeline, PipelineParams, PipelineRunner, PipelineTask
from runner.processors import FrameProcessor
from runner.transports.base import TransportParams
from runner.transports.webrtc import SmallWebRTCConnection, SmallWebRTCTransport
from runner.transports.webrtc.tracks import InboundAudio

TONE_HZ = 440


class Tone(FrameProcessor):
    """Says a tone as soon as it starts, and keeps what it hears."""

    def __init__(self, rate: int) -> None:
        super().__init__()
        self.rate, self.heard_hz = rate, set[int]()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await self.push_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            self.heard_hz.add(frame.sample_rate)
        if isinstance(frame, StartFrame):
            samples = (
                round(8000 * math.sin(2 * math.pi * TONE_HZ * n / self.rate)) for n in range(self.rate)
            )
            await self.push_frame(OutputAudioRawFrame(struct.pack(f"<{self.rate}h", *samples), self.rate))


def pitch(pcm: bytes, rate: int) -> float:
    """Of the loudest partial (Hz)."""
    sound = np.frombuffer(pcm, "<i2").astype(float)
    return float(np.argmax(np.abs(np.fft.rfft(sound * np.hanning(len(sound))))) * rate / len(sound))


@pytest.mark.parametrize("rate", [8000, 11025, 12000, 16000, 22050, 32000, 44100, 48000, 96000])
async def test_a_bot_of_any_sample_rate_is_heard_and_hears(rate: int) -> None:
    page, connection = Page(), SmallWebRTCConnection(peer_is_local=True)
    heard: list[bytes] = []
    listening: list[InboundAudio] = []

    def listen(track: Any) -> None:
        listening.append(InboundAudio(track))
        listening[-1].attach(48000, heard.append)

    page.pc.on("track", listen)
    tone = Tone(rate)
    transport = SmallWebRTCTransport(
        connection, TransportParams(audio_in_enabled=True, audio_out_enabled=True)
    )
    task = PipelineTask(
        Pipeline([transport.input(), tone, transport.output()]),
        params=PipelineParams(audio_in_sample_rate=rate, audio_out_sample_rate=rate),
    )
    running = asyncio.create_task(PipelineRunner(handle_sigint=False).run(task))
    try:
        await connection.initialize(**await page.offer())
        await page.take(connection.get_answer())
        await eventually(lambda: len(loud(heard)) > 20 and tone.heard_hz, 15)
        assert pitch(b"".join(loud(heard)[2:20]), 48000) == pytest.approx(TONE_HZ, abs=5)
        assert tone.heard_hz == {rate}
    finally:
        await task.cancel()
        await running
        await connection.disconnect()
        await connection.events.aclose()
        for audio in listening:
            await audio.aclose()
        await page.aclose()


def loud(heard: list[bytes]) -> list[bytes]:
    return [pcm for pcm in heard if np.abs(np.frombuffer(pcm, "<i2").astype(int)).max() > 4000]
