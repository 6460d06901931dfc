"""A recorded call becomes a scenario: its sound, its steps, and what is expected."""

from __future__ import annotations

import asyncio
import re
import wave
from pathlib import Path

import pytest
from replay_bots import REPLIES, ReplayBot, record_call

from runner.callers.call import CallRequest, CallResult, make_call
from runner.callers.scenario import load_scenario
from runner.callers.scenario.steps import Expect, PlayWav, Press, SpeakOver
from runner.errors import UsageError
from runner.replay.pin import pin

SUPPORT = Path(__file__).parents[1] / "support"


def test_a_pinned_call_has_the_callers_sound_and_what_happened(tmp_path: Path) -> None:
    record = record_call(ReplayBot(), tmp_path / "calls")
    written = pin(record, tmp_path / "tests" / "table.yaml", bot=str(tmp_path / "my_bot.py"))
    scenario = load_scenario(written[0])
    assert scenario.transport == "twilio"
    assert scenario.bot is not None
    assert scenario.bot.resolve() == tmp_path / "my_bot.py"
    spoken = [step for step in scenario.steps if isinstance(step, PlayWav | SpeakOver | Press)]
    assert [type(step) for step in spoken] == [PlayWav, SpeakOver, Press, PlayWav]
    assert isinstance(spoken[1], SpeakOver)
    assert spoken[1].after_s == pytest.approx(3.3, abs=0.3)
    lengths = []
    for path in written[1:]:
        with wave.open(str(path)) as file:
            lengths.append(file.getnframes() / file.getframerate())
    assert lengths == pytest.approx([0.9 + 0.35, 0.7 + 0.35, 0.8 + 0.35], abs=0.06)
    expected = [step for step in scenario.steps if isinstance(step, Expect)]
    assert [step.tools for step in expected if step.tools] == [("find_table",)]
    assert [step.understood for step in expected if step.understood] == [
        ("a table please",),
        ("wait a moment",),
        ("that is all",),
    ]
    assert any(step.hangs_up for step in expected)
    assert any("You pressed a key. Is that all?" in step.words for step in expected)


def test_a_file_that_exists_is_not_overwritten(tmp_path: Path) -> None:
    record = record_call(ReplayBot(), tmp_path / "calls")
    path = tmp_path / "table.yaml"
    path.write_text("steps: [hang_up]\n")
    with pytest.raises(UsageError, match=r"table\.yaml exists"):
        pin(record, path)
    assert path.read_text() == "steps: [hang_up]\n"


@pytest.mark.realtime
@pytest.mark.timeout(150)
def test_a_pinned_call_fails_before_and_passes_after_a_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOTRUN_RECORD", "1")
    monkeypatch.chdir(tmp_path)
    wrong = (*REPLIES[:3], "You pressed no key.", *REPLIES[4:])
    record = record_call(ReplayBot(replies=wrong), tmp_path / "calls")
    path, *_ = pin(record, tmp_path / "pinned" / "key.yaml", bot=str(tmp_path / "my_bot.py"))
    edited = path.read_text().replace("You pressed no key.", "You pressed a key.")
    # The call was recorded in virtual time; this machine may be busy.
    path.write_text(re.sub(r"(greeting|answer)_within: [\d.]+s", r"\1_within: 20s", edited))
    before, after = (call(tmp_path, path, reply) for reply in (wrong[3], REPLIES[3]))
    assert [outcome.sentence.partition(":")[0] for outcome in before.outcomes if not outcome.met] == [
        "the bot did not say 'You pressed a key.'"
    ]
    assert after.met, [outcome.sentence for outcome in after.outcomes if not outcome.met]


def call(folder: Path, path: Path, reply: str) -> CallResult:
    """The pinned call, with a bot that says this about the key."""
    (folder / "my_bot.py").write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(SUPPORT)!r})\n"
        "from replay_bots import REPLIES, ReplayBot\n"
        "async def bot(runner_args):\n"
        f"    await ReplayBot(replies=(*REPLIES[:3], {reply!r}, *REPLIES[4:]))(runner_args)\n"
    )
    scenario = load_scenario(path)
    return asyncio.run(make_call(CallRequest(provider="twilio", file=str(scenario.bot), scenario=scenario)))
