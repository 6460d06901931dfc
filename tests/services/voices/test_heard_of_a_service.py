"""A streaming voice in a whole pipeline: memory holds what was heard of it, word for word."""

from __future__ import annotations

import asyncio
import base64
import json

from eventually import eventually
from service_bench import Peer, peer_server
from websockets.asyncio.server import ServerConnection

from runner.frames import BotStartedSpeakingFrame, TTSSpeakFrame
from runner.pipeline import Pipeline, PipelineRunner, PipelineTask
from runner.processors import LLMContext, LLMContextAggregatorPair
from runner.services.cartesia import CartesiaTTSService
from runner.testing import FakeTransport, Recorder

WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
WORD_MS = 100


async def talk(far: Peer, socket: ServerConnection) -> None:
    """All at once, as services do: faster than it is heard."""
    async for message in far.messages(socket):
        common = {"context_id": message["context_id"], "done": False, "status_code": 206}
        if message.get("transcript", "").strip():
            starts = [index * WORD_MS / 1000 for index in range(len(WORDS))]
            times = {"words": WORDS, "start": starts, "end": starts}
            await socket.send(json.dumps({**common, "type": "timestamps", "word_timestamps": times}))
            sound = base64.b64encode(b"\x10\x20" * (24 * WORD_MS * len(WORDS))).decode()
            await socket.send(json.dumps({**common, "type": "chunk", "data": sound}))
        elif message.get("flush"):
            await socket.send(json.dumps({**common, "type": "flush_done", "flush_id": 1}))


async def test_after_an_interruption_memory_holds_the_words_that_were_heard_and_no_others() -> None:
    async with peer_server(talk) as far:
        transport = FakeTransport()
        memory = LLMContextAggregatorPair(LLMContext())
        voice = CartesiaTTSService(voice="v", api_key="k", url=far.url)
        heard = Recorder()
        chain = [transport.input(), voice, transport.output(), heard, memory.assistant()]
        task = PipelineTask(Pipeline(chain))
        running = asyncio.create_task(PipelineRunner().run(task))
        await task.queue_frame(TTSSpeakFrame(f"{' '.join(WORDS)}."))
        await eventually(lambda: heard.of(BotStartedSpeakingFrame), 10)
        await asyncio.sleep(0.4)
        task.interrupt()
        await asyncio.sleep(0.1)
        await task.cancel()
        await running
        (message,) = memory.context.messages
        said = message["content"].split()
        assert said == WORDS[: len(said)]
        assert 0 < len(said) < len(WORDS)
