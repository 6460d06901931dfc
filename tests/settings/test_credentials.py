"""Keys do not reach the log, in whichever form a library writes them."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote, quote_plus

import pytest

from runner.settings import credentials

KEY = 'tok+en/with"odd=chars&1234567890'


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", KEY)


@pytest.mark.parametrize(
    "written",
    [
        KEY,
        quote(KEY),
        quote(KEY, safe=""),
        quote_plus(KEY),
        json.dumps(KEY)[1:-1],
        base64.b64encode(KEY.encode()).decode(),
        base64.urlsafe_b64encode(KEY.encode()).decode().rstrip("="),
        KEY.encode().hex(),
    ],
)
def test_a_key_is_hidden_in_every_form(written: str) -> None:
    shown = credentials.hide(f"GET /x?key={written} refused")
    assert written not in shown
    assert shown.startswith("GET /x?key=…")


@pytest.mark.parametrize("user", ["A", "AC", "AC1", "AC123456"])
def test_a_key_is_hidden_in_a_basic_login(user: str) -> None:
    """Its place within the three bytes of a base64 group depends on what stands before it."""
    login = base64.b64encode(f"{user}:{KEY}".encode()).decode()
    shown = credentials.hide(f"Authorization: Basic {login}")
    revealed = shown.rpartition(" ")[2].replace("…", "")
    assert len(revealed) <= len(base64.b64encode(f"{user}:".encode())) + 4
    assert login[-12:] not in shown
