"""A client gets a prepared reply once it is certain, and never if it is discarded."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from runner.testing import Conversation
from runner.turns import RuleTurnAnalyzer, TurnPauses

OF_THE_REPLY = (
    "user-llm-text", "bot-llm-started", "bot-llm-text", "bot-llm-stopped", "bot-tts-started", "bot-output",
    "bot-transcription", "metrics",
)  # fmt: skip


class Client:
    """What the client of a conversation receives, and when."""

    def __init__(self, it: Conversation) -> None:
        self.it = it
        self.messages: list[tuple[float, dict[str, Any]]] = []
        output: Any = it.transport.output()
        output.carries_messages = True
        output.send_message = self._take

    async def _take(self, message: dict[str, Any]) -> None:
        self.messages.append((self.it.stt.processor_setup.clock(), message))

    async def ready(self) -> None:
        rtvi = self.it.task.rtvi
        assert rtvi is not None
        about = {"version": "2.1.0", "about": {"library": "test"}}
        await rtvi.on_message({"label": "rtvi-ai", "type": "client-ready", "id": "1", "data": about})

    def of(self, kind: str) -> list[tuple[float, Any]]:
        return [(at, message.get("data")) for at, message in self.messages if message["type"] == kind]

    def texts(self, kind: str) -> str:
        return "".join(data["text"] for _, data in self.of(kind)).strip()


def speculating(*replies: str) -> tuple[Conversation, Client]:
    rules = RuleTurnAnalyzer(TurnPauses(unsure_s=1.0))
    it = Conversation(*replies, speculative=True, turn_analyzer=rules)
    return it, Client(it)


def test_a_prepared_reply_is_sent_only_after_the_turn_and_then_whole_and_in_order() -> None:
    it, client = speculating("Here it is.")

    async def script() -> None:
        await client.ready()
        await it.caller.say("bring me tea")
        await it.bot_is_silent()

    it.run(script)
    certain = 2.01  # the words end at 1.01, and a second of doubt follows
    received = [(at, m["type"]) for at, m in client.messages if m["type"] in OF_THE_REPLY]
    assert min(at for at, _ in received) == pytest.approx(certain, abs=0.01)
    assert client.texts("bot-llm-text") == "Here it is."
    assert client.texts("user-llm-text") == "bring me tea"
    order = [kind for _, kind in received]
    assert order.index("user-llm-text") < order.index("bot-llm-started") < order.index("bot-llm-text")
    assert order.index("bot-llm-text") < order.index("bot-llm-stopped")
    assert [data["text"] for _, data in client.of("bot-tts-text")] == ["Here", "it", "is."]


def test_of_a_reply_that_is_thrown_away_the_client_hears_nothing() -> None:
    it, client = speculating("too early.", "Here it is.")

    async def script() -> None:
        await client.ready()
        await it.caller.say("bring me tea")
        await asyncio.sleep(0.75)
        await it.caller.say("with milk", 0.6)
        await it.bot_is_silent()

    it.run(script)
    assert len(it.llm.asked) == 2
    assert "early" not in str(client.messages)
    assert client.texts("bot-llm-text") == "Here it is."
    assert [data["text"] for _, data in client.of("user-llm-text")] == ["bring me tea with milk"]
    kinds = [message["type"] for _, message in client.messages]
    assert (kinds.count("bot-llm-started"), kinds.count("bot-llm-stopped")) == (1, 1)
    assert kinds.count("bot-tts-started") == 1
    by_reply = [m for _, m in client.messages if m["type"] == "metrics" and "ttfb" in m["data"]]
    assert len(by_reply) == 2  # the model's and the voice's, of the reply that was heard


def test_a_reply_that_was_not_prepared_is_sent_as_it_is_made() -> None:
    it = Conversation("Here it is.")
    client = Client(it)

    async def script() -> None:
        await client.ready()
        await it.caller.say("bring me tea")
        await it.bot_is_silent()

    it.run(script)
    started = client.of("bot-llm-started")[0][0]
    assert client.of("bot-llm-text")[0][0] == pytest.approx(started + 0.15, abs=0.02)
