"""What the listener hears when, on a clock that the test holds."""

from __future__ import annotations

import random

import pytest

from runner.callers.sound.playout import Cleared, Heard, MarkReached, Playout, PlayoutEvent, Underrun

RATE = 8000


def tone(duration_ms: int, value: int = 1) -> bytes:
    return value.to_bytes(2, "little", signed=True) * (RATE * duration_ms // 1000)


def heard(events: list[PlayoutEvent]) -> bytes:
    return b"".join(event.pcm for event in events if isinstance(event, Heard))


def test_sound_is_heard_as_time_goes_by() -> None:
    playout = Playout(RATE, started_at=100.0)
    assert playout.add(tone(100), 100.5) == []
    assert playout.playing(100.5)
    assert playout.quiet_at == pytest.approx(100.6)
    first = playout.advance(100.525)
    assert first == [Heard(100.5, tone(25))]
    second = playout.advance(101.0)
    assert [type(event) for event in second] == [Heard]
    assert len(heard(second)) == len(tone(75))
    assert second[0].at == pytest.approx(100.525)
    assert not playout.playing(101.0)
    assert playout.recording() == bytes(len(tone(500))) + tone(100)


def test_sound_that_comes_early_queues_without_a_hole() -> None:
    playout = Playout(RATE, started_at=0.0)
    for turn in range(50):
        playout.add(tone(20, turn + 1), turn * 0.018)
    playout.advance(2.0)
    assert playout.underruns == []
    assert playout.recording() == b"".join(tone(20, turn + 1) for turn in range(50))


def test_a_mark_is_reached_when_the_sound_before_it_has_been_heard() -> None:
    playout = Playout(RATE, started_at=0.0)
    assert playout.mark("at once", 0.1) == [MarkReached(0.1, "at once")]
    playout.add(tone(100), 0.2)
    assert playout.mark("middle", 0.21) == [Heard(0.2, tone(10))]
    playout.add(tone(100), 0.22)
    playout.mark("end", 0.22)
    assert playout.next_event_at == pytest.approx(0.3)
    assert not any(isinstance(event, MarkReached) for event in playout.advance(0.2999))
    marks = [event for event in playout.advance(1.0) if isinstance(event, MarkReached)]
    assert [(mark.name, round(mark.at, 6), mark.cleared) for mark in marks] == [
        ("middle", 0.3, False),
        ("end", 0.4, False),
    ]
    assert playout.next_event_at is None


def test_a_clear_drops_the_rest_and_returns_all_marks_at_once() -> None:
    playout = Playout(RATE, started_at=0.0)
    playout.add(tone(100), 0.0)
    playout.mark("a", 0.0)
    playout.add(tone(100), 0.0)
    playout.mark("b", 0.0)
    playout.mark("c", 0.0)
    events = playout.clear(0.15)
    assert heard(events) == tone(150)
    assert [event for event in events if not isinstance(event, Heard)] == [
        MarkReached(0.1, "a"),
        Cleared(0.15, pytest.approx(0.05)),
        MarkReached(0.15, "b", cleared=True),
        MarkReached(0.15, "c", cleared=True),
    ]
    assert playout.dropped_s == pytest.approx(0.05)
    assert not playout.playing(0.15)
    assert playout.advance(1.0) == []
    # What is said next is no underrun, however soon it comes.
    assert playout.add(tone(20), 0.2) == []
    playout.advance(1.0)
    assert playout.underruns == []
    assert playout.recording() == tone(150) + bytes(len(tone(50))) + tone(20)


def test_a_clear_of_nothing_is_harmless() -> None:
    playout = Playout(RATE, started_at=0.0)
    assert playout.clear(1.0) == [Cleared(1.0, 0.0)]


def test_a_hole_inside_an_utterance_is_an_underrun_and_a_pause_is_not() -> None:
    playout = Playout(RATE, started_at=0.0)
    playout.add(tone(100), 0.0)
    events = playout.add(tone(100), 0.18)
    assert [event for event in events if isinstance(event, Underrun)] == playout.underruns
    assert len(playout.underruns) == 1
    assert playout.underruns[0].at == pytest.approx(0.1)
    assert playout.underruns[0].duration_s == pytest.approx(0.08)
    playout.add(tone(100), 1.0)
    assert len(playout.underruns) == 1
    playout.advance(2.0)
    assert playout.recording(2.0) == (
        tone(100)
        + bytes(len(tone(80)))
        + tone(100)
        + bytes(len(tone(720)))
        + tone(100)
        + bytes(len(tone(900)))
    )


def test_sound_just_in_time_is_no_underrun() -> None:
    playout = Playout(RATE, started_at=0.0)
    now = 0.0
    for _ in range(3000):
        playout.add(tone(20), now)
        now += 0.02
    assert playout.underruns == []
    playout.advance(now + 1)
    assert playout.recording() == tone(20) * 3000


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 24000])
def test_every_sample_is_heard_once_and_in_order_whenever_we_look(rate: int) -> None:
    source = random.Random(rate)
    playout = Playout(rate, started_at=5.0)
    sent, events, now, marks = bytearray(), [], 5.0, []
    for turn in range(400):
        pcm = source.randbytes(2 * source.randrange(1, rate // 10))
        sent += pcm
        events += playout.add(pcm, now)
        if turn % 5 == 0:
            marks.append(str(turn))
            events += playout.mark(str(turn), now)
        now += source.uniform(0, 0.1)
        events += playout.advance(now)
    events += playout.advance(now + 60)
    assert heard(events) == bytes(sent)
    assert [event.name for event in events if isinstance(event, MarkReached)] == marks
    times = [event.at for event in events if not isinstance(event, Underrun)]
    assert times == sorted(times)
    recorded = playout.recording()
    silence = len(recorded) - len(sent)
    gaps = sum(round(underrun.duration_s * rate) * 2 for underrun in playout.underruns)
    assert abs(silence - gaps) <= 4 * (len(playout.underruns) + 1)
