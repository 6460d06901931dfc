"""Subtitles of a call: both speakers, as heard, in files and for the page."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from runner.errors import UsageError
from runner.frames import InputTransportMessageFrame, SubtitleFrame
from runner.pipeline import Pipeline, PipelineTask
from runner.processors import LLMContext, LLMContextAggregatorPair, Subtitles
from runner.testing import FakeTransport, Recorder, ScriptedLLM, ScriptedTTS, run_virtual


class Call:
    """A call of fakes with subtitles."""

    def __init__(self, *paths: Path, replies: tuple[str, ...]) -> None:
        self.transport, self.subtitles, self.seen = FakeTransport(), Subtitles(*paths), Recorder()
        memory = LLMContextAggregatorPair(LLMContext())
        steps = [
            self.transport.input(), memory.user(), ScriptedLLM(replies), ScriptedTTS(word_s=0.3),
            self.transport.output(), self.subtitles, self.seen, memory.assistant(),
        ]  # fmt: skip
        self.task = PipelineTask(Pipeline(steps))

    async def says(self, kind: str, data: Any) -> None:
        message = {"label": "rtvi-ai", "type": kind, "id": "1", "data": data}
        await self.transport.caller.push_frame(InputTransportMessageFrame(message))

    def run(self, script: Callable[[Call], Awaitable[Any]]) -> Call:
        async def all_of_it() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.task.run())
                await asyncio.sleep(0.5)
                await self.says("client-ready", {"version": "2.1.0"})
                await script(self)
                await self.task.stop_when_done()

        run_virtual(all_of_it())
        return self


async def a_talk_with_an_interruption(call: Call) -> None:
    await call.transport.caller.say("tell me a story", 1.0)
    await asyncio.sleep(1.5)
    await call.transport.caller.say("another one", 1.0)
    await asyncio.sleep(2)


REPLIES = ("Once upon a time there was a cat that lived by the sea.", "There was a dog.")


def test_the_files_hold_both_speakers_and_nothing_that_was_cut_off(tmp_path: Path) -> None:
    srt, vtt = tmp_path / "calls" / "one.srt", tmp_path / "one.vtt"
    Call(srt, vtt, replies=REPLIES).run(a_talk_with_an_interruption)
    assert srt.read_text() == (
        "1\n00:00:00,500 --> 00:00:01,500\nCaller: tell me a story\n\n"
        "2\n00:00:01,730 --> 00:00:03,000\nBot: Once upon a time there\n\n"
        "3\n00:00:03,000 --> 00:00:04,000\nCaller: another one\n\n"
        "4\n00:00:04,230 --> 00:00:05,430\nBot: There was a dog.\n\n"
    )
    output = vtt.read_text()
    assert output.startswith("WEBVTT\n\n00:00:00.500 --> 00:00:01.500\n<v Caller>tell me a story\n\n")
    assert output.count("-->") == 4


def test_the_files_can_be_read_while_the_call_goes_on(tmp_path: Path) -> None:
    seen: list[str] = []

    async def script(call: Call) -> None:
        await a_talk_with_an_interruption(call)
        seen.append((tmp_path / "one.srt").read_text())

    Call(tmp_path / "one.srt", replies=REPLIES).run(script)
    assert seen[0].count("-->") == 4


def test_the_page_gets_each_word_as_it_is_heard() -> None:
    call = Call(replies=REPLIES).run(a_talk_with_an_interruption)
    received = [m["data"] for m in call.transport.listener.messages if m["type"] == "server-message"]
    growing = [one["text"] for one in received if one["type"] == "subtitle" and one["speaker"] == "bot"]
    whole = "Once upon a time there"
    assert growing[:6] == ["Once", "Once upon", "Once upon a", "Once upon a time", whole, whole]
    assert [one["final"] for one in received[:2]] == [True, False]
    times = [seen.at for seen in call.seen.of(SubtitleFrame)]
    assert times[1:6] == pytest.approx([1.73, 2.03, 2.33, 2.63, 2.93], abs=0.03)


def test_a_file_of_another_kind_is_refused_at_once() -> None:
    with pytest.raises(UsageError, match="subtitles are"):
        Subtitles("call.txt")


def test_subtitles_that_cannot_be_written_do_not_end_the_call(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    call = Call(tmp_path / "file" / "one.srt", replies=REPLIES).run(a_talk_with_an_interruption)
    assert [cue.speaker for cue in call.subtitles.cues] == ["user", "bot", "user", "bot"]
