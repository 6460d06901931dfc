"""What may be typed for a public address, a tunnel and a number; and the book of numbers."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from runner.errors import UsageError
from runner.server.public.keeper import NumberJournal, Taken
from runner.server.state_file import birth_of
from runner.settings import Settings, state_folder
from runner.settings.parsing import parse_phone_number, parse_public, parse_tunnel


@pytest.mark.parametrize(
    ("typed", "origin"),
    [
        ("bot.example.com", "https://bot.example.com"),
        ("https://Bot.example.com/", "https://bot.example.com"),
        ("bot.example.com:8443", "https://bot.example.com:8443"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
    ],
)
def test_a_public_address_is_an_origin(typed: str, origin: str) -> None:
    assert parse_public(typed) == origin


@pytest.mark.parametrize(
    "typed",
    ["http://bot.example.com", "ftp://h", "h/path", "https://u:p@h", "", "h:port", "http://127.0.0.1.evil"],
)
def test_a_bad_public_address_is_reported(typed: str) -> None:
    with pytest.raises(UsageError, match=r"public address must be|expected a host name"):
        parse_public(typed)


@pytest.mark.parametrize("typed", ["ngrok", "ssh://me@host/8080", "ssh://host:2222/80"])
def test_a_tunnel_goes_via_one_of_two(typed: str) -> None:
    assert parse_tunnel(typed) == typed


@pytest.mark.parametrize("typed", ["ssh://host", "ssh://me:pw@host/80", "cloudflared", "ssh://h/x", ""])
def test_an_unknown_tunnel_is_reported(typed: str) -> None:
    with pytest.raises(UsageError, match="expected ngrok or"):
        parse_tunnel(typed)


def test_a_number_is_read_as_people_write_it() -> None:
    assert parse_phone_number("+1 (415) 555-0100") == "+14155550100"
    for typed in ("4155550100", "+0123456789", "+1415555010012345", "+1415abc", ""):
        with pytest.raises(UsageError, match="expected a phone number"):
            parse_phone_number(typed)


def test_the_book_is_for_nobody_else_and_forgets_what_was_put_back(tmp_path: Path) -> None:
    book = NumberJournal(tmp_path / "state")
    os.umask(0o000)
    try:
        one, two = (Taken("twilio", number, "https://h", {"sid": "PN1"}) for number in ("+1", "+2"))
        book.add(one)
        book.add(two)
    finally:
        os.umask(0o022)
    path = tmp_path / "state" / "numbers.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert NumberJournal(tmp_path / "state").read() == [one, two]
    book.remove(one)
    assert book.read() == [two]
    book.remove(two)
    assert not path.exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'[{"x": 1}]', b"\xff"])
def test_a_book_that_cannot_be_read_is_empty(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "numbers.json").write_bytes(content)
    assert NumberJournal(tmp_path).read() == []


def test_a_process_number_that_came_round_again_holds_nothing() -> None:
    taken = Taken("twilio", "+1", "https://h", {})
    assert taken.is_held
    assert not Taken("twilio", "+1", "https://h", {}, birth="long ago").is_held
    assert birth_of(2**22 + 1) == ""


def test_the_state_folder_follows_the_system_s_habit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert state_folder(Settings()) == tmp_path / "botrun"
    assert state_folder(Settings(state_dir="/elsewhere")) == Path("/elsewhere")
