"""Cartesia's wire, against a server that speaks it and its faults."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest
from service_bench import Peer, bench, peer_server
from websockets.asyncio.server import ServerConnection

from runner.errors import UsageError
from runner.frames import MetricsFrame, TTSAudioRawFrame
from runner.services.cartesia import CartesiaTTSService
from runner.services.common import service_link, streamed_tts

SENTENCE = "Hello, there are 42 of us."
SPOKEN = ["Hello,", "there", "are", "forty", "two", "of", "us."]
SOUND = bytes(range(256)) * 20


class Speaker:
    """Says `SOUND` and `SPOKEN` for each transcript; a test changes what it does."""

    def __init__(self, *, relative: bool = False, cut_after: int = -1) -> None:
        self.relative = relative
        self.cut_after = cut_after
        self.flushes: dict[str, int] = {}
        self.began_ms: dict[str, float] = {}

    async def talk(self, far: Peer, socket: ServerConnection) -> None:
        async for message in far.messages(socket):
            context = message["context_id"]
            if message.get("cancel"):
                continue
            if message["flush"]:
                self.flushes[context] = self.flushes.get(context, 0) + 1
                await self.send(
                    socket, "flush_done", context, flush_id=self.flushes[context], flush_done=True
                )
                continue
            await self.speak(far, socket, message)

    async def speak(self, far: Peer, socket: ServerConnection, message: dict[str, Any]) -> None:
        context = message["context_id"]
        began = 0.0 if self.relative else self.began_ms.get(context, 0.0)
        starts = [round((began + 20 * index) / 1000, 3) for index in range(len(SPOKEN))]
        times = {"words": SPOKEN, "start": starts, "end": starts}
        await self.send(socket, "timestamps", context, word_timestamps=times)
        for index in range(4):
            if self.cut_after == index:
                self.cut_after = -1
                socket.transport.abort()
                return
            piece = SOUND[index * 1280 : (index + 1) * 1280]
            await self.send(socket, "chunk", context, data=base64.b64encode(piece).decode(), step_time=1)
        hz = message["output_format"]["sample_rate"]
        self.began_ms[context] = self.began_ms.get(context, 0.0) + len(SOUND) / 2 / hz * 1000

    async def send(self, socket: ServerConnection, kind: str, context: str, **more: Any) -> None:
        common = {"type": kind, "context_id": context, "done": False, "status_code": 206}
        await socket.send(json.dumps({**common, **more}))


def voice(far: Peer, **more: Any) -> CartesiaTTSService:
    return CartesiaTTSService(voice="v1", api_key="canary-key", url=f"{far.url}/tts/websocket", **more)


async def test_a_sentence_comes_with_its_sound_its_own_words_and_the_time_to_its_first_sound() -> None:
    async with peer_server(Speaker().talk) as far, bench(voice(far, language="en"), out_hz=8000) as running:
        await running.say(SENTENCE)
        await running.said()
        assert running.pcm == SOUND
        assert {seen.frame.sample_rate for seen in running.after.of(TTSAudioRawFrame)} == {8000}  # type: ignore[attr-defined]
        assert [word for word, _ in running.words] == SENTENCE.split()
        assert dict(running.words) == {
            "Hello,": 0, "there": 20, "are": 40, "42": 100, "of": 100, "us.": 120,
        }  # fmt: skip
        assert [seen.frame.metric for seen in running.after.of(MetricsFrame)] == ["ttfb"]  # type: ignore[attr-defined]
        request = far.heard[0]
        assert request["transcript"] == f"{SENTENCE} "
        assert request["continue"] is True
        assert request["output_format"] == {"container": "raw", "encoding": "pcm_s16le", "sample_rate": 8000}
        assert request["voice"] == {"id": "v1"}
        assert request["language"] == "en"
        assert far.asked[0].path == "/tts/websocket"
        assert far.asked[0].headers["authorization"] == "Bearer canary-key"
        assert far.asked[0].headers["cartesia-version"] == "2026-08-14"


async def test_the_connection_stands_before_there_is_anything_to_say() -> None:
    async with peer_server(Speaker().talk) as far, bench(voice(far)) as running:
        await running.until(lambda: far.sockets)
        assert far.heard == []


@pytest.mark.parametrize("relative", [False, True])
async def test_the_sentences_of_a_reply_share_a_context_and_their_words_are_placed_in_each(
    relative: bool,
) -> None:
    async with peer_server(Speaker(relative=relative).talk) as far, bench(voice(far)) as running:
        await running.say("Hello, there are 2 of us.", "Hello, there are 3 of us.")
        await running.said(2)
        await running.say("Hello again.")
        await running.said(3)
        contexts = [message["context_id"] for message in far.heard if message.get("transcript")]
        assert contexts[0] == contexts[1] != contexts[2]
        assert running.words[0] == ("Hello,", 0)
        assert running.words[6] == ("Hello,", 0)
        assert running.words[7] == ("there", 20)


async def test_an_interruption_cancels_the_context_and_what_comes_late_is_dropped() -> None:
    class Slow(Speaker):
        async def speak(self, far: Peer, socket: ServerConnection, message: dict[str, Any]) -> None:
            if message["transcript"].startswith("First"):
                await self.send(socket, "chunk", message["context_id"], data=base64.b64encode(b"AB").decode())
                self.old = message["context_id"]
            else:
                late = base64.b64encode(b"LATE").decode()
                await self.send(socket, "chunk", self.old, data=late)
                await super().speak(far, socket, message)

        async def send(self, socket: ServerConnection, kind: str, context: str, **more: Any) -> None:
            if kind != "flush_done" or context != self.old:
                await super().send(socket, kind, context, **more)

    async with peer_server(Slow().talk) as far, bench(voice(far)) as running:
        await running.say("First sentence.")
        await running.seen(TTSAudioRawFrame)
        running.task.interrupt()
        await running.until(lambda: any(message.get("cancel") for message in far.heard))
        old = far.heard[0]["context_id"]
        assert {"context_id": old, "cancel": True} in far.heard
        await running.say("Second sentence.")
        await running.until(lambda: len(running.pcm) >= 2 + len(SOUND))
        assert running.pcm == b"AB" + SOUND
        assert running.errors == []


async def test_sound_may_be_cut_anywhere_and_a_late_boundary_ends_no_other_sentence() -> None:
    class Odd(Speaker):
        async def speak(self, far: Peer, socket: ServerConnection, message: dict[str, Any]) -> None:
            context = message["context_id"]
            await self.send(socket, "flush_done", context, flush_id=0, flush_done=True)
            for piece in (SOUND[:7], SOUND[7:8], SOUND[8:]):
                await self.send(socket, "chunk", context, data=base64.b64encode(piece).decode())

    async with peer_server(Odd().talk) as far, bench(voice(far)) as running:
        await running.say(SENTENCE, "And on.")
        await running.said(2)
        assert running.pcm == SOUND * 2
        sizes = [len(seen.frame.audio) for seen in running.after.of(TTSAudioRawFrame)]  # type: ignore[attr-defined]
        assert all(size % 2 == 0 for size in sizes)


async def test_a_connection_that_was_closed_while_nobody_spoke_is_opened_again_without_a_word() -> None:
    async with peer_server(Speaker().talk) as far, bench(voice(far)) as running:
        await running.until(lambda: far.sockets)
        await far.sockets[0].close()
        await running.say(SENTENCE)
        await running.said()
        assert running.pcm == SOUND
        assert running.errors == []
        assert len(far.sockets) == 2


async def test_a_sentence_lost_before_its_first_sound_is_asked_for_again() -> None:
    class DropsFirst(Speaker):
        async def speak(self, far: Peer, socket: ServerConnection, message: dict[str, Any]) -> None:
            if len(far.sockets) == 1:
                socket.transport.abort()
                return
            await super().speak(far, socket, message)

    async with peer_server(DropsFirst().talk) as far, bench(voice(far)) as running:
        await running.say(SENTENCE)
        await running.said()
        assert running.pcm == SOUND
        assert running.errors == []


async def test_a_sentence_cut_in_the_middle_is_reported_and_the_next_one_is_said() -> None:
    async with peer_server(Speaker(cut_after=2).talk) as far, bench(voice(far)) as running:
        await running.say(SENTENCE, "The next one.")
        await running.said(2)
        assert running.pcm == SOUND[:2560] + SOUND
        assert len(running.errors) == 1
        assert "the connection to Cartesia was lost" in running.errors[0]


async def test_a_wrong_key_is_reported_once_at_the_start_and_not_asked_again() -> None:
    async with peer_server(Speaker().talk) as far:
        far.refuse = [401] * 9
        async with bench(voice(far)) as running:
            await running.until(lambda: running.errors)
            assert "Cartesia refused the key (401): check CARTESIA_API_KEY: because" in running.errors[0]
            await running.say(SENTENCE)
            await running.said()
            assert len(running.errors) == 2
            assert "canary" not in str(running.errors)
            assert len(far.asked) == 1


async def test_too_many_requests_are_waited_out() -> None:
    async with peer_server(Speaker().talk) as far:
        far.refuse, far.refusal_headers = [429], {"Retry-After": "0.05"}
        async with bench(voice(far)) as running:
            await running.say(SENTENCE)
            await running.said()
            assert running.pcm == SOUND
            assert "limits the rate" in running.errors[0]


@pytest.mark.parametrize(
    ("status", "sentence", "requests"),
    [(404, "knows no such model, voice", 1), (429, "limits the rate", 3), (500, "has an internal error", 3)],
)
async def test_an_error_of_a_context_is_reported_and_what_may_pass_is_tried_again(
    status: int, sentence: str, requests: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Refuses(Speaker):
        async def speak(self, far: Peer, socket: ServerConnection, message: dict[str, Any]) -> None:
            await self.send(socket, "error", message["context_id"], status_code=status, title="No")

    monkeypatch.setattr(streamed_tts, "PAUSE_S", 0.01)
    async with peer_server(Refuses().talk) as far, bench(voice(far)) as running:
        await running.say(SENTENCE)
        await running.said()
        assert len(running.errors) == 1
        assert sentence in running.errors[0]
        assert len([message for message in far.heard if message.get("transcript")]) == requests


async def test_a_silent_server_is_given_up_and_another_connection_opened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Silent(Speaker):
        async def talk(self, far: Peer, socket: ServerConnection) -> None:
            if len(far.sockets) > 1:
                await super().talk(far, socket)
            await socket.wait_closed()

    monkeypatch.setattr(streamed_tts, "FIRST_SOUND_TIMEOUT_S", 0.1)
    async with peer_server(Silent().talk) as far, bench(voice(far)) as running:
        await running.say(SENTENCE, "The next one.")
        await running.said(2)
        assert running.errors == ["CartesiaTTSService failed: Cartesia sent nothing for 0.1 s"]
        assert running.pcm == SOUND


async def test_some_garbage_is_passed_over_and_nothing_but_garbage_ends_the_connection() -> None:
    class Garbled(Speaker):
        async def speak(self, far: Peer, socket: ServerConnection, message: dict[str, Any]) -> None:
            bad = ["{{{", '"text"', json.dumps({"type": "chunk", "context_id": message["context_id"]})]
            for each in bad * (1 if len(far.sockets) > 1 else 2):
                await socket.send(each)
            await super().speak(far, socket, message)

    async with peer_server(Garbled().talk) as far, bench(voice(far)) as running:
        await running.say(SENTENCE)
        await running.said()
        assert running.pcm == SOUND
        assert len(far.sockets) == 2


async def test_a_server_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_link, "READY_TIMEOUT_S", 0.1)
    service = CartesiaTTSService(voice="v1", api_key="k", url="ws://127.0.0.1:1/")
    async with bench(service) as running:
        await running.say(SENTENCE)
        await running.said()
        assert all("Cartesia cannot be reached" in error for error in running.errors)
        assert len(running.errors) == 2


async def test_a_sentence_of_dots_is_not_asked_for() -> None:
    async with peer_server(Speaker().talk) as far, bench(voice(far)) as running:
        await running.say("… —")
        await running.said()
        await asyncio.sleep(0)
        assert far.heard == []


def test_without_a_key_it_says_where_one_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CARTESIA_API_KEY", raising=False)
    with pytest.raises(
        UsageError, match=r"CartesiaTTSService needs an API key\. Set CARTESIA_API_KEY in \.env"
    ):
        CartesiaTTSService(voice="v1")
