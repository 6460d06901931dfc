"""`botrun new` writes a bot that runs, and overwrites nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.botcode.loader import BotTarget, load_bot
from runner.cli.new_bots import KINDS
from runner.cli.program import run_program


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_can_be_loaded_and_says_how_to_run_it(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_program(["new", f"my_{kind}_bot.py", "--with", kind]) == 0
    path = tmp_path / f"my_{kind}_bot.py"
    assert "BOT_FILE" not in path.read_text()
    assert f"botrun my_{kind}_bot.py" in path.read_text()
    assert f"botrun my_{kind}_bot.py" in capsys.readouterr().out
    assert load_bot(BotTarget(path)).function_name == "bot"


def test_a_bot_that_was_written_before_is_not_taken_for_a_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    assert [run_program(["new", "hello_bot.py"]), run_program(["new", "hello_bot.py"])] == [0, 2]
    assert "hello_bot.py already exists" in capsys.readouterr().err


def test_the_ending_may_be_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_program(["new", "hello_bot"]) == 0
    assert (tmp_path / "hello_bot.py").exists()


@pytest.mark.parametrize(
    ("words", "fields"),
    [
        (["there.py"], "already exists"),
        (["nowhere/bot.py"], "folder nowhere does not exist"),
        (["json.py"], "a library is named json"),
        (["my-bot.py"], "letters, digits and _"),
        (["good_bot.py", "--with", "phnoe"], "did you mean phone"),
    ],
)
def test_what_cannot_be_written_is_said_and_nothing_is_touched(
    words: list[str],
    fields: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.py").write_text("mine")
    assert run_program(["new", *words]) == 2
    assert fields in capsys.readouterr().err
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("there.py", "mine")]
