"""Figures out of counters."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runner.transports.webrtc.stats import MediaCounters, SessionStats, SoundFigures, StatsMeter, summary

FIRST = MediaCounters(expected=100, lost=5, late=1, concealed=4, handed_on=100, released=95, waited_secs=0.19)
LATER = replace(FIRST, expected=300, handed_on=300, released=295)


def test_shares_are_of_what_came_since_the_last_reading() -> None:
    meter = StatsMeter()
    first, later = meter.read(FIRST), meter.read(LATER)
    assert (first.loss, first.late, first.concealed) == pytest.approx((0.05, 0.01, 0.04))
    assert first.buffer_ms == pytest.approx(2)
    assert (later.loss, later.late, later.concealed, later.buffer_ms) == (0, 0, 0, 0)
    assert later.packets == 200


def test_a_new_peer_is_counted_from_zero() -> None:
    meter = StatsMeter()
    meter.read(LATER)
    assert meter.read(FIRST).loss == pytest.approx(0.05)


def test_a_call_is_summarised_in_sentences() -> None:
    result = summary(replace(FIRST, round_trip_secs=0.05, outbound_loss=0.015))
    assert result == (
        "Of the caller's sound 5.0 % was lost and 4.0 % made up; it came 0 ms uneven and waited 2 ms here. "
        "Of the bot's, 1.5 % was lost lately; round trip 50 ms."
    )


def test_a_clean_call_is_summarised_without_empty_figures() -> None:
    clean = replace(FIRST, lost=0, concealed=0, round_trip_secs=0.001, outbound_loss=0.0)
    assert summary(clean) == "The caller's sound came whole; round trip 1 ms."


def test_a_call_without_sound_has_no_summary() -> None:
    assert SoundFigures(lambda: None).sentence() == ""
    assert SoundFigures(MediaCounters).sentence() == ""


def test_from_outside_the_last_reading_is_seen_or_the_whole_call() -> None:
    now = FIRST
    figures = SoundFigures(lambda: now)
    assert figures.latest()["loss"] == 0.05  # nobody reads yet
    figures.read()
    now = LATER
    figures.read()
    assert figures.latest()["loss"] == 0
    assert figures.latest() == figures.latest()  # looking changes nothing


def test_what_is_not_known_is_left_out_of_the_message() -> None:
    assert SessionStats().as_message() == {"jitter_ms": 0, "target_ms": 0, "packets": 0}
    result = StatsMeter().read(MediaCounters(round_trip_secs=0.0123456, outbound_loss=0.25)).as_message()
    assert result["round_trip_ms"] == 12.3456
    assert result["outbound_loss"] == 0.25
    assert "loss" not in result
