"""Which bots are Pipecat's. Nothing is imported for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.errors import BotLoadError
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
        (
            {"bot": "try:\n    import pipecat.frames.frames\nexcept ImportError:\n    import runner.frames"},
            True,
        ),
        (
            {"bot": "try:\n    import runner.frames\nexcept ImportError:\n    import pipecat.frames.frames"},
            False,
        ),
    ],
)
def test_what_the_files_import_decides(tmp_path: Path, files: dict[str, str], expected: bool) -> None:
    assert detect.is_pipecat_bot(write(tmp_path, **files)) is expected


@pytest.mark.parametrize("line", ["import runner.frames", "from runner import create_transport"])
def test_a_bot_of_two_engines_is_refused_with_both_places(tmp_path: Path, line: str) -> None:
    bot = write(tmp_path, bot=f"import talk\n{line}", talk="\nfrom pipecat.pipeline.pipeline import Pipeline")
    with pytest.raises(BotLoadError) as refused:
        detect.check_one_engine(bot)
    module = line.split()[1]
    assert str(refused.value) == (
        f"{bot}:2: the bot mixes two engines: it imports {module} here, and pipecat.pipeline.pipeline at "
        "talk.py:2. Import both from pipecat; botrun runs that unchanged"
    )


@pytest.mark.parametrize(
    "line", ["import pipecat.audio.utils", "from pipecat.utils.time import nanoseconds_to_str"]
)
def test_tools_of_pipecat_s_are_for_both_engines(tmp_path: Path, line: str) -> None:
    bot = write(tmp_path, bot=f"from runner import LLMContext\n{line}")
    detect.check_one_engine(bot)
    assert not detect.is_pipecat_bot(bot)


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
