from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.audio.playout import MARK_DEADLINE_S, Pacer, Playout

RATE = 8000


def test_sound_is_heard_as_it_plays() -> None:
    playout = Playout(RATE)
    playout.wrote(8000, 10.0)
    assert playout.heard(10.0) == 0
    assert playout.heard(10.25) == 2000
    assert playout.heard(11.0) == 8000
    assert playout.heard(99.0) == 8000


def test_sound_written_ahead_joins_the_run_and_sound_written_late_begins_another() -> None:
    playout = Playout(RATE)
    playout.wrote(800, 0.0)
    playout.wrote(800, 0.01)
    assert playout.time_of(1600) == pytest.approx(0.2)
    playout.wrote(800, 5.0)
    assert playout.heard(5.0) == 1600
    assert playout.time_of(2400) == pytest.approx(5.1)


def test_a_cut_returns_what_was_heard_and_drops_the_rest() -> None:
    playout = Playout(RATE)
    playout.wrote(8000, 0.0)
    assert playout.cut(0.5) == 4000
    assert playout.heard(0.5) == 8000
    playout.wrote(800, 0.6)
    assert playout.heard(0.65) == 8400


def test_a_mark_holds_the_estimate_back_until_it_returns() -> None:
    playout = Playout(RATE)
    playout.wrote(1600, 0.0)
    position = playout.mark()
    assert playout.heard(0.3) == position - 1
    playout.reached(position, 0.35)
    assert playout.heard(0.35) == position
    assert playout.delay_s == pytest.approx(0.15)


def test_the_delay_learnt_from_a_mark_serves_the_next_run() -> None:
    playout = Playout(RATE)
    playout.wrote(1600, 0.0)
    playout.reached(playout.mark(), 0.35)
    playout.wrote(1600, 2.0)
    assert playout.heard(2.15) == 1600
    assert playout.heard(2.25) == 2400


def test_a_mark_that_never_returns_holds_nothing_back_for_ever() -> None:
    playout = Playout(RATE)
    playout.wrote(1600, 0.0)
    position = playout.mark()
    assert playout.heard(0.2 + MARK_DEADLINE_S - 0.01) == position - 1
    assert playout.heard(0.2 + MARK_DEADLINE_S) == position


@given(st.lists(st.tuples(st.integers(0, 2000), st.floats(0, 0.5)), max_size=30))
def test_the_heard_position_never_goes_back_nor_past_what_was_written(steps: list[tuple[int, float]]) -> None:
    playout, now, last = Playout(RATE), 0.0, 0
    for samples, pause in steps:
        playout.wrote(samples, now)
        now += pause
        heard = playout.heard(now)
        assert last <= heard <= playout.written
        last = heard


def test_the_first_chunk_leaves_at_once_and_the_lead_is_kept() -> None:
    pacer, now = Pacer(0.12), 100.0
    left = 0
    while pacer.wait_s(now) <= 0:
        pacer.sent(0.02, now)
        left += 1
    # Six chunks of lead, and the one that is playing.
    assert left == 7
    assert pacer.wait_s(now) == pytest.approx(0.02)


def test_a_late_chunk_does_not_move_the_timeline() -> None:
    pacer = Pacer(0.0)
    pacer.sent(0.02, 0.0)
    pacer.sent(0.02, 0.015)
    assert pacer.wait_s(0.03) == pytest.approx(0.01)


def test_a_peer_that_ran_dry_begins_a_new_timeline() -> None:
    pacer = Pacer(0.0)
    pacer.sent(0.02, 0.0)
    pacer.sent(0.02, 5.0)
    assert pacer.wait_s(5.0) == pytest.approx(0.02)
