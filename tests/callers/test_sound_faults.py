"""Faults planted in a bot's sound are found, and sound without them is not blamed."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest

from runner.audio.g711 import ulaw_encode
from runner.callers.call_report import CallerSpan, talked_over
from runner.callers.sound.bot_sound import SoundFaults, Span
from runner.callers.wires import BotBad, wire_for

RATE = 8000


def tone(seconds: float, hertz: float = 431.0) -> bytes:
    time = np.arange(int(seconds * RATE)) / RATE
    return (6000 * np.sin(2 * np.pi * hertz * time)).astype("<i2").tobytes()


def word(seconds: float) -> bytes:
    """A sound that swells and fades, as words do."""
    sound = np.frombuffer(tone(seconds), "<i2") * np.hanning(int(seconds * RATE))
    return sound.astype("<i2").tobytes()


def pieces(pcm: bytes) -> list[bytes]:
    return [pcm[at : at + 320] for at in range(0, len(pcm), 320)]


def heard(*parts: tuple[float, bytes]) -> SoundFaults:
    faults = SoundFaults(RATE)
    for at, pcm in parts:
        for index, piece in enumerate(pieces(pcm)):
            faults.heard(at + 0.02 * index, piece)
    return faults


@pytest.mark.parametrize("gap_s", [0.35, 0.6, 1.9])
def test_a_hole_inside_a_sound_is_found(gap_s: float) -> None:
    faults = heard((1.0, tone(0.5)), (1.5 + gap_s, tone(0.5)))
    assert faults.holes_s == [pytest.approx(gap_s, abs=0.01)]


def test_a_hole_sent_as_silence_is_found() -> None:
    assert heard((1.0, tone(0.5) + bytes(2 * int(0.6 * RATE)) + tone(0.5))).holes_s == [
        pytest.approx(0.6, abs=0.01)
    ]


def test_pauses_between_words_and_cuts_by_a_clear_are_no_holes() -> None:
    assert heard((1.0, word(0.5)), (2.1, word(0.5))).holes_s == []
    faults = heard((1.0, tone(0.5)))
    faults.cleared()
    faults.heard(2.1, tone(0.5))
    assert faults.holes_s == []


def test_messages_that_come_twice_are_counted_and_a_steady_tone_is_not_blamed() -> None:
    twice, once, steady = SoundFaults(RATE), SoundFaults(RATE), SoundFaults(RATE)
    for piece in pieces(tone(1.0)):
        once.sent(piece, 0.02)
        for _ in range(2):
            twice.sent(piece, 0.02)
    for piece in pieces(tone(1.0, 400.0)):
        steady.sent(piece, 0.02)
    assert (twice.sent_twice, once.sent_twice, steady.sent_twice) == (True, False, False)


def test_the_most_that_waits_is_remembered() -> None:
    faults = SoundFaults(RATE)
    for ahead_s in (0.1, 2.0, 0.3):
        faults.sent(tone(0.02), ahead_s)
    assert faults.ahead_s == 2.0


def violations(payload: bytes) -> list[str]:
    wire = wire_for("twilio")
    message: dict[str, Any] = {
        "event": "media",
        "streamSid": wire.facts.stream_id,
        "media": {"payload": base64.b64encode(payload).decode()},
    }
    return [event.reason for event in wire.receive(json.dumps(message)) if isinstance(event, BotBad)]


def test_base64_in_base64_and_pcm_as_ulaw_break_the_rules() -> None:
    good = ulaw_encode(word(0.1))
    assert violations(good) == []
    assert violations(ulaw_encode(bytes(1600))) == []
    assert any("base64-encoded twice" in reason for reason in violations(base64.b64encode(good)))
    assert any("16-bit PCM" in reason for reason in violations(word(0.1)))
    noise = np.random.default_rng(1).normal(0, 2000, 800).astype("<i2").tobytes()
    assert violations(ulaw_encode(noise)) == []


def test_a_bot_that_begins_over_the_caller_is_an_incident() -> None:
    said = [CallerSpan(1.0, 3.0)]
    assert talked_over(said, [Span(2.0, 4.0)]) == 1
    assert talked_over(said, [Span(3.4, 5.0)]) == 0
    assert talked_over(said, [Span(0.5, 2.0)]) == 0
