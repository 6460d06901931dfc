"""What is hidden before a record is written, and that a stranger's text cannot hold up the process.

Python's `re` holds the interpreter while it searches: a pattern that takes quadratic time on some text stops
all calls. On these texts such patterns take minutes; the test's time limit ends them.
"""

from __future__ import annotations

import pytest

from runner.records.private import Privacy

LARGE = 256 * 1024
"""The largest message of a socket (bytes)."""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('{"token":"abc","b":1}', '{"token":"…","b":1}'),
        ('{"AccessToken" : "abc"}', '{"AccessToken" : "…"}'),
        (r'"{\"auth_token\":\"abc\",\"b\":1}"', r'"{\"auth_token\":\"…\",\"b\":1}"'),
        ('"a":"token":"x"', '"a":"token":"…"'),
        ('{"key":"5","sig":"x"}', '{"key":"5","sig":"x"}'),
        ("wss://h/ws?key=abc&digit=5", "wss://h/ws?key=…&digit=5"),
        ("https://h/?a=b&url=https://h/?token=abc&x=1", "https://h/?a=b&url=https://h/?token=…&x=1"),
        ("?apikey= and ?sig=1 2", "?apikey= and ?sig=… 2"),
    ],
)
def test_values_behind_the_names_of_secrets_are_hidden(text: str, shown: str) -> None:
    assert Privacy().clean(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        '{"from":"+14155550123"}',
        r'{"from":"+14155550123\u001b[2J<img>"}',
        "?From=%2B14155550123&To=1",
        "sip:14155550123@example.org",
        r"{\"from\":\"\u002b14155550123\"}",
    ],
)
@pytest.mark.parametrize("number", ["+14155550123", "+14155550123\x1b[2J<img>", "sip:+14155550123@h"])
def test_a_caller_s_number_is_masked_however_it_is_written(text: str, number: str) -> None:
    shown = Privacy(numbers=(number,)).clean(text)
    assert "4155550123" not in shown
    assert "23" in shown


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "text",
    [
        '"' + "token" * (LARGE // 5),
        '"' + "token-" * (LARGE // 6),
        "?" + "token" * (LARGE // 5),
        "?key" * (LARGE // 4),
        '"' * LARGE + "token",
        '"token"' + " " * LARGE,
        '"token":"' + '\\"' * (LARGE // 2),
        "?a" + "=?a" * (LARGE // 3) + "token",
    ],
    ids=[
        "one name",
        "with hyphens",
        "in an address",
        "many addresses",
        "quotes",
        "spaces",
        "escaped",
        "nested",
    ],
)
def test_no_text_of_a_stranger_holds_up_the_process(text: str) -> None:
    assert len(Privacy().clean(text)) <= len(text)
