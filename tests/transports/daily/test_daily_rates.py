"""A bot may use any sample rate in a Daily room: what WebRTC does not take is resampled, both ways."""

from __future__ import annotations

import numpy as np
import pytest
from daily_talk import URL, talk
from eventually import eventually
from fake_daily import FakeDaily
from phone_bots import tone

from runner.frames import InputAudioRawFrame, OutputAudioRawFrame

pytestmark = pytest.mark.realtime

BOT_HZ, CALLER_HZ = 440, 1000


def pitch(pcm: bytes, rate: int) -> float:
    """The loudest partial (Hz)."""
    sound = np.frombuffer(pcm, "<i2").astype(float)
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
    return float(np.argmax(spectrum) * rate / len(sound))


@pytest.mark.parametrize("rate", [8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 96000])
async def test_a_bot_hears_and_is_heard_at_any_rate(daily: FakeDaily, rate: int) -> None:
    daily.rate = 5.0
    rates = {"audio_in_sample_rate": rate, "audio_out_sample_rate": rate}
    async with talk(daily, audio_in_user_tracks=False, **rates) as here:
        await here.transport.joined.wait()
        await here.task.queue_frame(OutputAudioRawFrame(tone(1.0, rate, BOT_HZ), rate))
        visitor = daily.visit(URL, "ann")
        await eventually(lambda: "ann" in daily.clients[0].ears)
        wire = daily.clients[0].ear_rates["ann"]
        said = tone(1.0, wire, CALLER_HZ)
        for at in range(0, len(said), wire // 50 * 2):
            visitor.speak(said[at : at + wire // 50 * 2])
        heard = await eventually(lambda: len(found := here.of(InputAudioRawFrame)) == 50 and found, 20)
        [microphone] = daily.microphones
        await eventually(lambda: len(microphone.pcm) / 2 >= microphone.sample_rate, 20)
        # WebRTC cuts sound to pieces of 10 ms: at 11025 Hz these would be 110.25 samples.
        assert (wire % 100, microphone.sample_rate % 100) == (0, 0)
        assert {frame.sample_rate for frame in heard} == {rate}
        assert pitch(b"".join(frame.audio for frame in heard), rate) == pytest.approx(CALLER_HZ, abs=3)
        assert pitch(microphone.pcm[: microphone.sample_rate * 2], microphone.sample_rate) == pytest.approx(
            BOT_HZ, abs=3
        )
