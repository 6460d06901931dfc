"""The verdict over one or several replays of a call: same or better, worse, or inconclusive. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from runner.callers.call_report import quantile
from runner.replay.comparison.facts import Facts
from runner.replay.comparison.findings import Finding, Floors, find

SAME_OR_BETTER, WORSE, INCONCLUSIVE = 0, 1, 3
"""Exit statuses; 2 is that of a wrong command."""

P95_FROM = 20
"""A p95 of fewer values would be their maximum under another name."""

SPEECH_WITHIN_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A call, and one or several calls that are to be like it.

    Attributes:
        doubts: why nothing can be said, in sentences.
        runs_with: in how many of the runs each finding occurs.
        notes: what the caller had to do otherwise than in the recorded call.
    """

    before: Facts
    after: tuple[Facts, ...]
    findings: tuple[Finding, ...]
    runs_with: tuple[int, ...] = ()
    doubts: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def status(self) -> int:
        """The exit status."""
        if self.doubts:
            return INCONCLUSIVE
        return SAME_OR_BETTER if all(each.better for each in self.findings) else WORSE

    @property
    def verdict(self) -> str:
        """In a word: "same", "better", "worse" or "inconclusive"."""
        if self.doubts:
            return "inconclusive"
        if not self.findings:
            return "same"
        return "better" if self.status == SAME_OR_BETTER else "worse"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "call": self.before.id,
            "replays": [facts.id for facts in self.after],
            "verdict": self.verdict,
            "status": self.status,
            "findings": [
                {**finding.as_dict(), "runs": count}
                for finding, count in zip(self.findings, self.runs_with, strict=True)
            ],
            "doubts": list(self.doubts),
            "notes": list(self.notes),
            "turn_latency": {"call": figures([self.before]), "replays": figures(self.after)},
        }


def compare(
    before: Facts,
    after: Sequence[Facts],
    *,
    floors: Floors | None = None,
    doubts: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> Comparison:
    """Compare a call with one or several runs. A difference counts if more than half of the runs have it."""
    every: dict[tuple[str, str, str], list[Finding]] = {}
    for facts in after:
        for finding in find(before, facts, floors):
            every.setdefault(_same(finding), []).append(finding)
    kept = [found for found in every.values() if 2 * len(found) > len(after)]
    scattered = _scattered([found for found in every.values() if 2 * len(found) <= len(after)], len(after))
    found = [(each[len(each) // 2], len(each)) for each in kept] + scattered
    return Comparison(
        before=before,
        after=tuple(after),
        findings=tuple(finding for finding, _ in found),
        runs_with=tuple(count for _, count in found),
        doubts=(*doubts, *_doubts(before, after)),
        notes=tuple(notes),
    )


def _same(finding: Finding) -> tuple[str, str, str]:
    """What makes findings of different runs the same: times differ from run to run."""
    is_time = finding.kind in ("latency", "stop", "greeting")
    what = finding.what.partition(" in ")[0] if is_time else finding.kind
    return finding.kind, what, "" if is_time else finding.before + "→" + finding.after


def _scattered(found: Sequence[Sequence[Finding]], runs: int) -> list[tuple[Finding, int]]:
    """Words that are different in most runs, and each time others."""
    by_kind: dict[str, list[Finding]] = {}
    for each in found:
        for finding in each:
            if finding.kind in ("words", "understood", "tools"):
                by_kind.setdefault(finding.kind + finding.what, []).append(finding)
    usual = [each for each in by_kind.values() if 2 * len(each) > runs]
    return [
        (replace(each[0], after=" | ".join(dict.fromkeys(one.after for one in each))), min(len(each), runs))
        for each in usual
    ]


def _doubts(before: Facts, after: Sequence[Facts]) -> list[str]:
    """Why these calls cannot be compared."""
    found = []
    for facts in after:
        if facts.transport != before.transport:
            found.append(f"the calls are over {before.transport} and {facts.transport}")
        if before.speech_s and facts.speech_s and not _same_speech(before.speech_s, facts.speech_s):
            found.append(f"{before.id} and {facts.id} have different callers' sound")
    if not after:
        found.append("there is no replay to compare with")
    return list(dict.fromkeys(found))


def _same_speech(one: Sequence[float], other: Sequence[float]) -> bool:
    return len(one) == len(other) and all(
        abs(a - b) <= SPEECH_WITHIN_S for a, b in zip(one, other, strict=True)
    )


def figures(calls: Sequence[Facts]) -> dict[str, float | int | None]:
    """The turn latencies of these calls (s); a p95 only of twenty values and more."""
    seconds = sorted(answer.silence_s for facts in calls for answer in facts.answers)
    return {
        "n": len(seconds),
        "p50_s": round(quantile(seconds, 0.5), 4) if seconds else None,
        "p95_s": round(quantile(seconds, 0.95), 4) if len(seconds) >= P95_FROM else None,
    }
