"""Sequences: frames in, messages out; messages in, frames out."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from runner.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    EndTaskFrame,
    ErrorFrame,
    Frame,
    FrameDirection,
    InputAudioRawFrame,
    InputDTMFFrame,
    InputTransportMessageFrame,
    InterimTranscriptionFrame,
    InterruptionFrame,
    InterruptionTaskFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMMessagesAppendFrame,
    LLMTextFrame,
    MetricsFrame,
    TranscriptionFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    TTSTextFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from runner.rtvi import RTVI
from runner.rtvi.outbox import MAX_WAITING


class Client:
    """An RTVI client: what it received, and what it made the pipeline do."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.frames: list[Frame] = []
        self.rtvi = RTVI(self._take, self._frame)

    async def _take(self, message: dict[str, Any]) -> None:
        self.messages.append(message)

    async def _frame(self, frame: Frame) -> None:
        self.frames.append(frame)

    async def ready(self, version: str = "2.1.0") -> Client:
        await self.says("client-ready", {"version": version, "about": {"library": "test"}}, "r1")
        self.messages.clear()
        return self

    async def says(self, kind: str, data: Any = None, id: str = "1") -> None:
        await self.rtvi.on_message({"label": "rtvi-ai", "type": kind, "id": id, "data": data})

    async def sees(self, *frames: Frame, hops: int = 1) -> None:
        source = cast(Any, SimpleNamespace(name="somebody"))
        for frame in frames:
            for _ in range(hops):
                await self.rtvi.on_push_frame(source, frame, FrameDirection.DOWNSTREAM)

    @property
    def kinds(self) -> list[str]:
        return [message["type"] for message in self.messages]

    def data(self, kind: str) -> list[dict[str, Any]]:
        return [message["data"] for message in self.messages if message["type"] == kind]


def heard(word: str, reply_id: int = 1) -> TTSTextFrame:
    return TTSTextFrame(word, heard_at=1.0, reply_id=reply_id)


async def test_client_ready_is_answered_under_its_id() -> None:
    client = Client()
    assert not client.rtvi.ready
    await client.says("client-ready", {"version": "2.1.0"}, "abc")
    assert client.rtvi.ready
    assert client.messages[0]["type"] == "bot-ready"
    assert client.messages[0]["id"] == "abc"
    assert client.messages[0]["data"]["version"] == "2.2.0"


async def test_a_client_of_the_old_major_gets_its_own_version() -> None:
    client = Client()
    await client.says("client-ready", {"version": "1.2.0"})
    assert client.messages[0]["data"]["version"] == "1.2.0"


async def test_a_client_of_an_unknown_major_is_warned_and_served() -> None:
    client = Client()
    await client.says("client-ready", {"version": "9.0.0"}, "x")
    assert client.kinds == ["bot-ready", "error-response"]
    assert client.messages[1]["id"] == "x"
    await client.sees(UserStartedSpeakingFrame())
    assert client.kinds[-1] == "user-started-speaking"


async def test_messages_wait_for_client_ready_and_come_in_order() -> None:
    client = Client()
    await client.sees(UserStartedSpeakingFrame(), TTSStartedFrame("Hello.", reply_id=1))
    assert client.messages == []
    await client.says("client-ready", {"version": "2.0.0"})
    assert client.kinds == [
        "bot-ready",
        "user-started-speaking",
        "bot-tts-started",
        "bot-output",
        "bot-transcription",
    ]


async def test_what_waits_is_bounded_and_the_newest_is_kept() -> None:
    client = Client()
    for number in range(MAX_WAITING + 40):
        await client.sees(TranscriptionFrame(str(number)))
    await client.ready()
    await client.sees(TranscriptionFrame("last"))
    assert client.data("user-transcription")[-1]["text"] == "last"


async def test_a_frame_is_reported_once_however_many_hops_it_makes() -> None:
    client = await Client().ready()
    await client.sees(TranscriptionFrame("hello", "u", "t"), hops=9)
    assert client.data("user-transcription") == [
        {"text": "hello", "final": True, "timestamp": "t", "user_id": "u"}
    ]


async def test_two_equal_frames_are_two() -> None:
    client = await Client().ready()
    await client.sees(LLMTextFrame("ha "), LLMTextFrame("ha "))
    assert client.kinds == ["bot-llm-text", "bot-llm-text"]


async def test_sound_is_not_watched() -> None:
    client = await Client().ready()
    assert InputAudioRawFrame not in client.rtvi.frame_types
    await client.sees(InputAudioRawFrame(b"", 16000))
    assert client.messages == []


async def test_a_whole_turn_is_reported_in_order() -> None:
    client = await Client().ready()
    await client.sees(
        UserStartedSpeakingFrame(),
        UserStartedSpeakingFrame(),  # sent upstream as well
        InterimTranscriptionFrame("what"),
        UserStoppedSpeakingFrame(),
        TranscriptionFrame("what time is it"),
        LLMContextFrame(SimpleNamespace(messages=[{"role": "user", "content": "what time is it"}])),
        LLMFullResponseStartFrame(reply_id=1),
        LLMTextFrame("It is late.", reply_id=1),
        LLMFullResponseEndFrame(reply_id=1),
        TTSStartedFrame("It is late.", reply_id=1),
        TTSTextFrame("It", reply_id=1),  # on its way: nobody has heard it
        TTSStoppedFrame(reply_id=1),
        BotStartedSpeakingFrame(),
        heard("It"),
        heard("is"),
        heard("late"),
        BotStoppedSpeakingFrame(),
        MetricsFrame("turn_latency", "pipeline", 640),
    )
    assert client.kinds == [
        "user-started-speaking",
        "user-transcription",
        "user-input",
        "user-stopped-speaking",
        "user-transcription",
        "user-input",
        "user-llm-text",
        "bot-llm-started",
        "bot-llm-text",
        "bot-llm-stopped",
        "bot-tts-started",
        "bot-output",
        "bot-transcription",
        "bot-tts-stopped",
        "bot-started-speaking",
        *["bot-tts-text", "bot-output"] * 3,
        "bot-stopped-speaking",
        "metrics",
    ]
    assert [data["spoken_progress"]["accumulated_text"] for data in client.data("bot-output")] == [
        "",
        "It",
        "It is",
        "It is late.",
    ]
    assert [data["spoken_status"] for data in client.data("bot-output")][-1] == "completed"


async def test_the_old_major_gets_the_sentence_and_then_its_words() -> None:
    client = await Client().ready("1.0.0")
    await client.sees(TTSStartedFrame("It is late.", reply_id=1), heard("It"), BotStoppedSpeakingFrame())
    assert client.data("bot-output") == [
        {"text": "It is late.", "spoken": False, "aggregated_by": "sentence"},
        {"text": "It", "spoken": True, "aggregated_by": "word"},
    ]


async def test_an_interruption_leaves_the_segment_unfinished() -> None:
    client = await Client().ready()
    await client.sees(TTSStartedFrame("One two three.", reply_id=1), BotStartedSpeakingFrame(), heard("One"))
    await client.sees(InterruptionFrame(), heard("two"), BotStoppedSpeakingFrame(interrupted=True), hops=2)
    assert client.kinds[-4:] == ["bot-interrupted", "bot-tts-text", "bot-output", "bot-stopped-speaking"]
    last = client.data("bot-output")[-1]
    assert last["spoken_status"] == "in-progress"
    assert last["spoken_progress"] == {"accumulated_text": "One two", "remaining_text": " three."}


async def test_speech_that_was_not_understood_is_reported_without_inventing_text() -> None:
    client = await Client().ready()
    await client.sees(TranscriptionFrame(""))
    assert client.messages == [
        {"label": "rtvi-ai", "type": "server-message", "data": {"type": "not-understood"}}
    ]


@pytest.mark.parametrize(
    ("content", "text"),
    [("hi", "hi"), ([{"type": "text", "text": "hi"}, {"type": "image_url"}, {"text": "you"}], "hi you")],
)
async def test_the_users_text_for_the_model_is_sent(content: object, text: str) -> None:
    client = await Client().ready()
    context = SimpleNamespace(
        messages=[{"role": "system", "content": "x"}, {"role": "user", "content": content}]
    )
    await client.sees(LLMContextFrame(context))
    assert client.data("user-llm-text") == [{"text": text}]


@pytest.mark.parametrize(
    "messages", [None, [], ["x"], [{"role": "assistant", "content": "x"}], [{"role": "user"}]]
)
async def test_a_context_without_a_last_word_of_the_user_is_passed_over(messages: object) -> None:
    client = await Client().ready()
    await client.sees(LLMContextFrame(SimpleNamespace(messages=messages)))
    assert client.messages == []


async def test_an_error_names_file_and_line_of_the_bot() -> None:
    client = await Client().ready()
    try:
        raise ValueError("no such voice")
    except ValueError as caught:
        await client.sees(ErrorFrame("no such voice", "MyVoice", fatal=True, exception=caught))
    result = client.data("error")[0]
    assert (result["error"], result["fatal"], result["processor"]) == ("no such voice", True, "MyVoice")
    assert result["file"] == "test_rtvi_processor.py"
    assert result["line"] > 1


async def test_an_error_without_an_exception_has_no_place() -> None:
    client = await Client().ready()
    await client.sees(ErrorFrame("slow"))
    assert client.data("error") == [{"error": "slow", "message": "slow", "fatal": False}]


async def test_a_typed_turn_cuts_in_and_is_answered() -> None:
    client = await Client().ready()
    await client.says("send-text", {"content": "hello"})
    assert isinstance(client.frames[0], InterruptionTaskFrame)
    assert client.frames[1] == LLMMessagesAppendFrame([{"role": "user", "content": "hello"}], run_llm=True)


async def test_a_typed_turn_may_wait() -> None:
    client = await Client().ready()
    await client.says("send-text", {"content": "hello", "options": {"run_immediately": False}})
    assert client.frames == [LLMMessagesAppendFrame([{"role": "user", "content": "hello"}], run_llm=False)]


async def test_the_client_can_end_the_call_and_press_keys() -> None:
    client = await Client().ready()
    await client.says("dtmf", {"buttons": ["4", "#"]})
    await client.says("disconnect-bot")
    assert client.frames[:2] == [InputDTMFFrame("4"), InputDTMFFrame("#")]
    assert isinstance(client.frames[2], EndTaskFrame)


@pytest.mark.parametrize("kind", ["raw-audio", "bot-ready", "what is this\n"])
async def test_what_nobody_serves_is_refused_under_its_id(kind: str) -> None:
    client = await Client().ready()
    await client.says(kind, {}, "77")
    assert (client.kinds, client.messages[0]["id"], client.frames) == (["error-response"], "77", [])


async def test_a_badly_made_message_is_refused_under_its_id() -> None:
    client = await Client().ready()
    await client.says("send-text", {"content": 5}, "78")
    assert (client.kinds, client.messages[0]["id"]) == (["error-response"], "78")


async def test_messages_of_other_kinds_are_left_to_the_bot() -> None:
    client = await Client().ready()
    await client.sees(InputTransportMessageFrame({"type": "mine"}), InputTransportMessageFrame("text"))
    assert (client.messages, client.frames) == ([], [])


async def test_a_request_comes_in_as_a_frame_and_is_served_once() -> None:
    client = await Client().ready()
    await client.sees(
        InputTransportMessageFrame({"label": "rtvi-ai", "type": "disconnect-bot", "id": "1"}), hops=5
    )
    assert len(client.frames) == 1


async def test_what_is_posted_while_sending_does_not_overtake() -> None:
    order: list[str] = []

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "bot-ready":
            await rtvi.on_push_frame(cast(Any, None), UserStartedSpeakingFrame(), FrameDirection.DOWNSTREAM)
        order.append(message["type"])

    async def inject(frame: Frame) -> None:
        raise AssertionError

    rtvi = RTVI(send, inject)
    await rtvi.on_push_frame(cast(Any, None), LLMTextFrame("a"), FrameDirection.DOWNSTREAM)
    await rtvi.on_message({"label": "rtvi-ai", "type": "client-ready", "id": "1", "data": {}})
    assert order == ["bot-ready", "bot-llm-text", "user-started-speaking"]
