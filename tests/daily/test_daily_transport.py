"""`DailyTransport` over a fake that behaves as daily-python was seen to."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from daily_server import KEY, daily_server
from fake_daily import NO_NETWORK, FakeDaily

from runner.errors import UsageError
from runner.frames import (
    Frame,
    InputDTMFFrame,
    InputTransportMessageFrame,
    InterimTranscriptionFrame,
    OutputAudioRawFrame,
    OutputImageRawFrame,
    OutputTransportMessageUrgentFrame,
    TranscriptionFrame,
    UserAudioRawFrame,
    UserImageRawFrame,
)
from runner.pipeline import Pipeline, PipelineTask
from runner.testing.fakes import Recorder
from runner.transports.daily import (
    DailyDialinSettings,
    DailyParams,
    DailySIPReferFrame,
    DailySIPTransferFrame,
    DailyTransport,
    call,
)
from runner.transports.daily.visit import Visit, visit

URL = "https://house.daily.co/room"
SECOND = bytes(2 * 24000)


@pytest.fixture
def daily() -> Iterator[FakeDaily]:
    with FakeDaily() as fake:
        yield fake


@dataclass
class Talk:
    """A bot in a room. `told`: its events in their order."""

    transport: DailyTransport
    task: PipelineTask
    frames: Recorder
    told: list[tuple[Any, ...]]
    run: asyncio.Task[None]

    def of(self, kind: type[Frame]) -> list[Any]:
        return [seen.frame for seen in self.frames.seen if type(seen.frame) is kind]


EVENTS = ("on_joined", "on_left", "on_before_leave", "on_first_participant_joined", "on_participant_joined",
          "on_participant_left", "on_client_connected", "on_client_disconnected", "on_app_message",
          "on_error", "on_dialin_ready", "on_dialout_answered", "on_recording_started",
          "on_active_speaker_changed", "on_transcription_message", "on_dtmf_event")  # fmt: skip


@asynccontextmanager
async def talk(daily: FakeDaily, **more: Any) -> AsyncIterator[Talk]:
    params = DailyParams(audio_in_enabled=True, audio_out_enabled=True, **more)
    transport = DailyTransport(URL, "bot-token", "Bot", params, library=daily)
    frames, told = Recorder(), []
    pipeline = Pipeline([transport.input(), frames, transport.output()])
    task = PipelineTask(pipeline, enable_rtvi=False)
    for name in EVENTS:
        transport.event_handler(name)(_noting(name, told))
    run = asyncio.create_task(task.run())
    try:
        yield Talk(transport, task, frames, told, run)
    finally:
        await task.cancel()
        await run


def _noting(name: str, told: list[tuple[Any, ...]]) -> Callable[..., Any]:
    async def note(transport: DailyTransport, *what: Any) -> None:
        told.append((name, *what))

    return note


async def until(there: Callable[[], Any], within_s: float = 5.0) -> Any:
    deadline = time.monotonic() + within_s
    while not (found := there()):
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.002)
    return found


# ------------------------------------------------------------------ in and out


async def test_a_bot_joins_with_its_token_a_microphone_and_no_camera(daily: FakeDaily) -> None:
    async with talk(daily) as here:
        await here.transport.joined.wait()
        (client,) = daily.clients
        assert (client.url, client.token, client.user_name) == (URL, "bot-token", "Bot")
        assert client.settings == {
            "inputs": {
                "camera": {"isEnabled": False},
                "microphone": {
                    "isEnabled": True,
                    "settings": {"customTrack": {"id": daily.microphones[0].id}},
                },
            }
        }
        assert daily.microphones[0].sample_rate == 24000
        await until(lambda: client.asked)
        assert client.asked[0][0] == "update_subscription_profiles"
    assert client.released
    assert not daily.rooms[URL]


async def test_the_events_of_a_visit_come_in_their_order(daily: FakeDaily) -> None:
    async with talk(daily) as here:
        await here.transport.joined.wait()
        visitor = daily.visit(URL, "ann")
        daily.visit(URL, "bob")
        await until(lambda: len(here.transport.participants()) == 2)
        visitor.leave("leftCall")
        await until(lambda: len(here.transport.participants()) == 1)
    names = [(name, *(what["id"] for what in told[:1] if isinstance(what, dict) and "id" in what))
             for name, *told in here.told]  # fmt: skip
    assert names == [
        ("on_joined",),
        ("on_first_participant_joined", "ann"),
        ("on_participant_joined", "ann"),
        ("on_client_connected", "ann"),
        ("on_participant_joined", "bob"),
        ("on_client_connected", "bob"),
        ("on_participant_left", "ann"),
        ("on_client_disconnected", "ann"),
        ("on_before_leave",),
        ("on_left",),
    ]


async def test_what_comes_after_leaving_is_for_nobody(daily: FakeDaily) -> None:
    async with talk(daily) as here:
        await here.transport.joined.wait()
    await until(lambda: daily.clients[0].released)
    await asyncio.sleep(0.02)
    assert here.transport.participants() == {}
    assert not [told for told in here.told if told[0] == "on_client_connected"]


async def test_a_room_that_cannot_be_joined_ends_the_call_in_words_once(
    daily: FakeDaily, caplog: pytest.LogCaptureFixture
) -> None:
    daily.join_error = NO_NETWORK
    caplog.set_level(logging.WARNING)
    async with talk(daily) as here:
        await asyncio.wait_for(here.run, 5)
        await asyncio.sleep(0.01)
    sentence = (
        f"the Daily room {URL} could not be joined: Daily cannot be reached from this machine: is there a"
        " network, and may it be used?"
    )
    assert here.task.end_reason == sentence
    assert [told for told in here.told if told[0] == "on_error"] == [("on_error", sentence)]
    assert [record.getMessage() for record in caplog.records] == [sentence]


async def test_joining_has_a_deadline_of_our_own_and_the_end_does_not_wait_for_the_library(
    daily: FakeDaily, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call.DailyCall.join, "__defaults__", (0.05,))
    monkeypatch.setattr(call.DailyCall.leave, "__defaults__", (0.05,))
    daily.join_s = 0.6
    async with talk(daily) as here:
        await asyncio.wait_for(here.run, 5)
        assert "could not be joined within 0 s" in here.task.end_reason
        assert daily.clients[0].state == "joining"  # as the real one, which goes on for 19 s
    await until(lambda: daily.clients[0].released)


async def test_who_is_sent_out_of_the_room_does_not_stay_in_the_call(daily: FakeDaily) -> None:
    lost: list[str] = []
    visit.set(Visit(lost=lost.append))
    async with talk(daily) as here:
        await here.transport.joined.wait()
        daily.tell(URL, "on_call_state_updated", "left")
        await asyncio.wait_for(here.run, 5)
    assert here.task.end_reason == "Daily: the bot was sent out of the room"
    assert lost == ["the room was closed"]


async def test_the_house_is_told_when_the_last_has_left(daily: FakeDaily) -> None:
    left: list[str] = []
    visit.set(Visit(left=lambda: left.append("left")))
    async with talk(daily) as here:
        await here.transport.joined.wait()
        ann, bob = daily.visit(URL, "ann"), daily.visit(URL, "bob")
        ann.leave()
        await until(lambda: list(here.transport.participants()) == ["bob"])
        assert not left
        bob.leave()
        await until(lambda: left)


async def test_a_hundred_calls_leave_nothing_behind(daily: FakeDaily) -> None:
    daily.leave_s = 0.01

    async def one() -> None:
        async with talk(daily) as here:
            await here.transport.joined.wait()

    for _ in range(10):
        await asyncio.gather(*(one() for _ in range(10)))
    assert len(daily.clients) == 100
    assert all(client.released for client in daily.clients)
    assert not daily.rooms[URL]
    assert not [thread for thread in threading.enumerate() if thread.name == "daily call"]


# ------------------------------------------------------------------ sound, pictures, messages


async def test_a_visitor_is_heard_and_named(daily: FakeDaily) -> None:
    async with talk(daily) as here:
        await here.transport.joined.wait()
        visitor = daily.visit(URL, "ann")
        await until(lambda: "ann" in daily.clients[0].ears)
        for _ in range(10):
            visitor.speak(bytes(640))
        heard = await until(lambda: len(found := here.of(UserAudioRawFrame)) == 10 and found)
        assert {(frame.user_id, frame.sample_rate, len(frame.audio)) for frame in heard} == {
            ("ann", 16000, 640)
        }


async def test_every_sample_of_the_bot_s_speech_is_played_at_the_microphone_s_pace(daily: FakeDaily) -> None:
    daily.rate = 4.0
    sound = bytes(range(256)) * 300  # 1.6 s
    async with talk(daily) as here:
        await here.task.queue_frame(OutputAudioRawFrame(sound, 24000))
        await until(lambda: daily.microphones and len(daily.microphones[0].pcm) >= len(sound))
        (microphone,) = daily.microphones
        assert microphone.pcm[: len(sound)] == sound
        assert microphone.played_at[-1] - microphone.played_at[0] > 1.5 / daily.rate


async def test_an_interruption_leaves_two_chunks_at_most(daily: FakeDaily) -> None:
    async with talk(daily) as here:
        await here.task.queue_frame(OutputAudioRawFrame(SECOND, 24000))
        await until(lambda: daily.microphones and len(daily.microphones[0].pcm) > 4800)
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
        await until(lambda: here.of(InputTransportMessageFrame))
        sent = await until(
            lambda: (
                len(found := [a for w, a, _ in daily.clients[0].asked if w == "send_app_message"]) == 3
                and found
            )
        )
        assert sent == [({"early": 1}, None), ({"early": 2}, None), ({"late": 3}, None)]
        assert here.of(InputTransportMessageFrame)[0].message == {"hello": "bot"}
    assert ("on_app_message", {"hello": "bot"}, "ann") in here.told


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
        await until(lambda: daily.cameras[0].shown)
        visitor = daily.visit(URL, "ann")
        await until(lambda: "ann" in daily.clients[0].eyes)
        visitor.show(bytes(12), 2, 2)
        (seen,) = await until(lambda: here.of(UserImageRawFrame))
        assert (seen.size, seen.user_id) == ((2, 2), "ann")
        asked = await until(
            lambda: [a for what, a, _ in daily.clients[0].asked if what == "update_subscriptions"]
        )
        assert asked[0][0] == {"ann": {"media": {"camera": "subscribed"}}}
    assert len(daily.cameras[0].shown) == 1


async def test_who_is_asked_for_by_the_bot_is_seen_as_often_as_it_says(daily: FakeDaily) -> None:
    async with talk(daily, video_in_enabled=True) as here:
        await here.transport.joined.wait()
        daily.visit(URL, "ann")
        await until(lambda: "ann" in daily.clients[0].eyes)
        bob = daily.visit(URL, "bob")
        [client] = await until(
            lambda: [p for p in here.transport.participants().values() if p["id"] == "bob"]
        )
        who = here.transport.get_client_id(client)
        await here.transport.capture_participant_video(who, framerate=1)
        await until(lambda: "bob" in daily.clients[0].eyes)
        for _ in range(5):
            bob.show(bytes(12), 2, 2)
        await until(lambda: here.of(UserImageRawFrame))
        await asyncio.sleep(0.05)
        assert [seen.user_id for seen in here.of(UserImageRawFrame)] == ["bob"]
        assert here.transport.participant_id


async def test_without_pictures_enabled_nobody_can_be_seen_and_it_is_said(daily: FakeDaily) -> None:
    async with talk(daily) as here:
        with pytest.raises(UsageError, match="video_in_enabled=True"):
            await here.transport.capture_participant_video("ann")


# ------------------------------------------------------------------ phones, recording, transcription


async def test_a_caller_who_waits_is_connected_when_the_room_is_ready(daily: FakeDaily) -> None:
    async with daily_server() as server:
        settings = DailyDialinSettings(call_id="c1", call_domain="d1")
        async with talk(daily, dialin_settings=settings, api_key=KEY, api_url=server.url) as here:
            await here.transport.joined.wait()
            assert not server.connected
            daily.tell(URL, "on_dialin_ready", "sip:room@sip.daily.co")
            await until(lambda: server.connected)
        told = {"callId": "c1", "callDomain": "d1", "sipUri": "sip:room@sip.daily.co"}
        assert server.connected == [told]
        assert ("on_dialin_ready", "sip:room@sip.daily.co") in here.told


async def test_a_caller_who_cannot_be_connected_does_not_hear_music_for_ever(daily: FakeDaily) -> None:
    async with daily_server() as server:
        server.faults.append("401")
        settings = DailyDialinSettings(call_id="c1", call_domain="d1")
        async with talk(daily, dialin_settings=settings, api_key=KEY, api_url=server.url) as here:
            await here.transport.joined.wait()
            daily.tell(URL, "on_dialin_ready", "sip:room@sip.daily.co")
            await asyncio.wait_for(here.run, 5)
    assert here.task.end_reason.startswith("the caller could not be connected: Daily: it refused with 401")


async def test_a_phone_is_called_keys_are_pressed_and_it_is_handed_on(daily: FakeDaily) -> None:
    async with talk(daily) as here:
        await here.transport.joined.wait()
        session = await here.transport.start_dialout({"phoneNumber": "+14155550100"})
        assert session == "start_dialout-1"
        daily.tell(URL, "on_dialout_answered", {"sessionId": "phone-1"})
        await until(lambda: here.transport.phone_session)
        assert here.transport.output().dtmf_message("5") == {"sessionId": "phone-1", "tones": "5"}
        await here.task.queue_frame(DailySIPReferFrame({"sessionId": "phone-1", "toEndPoint": "sip:a@b"}))
        await here.task.queue_frame(OutputAudioRawFrame(bytes(2 * 4800), 24000))
        await here.task.queue_frame(DailySIPTransferFrame({"sessionId": "phone-1", "toEndPoint": "sip:c@d"}))
        asked = daily.clients[0].asked
        await until(lambda: [what for what, _, _ in asked][-1:] == ["sip_call_transfer"])
        assert len(daily.microphones[0].pcm) >= 2 * 4800  # it waits its turn
        daily.tell(URL, "on_dialout_stopped", {"sessionId": "phone-1"})
        await until(lambda: not here.transport.phone_session)
    whats = [what for what, _, _ in asked if what != "update_subscription_profiles"]
    assert whats == ["start_dialout", "sip_refer", "sip_call_transfer"]


async def test_transcripts_and_keys_of_a_phone_become_frames(daily: FakeDaily) -> None:
    async with talk(daily, transcription_enabled=True) as here:
        await here.transport.joined.wait()
        raw = {"participantId": "ann", "timestamp": "12:00"}
        daily.tell(URL, "on_transcription_message", {**raw, "text": "he", "rawResponse": {"is_final": False}})
        daily.tell(
            URL, "on_transcription_message", {**raw, "text": "hello", "rawResponse": {"is_final": True}}
        )
        daily.tell(URL, "on_dtmf_event", {"tone": "#", "sessionId": "s"})
        await until(lambda: here.of(InputDTMFFrame))
        assert here.of(InterimTranscriptionFrame)[0].text == "he"
        (said,) = here.of(TranscriptionFrame)
        assert (said.text, said.user_id, said.timestamp) == ("hello", "ann", "12:00")
        await until(lambda: [1 for what, _, _ in daily.clients[0].asked if what == "start_transcription"])


async def test_recording_and_the_rest_are_asked_of_daily(daily: FakeDaily) -> None:
    async with talk(daily) as here:
        await here.transport.joined.wait()
        assert await here.transport.start_recording(stream_id="x") == "start_recording-1"
        await here.transport.stop_recording("x")
        await here.transport.capture_participant_transcription("ann")
        await here.transport.eject_participants(["bob"])
        asked = [(w, a, m) for w, a, m in daily.clients[0].asked if w != "update_subscription_profiles"]
    assert asked == [
        ("start_recording", (), {"stream_id": "x"}),
        ("stop_recording", (), {"stream_id": "x"}),
        ("update_transcription", (["ann"], None), {}),
        ("eject_remote_participants", (["bob"],), {}),
    ]
