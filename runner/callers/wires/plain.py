"""A plain client's end of `/ws-client`: pcm in binary messages, JSON in text messages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

from runner.callers.wires.base import BadMessage, BotClear, BotMark, BotSound, Wire, WireEvent
from runner.serializers.websocket import LABEL

PATH = "/ws-client"


class PlainWire(Wire):
    """No opening and no `stop`; 20 ms of pcm a message. The rates stand in the socket's address."""

    provider = "websocket"
    default_encoding = "l16"
    _default_ids = ("", "", "")
    _token = ""

    @property
    def query(self) -> str:
        """What asks for this wire's rates, and for marks."""
        return f"sample_rate={self.sample_rate}&output_sample_rate={self.sample_rate}&marks=1"

    def address_again(self, url: str) -> str:
        """With the token that the first socket was told."""
        parts = urlsplit(url)
        base = parts.path.partition(f"{PATH}/")[0].removesuffix(PATH)
        return urlunsplit(parts._replace(path=f"{base}{PATH}/{self._token}")) if self._token else url

    def again(self) -> Self:
        wire = super().again()
        wire._token = self._token
        return wire

    def opening(self) -> list[str | bytes]:
        return []

    def media(self, pcm: bytes, now: float = 0.0) -> bytes:
        return pcm

    def dtmf(self, digit: str) -> str:
        raise ValueError("a plain client has no keys")

    def mark_reached(self, name: str) -> str:
        return json.dumps({"label": LABEL, "type": "mark", "name": name})

    def receive(self, message: str | bytes) -> list[WireEvent]:
        return [BotSound(message)] if isinstance(message, bytes) else super().receive(message)

    def _receive(self, data: Mapping[str, Any]) -> list[WireEvent]:
        if data.get("label") == LABEL and data.get("type") == "session":
            self._token = str(data.get("token") or self._token)
            return []
        if data.get("label") != LABEL:
            return []
        if data.get("type") == "clear":
            return [BotClear()]
        if data.get("type") == "mark" and isinstance(data.get("name"), str):
            return [BotMark(data["name"])]
        raise BadMessage(f"an unknown message {data.get('type')!r}; there are session, clear and mark.")
