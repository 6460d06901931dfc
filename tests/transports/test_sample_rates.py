"""A bot may use any sample rate on any transport: what the wire does not take is resampled, both ways.

The same table over WebRTC's real peers: `webrtc/test_webrtc_rates.py`; in a Daily room:
`daily/test_daily_rates.py`.
"""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from phone_bots import PHONES, in_memory, tone

from runner import RunnerArguments, create_transport
from runner.callers.phone import Phone
from runner.frames import Frame, FrameDirection, InputAudioRawFrame, OutputAudioRawFrame, StartFrame
from runner.pipeline import Pipeline, PipelineParams, PipelineRunner, PipelineTask
from runner.processors import FrameProcessor
from runner.testing import run_virtual
from runner.transports.websocket import FastAPIWebsocketParams

RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
BOT_HZ, CALLER_HZ = 440, 1000
WIRE_IN, WIRE_OUT = 16000, 24000
"""The rates (Hz) of a plain client's pcm."""


class ToneBot(FrameProcessor):
    """Plays a second of `BOT_HZ` when it starts, and keeps what it hears."""

    def __init__(self, rate: int, *, by_pipeline: bool) -> None:
        super().__init__()
        self.rate, self.by_pipeline = rate, by_pipeline
        self.heard: list[InputAudioRawFrame] = []

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await self.push_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            self.heard.append(frame)
        if isinstance(frame, StartFrame):
            await self.push_frame(OutputAudioRawFrame(tone(1.0, self.rate, BOT_HZ), self.rate))

    async def __call__(self, args: RunnerArguments) -> None:
        rates = {"audio_in_sample_rate": self.rate, "audio_out_sample_rate": self.rate}
        given = {} if self.by_pipeline else rates
        transport = await create_transport(
            args,
            dict.fromkeys(
                (*PHONES, "websocket"),
                lambda: FastAPIWebsocketParams(audio_in_enabled=True, audio_out_enabled=True, **given),
            ),
        )
        chain = Pipeline([transport.input(), self, transport.output()])
        task = PipelineTask(chain, params=PipelineParams(**rates if self.by_pipeline else {}))

        @transport.event_handler("on_client_disconnected")
        async def leave(*_: object) -> None:
            await task.cancel()

        await PipelineRunner().run(task)

    def check_heard(self) -> None:
        """The caller's tone arrived at the pipeline's rate, at its pitch."""
        assert {frame.sample_rate for frame in self.heard} == {self.rate}
        assert pitch(b"".join(frame.audio for frame in self.heard), self.rate) == near(CALLER_HZ)


def pitch(pcm: bytes, rate: int) -> float:
    """The loudest partial (Hz)."""
    sound = np.frombuffer(pcm, "<i2").astype(float)
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
    return float(np.argmax(spectrum) * rate / len(sound))


def near(hertz: float) -> object:
    return pytest.approx(hertz, abs=3)


def loud_part(pcm: bytes) -> bytes:
    """From the first loud sample to the last."""
    loud = np.flatnonzero(np.abs(np.frombuffer(pcm, "<i2").astype(int)) > 1500)
    return pcm[2 * loud[0] : 2 * loud[-1] + 2] if len(loud) else b""


def check_second(pcm: bytes, rate: int) -> None:
    """The bot's second of sound is there once, at its pitch."""
    part = loud_part(pcm)
    assert len(part) / 2 / rate == pytest.approx(1.0, abs=0.01)
    assert pitch(part, rate) == near(BOT_HZ)


@pytest.mark.parametrize("by_pipeline", [False, True], ids=["transport", "pipeline"])
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("provider", PHONES)
def test_a_phone_hears_and_is_heard_at_any_rate(provider: str, rate: int, by_pipeline: bool) -> None:
    bot = ToneBot(rate, by_pipeline=by_pipeline)

    async def run() -> Phone:
        async with in_memory(bot) as served, served.phone(provider) as phone:
            said = phone.say(tone(1.0, 8000, CALLER_HZ), 8000, "tone")
            assert await phone.until(lambda: said.done and phone.bot_quiet_s() > 0.5, 20)
        return phone

    phone = run_virtual(run(), 60)
    check_second(phone.playout.recording(), phone.wire.sample_rate)
    bot.check_heard()
    assert phone.log.violations == []


@pytest.mark.parametrize("by_pipeline", [False, True], ids=["transport", "pipeline"])
@pytest.mark.parametrize("rate", RATES)
def test_a_plain_client_hears_and_is_heard_at_any_rate(rate: int, by_pipeline: bool) -> None:
    bot = ToneBot(rate, by_pipeline=by_pipeline)

    async def run() -> bytes:
        received: list[bytes] = []
        async with in_memory(bot) as served:
            assert served.connect is not None
            socket = await served.connect(f"{served.url}-client")

            async def receive() -> None:
                async for message in socket:
                    if isinstance(message, bytes):
                        received.append(message)

            receiving = asyncio.create_task(receive())
            said = tone(1.0, WIRE_IN, CALLER_HZ)
            for at in range(0, len(said), WIRE_IN // 50 * 2):
                await socket.send(said[at : at + WIRE_IN // 50 * 2])
                await asyncio.sleep(0.02)
            await asyncio.sleep(1.0)
            await socket.close()
            await receiving
        return b"".join(received)

    check_second(run_virtual(run(), 60), WIRE_OUT)
    bot.check_heard()
