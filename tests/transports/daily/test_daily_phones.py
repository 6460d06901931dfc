"""Phones, recording and transcription of `DailyTransport`, over the fake."""

from __future__ import annotations

import asyncio

from daily_server import KEY, daily_server
from daily_talk import URL, talk
from eventually import eventually
from fake_daily import FakeDaily

from runner.frames import (
    InputDTMFFrame,
    InterimTranscriptionFrame,
    OutputAudioRawFrame,
    TranscriptionFrame,
)
from runner.transports.daily import (
    DailyDialinSettings,
    DailySIPReferFrame,
    DailySIPTransferFrame,
)


async def test_a_caller_who_waits_is_connected_when_the_room_is_ready(daily: FakeDaily) -> None:
    async with daily_server() as server:
        settings = DailyDialinSettings(call_id="c1", call_domain="d1")
        async with talk(daily, dialin_settings=settings, api_key=KEY, api_url=server.url) as here:
            await here.transport.joined.wait()
            assert not server.connected
            daily.tell(URL, "on_dialin_ready", "sip:room@sip.daily.co")
            await eventually(lambda: server.connected)
        fields = {"callId": "c1", "callDomain": "d1", "sipUri": "sip:room@sip.daily.co"}
        assert server.connected == [fields]
        assert ("on_dialin_ready", "sip:room@sip.daily.co") in here.events


async def test_a_caller_who_cannot_be_connected_does_not_hear_music_for_ever(daily: FakeDaily) -> None:
    async with daily_server() as server:
        server.faults.append("401")
        settings = DailyDialinSettings(call_id="c1", call_domain="d1")
        async with talk(daily, dialin_settings=settings, api_key=KEY, api_url=server.url) as here:
            await here.transport.joined.wait()
            daily.tell(URL, "on_dialin_ready", "sip:room@sip.daily.co")
            await asyncio.wait_for(here.run, 5)
    assert here.task.end_reason.startswith("Could not connect the waiting caller: Daily: it refused with 401")


async def test_a_phone_is_called_keys_are_pressed_and_it_is_handed_on(daily: FakeDaily) -> None:
    async with talk(daily) as here:
        await here.transport.joined.wait()
        session = await here.transport.start_dialout({"phoneNumber": "+14155550100"})
        assert session == "start_dialout-1"
        daily.tell(URL, "on_dialout_answered", {"sessionId": "phone-1"})
        await eventually(lambda: here.transport.phone_session)
        assert here.transport.output().dtmf_message("5") == {"sessionId": "phone-1", "tones": "5"}
        await here.task.queue_frame(DailySIPReferFrame({"sessionId": "phone-1", "toEndPoint": "sip:a@b"}))
        await here.task.queue_frame(OutputAudioRawFrame(bytes(2 * 4800), 24000))
        await here.task.queue_frame(DailySIPTransferFrame({"sessionId": "phone-1", "toEndPoint": "sip:c@d"}))
        asked = daily.clients[0].asked
        await eventually(lambda: [what for what, _, _ in asked][-1:] == ["sip_call_transfer"])
        assert len(daily.microphones[0].pcm) >= 2 * 4800  # it waits its turn
        daily.tell(URL, "on_dialout_stopped", {"sessionId": "phone-1"})
        await eventually(lambda: not here.transport.phone_session)
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
        await eventually(lambda: here.of(InputDTMFFrame))
        assert here.of(InterimTranscriptionFrame)[0].text == "he"
        (said,) = here.of(TranscriptionFrame)
        assert (said.text, said.user_id, said.timestamp) == ("hello", "ann", "12:00")
        await eventually(
            lambda: [1 for what, _, _ in daily.clients[0].asked if what == "start_transcription"]
        )


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
