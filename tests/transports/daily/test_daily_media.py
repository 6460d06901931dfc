"""Sound, pictures and messages of `DailyTransport`, over the fake."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from daily_talk import URL, talk
from eventually import eventually
from fake_daily import FakeDaily

from runner.errors import UsageError
from runner.frames import (
    InputTransportMessageFrame,
    OutputAudioRawFrame,
    OutputImageRawFrame,
    OutputTransportMessageUrgentFrame,
    UserAudioRawFrame,
    UserImageRawFrame,
)

SECOND = bytes(2 * 24000)


async def test_a_visitor_is_heard_and_named(daily: FakeDaily) -> None:
    async with talk(daily) as here:
        await here.transport.joined.wait()
        visitor = daily.visit(URL, "ann")
        await eventually(lambda: "ann" in daily.clients[0].ears)
        for _ in range(10):
            visitor.speak(bytes(640))
        heard = await eventually(lambda: len(found := here.of(UserAudioRawFrame)) == 10 and found)
        assert {(frame.user_id, frame.sample_rate, len(frame.audio)) for frame in heard} == {
            ("ann", 16000, 640)
        }


async def test_every_sample_of_the_bot_s_speech_is_played_at_the_microphone_s_pace(daily: FakeDaily) -> None:
    daily.rate = 4.0
    sound = bytes(range(256)) * 300  # 1.6 s
    async with talk(daily) as here:
        await here.task.queue_frame(OutputAudioRawFrame(sound, 24000))
        await eventually(lambda: daily.microphones and len(daily.microphones[0].pcm) >= len(sound))
        (microphone,) = daily.microphones
        assert microphone.pcm[: len(sound)] == sound
        assert microphone.played_at[-1] - microphone.played_at[0] > 1.5 / daily.rate


async def test_an_interruption_leaves_two_chunks_at_most(daily: FakeDaily) -> None:
    async with talk(daily) as here:
        await here.task.queue_frame(OutputAudioRawFrame(SECOND, 24000))
        await eventually(lambda: daily.microphones and len(daily.microphones[0].pcm) > 4800)
        here.task.interrupt()
        written = len(daily.microphones[0].pcm)
        await asyncio.sleep(0.2)
        assert len(daily.microphones[0].pcm) <= written + 3 * 960


async def test_a_microphone_that_takes_nothing_is_not_hurried(daily: FakeDaily) -> None:
    """As a virtual microphone does that is not in a call."""
    async with talk(daily) as here:
        await here.transport.joined.wait()
        writes: list[int] = []

        def write(pcm: bytes, completion: Callable[[int], None]) -> None:
            writes.append(len(pcm))
            completion(0)

        daily.microphones[0].write = write  # type: ignore[method-assign]
        await here.task.queue_frame(OutputAudioRawFrame(SECOND, 24000))
        await asyncio.sleep(0.1)
        assert 2 <= len(writes) <= 14


async def test_messages_go_both_ways_and_wait_for_the_join(daily: FakeDaily) -> None:
    daily.join_s = 0.05
    async with talk(daily) as here:
        await here.task.queue_frame(OutputTransportMessageUrgentFrame({"early": 1}))
        await here.task.queue_frame(OutputTransportMessageUrgentFrame({"early": 2}))
        await here.transport.joined.wait()
        await here.task.queue_frame(OutputTransportMessageUrgentFrame({"late": 3}))
        daily.visit(URL, "ann").say({"hello": "bot"})
        await eventually(lambda: here.of(InputTransportMessageFrame))
        sent = await eventually(
            lambda: (
                len(found := [a for w, a, _ in daily.clients[0].asked if w == "send_app_message"]) == 3
                and found
            )
        )
        assert sent == [({"early": 1}, None), ({"early": 2}, None), ({"late": 3}, None)]
        assert here.of(InputTransportMessageFrame)[0].message == {"hello": "bot"}
    assert ("on_app_message", {"hello": "bot"}, "ann") in here.events


async def test_pictures_go_both_ways(daily: FakeDaily) -> None:
    sizes = {
        "video_out_width": 4,
        "video_out_height": 2,
        "video_out_framerate": 20,
        "video_out_bitrate": 9000,
    }
    async with talk(daily, video_in_enabled=True, video_out_enabled=True, **sizes) as here:
        await here.transport.joined.wait()
        settings = daily.clients[0].settings
        assert settings["inputs"]["camera"]["settings"] == {"customTrack": {"id": daily.cameras[0].id}}
        quality = settings["publishing"]["camera"]["sendSettings"]["encodings"]["low"]
        assert quality == {"maxBitrate": 9000, "maxFramerate": 20}
        await here.task.queue_frame(OutputImageRawFrame(bytes(24), (4, 2)))
        await here.task.queue_frame(OutputImageRawFrame(bytes(24), (4, 2)))  # too soon
        await here.task.queue_frame(OutputImageRawFrame(bytes(12), (2, 2)))
        await eventually(lambda: daily.cameras[0].shown)
        visitor = daily.visit(URL, "ann")
        await eventually(lambda: "ann" in daily.clients[0].eyes)
        visitor.show(bytes(12), 2, 2)
        (seen,) = await eventually(lambda: here.of(UserImageRawFrame))
        assert (seen.size, seen.user_id) == ((2, 2), "ann")
        asked = await eventually(
            lambda: [a for what, a, _ in daily.clients[0].asked if what == "update_subscriptions"]
        )
        assert asked[0][0] == {"ann": {"media": {"camera": "subscribed"}}}
    assert len(daily.cameras[0].shown) == 1


async def test_who_is_asked_for_by_the_bot_is_seen_as_often_as_it_says(daily: FakeDaily) -> None:
    async with talk(daily, video_in_enabled=True) as here:
        await here.transport.joined.wait()
        daily.visit(URL, "ann")
        await eventually(lambda: "ann" in daily.clients[0].eyes)
        bob = daily.visit(URL, "bob")
        [client] = await eventually(
            lambda: [p for p in here.transport.participants().values() if p["id"] == "bob"]
        )
        who = here.transport.get_client_id(client)
        await here.transport.capture_participant_video(who, framerate=1)
        await eventually(lambda: "bob" in daily.clients[0].eyes)
        for _ in range(5):
            bob.show(bytes(12), 2, 2)
        await eventually(lambda: here.of(UserImageRawFrame))
        await asyncio.sleep(0.05)
        assert [seen.user_id for seen in here.of(UserImageRawFrame)] == ["bob"]
        assert here.transport.participant_id


async def test_without_pictures_enabled_nobody_can_be_seen_and_it_is_said(daily: FakeDaily) -> None:
    async with talk(daily) as here:
        with pytest.raises(UsageError, match="video_in_enabled=True"):
            await here.transport.capture_participant_video("ann")
