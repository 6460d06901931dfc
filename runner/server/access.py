"""Access control of the main port, before any route: local clients, or clients with the login key.

A request is local only if its peer address is loopback, its Host is a loopback name and it has no forwarding
header: an address check alone would admit web pages (DNS rebinding) and tunnels. If `--host` opens the port
    to
other machines, any Host is accepted, but an Origin must still match the Host: a page of another site must not
use its visitor's browser to talk to the bot, unless `--allow-origin` names the site. Browsers send no Origin
with images, scripts and sounds that a page embeds, but they say where the page is from (`Sec-Fetch-Site`):
pages of other sites may link to this server, but not embed anything from it.

Providers' requests come through a tunnel to a second listener, which does not use this check.

With `--https`, or once a public address is set, everything that shows or starts calls needs the run's login
key, even from this machine: the page, `/api/offer`, `/start`, `/ws` and the rest. The key is part of the
printed address (`?key=…`, which becomes a cookie), and commands read it from a file that only the user who
started the run can read (mode 0600). Otherwise no key is needed.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
import re
import secrets
from collections.abc import Callable, Sequence
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_LIMIT_BYTES = 1 << 20
BODY_DEADLINE_S = 8.0
"""Time limit (s) for a body; shorter than that of `http_protocol.py` for a request, so that the client gets
the reason."""

_FORWARDING = ("forwarded", "via", "x-real-ip", "true-client-ip", "cf-connecting-ip")
_CLOSE = {"connection": "close"}
_HOST = re.compile(r"[A-Za-z0-9._~%!$&'()*+,;=-]+(:\d*)?|\[[0-9A-Fa-f:.]+\](:\d*)?")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def is_loopback(host: str) -> bool:
    """Whether a name or address always refers to this machine."""
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
    """Refuses (403) requests that are not local or come from another site's page."""

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
            # Closing before accepting makes the server answer 403 (RFC 6455 4.2.2 and the ASGI
            # specification).
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": refusal[:120]})
        else:
            await answer(send, 403, refusal)


def refusal_of(scope: Scope, loopback_only: bool, origins: Sequence[str] = ()) -> str:
    """Why this request is refused; "" if it is not.

    Args:
        loopback_only: whether only this machine is allowed.
        origins: other origins that are allowed.
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
    if not given and _is_embedded_elsewhere(headers):
        return "pages of other sites may link to this server, but not embed anything from it"
    return ""


def _is_embedded_elsewhere(headers: Sequence[tuple[bytes, bytes]]) -> bool:
    """Whether a page of another site embeds this (W3C Fetch Metadata)."""
    elsewhere = any(site in ("cross-site", "same-site") for site in values_of(headers, "sec-fetch-site"))
    return elsewhere and values_of(headers, "sec-fetch-dest") != ["document"]


def _not_local(scope: Scope, host: str) -> str:
    client = scope.get("client")
    if client is None or not is_loopback(client[0]):
        return "only clients on this machine may use this address"
    split = _split_host(host)
    if split is None or not is_loopback(split[0]):
        return "this address answers only to localhost; --host opens it to others"
    return "this address does not accept requests through a proxy or a tunnel" if is_forwarded(scope) else ""


def is_forwarded(scope: Scope) -> bool:
    """Whether a request has a proxy's forwarding headers."""
    return any(
        name.decode("latin-1") in _FORWARDING or name.startswith((b"x-forwarded-", b"x-original-"))
        for name, _ in scope["headers"]
    )


def _same_site(origin: str, host: str) -> bool:
    """Whether the origin has this host and port. The scheme may differ: a proxy may terminate TLS."""
    scheme, _, rest = origin.partition("://")
    if scheme not in _DEFAULT_PORTS or not rest:
        return False
    theirs, ours = _split_host(rest), _split_host(host)
    if theirs is None or ours is None:
        return False
    default = _DEFAULT_PORTS[scheme]
    return (theirs[0], theirs[1] or default) == (ours[0], ours[1] or default)


def _split_host(host: str) -> tuple[str, int | None] | None:
    if not _HOST.fullmatch(host):  # `urlsplit` would read "localhost#.evil" as "localhost"
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
    """Refuses request bodies over `limit` bytes (413), and those not complete within `deadline_s` (408)."""

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
    """Wraps `receive` with a size limit and a deadline for the body."""

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
            # The client disconnected. Starlette's own error would be logged as an error of the server.
            raise HTTPException(400, "the connection closed before the whole body arrived", _CLOSE)
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise HTTPException(413, "the body is too large", _CLOSE)
        self._complete = not message.get("more_body", False)
        return message


async def answer(send: Send, status: int, sentence: str) -> None:
    """Send an error response with one sentence, as FastAPI does."""
    body = json.dumps({"detail": sentence}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send(
        {"type": "http.response.start", "status": status, "headers": [*headers, (b"connection", b"close")]}
    )
    await send({"type": "http.response.body", "body": body})


POLICY_VIOLATION = 1008


class NoBrowsers:
    """Refuses requests from pages of other sites; phone providers send no Origin."""

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


COOKIE = "botrun_key"
HEADER = "x-botrun-key"
QUERY = "key"

REFUSAL = "this run needs its key: open the address that botrun printed, which ends in ?key=…"


class LoginRequired:
    """Refuses (401) requests without the login key, if the run has one. `is_open`: requests that need
    none."""

    def __init__(
        self,
        app: ASGIApp,
        login_key: Callable[[], str],
        is_open: Callable[[Scope], bool] = lambda scope: False,
    ) -> None:
        self._app = app
        self._login_key = login_key
        self._is_open = is_open

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        key = self._login_key()
        if not key or scope["type"] not in {"http", "websocket"} or self._is_open(scope):
            await self._app(scope, receive, send)
            return
        if has_key(scope, key):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": REFUSAL})
        elif _matches([dict(_query(scope)).get(QUERY, "")], key):
            await _welcome(scope, send, key)
        else:
            await answer(send, 401, REFUSAL)


def has_key(scope: Scope, key: str) -> bool:
    """Whether a request has this key."""
    given = values_of(scope["headers"], HEADER)
    if scope["type"] == "websocket":  # a plain client can pass it only in the URL
        given += [value for name, value in _query(scope) if name == QUERY]
    return _matches(given, key) or _has_cookie(scope, key)


def cookie_of(scope: Scope, key: str) -> tuple[str, str]:
    """Name and value of the page's cookie.

    Browsers send a host's cookies to all its ports. So the name contains the port, to keep runs from
    overwriting each other's cookies, and the value is derived from the key, so that other servers never see
    the key.
    """
    host = "".join(values_of(scope["headers"], "host")[:1])
    port = host.rpartition(":")[2]
    name = f"{COOKIE}_{port}" if port.isdecimal() else COOKIE
    return name, hmac.new(key.encode(), b"page", "sha256").hexdigest()


def _has_cookie(scope: Scope, key: str) -> bool:
    name, value = cookie_of(scope, key)
    for text in values_of(scope["headers"], "cookie"):
        try:
            cookie = SimpleCookie(text).get(name)
        except CookieError:
            continue
        if cookie is not None and _matches([cookie.value], value):
            return True
    return False


def _matches(given: list[str], key: str) -> bool:
    return any(secrets.compare_digest(one.encode(), key.encode()) for one in given)


def _query(scope: Scope) -> list[tuple[str, str]]:
    return parse_qsl(scope.get("query_string", b"").decode("latin-1"))


async def _welcome(scope: Scope, send: Send, key: str) -> None:
    """Move the key from the URL into a cookie, so that it does not stay in the browser's history."""
    rest = urlencode([pair for pair in _query(scope) if pair[0] != QUERY])
    secure = "; Secure" if scope["scheme"] == "https" else ""
    # One slash, because "//host" would lead to another site. Quoted, because a path may contain line breaks.
    path = quote("/" + scope["path"].lstrip("/\\"), safe="/:@!$&'()*+,;=-._~")
    name, value = cookie_of(scope, key)
    headers = [
        (b"location", (path + (f"?{rest}" if rest else "")).encode()),
        (b"set-cookie", f"{name}={value}; Path=/; HttpOnly; SameSite=Strict{secure}".encode()),
        (b"content-length", b"0"),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": 303, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def key_headers(url: str) -> dict[str, str]:
    """The headers with which a command on this machine authenticates to the run at `url`; {} if it has no
    key."""
    from runner.server.state_file import dial_key_path
    from runner.settings import Settings, resolve

    parts = urlsplit(url)
    if not is_loopback(parts.hostname or "") or parts.port is None:
        return {}
    path = dial_key_path(Settings(port=parts.port, state_dir=resolve({}, {}).state_dir))
    try:
        return {HEADER: path.read_text(encoding="utf-8").strip()}
    except OSError:
        return {}
