"""The local HTTP API as programs see it: its description, its guards, and mounted in another application."""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from runner.botcode.loader import LoadedBot
from runner.server import create_app as create_bot_app
from runner.server.access import cookie_of
from runner.server.app import create_app
from runner.server.host import Host
from runner.sessions.registry import Sessions
from runner.settings import Settings


async def silent(runner_args: object) -> None:
    pass


def client_of(app: Any, base: str = "http://localhost", client: str = "127.0.0.1") -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(app, client=(client, 5000))
    return httpx2.AsyncClient(transport=transport, base_url=base)


def host_of(*transports: str, **settings: Any) -> Host:
    bot = LoadedBot(Path("/somewhere/my_bot.py"), "silent", silent, sys.modules[__name__])
    return Host(Settings(**settings), bot, Sessions(bot), transports or ("webrtc",))


async def test_the_document_describes_bodies_answers_and_refusals() -> None:
    async with client_of(create_app(host_of())) as http:
        document = (await http.get("/openapi.json")).json()
    assert set(document["paths"]) == {
        *("/start", "/status", "/api/offer", "/sessions/{session_id}/api/offer", "/dial", "/dial/{call_id}"),
        *("/api/calls", "/api/calls/{call}", "/api/calls/{call}/events", "/api/calls/{call}/wire"),
        *("/api/calls/{call}/sound.wav", "/api/calls/{call}/peaks", "/api/calls/{call}/live"),
        *("/api/calls/{call}/subtitles.srt", "/api/calls/{call}/labels.txt"),
    }
    offer = document["paths"]["/api/offer"]["post"]
    assert {"200", "400", "401", "403", "404", "503"} <= set(offer["responses"])
    assert set(document["components"]["schemas"]["Answer"]["properties"]) == {
        *("sdp", "type", "pc_id", "session_id")
    }
    assert set(document["components"]["securitySchemes"]) == {"key", "page"}


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.addresses: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href"}]

    def handle_data(self, data: str) -> None:
        self.text += data


async def test_the_page_of_the_document_needs_no_other_server() -> None:
    async with client_of(create_app(host_of())) as http:
        answer = await http.get("/docs")
    page = Page()
    page.feed(answer.text)
    assert answer.headers["content-type"].startswith("text/html")
    assert "script" not in page.tags
    assert page.addresses == ["openapi.json"]
    assert "//" not in answer.text
    for said in ("/api/offer", "runner_args.body", "restart_pc", "Durations in seconds"):
        assert said in page.text


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/status", "/dial/CA1"])
async def test_a_stranger_sees_nothing_of_the_api(path: str) -> None:
    async with client_of(create_app(host_of()), client="192.0.2.7") as http:
        assert (await http.get(path)).status_code == 403
    async with client_of(create_app(host_of(login_key="secret"))) as http:
        assert (await http.get(path)).status_code == 401
        assert (await http.get(path, headers={"x-botrun-key": "secret"})).status_code != 401


@pytest.mark.parametrize("path", ["/status", "/start"])
async def test_the_api_s_own_guards_hold_without_the_middleware(path: str) -> None:
    from runner.server.endpoints.api import create_api
    from runner.server.endpoints.lazy import Lazy

    host = host_of(login_key="secret")
    api = create_api(host, Lazy(lambda: None))  # type: ignore[arg-type]
    method = "GET" if path == "/status" else "POST"
    async with client_of(api, client="192.0.2.7") as http:
        assert (await http.request(method, path)).status_code == 403
    async with client_of(api) as http:
        assert (await http.request(method, path)).status_code == 401
        name, value = cookie_of({"headers": []}, "secret")
        cookie = {"cookie": f"{name}={value}"}
        assert (await http.request("GET", "/status", headers=cookie)).status_code == 200


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "the body is not JSON"),
        (b"[" * 100_000, "the body is not JSON"),
        (b"[]", "the body must be a JSON object"),
        (b'{"transport": 5}', "transport must be a valid string"),
        (b'{"x": [{"\\ud800": 1}]}', "the body holds half a character (a lone surrogate)"),
        (b'{"body": ' + b"1" * 5000 + b"}", "the body is not JSON"),
        (b'{"transport": "pigeon"}', "transport must be one of webrtc, not 'pigeon'"),
    ],
)
async def test_a_bad_body_is_refused_in_one_sentence(body: bytes, said: str) -> None:
    async with client_of(create_app(host_of())) as http:
        answer = await http.post("/start", content=body)
    assert (answer.status_code, answer.json()) == (400, {"error": said})


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"pc_id": "x", "candidates": [{}]}', "candidates.0.candidate is missing"),
        (b'{"pc_id": "x", "candidates": [' + b"{}," * 999 + b"{}]}", "candidates must have at most 256"),
    ],
)
async def test_bad_candidates_are_refused_in_one_sentence(body: bytes, said: str) -> None:
    async with client_of(create_app(host_of())) as http:
        answer = await http.patch("/api/offer", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(said)


async def test_a_body_is_json_whatever_its_content_type() -> None:
    async with client_of(create_app(host_of())) as http:
        for kind in ("application/x-www-form-urlencoded", "text/plain"):
            answer = await http.post("/start", content=b'{"body": {"a": 1}}', headers={"content-type": kind})
            assert set(answer.json()) == {"sessionId"}


async def test_start_returns_where_a_plain_client_connects() -> None:
    async with client_of(create_app(host_of("websocket")), "http://localhost:7860") as http:
        response = (await http.post("/start", json={})).json()
        assert response["wsUrl"] == f"ws://localhost:7860/ws-client?token={response['token']}"
        other = (await http.post("/start", json={"transport": "websocket"})).json()
        assert other["token"] != response["token"]
        # Pipecat's client for WebSockets refuses any other field.
        assert other.keys() == {"wsUrl", "token"}
        plain = (await http.post("/start", json={"transport": "websocket", "format": "pcm"})).json()
        assert plain["wsUrl"].endswith(f"/ws-client?token={plain['token']}&format=pcm")
        assert set((await http.post("/start", json={"transport": "webrtc"})).json()) == {"sessionId"}


async def test_start_names_the_socket_of_a_phone_provider_as_pipecat_s_runner_does() -> None:
    async with client_of(create_app(host_of("twilio")), "http://localhost:7860") as http:
        answer = await http.post("/start", json={"transport": "twilio"})
        assert answer.json() == {"wsUrl": "ws://localhost:7860/ws"}
        refused = await http.post("/start", json={"transport": "plivo"})
        assert refused.json() == {"error": "transport must be one of twilio, webrtc, websocket, not 'plivo'"}


async def test_start_names_a_stun_server_only_to_a_client_that_asks() -> None:
    async with client_of(create_app(host_of("webrtc"))) as http:
        answer = (await http.post("/start", json={"enableDefaultIceServers": True})).json()
        assert answer["iceConfig"] == {"iceServers": [{"urls": ["stun:stun.l.google.com:19302"]}]}
        assert "iceConfig" not in (await http.post("/start", json={})).json()


@pytest.mark.parametrize("path", ["/client", "/client/"])
async def test_where_pipecat_s_runner_has_its_page_is_ours(path: str) -> None:
    async with client_of(create_app(host_of("webrtc"))) as http:
        answer = await http.get(f"{path}?autoconnect=1")
        assert (answer.status_code, answer.headers["location"]) == (307, "/?autoconnect=1")
        assert "<html" in (await http.get(answer.headers["location"])).text


@pytest.mark.parametrize("prefix", ["", "/bot"])
async def test_the_app_of_a_bot_is_mounted_in_another_application(prefix: str) -> None:
    outer = FastAPI()
    outer.get("/mine")(lambda: {"mine": True})
    outer.mount(prefix or "/", create_bot_app(silent))
    async with client_of(outer) as http:
        assert (await http.get("/mine")).json() == {"mine": True}
        assert (await http.get(f"{prefix}/status")).json()["bot"]["function"] == "silent"
        assert set((await http.post(f"{prefix}/start", json={})).json()) == {"sessionId"}
        refused = await http.post(f"{prefix}/api/offer", json={"sdp": "none", "type": "offer"})
        assert (refused.status_code, list(refused.json())) == (400, ["error"])
        assert "<html" in (await http.get(f"{prefix}/")).text
        assert (await http.get(f"{prefix}/page/app.js")).status_code == 200
        if prefix:  # else it is the outer application's own
            assert "/api/offer" in (await http.get(f"{prefix}/openapi.json")).json()["paths"]


async def test_the_app_of_a_bot_answers_to_its_own_host_when_it_is_set_to() -> None:
    async with client_of(create_bot_app(silent), "http://bots.example", "192.0.2.7") as http:
        assert (await http.get("/status")).status_code == 403
    async with client_of(
        create_bot_app(silent, local_only=False), "http://bots.example", "192.0.2.7"
    ) as http:
        assert (await http.get("/status")).status_code == 200
        assert (await http.get("/status", headers={"origin": "http://evil.example"})).status_code == 403
