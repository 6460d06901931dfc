"""Which bots are Pipecat's. Nothing is imported for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.integrations.pipecat import detect


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return folder / "bot.py"


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detect, "is_installed", lambda: True)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"bot": "from pipecat.frames.frames import EndFrame"}, True),
        ({"bot": "def later():\n    import pipecat"}, True),
        ({"bot": "import talk", "talk": "import pipecat.pipeline.worker"}, True),
        ({"bot": "import json"}, False),
        ({"bot": "from runner import LLMContext"}, False),
        ({"bot": "from runner import LLMContext\nimport pipecat.audio.utils"}, False),
        ({"bot": "from runner import configure\nimport pipecat", "runner": "def configure(): ..."}, True),
        ({"bot": "import pipecat ("}, False),
    ],
)
def test_what_the_files_import_decides(tmp_path: Path, files: dict[str, str], expected: bool) -> None:
    assert detect.is_pipecat_bot(write(tmp_path, **files)) is expected


def test_without_pipecat_no_bot_is_one_of_its(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detect, "is_installed", lambda: False)
    assert not detect.is_pipecat_bot(write(tmp_path, bot="import pipecat"))


def test_the_fork_server_imports_what_the_bots_files_do(tmp_path: Path) -> None:
    bot = write(
        tmp_path,
        bot="import talk\nfrom pipecat.frames.frames import EndFrame\nfrom pipecat.runner.run import main",
        talk="import pipecat.services.openai.llm",
    )
    assert detect.pipecat_modules(bot) == ["pipecat.frames.frames", "pipecat.services.openai.llm"]
