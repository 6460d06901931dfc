"""When a caller counts as absent, gone or late."""

from __future__ import annotations

from runner.transports.webrtc.peer_watch import ABSENT_SECS, CONSENT_SECS, GONE_SECS, UNREACHED_SECS, Liveness


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


def test_a_caller_who_is_heard_but_does_not_answer_is_not_reached() -> None:
    liveness = connected()
    liveness.on_packets(10, 109)
    assert not liveness.is_unreached(108.9)
    assert liveness.is_unreached(100 + UNREACHED_SECS)
    assert not liveness.is_gone(100 + UNREACHED_SECS)


def test_a_caller_of_whom_nothing_is_heard_is_gone_and_not_unreached() -> None:
    liveness = connected()
    liveness.on_packets(10, 102)
    assert not liveness.is_unreached(100 + UNREACHED_SECS)
    assert liveness.is_gone(102 + GONE_SECS)


def test_answers_keep_a_caller_and_are_asked_for_all_the_time() -> None:
    liveness = connected()
    liveness.on_packets(10, 101)
    assert not liveness.wants_consent(100 + CONSENT_SECS - 0.1)
    assert liveness.wants_consent(100 + CONSENT_SECS)
    liveness.on_consent(104)
    liveness.on_packets(20, 104)
    assert not liveness.wants_consent(104.1)
    assert not liveness.is_unreached(112.9)
    liveness.on_packets(30, 112)
    assert liveness.is_unreached(104 + UNREACHED_SECS)


def test_a_caller_who_stopped_pinging_is_absent_only_without_media() -> None:
    liveness = connected()
    liveness.on_ping(110)
    liveness.on_packets(500, 114)
    assert not liveness.is_absent(110 + ABSENT_SECS + 1)
    assert liveness.is_absent(114 + ABSENT_SECS + 0.1)


def test_a_caller_who_never_pings_is_never_absent() -> None:
    assert not connected().is_absent(1000)
