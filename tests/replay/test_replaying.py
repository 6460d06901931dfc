"""Recorded calls made again in virtual time, over the four wires: the same on unchanged code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from phone_bots import PHONES
from replay_bots import REPLIES, CutGoodbye, ReplayBot, record_call

from runner.playback.bot import with_recorded_services
from runner.records.call import RecordedCall
from runner.replay.clip import When, clip_of
from runner.replay.comparison.facts import facts_of
from runner.replay.comparison.verdict import Comparison
from runner.replay.run import Replayed, ReplayRequest, call_in_process, compared, speech_s
from runner.testing import run_virtual


def replay(
    record: RecordedCall, bot: ReplayBot, *, services: str = "live", mode: str = "turns"
) -> tuple[Replayed, Comparison]:
    """The recorded caller calls this bot, in virtual time."""
    loaded = bot.loaded()
    if services == "recorded":
        loaded = with_recorded_services(loaded, record.path)
    request = ReplayRequest(record=record, folder=record.path.parent, mode=mode, services=services)
    clip = clip_of(record)
    replayed = run_virtual(call_in_process(request, clip, loaded), 600)
    return replayed, compared(facts_of(record, speech_s(clip)), [replayed])


def sentences(comparison: Comparison) -> list[str]:
    return [finding.sentence for finding in comparison.findings]


@pytest.mark.parametrize(
    ("provider", "services"),
    [*((provider, "live") for provider in PHONES), ("twilio", "recorded"), ("exotel", "recorded")],
)
def test_a_call_with_interruption_key_and_tool_is_the_same_again(
    provider: str, services: str, tmp_path: Path
) -> None:
    record = record_call(ReplayBot(), tmp_path / "calls", provider)
    bot = ReplayBot()
    replayed, comparison = replay(record, bot, services=services)
    assert comparison.verdict == "same", sentences(comparison)
    assert replayed.notes == []
    assert bot.tool_calls == ([2] if services == "live" else [])
    before, (after,) = comparison.before, comparison.after
    assert before.interruptions == after.interruptions == 1
    whole = [[line.text for line in each.said("bot") if not line.interrupted] for each in (before, after)]
    assert whole[0] == whole[1]
    assert len(whole[0]) == 4
    assert [line.text for line in before.said("caller")] == [line.text for line in after.said("caller")]
    for old, new in zip(before.answers, after.answers, strict=True):
        assert new.silence_s == pytest.approx(old.silence_s, abs=0.03)


def test_twice_with_recorded_services_is_identical(tmp_path: Path) -> None:
    record = record_call(ReplayBot(), tmp_path / "calls")
    runs = [without_ids(replay(record, ReplayBot(), services="recorded")[0].path) for _ in range(2)]
    assert runs[0] == runs[1]
    assert len(runs[0]) > 50


def without_ids(path: Path) -> list[dict[str, Any]]:
    """The events of a call; log lines name the session."""
    lines = [json.loads(line) for line in (path / "events.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] != "log"]


def test_the_exact_mode_sends_media_and_keys_at_their_times(tmp_path: Path) -> None:
    record = record_call(ReplayBot(), tmp_path / "calls")
    replayed, comparison = replay(record, ReplayBot(), mode="exact")
    assert comparison.verdict == "same", sentences(comparison)
    sent = [line.t for line in RecordedCall(replayed.path).wire if line.inbound and line.has_media]
    recorded = [line.t for line in record.wire if line.inbound and line.has_media]
    assert sent == pytest.approx(recorded[: len(sent)], abs=0.005)
    assert len(sent) >= len(recorded) - 2


def test_the_caller_waits_for_a_bot_that_answers_later_and_says_more(tmp_path: Path) -> None:
    record = record_call(ReplayBot(), tmp_path / "calls")
    longer = list(REPLIES)
    longer[3] = "You pressed a key. Is that really all, or do you want to hear about the wine that we have?"
    replayed, comparison = replay(record, ReplayBot(replies=tuple(longer), voice_s=1.5))
    assert replayed.notes == []
    after = comparison.after[0]
    assert after.interruptions == 1
    assert after.said("caller")[-1].text == "that is all"
    assert {finding.kind for finding in comparison.findings} >= {"words", "latency"}


# ------------------------------------------------------------------ one planted change


def test_another_prompt_is_named_alone(tmp_path: Path) -> None:
    record = record_call(ReplayBot(), tmp_path / "calls")
    other = list(REPLIES)
    other[3] = "A key was pressed. Is that all?"
    _, comparison = replay(record, ReplayBot(replies=tuple(other)))
    assert [(finding.kind, finding.better) for finding in comparison.findings] == [("words", False)]
    assert "“A key was pressed. Is that all?”" in sentences(comparison)[0]
    assert comparison.status == 1


def test_another_result_of_a_tool_is_named_alone(tmp_path: Path) -> None:
    record = record_call(ReplayBot(), tmp_path / "calls")
    _, comparison = replay(record, ReplayBot(tool_result={"table": 9}))
    assert sentences(comparison) == ['find_table answered: {"table": 4} → {"table": 9}']


def test_a_slower_voice_is_named_alone(tmp_path: Path) -> None:
    record = record_call(ReplayBot(), tmp_path / "calls")
    _, comparison = replay(record, ReplayBot(voice_s=0.46))
    latencies = [finding for finding in comparison.findings if finding.kind != "greeting"]
    assert [finding.kind for finding in latencies] == ["latency"], sentences(comparison)
    assert latencies[0].what.startswith("voice first sound")
    assert not latencies[0].better


def test_a_faster_recogniser_is_better(tmp_path: Path) -> None:
    record = record_call(ReplayBot(hears_s=0.6), tmp_path / "calls")
    _, comparison = replay(record, ReplayBot())
    assert comparison.verdict == "better"
    assert [finding.what.partition(" in ")[0] for finding in comparison.findings] == ["recogniser"]
    assert comparison.status == 0


def test_a_cut_goodbye_is_named_alone(tmp_path: Path) -> None:
    record = record_call(ReplayBot(), tmp_path / "calls")
    _, comparison = replay(record, ReplayBot(ending=CutGoodbye))
    assert [finding.kind for finding in comparison.findings] == ["sound"], sentences(comparison)
    assert "for calling us today" in comparison.findings[0].after
    assert comparison.status == 1


def test_the_clip_says_what_the_caller_waited_for(tmp_path: Path) -> None:
    record = record_call(ReplayBot(), tmp_path / "calls")
    actions = clip_of(record).actions
    assert [(action.what, action.when) for action in actions] == [
        ("speech", When.SILENCE),
        ("speech", When.OVER),
        ("key", When.SILENCE),
        ("speech", When.SILENCE),
        ("wait_for_hang_up", When.SILENCE),
    ]
