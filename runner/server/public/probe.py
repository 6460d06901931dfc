"""Does the public address lead here? Asked through it, as a provider would, before a number is told."""

from __future__ import annotations

import asyncio

from runner.errors import TransportError
from runner.server.public.address import PublicAddress

WITHIN_S = 20.0
TRY_S = 5.0
PAUSE_S = 0.5


class UnreachableError(TransportError):
    """The public address does not lead to this run."""


async def probe(address: PublicAddress, within_s: float = WITHIN_S) -> None:
    """Open the media socket through the public address; a new tunnel may take a moment.

    Raises:
        UnreachableError: it does not lead here.
    """
    reason = "no answer"
    try:
        async with asyncio.timeout(within_s):
            while True:
                reason = await _try(address)
                if not reason:
                    return
                await asyncio.sleep(PAUSE_S)
    except TimeoutError:
        raise UnreachableError(
            f"{address.socket_origin}/ws does not lead here: {reason}. The tunnel or proxy must bring"
            " WebSockets, too, to the public port of this run (--public-port), not to its main port"
        ) from None


async def _try(address: PublicAddress) -> str:
    """Why it does not lead here; "" if it does."""
    from websockets.asyncio.client import connect
    from websockets.exceptions import WebSocketException

    try:
        async with (
            asyncio.timeout(TRY_S),
            connect(address.probe_url, proxy=None, compression=None, open_timeout=TRY_S) as socket,
        ):
            if await socket.recv() == address.probe_answer:
                return ""
            return "something else answers there"
    except TimeoutError:
        return f"no answer within {TRY_S:g} s"
    except (OSError, WebSocketException) as error:
        # Its text may hold the address with its token.
        text = str(error).replace(address.probe_url, "it")
        return f"{type(error).__name__}: {text}"[:200]
