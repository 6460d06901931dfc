"""What the phone measures, from sound and spans alone."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from runner.callers.call_report import (
    CallerSpan,
    Figure,
    answer_latency,
    overlap_s,
    silences,
    stop_latencies,
    stop_latency,
    talked_on,
    turn_latencies,
)
from runner.callers.phone import Phone
from runner.callers.sound.bot_sound import Repeats, Span, SpeechDetector
from runner.callers.sound.line import Line, LineLuck, LineSound, mistaken
from runner.callers.sound.microphone import Manner, Microphone, Utterance, audible_part
from runner.callers.sound.playout import Playout
from runner.callers.wires import BotClear, BotSound, wire_for
from runner.serializers.wire import Encoding, decoder_for, encoder_for

RATE = 8000
TURN, CUT, MURMUR = Manner.TURN, Manner.INTERRUPTION, Manner.MURMUR


def loud(seconds: float) -> bytes:
    rng = np.random.default_rng(1)
    count = round(seconds * RATE)
    sound = rng.integers(2000, 8000, count) * rng.choice([-1, 1], count)
    return np.asarray(sound, "<i2").tobytes()


def quiet(seconds: float) -> bytes:
    return bytes(2 * round(seconds * RATE))


# ------------------------------------------------------------------ microphone and ear


def test_the_mouth_speaks_on_the_sample_whatever_is_taken_at_once() -> None:
    pcm = quiet(0.01) + loud(0.1) + quiet(0.02)
    for size in (1, 7, 160, 5000):
        microphone = Microphone()
        microphone.take(100)
        said = microphone.say(Utterance("words", pcm))
        taken = b"".join(microphone.take(size) for _ in range(-(-2000 // size)))
        assert taken.startswith(pcm)
        assert not taken[len(pcm) :].strip(b"\0")
        assert (said.begin, said.end, said.done) == (100 + 80, 100 + 80 + 800, True)
        assert microphone.recording() == bytes(200) + taken


def test_two_utterances_follow_each_other_without_a_gap() -> None:
    microphone = Microphone()
    microphone.say(Utterance("one", loud(0.1)))
    microphone.say(Utterance("two", loud(0.1)))
    assert microphone.take(1600) == loud(0.1) + loud(0.1)
    assert not microphone.busy


def test_a_mouth_that_is_hushed_stops_in_the_middle_of_the_word() -> None:
    microphone = Microphone()
    said = microphone.say(Utterance("words", loud(1)))
    microphone.take(800)
    microphone.hush()
    assert microphone.take(160) == bytes(320)
    assert said.end == 800


def test_silence_has_no_audible_part_and_counts_whole() -> None:
    assert audible_part(bytes(200)) == (0, 100)
    assert audible_part(quiet(0.1) + loud(0.1) + quiet(0.1)) == (800, 1600)


@pytest.mark.parametrize("piece", [160, 37, 8000])
def test_the_ear_finds_spans_on_the_sample_and_bridges_short_pauses(piece: int) -> None:
    pcm = quiet(0.5) + loud(0.3) + quiet(0.2) + loud(0.1) + quiet(0.5) + loud(0.2)
    detector = SpeechDetector(RATE)
    for at in range(0, len(pcm), 2 * piece):
        detector.hear(at / 2 / RATE, pcm[at : at + 2 * piece])
    assert [(round(s.begin, 4), round(s.end, 4)) for s in detector.spans] == [(0.5, 1.1), (1.6, 1.8)]
    assert detector.sounds_within(1.7, 9)
    assert not detector.sounds_within(1.2, 1.5)


def test_a_buffer_that_loops_is_noticed_and_a_tone_or_silence_is_not() -> None:
    time = np.arange(160) / RATE
    tone = np.asarray(8000 * np.sin(2 * np.pi * 1000 * time), "<i2").tobytes()
    repeats = Repeats(RATE)
    for pcm in (tone, tone, quiet(0.02), quiet(0.02), loud(0.02)):
        repeats.feed(pcm)
    assert repeats.repeated_s == 0
    repeats.feed(loud(0.02))
    assert repeats.repeated_s == pytest.approx(0.02)


async def test_sound_that_was_taken_back_and_is_sent_again_is_not_repeated() -> None:
    phone = Phone("ws://127.0.0.1:1/ws", wire_for("twilio"))
    phone._loop = asyncio.get_running_loop()
    phone.playout = Playout(RATE, phone.now)
    for event in (BotSound(loud(0.02)), BotClear(), BotSound(loud(0.02))):
        phone._take(event)
    assert phone.repeats.repeated_s == 0
    phone._take(BotSound(loud(0.02)))
    assert phone.repeats.repeated_s == pytest.approx(0.02)


# ------------------------------------------------------------------ figures


def test_an_answer_is_measured_from_the_last_word_to_the_first_sound() -> None:
    said = CallerSpan(1.0, 2.0)
    assert answer_latency(said, 9.0, [Span(0, 0.9), Span(2.5, 3)]) == pytest.approx(0.5)
    assert answer_latency(said, 2.4, [Span(2.5, 3)]) is None
    assert answer_latency(said, 9.0, [Span(1.8, 3)]) == pytest.approx(-0.2)
    # The rest of what the bot was saying before is no answer.
    assert answer_latency(said, 9.0, [Span(0.5, 1.3), Span(1.7, 1.9), Span(2.6, 3)]) == pytest.approx(0.6)


def test_a_stop_is_measured_from_the_first_word_to_the_last_sound() -> None:
    said = CallerSpan(1.0, 2.0, CUT)
    assert stop_latency(said, [Span(0, 1.2), Span(2.5, 3)]) == pytest.approx(0.2)
    assert stop_latency(said, [Span(0, 0.9)]) is None
    # A breath is no stop.
    assert stop_latency(said, [Span(0, 1.2), Span(1.6, 1.9)]) == pytest.approx(0.9)


def test_murmurs_are_neither_turns_nor_interruptions() -> None:
    caller = [CallerSpan(1, 2, TURN), CallerSpan(4.0, 4.2, MURMUR), CallerSpan(6, 7, CUT)]
    bot = [Span(2.5, 5), Span(5.9, 6.2), Span(8, 9)]
    assert turn_latencies(caller, bot) == pytest.approx([0.5, 1.0])
    assert stop_latencies(caller, bot) == pytest.approx([0.2])
    assert overlap_s(caller, bot) == pytest.approx(0.4)


def test_a_bot_that_spoke_only_while_the_caller_did_has_not_answered() -> None:
    assert answer_latency(CallerSpan(0, 10), 20.0, [Span(0.1, 3), Span(10.5, 11)]) == pytest.approx(0.5)


def test_it_is_counted_whether_the_bot_talks_on_through_murmurs() -> None:
    murmurs = [CallerSpan(at, at + 0.2, MURMUR) for at in (1, 4, 9)]
    assert talked_on(murmurs, [Span(0, 3), Span(3.5, 4.3)]) == (1, 2)
    paused, silenced = [Span(0, 1.1), Span(2.2, 3)], [Span(0, 1.1), Span(2.9, 3)]
    assert talked_on(murmurs, paused) == (1, 1)
    assert talked_on(murmurs, silenced) == (0, 1)


def test_silences_are_those_of_both() -> None:
    assert silences([CallerSpan(1, 2)], [Span(1.5, 4), Span(7, 8)], 10) == pytest.approx([1, 3, 2])


def test_a_figure_is_reported_with_its_number() -> None:
    assert Figure.of([]) == Figure(0, None, None)
    assert Figure.of([0.3, 0.1, 0.2]) == Figure(3, 200.0, 300.0)


# ------------------------------------------------------------------ the line


def test_a_good_line_changes_nothing() -> None:
    assert LineSound(Line(), RATE, Encoding.ULAW).worsen(loud(0.02)) == loud(0.02)
    luck = LineLuck(Line())
    assert not luck.loses()
    assert luck.delay_s(1.0) == 0


def test_the_same_seed_gives_the_same_bad_line() -> None:
    line = Line(noise_db=10, bad_mic=True, loss_pct=20, jitter_ms=50, seed=5)
    sounds = [LineSound(line, RATE, Encoding.ULAW) for _ in range(2)]
    assert sounds[0].worsen(loud(0.5)) == sounds[1].worsen(loud(0.5))
    lucks = [LineLuck(line) for _ in range(2)]
    drawn = [[(luck.loses(), luck.delay_s(at / 50)) for at in range(200)] for luck in lucks]
    assert drawn[0] == drawn[1]
    assert 20 < sum(lost for lost, _ in drawn[0]) < 60
    assert all(0 <= delay <= 0.05 for _, delay in drawn[0])


def test_noise_is_as_loud_as_it_was_asked_for() -> None:
    sound = LineSound(Line(noise_db=17), RATE, Encoding.ULAW).worsen(quiet(7))
    samples = np.frombuffer(sound, "<i2").astype(float)
    assert 20 * np.log10(np.sqrt(np.mean(samples**2)) / 32768) == pytest.approx(-40, abs=0.3)


@pytest.mark.parametrize("encoding", [Encoding.ULAW, Encoding.ALAW, Encoding.L16])
def test_another_codec_than_announced_is_what_arrives(encoding: Encoding) -> None:
    other = {Encoding.ULAW: Encoding.ALAW, Encoding.ALAW: Encoding.ULAW}.get(
        encoding, Encoding.L16_BIG_ENDIAN
    )
    pcm = loud(0.1)
    on_wire = encoder_for(encoding)(mistaken(pcm, encoding))
    meant = encoder_for(other)(pcm)
    # µ-law has two zeros and pcm one: that code alone may differ.
    assert np.mean(np.frombuffer(on_wire, "u1") == np.frombuffer(meant, "u1")) > 0.99
    assert decoder_for(encoding)(on_wire) != pcm
