"""Sound on a timeline: by its own time, and by that of its arrival."""

from __future__ import annotations

from array import array

from hypothesis import given
from hypothesis import strategies as st

from runner.audio.tracks import GAP_S, ArrivingTrack, Track, interleave

RATE = 1000
PIECE = 20


def pcm(*samples: int) -> bytes:
    return array("h", samples).tobytes()


def samples(sound: bytes) -> list[int]:
    return array("h", sound).tolist()


def test_what_nobody_filled_is_silence() -> None:
    track = Track(RATE)
    track.put(2, pcm(5, 6))
    assert samples(track.take(6)) == [0, 0, 5, 6, 0, 0]
    assert samples(track.take(7)) == [0]


def test_sound_may_come_in_any_order_until_it_was_taken() -> None:
    track = Track(RATE)
    track.put(4, pcm(5))
    track.put(1, pcm(2, 3))
    assert samples(track.take(3)) == [0, 2, 3]
    track.put(2, pcm(7, 8))  # its first sample is too late
    assert samples(track.take(5)) == [8, 5]


def test_what_is_cut_is_not_heard() -> None:
    track = Track(RATE)
    track.put(0, pcm(1, 2, 3, 4))
    track.take(1)
    track.cut(2)
    assert samples(track.take(4)) == [2, 0, 0]
    track.cut(0)
    assert track.end == 4


def test_arriving_sound_stands_before_its_arrival() -> None:
    track = ArrivingTrack(RATE)
    track.arrive(pcm(*[1] * PIECE), 50)
    track.arrive(pcm(*[2] * PIECE), 70)
    assert samples(track.take(70)) == [0] * 30 + [1] * PIECE + [2] * PIECE


def test_a_pause_is_a_pause() -> None:
    track = ArrivingTrack(RATE)
    track.arrive(pcm(*[1] * PIECE), PIECE)
    track.arrive(pcm(*[2] * PIECE), 500)
    assert samples(track.take(500)) == [1] * PIECE + [0] * 460 + [2] * PIECE


def test_a_stall_is_no_pause() -> None:
    track = ArrivingTrack(RATE)
    track.arrive(pcm(*[1] * PIECE), PIECE)
    for number in range(2, 50):  # all at once, after 980 ms
        track.arrive(pcm(*[number] * PIECE), 1000)
    track.arrive(pcm(*[50] * PIECE), 1000)
    assert samples(track.take(1000)) == [number for number in range(1, 51) for _ in range(PIECE)]


@given(st.lists(st.integers(0, 150), min_size=1, max_size=60))
def test_however_late_each_piece_comes_none_is_lost_and_all_are_in_order(delays: list[int]) -> None:
    track, arrived, out = ArrivingTrack(RATE), 0, list[int]()
    for number, delay in enumerate(delays, 1):
        arrived = max(arrived, number * PIECE + delay)
        track.arrive(pcm(*[number] * PIECE), arrived)
        out += samples(track.take(arrived - 1500))
    out += samples(track.take(track.end))
    assert [value for value in out if value] == [n for n in range(1, len(delays) + 1) for _ in range(PIECE)]
    assert len(out) <= arrived + GAP_S * RATE + 150


def test_two_channels_are_one_stereo() -> None:
    assert samples(interleave(pcm(1, 2), pcm(3, 4))) == [1, 3, 2, 4]
