"""Baselines: only like runs are compared, small growth is noise, and a missing figure is the worst."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from runner.errors import UsageError
from runner.replay.baseline import Baseline, Conditions, load, regressions, save, unlike

CONDITIONS = Conditions(scenario="time", scenario_sha256="ab", transport="twilio", line={"seed": 1})


def baseline(runs: int = 5, **figures: float | None) -> Baseline:
    usual = {"turn_p50_ms": 600.0, "stop_p50_ms": 200.0, "failed_share": 0.0, "underruns": 0.0}
    return Baseline(conditions=CONDITIONS, runs=runs, figures={**usual, **figures})


@pytest.mark.parametrize(("ms", "worse"), [(670.0, []), (700.0, [True]), (400.0, [False])])
def test_a_figure_may_grow_a_little(ms: float, worse: list[bool]) -> None:
    found = regressions(baseline(), baseline(turn_p50_ms=ms))
    assert [each.worse for each in found] == worse


def test_a_missing_figure_is_the_worst_regression() -> None:
    found = regressions(baseline(), baseline(turn_p50_ms=2000.0, stop_p50_ms=None))
    assert [each.figure for each in found] == ["stop_p50_ms", "turn_p50_ms"]
    assert found[0].sentence == "stop_p50_ms: 200 ms → nothing"
    assert all(each.worse for each in found)


def test_a_p95_needs_twenty_values_on_both_sides() -> None:
    assert regressions(baseline(runs=9, turn_p95_ms=900.0), baseline(runs=3)) == []
    assert regressions(baseline(), baseline(turn_p95_ms=900.0)) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"scenario_sha256": "cd"}, "the scenario time has changed since"),
        ({"transport": "plivo"}, "the baseline is over twilio, these calls are over plivo"),
        ({"line": {"seed": 2}}, "the line's impairment or its seed is another"),
    ],
)
def test_unlike_runs_are_refused(change: dict[str, object], sentence: str) -> None:
    other = replace(baseline(), conditions=replace(CONDITIONS, **change))  # type: ignore[arg-type]
    assert list(unlike(baseline(), other)) == [sentence]


def test_too_few_runs_prove_nothing() -> None:
    assert list(unlike(baseline(), baseline(runs=2))) == ["there are only 2 runs, and 3 are needed"]


def test_a_baseline_is_read_as_it_was_written(tmp_path: Path) -> None:
    kept = baseline(turn_p95_ms=None)
    save(kept, tmp_path / "deep" / "time-twilio.json")
    assert load(tmp_path / "deep" / "time-twilio.json") == kept
    with pytest.raises(UsageError, match="botrun baseline update writes it"):
        load(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("[]")
    with pytest.raises(UsageError, match="is not a baseline"):
        load(tmp_path / "bad.json")
