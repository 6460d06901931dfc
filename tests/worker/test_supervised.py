"""What a worker reports of the files that its bot has imported."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.worker import supervised


def test_a_file_is_judged_once_however_often_the_imports_are_reported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    judged: list[Path] = []

    def judge(file: Path, bot: Path) -> bool:
        judged.append(file)
        return file.name == "test_supervised.py"

    monkeypatch.setattr(supervised, "is_users_file", judge)
    bot = tmp_path / "bot.py"
    first = supervised.modules_of(bot)
    assert judged
    judged.clear()
    assert supervised.modules_of(bot) == first
    assert judged == []
    assert str(bot) in first
    assert __file__ in first
