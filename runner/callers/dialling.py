"""The phone's connection: what it needs of one, and how it is made over the network."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidURI

from runner.errors import TransportError
from runner.server.access.local_only import is_loopback
from runner.server.access.login import key_headers
from runner.server.handover.phone_peer import HEADER, MOVES, WAITS
from runner.server.wire.tls import trust_for

OPEN_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 1.0


class Socket(Protocol):
    """What the phone needs of a connection; those of `websockets` have it."""

    @property
    def close_code(self) -> int | None: ...
    @property
    def close_reason(self) -> str | None: ...
    async def send(self, message: str | bytes) -> None: ...
    def __aiter__(self) -> AsyncIterator[str | bytes]: ...
    async def close(self) -> None: ...


async def dial_network(url: str, *, waits: bool = False) -> ClientConnection:
    """Connect over the network. `waits`: somebody is there who can mend a bot that fails.

    Raises `TransportError` if nobody answers.
    """
    try:
        return await connect(
            url,
            additional_headers={**key_headers(url), HEADER: WAITS if waits else MOVES},
            compression=None,
            ping_interval=None,
            open_timeout=OPEN_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
            max_size=1 << 22,
            ssl=trust_for(url),
            proxy=None if is_loopback(urlsplit(url).hostname or "") else True,
        )
    except InvalidURI:
        raise TransportError(f"{url} is no address of a WebSocket (ws://…)") from None
    except (OSError, TimeoutError, InvalidHandshake) as error:
        # asyncio's own words for a refusal name the address a second time.
        reason = "nothing listens there" if isinstance(error, ConnectionRefusedError) else error
        raise TransportError(f"nobody answers at {url}: {reason}") from None
