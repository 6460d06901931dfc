"""`botrun load` notes what a bot's process carries, and `botrun serve` reads it."""

from __future__ import annotations

import json
from pathlib import Path

from runner.cli.capacity_file import FILE, measured, note


def test_the_least_of_the_served_transports_counts(tmp_path: Path) -> None:
    bot = tmp_path / "my_bot.py"
    assert measured(bot, ["twilio"]) is None
    note(bot, "twilio", "echo", 100)
    note(bot, "webrtc", "echo", 40)
    note(tmp_path / "other.py", "twilio", "echo", 7)
    assert measured(bot, ["twilio"]).capacity == 80  # type: ignore[union-attr]
    found = measured(bot, ["twilio", "webrtc"])
    assert found is not None
    assert found.sentence().startswith(
        "a worker takes 32 calls, 80% of the 40 that botrun load measured over webrtc on 20"
    )
    note(bot, "twilio", "talk", 90)
    assert json.loads((tmp_path / FILE).read_text())["my_bot.py"]["twilio"]["calls"] == 90


def test_a_file_that_is_not_ours_is_no_measurement(tmp_path: Path) -> None:
    bot = tmp_path / "my_bot.py"
    (tmp_path / ".botrun").mkdir()
    for text in ("", "[]", '{"my_bot.py": 3}', '{"my_bot.py": {"twilio": {"calls": "many"}}}', "\0"):
        (tmp_path / FILE).write_text(text)
        assert measured(bot, ["twilio"]) is None
