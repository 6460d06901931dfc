"""The run's login key: what a public run asks for on the main port, even of this machine (plain ASGI).

With `--https`, or once a public address is set, whatever shows or starts calls needs it: the page,
`/api/offer`, `/start`, `/ws` and the rest. It stands in the printed address (`?key=…`, which becomes a
cookie), and commands read it from a file that only who started the run can read (mode 0600). Without either
nothing is asked.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from runner.server.access.local_only import answer, is_loopback, values_of

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

COOKIE = "botrun_key"
HEADER = "x-botrun-key"
QUERY = "key"

REFUSAL = "this run needs its key: open the address that botrun printed, which ends in ?key=…"


class LoginRequired:
    """Refuses (401) requests without the key, for a run that others can reach."""

    def __init__(self, app: ASGIApp, login_key: Callable[[], str]) -> None:
        self._app = app
        self._login_key = login_key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        key = self._login_key()
        if not key or scope["type"] not in {"http", "websocket"}:
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
    """Whether a request brings this key."""
    given = values_of(scope["headers"], HEADER)
    if scope["type"] == "websocket":  # a plain client can put it into its address only
        given += [value for name, value in _query(scope) if name == QUERY]
    return _matches(given, key) or _has_cookie(scope, key)


def cookie_of(scope: Scope, key: str) -> tuple[str, str]:
    """Name and value of the page's cookie.

    Browsers send a host's cookies to all its ports: the name carries the port, so that runs do not overwrite
    each other's, and the value is derived from the key, so that another server never sees the key itself.
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
    # One slash: "//host" would lead to another site. Quoted: a path may contain line ends.
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
    """What a command of this machine sends along to the botrun at `url`; nothing if it asks for no key."""
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
