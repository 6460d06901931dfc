"""`botrun call`, as it is typed: the bot in a process of its own, the report, the exit status."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import wave
from pathlib import Path

import psutil
import pytest
from phone_bots import tone

from runner.callers.scenario.steps import Expect, Say, Step, WaitForSilence
from runner.cli.call import ANSWER_WITHIN_S, _plan
from runner.cli.program import run_program

ROOT = Path(__file__).parents[2]
ECHO = str(ROOT / "bots" / "echo_bot.py")

GOODBYE_BOT = """
from phone_bots import CountedBot

bot_of_fakes = CountedBot(greeting="hello there.", replies=("one two.", "Goodbye now."))

async def bot(runner_args):
    await bot_of_fakes(runner_args)
"""


@pytest.fixture
def goodbye_bot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests" / "support"))
    path = tmp_path / "goodbye_bot.py"
    path.write_text(GOODBYE_BOT)
    with wave.open(str(tmp_path / "words.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(tone(0.4, 16000))
    return str(path)


def scenario(folder: Path, *steps: str) -> str:
    path = folder / "scenario.yaml"
    path.write_text("steps:\n" + "".join(f"  - {step}\n" for step in steps))
    return str(path)


def call(*args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "runner.cli", "call", *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=50, cwd=ROOT, check=False)


FAULTS = [
    ([ECHO, "--url", "ws://127.0.0.1:1/ws"], "FILE and --url are both given"),
    ([ECHO, "--param", "novalue"], "expected KEY=VALUE"),
    (["--url", "http://127.0.0.1/ws"], "not a WebSocket address"),
    ([ECHO, "-t", "twillio"], "is not a phone provider (twilio, telnyx, plivo, exotel)"),
    (["absent.py"], "there is no file absent.py"),
    ([ECHO, "--scenario", "ordinry"], "there is no 'ordinry'"),
    ([ECHO, "--scenario", "absent.yaml"], "absent.yaml cannot be read"),
    ([ECHO, "--wav", "absent.wav"], "absent.wav cannot be read"),
    ([ECHO, "--wav", ECHO], "is not a WAV file"),
    ([ECHO, "--wav", "a.wav", "--say", "b"], "--wav and --say: give only one of them"),
    ([ECHO, "--loss", "101"], "--loss: expected a number from 0 to 100"),
    ([ECHO, "--nosie", "3"], "--nois"),
]


@pytest.mark.parametrize(("args", "sentence"), FAULTS, ids=[sentence for _, sentence in FAULTS])
def test_an_impossible_option_is_reported_in_one_line(
    args: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_program(["call", *args]) == 2
    out, output = capsys.readouterr()
    assert sentence in output
    assert output.startswith("botrun: ")
    assert (output.count("\n"), out) == (1, "")


def test_the_scenarios_that_come_along_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_program(["call", "--list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) >= 12


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from runner.cli.program import run_program; run_program(['call', '--help']);"
        "print('LOADED', sorted({'numpy', 'websockets', 'yaml', 'fastapi'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert "LOADED []" in result.stdout


@pytest.mark.processes
def test_a_call_is_shown_as_it_goes_and_kept(goodbye_bot: str, tmp_path: Path) -> None:
    plan = scenario(
        tmp_path,
        "wait_for_silence: 300ms",
        "wav: words.wav",
        "expect: {answer_within: 3s, words: one two}",
        "wait_for_silence: 300ms",
        "wav: words.wav",
        "expect: {hangs_up: true, words: goodbye, violations: 0}",
    )
    kept = tmp_path / "kept"
    done = call(goodbye_bot, "-t", "telnyx", "--scenario", plan, "--save", str(kept))
    assert done.returncode == 0, done.stdout + done.stderr
    for text in (
        "hello there.",
        "caller  words.wav",
        "Goodbye now.",
        "the bot hung up",
        "(n=2)",
        "✓ scenario.yaml:4",
    ):
        assert text in done.stdout
    assert "\x1b" not in done.stdout
    with wave.open(str(kept / "call.wav")) as file:
        assert (file.getnchannels(), file.getframerate()) == (2, 8000)
        assert file.getnframes() > 3 * 8000
    messages = [json.loads(line) for line in (kept / "messages.jsonl").read_text().splitlines()]
    assert json.loads(messages[0]["message"])["event"] == "connected"
    assert {message["to"] for message in messages} == {"bot", "phone"}
    assert json.loads((kept / "report.json").read_text())["met"] is True


@pytest.mark.processes
def test_an_expectation_that_is_not_met_is_the_exit_status(goodbye_bot: str, tmp_path: Path) -> None:
    plan = scenario(tmp_path, "expect: {words: something else, within: 500ms}", "hang_up")
    done = call(goodbye_bot, "--scenario", plan, "--json")
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert report["met"] is False
    assert report["expectations"][0]["at"] == "scenario.yaml:2"
    assert "did not say 'something else'" in report["expectations"][0]["seen"]
    assert report["ended_by"] == "caller"


@pytest.mark.processes
def test_a_bot_that_fails_to_load_is_reported_as_botrun_reports_it(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text("import json\njson.loads('{')\n")
    done = call(str(path), "--scenario", scenario(tmp_path, "wait: 1s"))
    assert done.returncode == 1
    assert "botrun: " in done.stderr
    assert "broken.py:2" in done.stderr


@pytest.mark.processes
def test_a_bot_that_fails_in_the_call_is_a_failed_call(tmp_path: Path) -> None:
    path = tmp_path / "failing.py"
    path.write_text("async def bot(runner_args):\n    raise RuntimeError('no')\n")
    plan = scenario(tmp_path, "wait: 1s")
    done = call(str(path), "--scenario", plan)
    assert done.returncode == 1
    assert "failing.py:2: RuntimeError: no" in done.stdout


@pytest.mark.processes
def test_a_phone_that_is_killed_leaves_no_bot_behind(goodbye_bot: str, tmp_path: Path) -> None:
    plan = scenario(tmp_path, "stay_silent: 30s")
    command = [sys.executable, "-m", "runner.cli", "call", goodbye_bot, "--scenario", plan]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as phone:
        assert phone.stdout is not None
        while "answered" not in phone.stdout.readline():
            pass
        bots = psutil.Process(phone.pid).children()
        assert len(bots) == 1
        os.kill(phone.pid, signal.SIGKILL)
    if sys.platform == "linux":
        gone, left = psutil.wait_procs(bots, timeout=5)
        assert (len(gone), left) == (1, [])


@pytest.mark.processes
def test_ctrl_c_hangs_up_and_leaves_no_bot_behind(goodbye_bot: str, tmp_path: Path) -> None:
    plan = scenario(tmp_path, "stay_silent: 30s")
    command = [sys.executable, "-m", "runner.cli", "call", goodbye_bot, "--scenario", plan]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as phone:
        assert phone.stdout is not None
        while "answered" not in phone.stdout.readline():
            pass
        bots = psutil.Process(phone.pid).children()
        phone.send_signal(signal.SIGINT)
        assert phone.wait(10) == 130  # long before its 30 s of silence are over
    assert psutil.wait_procs(bots, timeout=1)[1] == []


@pytest.mark.processes
def test_typed_lines_are_keys_and_the_end(goodbye_bot: str) -> None:
    command = [sys.executable, "-m", "runner.cli", "call", goodbye_bot, "--type"]
    typed = "/press 1\n/help\n/hangup\n"
    done = subprocess.run(
        command, input=typed, capture_output=True, text=True, timeout=40, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "caller  presses 1" in done.stdout
    assert "caller  hangs up" in done.stdout


@pytest.mark.processes
def test_a_caller_may_cut_in_before_the_bot_has_said_a_word(goodbye_bot: str, tmp_path: Path) -> None:
    pytest.importorskip(
        "espeakng_loader", reason="needs the local ears and voice: pip install 'botrun[local]'"
    )
    plan = scenario(
        tmp_path, "interrupt: {after: 200ms, say: Stop!}", "expect: {stops_within: 2s}", "hang_up"
    )
    done = call(goodbye_bot, "--scenario", plan)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "✓ scenario.yaml:3  the bot fell silent after" in done.stdout


def test_each_thing_that_is_said_must_be_answered() -> None:
    plan = _plan(None, None, ["hello", "goodbye"])
    wanted: list[Step] = [Say(text="hello"), Expect(answer_within_s=ANSWER_WITHIN_S)]
    wanted += [Say(text="goodbye"), Expect(answer_within_s=ANSWER_WITHIN_S)]
    assert [step for step in plan.steps if not isinstance(step, WaitForSilence)] == wanted


PRINTING_BOT = """
import sys
print("at import")
sys.stdout.write("a progress bar without an end of line")
from phone_bots import CountedBot

class Bot(CountedBot):
    async def __call__(self, runner_args):
        print("")
        print("[bold]the call begins", "x" * 100_000)
        await super().__call__(runner_args)
        print("the call is over")

the_bot = Bot(greeting="hello there.", replies=("one two.", "Goodbye now."))

async def bot(runner_args):
    await the_bot(runner_args)
"""


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["terminal", "json"])
@pytest.mark.processes
def test_what_the_bot_prints_is_shown_marked_and_in_order(
    options: list[str], goodbye_bot: str, tmp_path: Path
) -> None:
    path = Path(goodbye_bot).with_name("printing_bot.py")
    path.write_text(PRINTING_BOT)
    done = call(str(path), "--scenario", scenario(tmp_path, "wait_for_silence: 300ms", "hang_up"), *options)
    assert done.returncode == 0, done.stdout + done.stderr
    if options:
        shown = [(line["who"], line["text"]) for line in json.loads(done.stdout)["conversation"]]
    else:
        lines = (line for line in done.stdout.splitlines() if line[:7].strip().replace(".", "").isdigit())
        shown = [(line[9:16].strip(), line[17:]) for line in lines]
    wanted = [
        ("print", "at import"),
        ("print", "a progress bar without an end of line"),
        ("phone", "twilio call"),
        ("print", "[bold]the call begins xxx"),
        ("bot", "hello there."),
        ("caller", "hangs up"),
        ("print", "the call is over"),
    ]
    places = [
        next(i for i, (who, text) in enumerate(shown) if who == w and text.startswith(t)) for w, t in wanted
    ]
    assert places == sorted(places), shown
    assert len(shown[places[3]][1]) > 100_000
    assert shown[1] == ("print", "a progress bar without an end of line")
    assert not any("transports" in text for _, text in shown)


@pytest.mark.processes
def test_numbers_and_parameters_of_the_call_are_sent(goodbye_bot: str, tmp_path: Path) -> None:
    steps = scenario(tmp_path, "wait: 200ms", "hang_up")
    numbers = ("--from", "+4930123", "--to", "+4930456", "--param", "plan=gold=1")
    done = call(goodbye_bot, "-t", "telnyx", "--scenario", steps, *numbers, "--save", str(tmp_path / "kept"))
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "kept" / "messages.jsonl").read_text().splitlines()
    sent = [json.loads(json.loads(line)["message"]) for line in lines[:2]]
    start = sent[1]["start"]
    assert (start["from"], start["to"]) == ("+4930123", "+4930456")
    assert start["custom_parameters"] == {"plan": "gold=1"}


NUMBERS_BOT = """
from phone_bots import CountedBot

class Bot(CountedBot):
    async def __call__(self, runner_args):
        print("numbers", runner_args.from_number, runner_args.to_number)
        await super().__call__(runner_args)

the_bot = Bot(greeting="hello there.")

async def bot(runner_args):
    await the_bot(runner_args)
"""


@pytest.mark.parametrize("provider", ["twilio", "telnyx", "plivo", "exotel"])
@pytest.mark.processes
def test_the_bot_learns_the_numbers_of_the_call(provider: str, goodbye_bot: str, tmp_path: Path) -> None:
    path = Path(goodbye_bot).with_name("numbers_bot.py")
    path.write_text(NUMBERS_BOT)
    steps = scenario(tmp_path, "wait: 200ms", "hang_up")
    done = call(str(path), "-t", provider, "--scenario", steps, "--from", "+4930123", "--to", "+4930456")
    assert "numbers +4930123 +4930456" in done.stdout, done.stdout + done.stderr


@pytest.mark.processes
def test_a_full_disk_is_one_sentence(goodbye_bot: str, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "call.wav").symlink_to("/dev/full")
    done = call(goodbye_bot, "--scenario", scenario(tmp_path, "wait: 200ms", "hang_up"), "--save", str(kept))
    assert done.returncode == 1
    assert "--save: cannot write to" in done.stderr
    assert "Traceback" not in done.stderr
