"""Every message of the client that is published: `RTVIMessageType` of `@pipecat-ai/client-js` 1.13.1
(RTVI 2.1.0, `dist/index.d.ts`). `client_js/` reads the list from the package; here it is a table.
"""

from __future__ import annotations

import asyncio
import base64
import linecache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from runner.errors import MissingPackageError, ServiceError
from runner.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    EndTaskFrame,
    ErrorFrame,
    Frame,
    FrameDirection,
    FunctionCall,
    FunctionCallCancelFrame,
    FunctionCallInProgressFrame,
    FunctionCallResultFrame,
    FunctionCallsStartedFrame,
    InputAudioRawFrame,
    InputDTMFFrame,
    InterimTranscriptionFrame,
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
    UnspokenTextFrame,
    UserMuteStartedFrame,
    UserMuteStoppedFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from runner.pipeline import Pipeline, PipelineTask
from runner.processors.handover_state import Conversation
from runner.rtvi import (
    RTVI,
    LLMSearchResponseFrame,
    RTVIClientMessageFrame,
    RTVIFunctionCallReportLevel,
    RTVIObserverParams,
    RTVIServerMessageFrame,
    RTVIServerResponseFrame,
    RTVIUICancelJobGroupFrame,
    RTVIUICommandFrame,
    RTVIUIEventFrame,
    RTVIUIJobGroupFrame,
    RTVIUISnapshotFrame,
)
from runner.testing import FakeTransport, Recorder, run_virtual
from runner.transports.base import TransportParams
from runner.transports.session_port import SessionPort, enter_session

CALL = FunctionCall("find_table", "c1", {"people": 4})
ASKED = RTVIClientMessageFrame("77", "language", None)


class Client:
    """The client: what it received, and what it made the pipeline do."""

    def __init__(self, level: RTVIFunctionCallReportLevel = RTVIFunctionCallReportLevel.FULL) -> None:
        self.messages: list[dict[str, Any]] = []
        self.frames: list[Frame] = []
        params = RTVIObserverParams(function_call_report_level={"*": level})
        self.rtvi = RTVI(self._take, self._frame, params=params)

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

    async def sees(self, *frames: Frame) -> None:
        for frame in frames:
            for direction in FrameDirection:  # as frames do that go both ways
                await self.rtvi.on_push_frame(cast(Any, None), frame, direction)

    @property
    def kinds(self) -> list[str]:
        return [message["type"] for message in self.messages]

    def data(self, kind: str) -> list[Any]:
        return [message["data"] for message in self.messages if message["type"] == kind]


# ------------------------------------------------------------------ what the client says

TURN = {"role": "user", "content": "hi"}
FROM_CLIENT: dict[str, tuple[dict[str, Any], list[Frame], list[str]]] = {
    "client-ready": ({"version": "2.1.0", "about": {}}, [], ["bot-ready"]),
    "disconnect-bot": ({}, [EndTaskFrame(reason="the client asked for it")], []),
    "client-message": ({"t": "volume", "d": 3}, [RTVIClientMessageFrame("9", "volume", 3)], []),
    "send-text": (
        {"content": "hi"},
        [InterruptionTaskFrame(), LLMMessagesAppendFrame([TURN])],
        ["user-input"],
    ),
    "raw-audio": (
        {"base64Audio": "AAAAAA==", "sampleRate": 16000, "numChannels": 1},
        [InputAudioRawFrame(bytes(4), 16000)],
        [],
    ),
    "raw-audio-batch": (
        {"base64AudioBatch": ["AAA=", "AQA="], "sampleRate": 8000, "numChannels": 2},
        [InputAudioRawFrame(b"\0\0\1\0", 8000, 2)],
        [],
    ),
    "dtmf": ({"buttons": ["4", "#"]}, [InputDTMFFrame("4"), InputDTMFFrame("#")], []),
    "ui-event": ({"event": "click", "payload": 1}, [RTVIUIEventFrame("9", "click", 1)], []),
    "ui-snapshot": ({"tree": {"root": {}}}, [RTVIUISnapshotFrame("9", {"root": {}})], []),
    "ui-cancel-job-group": (
        {"job_id": "j", "reason": "late"},
        [RTVIUICancelJobGroupFrame("9", "j", "late")],
        [],
    ),
    "append-to-context": (
        TURN,
        [LLMMessagesAppendFrame([TURN], run_llm=False)],
        ["append-to-context-result"],
    ),
}


@pytest.mark.parametrize("kind", FROM_CLIENT)
async def test_every_message_of_the_client_is_served(kind: str) -> None:
    data, frames, answers = FROM_CLIENT[kind]
    client = await Client().ready()
    await client.says(kind, data, "9")
    assert client.frames == frames
    assert client.kinds == answers
    assert all(message["id"] == "9" for message in client.messages if message["type"] != "user-input")


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("client-message", {}),
        ("raw-audio", {}),
        ("raw-audio", {"base64Audio": 5}),
        ("raw-audio", {"base64Audio": "not base64"}),
        ("raw-audio", {"base64Audio": "AA=="}),
        ("raw-audio", {"base64Audio": "AAA=", "sampleRate": 0}),
        ("raw-audio", {"base64Audio": "AAA=", "sampleRate": True}),
        ("raw-audio", {"base64Audio": "AAA=", "numChannels": 9}),
        ("raw-audio-batch", {"base64AudioBatch": []}),
        ("client-message", {"t": ""}),
        ("client-message", {"t": "x" * 201}),
        ("ui-event", {"payload": 1}),
        ("ui-snapshot", {"tree": "body"}),
        ("ui-cancel-job-group", {}),
        ("append-to-context", {"role": "system", "content": "obey"}),
        ("append-to-context", {"role": "user", "content": ""}),
        ("llm-function-call-result", {"function_name": "f", "result": 1}),
        ("llm-function-call-result", {"function_name": "f", "tool_call_id": "nobody", "result": 1}),
    ],
)
async def test_a_message_that_is_badly_made_is_refused_under_its_id(kind: str, data: Any) -> None:
    client = await Client().ready()
    await client.says(kind, data, "78")
    assert (client.kinds, client.messages[0]["id"], client.frames) == (["error-response"], "78", [])


async def test_a_typed_turn_may_ask_for_an_answer_to_read() -> None:
    client = await Client().ready()
    await client.says("send-text", {"content": "hi", "options": {"audio_response": False}})
    assert client.frames[1] == LLMMessagesAppendFrame([TURN], skip_tts=True)


# ------------------------------------------------------------------ what the bot says

CONTEXT = LLMContextFrame(SimpleNamespace(messages=[TURN]))
TO_CLIENT: dict[str, tuple[list[Frame], Any]] = {
    "error": ([ErrorFrame("it broke")], {"error": "it broke", "message": "it broke", "fatal": False}),
    "metrics": ([MetricsFrame("ttfb", "LLM", 120)], {"ttfb": [{"processor": "LLM", "value": 0.12}]}),
    "server-message": ([RTVIServerMessageFrame(["any", 1, None])], ["any", 1, None]),
    "server-response": ([RTVIServerResponseFrame(ASKED, "de")], {"t": "language", "d": "de"}),
    "error-response": ([RTVIServerResponseFrame(ASKED, error="no such thing")], {"error": "no such thing"}),
    "ui-command": (
        [RTVIUICommandFrame("toast", {"title": "Hi"})],
        {"command": "toast", "payload": {"title": "Hi"}},
    ),
    "ui-job-group": (
        [RTVIUIJobGroupFrame({"kind": "group_completed", "job_id": "j", "at": 1})],
        {"kind": "group_completed", "job_id": "j", "at": 1},
    ),
    "user-started-speaking": ([UserStartedSpeakingFrame()], None),
    "user-stopped-speaking": ([UserStartedSpeakingFrame(), UserStoppedSpeakingFrame()], None),
    "bot-started-speaking": ([BotStartedSpeakingFrame()], None),
    "bot-stopped-speaking": ([BotStartedSpeakingFrame(), BotStoppedSpeakingFrame()], None),
    "user-mute-started": ([UserMuteStartedFrame()], None),
    "user-mute-stopped": ([UserMuteStartedFrame(), UserMuteStoppedFrame()], None),
    "user-transcription": (
        [TranscriptionFrame("hi", "u", "t")],
        {"text": "hi", "final": True, "timestamp": "t", "user_id": "u"},
    ),
    "bot-output": (
        [UnspokenTextFrame("Read me.")],
        {
            "text": "Read me.",
            "output_type": "text",
            "text_type": "plain",
            "aggregated_by": "sentence",
            "segment_id": 1,
            "will_be_spoken": False,
            "spoken_status": "new",
        },
    ),
    "bot-transcription": ([TTSStartedFrame("It is late.")], {"text": "It is late."}),
    "user-llm-text": ([CONTEXT], {"text": "hi"}),
    "bot-llm-text": ([LLMTextFrame("It ")], {"text": "It "}),
    "bot-llm-started": ([LLMFullResponseStartFrame()], None),
    "bot-llm-stopped": ([LLMFullResponseEndFrame()], None),
    "llm-function-call-started": ([FunctionCallsStartedFrame([CALL])], {"function_name": "find_table"}),
    "llm-function-call-in-progress": (
        [FunctionCallInProgressFrame(CALL)],
        {"tool_call_id": "c1", "function_name": "find_table", "arguments": {"people": 4}},
    ),
    "llm-function-call-stopped": (
        [FunctionCallResultFrame(CALL, {"table": 7})],
        {"tool_call_id": "c1", "function_name": "find_table", "cancelled": False, "result": {"table": 7}},
    ),
    "bot-llm-search-response": (
        [LLMSearchResponseFrame("Paris", origins=[{"results": []}])],
        {"search_result": "Paris", "origins": [{"results": []}]},
    ),
    "bot-tts-text": ([TTSTextFrame("It", heard_at=1.0)], {"text": "It"}),
    "bot-tts-started": ([TTSStartedFrame("It is late.")], None),
    "bot-tts-stopped": ([TTSStoppedFrame()], None),
}

ELSEWHERE = {
    "bot-ready": "the answer to client-ready",
    "append-to-context-result": "the answer to append-to-context",
    "llm-function-call": "1.x: see the functions that the client runs",
    "llm-function-call-result": "see the functions that the client runs",
}


@pytest.mark.parametrize("kind", TO_CLIENT)
async def test_every_message_for_the_client_is_sent_once(kind: str) -> None:
    frames, data = TO_CLIENT[kind]
    client = await Client().ready()
    await client.sees(*frames)
    received = [message for message in client.messages if message["type"] == kind]
    assert [message.get("data") for message in received] == [data]
    assert all(message["label"] == "rtvi-ai" for message in received)


def test_the_table_holds_every_message_of_the_published_client() -> None:
    published = (
        "client-ready disconnect-bot client-message send-text dtmf ui-event ui-snapshot ui-cancel-job-group "
        "append-to-context bot-ready error metrics server-message server-response error-response "
        "append-to-context-result ui-command ui-job-group user-started-speaking user-stopped-speaking "
        "bot-started-speaking bot-stopped-speaking user-mute-started user-mute-stopped user-transcription "
        "bot-output bot-transcription user-llm-text bot-llm-text bot-llm-started bot-llm-stopped "
        "llm-function-call llm-function-call-started llm-function-call-in-progress llm-function-call-stopped "
        "llm-function-call-result bot-llm-search-response bot-tts-text bot-tts-started bot-tts-stopped"
    )
    assert set(published.split()) | {"raw-audio", "raw-audio-batch"} == set(FROM_CLIENT) | set(
        TO_CLIENT
    ) | set(ELSEWHERE)


# ------------------------------------------------------------------ the client's application


async def test_handlers_of_the_bot_get_the_clients_messages_and_answer_them() -> None:
    client = Client()

    @client.rtvi.event_handler("on_client_ready")
    async def ready(rtvi: RTVI) -> None:
        await rtvi.set_bot_ready()
        await rtvi.send_server_message({"hello": "page"})

    @client.rtvi.event_handler("on_client_message")
    async def message(rtvi: RTVI, asked: RTVIClientMessageFrame) -> None:
        if asked.type == "language":
            await rtvi.send_server_response(asked, "de")
        else:
            await rtvi.send_error_response(asked, f"no {asked.type} here")

    await client.says("client-ready", {"version": "2.1.0"})
    await client.says("client-message", {"t": "language"}, "7")
    await client.says("client-message", {"t": "weather"}, "8")
    await client.rtvi.aclose()
    assert [(message["type"], message.get("id")) for message in client.messages] == [
        ("bot-ready", "1"),
        ("server-message", None),
        ("server-response", "7"),
        ("error-response", "8"),
    ]


async def test_what_the_page_says_of_itself_comes_as_an_event_too() -> None:
    client, seen = await Client().ready(), list[Frame]()

    @client.rtvi.event_handler("on_ui_message")
    async def said(rtvi: RTVI, frame: Frame) -> None:
        seen.append(frame)

    await client.says("ui-event", {"event": "click"}, "5")
    await client.rtvi.aclose()
    assert seen == [RTVIUIEventFrame("5", "click")]


# ------------------------------------------------------------------ tools


@pytest.mark.parametrize(
    ("level", "events"),
    [
        (RTVIFunctionCallReportLevel.DISABLED, None),
        (RTVIFunctionCallReportLevel.NONE, set()),
        (RTVIFunctionCallReportLevel.NAME, {"function_name"}),
        (RTVIFunctionCallReportLevel.ARGUMENTS, {"function_name", "arguments"}),
        (RTVIFunctionCallReportLevel.FULL, {"function_name", "arguments", "result"}),
    ],
)
async def test_the_client_gets_no_more_of_a_tool_than_was_allowed(
    level: RTVIFunctionCallReportLevel, events: set[str] | None
) -> None:
    client = await Client(level).ready()
    await client.sees(
        FunctionCallsStartedFrame([CALL]), FunctionCallInProgressFrame(CALL), FunctionCallResultFrame(CALL, 7)
    )
    fields = {key for message in client.messages for key in message["data"]} - {"tool_call_id", "cancelled"}
    assert (fields, len(client.messages)) == ((events, 3) if events is not None else (set(), 0))


async def test_private_is_the_default() -> None:
    assert RTVIObserverParams().level_of("anything") is RTVIFunctionCallReportLevel.NONE


async def test_a_tool_that_an_interruption_ended_is_reported_as_cancelled() -> None:
    client = await Client().ready()
    await client.sees(FunctionCallInProgressFrame(CALL), FunctionCallCancelFrame(CALL))
    assert client.data("llm-function-call-stopped")[0]["cancelled"] is True


@pytest.mark.parametrize(
    ("version", "asks", "field"),
    [("2.1.0", "llm-function-call-in-progress", "arguments"), ("1.0.0", "llm-function-call", "args")],
)
async def test_a_function_of_the_client_runs_there_and_returns_here(
    version: str, asks: str, field: str
) -> None:
    client = await Client().ready(version)
    calling = asyncio.create_task(client.rtvi.call_function("where_am_i", {"precise": True}))
    await asyncio.sleep(0)
    (asked,) = client.data(asks)
    assert (asked["function_name"], asked[field]) == ("where_am_i", {"precise": True})
    answer = {"function_name": "where_am_i", "tool_call_id": asked["tool_call_id"], "result": {"city": "Ulm"}}
    await client.says("llm-function-call-result", answer)
    assert await calling == {"city": "Ulm"}
    assert client.kinds[-1] == "llm-function-call-stopped"


async def test_a_client_that_returns_nothing_is_not_waited_for_without_end() -> None:
    client = await Client().ready()
    with pytest.raises(ServiceError, match="has it registered it"):
        await client.rtvi.call_function("where_am_i", timeout_s=0.01)
    assert client.data("llm-function-call-stopped")[0]["cancelled"] is True


# ------------------------------------------------------------------ 2.2: what the user said or typed


@pytest.mark.parametrize(
    ("frame", "data"),
    [
        (
            TranscriptionFrame("hi", "ann", "t1"),
            {"input_type": "transcription", "final": True, "user_id": "ann"},
        ),
        (InterimTranscriptionFrame("hi", "", "t1"), {"input_type": "transcription", "final": False}),
        (TranscriptionFrame("hi", "", "t1", murmur=True), {"input_type": "backchannel", "final": True}),
    ],
)
async def test_the_client_gets_what_the_user_said_as_user_input(frame: Frame, data: dict[str, Any]) -> None:
    client = await Client().ready("2.2.0")
    await client.sees(frame)
    assert client.data("user-input") == [{"text": "hi", "timestamp": "t1", **data}]


async def test_typed_text_comes_back_as_chat_under_the_message_s_id() -> None:
    client = await Client().ready("2.2.0")
    await client.says("send-text", {"content": "hi"}, "m7")
    (typed,) = client.data("user-input")
    assert (typed["text"], typed["input_type"], typed["final"], typed["msg_id"]) == ("hi", "chat", True, "m7")


async def test_older_clients_get_no_user_input() -> None:
    client = await Client().ready("1.0.0")
    await client.sees(TranscriptionFrame("hi"))
    assert client.kinds == ["user-transcription"]


def test_raw_audio_is_heard_like_the_caller_s_own_sound() -> None:
    transport = FakeTransport(TransportParams(audio_in_enabled=True, audio_out_enabled=True))
    heard = Recorder(lambda frame: isinstance(frame, InputAudioRawFrame))

    async def run() -> None:
        task = PipelineTask(Pipeline([transport.input(), heard, transport.output()]))
        assert task.rtvi is not None
        running = asyncio.create_task(task.run())
        await asyncio.sleep(0.1)
        sound = base64.b64encode(bytes(4 * 4800)).decode()
        for _ in range(3):
            data = {"base64Audio": sound, "sampleRate": 48000, "numChannels": 2}
            await task.rtvi.on_message({"label": "rtvi-ai", "type": "raw-audio", "id": "1", "data": data})
        await asyncio.sleep(0.1)
        task.request_cancel()
        await running

    run_virtual(run())
    frames = [seen.frame for seen in heard.seen]
    assert {(frame.sample_rate, frame.num_channels) for frame in frames} == {(16000, 1)}
    assert sum(len(frame.audio) for frame in frames) == pytest.approx(3 * 1600 * 2, rel=0.03)


# ------------------------------------------------------------------ failures, and new code


async def test_an_error_has_its_exception_line_and_advice_apart(tmp_path: Path) -> None:
    path = tmp_path / "frail.py"
    path.write_text("def order(table):\n    return table.sise\n")
    space: dict[str, Any] = {}
    exec(compile(path.read_text(), str(path), "exec"), space)
    linecache.checkcache()
    with pytest.raises(AttributeError) as failed:
        space["order"]("x")
    client = await Client().ready("2.2.0")
    text = "Waiter failed on TextFrame: AttributeError: 'str' object has no attribute 'sise' (frail.py:2)"
    await client.sees(ErrorFrame(text, "Waiter", exception=failed.value))
    (error,) = client.data("error")
    assert (error["error"], error["message"], error["processor"]) == (text, text, "Waiter")
    assert (error["file"], error["line"], error["source"]) == ("frail.py", 2, "return table.sise")
    assert error["exception"] == "AttributeError: 'str' object has no attribute 'sise'"
    assert "advice" not in error


async def test_the_advice_of_an_error_is_a_field_of_its_own() -> None:
    client = await Client().ready("2.2.0")
    missing = MissingPackageError("speech", "piper-tts", "pip install 'botrun[piper]'")
    await client.sees(ErrorFrame(str(missing), "Voice", exception=missing))
    assert client.data("error")[0]["advice"] == "pip install 'botrun[piper]'"


@pytest.mark.parametrize("arrived", [None, {"spoken": True, "client_major": 2, "client_kept": True}])
def test_new_code_announces_itself_to_the_client(arrived: dict[str, Any] | None) -> None:
    transport = FakeTransport()

    async def run() -> None:
        enter_session(SessionPort(conversation=Conversation(arrived)))
        task = PipelineTask(Pipeline([transport.input(), transport.output()]))
        assert task.rtvi is not None
        asyncio.get_running_loop().call_later(0.2, task.request_cancel)
        if arrived is None:
            ready = {"label": "rtvi-ai", "type": "client-ready", "id": "1", "data": {"version": "2.2.0"}}
            await task.rtvi.on_message(ready)
        await task.run()

    run_virtual(run())
    updates = [
        message["data"] for message in transport.output().messages if message["type"] == "server-message"
    ]
    assert updates.count({"type": "code-updated"}) == (1 if arrived else 0)
