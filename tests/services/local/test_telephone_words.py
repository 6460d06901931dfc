"""The lines of the shipped scenarios, as `botrun call` sends them: 8 kHz, µ-law, a quiet room."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import pytest

from runner.audio.g711 import ulaw_decode, ulaw_encode
from runner.audio.resampler import Resampler
from runner.callers.sound.line import ROOM_DBFS, Line, LineSound
from runner.callers.sound.microphone import Speech, caller_voice
from runner.serializers.wire import Encoding
from runner.services.local.stt import Widener

if TYPE_CHECKING:
    from runner.services.local.recogniser import Recogniser

pytestmark = pytest.mark.local

RATE = 8000
LINES = {
    "Stop!": "stop",
    "No, listen to me!": "no listen to me",
    "Can you hear me?": "can you hear me",
    "What time is it?": "what time is it",
    "What can you do?": "what can you do",
    "Help!": "help",
}


async def speak(texts: Iterable[str]) -> dict[str, Speech]:
    async with caller_voice() as voice:
        return {text: await voice.speak(text) for text in texts}


def over_the_phone(speech: Speech) -> bytes:
    """16 kHz pcm for the recogniser: 0.3 s before the words and 0.45 s after them, as the VAD cuts it."""
    pcm = Resampler(speech.sample_rate, RATE).process(speech.pcm)
    loud = np.nonzero(np.abs(np.frombuffer(pcm, "<i2").astype(int)) > 500)[0]
    line = LineSound(Line(room_dbfs=ROOM_DBFS), RATE, Encoding.ULAW)
    wire = line.worsen(bytes(2 * RATE) + pcm + bytes(2 * RATE))
    wide = Widener().process(ulaw_decode(ulaw_encode(wire)))
    begin, end = RATE + loud[0] - int(0.3 * RATE), RATE + loud[-1] + int(0.45 * RATE)
    return wide[4 * begin : 4 * end]


@pytest.fixture(scope="module")
def recogniser() -> Recogniser:
    from runner.services.local.recogniser import Recogniser  # needs pocketsphinx

    return Recogniser()


@pytest.fixture(scope="module")
def sounds() -> dict[str, Speech]:
    return asyncio.run(speak((*LINES, "mm-hmm")))


@pytest.mark.parametrize(("said", "understood"), LINES.items())
def test_a_line_is_understood_over_the_phone(
    recogniser: Recogniser, sounds: dict[str, Speech], said: str, understood: str
) -> None:
    recogniser.begin()
    recogniser.feed(over_the_phone(sounds[said]))
    heard = recogniser.finish()
    assert (heard.text, heard.score >= 0) == (understood, True)


@pytest.mark.parametrize(("said", "asks"), [("Stop!", True), ("mm-hmm", False)])
def test_stop_asks_the_bot_to_stop_and_a_murmur_does_not(
    recogniser: Recogniser, sounds: dict[str, Speech], said: str, asks: bool
) -> None:
    recogniser.begin(over_bot=True)
    recogniser.feed(over_the_phone(sounds[said]))
    heard = recogniser.finish()
    assert heard.asks is not None
    assert (heard.asks > 0) is asks
