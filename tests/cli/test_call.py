"""`c` rings as `botrun call` did last."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.cli.call import last_call, remember_call
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
