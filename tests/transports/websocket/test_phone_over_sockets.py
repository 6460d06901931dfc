"""The same calls over real sockets: uvicorn on a free port, one scripted call for each provider."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from typing import Any

import pytest
from eventually import eventually
from phone_bots import PHONES, CountedBot, over_sockets, telephony_args, tone
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from runner.callers.call import new_wire
from runner.callers.call_report import measure
from runner.callers.phone import Phone
from runner.callers.sound.microphone import Manner
from runner.callers.talk import Talk
from runner.errors import TransportError
from runner.serializers.base import FrameSerializer


async def speak(phone: Phone, seconds: float = 0.4, manner: Manner = Manner.TURN) -> None:
    utterance = phone.say(tone(seconds), 8000, "words", manner)
    assert await phone.until(lambda: utterance.done, 10)


async def bot_spoke(phone: Phone, times: int, quiet_s: float = 0.4) -> None:
    met = await phone.until(lambda: len(phone.speech.spans) >= times and phone.bot_quiet_s() > quiet_s, 15)
    assert met, f"{len(phone.speech.spans)} of {times} times, closed with {phone.close}"


async def scripted_call(provider: str) -> tuple[CountedBot, Phone]:
    """The caller speaks twice, cuts in, and presses a key; then the bot hangs up."""
    bot = CountedBot(
        greeting="hello there.",
        replies=("one two.", "a long answer to cut in.", "key it is.", "Goodbye now."),
    )
    async with over_sockets(bot) as served, served.phone(provider) as phone:
        await bot_spoke(phone, 1)
        await speak(phone)
        await bot_spoke(phone, 2)
        await speak(phone)
        await phone.until(lambda: len(phone.speech.spans) == 3, 5)
        await asyncio.sleep(0.3)  # it is heard for a moment before it is interrupted
        await speak(phone, 0.4, Manner.INTERRUPTION)
        await bot_spoke(phone, 4)
        await phone.press("#")
        assert await phone.until(lambda: False, 6) is False
    return bot, phone


@pytest.fixture(scope="module")
def scripted_calls() -> dict[str, tuple[CountedBot, Phone] | BaseException]:
    """The same call over each provider's wire. Two are made at a time: each mostly waits."""
    two = asyncio.Semaphore(2)

    async def call(provider: str) -> tuple[CountedBot, Phone]:
        async with two:
            return await scripted_call(provider)

    async def calls() -> list[tuple[CountedBot, Phone] | BaseException]:
        return await asyncio.gather(*map(call, PHONES), return_exceptions=True)

    return dict(zip(PHONES, asyncio.run(calls()), strict=True))


@pytest.mark.realtime
@pytest.mark.parametrize("provider", PHONES)
def test_a_scripted_call_passes_end_to_end(
    provider: str, scripted_calls: dict[str, tuple[CountedBot, Phone] | BaseException]
) -> None:
    made = scripted_calls[provider]
    assert isinstance(made, tuple), made
    bot, phone = made
    assert (phone.ended_by, phone.close[0]) == ("bot", 1000)
    assert phone.log.violations == []
    # A clear goes out whenever the caller begins to speak; only one threw sound away.
    assert len([clear for clear in phone.log.cleared if clear.dropped_s]) == 1
    recording, sounds = phone.playout.recording(), bot.telephone_sound(phone.wire)
    whole = [sound for sound in sounds if sound in recording]
    # All but the answer that was cut short is there to the sample, and nothing was left to play at the end.
    assert [sound in recording for sound in sounds] == [True, True, False, True, True]
    assert len(whole) == 4
    assert phone.log.unplayed_s == 0
    report = measure(phone)
    assert report.stop_latency.n == 1
    assert report.hang_up_ms is not None
    assert report.hang_up_ms >= 0


@pytest.mark.realtime
async def test_the_bots_words_can_be_followed_on_this_machine() -> None:
    bot = CountedBot(greeting="hello there.", replies=("Goodbye now.",))
    async with over_sockets(bot) as served, served.phone("twilio") as phone:
        talk = Talk(phone)
        following = asyncio.create_task(talk.follow())
        await bot_spoke(phone, 1)
        await speak(phone)
        await phone.until(phone.ended.is_set, 8)
        await following
    assert talk.knows_words
    assert [line.text for line in talk.lines if line.who == "bot"] == ["hello there.", "Goodbye now."]
    assert [text for _, text in talk.understood] == ["words"]


async def test_nobody_can_follow_a_call_that_there_is_not() -> None:
    async with over_sockets(CountedBot()) as served:
        url = served.url.replace("/ws", "/sessions/none/events")
        async with connect(url, proxy=None) as socket:
            with pytest.raises(ConnectionClosed):
                await socket.recv()
            assert socket.close_code == 4404


@pytest.mark.realtime
async def test_a_second_listener_is_refused() -> None:
    async with over_sockets(CountedBot()) as served, served.phone("twilio") as phone:
        await bot_spoke(phone, 1)
        url = served.url.replace("/ws", f"/sessions/{phone.wire.facts.call_id}/events")
        async with connect(url, proxy=None), connect(url, proxy=None) as second:
            with pytest.raises(ConnectionClosed):
                await second.recv()
            assert second.close_code == 4409


async def test_a_call_is_not_shown_to_other_machines() -> None:
    from websockets.exceptions import InvalidStatus

    async with over_sockets(CountedBot()) as served:
        url = served.url.replace("/ws", "/sessions/none/events")
        with pytest.raises(InvalidStatus) as refused:
            await connect(url, additional_headers={"X-Forwarded-For": "203.0.113.1"}, proxy=None)
        assert refused.value.response.status_code == 403


@pytest.mark.realtime
async def test_the_arguments_are_complete_and_frozen() -> None:
    bot = CountedBot(greeting="hi.")
    wire = new_wire("telnyx", {"customer_id": "c1"})
    async with over_sockets(bot) as served, served.phone("telnyx", wire=wire) as phone:
        await bot_spoke(phone, 1)
        args = telephony_args(bot)
        assert (args.provider, args.stream_id, args.call_id) == (
            "telnyx",
            wire.facts.stream_id,
            wire.facts.call_id,
        )
        assert (args.from_number, args.to_number) == ("+15550001001", "+15550001002")
        assert args.custom_parameters == args.body == {"customer_id": "c1"}
        assert isinstance(args.serializer, FrameSerializer)
        assert args.transport_type == "telnyx"
        with pytest.raises(AttributeError):
            args.call_id = "other"  # type: ignore[misc]


@pytest.mark.realtime
async def test_exotels_second_socket_joins_its_call() -> None:
    bot = CountedBot(greeting="hello there.", replies=("still here.",))
    async with over_sockets(bot) as served:
        wire = new_wire("exotel")
        first = await connect(served.url, compression=None, proxy=None)
        for message in wire.opening():
            await first.send(message)
        await first.recv()
        first.transport.abort()
        again = new_wire("exotel")
        again.facts = wire.facts
        async with Phone(served.url, again) as phone:
            await speak(phone)
            await bot_spoke(phone, 1)
            assert len(bot.args) == 1
            assert len(served.host.sessions.active) == 1
        assert phone.log.violations == []


@pytest.mark.realtime
async def test_of_other_providers_a_second_socket_is_a_call_of_its_own() -> None:
    bot = CountedBot(greeting="hello there.")
    async with over_sockets(bot) as served, served.phone("twilio") as one, served.phone("twilio") as two:
        await asyncio.gather(bot_spoke(one, 1), bot_spoke(two, 1))
        assert len(bot.args) == 2


# ------------------------------------------------------------------ plain clients


async def next_text(socket: Any) -> dict[str, Any]:
    while True:
        message = await asyncio.wait_for(socket.recv(), 5)
        if isinstance(message, str):
            found: dict[str, Any] = json.loads(message)
            return found


@pytest.mark.realtime
async def test_a_plain_client_talks_and_goes_on_with_its_token() -> None:
    bot = CountedBot(greeting="hello there.", replies=("still here.",))
    async with over_sockets(bot) as served:
        url = f"{served.url}-client?sample_rate=8000&output_sample_rate=8000"
        first = await connect(url, compression=None, proxy=None)
        token = (await next_text(first))["token"]
        sound = b""
        while len(sound) < 2 * 8000 * 0.4:
            message = await asyncio.wait_for(first.recv(), 5)
            sound += message if isinstance(message, bytes) else b""
        first.transport.abort()
        async with connect(f"{served.url}-client/{token}", compression=None, proxy=None) as second:
            await say(second, tone(0.5))
            answer = b""
            while len(answer) < 2 * 8000 * 0.4:
                message = await asyncio.wait_for(second.recv(), 5)
                answer += message if isinstance(message, bytes) else b""
            assert len(bot.args) == 1
        # A token of nobody's is refused.
        async with connect(f"{served.url}-client/{token}x", proxy=None) as third:
            with pytest.raises(ConnectionClosed):
                await third.recv()
            assert third.close_code == 1008
    # What was heard before the break, and after it, is the bot's sound to the sample.
    assert bot.voice.said[0].startswith(sound[:4000])


async def say(socket: Any, pcm: bytes) -> None:
    """In real time, with silence behind."""
    pcm += bytes(2 * 8000)
    for at in range(0, len(pcm), 320):
        await socket.send(pcm[at : at + 320])
        await asyncio.sleep(0.018)


async def test_a_plain_client_is_spoken_to_in_rtvi() -> None:
    ready = {"label": "rtvi-ai", "type": "client-ready", "id": "1", "data": {"version": "2.0.0"}}
    async with (
        over_sockets(CountedBot(greeting="hello there.")) as served,
        connect(f"{served.url}-client", compression=None, proxy=None) as socket,
    ):
        await next_text(socket)
        await socket.send(json.dumps(ready))
        assert (await next_text(socket))["type"] == "bot-ready"


# ------------------------------------------------------------------ what is not as it should be


@pytest.mark.faults(23)
@pytest.mark.realtime
async def test_malformed_messages_are_dropped_and_the_call_goes_on() -> None:
    bot = CountedBot(greeting="hello there.", replies=("still here.",))
    async with over_sockets(bot) as served, served.phone("twilio") as phone:
        await bot_spoke(phone, 1)
        for bad in ("", "{", "[]", '{"event": 7}', '{"event":"media","media":{"payload":"*"}}', "null"):
            await phone._socket.send(bad)
        await speak(phone)
        await bot_spoke(phone, 2)
        serializer = telephony_args(bot).serializer
        assert serializer is not None
        assert serializer.counters["malformed"] == 6


@pytest.mark.faults(23)
async def test_twenty_malformed_messages_in_a_row_end_the_call() -> None:
    bot = CountedBot(greeting="hello there.")
    async with over_sockets(bot) as served, connect(served.url, compression=None, proxy=None) as socket:
        for message in new_wire("twilio").opening():
            await socket.send(message)
        for _ in range(20):
            await socket.send("not json")
        await asyncio.wait_for(socket.wait_closed(), 5)
        assert socket.close_code == 1007
        assert "malformed" in (socket.close_reason or "")


async def test_a_socket_that_is_no_provider_is_closed() -> None:
    async with over_sockets(CountedBot()) as served, connect(served.url, proxy=None) as socket:
        await socket.send('{"event":"start","start":{"who":"knows"}}')
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        assert socket.close_code == 1008


async def test_a_socket_that_leaves_before_its_start_is_no_failure_of_ours(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with over_sockets(CountedBot()) as served:
        async with connect(served.url, proxy=None):
            pass
        await eventually(lambda: "closed before its start" in caplog.text, 5)
        gc.collect()  # a task that failed and was never asked says so when it is thrown away
        await asyncio.sleep(0)
    assert "never retrieved" not in caplog.text


async def test_a_phone_that_nobody_answers_says_so() -> None:
    with pytest.raises(TransportError, match=r"cannot connect to \S+: nothing listens there$"):
        async with Phone("ws://127.0.0.1:1/ws", new_wire("twilio")):
            pass


@pytest.mark.realtime
async def test_a_loop_that_stands_still_for_80_ms_is_not_heard() -> None:
    """Over real sockets the machine may be busier than the stall itself: then one more try is fair."""
    for _ in range(3):
        bot = CountedBot(greeting=" ".join(["word"] * 8))
        async with over_sockets(bot) as served, served.phone("twilio") as phone:
            for _ in range(3):
                await asyncio.sleep(0.4)
                time.sleep(0.08)
            await bot_spoke(phone, 1)
        if max(phone.log.late_s) < 0.1:
            break
    assert phone.playout.underruns == []
