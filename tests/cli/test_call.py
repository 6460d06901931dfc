"""`c` rings as `botrun call` did last."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from runner.cli.call import _running_bot, last_call, remember_call
from runner.cli.program import run_program
from runner.settings import Settings


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    return Settings(transports=("webrtc", "telnyx", "twilio"), port=7860, state_dir=str(tmp_path / "state"))


def test_it_is_rung_as_it_was_rung_last(settings: Settings) -> None:
    Path("mine.yaml").touch()
    remember_call(settings, "twilio", "mine.yaml")
    url = "ws://localhost:7860/ws"
    assert last_call(settings) == ["--url", url, "--transport", "twilio", "--scenario", "mine.yaml"]


def test_a_scenario_that_is_gone_since_is_not_asked_for(settings: Settings) -> None:
    remember_call(settings, "twilio", "gone.yaml")
    assert last_call(settings)[-2:] == ["--scenario", "ordinary"]


def test_a_provider_that_is_not_served_is_not_asked_for(settings: Settings) -> None:
    remember_call(settings, "plivo", "angry")
    assert last_call(settings)[-4:] == ["--transport", "telnyx", "--scenario", "angry"]


def test_a_run_without_a_phone_cannot_be_rung(settings: Settings) -> None:
    assert last_call(Settings(transports=("webrtc",), state_dir=settings.state_dir)) == []


def test_without_a_file_the_bot_at_the_configured_port_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run's own folder has the port: its `.env`."""
    with socket.create_server(("127.0.0.1", 0)) as running:
        port = running.getsockname()[1]
        (tmp_path / ".env").write_text(f"BOTRUN_PORT={port}\n")
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv("BOTRUN_PORT", raising=False)
        assert _running_bot() == f"ws://localhost:{port}/ws"
    assert run_program(["call", "-t", "twilio"]) == 2
    assert f"no bot to call: nothing listens on port {port}" in capsys.readouterr().err
