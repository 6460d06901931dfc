from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from runner.errors import MissingPackageError, UsageError
from runner.settings import parsing as values
from runner.settings.parsing import IceServer, parse_ice_server
from runner.settings.transports import TRANSPORTS, choose_transports, parse_transport

GOOD: list[tuple[Any, str, Any]] = [
    (values.parse_port, "0", 0),
    (values.parse_port, "65535", 65535),
    (values.parse_host, "127.0.0.1", "127.0.0.1"),
    (values.parse_host, "[::1]", "::1"),
    (values.parse_host, "my-laptop.local", "my-laptop.local"),
    (values.parse_bool, "Yes", True),
    (values.parse_bool, "off", False),
    (values.parse_number(), "0.5", 0.5),
    (values.parse_count(least=1), "3", 3),
    (values.parse_choice("text", "json"), "json", "json"),
    (values.parse_body, '{"a": [1]}', {"a": [1]}),
    (values.parse_body, "7", 7),
    (parse_transport, " WebRTC ", "webrtc"),
]

BAD: list[tuple[Any, str, str]] = [
    (values.parse_port, "-1", 'expected a port from 0 .* to 65535, got "-1"'),
    (values.parse_port, "65536", 'got "65536"'),
    (values.parse_port, "http", 'got "http"'),
    (values.parse_host, "", "expected a host name or an IP address"),
    (values.parse_host, "http://here", "expected a host name or an IP address"),
    (values.parse_host, "a b", "expected a host name or an IP address"),
    (values.parse_origin, "*", "name each origin"),
    (values.parse_origin, "localhost:5173", "expected an origin such as http"),
    (values.parse_origin, "http://localhost:5173/app", "expected an origin such as http"),
    (values.parse_bool, "maybe", r'expected a boolean \(1/0, true/false\), got "maybe"'),
    (values.parse_number(), "-1", "a number of at least 0"),
    (values.parse_number(), "nan", "a number of at least 0"),
    (values.parse_number(), "inf", "a number of at least 0"),
    (values.parse_count(least=1), "0", "a whole number of at least 1"),
    (values.parse_count(least=1), "1.5", "a whole number of at least 1"),
    (
        values.parse_choice("text", "json"),
        "jsom",
        'expected one of text, json, got "jsom"; did you mean json',
    ),
    (values.parse_body, '{"a": ', "the text is not valid JSON: .* in line 1"),
    (values.parse_body, "[" * 200_000, "nested too deeply"),
    (values.parse_body, "no-such-file.json", "'no-such-file.json' is neither a file nor JSON"),
    (parse_transport, "twillio", r"'twillio' is not a transport \(webrtc, .*\); did you mean twilio\?"),
    (parse_ice_server, "turn:host:3478", "a TURN server needs credentials"),
    (parse_ice_server, "turn:user@host", "a TURN server needs credentials"),
    (parse_ice_server, "http://user:canary@host", "expected an ICE server"),
    (parse_ice_server, '{"urls": []}', "expected an ICE server"),
    (parse_ice_server, '{"urls": ["stun:h"], "credential": 3}', "must be text"),
]


@pytest.mark.parametrize(("parse", "text", "value"), GOOD)
def test_a_good_value_is_read(parse: Any, text: str, value: Any) -> None:
    assert parse(text) == value


@pytest.mark.parametrize(("parse", "text", "sentence"), BAD)
def test_a_bad_value_is_reported_in_one_line(parse: Any, text: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence) as caught:
        parse(text)
    assert "\n" not in str(caught.value)
    assert "canary" not in str(caught.value)


ICE: list[tuple[str, IceServer]] = [
    ("stun:stun.example:3478", IceServer(("stun:stun.example:3478",))),
    ("turn:bob:p4ss@turn.example:3478", IceServer(("turn:turn.example:3478",), "bob", "p4ss")),
    ("turns:bob:p@ss@t.example?transport=tcp", IceServer(("turns:t.example?transport=tcp",), "bob", "p@ss")),
    ("turn:1700%3Abob:a%25b@t.example", IceServer(("turn:t.example",), "1700:bob", "a%b")),
    ('{"urls": "stun:a", "username": "u", "credential": "c"}', IceServer(("stun:a",), "u", "c")),
]


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("http://localhost:5173/", "http://localhost:5173"),
        ("https://App.example:443", "https://app.example"),
        ("http://[::1]:80", "http://[::1]"),
    ],
)
def test_a_site_is_read_as_browsers_name_it(text: str, origin: str) -> None:
    assert values.parse_origin(text) == origin


@pytest.mark.parametrize(("text", "server"), ICE)
def test_an_ice_server_is_read(text: str, server: IceServer) -> None:
    assert parse_ice_server(text) == server


def test_a_credential_is_never_shown() -> None:
    assert "canary" not in repr(parse_ice_server("turn:bob:canary@turn.example"))


@pytest.mark.parametrize(
    ("name", "content", "value"),
    [
        ("a.json", '\ufeff{"a": 1}', {"a": 1}),
        ("a.yaml", "a: 1\nb: [x, y]\n", {"a": 1, "b": ["x", "y"]}),
        ("a.yml", "", None),
    ],
)
def test_a_body_may_be_a_file(tmp_path: Path, name: str, content: str, value: Any) -> None:
    (tmp_path / name).write_text(content)
    assert values.parse_body(str(tmp_path / name)) == value


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.json", b"{\n'a'", r"a\.json is not valid JSON: .* in line 2"),
        ("a.yaml", b"a: 1\nb: [\n", r"a\.yaml is not valid YAML: .* in line 3"),
        ("a.yaml", b"a: !!python/name:os.system\n", r"a\.yaml is not valid YAML"),
        ("a.json", b"\xff\xfe", r"a\.json cannot be read: not UTF-8"),
    ],
)
def test_a_bad_body_file_is_reported_with_its_line(
    tmp_path: Path, name: str, content: bytes, sentence: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=sentence) as caught:
        values.parse_body(str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_an_environment_variable_lists_several_with_spaces_or_as_json() -> None:
    assert values.split_words("stun:a  stun:b") == ["stun:a", "stun:b"]
    assert values.split_words('["stun:a", {"urls": "stun:b"}]') == ["stun:a", '{"urls": "stun:b"}']


def test_without_a_choice_all_transports_that_can_be_served_are() -> None:
    served = choose_transports(())
    assert all(not TRANSPORTS[name].missing for name in served)


def test_the_first_transport_asked_for_stays_the_first_and_none_is_there_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("runner.settings.transports._exists", lambda module: True)
    assert choose_transports(["twilio", "webrtc", "twilio"]) == ("twilio", "webrtc")


def test_a_transport_without_its_packages_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runner.settings.transports._exists", lambda module: module.startswith("runner."))
    with pytest.raises(MissingPackageError, match=re.escape("pip install 'botrun[daily]'")):
        choose_transports(["daily"])
