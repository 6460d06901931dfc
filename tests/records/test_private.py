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
