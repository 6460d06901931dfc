"""The VAD's state machine, by example and by property."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.turns.vad import VADEvent, VADKind, VADParams, VADState, VADStateMachine

WINDOW = 0.032
VOICE = (0.95, 0.9)
QUIET = (0.05, 0.2)


def run(
    machine: VADStateMachine, windows: list[tuple[float, float]], begin: float = 0.0
) -> list[tuple[float, VADEvent]]:
    events = []
    for count, (confidence, volume) in enumerate(windows, start=1):
        now = begin + count * WINDOW
        if event := machine.update(confidence, volume, now):
            events.append((now, event))
    return events


def test_speech_is_noticed_late_and_dated_right() -> None:
    events = run(VADStateMachine(), [QUIET] * 10 + [VOICE] * 30 + [QUIET] * 20)
    (noticed_start, start), (noticed_stop, stop) = events
    assert (start.kind, stop.kind) == (VADKind.STARTED, VADKind.STOPPED)
    assert start.started
    assert not stop.started
    assert start.at == pytest.approx(10 * WINDOW)
    assert noticed_start == pytest.approx(17 * WINDOW)  # 7 windows are the first 0.2 s
    assert stop.at == pytest.approx(40 * WINDOW)
    assert noticed_stop == pytest.approx(53 * WINDOW)  # 13 windows are the first 0.4 s


def test_the_states_follow_the_sound() -> None:
    machine = VADStateMachine()
    seen = []
    for confidence, volume in [QUIET] + [VOICE] * 8 + [QUIET] + [VOICE] + [QUIET] * 14:
        machine.update(confidence, volume, 0.032 * (len(seen) + 1))
        seen.append(machine.state)
    assert [state for state, before in zip(seen, [None, *seen], strict=False) if state is not before] == [
        VADState.QUIET,
        VADState.STARTING,
        VADState.SPEAKING,
        VADState.STOPPING,
        VADState.SPEAKING,
        VADState.STOPPING,
        VADState.QUIET,
    ]


@pytest.mark.parametrize("jitter_s", [-0.004, -0.0001, 0.0, 0.0001, 0.004])
def test_packets_that_come_a_little_early_or_late_do_not_cost_another_window(jitter_s: float) -> None:
    """20 ms windows: ten are 0.2 s, whatever the clock said when the voice began and ended."""
    machine = VADStateMachine(VADParams(start_secs=0.2, stop_secs=0.2), window_secs=0.02)
    noticed = []
    for count in range(1, 61):
        voice = 11 <= count <= 30
        late = jitter_s if count in (11, 30) else 0.0  # the first and the last window of voice
        if machine.update(*(VOICE if voice else QUIET), count * 0.02 + late):
            noticed.append(count)
    assert noticed == [20, 40]


def test_silence_where_no_packets_come_counts_by_the_clock() -> None:
    machine = VADStateMachine(VADParams(stop_secs=0.4))
    run(machine, [VOICE] * 20)
    stop = machine.update(*QUIET, 20 * WINDOW + 0.4)
    assert stop is not None
    assert stop.at == pytest.approx(20 * WINDOW)


def test_a_cough_is_not_speech() -> None:
    machine = VADStateMachine()
    assert run(machine, ([VOICE] * 6 + [QUIET] * 4) * 5) == []
    assert machine.state is VADState.QUIET


def test_the_closure_of_a_consonant_does_not_restart_the_count() -> None:
    (noticed, start), *_ = run(VADStateMachine(), [QUIET] + [VOICE] * 4 + [QUIET] * 3 + [VOICE] * 10)
    assert start.at == pytest.approx(1 * WINDOW)
    assert noticed == pytest.approx((1 + 4 + 3 + 1) * WINDOW)  # 0.2 s are over, and 5 windows were voice


def test_a_short_pause_does_not_end_speech() -> None:
    events = run(VADStateMachine(), ([VOICE] * 10 + [QUIET] * 12) * 3)
    assert [event.kind for _, event in events] == [VADKind.STARTED]


def test_faint_voices_do_not_count() -> None:
    assert run(VADStateMachine(), [(0.95, 0.55)] * 100) == []


def test_a_voice_out_of_digital_silence_costs_one_window_at_most() -> None:
    (_, event), *_ = run(VADStateMachine(), [(0.0, 0.0)] * 10 + [(0.95, 0.7)] * 10)
    assert event.at <= 11 * WINDOW + 1e-9


def test_a_gap_in_the_stream_is_not_speech() -> None:
    machine = VADStateMachine()
    assert machine.update(*VOICE, now=1.0) is None
    assert machine.update(*VOICE, now=9.0) is None
    assert machine.state is VADState.STARTING


def test_silence_after_a_gap_ends_speech_at_its_last_window() -> None:
    machine = VADStateMachine()
    run(machine, [VOICE] * 10)
    assert machine.update(*QUIET, now=5.0) == VADEvent(VADKind.STOPPED, pytest.approx(10 * WINDOW))


def test_reset_begins_a_new_call() -> None:
    machine = VADStateMachine()
    run(machine, [VOICE] * 10)
    machine.reset()
    assert machine.state is VADState.QUIET
    assert machine.volume == 0
    assert [event.kind for _, event in run(machine, [VOICE] * 10)] == [VADKind.STARTED]


unit = st.floats(0, 1)
any_window = st.one_of(st.just(VOICE), st.just(QUIET), st.tuples(unit, unit))
runs_of_windows = st.lists(st.tuples(any_window, st.integers(1, 30)), max_size=30)
any_params = st.builds(
    VADParams,
    confidence=st.floats(0.1, 1),
    start_secs=st.floats(0, 0.6),
    stop_secs=st.floats(0, 1),
    min_volume=st.floats(0.1, 1),
)


@given(runs=runs_of_windows, params=any_params)
def test_starts_and_stops_alternate_and_time_never_runs_back(
    runs: list[tuple[tuple[float, float], int]], params: VADParams
) -> None:
    windows = [window for window, count in runs for _ in range(count)]
    events = run(VADStateMachine(params), windows)
    assert [event.started for _, event in events] == [count % 2 == 0 for count in range(len(events))]
    dates = [event.at for _, event in events]
    assert dates == sorted(dates)
    assert all(event.at <= now for now, event in events)


@given(runs=runs_of_windows, params=any_params)
def test_no_start_before_start_secs_of_voice_and_no_stop_before_stop_secs_without(
    runs: list[tuple[tuple[float, float], int]], params: VADParams
) -> None:
    windows = [window for window, count in runs for _ in range(count)]
    for now, event in run(VADStateMachine(params), windows):
        sure = [
            confidence >= params.confidence
            for count, (confidence, _) in enumerate(windows, start=1)
            if event.at + 1e-6 < count * WINDOW <= now + 1e-6
        ]
        if event.started:
            assert sum(sure) * WINDOW >= params.start_secs * 0.6 - 1e-5
            assert now - event.at >= params.start_secs - 1e-5
            assert "    " not in "".join("v" if voice else " " for voice in sure)
        else:
            assert now - event.at >= params.stop_secs - 1e-5


@given(runs=runs_of_windows, confidence=unit)
def test_the_model_alone_never_makes_silence_speech(
    runs: list[tuple[tuple[float, float], int]], confidence: float
) -> None:
    silent = [(confidence, 0.0) for (confidence, _), count in runs for _ in range(count)]
    assert run(VADStateMachine(), [*silent, (confidence, 0.0)]) == []
