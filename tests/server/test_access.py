"""Who gets in by the main port (RELIABILITY tests 25 and 28)."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from runner.server.access import BodyLimit, LocalOnly, is_loopback

Headers = dict[str, str] | list[tuple[str, str]]


def scope_of(headers: Headers, client: str | None = "127.0.0.1", kind: str = "http") -> Scope:
    pairs = headers.items() if isinstance(headers, dict) else headers
    return {
        "type": kind,
        "method": "POST",
        "path": "/",
        "query_string": b"",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in pairs],
        "client": (client, 50000) if client else None,
    }


async def ask(app: Any, scope: Scope, *chunks: bytes, pause_s: float = 0) -> tuple[int, str]:
    """Send a request in chunks of body; returns status and text, or the close code of a WebSocket."""
    sent: list[Message] = []
    parts = list(chunks) or [b""]

    async def receive() -> Message:
        if scope["type"] == "websocket":
            return {"type": "websocket.connect"}
        await asyncio.sleep(pause_s)
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    if scope["type"] == "websocket":
        return int(sent[0].get("code", 0)), str(sent[0]["type"])
    return int(sent[0]["status"]), sent[1]["body"].decode()


async def greet(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
    else:
        await PlainTextResponse("hello")(scope, receive, send)


LOCAL = "localhost:7860"


def fetched(site: str, mode: str, dest: str) -> dict[str, str]:
    """What browsers say of a request (W3C Fetch Metadata)."""
    return {"sec-fetch-site": site, "sec-fetch-mode": mode, "sec-fetch-dest": dest}


REFUSED: list[tuple[str, Headers, str | None]] = [
    ("a peer elsewhere", {"host": LOCAL}, "192.0.2.7"),
    ("no peer at all", {"host": LOCAL}, None),
    ("a rebound name", {"host": "evil.example:7860"}, "127.0.0.1"),
    ("a name that only begins so", {"host": "localhost.evil.example"}, "127.0.0.1"),
    ("a name with a login", {"host": "localhost@evil.example"}, "127.0.0.1"),
    ("a bad port", {"host": "localhost:port"}, "127.0.0.1"),
    ("no host", {}, "127.0.0.1"),
    ("two hosts", [("host", LOCAL), ("host", "evil.example")], "127.0.0.1"),
    ("a tunnel", {"host": LOCAL, "x-forwarded-for": "192.0.2.7"}, "127.0.0.1"),
    ("a tunnel that names its host", {"host": LOCAL, "x-forwarded-host": "localhost"}, "127.0.0.1"),
    ("a proxy", {"host": LOCAL, "forwarded": "for=192.0.2.7"}, "127.0.0.1"),
    ("another site's page", {"host": LOCAL, "origin": "https://evil.example"}, "127.0.0.1"),
    ("a page without origin", {"host": LOCAL, "origin": "null"}, "127.0.0.1"),
    ("a page of another port", {"host": LOCAL, "origin": "http://localhost:3000"}, "127.0.0.1"),
    ("a page of another name", {"host": LOCAL, "origin": "http://127.0.0.1:7860"}, "127.0.0.1"),
    ("a lookalike", {"host": LOCAL, "origin": "http://localhost.evil.example:7860"}, "127.0.0.1"),
    ("a file's page", {"host": LOCAL, "origin": "file://"}, "127.0.0.1"),
    # A picture, a script or a sound of another site's page: browsers send no Origin with them.
    ("another site's <img>", {"host": LOCAL, **fetched("cross-site", "no-cors", "image")}, "127.0.0.1"),
    ("<audio> of another port", {"host": LOCAL, **fetched("same-site", "no-cors", "audio")}, "127.0.0.1"),
    ("another site's frame", {"host": LOCAL, **fetched("cross-site", "navigate", "iframe")}, "127.0.0.1"),
    ("another site's <embed>", {"host": LOCAL, **fetched("cross-site", "navigate", "embed")}, "127.0.0.1"),
]
ADMITTED: list[tuple[Headers, str]] = [
    ({"host": LOCAL}, "127.0.0.1"),
    ({"host": "127.0.0.1:7860", "origin": "http://127.0.0.1:7860"}, "127.0.0.1"),
    ({"host": "[::1]:7860", "origin": "http://[::1]:7860"}, "::1"),
    ({"host": "LOCALHOST", "origin": "http://localhost"}, "::ffff:127.0.0.1"),
    ({"host": "bot.localhost:80", "origin": "http://bot.localhost"}, "127.0.0.1"),
    ({"host": LOCAL, **fetched("same-origin", "no-cors", "audio")}, "127.0.0.1"),
    ({"host": LOCAL, **fetched("none", "navigate", "document")}, "127.0.0.1"),
    # A link to the page, in a chat or a README.
    ({"host": LOCAL, **fetched("cross-site", "navigate", "document")}, "127.0.0.1"),
]


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(("who", "headers", "client"), REFUSED, ids=[case[0] for case in REFUSED])
@pytest.mark.faults(28)
async def test_who_is_not_local_is_refused(who: str, headers: Headers, client: str | None, kind: str) -> None:
    status, text = await ask(LocalOnly(greet, loopback_only=True), scope_of(headers, client, kind))
    assert (status, text) == (1008, "websocket.close") if kind == "websocket" else status == 403


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(("headers", "client"), ADMITTED)
async def test_who_is_local_is_let_in(headers: Headers, client: str, kind: str) -> None:
    status, text = await ask(LocalOnly(greet, loopback_only=True), scope_of(headers, client, kind))
    assert (status, text) == ((0, "websocket.accept") if kind == "websocket" else (200, "hello"))


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"host": "my-laptop:7860"}, 200),
        ({"host": "my-laptop:7860", "origin": "http://my-laptop:7860"}, 200),
        ({"host": "bot.example", "origin": "https://bot.example"}, 200),
        ({"host": "bot.example:443", "origin": "https://bot.example"}, 200),
        ({"host": "bot.example:7860", "origin": "https://bot.example"}, 403),
        ({"host": "my-laptop:7860", "origin": "http://evil.example"}, 403),
        ({"host": "my-laptop:7860", "origin": "null"}, 403),
    ],
)
async def test_an_open_port_takes_any_host_but_only_its_own_pages(headers: Headers, expected: int) -> None:
    app = LocalOnly(greet, loopback_only=False)
    assert (await ask(app, scope_of(headers, "192.0.2.7")))[0] == expected


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(
    ("origin", "welcome"),
    [
        ("http://localhost:5173", True),
        ("https://app.example", True),
        ("http://localhost:5174", False),
        ("http://app.example", False),
        ("https://app.example.evil.example", False),
    ],
)
async def test_pages_of_a_named_site_are_let_in_and_of_no_other(
    origin: str, welcome: bool, kind: str
) -> None:
    app = LocalOnly(greet, loopback_only=True, origins=("http://localhost:5173", "https://app.example"))
    status, text = await ask(app, scope_of({"host": LOCAL, "origin": origin}, "127.0.0.1", kind))
    assert (text in ("hello", "websocket.accept")) is welcome
    assert welcome or status in (403, 1008)


async def test_a_named_site_s_page_may_fetch_but_not_embed() -> None:
    app = LocalOnly(greet, loopback_only=True, origins=("https://app.example",))
    by_cors = {"host": LOCAL, "origin": "https://app.example", **fetched("cross-site", "cors", "empty")}
    embedded = {"host": LOCAL, **fetched("cross-site", "no-cors", "audio")}
    assert (await ask(app, scope_of(by_cors)))[0] == 200
    assert (await ask(app, scope_of(embedded)))[0] == 403


async def test_a_refusal_says_why() -> None:
    _, text = await ask(LocalOnly(greet, loopback_only=True), scope_of({"host": "evil.example"}))
    assert json.loads(text) == {"detail": "this address answers only to localhost; --host opens it to others"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("localhost", True),
        ("127.9.9.9", True),
        ("[::1]", True),
        ("0.0.0.0", False),
        ("localhost.", True),
        ("", False),
    ],
)
def test_what_counts_as_loopback(name: str, expected: bool) -> None:
    assert is_loopback(name) is expected


# ------------------------------------------------------------------ bodies


async def read(scope: Scope, receive: Receive, send: Send) -> None:
    from starlette.exceptions import HTTPException

    try:
        body = await Request(scope, receive).body()
    except HTTPException as error:  # as Starlette's own middleware does
        await PlainTextResponse(error.detail, error.status_code)(scope, receive, send)
    else:
        await PlainTextResponse(str(len(body)))(scope, receive, send)


async def test_a_body_up_to_the_limit_passes() -> None:
    assert await ask(BodyLimit(read, limit=10), scope_of({"content-length": "10"}), b"12345", b"67890") == (
        200,
        "10",
    )


async def test_a_body_that_announces_too_much_is_not_even_read() -> None:
    async def never(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError

    assert (await ask(BodyLimit(never, limit=10), scope_of({"content-length": "11"})))[0] == 413


@pytest.mark.faults(25)
async def test_a_body_that_grows_beyond_the_limit_is_cut_off() -> None:
    assert (await ask(BodyLimit(read, limit=10), scope_of({}), b"12345", b"678901"))[0] == 413


async def test_a_body_that_trickles_in_is_not_waited_for() -> None:
    app = BodyLimit(read, deadline_s=0.02)
    assert (await ask(app, scope_of({}), b"1", b"2", b"3", pause_s=0.015))[0] == 408


@pytest.mark.parametrize(
    "host",
    [
        "localhost#.evil.example",
        "localhost?.evil.example",
        "localhost/.evil",
        "localhost\\.evil",
        "a@localhost",
    ],
)
async def test_a_host_that_only_looks_local_is_refused(host: str) -> None:
    status, _ = await ask(LocalOnly(greet, loopback_only=True), scope_of({"host": host}))
    assert status == 403
