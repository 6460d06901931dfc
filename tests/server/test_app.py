from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import httpx2
import pytest
from starlette.applications import Starlette

from runner.botcode.loader import LoadedBot
from runner.server.app import create_app
from runner.server.endpoints.page_files import CONTENT_TYPES, find_asset
from runner.server.host import Host
from runner.sessions.registry import Sessions
from runner.settings import Settings
from runner.settings.transports import TRANSPORTS


async def silent(runner_args: object) -> None:
    pass


@pytest.fixture
def app() -> Starlette:
    bot = LoadedBot(Path("/somewhere/my_bot.py"), "silent", silent, sys.modules[__name__])
    return create_app(Host(Settings(), bot, Sessions(bot), ("webrtc",)))


@pytest.fixture
def client(app: Starlette) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://localhost")


async def test_status_names_the_bot_and_its_addresses(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/status")
    assert answer.json() == {
        "status": "ready",
        "pid": os.getpid(),
        "transports": ["webrtc"],
        "bot": {"file": "my_bot.py", "function": "silent"},
        "sessions": [],
        "turns": {"n": 0},
    }


async def test_the_page_asks_nobody_else_for_anything(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"].startswith("default-src 'self';")
    assert answer.headers["cache-control"] == "no-cache"
    again = await client.get("/", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


async def test_every_file_of_the_page_has_a_content_type(client: httpx2.AsyncClient) -> None:
    page = find_asset("index.html")
    assert isinstance(page, Path)
    for path in (path for path in page.parent.rglob("*") if path.is_file()):
        answer = await client.get(f"/page/{path.relative_to(page.parent).as_posix()}")
        assert answer.status_code == 200, path
        assert answer.headers["content-type"] == CONTENT_TYPES[path.suffix]


@pytest.mark.parametrize(
    "path",
    [
        "../app.py",
        "%2e%2e/app.py",
        "..%2fapp.py",
        "%2Fetc/passwd",
        "..\\app.py",
        "a%00b",
        "",
        ".",
        "index.html/",
        "x.js",
    ],
)
async def test_no_path_leads_out_of_the_page_s_folder(client: httpx2.AsyncClient, path: str) -> None:
    assert (await client.get(f"/page/{path}")).status_code == 404


async def test_the_api_s_page_is_ours_alone(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/redoc")).status_code == 404


async def test_a_refusal_is_json_with_its_sentence(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/page/none.js")
    assert (answer.status_code, answer.json()) == (404, {"detail": "the page has no file 'none.js'"})
    assert (await client.get("/start")).status_code == 405


async def test_another_site_s_page_is_refused(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/status", headers={"Origin": "https://evil.example"})).status_code == 403


async def test_an_oversized_body_is_refused(client: httpx2.AsyncClient) -> None:
    assert (await client.post("/start", content=b"x" * (1 << 20) + b"x")).status_code == 413


@pytest.mark.parametrize("name", TRANSPORTS)
def test_each_transport_has_an_endpoint(name: str) -> None:
    bot = LoadedBot(Path("/somewhere/my_bot.py"), "silent", silent, sys.modules[__name__])
    app = create_app(Host(Settings(), bot, Sessions(bot), (name,)))
    assert TRANSPORTS[name].path in {route.path for route in app.routes}  # type: ignore[attr-defined]


def test_the_page_works_below_any_path_prefix() -> None:
    """All that it asks for is relative to its own address."""
    page = find_asset("index.html")
    assert isinstance(page, Path)
    for file in page.parent.iterdir():
        if file.suffix in {".html", ".js", ".css"}:
            assert not re.findall(r"""["'`(]/(?:page|api|start|status|sessions)\b""", file.read_text()), (
                file.name
            )
