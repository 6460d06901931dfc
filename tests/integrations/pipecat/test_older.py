"""A bot of another Pipecat than the installed one: the error names what is gone, and what to use."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("pipecat", reason="pipecat is not installed: pip install 'botrun[pipecat]'")

import pipecat

from runner.botcode.loader import BotTarget
from runner.errors import BotLoadError, MissingPackageError
from runner.integrations.pipecat import loading

BOT = "\nasync def bot(runner_args): ...\n"


def refused(folder: Path, line: str) -> str:
    bot = folder / "bot.py"
    bot.write_text(f"import pipecat\n{line}{BOT}")
    with pytest.raises((BotLoadError, MissingPackageError)) as failure:
        loading.load(BotTarget(bot))
    return str(failure.value).removeprefix(f"{bot}:")


@pytest.mark.parametrize(
    ("line", "what", "instead"),
    [
        (
            "from pipecat.processors.aggregators.openai_llm_context import OpenAILLMContext",
            "module pipecat.processors.aggregators.openai_llm_context",
            "LLMContext of pipecat.processors.aggregators.llm_context, and LLMContextAggregatorPair of "
            "pipecat.processors.aggregators.llm_response_universal",
        ),
        ("from pipecat.vad.silero import SileroVADAnalyzer", "module pipecat.vad", "pipecat.audio.vad"),
        (
            "from pipecat.services.deepgram import DeepgramSTTService",
            "DeepgramSTTService in pipecat.services.deepgram",
            "pipecat.services.deepgram.stt",
        ),
        (
            "from pipecat.processors.frameworks.rtvi import RTVIConfig",
            "RTVIConfig in pipecat.processors.frameworks.rtvi",
            "RTVIProcessor() without a configuration",
        ),
    ],
)
def test_a_name_that_is_gone_is_given_with_what_to_use(
    tmp_path: Path, line: str, what: str, instead: str
) -> None:
    assert refused(tmp_path, line) == (
        f"2: pipecat {pipecat.__version__} has no {what}: the bot was written for another version. "
        f"Use {instead}"
    )


def test_a_name_that_nobody_knows_leads_nowhere_else(tmp_path: Path) -> None:
    said = refused(tmp_path, "from pipecat.frames.frames import Nonsense")
    assert said.endswith("has no Nonsense in pipecat.frames.frames: the bot was written for another version")


def test_a_package_behind_a_module_of_pipecat_s_is_named_with_its_extra(tmp_path: Path) -> None:
    said = refused(tmp_path, "from pipecat.transports.livekit.transport import LiveKitTransport")
    assert said.startswith("2: needs the package livekit, which is not installed: ")
    assert said.endswith("pip install 'pipecat-ai[livekit]'")


def test_the_bots_own_errors_stay_what_they_are(tmp_path: Path) -> None:
    assert refused(tmp_path, "from json import nothing").startswith("2: ImportError: cannot import name")
    assert "a_package_that_nobody_has" in refused(tmp_path, "import a_package_that_nobody_has")
