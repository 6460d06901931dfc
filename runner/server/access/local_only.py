"""Check who may use the main port, before any route sees the request (plain ASGI).

A request is local only if its peer is loopback, its Host is a loopback name and no proxy has left a
forwarding header on it: an address check alone lets in web pages (DNS rebinding) and tunnels. Where `--host`
opens the port to other machines, any Host will do, but an Origin, when there is one, must still be that Host:
a page from elsewhere may not use its visitor's browser to talk to the bot, unless its site was named.

A provider's requests come through a tunnel to a second listener, which does not use this check.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_LIMIT_BYTES = 1 << 20
BODY_DEADLINE_S = 8.0
"""Shorter than what `http_protocol.py` gives a whole request, so that the client gets the reason."""

_FORWARDING = ("forwarded", "via", "x-real-ip", "true-client-ip", "cf-connecting-ip")
_CLOSE = {"connection": "close"}
_HOST = re.compile(r"[A-Za-z0-9._~%!$&'()*+,;=-]+(:\d*)?|\[[0-9A-Fa-f:.]+\](:\d*)?")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def is_loopback(host: str) -> bool:
    """Whether a name or an address means this machine and no other."""
    name = host.removeprefix("[").removesuffix("]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


class LocalOnly:
    """Refuses requests that are not local, or come from another site's page (403)."""

    def __init__(self, app: ASGIApp, *, loopback_only: bool, origins: Sequence[str] = ()) -> None:
        self._app = app
        self._loopback_only = loopback_only
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        checked = scope["type"] in {"http", "websocket"}
        refusal = refusal_of(scope, self._loopback_only, self._origins) if checked else ""
        if not refusal:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            # RFC 6455 4.2.2 and the ASGI specification: closed before it was accepted is answered by 403.
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": refusal[:120]})
        else:
            await answer(send, 403, refusal)


def refusal_of(scope: Scope, loopback_only: bool, origins: Sequence[str] = ()) -> str:
    """Why this request is refused; "" if it is not.

    Args:
        loopback_only: whether only this machine is served.
        origins: pages of other sites that are admitted.
    """
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    hosts = values_of(headers, "host")
    if len(hosts) != 1:
        return "a request needs exactly one Host header"
    if loopback_only and (reason := _not_local(scope, hosts[0])):
        return reason
    given = values_of(headers, "origin")
    if given and (len(given) > 1 or not (given[0] in origins or _same_site(given[0], hosts[0]))):
        return "pages of other sites may not use this server, unless --allow-origin names them"
    return ""


def _not_local(scope: Scope, host: str) -> str:
    client = scope.get("client")
    if client is None or not is_loopback(client[0]):
        return "only clients on this machine may use this address"
    split = _split_host(host)
    if split is None or not is_loopback(split[0]):
        return "this address answers only to localhost; --host opens it to others"
    for name, _ in scope["headers"]:
        if name.decode("latin-1") in _FORWARDING or name.startswith((b"x-forwarded-", b"x-original-")):
            return "this address does not accept requests through a proxy or a tunnel"
    return ""


def _same_site(origin: str, host: str) -> bool:
    """Scheme aside (a proxy may end TLS), the origin must be this very host and port."""
    scheme, _, rest = origin.partition("://")
    if scheme not in _DEFAULT_PORTS or not rest:
        return False
    theirs, ours = _split_host(rest), _split_host(host)
    if theirs is None or ours is None:
        return False
    default = _DEFAULT_PORTS[scheme]
    return (theirs[0], theirs[1] or default) == (ours[0], ours[1] or default)


def _split_host(host: str) -> tuple[str, int | None] | None:
    if not _HOST.fullmatch(host):  # "localhost#.evil" is the host "localhost" only to `urlsplit`
        return None
    try:
        parts = urlsplit(f"//{host}")
        if parts.hostname is None or parts.username is not None or parts.path:
            return None
        return parts.hostname, parts.port
    except ValueError:
        return None


def values_of(headers: Sequence[tuple[bytes, bytes]], name: str) -> list[str]:
    wanted = name.encode("latin-1")
    return [value.decode("latin-1") for key, value in headers if key == wanted]


class BodyLimit:
    """No request body above `limit` bytes reaches a route (413), nor one that trickles in (408)."""

    def __init__(
        self, app: ASGIApp, *, limit: int = BODY_LIMIT_BYTES, deadline_s: float = BODY_DEADLINE_S
    ) -> None:
        self._app = app
        self._limit = limit
        self._deadline_s = deadline_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif self._announces_too_much(scope):
            await answer(send, 413, f"a body has at most {self._limit} bytes")
        else:
            await self._app(scope, _Counted(receive, self._limit, self._deadline_s), send)

    def _announces_too_much(self, scope: Scope) -> bool:
        lengths = values_of(scope["headers"], "content-length")
        return any(length.isdecimal() and int(length) > self._limit for length in lengths)


class _Counted:
    """`receive`, until the body is complete under a limit and a deadline."""

    def __init__(self, receive: Receive, limit: int, deadline_s: float) -> None:
        self._receive = receive
        self._left = limit
        self._deadline = asyncio.get_running_loop().time() + deadline_s
        self._complete = False

    async def __call__(self) -> Message:
        if self._complete:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(408, "the body did not arrive in time", _CLOSE) from None
        if message["type"] == "http.disconnect":
            # The client is gone; but Starlette's own error would be logged as a fault of ours.
            raise HTTPException(400, "the body is incomplete", _CLOSE)
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise HTTPException(413, "the body is too large", _CLOSE)
        self._complete = not message.get("more_body", False)
        return message


async def answer(send: Send, status: int, sentence: str) -> None:
    """A complete answer with one sentence, in FastAPI's form of an error."""
    body = json.dumps({"detail": sentence}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send(
        {"type": "http.response.start", "status": status, "headers": [*headers, (b"connection", b"close")]}
    )
    await send({"type": "http.response.body", "body": body})


POLICY_VIOLATION = 1008


class NoBrowsers:
    """Refuses what a browser sends for a page of another site: carriers send no Origin."""

    def __init__(self, app: ASGIApp, *, origin: str) -> None:
        self._app = app
        self._origin = origin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        origins = values_of(scope.get("headers", []), "origin")
        if scope["type"] == "lifespan" or all(origin == self._origin for origin in origins):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": "no pages here"})
        else:
            await answer(send, 403, "this address is for phone companies, not for pages")
