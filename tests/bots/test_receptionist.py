"""The receptionist: her diary, her tools, and the script that stands in for a model."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import pytest

from runner.frames import TTSTextFrame
from runner.pipeline import Pipeline, PipelineTask
from runner.processors import LLMContext, LLMContextAggregatorPair
from runner.services.tools.toolbox import Toolbox
from runner.testing import FakeTransport, Recorder, ScriptedTTS, run_virtual

BOTS = Path(__file__).parents[2] / "bots"
NOW = datetime(2026, 11, 23, 8, 0)  # a Monday


@pytest.fixture(autouse=True)
def bots_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", [*sys.path, str(BOTS)])
    yield
    for name in [name for name in sys.modules if name.startswith("receptionist")]:
        del sys.modules[name]


@pytest.fixture
def diary(tmp_path: Path) -> Any:
    from receptionist_diary import Diary

    return Diary(tmp_path / "diary.sqlite3")


def test_the_diary_keeps_what_was_booked(diary: Any, tmp_path: Path) -> None:
    from receptionist_diary import Diary

    booked = diary.book("Ann", datetime(2026, 11, 24, 10), NOW)
    assert time(10) not in diary.free(date(2026, 11, 24), NOW)
    assert len(diary.free(date(2026, 11, 24), NOW)) == 15
    again = Diary(tmp_path / "diary.sqlite3")
    assert again.of("ann", NOW) == [booked]
    moved = again.move(booked.number, datetime(2026, 11, 25, 9, 30), NOW)
    assert again.of("Ann", NOW) == [moved]
    again.cancel(booked.number)
    assert again.of("Ann", NOW) == []


@pytest.mark.parametrize(
    ("starts", "reason"),
    [
        (datetime(2026, 11, 28, 10), "closed on Saturdays"),
        (datetime(2026, 11, 23, 7, 30), "over already"),
        (datetime(2026, 11, 24, 10, 10), "half hour"),
        (datetime(2026, 11, 24, 17), "half hour"),
        (datetime(2026, 11, 24, 10), "10:00 is taken"),
    ],
)
def test_what_cannot_be_booked_is_refused_with_a_reason(diary: Any, starts: datetime, reason: str) -> None:
    from receptionist_diary import NotPossible

    diary.book("Bob", datetime(2026, 11, 24, 10), NOW)
    with pytest.raises(NotPossible, match=reason):
        diary.book("Ann", starts, NOW)


def test_a_model_gets_every_tool(diary: Any) -> None:
    from receptionist_desk import Desk

    result = Toolbox().definitions(Desk(diary, lambda: NOW).tools())
    assert len(result) == 9
    assert all(definition["function"]["description"] for definition in result)
    book = next(d["function"] for d in result if d["function"]["name"] == "book")
    assert book["parameters"]["required"] == ["name", "day", "at"]
    assert book["parameters"]["properties"]["day"]["format"] == "date"


def talk(diary: Any, *lines: str) -> tuple[list[str], list[dict[str, Any]]]:
    """What the scripted receptionist says to these lines, and the messages of the call."""
    from receptionist import ScriptedReceptionist
    from receptionist_desk import Desk

    async def run() -> tuple[list[str], list[dict[str, Any]]]:
        transport, heard = FakeTransport(), Recorder()
        context = LLMContext(tools=Desk(diary, lambda: NOW).tools())
        memory = LLMContextAggregatorPair(context)
        row = [
            transport.input(), memory.user(), ScriptedReceptionist(now=lambda: NOW), ScriptedTTS(word_s=0.1),
            transport.output(), heard, memory.assistant(),
        ]  # fmt: skip
        task = PipelineTask(Pipeline(row))
        answers = []

        async def play() -> None:
            await asyncio.sleep(0.01)
            for line in lines:
                before = len(heard.of(TTSTextFrame))
                await transport.caller.say(line, 0.5)
                await asyncio.sleep(6)
                answers.append(" ".join(s.frame.text for s in heard.of(TTSTextFrame)[before:]))  # type: ignore[attr-defined]
            await task.cancel()

        async with asyncio.TaskGroup() as group:
            group.create_task(task.run())
            group.create_task(play())
        return answers, context.messages

    return run_virtual(run())


def test_the_script_books_moves_and_cancels_with_the_real_tools(diary: Any) -> None:
    answers, messages = talk(
        diary,
        "I would like to book an appointment for tomorrow at ten",
        "change my appointment",
        "to thursday",
        "at half past eleven",
        "cancel my appointment",
        "yes please",
        "when is my appointment",
    )
    assert answers == [
        "You are booked for Tuesday at 10 o’clock. Can I do anything else for you?",
        "Gladly. For which day?",
        "On Thursday I have 9 o’clock, 11:30 or 2 o’clock. Which time suits you?",
        "I have moved it to Thursday at 11:30. Can I do anything else for you?",
        "You have an appointment on Thursday at 11:30. Shall I cancel it?",
        "Your appointment on Thursday at 11:30 is cancelled. Anything else?",
        "I find no appointment of yours. Shall I book one?",
    ]
    called = [c["function"]["name"] for m in messages for c in m.get("tool_calls") or ()]
    assert called == [
        "book", "find_appointments", "find_free_slots", "move", "find_appointments", "cancel",
        "find_appointments",
    ]  # fmt: skip


def test_the_script_offers_another_time_for_one_that_is_taken(diary: Any) -> None:
    diary.book("Bob", datetime(2026, 11, 24, 10), NOW)
    answers, _ = talk(diary, "book an appointment for tomorrow at ten", "the first one")
    assert answers[0].startswith("I am sorry, 10:00 is taken. That day I have 9 o’clock,")
    assert answers[1].startswith("You are booked for Tuesday at 9 o’clock.")


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("when are you open", "We are open Monday to Friday"),
        ("what times do you have on friday", "On Friday I have 9 o’clock"),
        ("what is free", "Gladly. For which day?"),
        ("can i leave a message", "I have noted that somebody shall call you back."),
        ("i want to speak to a person", "I am sorry, that is not possible right now."),
        ("book an appointment on saturday at ten", "I am sorry, we are closed on Saturdays."),
        ("cancel my appointment", "I find no appointment of yours."),
        ("what time is it", "It is 8 o'clock in the morning."),
        ("help", "You can book, move or cancel"),
    ],
)
def test_the_script_knows_its_few_things(diary: Any, line: str, answer: str) -> None:
    assert talk(diary, line)[0][0].startswith(answer)


def test_no_answer_of_a_tool_is_left_open(diary: Any) -> None:
    _, messages = talk(diary, "book an appointment for tomorrow at ten", "goodbye")
    assert [json.loads(m["content"])["status"] for m in messages if m["role"] == "tool"] == ["done"]
