"""When a caller counts as absent, gone or late."""

from __future__ import annotations

from runner.transports.webrtc.peer_watch import ABSENT_SECS, GONE_SECS, Liveness


def connected(at: float = 100.0) -> Liveness:
    liveness = Liveness(timeout_secs=12, offered_at=at)
    liveness.on_connected(at)
    return liveness


def test_a_caller_who_never_connects_is_late() -> None:
    liveness = Liveness(timeout_secs=12, offered_at=100)
    assert not liveness.is_late(111.9)
    assert liveness.is_late(112)
    assert not liveness.is_gone(1000)


def test_a_caller_who_connected_is_never_late() -> None:
    assert not connected().is_late(1000)


def test_packets_keep_a_caller() -> None:
    liveness = connected()
    for second in range(60):
        liveness.on_packets(50 * second, 100 + second)
        assert not liveness.is_gone(100 + second)


def test_the_same_count_of_packets_is_silence() -> None:
    liveness = connected()
    for second in range(30):
        liveness.on_packets(50, 101 + second)
    assert not liveness.is_gone(100.9 + GONE_SECS)
    assert liveness.is_gone(101 + GONE_SECS)


def test_five_seconds_of_nothing_are_sat_out() -> None:
    liveness = connected()
    liveness.on_packets(10, 105)
    assert not liveness.is_gone(110)
    liveness.on_packets(11, 110)
    assert not liveness.is_gone(118.5)


def test_pings_alone_keep_a_caller() -> None:
    liveness = connected()
    liveness.on_ping(120)
    assert not liveness.is_gone(125)


def test_a_caller_who_stopped_pinging_is_absent_only_without_media() -> None:
    liveness = connected()
    liveness.on_ping(110)
    liveness.on_packets(500, 114)
    assert not liveness.is_absent(110 + ABSENT_SECS + 1)
    assert liveness.is_absent(114 + ABSENT_SECS + 0.1)


def test_a_caller_who_never_pings_is_never_absent() -> None:
    assert not connected().is_absent(1000)
