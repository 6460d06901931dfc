"""Records that are incomplete, without content, or edited are not replayed; the message names the part."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from replay_bots import ReplayBot, record_call

from runner.records.call import RecordedCall
from runner.replay.refusal import RefusedError, check
from runner.replay.run import ReplayRequest, replay


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A record that can be replayed."""
    record = record_call(ReplayBot(), tmp_path_factory.mktemp("whole") / "calls")
    check(record)
    return record.path


def head(path: Path, **fields: object) -> None:
    file = path / "call.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


def cut(path: Path, name: str, count: int) -> None:
    data = (path / name).read_bytes()
    (path / name).write_bytes(data[:-count])


def out_of_order(path: Path) -> None:
    lines = (path / "wire.jsonl").read_text().splitlines(keepends=True)
    (path / "wire.jsonl").write_text("".join([*lines[:40], *lines[400:440], *lines[40:400], *lines[440:]]))


FAULTS: list[tuple[Callable[[Path], object], str]] = [
    (lambda path: head(path, content="none"), "recorded without sound and words"),
    (lambda path: head(path, state="running", pid=1 << 30), "the bot's process ended during the call"),
    (lambda path: head(path, transport="daily"), "calls over daily cannot be made from here"),
    (lambda path: head(path, figures={"not_recorded": 7}), "the recorder dropped 7 items"),
    (lambda path: (path / "wire.jsonl").unlink(), "has no inbound media"),
    (lambda path: (path / "events.jsonl").unlink(), "events.jsonl"),
    (lambda path: cut(path, "wire.jsonl", 30), "wire.jsonl: the last line is cut off"),
    (out_of_order, "wire.jsonl was edited"),
]


@pytest.mark.parametrize(("break_it", "sentence"), FAULTS, ids=[fault[1] for fault in FAULTS])
def test_what_is_missing_is_named(
    break_it: Callable[[Path], object], sentence: str, whole: Path, tmp_path: Path
) -> None:
    path = tmp_path / whole.name
    shutil.copytree(whole, path)
    break_it(path)
    with pytest.raises(RefusedError, match=f"{path.name} cannot be replayed: .*{sentence}"):
        check(RecordedCall(path))


def test_recorded_services_for_a_bot_on_pipecat_are_refused(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bot = tmp_path / "their_bot.py"
    bot.write_text("import pipecat\n\nasync def bot(runner_args): ...\n")
    monkeypatch.setattr(
        "runner.replay.run.is_pipecat_bot", lambda path: path == bot
    )  # as if it were installed
    request = ReplayRequest(record=RecordedCall(whole), folder=tmp_path, bot=str(bot), services="recorded")
    with pytest.raises(RefusedError, match=r"their_bot\.py runs on Pipecat.*use --services live"):
        replay(request)
