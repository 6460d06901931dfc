from __future__ import annotations

import os
from pathlib import Path

import pytest

from runner.errors import UsageError
from runner.settings import (
    DOTENV_LIMIT_BYTES,
    SETTINGS,
    Settings,
    dotenv_notes,
    enter_dotenv,
    find_dotenv,
    read_dotenv,
    resolve,
    unknown_variables,
)


def test_without_anything_the_defaults_hold() -> None:
    assert resolve({}, {}, {}) == Settings()


def test_a_flag_goes_before_the_environment_before_dotenv_before_the_default() -> None:
    dotenv = {"BOTRUN_PORT": "1", "BOTRUN_HOST": "1.1.1.1", "BOTRUN_LOG": "json"}
    settings = resolve({"port": "3"}, dotenv, {"BOTRUN_PORT": "2", "BOTRUN_HOST": "2.2.2.2"})
    assert (settings.port, settings.host, settings.log, settings.max_sessions) == (3, "2.2.2.2", "json", 0)
    assert settings.sources == {"port": "--port", "host": "BOTRUN_HOST", "log": "BOTRUN_LOG in .env"}


def test_a_switch_may_be_turned_off_by_its_flag() -> None:
    assert resolve({"open_page": False}, {}, {"BOTRUN_OPEN": "1"}).open_page is False


def test_an_empty_variable_is_an_absent_one() -> None:
    assert resolve({}, {"BOTRUN_PORT": "5"}, {"BOTRUN_PORT": " "}).port == 5


def test_several_values_come_from_repeated_flags_or_one_variable() -> None:
    assert len(resolve({"ice_servers": ["stun:a", "stun:b"]}, {}, {}).ice_servers) == 2
    assert len(resolve({}, {}, {"BOTRUN_ICE_SERVERS": "stun:a stun:b stun:c"}).ice_servers) == 3


@pytest.mark.parametrize(
    ("flags", "dotenv", "environ", "sentence"),
    [
        ({"port": "x"}, {}, {}, "^--port: expected a port"),
        ({}, {}, {"BOTRUN_PORT": "x"}, "^BOTRUN_PORT: expected a port"),
        ({}, {"BOTRUN_PORT": "x"}, {}, "^BOTRUN_PORT in .env: expected a port"),
        ({"transports": ["webrtc", "dayly"]}, {}, {}, "^--transport: 'dayly' is not .*did you mean daily"),
    ],
)
def test_a_bad_value_is_reported_with_its_origin(
    flags: dict[str, object], dotenv: dict[str, str], environ: dict[str, str], sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        resolve(flags, dotenv, environ)


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_has_a_name_in_the_environment_and_a_help_text(name: str) -> None:
    assert SETTINGS[name].env.startswith("BOTRUN_")
    assert SETTINGS[name].help.endswith(".")


DOTENV = [
    (b"A=1\nB=two\n", {"A": "1", "B": "two"}),
    (b"\xef\xbb\xbfA=1\n", {"A": "1"}),
    (b"A=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
    (b'A=\'x y\' # why\nB="q\\"r"\n', {"A": "x y", "B": 'q"r'}),
    (b"export A=1\n", {"A": "1"}),
    (b"# nothing\n\nA\n", {}),
    (b"", {}),
]


@pytest.mark.parametrize(("content", "pairs"), DOTENV)
def test_dotenv_is_read_as_people_write_it(tmp_path: Path, content: bytes, pairs: dict[str, str]) -> None:
    path = tmp_path / ".env"
    path.write_bytes(content)
    assert read_dotenv(path) == pairs


@pytest.mark.parametrize("content", [b"A=\xff", b"A=1\0", b"A=" + b"x" * DOTENV_LIMIT_BYTES])
def test_a_dotenv_that_is_none_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / ".env"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"\.env cannot be read: "):
        read_dotenv(path)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"A=1\n\nthis is no setting\nB=2\n", 3),
        (b"A='canary\nB=2\n", 1),
        (b"A='two\nlines'\nB='canary\n", 3),
        (b"A=1 # why\r\n=canary\r\n", 2),
        (b"A='canary' B=2\n", 1),
    ],
)
def test_a_meaningless_line_of_dotenv_is_reported_by_number_and_not_shown(
    tmp_path: Path, content: bytes, line: int, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / ".env"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=rf"\.env:{line} .*Write NAME=value") as caught:
        read_dotenv(path)
    assert "canary" not in str(caught.value)
    assert not caplog.records


@pytest.mark.parametrize(
    ("dotenv", "environ", "sentences"),
    [
        ({"BOTRUN_PORT": "1"}, {"BOTRUN_HOST": "x", "BOTRUN_MODELS_DIR": "y", "PATH": "z"}, []),
        ({}, {"BOTRUN_PROT": "1"}, ["BOTRUN_PROT is not a setting; did you mean BOTRUN_PORT?"]),
        (
            {"BOTRUN_MAX_CALLS_SECS": "9"},
            {},
            ["BOTRUN_MAX_CALLS_SECS in .env is not a setting; did you mean BOTRUN_MAX_CALL_SECS?"],
        ),
        ({"BOTRUN_XYZZY": "1"}, {}, ["BOTRUN_XYZZY in .env is not a setting; see .env.example"]),
        (
            {"BOTRUN_PROT": "1"},
            {"BOTRUN_PROT": "2"},
            ["BOTRUN_PROT is not a setting; did you mean BOTRUN_PORT?"],
        ),
        ({}, {"BOTRUN_CI": "1"}, []),
    ],
)
def test_an_unknown_variable_is_reported_with_the_one_that_was_meant(
    dotenv: dict[str, str], environ: dict[str, str], sentences: list[str]
) -> None:
    assert unknown_variables(dotenv, environ) == sentences


def test_an_unreadable_dotenv_is_reported(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()  # as unreadable for root as for others
    with pytest.raises(UsageError, match=r"\.env cannot be read: Is a directory"):
        read_dotenv(tmp_path / ".env")


def test_a_missing_dotenv_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_dotenv(find_dotenv(tmp_path / "bot.py")) == {}


def test_the_dotenv_beside_the_bot_goes_before_the_one_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bots").mkdir()
    (tmp_path / ".env").write_text("A=here")
    assert read_dotenv(find_dotenv(tmp_path / "bots" / "bot.py")) == {"A": "here"}
    (tmp_path / "bots" / ".env").write_text("A=beside")
    assert read_dotenv(find_dotenv(tmp_path / "bots" / "bot.py")) == {"A": "beside"}


def test_what_is_already_in_the_environment_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_TEST_S_OWN", "real")
    monkeypatch.delenv("ANOTHER_OF_IT", raising=False)
    enter_dotenv({"A_TEST_S_OWN": "file", "ANOTHER_OF_IT": "file"})
    assert (os.environ["A_TEST_S_OWN"], os.environ.pop("ANOTHER_OF_IT")) == ("real", "file")


def test_a_dotenv_that_is_a_folder_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some name their virtual environment so."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").mkdir()
    assert find_dotenv(tmp_path / "bot.py") is None
    assert dotenv_notes(tmp_path / "bot.py") == [
        f"{tmp_path / '.env'} is a folder, not a file. botrun ignores it."
    ]


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null"])
def test_a_dotenv_that_is_a_device_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").symlink_to(device)
    assert find_dotenv(tmp_path / "bot.py") is None
    assert dotenv_notes(tmp_path / "bot.py") == [
        f"{tmp_path / '.env'} is a device, not a file. botrun ignores it."
    ]


def test_a_dotenv_that_is_a_pipe_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo(tmp_path / ".env")
    assert find_dotenv(tmp_path / "bot.py") is None
    assert dotenv_notes(tmp_path / "bot.py") == [
        f"{tmp_path / '.env'} is a pipe, not a file. botrun ignores it."
    ]
