"""Every message of the client that is published: `RTVIMessageType` of `@pipecat-ai/client-js` 1.13.1
(RTVI 2.1.0, `dist/index.d.ts`). `client_js/` reads the list anew from the package; here it stands as a table.
"""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from runner.errors import ServiceError
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
    InputDTMFFrame,
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

CALL = FunctionCall("find_table", "c1", {"people": 4})
ASKED = RTVIClientMessageFrame("77", "language", None)


class Client:
    """The far end: what it was told, and what it made the pipeline do."""

    def __init__(self, level: RTVIFunctionCallReportLevel = RTVIFunctionCallReportLevel.FULL) -> None:
        self.told: list[dict[str, Any]] = []
        self.frames: list[Frame] = []
        params = RTVIObserverParams(function_call_report_level={"*": level})
        self.rtvi = RTVI(self._take, self._frame, params=params)

    async def _take(self, message: dict[str, Any]) -> None:
        self.told.append(message)

    async def _frame(self, frame: Frame) -> None:
        self.frames.append(frame)

    async def ready(self, version: str = "2.1.0") -> Client:
        await self.says("client-ready", {"version": version, "about": {"library": "test"}}, "r1")
        self.told.clear()
        return self

    async def says(self, kind: str, data: Any = None, id: str = "1") -> None:
        await self.rtvi.on_message({"label": "rtvi-ai", "type": kind, "id": id, "data": data})

    async def sees(self, *frames: Frame) -> None:
        for frame in frames:
            for direction in FrameDirection:  # as frames do that go both ways
                await self.rtvi.on_push_frame(cast(Any, None), frame, direction)

    @property
    def kinds(self) -> list[str]:
        return [message["type"] for message in self.told]

    def data(self, kind: str) -> list[Any]:
        return [message["data"] for message in self.told if message["type"] == kind]


# ------------------------------------------------------------------ what the client says

TURN = {"role": "user", "content": "hi"}
FROM_CLIENT: dict[str, tuple[dict[str, Any], list[Frame], list[str]]] = {
    "client-ready": ({"version": "2.1.0", "about": {}}, [], ["bot-ready"]),
    "disconnect-bot": ({}, [EndTaskFrame(reason="the client asked for it")], []),
    "client-message": ({"t": "volume", "d": 3}, [RTVIClientMessageFrame("9", "volume", 3)], []),
    "send-text": ({"content": "hi"}, [InterruptionTaskFrame(), LLMMessagesAppendFrame([TURN])], []),
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
    assert all(message["id"] == "9" for message in client.told)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("client-message", {}),
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
    assert (client.kinds, client.told[0]["id"], client.frames) == (["error-response"], "78", [])


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
async def test_every_message_for_the_client_is_told_once(kind: str) -> None:
    frames, data = TO_CLIENT[kind]
    client = await Client().ready()
    await client.sees(*frames)
    told = [message for message in client.told if message["type"] == kind]
    assert [message.get("data") for message in told] == [data]
    assert all(message["label"] == "rtvi-ai" for message in told)


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
    assert set(published.split()) == set(FROM_CLIENT) | set(TO_CLIENT) | set(ELSEWHERE)


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
    assert [(told["type"], told.get("id")) for told in client.told] == [
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
    ("level", "told"),
    [
        (RTVIFunctionCallReportLevel.DISABLED, None),
        (RTVIFunctionCallReportLevel.NONE, set()),
        (RTVIFunctionCallReportLevel.NAME, {"function_name"}),
        (RTVIFunctionCallReportLevel.ARGUMENTS, {"function_name", "arguments"}),
        (RTVIFunctionCallReportLevel.FULL, {"function_name", "arguments", "result"}),
    ],
)
async def test_of_a_tool_the_client_is_told_no_more_than_was_allowed(
    level: RTVIFunctionCallReportLevel, told: set[str] | None
) -> None:
    client = await Client(level).ready()
    await client.sees(
        FunctionCallsStartedFrame([CALL]), FunctionCallInProgressFrame(CALL), FunctionCallResultFrame(CALL, 7)
    )
    fields = {key for message in client.told for key in message["data"]} - {"tool_call_id", "cancelled"}
    assert (fields, len(client.told)) == ((told, 3) if told is not None else (set(), 0))


async def test_private_is_the_default() -> None:
    assert RTVIObserverParams().level_of("anything") is RTVIFunctionCallReportLevel.NONE


async def test_a_tool_that_an_interruption_ended_is_told_as_cancelled() -> None:
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
