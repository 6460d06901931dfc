"""Whole calls in virtual time: the phone at one end, botrun's door at the other, every sample counted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from phone_bots import PHONES, WORD_S, CountedBot, in_memory, tone

from runner.callers.call_report import Report, measure
from runner.callers.phone import Phone
from runner.callers.sound.line import Line
from runner.callers.sound.microphone import Manner
from runner.testing import run_virtual
from runner.transports.websocket.socket import CallWebSocket

Script = Callable[[Phone, CountedBot], Awaitable[None]]


def call(bot: CountedBot, provider: str, script: Script, *, line: Line | None = None) -> Phone:
    """One call in virtual time; the phone, when it is over."""

    async def run() -> Phone:
        async with in_memory(bot) as served, served.phone(provider, line=line) as phone:
            await script(phone, bot)
        return phone

    return run_virtual(run(), 120)


async def speak(phone: Phone, seconds: float = 0.6, manner: Manner = Manner.TURN) -> None:
    utterance = phone.say(tone(seconds), 8000, "words", manner)
    assert await phone.until(lambda: utterance.done, 10)


async def bot_spoke(phone: Phone, times: int, quiet_s: float = 0.5) -> None:
    """Wait until the bot has been heard so many times."""
    spoke = await phone.until(lambda: len(phone.speech.spans) >= times and phone.bot_quiet_s() > quiet_s, 20)
    assert spoke or phone.ended.is_set(), phone.speech.spans


async def two_turns_keys_and_goodbye(phone: Phone, bot: CountedBot) -> None:
    await bot_spoke(phone, 1)
    await speak(phone)
    await bot_spoke(phone, 2)
    await phone.press("4")
    await bot_spoke(phone, 3)
    await phone.press("#")
    await phone.until(phone.ended.is_set, 10)


@pytest.mark.parametrize("provider", PHONES)
def test_greeting_turns_keys_and_goodbye_pass_over_every_wire(provider: str) -> None:
    bot = CountedBot(replies=("one two three.", "four five.", "Goodbye now."))
    phone = call(bot, provider, two_turns_keys_and_goodbye)
    assert phone.ended_by == "bot"
    assert phone.close[0] == 1000
    assert phone.log.violations == []
    assert [message["content"] for message in bot.context.messages] == [
        "hello there caller.", "words", "one two three.", "key 4", "four five.", "key #", "Goodbye now.",
    ]  # fmt: skip
    assert phone.playout.underruns == []
    assert phone.log.unplayed_s == 0


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 24000])
@pytest.mark.parametrize("provider", PHONES)
def test_every_sample_that_the_bot_spoke_is_heard(provider: str, rate: int) -> None:
    async def script(phone: Phone, bot: CountedBot) -> None:
        await bot_spoke(phone, 1)
        await speak(phone)
        await bot_spoke(phone, 2)
        await speak(phone)
        await phone.until(phone.ended.is_set, 10)

    bot = CountedBot(replies=("one two three.", "Goodbye now."), rate=rate)
    phone = call(bot, provider, script)
    recording = phone.playout.recording()
    sounds = bot.telephone_sound(phone.wire)
    assert len(sounds) == 3
    for sound in sounds:
        assert recording.count(sound) == 1
    heard_samples = sum(len(sound) for sound in sounds) // 2
    silence = [sample for sample in memoryview(recording).cast("h") if abs(sample) < 500]
    assert len(recording) // 2 - len(silence) <= heard_samples
    assert phone.log.violations == []


@pytest.mark.parametrize("frame_ms", [0, 20, 30])
@pytest.mark.parametrize("rate", [8000, 22050])
def test_a_voice_that_streams_is_heard_whole_as_well(rate: int, frame_ms: int) -> None:
    async def script(phone: Phone, bot: CountedBot) -> None:
        await bot_spoke(phone, 1)

    bot = CountedBot(greeting="one two three four five six.", rate=rate, frame_ms=frame_ms)
    phone = call(bot, "twilio", script)
    assert bot.telephone_sound(phone.wire)[0] in phone.playout.recording()
    assert phone.playout.underruns == []


@pytest.mark.parametrize("provider", PHONES)
@pytest.mark.faults(4)
def test_after_the_clear_nothing_of_the_old_reply_is_heard(provider: str) -> None:
    async def script(phone: Phone, bot: CountedBot) -> None:
        await phone.until(lambda: phone.bot_has_spoken(), 5)
        await asyncio.sleep(0.7)
        await speak(phone, 0.5, Manner.INTERRUPTION)
        await bot_spoke(phone, 2)

    bot = CountedBot(greeting=" ".join(f"word{n}" for n in range(20)), replies=("fresh answer.",))
    phone = call(bot, provider, script)
    greeting, answer = bot.telephone_sound(phone.wire)
    recording = phone.playout.recording()
    cleared = phone.log.cleared
    assert len(cleared) == 1
    at = 2 * round((cleared[0].at - phone.started_at) * 8000)
    begin = recording.index(greeting[:3200])
    assert 0 <= (at - begin) / 2 - 0.7 * 8000 < 0.35 * 8000
    # Up to the clear the greeting, to the sample; then silence; then the answer, whole.
    assert greeting.startswith(recording[begin:at])
    answered = recording.index(answer)
    assert not recording[at:answered].strip(b"\0")
    assert phone.log.violations == []


@pytest.mark.parametrize("provider", PHONES)
def test_the_bot_hangs_up_when_its_last_word_was_played_and_never_before(provider: str) -> None:
    bot = CountedBot(replies=("a long farewell and goodbye.",))

    async def script(phone: Phone, bot: CountedBot) -> None:
        await bot_spoke(phone, 1)
        await speak(phone)
        await phone.until(phone.ended.is_set, 10)

    phone = call(bot, provider, script)
    report = measure(phone)
    assert report.ended_by == "bot"
    assert report.hang_up_ms is not None
    # Exotel's last message is filled up with silence to 200 ms (its rule), and the mark stands behind it.
    assert 0 <= report.hang_up_ms <= 300
    assert report.lost_ms == 0


def test_with_lost_marks_the_goodbye_is_heard_and_the_call_ends_within_its_deadline() -> None:
    bot = CountedBot(replies=("a long farewell and goodbye.",))

    async def script(phone: Phone, bot: CountedBot) -> None:
        await bot_spoke(phone, 1, quiet_s=2.5)
        await speak(phone)
        await phone.until(phone.ended.is_set, 10)

    phone = call(bot, "twilio", script, line=Line(lose_marks=True))
    report = measure(phone)
    assert report.ended_by == "bot"
    assert report.lost_ms == 0
    assert report.hang_up_ms is not None
    assert 0 <= report.hang_up_ms <= 2000


def test_the_assistant_remembers_what_was_heard_before_the_interruption() -> None:
    async def script(phone: Phone, bot: CountedBot) -> None:
        await phone.until(lambda: phone.bot_has_spoken(), 5)
        await asyncio.sleep(3 * WORD_S + 0.05)
        await speak(phone, 0.5, Manner.INTERRUPTION)
        await bot_spoke(phone, 2)

    bot = CountedBot(greeting="one two three four five six seven eight.", replies=("fresh answer.",))
    call(bot, "twilio", script)
    heard = bot.context.messages[0]["content"]
    assert heard in ("one two three four", "one two three four five")


def test_one_caller_hears_nothing_of_another_ones_call() -> None:
    bots = [CountedBot(greeting="one two."), CountedBot(greeting="one two three four.")]

    async def route(args: object) -> None:
        await bots[len(seen) - 1 if seen.append(args) is None else 0](args)  # type: ignore[arg-type]

    seen: list[object] = []

    async def run() -> list[Phone]:
        async with in_memory(route) as served:
            async with served.phone("twilio") as first, served.phone("telnyx") as second:
                await asyncio.gather(bot_spoke(first, 1), bot_spoke(second, 1))
            return [first, second]

    phones = run_virtual(run(), 60)
    lengths = [phone.speech.spans[0].duration_s for phone in phones]
    assert lengths == pytest.approx([2 * WORD_S, 4 * WORD_S], abs=0.01)


# ------------------------------------------------------------------ stalls, jitter, first sound


def stalled_call(stall_s: float, line: Line | None = None) -> Report:
    """The loop stands still every half second while the bot talks."""

    async def run() -> Phone:
        loop = asyncio.get_running_loop()
        bot = CountedBot(greeting=" ".join(["word"] * 20))
        async with in_memory(bot) as served, served.phone("twilio", line=line) as phone:
            for _ in range(10):
                await asyncio.sleep(0.5)
                loop._jumping.now += stall_s  # type: ignore[attr-defined]  # time.sleep, in virtual time
            await bot_spoke(phone, 1)
        return phone

    return measure(run_virtual(run(), 60))


def test_a_stall_of_80_ms_is_not_heard() -> None:
    report = stalled_call(0.08)
    assert report.underruns == 0
    assert report.bot_speech_s == pytest.approx(20 * WORD_S, abs=0.01)


@pytest.mark.parametrize("seed", range(8))
def test_jitter_of_60_ms_is_not_heard(seed: int) -> None:
    assert stalled_call(0.0, Line(jitter_ms=60, seed=seed)).underruns == 0


def test_the_phone_would_notice_a_stall_that_is_too_long() -> None:
    assert stalled_call(0.2).underruns > 0


@pytest.mark.parametrize("frame_ms", [10, 20])
@pytest.mark.parametrize("rate", [8000, 16000, 22050, 24000])
@pytest.mark.parametrize("provider", ["twilio", "telnyx", "plivo"])
def test_the_first_media_message_leaves_soon_after_the_voices_first_frame(
    provider: str, rate: int, frame_ms: int
) -> None:
    """Even if the voice is no faster than it is heard."""
    bot = CountedBot(greeting="one two three.", rate=rate, frame_ms=frame_ms, speed=1.0)

    async def script(phone: Phone, bot: CountedBot) -> None:
        await bot_spoke(phone, 1)

    phone = call(bot, provider, script)
    first = next(m.at for m in phone.log.messages if not m.to_bot and "payload" in m.text)
    assert phone.started_at + first - bot.voice.first_frame_at[0] <= 0.025


# ------------------------------------------------------------------ plain clients that leave


@pytest.mark.parametrize(("orderly", "least_s", "most_s"), [(True, 0.0, 3.0), (False, 9.9, 13.0)])
def test_a_broken_socket_is_waited_for_and_a_closed_one_is_not(
    orderly: bool, least_s: float, most_s: float
) -> None:
    async def run() -> float:
        loop = asyncio.get_running_loop()
        async with in_memory(CountedBot()) as served:
            assert served.connect is not None
            socket = await served.connect(f"{served.url}-client")
            await asyncio.sleep(1)
            left_at = loop.time()
            if not orderly:
                socket.break_off()
            await socket.close()
            return loop.time() - left_at

    assert least_s <= run_virtual(run(), 60) <= most_s


@pytest.mark.faults(4)
def test_a_chunk_that_is_on_its_way_when_the_caller_cuts_in_is_cleared_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    send = CallWebSocket.send

    async def slowly(self: CallWebSocket, message: Any) -> None:
        if '"media"' in message.get("text", ""):
            await asyncio.sleep(0.3)
        await send(self, message)

    async def script(phone: Phone, bot: CountedBot) -> None:
        await asyncio.sleep(0.15)
        bot.task.interrupt()
        await asyncio.sleep(1)

    monkeypatch.setattr(CallWebSocket, "send", slowly)
    phone = call(CountedBot(greeting="one two three."), "twilio", script)
    assert len(phone.log.cleared) == 1
