"""Records as `support/records.py` writes them, in the documented format, are read without a problem."""

from __future__ import annotations

from pathlib import Path

import pytest
from records import Turn, booking_call

from runner.records.call import RecordedCall
from runner.records.wire import message_of


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory) -> RecordedCall:
    return RecordedCall(booking_call().write(tmp_path_factory.mktemp("calls")))


def test_every_part_of_it_is_read(call: RecordedCall) -> None:
    detail = call.detail()
    assert detail["problems"] == []
    assert [answer["measured"] for answer in detail["answers"]] == ["sound"] * 7
    assert {span["lane"] for span in detail["spans"]} >= {"user", "llm", "tool", "voice", "bot", "loop"}


def test_the_parts_of_a_silence_last_as_long_as_they_did(call: RecordedCall) -> None:
    slow = call.answers[4]
    parts = {segment.name: segment.seconds for segment in slow.segments}
    assert parts["llm_first_token"] == pytest.approx(2.31, abs=0.02)
    assert sum(parts.values()) == pytest.approx(slow.silence_s, abs=0.001)


def test_an_event_keeps_its_line_number_and_the_place_in_the_bot(call: RecordedCall) -> None:
    """Both are called `line` in the file."""
    stall = next(event for event in call.events if event["kind"] == "stall")
    assert stall["place"] == "my_bot.py:41"
    assert call.events[stall["line"]] is stall
    [span] = [span for span in call.spans if span.lane == "loop"]
    assert (span.event, span.detail["place"]) == (stall["line"], "my_bot.py:41")


def test_a_message_says_what_it_is_and_how_large(call: RecordedCall) -> None:
    messages = [message_of(line) for line in call.wire]
    assert [message["type"] for message in messages[:3]] == ["connected", "start", "media"]
    assert messages[2]["message"]["media"] == {"payload": ""}
    assert messages[2]["size"] == len(messages[2]["text"]) + 160


def test_words_of_a_cut_answer_end_where_it_was_cut(tmp_path: Path) -> None:
    writer = booking_call("cut")
    writer.turn(Turn(user="Wait", bot="one two three four five six seven eight nine ten", cut=1.0))
    last = RecordedCall(writer.write(tmp_path)).words[-1]
    assert last.interrupted
    assert last.to_s - last.from_s == pytest.approx(1.0, abs=0.05)
    assert last.text.startswith("one two")
    assert "ten" not in last.text
