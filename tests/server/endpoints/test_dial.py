"""`POST /dial`: what cannot be called is refused in a sentence, and nobody is called."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest

from runner.botcode.loader import LoadedBot
from runner.server.access import cookie_of
from runner.server.app import create_app
from runner.server.host import Host
from runner.server.public.public_calls import DialOrder
from runner.sessions.registry import Sessions
from runner.settings import Settings

KEY = "the-key-of-this-run"
ORDER = {"provider": "twilio", "to": "+1 415 555 0100"}
PROVIDER = SimpleNamespace(name="twilio", rest_keys=(), dial_keys=(), missing_keys=lambda *keys: [])


class PublicCalls:
    """Takes orders."""

    dial_key = KEY

    def __init__(self) -> None:
        self.providers = {"twilio": PROVIDER}
        self.orders: list[DialOrder] = []

    async def dial(self, order: DialOrder) -> str:
        self.orders.append(order)
        return "CA1"


@pytest.fixture
def public_calls() -> PublicCalls:
    return PublicCalls()


@pytest.fixture
def client(public_calls: PublicCalls) -> httpx2.AsyncClient:
    bot = LoadedBot(Path("my_bot.py"), "bot", None, sys.modules[__name__])  # type: ignore[arg-type]
    settings = Settings(number="+14155550199")
    host = Host(settings, bot, Sessions(bot), ("twilio",), public_calls=public_calls)  # type: ignore[arg-type]
    app = create_app(host)
    transport = httpx2.ASGITransport(app)
    return httpx2.AsyncClient(transport=transport, base_url="http://localhost", headers={"x-botrun-key": KEY})


async def test_an_order_may_leave_out_what_is_usual(
    client: httpx2.AsyncClient, public_calls: PublicCalls
) -> None:
    assert (await client.post("/dial", json=ORDER)).json() == {"call_id": "CA1"}
    order = public_calls.orders[0]
    assert (order.to, order.from_number, order.limit_s, order.ring_s) == (
        *("+14155550100", "+14155550199"),
        *(600, 30),
    )
    assert order.detect_voicemail


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"provider": "vonage"}, "this run does not serve 'vonage': start it with -t vonage"),
        ({"provider": None}, "provider must be a valid string"),
        ({"to": 14155550100}, "to must be a valid string"),
        ({"limit_s": 5}, "limit_s must be greater than or equal to 10"),
        ({"ring_s": "long"}, "ring_s must be a valid integer"),
    ],
)
async def test_what_cannot_be_meant_is_refused_in_a_sentence(
    client: httpx2.AsyncClient, public_calls: PublicCalls, more: dict[str, Any], said: str
) -> None:
    answer = await client.post("/dial", json={**ORDER, **more})
    assert (answer.status_code, answer.json()) == (400, {"detail": said})
    assert not public_calls.orders


async def test_a_body_that_is_no_order_is_refused(
    client: httpx2.AsyncClient, public_calls: PublicCalls
) -> None:
    for body in (b"{", b"[]", b""):
        assert (await client.post("/dial", content=body)).status_code == 400
    assert not public_calls.orders


async def test_without_the_key_nobody_is_called(
    client: httpx2.AsyncClient, public_calls: PublicCalls
) -> None:
    refused = await client.post("/dial", json=ORDER, headers={"x-botrun-key": "guess"})
    assert refused.status_code == 401
    name, value = cookie_of({"headers": []}, KEY)
    by_page = {"x-botrun-key": "", "cookie": f"{name}={value}"}
    assert (await client.post("/dial", json=ORDER, headers=by_page)).status_code == 403
    assert not public_calls.orders
