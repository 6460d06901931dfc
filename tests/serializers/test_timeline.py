from __future__ import annotations

import random

import pytest

from runner.serializers.timeline import MediaTimeline

SIZE = 320  # 20 ms at 8 kHz


def chunk(number: int) -> bytes:
    return bytes([number % 255 + 1]) * SIZE


def place(timeline: MediaTimeline, *numbers: int) -> bytes:
    return b"".join(b"".join(timeline.place(chunk(n), n, n * 20)) for n in numbers)


def test_order_comes_through_untouched_and_at_once() -> None:
    timeline = MediaTimeline(8000)
    for number in range(1, 100):
        assert timeline.place(chunk(number), number, number * 20) == [chunk(number)]
    assert not timeline.counters


@pytest.mark.parametrize("numbers", [(1, 3, 2, 4), (1, 4, 3, 2, 5), (1, 3, 4, 5, 2, 6), (1, 3, 2, 5, 4)])
def test_disorder_within_three_messages_is_put_right(numbers: tuple[int, ...]) -> None:
    timeline = MediaTimeline(8000)
    assert place(timeline, *numbers) == b"".join(chunk(n) for n in sorted(numbers))
    assert timeline.counters["missing"] == 0


def test_the_fourth_message_behind_a_gap_ends_the_wait() -> None:
    timeline = MediaTimeline(8000)
    assert place(timeline, 1, 3, 4, 5) == chunk(1)
    assert place(timeline, 6) == bytes(SIZE) + b"".join(chunk(n) for n in (3, 4, 5, 6))
    assert place(timeline, 2) == b""
    assert timeline.counters == {"missing": 1, "silence_ms": 20, "late": 1}


def test_two_gaps_are_given_up_one_after_the_other() -> None:
    timeline = MediaTimeline(8000)
    place(timeline, 1, 3, 5, 6)
    assert place(timeline, 7) == bytes(SIZE) + chunk(3)
    assert place(timeline, 4) == b"".join(chunk(n) for n in (4, 5, 6, 7))


def test_a_gap_up_to_500_ms_becomes_silence_and_a_longer_one_is_counted() -> None:
    timeline = MediaTimeline(8000)
    place(timeline, 1, 27, 28, 29)
    assert place(timeline, 30) == bytes(25 * SIZE) + b"".join(chunk(n) for n in (27, 28, 29, 30))
    place(timeline, 57, 58, 59)
    assert place(timeline, 60) == b"".join(chunk(n) for n in (57, 58, 59, 60))
    assert timeline.counters == {"missing": 51, "silence_ms": 500, "long_gaps": 1}


def test_the_timestamp_says_how_long_a_gap_is() -> None:
    timeline = MediaTimeline(8000, reorder=0)
    timeline.place(chunk(1), 1, 20)
    assert timeline.place(chunk(3), 3, 20 + 20 + 100) == [bytes(5 * SIZE), chunk(3)]


def test_a_timestamp_that_jumps_is_a_gap_though_no_number_is_missing() -> None:
    timeline = MediaTimeline(8000)
    timeline.place(chunk(1), 1, 20)
    assert timeline.place(chunk(2), 2, 40 + 200) == [bytes(10 * SIZE), chunk(2)]


def test_jitter_of_the_timestamps_is_no_gap() -> None:
    timeline = MediaTimeline(8000)
    source = random.Random(1)
    for number in range(1, 500):
        stamp = number * 20 + source.randint(0, 60)
        assert timeline.place(chunk(number), number, stamp) == [chunk(number)]


@pytest.mark.parametrize("stamp", [5, 0, None])
def test_timestamps_that_stand_still_or_are_missing_leave_it_to_the_numbers(stamp: int | None) -> None:
    timeline = MediaTimeline(8000, reorder=0)
    timeline.place(chunk(1), 1, stamp)
    assert timeline.place(chunk(4), 4, stamp) == [bytes(2 * SIZE), chunk(4)]


def test_numbers_shared_with_another_track_are_no_gap_where_time_goes_on() -> None:
    timeline = MediaTimeline(8000, reorder=0)
    timeline.place(chunk(1), 1, 20)
    assert timeline.place(chunk(3), 3, 40) == [chunk(3)]


def test_wall_clock_timestamps_never_make_silence() -> None:
    timeline = MediaTimeline(8000, media_time=False)
    for number, stamp in enumerate((1_700_000_000_000, 1_700_000_000_400, 1_700_000_000_401), 1):
        assert timeline.place(chunk(number), number, stamp) == [chunk(number)]


def test_a_new_count_of_numbers_does_not_make_the_bot_deaf() -> None:
    timeline = MediaTimeline(8000)
    place(timeline, *range(1, 201))
    assert place(timeline, 1, 2, 3) == chunk(1) + chunk(2) + chunk(3)
    assert timeline.counters["restarted"] == 1


def test_one_absurd_number_costs_no_sound() -> None:
    timeline = MediaTimeline(8000)
    heard = place(timeline, 1, 2, 10**17, *range(3, 40))
    timeline.release(0.0)
    heard += b"".join(timeline.release(1.0)) + place(timeline, *range(40, 50))
    for number in range(1, 50):
        assert chunk(number) in heard
    assert timeline.counters == {"restarted": 2, "long_gaps": 1}


def test_nothing_is_held_for_longer_than_three_messages_whatever_comes() -> None:
    source = random.Random(23)
    timeline = MediaTimeline(8000)
    for _ in range(20_000):
        number = source.choice((source.randrange(1, 300), source.randrange(10**18)))
        timeline.place(b"\1\0" * 160, number, source.choice((None, source.randrange(10**18))))
        assert len(timeline.held) <= 3
        assert len(timeline._lost) <= 64
