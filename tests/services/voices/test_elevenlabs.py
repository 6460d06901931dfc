"""ElevenLabs' wire, against a server that speaks it and its faults."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from service_bench import Peer, bench, peer_server
from websockets.asyncio.server import ServerConnection

from runner.audio.g711 import ulaw_decode
from runner.frames import TTSAudioRawFrame
from runner.services.elevenlabs import ElevenLabsTTSService

SENTENCE = "Hello, dear world."
PIECES = ("Hello, de", "ar wor", "ld. ")
CHAR_MS = 10
SOUND = bytes(range(240))


class Speaker:
    """Says `SENTENCE` in three pieces: each character takes 10 ms; an odd byte is in the middle."""

    def __init__(self, *, anew: bool = True, aligned: bool = True, pieces: tuple[str, ...] = PIECES) -> None:
        self.pieces = pieces
        self.anew = anew
        self.aligned = aligned

    async def talk(self, far: Peer, socket: ServerConnection) -> None:
        async for message in far.messages(socket):
            if message.get("flush"):
                await self.speak(far, socket, message["context_id"])
            if message.get("close_context"):
                await self.send(socket, message["context_id"], isFinal=True)

    async def speak(self, far: Peer, socket: ServerConnection, context: str) -> None:
        at = 0
        rate = int(parse_qs(urlsplit(far.asked[-1].path).query)["output_format"][0].split("_")[1])
        for text in self.pieces:
            starts = [CHAR_MS * (index + (0 if self.anew else at)) for index in range(len(text))]
            alignment = {
                "chars": list(text),
                "charStartTimesMs": starts,
                "charDurationsMs": [CHAR_MS] * len(text),
            }
            sound = b"\x01\x02" * (CHAR_MS * len(text) * rate // 1000)
            more: dict[str, Any] = {"alignment": alignment} if self.aligned else {}
            await self.send(socket, context, audio=base64.b64encode(sound).decode(), **more)
            at += len(text)

    async def send(self, socket: ServerConnection, context: str, **more: Any) -> None:
        await socket.send(json.dumps({"contextId": context, **more}))


def voice(far: Peer, **more: Any) -> ElevenLabsTTSService:
    return ElevenLabsTTSService(voice="v/1", api_key="canary-key", url=far.url, **more)


@pytest.mark.parametrize("anew", [True, False])
async def test_words_are_made_of_characters_across_messages_however_their_times_count(anew: bool) -> None:
    async with peer_server(Speaker(anew=anew).talk) as far, bench(voice(far)) as running:
        await running.say(SENTENCE)
        await running.said()
        assert running.words == [("Hello,", 0), ("dear", 70), ("world.", 120)]
        assert len(running.pcm) == sum(map(len, PIECES)) * CHAR_MS * 24 * 2
        assert running.errors == []


async def test_the_last_word_needs_no_space_behind_it() -> None:
    async with (
        peer_server(Speaker(pieces=("Hello, dear", " world.")).talk) as far,
        bench(voice(far)) as running,
    ):
        await running.say(SENTENCE)
        await running.said()
        assert running.words == [("Hello,", 0), ("dear", 70), ("world.", 120)]


async def test_what_is_asked_for_is_what_the_service_knows() -> None:
    settings = {"stability": 0.5}
    async with (
        peer_server(Speaker().talk) as far,
        bench(voice(far, voice_settings=settings, language="en")) as running,
    ):
        await running.say(SENTENCE)
        await running.said()
        address = urlsplit(far.asked[0].path)
        assert address.path == "/v1/text-to-speech/v%2F1/multi-stream-input"
        query = {name: values[0] for name, values in parse_qs(address.query).items()}
        assert query == {
            "model_id": "eleven_flash_v2_5", "output_format": "pcm_24000", "auto_mode": "true",
            "sync_alignment": "true", "inactivity_timeout": "180", "language_code": "en",
        }  # fmt: skip
        assert far.asked[0].headers["xi-api-key"] == "canary-key"
        context = far.heard[0]["context_id"]
        assert far.heard == [
            {"text": " ", "context_id": context, "voice_settings": settings},
            {"text": f"{SENTENCE} ", "context_id": context, "flush": True},
            {"context_id": context, "close_context": True},
        ]


async def test_a_phone_gets_its_own_rate_out_of_ulaw() -> None:
    class Ulaw(Speaker):
        async def speak(self, far: Peer, socket: ServerConnection, context: str) -> None:
            await self.send(socket, context, audio=base64.b64encode(SOUND).decode())

    async with peer_server(Ulaw().talk) as far, bench(voice(far), out_hz=8000) as running:
        await running.say(SENTENCE)
        await running.said()
        assert "output_format=ulaw_8000" in far.asked[0].path
        assert running.pcm == ulaw_decode(SOUND)
        assert running.after.of(TTSAudioRawFrame)[0].frame.sample_rate == 8000  # type: ignore[attr-defined]


async def test_without_alignment_the_words_are_placed_by_a_usual_speed() -> None:
    async with peer_server(Speaker(aligned=False).talk) as far, bench(voice(far)) as running:
        await running.say(SENTENCE)
        await running.said()
        assert [word for word, _ in running.words] == SENTENCE.split()


async def test_late_sound_of_an_interrupted_sentence_is_dropped() -> None:
    class Slow(Speaker):
        old = ""

        async def talk(self, far: Peer, socket: ServerConnection) -> None:
            async for message in far.messages(socket):
                if message.get("flush") and not self.old:
                    self.old = message["context_id"]
                    await self.send(socket, self.old, audio=base64.b64encode(b"AB").decode())
                elif message.get("flush"):
                    await self.send(socket, self.old, audio=base64.b64encode(b"LATE").decode())
                    await self.send(socket, self.old, isFinal=True)
                    await self.speak(far, socket, message["context_id"])
                    await self.send(socket, message["context_id"], isFinal=True)

    async with peer_server(Slow().talk) as far, bench(voice(far)) as running:
        await running.say("First sentence.")
        await running.seen(TTSAudioRawFrame)
        running.task.interrupt()
        await running.say(SENTENCE)
        await running.until(lambda: len(running.words) >= 3 and len(running.pcm) > 9000)
        assert b"LATE" not in running.pcm
        assert running.errors == []


@pytest.mark.parametrize("in_context", [True, False])
async def test_an_error_message_ends_the_sentence_and_the_next_one_is_said(in_context: bool) -> None:
    class Fails(Speaker):
        async def speak(self, far: Peer, socket: ServerConnection, context: str) -> None:
            if len([message for message in far.heard if message.get("flush")]) == 1:
                error = {"error": "quota_exceeded", "message": "no credits left", "code": 1008}
                await socket.send(json.dumps({**error, **({"contextId": context} if in_context else {})}))
            else:
                await super().speak(far, socket, context)

    async with peer_server(Fails().talk) as far, bench(voice(far)) as running:
        await running.say("One thing.", SENTENCE)
        await running.said(2)
        assert running.errors == ["ElevenLabsTTSService failed: ElevenLabs failed: no credits left"]
        assert running.words[-1] == ("world.", 120)


async def test_a_close_with_1008_is_a_refusal_and_its_reason_is_reported() -> None:
    class Unknown(Speaker):
        async def speak(self, far: Peer, socket: ServerConnection, context: str) -> None:
            await socket.close(1008, "A voice with this id does not exist")

    async with peer_server(Unknown().talk) as far, bench(voice(far)) as running:
        await running.say(SENTENCE, "And on.")
        await running.said(2)
        assert len(running.errors) == 2
        assert all("(1008: A voice with this id does not exist)" in error for error in running.errors)
        assert len(far.asked) == 1


async def test_at_the_end_of_the_call_the_service_hears_of_it() -> None:
    async with peer_server(Speaker().talk) as far:
        async with bench(voice(far)) as running:
            await running.until(lambda: far.sockets)
        await running.until(lambda: far.heard)
        assert far.heard == [{"close_socket": True}]
