"""pytest's plugin: which scenarios are tests, what it imports, and what a failure shows."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

SUPPORT = Path(__file__).parent / "support"
# An environment that was installed before the plugin existed knows it by its module only.
LOAD = () if entry_points(group="pytest11", name="botrun") else ("-p", "runner.pytest_plugin")

SCENARIO = """
steps:
  - wait_for_silence
  - hang_up
"""

BOT = """
import sys
sys.path.insert(0, {support!r})
from replay_bots import REPLIES, ReplayBot

async def bot(runner_args):
    await ReplayBot()(runner_args)
"""


def test_only_scenarios_under_the_named_paths_are_collected(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nbotrun_scenarios = tests/calls tests/one.yaml\n")
    for name in (
        "tests/calls/a.yaml",
        "tests/calls/deep/b.yml",
        "tests/one.yaml",
        "tests/data.yaml",
        "c.yaml",
    ):
        path = pytester.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(SCENARIO)
    done = pytester.runpytest_subprocess(*LOAD, "--collect-only", "-q")
    collected = sorted(line for line in done.outlines if "::" in line)
    assert collected == ["tests/calls/a.yaml::a", "tests/calls/deep/b.yml::b", "tests/one.yaml::one"]


def test_nothing_heavy_is_imported_until_it_is_used() -> None:
    heavy = {"numpy", "websockets", "starlette", "yaml", "runner.testing", "runner.callers", "pipecat"}
    code = f"import sys, runner.pytest_plugin; print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_scenario_without_a_bot_says_what_to_write(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nbotrun_scenarios = calls\n")
    path = pytester.mkdir("calls") / "lost.yaml"
    path.write_text(SCENARIO)
    done = pytester.runpytest_subprocess(*LOAD)
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*names no bot: write `bot: FILE` into it, or set botrun_bot*"])


@pytest.mark.realtime
@pytest.mark.timeout(120)
def test_a_scenario_and_the_fixture_call_a_real_bot(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOTRUN_RECORD", "1")
    pytester.makeini("[pytest]\nbotrun_scenarios = calls\nasyncio_mode = auto\n")
    (pytester.path / "my_bot.py").write_text(BOT.format(support=str(SUPPORT)))
    (pytester.mkdir("calls") / "greets.yaml").write_text(
        "bot: ../my_bot.py\nsteps:\n  - wait_for_silence\n  - expect: {words: Good evening, within: 1s}\n"
    )
    pytester.makepyfile(
        test_greeting="""
        async def test_the_bot_greets_and_answers(caller, tmp_path):
            import wave
            path = tmp_path / "words.wav"
            with wave.open(str(path), "wb") as file:
                file.setnchannels(1); file.setsampwidth(2); file.setframerate(8000)
                file.writeframes((b"\\x00\\x20" * 8 + b"\\x00\\xe0" * 8) * 400)
            async with caller("my_bot.py", transport="telnyx") as phone:
                reply = await phone.hear()
                assert "hello there" in reply.text.lower()
                await phone.say(wav=path)
                reply = await phone.hear()
                assert "let me look" in reply.text.lower()
                assert reply.latency_s < 3
            assert phone.report.violations == ()
            assert phone.record is not None
        """
    )
    done = pytester.runpytest_subprocess(*LOAD, "-p", "no:randomly", "--junitxml=junit.xml")
    done.assert_outcomes(passed=1, failed=1)
    done.stdout.fnmatch_lines(
        ["*greets.yaml:4: the bot did not say 'Good evening': *hello there caller*", "*botrun show *"]
    )
    junit = (pytester.path / "junit.xml").read_text()
    assert junit.count('name="botrun_record"') == 2
