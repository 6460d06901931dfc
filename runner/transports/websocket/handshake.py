"""The first messages of a provider's media socket, read under a deadline."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from starlette.websockets import WebSocketDisconnect

from runner.errors import ProtocolError
from runner.serializers.handshake import Handshake, HandshakeResult
from runner.transports.websocket.socket import CallWebSocket

if TYPE_CHECKING:
    from starlette.websockets import WebSocket

DEADLINE_S = 5.0
"""How long (s) a socket may be open without its start message."""

_read: weakref.WeakKeyDictionary[WebSocket, HandshakeResult] = weakref.WeakKeyDictionary()


@dataclass(frozen=True)
class CallData:
    """What a provider told of a call; also to be read like a dictionary.

    Attributes:
        stream_id: the provider's id of the media stream.
        call_id: the provider's id of the call.
        from_number: the caller's number, if it was told.
        to_number: the number that was called, if it was told.
        body: the custom parameters of the answer document.
        account_id: the provider's id of the account, if it was told.
        outbound_encoding: how the caller's sound is written on the wire.
    """

    stream_id: str = ""
    call_id: str = ""
    from_number: str | None = None
    to_number: str | None = None
    body: Mapping[str, str] = field(default_factory=dict)
    account_id: str = ""
    outbound_encoding: str = ""

    _ALIASES = {  # noqa: RUF012 - not a field: it has no annotation
        "from": "from_number",
        "to": "to_number",
        "call_control_id": "call_id",
        "custom_parameters": "body",
        "account_sid": "account_id",
    }

    def get(self, key: str, default: Any = None) -> Any:
        """The value by its name here, or by the provider's."""
        name = self._ALIASES.get(key, key)
        return getattr(self, name) if name in self else default

    def __getitem__(self, key: str) -> Any:
        if key not in self:
            raise KeyError(key)
        return self.get(key)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._ALIASES.get(key, key) in {f.name for f in fields(self)}

    def __iter__(self) -> Iterator[str]:
        return (f.name for f in fields(self))


async def read_handshake(
    websocket: WebSocket, deadline_s: float = DEADLINE_S, *, heard: list[str | bytes] | None = None
) -> HandshakeResult:
    """Read up to and with the start message; the messages are added to `heard`.

    Raises:
        ProtocolError: it did not come in time, or is none of a known provider.
    """
    handshake = Handshake()
    try:
        async with asyncio.timeout(deadline_s):
            while True:
                message = await websocket.receive()
                if message["type"] == "websocket.disconnect":
                    raise ProtocolError("the socket was closed before its start message")
                content = message.get("text") or message.get("bytes") or ""
                if heard is not None:
                    heard.append(content)
                result = handshake.feed(content)
                if result is not None:
                    return result
    except TimeoutError:
        raise ProtocolError(f"no start message came within {deadline_s:g} s") from None
    except WebSocketDisconnect:
        raise ProtocolError("the socket was closed before its start message") from None


async def parse_telephony_websocket(websocket: WebSocket) -> tuple[str, CallData]:
    """The provider's name and what it told of the call.

    On a socket that botrun has accepted this is known already. On a bare one the first messages are
    read, under a deadline; a second call returns the same.

    Raises:
        ProtocolError: the socket is none of a known provider.
    """
    if isinstance(websocket, CallWebSocket):
        if websocket.handshake is None:
            return "websocket", CallData(stream_id=websocket.serializer.stream_id)
        result = websocket.handshake
    elif websocket in _read:
        result = _read[websocket]
    else:
        result = _read[websocket] = await read_handshake(websocket)
    return result.provider, call_data(result)


def call_data(result: HandshakeResult) -> CallData:
    """A handshake in the form that bots know."""
    return CallData(
        stream_id=result.stream_id,
        call_id=result.call_id,
        from_number=result.from_number,
        to_number=result.to_number,
        body=result.custom_parameters,
        account_id=result.account_id,
        outbound_encoding=result.encoding.name,
    )
