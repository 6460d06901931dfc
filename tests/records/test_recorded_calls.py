"""Whole calls in virtual time, and what their records hold."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest
from phone_bots import PHONES, CountedBot, Served, tone
from recorded_calls import only_call, recorded

from runner.callers.call import new_wire
from runner.callers.call_report import measure
from runner.callers.phone import Phone
from runner.callers.sound.line import Line
from runner.callers.sound.microphone import Manner
from runner.records.answers import SEGMENTS
from runner.records.call import RecordedCall
from runner.records.folder import NoRecordError
from runner.records.private import Privacy
from runner.records.writer import CallRecord
from runner.sessions import recording
from runner.testing import run_virtual
from runner.transports import tape

WITHIN_S = 0.02
Script = Callable[[Phone, CountedBot], Awaitable[None]]


@pytest.fixture(autouse=True)
def room_for_calls_in_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """In virtual time a call is over before the writer's thread looks the first time."""
    monkeypatch.setattr(tape, "MOST_ITEMS", 100_000)
    monkeypatch.setattr(tape, "MOST_BYTES", 1 << 30)


async def speak(phone: Phone, seconds: float = 0.6, manner: Manner = Manner.TURN) -> None:
    utterance = phone.say(tone(seconds), 8000, "words", manner)
    assert await phone.until(lambda: utterance.done, 10)


async def bot_spoke(phone: Phone, times: int) -> None:
    spoke = await phone.until(lambda: len(phone.speech.spans) >= times and phone.bot_quiet_s() > 0.5, 20)
    assert spoke or phone.ended.is_set(), phone.speech.spans


async def two_turns(phone: Phone, bot: CountedBot) -> None:
    await bot_spoke(phone, 1)
    await speak(phone)
    await bot_spoke(phone, 2)
    await speak(phone)
    await bot_spoke(phone, 3)


def call(
    bot: CountedBot,
    folder: Path,
    script: Script,
    provider: str = "twilio",
    line: Line | None = None,
    **settings: str,
) -> tuple[Phone, RecordedCall]:
    """One call; the phone and the record, when it is over."""

    async def run() -> Phone:
        async with recorded(bot, folder, **settings) as served, served.phone(provider, line=line) as phone:
            await script(phone, bot)
        return phone

    return run_virtual(run(), 120), only_call(folder)


# ------------------------------------------------------------------ the wire


@pytest.mark.parametrize("provider", PHONES)
def test_every_message_can_be_put_together_again(provider: str, tmp_path: Path) -> None:
    phone, record = call(CountedBot(), tmp_path, two_turns, provider)
    media = {side: record.media(side)[0] for side in ("inbound", "outbound")}
    mine = [line.original(media["inbound"]) for line in record.wire if line.inbound]
    facts = phone.wire.facts
    hide = Privacy(numbers=(facts.from_number, facts.to_number)).clean
    sent = [hide(message.text) for message in phone.log.messages if message.to_bot]
    assert mine == sent[: len(mine)]
    assert len(sent) - len(mine) <= 2  # what was on its way when the call ended
    answers = [line.original(media["outbound"]) for line in record.wire if not line.inbound]
    assert answers == [message.text for message in phone.log.messages if not message.to_bot]


@pytest.mark.parametrize("provider", PHONES)
def test_the_bots_channel_is_what_the_caller_heard(provider: str, tmp_path: Path) -> None:
    phone, record = call(CountedBot(), tmp_path, two_turns, provider)
    heard = np.frombuffer(phone.playout.recording(), "<i2")
    mine, theirs = record.sound.bot, np.trim_zeros(heard)
    begin = np.flatnonzero(mine)[0]
    assert len(theirs) > 8000
    # Between two utterances the clocks of both sides may differ by a message.
    first = theirs[: np.flatnonzero(theirs == 0)[0] if np.any(theirs == 0) else None]
    assert np.array_equal(mine[begin : begin + len(first)], first)
    assert np.count_nonzero(mine) == np.count_nonzero(heard)


def test_what_an_interruption_took_back_is_not_in_the_sound(tmp_path: Path) -> None:
    async def cut_in(phone: Phone, bot: CountedBot) -> None:
        await phone.until(phone.bot_has_spoken, 10)
        await asyncio.sleep(0.7)
        await speak(phone, 0.5, Manner.INTERRUPTION)
        await asyncio.sleep(0.5)

    words = " ".join(f"word{n}" for n in range(16)) + "."
    phone, record = call(CountedBot(greeting=words, replies=("yes.",)), tmp_path, cut_in)
    heard = np.count_nonzero(np.frombuffer(phone.playout.recording(), "<i2"))
    assert abs(np.count_nonzero(record.sound.bot) - heard) <= 8000 * 0.04
    assert record.head["figures"]["interruptions"] == 1
    assert any(word.interrupted for word in record.words)


def test_the_callers_channel_is_what_was_said_however_late_it_came(tmp_path: Path) -> None:
    bot = CountedBot(replies=("yes.",), greeting="")

    async def say(phone: Phone, bot: CountedBot) -> None:
        await asyncio.sleep(1)
        await speak(phone, 1.0)
        await asyncio.sleep(2)

    line = Line(jitter_ms=150, seed=3)
    _, record = call(bot, tmp_path, say, line=line)
    loud = np.flatnonzero(np.abs(record.sound.caller.astype(int)) > 1000)
    assert (loud[-1] - loud[0]) / 8000 == pytest.approx(1.0, abs=0.01)


# ------------------------------------------------------------------ answers


def test_the_segments_of_each_answer_add_up_to_the_silence_in_the_sound(tmp_path: Path) -> None:
    phone, record = call(CountedBot(), tmp_path, two_turns)
    assert len(record.answers) == 2
    for answer in record.answers:
        assert answer.measured == "sound"
        silence_s = silence_before(record, answer.to_s)
        assert sum(segment.seconds for segment in answer.segments) == pytest.approx(silence_s, abs=WITHIN_S)
        ends = [segment.to_s for segment in answer.segments]
        assert [segment.from_s for segment in answer.segments] == [answer.from_s, *ends[:-1]]
        names = [segment.name for segment in answer.segments]
        assert names == [name for name in SEGMENTS if name in names]
    report = measure(phone).turn_latency
    longest = max(answer.silence_s for answer in record.answers)
    assert report.p95_ms is not None
    assert longest == pytest.approx(report.p95_ms / 1000, abs=WITHIN_S + 0.02)


def silence_before(record: RecordedCall, at_s: float) -> float:
    """By another way than the record's own: from the last loud sample of the caller to the bot's first."""
    rate = record.sound.sample_rate
    near = round(at_s * rate)
    bot = (
        np.flatnonzero(np.abs(record.sound.bot[near - rate // 10 :].astype(int)) > 300)[0] + near - rate // 10
    )
    caller = np.flatnonzero(np.abs(record.sound.caller[:near].astype(int)) > 300)[-1]
    return float(bot - caller) / rate


def test_each_segment_is_what_its_service_took(tmp_path: Path) -> None:
    bot = CountedBot()
    bot_llm_s = 0.7

    async def slowly(phone: Phone, bot: CountedBot) -> None:
        await bot_spoke(phone, 1)
        bot.llm._first_s = bot_llm_s  # the scripted model's own delay
        bot.voice.first_s = 0.4
        await speak(phone)
        await bot_spoke(phone, 2)

    _, record = call(bot, tmp_path, slowly)
    took = {segment.name: segment.seconds for segment in record.answers[0].segments}
    assert took["llm_first_token"] == pytest.approx(bot_llm_s, abs=0.01)
    assert took["voice_first_sound"] == pytest.approx(0.4, abs=0.01)


# ------------------------------------------------------------------ the files


def test_only_the_user_can_read_a_record_and_git_ignores_it(tmp_path: Path) -> None:
    folder = tmp_path / ".botrun" / "calls"
    _, record = call(CountedBot(), folder, two_turns)
    assert (tmp_path / ".botrun" / ".gitignore").read_text() == "*\n"
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in record.path.iterdir()}
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE(record.path.stat().st_mode) == 0o700
    assert {"call.json", "events.jsonl", "wire.jsonl"} == set(modes)


def test_without_content_neither_sound_nor_words_are_kept(tmp_path: Path) -> None:
    _, record = call(CountedBot(), tmp_path, two_turns, record_content="none")
    everything = "".join(
        path.read_text() for path in record.path.iterdir() if path.suffix in (".json", ".jsonl")
    )
    for word in ("hello there", "four five", "words"):
        assert word not in everything
    assert {path.suffix for path in record.path.iterdir()} == {".json", ".jsonl"}
    assert len(record.answers) == 2
    assert record.answers[0].measured == "events"
    with pytest.raises(NoRecordError, match="without sound"):
        _ = record.sound


def test_keys_and_numbers_are_hidden_in_every_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret, number = "sk-abcdefgh-12345678", "+14155550123"
    monkeypatch.setenv("OPENAI_API_KEY", secret)
    bot = CountedBot(greeting=f"your key is {secret} ok.")

    async def run() -> None:
        wire = new_wire("twilio", {"authToken": "very-secret-token", "key": secret}, from_number=number)
        async with recorded(bot, tmp_path) as served, served.phone("twilio", wire=wire) as phone:
            await bot_spoke(phone, 1)

    run_virtual(run(), 60)
    record = only_call(tmp_path)
    for path in record.path.iterdir():
        text = path.read_bytes().decode("latin-1")
        assert secret not in text, path.name
        assert number not in text, path.name
        assert "very-secret-token" not in text, path.name


def test_the_record_says_when_media_can_flow(tmp_path: Path) -> None:
    _, record = call(CountedBot(), tmp_path, two_turns)
    kinds = [event["kind"] for event in record.events]
    assert kinds.count("connected") == 1
    assert kinds.index("connected") < kinds.index("bot_started")


def test_calls_beyond_the_most_are_not_recorded_and_that_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(recording, "MOST_RECORDED", 1)
    bot = CountedBot()

    async def run() -> None:
        async with recorded(bot, tmp_path) as served, served.phone("twilio"):
            await ring(served, bot)
            await ring(served, bot)

    run_virtual(run(), 60)
    only_call(tmp_path)
    assert len([line for line in caplog.messages if "some calls have no record" in line]) == 1


def test_a_call_that_goes_on_with_other_code_says_so(tmp_path: Path) -> None:
    bot = tmp_path / "my_bot.py"
    clock = [10.0]

    def write(resumed: bool, **ending: object) -> CallRecord:
        bot.write_text(f"version = {clock[0]}")
        head = {"schema": 1, "session": "w1-ab", "state": "running", "pid": os.getpid(), "pid_started": None}
        head |= {"media": {"inbound": None, "outbound": None}, "figures": None}
        new = CallRecord(
            tmp_path / "calls",
            head,
            tape.Tape(lambda: clock[0]),
            start=10.0,
            started=1.8e9,
            privacy=Privacy(),
            bot=bot,
            resumed=resumed,
        )
        new.finish(ending)
        assert new.flush()
        return new

    write(False, state="moved")
    clock[0] = 12.5
    write(True, state="ended", duration_s=3.0)
    record = only_call(tmp_path / "calls")
    (changed,) = [event for event in record.events if event["kind"] == "code_changed"]
    assert changed["t"] == 2.5
    assert [code["sha256"] for code in record.head["code"]][1] == changed["sha256"]
    assert len({code["sha256"] for code in record.head["code"]}) == 2


def test_nothing_is_recorded_where_nobody_asked(tmp_path: Path) -> None:
    bot = CountedBot()

    async def run() -> None:
        async with recorded(bot, tmp_path, record=False) as served, served.phone("twilio") as phone:
            await bot_spoke(phone, 1)

    run_virtual(run(), 60)
    assert list(tmp_path.iterdir()) == []


async def ring(served: Served, bot: CountedBot) -> None:
    async with served.phone("twilio") as phone:
        await bot_spoke(phone, 1)


def test_a_full_disk_stops_the_recording_with_one_message_and_no_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The system's own error: `/dev/full` refuses every write."""
    bot, opened = CountedBot(), os.open

    def open_full(path: str | os.PathLike[str], flags: int, mode: int = 0o777) -> int:
        if str(path).endswith("wire.jsonl"):
            return opened("/dev/full", os.O_WRONLY)
        return opened(path, flags, mode)

    monkeypatch.setattr(os, "open", open_full)

    async def run() -> None:
        async with recorded(bot, tmp_path) as served:
            await ring(served, bot)
            await ring(served, bot)

    run_virtual(run(), 60)
    stopped = [line for line in caplog.messages if line.startswith("recording stopped")]
    assert len(stopped) == 1
    assert "No space left on device" in stopped[0]
    assert len(bot.args) == 2
    assert len(bot.voice.said) == 1  # by the voice of the second call


def test_the_record_of_a_failure_says_where_it_was(tmp_path: Path) -> None:
    class Failing(CountedBot):
        async def __call__(self, args: object) -> None:
            raise ValueError("the planted fault")

    async def wait(phone: Phone, bot: CountedBot) -> None:
        await phone.until(phone.ended.is_set, 5)

    _, record = call(Failing(), tmp_path, wait)
    failure = record.head["failure"]
    assert failure["message"].startswith("ValueError: the planted fault")
    assert failure["file"].endswith("test_recorded_calls.py")
    assert failure["line"]
    assert record.summary.failed
    assert json.loads((record.path / "call.json").read_text())["end"]["reason"] == "BOT_FAILED"


def test_a_caller_whose_sound_stalls_is_an_event(tmp_path: Path) -> None:
    async def stall(phone: Phone, bot: CountedBot) -> None:
        await bot_spoke(phone, 1)
        send, phone._out.put = phone._out.put, lambda *args, **more: None  # type: ignore[method-assign]
        await asyncio.sleep(2)
        phone._out.put = send  # type: ignore[method-assign]
        await asyncio.sleep(1)

    _, record = call(CountedBot(), tmp_path, stall)
    (stalled,) = [event for event in record.events if event["kind"] == "input_stalled"]
    assert stalled["seconds"] == pytest.approx(2.0, abs=0.05)
    assert record.head["figures"]["input_stalls"] == 1
    assert any(span.lane == "line" and span.bad for span in record.spans)
