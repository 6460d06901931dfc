"""Keys in a server's answers or in errors are not shown."""

from __future__ import annotations

import base64
import io
import logging
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from runner import logs
from runner.botcode.location import describe
from runner.services.common.failures import LONGEST_TEXT, own_words, refusal
from runner.settings import credentials as keys

KEY = "canary-of-the-environment"
GIVEN = "canary-of-the-code"


@pytest.fixture(autouse=True)
def two_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr(keys, "_given", set())
    keys.need("DEEPGRAM_API_KEY", GIVEN, "ears")


@pytest.fixture
def logging_is_undone() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize("key", [KEY, GIVEN])
@pytest.mark.parametrize("body", ["bad key: {key}", '{{"error": {{"message": "bad key: {key}"}}}}'])
def test_a_refusal_that_repeats_the_key_is_shown_without_it(key: str, body: str) -> None:
    assert str(refusal("It", "KEY", 401, body.format(key=key))).endswith("check KEY: bad key: …")


def test_a_key_is_hidden_before_the_text_is_cut() -> None:
    words = "x" * (LONGEST_TEXT - 6)
    assert own_words(f"{words}{KEY}") == f"{words}…"


def test_an_error_with_a_key_is_shown_without_it() -> None:
    assert describe(ValueError(f"no {KEY}")) == "ValueError: no …"


@pytest.mark.usefixtures("logging_is_undone")
@pytest.mark.parametrize("style", ["text", "json"])
def test_the_log_never_shows_a_key(style: str) -> None:
    stream = io.StringIO()
    logs.configure(style=style, verbose=True, stream=stream)
    try:
        raise ValueError(f"no {GIVEN}")
    except ValueError:
        logging.getLogger("a_library").exception("asked with %s", {"Authorization": f"Bearer {KEY}"})
    assert "canary" not in stream.getvalue()
    assert "asked with" in stream.getvalue()


def test_words_are_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "local")
    keys.remember("test")
    assert keys.hide("a local test") == "a local test"


@pytest.mark.parametrize("before", ["", "a", "ab", "user:"])
def test_a_key_is_hidden_in_base64_and_in_addresses(before: str, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "s3cret/with+signs&more"
    keys.remember(secret)
    basic = base64.b64encode(f"{before}{secret}".encode()).decode()
    shown = keys.hide(f"Authorization: Basic {basic}; https://host/?key={quote(secret, safe='')}")
    assert base64.b64encode(f"{before}{secret}".encode()).decode()[4:-4] not in shown
    assert quote(secret, safe="") not in shown
    assert shown.startswith("Authorization: Basic ")
