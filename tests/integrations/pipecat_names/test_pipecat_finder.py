"""Whose imports find Pipecat's names, and what the others get."""

from __future__ import annotations

import logging
import sys
from importlib import import_module
from pathlib import Path
from textwrap import dedent

import pytest
from pipecat_bots import BOTS, load

import runner.frames
from runner.botcode.failure import BotCrashError
from runner.errors import BotLoadError, UsageError
from runner.integrations.pipecat_names.installed import PIPECAT
from runner.integrations.pipecat_names.table import MODULES

PROBE = """
    import importlib.util

    try:
        import pipecat.frames.frames
        there = True
    except ImportError:
        there = False

    def probe():
        return importlib.util.find_spec("pipecat") is not None
"""
BOT = "async def bot(runner_args): ...\n"


def write(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(dedent(text))
    return file


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed packages that comes first."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


def install_pipecat(site: Path, *needs: str) -> None:
    write(site / "pipecat" / "__init__.py", "engine = 'its own'\n")
    write(site / "pipecat" / "frames.py", "frames = 'its own'\n")
    lines = ["Metadata-Version: 2.1", "Name: pipecat-ai", "Version: 1.14.0"]
    lines += [f"Requires-Dist: {need}" for need in needs]
    write(site / "pipecat_ai-1.14.0.dist-info" / "METADATA", "\n".join(lines) + "\n")


def test_a_library_that_probes_for_pipecat_finds_none(site: Path, tmp_path: Path) -> None:
    write(site / "probing.py", PROBE)
    bot = write(
        tmp_path / "bot.py",
        """
        from pipecat.frames.frames import TTSSpeakFrame
        import pipecat.frames.frames
        import probing
        from pipecat.pipeline.pipeline import Pipeline

        found = probing.there, probing.probe()
        async def bot(runner_args): ...
        """,
    )
    module = load(bot).module
    assert module.TTSSpeakFrame is runner.frames.TTSSpeakFrame
    assert module.found == (False, False)
    assert [name for name in sys.modules if name.partition(".")[0] == PIPECAT] == []


async def test_imports_inside_a_running_bot_work_too(site: Path, tmp_path: Path) -> None:
    write(site / "probing.py", PROBE)
    bot = write(
        tmp_path / "bot.py",
        """
        import probing
        found = []
        async def bot(runner_args):
            from pipecat.pipeline.pipeline import Pipeline
            found.extend([Pipeline.__name__, probing.probe()])
        """,
    )
    loaded = load(bot)
    await loaded.function(None)
    assert loaded.module.found == ["Pipeline", False]


def test_files_beside_the_bot_get_the_names(tmp_path: Path) -> None:
    write(tmp_path / "a_helper_of_it.py", "from pipecat.frames.frames import Frame\n")
    bot = write(tmp_path / "bot.py", "from a_helper_of_it import Frame\n" + BOT)
    assert load(bot).module.Frame is runner.frames.Frame


def test_common_imports_of_old_and_new_bots_are_found() -> None:
    module = load(BOTS / "common_names.py").module
    assert module.Frame is runner.frames.Frame
    assert module.Language.EN_US == "en-US"
    assert module.SameLLM is module.OpenAILLMService


@pytest.mark.parametrize("path", [*MODULES, "transports", "services.openai"])
def test_every_path_of_the_table_leads_somewhere(path: str, tmp_path: Path) -> None:
    for source in MODULES.get(path, ()):
        import_module(source)
    bot = write(tmp_path / "bot.py", f"import pipecat.{path} as one\nimport runner.{path} as two\n{BOT}")
    module = load(bot).module
    if path in MODULES:
        assert "__name__" in vars(module.one)
        assert dir(module.one)


def test_the_same_paths_lead_there_below_runner(site: Path, tmp_path: Path) -> None:
    write(site / "probing.py", PROBE.replace("pipecat", "runner"))
    bot = write(
        tmp_path / "bot.py",
        """
        from runner.transports.base_transport import TransportParams
        from runner.transports.network.small_webrtc import SmallWebRTCTransport
        from runner.transports.services.daily import DailyParams, DailyTransport
        from runner.processors.aggregators.llm_context import LLMContext
        from runner.services.deepgram.stt import DeepgramSTTService
        async def bot(runner_args): ...
        """,
    )
    module = load(bot).module
    assert module.SmallWebRTCTransport.__module__ == "runner.transports.webrtc.transport"
    assert not import_module("probing").there


# ------------------------------------------------------------------ what is missing


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (
            "from pipecat.services.anthropic.llm import AnthropicLLMService",
            "botrun's own engine has no pipecat.services.anthropic. Use OpenAILLMService with base_url=",
        ),
        (
            "from pipecat.frames.frames import LLMMessagesUpdateFrame",
            "botrun's own engine has no LLMMessagesUpdateFrame of pipecat.frames.frames. "
            "Use LLMContext.set_messages and LLMRunFrame, or install pipecat to run the bot unchanged: ",
        ),
        (
            "from pipecat.frames.frames import Nonsense",
            "botrun's own engine has no Nonsense of pipecat.frames.frames. "
            "Install pipecat to run the bot unchanged: ",
        ),
        (
            "from pipecat.flows import FlowManager",
            "botrun's own engine has no pipecat.flows. Use tools",
        ),
    ],
)
def test_a_missing_name_says_what_to_use_and_where(tmp_path: Path, line: str, sentence: str) -> None:
    bot = write(tmp_path / "bot.py", f"\n{line}\n{BOT}")
    with pytest.raises(BotCrashError) as failure:
        load(bot)
    assert str(failure.value).startswith(f"{bot}:2: {sentence}")
    assert str(failure.value).endswith("pip install pipecat-ai")
    assert "did you mean" not in str(failure.value)


def test_a_bot_may_try_a_name_that_is_missing(tmp_path: Path) -> None:
    bot = write(
        tmp_path / "bot.py",
        """
        try:
            from pipecat.services.anthropic.llm import AnthropicLLMService
        except ModuleNotFoundError:
            AnthropicLLMService = None
        try:
            from pipecat.frames.frames import Nonsense
        except ImportError:
            Nonsense = None
        async def bot(runner_args): ...
        """,
    )
    assert load(bot).module.Nonsense is None


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("from runner.pipeline import PipelineWorker", "import it from runner.pipeline.worker"),
        (
            "from runner.processors import LLMUserAggregatorParams",
            "import it from runner.processors.aggregators.llm_response_universal",
        ),
        ("from runner.frames import LLMMessagesUpdateFrame", "use LLMContext.set_messages and LLMRunFrame"),
    ],
)
def test_a_name_of_pipecat_s_in_a_module_of_ours_leads_to_its_place(
    tmp_path: Path, line: str, hint: str
) -> None:
    bot = write(tmp_path / "bot.py", f"{line}\n{BOT}")
    with pytest.raises(BotCrashError) as failure:
        load(bot)
    assert hint in str(failure.value)
    assert "did you mean" not in str(failure.value)


# ------------------------------------------------------------------ which engine


def test_one_line_says_which_engine_runs_the_bot(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bot = write(
        tmp_path / "bot.py",
        "import pipecat.frames.frames\nfrom pipecat.pipeline.task import PipelineTask\n" + BOT,
    )
    with caplog.at_level(logging.INFO):
        load(bot)
    lines = [record.getMessage() for record in caplog.records if "engine" in record.getMessage()]
    assert lines == ["bot.py runs on botrun's own engine: pipecat is not installed"]


def test_an_installed_pipecat_is_used(site: Path, tmp_path: Path) -> None:
    install_pipecat(site, "numpy")
    bot = write(tmp_path / "bot.py", "import pipecat\n" + BOT)
    assert load(bot).module.pipecat.engine == "its own"
    for name in [name for name in sys.modules if name.partition(".")[0] == PIPECAT]:
        del sys.modules[name]


def test_an_installation_without_dependencies_counts_as_none(
    site: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    install_pipecat(site, *(f"botrun-test-missing-{n}>=1" for n in range(8)), "botrun-extra ; extra == 'x'")
    bot = write(tmp_path / "bot.py", "from pipecat.frames.frames import Frame\n" + BOT)
    with caplog.at_level(logging.INFO):
        assert load(bot).module.Frame is runner.frames.Frame
    assert "pipecat is installed without its dependencies" in caplog.text


def test_a_broken_installation_names_what_is_missing(site: Path, tmp_path: Path) -> None:
    install_pipecat(site, "numpy", "botrun-test-missing>=1", "botrun-extra ; extra == 'x'")
    bot = write(tmp_path / "bot.py", "from pipecat.frames.frames import Frame\n" + BOT)
    with pytest.raises(BotLoadError) as failure:
        load(bot)
    assert (
        f"{bot}:1: pipecat-ai 1.14.0 is installed, but it needs botrun-test-missing, which is not: "
        in str(failure.value)
    )


def test_pipecat_s_main_says_how_to_start(tmp_path: Path) -> None:
    bot = write(tmp_path / "bot.py", "from pipecat.runner.run import main\n" + BOT)
    with pytest.raises(UsageError, match="start the bot with `botrun FILE`"):
        load(bot).module.main()
