"""What a bot's author gets wrong is reported in one sentence: what happened and what to do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runner import RunnerArguments
from runner.botcode.loader import LoadedBot
from runner.errors import UsageError
from runner.frames import TTSSpeakFrame
from runner.pipeline import Pipeline, PipelineParams, PipelineTask
from runner.processors import AudioRecorder, FrameProcessor, LLMContext
from runner.services.fallback import FallbackLLM, FallbackSTT, FallbackTTS
from runner.services.openai import OpenAILLMService
from runner.services.tools import tool
from runner.services.tools.toolbox import Toolbox
from runner.sessions.registry import Sessions
from runner.testing import Conversation, ScriptedLLM, run_virtual
from runner.transports.background import read_wav
from runner.turns.interruption import strategy_of


def look(day: str) -> str:
    """Look."""
    return day


@tool(name="look")
def look_again(day: int) -> int:
    """Look again."""
    return day


def any_task(**params: Any) -> PipelineTask:
    return PipelineTask(Pipeline([FrameProcessor()]), params=PipelineParams(**params))


MESSAGES = (
    "messages are a list of dictionaries such as {'role': 'system', 'content': 'Be kind.'}, not 'Be kind.'"
)
FAULTS: list[tuple[Callable[[], Any], str]] = [
    (
        lambda: LLMContext("Be kind."),
        MESSAGES,
    ),
    (
        lambda: LLMContext(["Be kind."]),
        MESSAGES,
    ),
    (lambda: LLMContext(tools=look), "tools are a list: tools=[look]"),
    (
        lambda: Toolbox().definitions([look, look_again]),
        "two tools are named look: rename one with @tool(name=…)",
    ),
    (
        lambda: OpenAILLMService(base_url="localhost:11434/v1"),
        "base_url='localhost:11434/v1' must begin with http:// or https://",
    ),
    (
        lambda: FallbackLLM(ScriptedLLM([]), FrameProcessor()),
        "FallbackLLM takes LLMServices, and FrameProcessor is not one",
    ),
    (
        lambda: FallbackTTS(ScriptedLLM([])),
        "FallbackTTS takes TTSServices, and ScriptedLLM is not one",
    ),
    (
        lambda: FallbackSTT(ScriptedLLM([])),
        "FallbackSTT takes STTServices, and ScriptedLLM is not one",
    ),
    (
        lambda: asyncio.run(any_task().queue_frame("Hello")),
        "queue_frame takes frames, not 'Hello': write TTSSpeakFrame('Hello')",
    ),
    (
        lambda: asyncio.run(any_task().queue_frames([TTSSpeakFrame])),
        "queue_frame takes frames, not the class TTSSpeakFrame: write TTSSpeakFrame(…)",
    ),
    (
        lambda: strategy_of("min_word"),
        "interruption_strategy is one of speech, min_words, confirm, none, not 'min_word'",
    ),
    (lambda: read_wav(Path("office.wav")), "Cannot play office.wav: No such file or directory"),
]


@pytest.mark.parametrize(("fault", "sentence"), FAULTS, ids=[sentence[:40] for _, sentence in FAULTS])
def test_what_is_wrong_in_a_bot_is_reported_in_one_sentence(fault: Callable[[], Any], sentence: str) -> None:
    with pytest.raises(UsageError) as failure:
        fault()
    assert str(failure.value) == sentence


def test_the_same_tool_may_be_given_twice() -> None:
    assert len(Toolbox().definitions([look, look])) == 1


@pytest.mark.parametrize(
    ("mistake", "sentence"),
    [
        (
            lambda made: made.input(),
            "AttributeError: 'coroutine' object has no attribute 'input': an await is missing",
        ),
        (
            lambda made: [*made],
            "TypeError: Value after * must be an iterable, not coroutine: an await is missing",
        ),
        (lambda made: [].pop(), "IndexError: pop from empty list"),
    ],
)
def test_a_bot_that_forgets_an_await_gets_a_clear_error(mistake: Callable[[Any], Any], sentence: str) -> None:
    async def make() -> None: ...

    async def bot(args: RunnerArguments) -> None:
        made = make()
        try:
            mistake(made)
        finally:
            made.close()

    async def run() -> str:
        import runner

        session = Sessions(LoadedBot(Path(__file__), "bot", bot, runner)).start(
            "test", RunnerArguments(session_id="one")
        )
        await session.ended.wait()
        assert session.error is not None
        return session.error.message

    assert run_virtual(run()) == sentence


def test_a_recording_that_cannot_be_begun_names_the_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    it = Conversation("Hi.", between=[AudioRecorder(tmp_path / "file" / "call.wav")])

    async def script() -> None:
        await it.caller.say("hello")
        await it.bot_is_silent()

    it.run(script)
    assert (
        f"AudioRecorder cannot write, so this call is not recorded: {tmp_path / 'file'}: File exists"
        in caplog.messages
    )
    assert it.remembered() == [("user", "hello"), ("assistant", "Hi.")]
