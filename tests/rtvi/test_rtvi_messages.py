"""What goes over the wire, case by case (reference/PEERS.md §6, PROTOCOLS.md §7)."""

from __future__ import annotations

from typing import Any

import pytest

from runner.errors import ProtocolError
from runner.rtvi import messages, requests
from runner.rtvi.speech import Segment


def rtvi(kind: Any, data: Any = None, **more: Any) -> dict[str, Any]:
    return {"label": "rtvi-ai", "type": kind, "data": data, **more}


@pytest.mark.parametrize(
    "message",
    [None, 7, "ping: 12", [], {}, {"type": "client-ready"}, {"label": "other", "type": "client-ready"}],
)
def test_a_message_without_a_label_is_ignored(message: object) -> None:
    assert requests.parse(message) is None


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (rtvi(None), "needs a type"),
        (rtvi(""), "needs a type"),
        (rtvi(3), "needs a type"),
        (rtvi("send-text", "hello"), "must be an object"),
        (rtvi("send-text", ["hello"]), "must be an object"),
    ],
)
def test_a_labelled_message_that_is_badly_made_is_the_clients_fault(message: object, said: str) -> None:
    with pytest.raises(ProtocolError, match=said):
        requests.parse(message)


def test_a_message_without_data_has_empty_data() -> None:
    assert requests.parse(
        {"label": "rtvi-ai", "type": "disconnect-bot", "id": "1"}
    ) == requests.ClientMessage(type="disconnect-bot", id="1", data={})


@pytest.mark.parametrize(
    ("data", "major"),
    [
        ({"version": "1.0.0"}, 1),
        ({"version": "2.1.0"}, 2),
        ({"version": "2"}, 2),
        ({"version": 2}, 2),
        ({"version": "17.3"}, 17),
        ({}, 1),
    ],
)
def test_the_clients_major_is_read_from_its_version(data: dict[str, Any], major: int) -> None:
    assert requests.client_major(data) == major


@pytest.mark.parametrize("version", ["", "x.1", "-1.0", None, "99999999999"])
def test_a_version_that_is_none_is_refused(version: object) -> None:
    with pytest.raises(ProtocolError, match="is not a version"):
        requests.client_major({"version": version})


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"content": " hi "}, requests.SendText(content="hi")),
        ({"content": "hi", "options": None}, requests.SendText(content="hi")),
        (
            {"content": "hi", "options": {"run_immediately": False}},
            requests.SendText(content="hi", run_immediately=False),
        ),
        (
            {"content": "hi", "options": {"audio_response": False}},
            requests.SendText(content="hi", audio_response=False),
        ),
    ],
)
def test_a_typed_turn_is_read_with_its_options(data: dict[str, Any], expected: requests.SendText) -> None:
    assert requests.send_text(data) == expected


@pytest.mark.parametrize(
    "data", [{}, {"content": ""}, {"content": "  "}, {"content": 3}, {"content": "a", "options": 1}]
)
def test_a_typed_turn_without_words_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        requests.send_text(data)


@pytest.mark.parametrize(
    ("data", "digits"), [({"buttons": ["1", "*", 3]}, "1*3"), ({"button": "#"}, "#"), ({"buttons": []}, "")]
)
def test_pressed_keys_are_read(data: dict[str, Any], digits: str) -> None:
    assert requests.dtmf_digits(data) == digits


@pytest.mark.parametrize(
    "data", [{}, {"buttons": "12"}, {"buttons": ["12"]}, {"buttons": ["A"]}, {"button": None}]
)
def test_what_is_no_key_of_a_phone_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        requests.dtmf_digits(data)


def test_absent_facts_are_left_out() -> None:
    assert messages.error("it broke", fatal=True, file="bot.py", line=3) == rtvi(
        "error", {"error": "it broke", "message": "it broke", "fatal": True, "file": "bot.py", "line": 3}
    )
    assert "processor" not in messages.error("x")["data"]
    assert "id" not in messages.build("bot-interrupted")
    assert "data" not in messages.build("bot-interrupted")


def test_bot_ready_answers_under_the_same_id() -> None:
    ready = messages.bot_ready("abc", "2.2.0", {"library": "botrun"}, audio_in=True, audio_out=False)
    assert (ready["type"], ready["id"], ready["data"]["version"]) == ("bot-ready", "abc", "2.2.0")
    assert ready["data"]["capabilities"]["audio_in"] is True
    assert ready["data"]["capabilities"]["audio_out"] is False


def test_metrics_are_seconds() -> None:
    assert messages.metric("ttfb", "LLM", 123.45)["data"] == {"ttfb": [{"processor": "LLM", "value": 0.1235}]}


def test_bot_output_has_the_shape_of_each_major() -> None:
    v1 = messages.bot_output_v1("Hello.", spoken=False, aggregated_by="sentence")
    assert v1["data"] == {"text": "Hello.", "spoken": False, "aggregated_by": "sentence"}
    v2 = messages.bot_output_v2(Segment(4, 1, "Hello there.", heard=5, status="in-progress"))
    assert v2["data"] == {
        "text": "Hello there.",
        "output_type": "text",
        "text_type": "plain",
        "aggregated_by": "sentence",
        "segment_id": 4,
        "will_be_spoken": True,
        "spoken_status": "in-progress",
        "spoken_progress": {"accumulated_text": "Hello", "remaining_text": " there."},
    }
