"""`runner.testing.Conversation`: what a bot's author meets, failures included."""

from __future__ import annotations

import asyncio
import importlib.util
import traceback
from pathlib import Path
from types import ModuleType

import pytest

from runner import create_transport
from runner.arguments import RunnerArguments
from runner.errors import StartError, UsageError
from runner.frames import Frame, FrameDirection, LLMTextFrame, TTSSpeakFrame
from runner.pipeline import Pipeline, PipelineRunner, PipelineTask
from runner.processors import FrameProcessor, LLMContext, LLMContextAggregatorPair
from runner.services.local import LocalSTTService, LocalTTSService, ScriptedDialogue
from runner.testing import Conversation, ConversationError, tool_call
from runner.transports.base import TransportParams

BOTS = Path(__file__).parents[2] / "bots"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, BOTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("text", ["minutes", "Minutes!", "in ten minutes", "ten, minutes", "TEN"])
def test_words_are_found_whatever_their_case_and_punctuation(text: str) -> None:
    it = Conversation("It opens in ten minutes.")

    async def script() -> None:
        await it.caller.say("when")
        await it.bot_says(text)

    it.run(script)


def test_chinese_words_are_found() -> None:
    it = Conversation("好的，预约成功。")

    async def script() -> None:
        await it.caller.say("预约")
        await it.bot_says("预约成功")

    it.run(script)
    assert it.said() == "好的，预约成功。"


def test_words_that_are_never_said_fail_with_a_timeline_and_without_the_event_loop() -> None:
    it = Conversation("It opens in ten minutes.")

    async def script() -> None:
        await it.caller.say("when does it open")
        await it.bot_says("hours", within_s=20)

    with pytest.raises(ConversationError) as failed:
        it.run(script)
    shown = "".join(traceback.format_exception(failed.value))
    assert "ConversationError: gave up waiting until the bot says 'hours'" in shown
    assert "caller says    'when does it open'" in shown
    assert "understood     'when does it open'" in shown
    assert "bot is heard   'It opens in ten minutes.'" in shown
    assert "test waits     until the bot says 'hours'" in shown
    assert "asyncio" not in shown
    assert 'await it.bot_says("hours", within_s=20)' in shown
    assert len(shown.splitlines()) < 25


def test_a_bot_that_never_speaks_fails_with_what_was_waited_for() -> None:
    it = Conversation()

    async def script() -> None:
        await it.bot_is_silent()

    with pytest.raises(ConversationError, match=r"until the bot speaks and is then silent for 1 s"):
        it.run(script)
    assert "test waits" in it.timeline()


def test_a_script_that_never_ends_fails() -> None:
    it = Conversation("Hello.")

    async def script() -> None:
        await asyncio.Event().wait()

    with pytest.raises(ConversationError, match="not over after 300 s"):
        it.run(script)


def test_a_failed_assertion_of_the_script_keeps_its_line_and_gets_the_timeline() -> None:
    it = Conversation("Hello.")

    async def script() -> None:
        await it.caller.say("hi")
        await it.bot_says("hello")
        assert it.words() == ["Goodbye."]

    with pytest.raises(AssertionError) as failed:
        it.run(script)
    shown = "".join(traceback.format_exception(failed.value))
    assert 'assert it.words() == ["Goodbye."]' in shown
    assert "bot is heard   'Hello.'" in shown
    assert "asyncio" not in shown


# ------------------------------------------------------------------ a bot of one's own


def test_a_shipped_bot_runs_with_its_own_greeting_and_dialogue() -> None:
    it = Conversation(bot=load("my_bot").bot)

    async def script() -> None:
        await it.bot_says("Ask me what time it is")
        await it.bot_is_silent()
        await it.caller.say("help")
        await it.bot_is_silent()
        await it.caller.say("goodbye")
        await it.bot_is_silent()

    it.run(script)
    roles = [role for role, _ in it.remembered()]
    assert ("user", "help") in it.remembered()
    assert roles[:2] == ["system", "assistant"]


def the_bot(*processors: FrameProcessor, greet: bool = True):  # type: ignore[no-untyped-def]
    async def bot(runner_args: RunnerArguments) -> None:
        transport = await create_transport(
            runner_args,
            {
                "webrtc": lambda: TransportParams(audio_in_enabled=True, audio_out_enabled=True),
                "twilio": lambda: TransportParams(audio_in_enabled=True, audio_out_enabled=True),
            },
        )
        llm = ScriptedDialogue()
        llm.register_direct_function(free_tables)
        memory = LLMContextAggregatorPair(LLMContext([{"role": "system", "content": "Be kind."}]))
        task = PipelineTask(
            Pipeline(
                [
                    transport.input(), LocalSTTService(), memory.user(), llm, *processors, LocalTTSService(),
                    transport.output(), memory.assistant(),
                ]
            )
        )  # fmt: skip

        @transport.event_handler("on_client_connected")
        async def connected(transport: object, client: object) -> None:
            if greet:
                await task.queue_frame(TTSSpeakFrame(f"Hello {runner_args.body.get('name', 'you')}."))

        @transport.event_handler("on_client_disconnected")
        async def left(transport: object, client: object) -> None:
            await task.cancel()

        await PipelineRunner().run(task)

    return bot


CALLS: list[str] = []


async def free_tables(day: str) -> str:
    """Free tables on a day.

    Args:
        day: such as "Monday".
    """
    CALLS.append(day)
    return "two"


class Shout(FrameProcessor):
    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if isinstance(frame, LLMTextFrame):
            frame = LLMTextFrame(frame.text.upper(), reply_id=frame.reply_id)
        await self.push_frame(frame, direction)


def test_a_bot_runs_with_a_scripted_model_its_own_tools_processors_and_body() -> None:
    CALLS.clear()
    it = Conversation(
        [tool_call("free_tables", day="Monday")],
        "There are two.",
        bot=the_bot(Shout()),
        transport="twilio",
        body={"name": "Ann"},
    )

    async def script() -> None:
        await it.bot_says("hello ann")
        await it.bot_is_silent()
        await it.caller.say("tables on monday")
        await it.bot_says("there are two")
        await it.bot_is_silent()

    it.run(script)
    assert CALLS == ["Monday"]
    assert it.words()[-1] == "TWO."
    assert it.remembered()[-1] == ("assistant", "THERE ARE TWO.")


def test_a_bot_that_ends_when_the_caller_hangs_up() -> None:
    it = Conversation(bot=the_bot())

    async def script() -> None:
        await it.bot_says("hello")
        it.caller.hang_up()

    it.run(script)
    assert it.words()[0] == "Hello"


def test_what_a_bot_raises_comes_as_it_is() -> None:
    class Broken(FrameProcessor):
        async def setup(self, setup: object) -> None:
            raise ValueError("no such room")

    it = Conversation(bot=the_bot(Broken()))

    async def script() -> None:
        await it.bot_says("hello")

    with pytest.raises(StartError, match="Broken could not start: ValueError: no such room"):
        it.run(script)


def test_a_bot_without_parameters_for_the_transport_is_refused() -> None:
    it = Conversation(bot=the_bot(), transport="telnyx")

    async def script() -> None:
        await it.bot_says("hello")

    with pytest.raises(UsageError, match="no parameters for 'telnyx'"):
        it.run(script)
