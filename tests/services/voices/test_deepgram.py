"""Deepgram's wire, against a server that speaks it and its faults."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from service_bench import Bench, Peer, bench, peer_server
from websockets.asyncio.server import ServerConnection

from runner.errors import ServiceError
from runner.frames import (
    InputAudioRawFrame,
    InterimTranscriptionFrame,
    MetricsFrame,
    TranscriptionFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from runner.services import deepgram
from runner.services.common import service_link
from runner.services.deepgram import DeepgramSTTService, HeardStream, Piece

HZ = 16000
CHUNK = b"\x01\x00" * (HZ // 50)


def results(text: str, start: float, duration: float, **more: Any) -> str:
    words = [
        {
            "word": word.lower(),
            "punctuated_word": word,
            "start": start,
            "end": start + duration,
            "confidence": 0.9,
        }
        for word in text.split()
    ]
    best = {"transcript": text, "confidence": 0.9, "words": words}
    common = {"type": "Results", "channel_index": [0, 1], "channel": {"alternatives": [best]}}
    return json.dumps({**common, "start": start, "duration": duration, **more})


def ears(far: Peer, **more: Any) -> DeepgramSTTService:
    return DeepgramSTTService(api_key="canary-key", url=f"{far.url}/v1/listen", **more)


async def send(running: Bench, chunks: int) -> None:
    for _ in range(chunks):
        await running.task.queue_frame(InputAudioRawFrame(CHUNK, HZ))


async def speak(running: Bench, chunks: int = 10) -> None:
    """A turn, as the VAD reports it."""
    clock = running.service.processor_setup.clock
    await running.task.queue_frame(UserStartedSpeakingFrame(at=clock()))
    await send(running, chunks)
    await running.task.queue_frame(UserStoppedSpeakingFrame(at=clock()))


async def finalized(far: Peer, socket: ServerConnection) -> None:
    """Answers each Finalize with one last piece."""
    async for message in far.messages(socket):
        if message["type"] == "Finalize":
            seconds = len(far.sound) / 2 / HZ
            await socket.send(results("Hello, there.", 0, seconds, is_final=True, from_finalize=True))


async def test_the_words_of_a_turn_come_as_one_when_the_speech_has_ended() -> None:
    async def talk(far: Peer, socket: ServerConnection) -> None:
        far.sound += await socket.recv()  # type: ignore[arg-type]
        await socket.send(results("Book", 0, 0.1))
        await socket.send(results("Book a table", 0, 0.1, is_final=True))
        await socket.send(results("for", 0.1, 0.1))
        async for message in far.messages(socket):
            if message["type"] == "Finalize":
                await socket.send(results("for two.", 0.1, 0.1, is_final=True, from_finalize=True))

    async with peer_server(talk) as far, bench(ears(far)) as running:
        await running.task.queue_frame(UserStartedSpeakingFrame(at=running.service.processor_setup.clock()))
        await send(running, 10)
        interims = await running.seen(InterimTranscriptionFrame, 3)
        assert [frame.text for frame in interims] == ["Book", "Book a table", "Book a table for"]
        await running.task.queue_frame(UserStoppedSpeakingFrame(at=running.service.processor_setup.clock()))
        (frame,) = await running.seen(TranscriptionFrame)
        assert frame.text == "Book a table for two."
        assert frame.confidence == 0.9
        assert [word.text for word in frame.words] == ["Book", "a", "table", "for", "two."]
        assert round(frame.words[-1].until - frame.words[0].at, 3) == 0.2
        assert [seen.frame.metric for seen in running.after.of(MetricsFrame)] == ["ttfb"]  # type: ignore[attr-defined]
        assert bytes(far.sound) == CHUNK * 10


async def test_the_address_and_the_key_are_those_of_the_service() -> None:
    async with peer_server(finalized) as far:
        service = ears(far, keyterms=["botrun", "wei"], options={"endpointing": "false", "numerals": "true"})
        async with bench(service, in_hz=8000) as running:
            await running.until(lambda: far.asked)
        address = urlsplit(far.asked[0].path)
        assert address.path == "/v1/listen"
        assert parse_qsl(address.query) == [
            ("model", "nova-3"), ("language", "en"), ("encoding", "linear16"), ("sample_rate", "8000"),
            ("channels", "1"), ("interim_results", "true"), ("endpointing", "false"),
            ("smart_format", "true"),
            ("numerals", "true"), ("keyterm", "botrun"), ("keyterm", "wei"),
        ]  # fmt: skip
        assert far.asked[0].headers["authorization"] == "Token canary-key"


async def test_words_that_are_final_already_are_given_without_asking() -> None:
    async def talk(far: Peer, socket: ServerConnection) -> None:
        await socket.recv()
        await socket.send(results("Yes.", 0, 9, is_final=True, speech_final=True))
        async for _ in far.messages(socket):
            pass

    async with peer_server(talk) as far, bench(ears(far)) as running:
        clock = running.service.processor_setup.clock
        await running.task.queue_frame(UserStartedSpeakingFrame(at=clock()))
        await send(running, 1)
        await running.seen(InterimTranscriptionFrame)
        await running.task.queue_frame(UserStoppedSpeakingFrame(at=clock()))
        (frame,) = await running.seen(TranscriptionFrame)
        assert frame.text == "Yes."
        assert far.heard == []


async def test_speech_that_the_vad_missed_is_reported_at_deepgrams_own_end_of_it() -> None:
    async def talk(far: Peer, socket: ServerConnection) -> None:
        await socket.recv()
        await socket.send(results("", 0, 0.1, is_final=True, speech_final=True))
        await socket.send(results("Hm yes.", 0, 0.1, is_final=True, speech_final=True))
        await socket.wait_closed()

    async with peer_server(talk) as far, bench(ears(far)) as running:
        await send(running, 1)
        (frame,) = await running.seen(TranscriptionFrame)
        assert frame.text == "Hm yes."


async def test_speech_without_words_is_given_with_empty_text() -> None:
    async def talk(far: Peer, socket: ServerConnection) -> None:
        async for message in far.messages(socket):
            if message["type"] == "Finalize":
                await socket.send(results("", 0, 0.2, is_final=True, from_finalize=True))

    async with peer_server(talk) as far, bench(ears(far)) as running:
        await speak(running)
        (frame,) = await running.seen(TranscriptionFrame)
        assert (frame.text, frame.words, frame.confidence) == ("", (), None)


async def test_a_caller_who_goes_on_before_the_last_words_came_makes_one_turn() -> None:
    async def talk(far: Peer, socket: ServerConnection) -> None:
        async for data in socket:
            if isinstance(data, bytes):
                before = len(far.sound)
                far.sound += data
                if before == 10 * len(CHUNK):  # the answer to the first Finalize comes in the second half
                    await socket.send(results("One", 0, 0.1, is_final=True, from_finalize=True))
            elif len(far.sound) == 20 * len(CHUNK):
                await socket.send(results("two.", 0.1, 0.3, is_final=True, from_finalize=True))

    async with peer_server(talk) as far, bench(ears(far)) as running:
        await running.until(lambda: running.service._link.is_open)  # type: ignore[attr-defined]
        clock = running.service.processor_setup.clock
        await speak(running)
        await running.task.queue_frame(UserStartedSpeakingFrame(at=clock()))
        await send(running, 1)
        (interim,) = await running.seen(InterimTranscriptionFrame)
        assert interim.text == "One"
        assert not running.after.of(TranscriptionFrame)
        await send(running, 9)
        await running.task.queue_frame(UserStoppedSpeakingFrame(at=clock()))
        (frame,) = await running.seen(TranscriptionFrame)
        assert frame.text == "One two."


async def test_a_late_answer_about_the_first_half_of_a_turn_does_not_end_it() -> None:
    async def talk(far: Peer, socket: ServerConnection) -> None:
        finals = 0
        async for message in far.messages(socket):
            finals += message["type"] == "Finalize"
            if finals == 2:  # both are answered now, one after the other
                await socket.send(results("One", 0, 0.2, is_final=True, from_finalize=True))
                await asyncio.sleep(0.02)
                await socket.send(results("two.", 0.2, 0.2, is_final=True, from_finalize=True))

    async with peer_server(talk) as far, bench(ears(far)) as running:
        await running.until(lambda: running.service._link.is_open)  # type: ignore[attr-defined]
        await speak(running)
        await speak(running)
        (frame,) = await running.seen(TranscriptionFrame)
        assert frame.text == "One two."


async def test_sound_without_final_words_goes_to_the_next_connection_and_nothing_is_lost() -> None:
    async def talk(far: Peer, socket: ServerConnection) -> None:
        if len(far.sockets) > 1:
            await finalized(far, socket)
            return
        async for data in socket:
            far.sound += data  # type: ignore[arg-type]
            if len(far.sound) == 10 * len(CHUNK):
                await socket.send(results("Book", 0, 0.1, is_final=True))
                far.sound.clear()
                socket.transport.abort()

    async with peer_server(talk) as far, bench(ears(far)) as running:
        await running.until(lambda: far.sockets)
        await speak(running, 10)
        (frame,) = await running.seen(TranscriptionFrame)
        assert frame.text == "Book Hello, there."
        assert bytes(far.sound) == CHUNK * 5
        assert running.errors == ["DeepgramSTTService failed: the connection to Deepgram was lost"]


async def test_sound_from_before_the_connection_stands_is_not_lost() -> None:
    async with peer_server(finalized) as far:
        far.refuse, far.refusal_headers = [503], {"Retry-After": "0.05"}
        async with bench(ears(far)) as running:
            await speak(running, 5)
            (frame,) = await running.seen(TranscriptionFrame)
            assert frame.text == "Hello, there."
            assert bytes(far.sound) == CHUNK * 5
            assert "Deepgram has an internal error (503): because" in running.errors[0]


async def test_a_silent_server_is_left_and_the_turn_recognised_by_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def talk(far: Peer, socket: ServerConnection) -> None:
        if len(far.sockets) > 1:
            far.sound.clear()
            await finalized(far, socket)
        await socket.wait_closed()

    monkeypatch.setattr(deepgram, "FINAL_TIMEOUT_S", 0.4)
    async with peer_server(talk) as far, bench(ears(far)) as running:
        await running.until(lambda: far.sockets)
        await speak(running)
        (frame,) = await running.seen(TranscriptionFrame)
        assert frame.text == "Hello, there."
        assert bytes(far.sound) == CHUNK * 10
        assert "sent nothing for 0.4 s" in running.errors[0]


async def test_a_finalize_that_is_never_answered_gives_what_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    async def talk(far: Peer, socket: ServerConnection) -> None:
        async for message in far.messages(socket):
            if message["type"] == "Finalize":
                await socket.send(results("Nearly", 0, 0.1))

    monkeypatch.setattr(deepgram, "FINAL_TIMEOUT_S", 0.05)
    async with peer_server(talk) as far, bench(ears(far)) as running:
        await running.until(lambda: far.sockets)
        await speak(running)
        (frame,) = await running.seen(TranscriptionFrame)
        assert frame.text == "Nearly"
        assert running.errors == []


async def test_a_wrong_key_is_reported_and_a_turn_still_ends() -> None:
    async with peer_server(finalized) as far:
        far.refuse = [401] * 5
        async with bench(ears(far)) as running:
            await running.until(lambda: running.errors)
            assert "Deepgram refused the key (401): check DEEPGRAM_API_KEY" in running.errors[0]
            assert isinstance(running.before.seen[-1].frame.exception, ServiceError)  # type: ignore[attr-defined]
            await speak(running)
            (frame,) = await running.seen(TranscriptionFrame)
            assert frame.text == ""
            await running.until(lambda: len(running.errors) == 2)
            assert len(far.asked) == 1


async def test_a_service_that_refused_is_asked_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_link, "REFUSED_FOR_S", 0.0)
    async with peer_server(finalized) as far:
        far.refuse = [401]
        async with bench(ears(far)) as running:
            await running.until(lambda: running.errors)
            await speak(running)
            (frame,) = await running.seen(TranscriptionFrame)
            assert frame.text == "Hello, there."
            assert bytes(far.sound) == CHUNK * 10


async def test_an_error_message_is_reported() -> None:
    async def talk(far: Peer, socket: ServerConnection) -> None:
        await socket.send(
            json.dumps({"type": "Error", "variant": "SchemaError", "description": "what was that"})
        )
        await socket.wait_closed()

    async with peer_server(talk) as far, bench(ears(far)) as running:
        await running.until(lambda: running.errors)
        assert running.errors == ["DeepgramSTTService failed: Deepgram failed: what was that"]


async def test_silence_keeps_the_connection_and_the_end_closes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deepgram, "KEEP_ALIVE_S", 0.05)
    async with peer_server(finalized) as far:
        async with bench(ears(far)) as running:
            await running.until(lambda: far.heard)
            assert far.heard[0] == {"type": "KeepAlive"}
        await running.until(lambda: far.heard[-1] == {"type": "CloseStream"})
    await asyncio.sleep(0)


def test_no_more_sound_is_kept_than_another_connection_needs() -> None:
    stream = HeardStream(HZ)
    for index in range(2000):
        stream.add(CHUNK, index * 0.02)
    assert len(stream.restart()) == 15 * HZ * 2
    stream.finish(Piece("Hello."), 14.0)
    assert len(stream.restart()) == HZ * 2
    assert stream.take_turn().text == "Hello."
    stream.forget()
    assert stream.restart() == b""


def test_the_times_of_words_go_on_with_another_connection() -> None:
    stream = HeardStream(HZ)
    for index in range(100):
        stream.add(CHUNK, 10 + index * 0.02)
    assert stream.clock_at(0) == pytest.approx(9.98)
    stream.finish(Piece("Hello."), 1.5)
    assert stream.is_final_until(0.5)
    assert not stream.is_final_until(0.3)
    assert len(stream.restart()) == HZ  # half a second
    assert stream.clock_at(0) == pytest.approx(11.48)
    assert not stream.is_final_until(0.3)
