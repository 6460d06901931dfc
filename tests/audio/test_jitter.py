"""The jitter buffer: scripted networks in virtual time, and properties that hold for every network."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.audio.jitter import MAX_TARGET_SECS, Gap, JitterBuffer, Piece
from runner.audio.rtp import RtpPacket

FRAME = 960


def packet(number: int, timestamp: int | None = None) -> RtpPacket:
    ticks = number * FRAME if timestamp is None else timestamp
    return RtpPacket(96, number & 0xFFFF, ticks & 0xFFFFFFFF, 7, number.to_bytes(4, "big"))


def number_of(piece: RtpPacket) -> int:
    return int.from_bytes(piece.payload, "big")


class Run:
    """Feeds packets at their times, polls when due, notes what came out and when."""

    def __init__(self, arrivals: Sequence[tuple[float, int]]) -> None:
        self.buffer = JitterBuffer()
        self.out: list[tuple[float, Piece]] = []
        for at, number in sorted(arrivals):
            self.until(at)
            self.note(at, self.buffer.add(packet(number), at))
        self.until(1e9)

    def until(self, at: float) -> None:
        while (due := self.buffer.due) is not None and due <= at:
            self.note(due, self.buffer.poll(due))

    def note(self, at: float, pieces: list[Piece]) -> None:
        self.out.extend((at, piece) for piece in pieces)

    @property
    def numbers(self) -> list[int]:
        return [number_of(piece) for _, piece in self.out if isinstance(piece, RtpPacket)]

    @property
    def gaps(self) -> list[tuple[float, Gap]]:
        return [(at, piece) for at, piece in self.out if isinstance(piece, Gap)]


def calm(numbers: Sequence[int], delay: float = 0.03) -> list[tuple[float, int]]:
    return [(n * 0.02 + delay, n) for n in numbers]


# ------------------------------------------------------------------ scripted


def test_packets_in_order_go_straight_through() -> None:
    run = Run(calm(range(1000)))
    assert run.numbers == list(range(1000))
    assert [at for at, _ in run.out] == pytest.approx([n * 0.02 + 0.03 for n in range(1000)])
    assert run.buffer.counters.waited_secs == 0
    assert run.gaps == []


def test_on_a_calm_network_a_lost_packet_is_concealed_as_soon_as_the_next_is_there() -> None:
    run = Run(calm([n for n in range(100) if n != 50]))
    ((at, gap),) = run.gaps
    assert at == pytest.approx(51 * 0.02 + 0.03)
    assert gap == Gap(1, FRAME, packet(51).payload)
    assert run.buffer.counters.missing == 1


def test_a_burst_of_three_is_one_gap_and_the_packet_behind_it_serves_for_the_last() -> None:
    run = Run(calm([n for n in range(100) if n not in (50, 51, 52)]))
    ((at, gap),) = run.gaps
    assert gap == Gap(3, 3 * FRAME, packet(53).payload)
    assert at == pytest.approx(53 * 0.02 + 0.03)


def test_swapped_packets_come_out_in_order() -> None:
    arrivals = calm(range(100))
    arrivals[50] = (arrivals[51][0] + 0.001, 50)  # behind its successor
    arrivals[10] = (arrivals[11][0] + 0.001, 10)  # the first shows how late packets may be
    run = Run(arrivals)
    assert run.numbers[-60:] == list(range(40, 100))
    assert run.buffer.counters.late <= 1


def test_a_network_seen_to_be_rough_is_waited_for() -> None:
    rough = random.Random(3)
    arrivals = [(n * 0.02 + 0.03 + rough.uniform(0, 0.04), n) for n in range(2000)]
    run = Run(arrivals)
    assert 0.025 < run.buffer.target_secs <= MAX_TARGET_SECS
    assert run.buffer.counters.late <= 20
    assert len(run.numbers) >= 1980


def test_the_target_comes_back_when_the_network_has_calmed_down() -> None:
    rough = random.Random(4)
    arrivals = [(n * 0.02 + 0.03 + rough.uniform(0, 0.05), n) for n in range(500)]
    arrivals += calm(range(500, 1500))
    assert Run(arrivals).buffer.target_secs == pytest.approx(0.020)


def test_a_stall_leaves_no_delay_behind() -> None:
    arrivals = [(max(at, 1.5) if at > 1.0 else at, n) for at, n in calm(range(200))]
    run = Run(arrivals)
    assert run.numbers == list(range(200))
    tail = [at - (number_of(piece) * 0.02 + 0.03) for at, piece in run.out if isinstance(piece, RtpPacket)][
        -100:
    ]
    assert max(tail) == pytest.approx(0, abs=1e-9)


def test_a_late_packet_is_counted_and_not_played_out_of_turn() -> None:
    run = Run([*calm([n for n in range(100) if n != 50]), (1.4, 50)])
    assert 50 not in run.numbers
    assert run.buffer.counters.late == 1
    assert run.buffer.counters.duplicates == 0


def test_a_duplicate_is_counted() -> None:
    run = Run([*calm(range(100)), (1.4, 50), (1.9, 95)])
    assert run.numbers == list(range(100))
    assert run.buffer.counters.duplicates == 2
    assert run.buffer.counters.late == 0


def test_numbers_and_times_wrap() -> None:
    buffer = JitterBuffer()
    out: list[Piece] = []
    for n in range(200):
        wrapped = RtpPacket(
            96, (65500 + n) & 0xFFFF, (0xFFFFFFFF - 50 * FRAME + n * FRAME) & 0xFFFFFFFF, 1, b"x"
        )
        out += buffer.add(wrapped, 5 + n * 0.02)
    assert len(out) == 200
    assert buffer.target_secs == 0.020


def test_a_pause_in_sending_is_no_loss() -> None:
    buffer = JitterBuffer()
    for n in range(50):
        assert len(buffer.add(packet(n), n * 0.02)) == 1
    for n in range(50, 100):  # 400 ms of silence were not sent: RTP time goes on, the numbers do not
        (piece,) = buffer.add(packet(n, (n + 20) * FRAME), (n + 20) * 0.02)
        assert isinstance(piece, RtpPacket)
    assert buffer.counters.missing == 0


def test_another_stream_starts_over() -> None:
    buffer = JitterBuffer()
    buffer.add(packet(1), 0.0)
    assert buffer.add(packet(20000, 5), 0.02) == [packet(20000, 5)]
    assert buffer.counters.restarts == 1
    assert buffer.counters.missing == 0


def test_a_path_that_becomes_longer_loses_nothing() -> None:
    arrivals = [(n * 0.02 + (0.03 if n < 300 else 0.18), n) for n in range(1000)]
    run = Run(arrivals)
    assert run.numbers == list(range(1000))
    assert run.gaps == []


# ------------------------------------------------------------------ for every network


@st.composite
def networks(draw: st.DrawFn) -> list[tuple[float, int]]:
    seed = draw(st.integers(0, 1 << 32))
    loss, jitter = draw(st.floats(0, 0.5)), draw(st.floats(0, 0.3))
    double = draw(st.floats(0, 0.2))
    chance = random.Random(seed)
    begin = draw(st.sampled_from([0, 65000, 3]))
    arrivals = []
    for n in range(begin, begin + draw(st.integers(1, 150))):
        for _ in range(1 + (chance.random() < double)):
            if chance.random() >= loss:
                arrivals.append((n * 0.02 + chance.uniform(0, jitter), n))
    return arrivals


@settings(max_examples=150, deadline=None)
@given(networks())
def test_order_holds_and_nothing_is_made_up_or_forgotten(arrivals: list[tuple[float, int]]) -> None:
    run = Run(arrivals)
    counters, numbers = run.buffer.counters, run.numbers
    assert numbers == sorted(set(numbers))
    assert run.buffer.held == 0
    assert counters.received == len(arrivals)
    assert counters.received == counters.released + counters.late + counters.duplicates
    assert counters.released == len(numbers)
    assert counters.missing == sum(gap.packets for _, gap in run.gaps)
    if numbers:
        assert numbers[-1] - numbers[0] + 1 == counters.released + counters.missing


@settings(max_examples=150, deadline=None)
@given(networks())
def test_no_packet_is_held_longer_than_the_largest_target(arrivals: list[tuple[float, int]]) -> None:
    run = Run(arrivals)
    first_seen: dict[int, float] = {}
    for at, number in sorted(arrivals):
        first_seen.setdefault(number, at)
    for at, piece in run.out:
        if isinstance(piece, RtpPacket):
            assert at - first_seen[number_of(piece)] <= MAX_TARGET_SECS + 1e-9


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 1 << 32), st.floats(0, 0.0199))
def test_who_comes_within_20_ms_of_its_turn_is_heard(seed: int, jitter: float) -> None:
    chance = random.Random(seed)
    arrivals = [(n * 0.02 + (chance.uniform(0, jitter) if n else 0.0), n) for n in range(100)]
    assert Run(arrivals).numbers == list(range(100))
