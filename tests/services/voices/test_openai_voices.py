"""OpenAI's transcription and speech APIs, against a server that answers byte for byte."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import wave
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from service_bench import Bench, bench

from runner.errors import UsageError
from runner.frames import (
    InputAudioRawFrame,
    MetricsFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from runner.services import openai_stt, openai_tts
from runner.services.common import service_http
from runner.services.openai_stt import OpenAISTTService, as_wav
from runner.services.openai_tts import OpenAITTSService

SOUND = bytes(range(256)) * 8


def answer(status: str, body: bytes = b"", kind: str = "application/json", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-type: {kind}", f"content-length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def streamed(*pieces: bytes, whole: bool = True) -> list[bytes]:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: audio/pcm\r\ntransfer-encoding: chunked\r\n\r\n"
    chunks = [f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in pieces]
    return [head, *chunks, *([b"0\r\n\r\n"] if whole else [])]


@dataclass
class HttpEnd:
    """Answers `POST`s with what the test wrote down, one after the other. `b""` waits for the client to go;
    `b"CUT"` breaks the connection off."""

    answers: list[list[bytes]]
    models: bytes = answer("404 Not Found")
    asked: list[tuple[str, bytes]] = field(default_factory=list)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                if head.startswith("GET"):
                    writer.write(self.models)
                    continue
                length = int(head.lower().split("content-length: ")[1].split("\r\n")[0])
                self.asked.append((head, await reader.readexactly(length)))
                for piece in self.answers.pop(0):
                    if not piece:
                        await reader.read(1)
                        self.gone.set()
                    elif piece == b"PAUSE":
                        await asyncio.sleep(0.02)
                    elif piece == b"CUT":
                        writer.transport.abort()
                    else:
                        writer.write(piece)
                        await writer.drain()
        self.gone.set()
        writer.close()


@contextlib.asynccontextmanager
async def http_end(*answers: list[bytes], **more: Any) -> AsyncIterator[HttpEnd]:
    made = HttpEnd(list(answers), **more)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield made
    finally:
        server.close()


def voice(far: HttpEnd, **more: Any) -> OpenAITTSService:
    return OpenAITTSService(api_key="canary-key", base_url=far.url, **more)


async def speak(running: Bench, hz: int = 8000) -> None:
    await running.task.queue_frame(UserStartedSpeakingFrame())
    await running.task.queue_frame(InputAudioRawFrame(SOUND, hz))
    await running.task.queue_frame(UserStoppedSpeakingFrame())


# ------------------------------------------------------------------ voice


async def test_sound_streams_in_however_it_is_cut() -> None:
    pieces = [SOUND[i : i + 333] for i in range(0, len(SOUND), 333)]
    async with http_end(streamed(*pieces)) as far, bench(voice(far, voice="nova", speed=1.2)) as running:
        await running.say("Hello, world.")
        await running.said()
        assert running.pcm == SOUND
        assert [word for word, _ in running.words] == ["Hello,", "world."]
        assert {seen.frame.sample_rate for seen in running.after.of(TTSAudioRawFrame)} == {24000}  # type: ignore[attr-defined]
        assert [seen.frame.metric for seen in running.after.of(MetricsFrame)] == ["ttfb"]  # type: ignore[attr-defined]
        head, body = far.asked[0]
        assert head.startswith("POST /v1/audio/speech ")
        assert "Bearer canary-key" in head
        assert json.loads(body) == {
            "model": "gpt-4o-mini-tts", "voice": "nova", "speed": 1.2, "input": "Hello, world.",
            "response_format": "pcm",
        }  # fmt: skip
        assert running.errors == []


async def test_an_interruption_breaks_the_request_off() -> None:
    async with http_end([*streamed(SOUND, whole=False), b""]) as far, bench(voice(far)) as running:
        await running.say("A long sentence.")
        await running.seen(TTSAudioRawFrame)
        running.task.interrupt()
        async with asyncio.timeout(5):
            await far.gone.wait()
        assert running.errors == []


async def test_a_stream_cut_in_the_middle_is_reported_and_the_next_sentence_said() -> None:
    cut = [*streamed(SOUND, whole=False), b"CUT"]
    async with http_end(cut, streamed(SOUND)) as far, bench(voice(far)) as running:
        await running.say("One thing.", "And another.")
        await running.said(2)
        assert running.pcm == SOUND * 2
        assert len(running.errors) == 1
        assert "broke off" in running.errors[0]


@pytest.mark.parametrize(
    ("first", "sentence"),
    [
        (
            answer("401 No", b'{"error":{"message":"bad key"}}'),
            r"refused the key (401): check OPENAI_API_KEY: bad key",
        ),
        (
            answer("404 No", b'{"error":{"message":"no such voice"}}'),
            "no such model, voice or address (404): no such",
        ),
        (answer("200 OK", b"<html>", "text/html"), "sent text/html instead of sound: <html>"),
    ],
)
async def test_what_cannot_be_said_is_reported_in_words_and_without_the_key(
    first: bytes, sentence: str
) -> None:
    async with http_end([first]) as far, bench(voice(far)) as running:
        await running.say("Hello.")
        await running.said()
        assert len(running.errors) == 1
        assert sentence in running.errors[0]
        assert "canary" not in running.errors[0]
        assert len(far.asked) == 1


async def test_too_many_requests_are_waited_out_and_in_the_end_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(service_http, "PAUSE_S", 0.01)
    busy = [answer("429 Busy", b'{"error":{"message":"slow down"}}', retry_after="0.02")]
    answers = [busy, [answer("503 Out")], streamed(SOUND), busy, busy, busy]
    async with http_end(*answers) as far, bench(voice(far)) as running:
        await running.say("Hello.", "Hello again.")
        await running.said(2)
        assert running.pcm == SOUND
        assert len(running.errors) == 1
        assert "limits the rate" in running.errors[0]
        assert len(far.asked) == 6


async def test_a_connection_that_the_server_has_closed_is_replaced() -> None:
    async with http_end([b"CUT"], streamed(SOUND)) as far, bench(voice(far)) as running:
        await running.say("Hello.")
        await running.said()
        assert running.pcm == SOUND


async def test_a_silent_server_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_tts, "SILENCE_TIMEOUT_S", 0.1)
    async with http_end([b""], [*streamed(SOUND, whole=False), b""]) as far, bench(voice(far)) as running:
        await running.say("Hello.", "Hello again.")
        await running.said(2)
        assert "did not answer within 0.1 s" in running.errors[0]
        assert "sent nothing for 0.1 s" in running.errors[1]


async def test_a_wrong_key_is_reported_at_the_start() -> None:
    async with http_end(models=answer("401 No", b'"bad"')) as far, bench(voice(far)) as running:
        await running.until(lambda: running.errors)
        assert "refused the key (401)" in running.errors[0]


def test_only_a_server_of_ones_own_may_need_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    OpenAITTSService(base_url="http://127.0.0.1:8000/v1")
    with pytest.raises(UsageError, match=r"OpenAISTTService needs an API key\. Set OPENAI_API_KEY"):
        OpenAISTTService()


# ------------------------------------------------------------------ ears


async def test_an_utterance_goes_out_as_a_wav_file_and_comes_back_as_text() -> None:
    async with (
        http_end([answer("200 OK", b'{"text": " Book a table. "}')]) as far,
        bench(OpenAISTTService(api_key="k", base_url=far.url, prompt="botrun"), in_hz=8000) as running,
    ):
        await speak(running)
        (frame,) = await running.seen(TranscriptionFrame)
        assert frame.text == "Book a table."
        assert running.after.of(MetricsFrame)[0].frame.metric == "ttfb"  # type: ignore[attr-defined]
        head, body = far.asked[0]
        assert head.startswith("POST /v1/audio/transcriptions ")
        for name, value in (("model", b"gpt-transcribe"), ("language", b"en"), ("prompt", b"botrun")):
            assert b'name="%s"\r\n\r\n%s\r\n' % (name.encode(), value) in body
        assert b'filename="speech.wav"' in body
        with wave.open(io.BytesIO(body[body.index(b"RIFF") :])) as wav:
            assert wav.getframerate() == 8000
            assert wav.readframes(len(SOUND) // 2) == SOUND


@pytest.mark.parametrize("body", [b"[1, 2]", b"<html>", b'{"words": []}'])
async def test_an_answer_without_text_is_reported(body: bytes) -> None:
    good = [answer("200 OK", b'{"text": "Yes."}')]
    peer_server = http_end([answer("200 OK", body)], good)
    async with peer_server as far, bench(OpenAISTTService(api_key="k", base_url=far.url)) as running:
        await speak(running)
        await running.until(lambda: running.errors)
        assert "sent no text" in running.errors[0]
        await speak(running)
        (frame,) = await running.seen(TranscriptionFrame)
        assert frame.text == "Yes."


# ------------------------------------------------------------------ answers that are not as asked for


async def test_a_wav_file_is_played_at_its_own_rate() -> None:
    body = as_wav(SOUND, 16000)
    async with http_end(streamed(body[:30], body[30:999], body[999:])) as far, bench(voice(far)) as running:
        await running.say("Hello.")
        await running.said()
        assert running.pcm == SOUND
        assert {seen.frame.sample_rate for seen in running.after.of(TTSAudioRawFrame)} == {16000}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("first", "sentence"),
    [
        (streamed(b"ID3\x04" + bytes(900)), "sent MP3 instead of pcm: let it send pcm or WAV"),
        ([answer("200 OK", bytes(900), "audio/mpeg")], "sent MP3 instead of pcm"),
        (
            [answer("200 OK", b'{"error": "no such voice"}')],
            "sent application/json instead of sound: no such voice",
        ),
    ],
)
async def test_other_sound_is_refused_in_words_and_not_played(first: list[bytes], sentence: str) -> None:
    async with http_end(first) as far, bench(voice(far)) as running:
        await running.say("Hello.")
        await running.said()
        assert len(running.errors) == 1
        assert sentence in running.errors[0]
        assert running.pcm == b""


@pytest.mark.parametrize(
    ("text", "heard"),
    [
        ("[BLANK_AUDIO]", ""),
        (" (upbeat music) ", ""),
        ("[ Silence ] *coughs* ...", ""),
        ("♪ la la ♪", ""),
        ("Book a table [for two].", "Book a table [for two]."),
        ("（拍手）", ""),
        ("", ""),
    ],
)
async def test_annotations_are_not_the_users_words(text: str, heard: str) -> None:
    reply = [answer("200 OK", json.dumps({"text": text}).encode())]
    async with http_end(reply) as far, bench(OpenAISTTService(api_key="k", base_url=far.url)) as running:
        await speak(running)
        (frame,) = await running.seen(TranscriptionFrame)
        assert frame.text == heard


async def test_keep_alives_do_not_extend_a_transcriptions_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_stt, "ANSWER_TIMEOUT_S", 0.3)
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    async with (
        http_end([head, *[b"1\r\n \r\n", b"PAUSE"] * 30, b""]) as far,
        bench(OpenAISTTService(api_key="k", base_url=far.url)) as running,
    ):
        await speak(running)
        await running.until(lambda: running.errors)
        assert "did not answer within 0.3 s" in running.errors[0]
        await far.gone.wait()
