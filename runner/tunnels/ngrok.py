"""ngrok through its SDK, in this process, without a separate program."""

from __future__ import annotations

import asyncio
from typing import Any

from runner.tunnels.base import TunnelError

OPEN_S = 15.0


class NgrokTunnel:
    """An address at ngrok. `token` is the account's authtoken."""

    name = "ngrok"

    def __init__(self, token: str) -> None:
        self._token = token
        self._session: Any = None

    async def open(self, port: int) -> str:
        import ngrok

        try:
            async with asyncio.timeout(OPEN_S):
                self._session = await ngrok.SessionBuilder().authtoken(self._token).connect()
                listener = await self._session.http_endpoint().listen_and_forward(f"http://127.0.0.1:{port}")
        except TimeoutError:
            raise TunnelError(
                f"ngrok did not answer within {OPEN_S:g} s. Check the network and NGROK_AUTHTOKEN"
            ) from None
        except Exception as error:  # the boundary to the SDK: it raises plain ValueErrors, and tuples
            said = ": ".join(str(argument) for argument in error.args)
            reason = " ".join(said.replace(self._token or "\0", "…").split())[:200]
            raise TunnelError(f"ngrok refused the tunnel: {reason}") from None
        return str(listener.url())

    async def aclose(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()
