"""`--https`: what is decided at the start, and what the terminal shows."""

from __future__ import annotations

import re
import socket
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import segno

from runner import RunnerArguments
from runner.botcode.loader import LoadedBot
from runner.cli import banner
from runner.cli.banner import Banner, qr_code
from runner.errors import UsageError
from runner.server.host import Host
from runner.server.wire.tls import key_file, with_https
from runner.sessions.registry import Sessions
from runner.settings import Settings


async def never(args: RunnerArguments) -> None: ...


def host(settings: Settings) -> Host:
    bot = LoadedBot(Path("my_bot.py"), "bot", never, ModuleType("bot"))
    return Host(settings, bot, Sessions(bot), ("webrtc",))


def asked(folder: Path, **more: str) -> Settings:
    sources = {"host": "--host"} if "host" in more else {}
    return with_https(Settings(https=True, state_dir=str(folder), sources=sources, **more))  # type: ignore[arg-type]


def test_it_opens_the_port_to_the_network_unless_a_host_was_named(tmp_path: Path) -> None:
    assert asked(tmp_path).host == "0.0.0.0"
    assert asked(tmp_path, host="127.0.0.1").host == "127.0.0.1"
    assert asked(tmp_path).login_key != asked(tmp_path).login_key


def test_its_key_can_be_read_by_this_user_while_it_runs(tmp_path: Path) -> None:
    settings = replace(asked(tmp_path), port=7999)
    with key_file(settings):
        (path,) = tmp_path.glob("*.key")
        assert path.read_text() == settings.login_key
        assert path.stat().st_mode & 0o777 == 0o600
    assert not path.exists()


def test_a_read_only_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"--https: .*file"):
        asked(tmp_path / "file")


@pytest.mark.parametrize("terminal", [True, False])
def test_the_qr_code_is_shown_on_a_terminal_only(
    terminal: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("NO_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "120")
    if terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
    else:
        monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.setattr(banner, "lan_address", lambda: "192.168.0.7")
    settings = asked(tmp_path)
    Banner().show(host(settings))
    shown = capsys.readouterr().out
    assert f"https://192.168.0.7:7860/?key={settings.login_key}" in shown
    assert f"https://localhost:7860/?key={settings.login_key}" in shown
    assert ("▀" in shown) is terminal
    Banner().show(host(Settings()))
    assert not re.search("▀|mobile|https:", capsys.readouterr().out)


def test_the_code_in_the_terminal_has_every_module() -> None:
    url = "https://192.168.0.7:7860/?key=" + "k" * 32
    rows = []
    for line in qr_code(url).plain.split("\n"):
        rows.append([mark in "▀█" for mark in line])
        rows.append([mark in "▄█" for mark in line])
    wanted = [[bool(module) for module in row] for row in segno.make(url, error="l").matrix_iter(border=2)]
    assert rows[: len(wanted)] == wanted


def test_there_is_an_address_for_mobiles_only_where_there_is_a_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class NoNetwork(socket.socket):
        def connect(self, address: object) -> None:
            raise OSError("Network is unreachable")

    from runner.server.wire import tls as https

    monkeypatch.setattr(https.socket, "socket", NoNetwork)
    assert https.lan_address() == ""
