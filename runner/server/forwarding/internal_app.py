"""What a worker answers on its Unix socket, which only this run's other workers reach (plain ASGI).

Whether it has a call, how its calls fare, a further socket of one, and whatever is asked for one of them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from runner.server.access.local_only import answer, values_of
from runner.server.handover.other_workers import AGAIN_PATH, FIGURES_PATH, KNOWS_PATH, PASSED

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from runner.server.app import Host

CLIENT = "x-botrun-client"
"""Whose request it was: address, port and scheme. Believed on the Unix socket alone."""


class Inside:
    """The application, for requests that a sibling has passed on; and whether a call is known here.

    What is passed on meets the same doors again, with the client that it came from.
    """

    def __init__(self, app: ASGIApp, host: Host) -> None:
        self._app = app
        self._host = host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == KNOWS_PATH:
            query = parse_qsl(scope["query_string"].decode("latin-1"))
            known = self._host.knows_call([value for name, value in query if name == "id"])
            await answer(send, 200 if known else 404, "it is here" if known else "it is not here")
            return
        if scope["path"] == FIGURES_PATH:
            await _answer_json(send, self._host.run_figures.own())
            return
        if scope["path"] == AGAIN_PATH and scope["type"] == "websocket":
            from starlette.websockets import WebSocket

            from runner.server.forwarding.rejoin import go_on_here

            await go_on_here(self._host, WebSocket(scope, receive, send))
            return
        await self._app(_restored(scope), receive, send)


def _restored(scope: Scope) -> Scope:
    told = values_of(scope["headers"], CLIENT)
    address, port, scheme = (told[0].split(" ") if told else ["", "0", scope["scheme"]])[:3]
    headers = [pair for pair in scope["headers"] if pair[0] != CLIENT.encode()]
    client = (address, int(port)) if address else None
    return {**scope, "client": client, "scheme": scheme, "headers": headers, PASSED: True}


async def _answer_json(send: Send, value: object) -> None:
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(value).encode()})
