"""The receptionist, rung over a real socket: a model's tool writes her diary, and she says so."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from phone_bots import over_sockets

from runner.callers.call import new_wire
from runner.services.common import warmup

TESTS = Path(__file__).parents[2]
BOTS = TESTS.parent / "bots"
sys.path += [str(TESTS / "services"), str(TESTS / "services" / "local")]

from chat_server import CALLS_DONE, DONE, ChatServer, call_piece, serving, text  # noqa: E402
from speech_corpus import RATE_HZ, Voice, speak  # noqa: E402

pytestmark = [pytest.mark.realtime, pytest.mark.local]


@pytest.fixture(autouse=True)
def bots_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", [*sys.path, str(BOTS)])
    yield
    for name in [name for name in sys.modules if name.startswith("receptionist")]:
        del sys.modules[name]


def next_working_day() -> date:
    day = date.today() + timedelta(days=1)
    while day.weekday() > 4:
        day += timedelta(days=1)
    return day


def spoken(sentence: str) -> bytes:
    sound: Any = speak(Voice("flite", "slt"), sentence)
    pcm: bytes = sound.round().clip(-32768, 32767).astype("<i2").tobytes()
    return pcm


async def test_a_caller_books_by_phone_and_the_diary_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from receptionist import bot

    day, diary = next_working_day(), tmp_path / "diary.sqlite3"
    booking = json.dumps({"name": "Ann Smith", "day": day.isoformat(), "at": "10:30"})
    model = ChatServer(
        [call_piece(0, booking, "call-1", "book"), CALLS_DONE],
        [text("You are in the book. "), text("See you then."), DONE],
    )
    async with serving(model):
        monkeypatch.setenv("OPENAI_API_KEY", "test")
        monkeypatch.setenv("OPENAI_BASE_URL", model.url)
        monkeypatch.setenv("OPENAI_MODEL", "small")
        monkeypatch.delenv("OLLAMA_MODEL", raising=False)
        await warmup.start_all()
        try:
            async with over_sockets(bot) as served:
                wire = new_wire("twilio", {"diary": str(diary)})
                async with served.phone("twilio", wire=wire) as phone:
                    assert await phone.until(phone.bot_has_spoken, 10)
                    assert await phone.until(lambda: phone.bot_quiet_s() > 0.7, 10)
                    greeted = len(phone.speech.spans)
                    phone.say(spoken("book an appointment for tomorrow"), RATE_HZ)
                    assert await phone.until(lambda: len(phone.speech.spans) > greeted, 15)
                    assert await phone.until(lambda: phone.bot_quiet_s() > 0.7, 10)
        finally:
            await warmup.stop_all()
    with sqlite3.connect(diary) as rows:
        booked = rows.execute("SELECT starts, name FROM appointments").fetchall()
    assert [(datetime.fromisoformat(starts), name) for starts, name in booked] == [
        (datetime.combine(day, time(10, 30)), "Ann Smith")
    ]
    question, answered = model.asked[0]["messages"], model.asked[1]["messages"]
    assert question[-1]["role"] == "user"
    assert "appointment" in question[-1]["content"]
    assert answered[-1]["role"] == "tool"
    assert "10:30" in answered[-1]["content"]
