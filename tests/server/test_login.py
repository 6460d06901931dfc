"""Once a public address is set, the main port asks for the run's key, of this machine as well."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from runner.server.access import HEADER, LoginRequired, cookie_of, key_headers

KEY = "the-key-of-this-run"
NAME, VALUE = cookie_of({"headers": []}, KEY)


async def ask(
    path: str = "/",
    query: str = "",
    headers: dict[str, str] | None = None,
    kind: str = "http",
    public: bool = True,
) -> tuple[int, dict[str, str]]:
    """Status and headers of the answer; 101 for a socket that was let in, 403 for one that was not."""
    sent: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        inside = {"type": "websocket.accept"} if kind == "websocket" else {"status": 200, "headers": []}
        await send({"type": "http.response.start", **inside})

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    host = SimpleNamespace(login_key=KEY if public else "")
    scope = {
        "type": kind,
        "scheme": "ws" if kind == "websocket" else "http",
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in (headers or {}).items()],
    }
    await LoginRequired(app, lambda: host.login_key)(scope, receive, send)
    first = sent[0]
    if kind == "websocket":
        return (101 if first["type"] == "websocket.accept" else 403), {}
    fields = {name.decode(): value.decode() for name, value in first["headers"]}
    return first["status"], fields


async def test_without_a_public_address_nothing_is_asked() -> None:
    assert (await ask(public=False))[0] == 200
    assert (await ask("/ws", kind="websocket", public=False))[0] == 101


@pytest.mark.parametrize(
    "path", ["/", "/page/app.js", "/api/offer", "/start", "/status", "/sessions/x/events"]
)
async def test_with_one_nobody_comes_in_without_the_key(path: str) -> None:
    assert (await ask(path))[0] == 401
    assert (await ask(path, headers={"cookie": f"{NAME}={KEY}"}))[0] == 401
    assert (await ask(path, headers={HEADER: KEY[:-1]}))[0] == 401
    assert (await ask(path, headers={"cookie": f"a=b; {NAME}={VALUE}"}))[0] == 200
    assert (await ask(path, headers={HEADER: KEY}))[0] == 200


async def test_the_printed_address_makes_the_key_a_cookie_and_takes_it_from_the_address() -> None:
    status, headers = await ask("/", f"key={KEY}&x=1")
    assert (status, headers["location"]) == (303, "/?x=1")
    assert headers["set-cookie"] == f"{NAME}={VALUE}; Path=/; HttpOnly; SameSite=Strict"
    assert (await ask("/", "key=wrong"))[0] == 401


async def test_a_socket_needs_the_key_in_cookie_header_or_address() -> None:
    assert (await ask("/ws", kind="websocket"))[0] == 403
    assert (await ask("/ws", f"key={KEY}", kind="websocket"))[0] == 101
    assert (await ask("/ws", headers={HEADER: KEY}, kind="websocket"))[0] == 101
    assert (await ask("/ws", headers={"cookie": f"{NAME}={VALUE}"}, kind="websocket"))[0] == 101


def test_commands_of_this_machine_read_the_key_from_its_file(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOTRUN_STATE_DIR", str(tmp_path))
    assert key_headers("ws://127.0.0.1:7860/ws") == {}
    (tmp_path / "dial-7860.key").write_text(KEY)
    assert key_headers("ws://127.0.0.1:7860/ws") == {HEADER: KEY}
    assert key_headers("ws://127.0.0.1:7861/ws") == {}
    assert key_headers("wss://bot.example.com:7860/ws") == {}


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/", "/"),
        ("/page/a b.js", "/page/a%20b.js"),
        ("//evil.example/", "/evil.example/"),
        ("/\\evil.example/", "/evil.example/"),
        ("/\r\nset-cookie: a=b", "/%0D%0Aset-cookie:%20a=b"),
        ("/ü", "/%C3%BC"),
    ],
)
async def test_the_key_in_an_address_leads_nowhere_else(path: str, location: str) -> None:
    status, headers = await ask(path, f"key={KEY}")
    assert (status, headers["location"]) == (303, location)


def test_the_page_s_cookie_is_of_one_port_and_is_not_the_key() -> None:
    names = {cookie_of({"headers": [(b"host", host)]}, KEY)[0] for host in (b"localhost:1", b"localhost:2")}
    assert len(names) == 2
    assert KEY not in VALUE
    assert cookie_of({"headers": []}, "another run's key")[1] != VALUE


async def test_the_page_s_cookie_is_not_taken_for_the_key() -> None:
    assert (await ask("/", headers={HEADER: VALUE}))[0] == 401
