"""RTVI messages for the client, as JSON values. What the client says is read in `requests.py`.

The envelope is `{"label": "rtvi-ai", "type": …, "id": …, "data": {…}}`; absent fields are left out.
Two majors are in use, and a client is answered in its own (reference/PEERS.md §6, PROTOCOLS.md §7):

* 1.x knows `bot-output` as `{text, spoken, aggregated_by}`: the sentence first, then word by word;
* 2.x knows it as segments that report how much of them has been spoken.

Types and fields are those of `@pipecat-ai/client-js` 1.13.1 (RTVI 2.1.0; `dist/index.d.ts`).

Durations in `metrics` are seconds, as RTVI has them. Nothing here does I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runner.rtvi.speech import Segment

LABEL = "rtvi-ai"
VERSION = "2.2.0"  # the first with `capabilities` in bot-ready
MAJORS = (1, 2)
LATEST_MAJOR = 2

Message = dict[str, Any]


def build(kind: str, data: Mapping[str, Any] | None = None, id: str = "") -> Message:
    """An envelope. Fields of `data` that are None are left out."""
    message: Message = {"label": LABEL, "type": kind}
    if id:
        message["id"] = id
    if data is not None:
        message["data"] = {key: value for key, value in data.items() if value is not None}
    return message


def bot_ready(id: str, version: str, about: Mapping[str, Any], *, audio_in: bool, audio_out: bool) -> Message:
    """The answer to `client-ready`, under the same id. Without it a client shows "connecting" for ever."""
    capabilities = {
        "audio_in": audio_in,
        "audio_out": audio_out,
        "video_in": False,
        "screen_in": False,
        "video_out": False,
        "metrics": True,
    }
    return build("bot-ready", {"version": version, "about": dict(about), "capabilities": capabilities}, id)


def error_response(id: str, error: str) -> Message:
    """The answer to a message that could not be served."""
    return build("error-response", {"error": error}, id)


def error(
    text: str,
    *,
    fatal: bool = False,
    processor: str | None = None,
    file: str | None = None,
    line: int | None = None,
    exception: str | None = None,
    source: str | None = None,
    advice: str | None = None,
) -> Message:
    """Something failed; `fatal` ends the call.

    Args:
        text: the whole sentence, as `error` (2.x) and `message` (1.x): clients read the one they know.
        processor: where in the pipeline.
        file: the bot's own file, and `line` in it.
        exception: what was raised, such as "KeyError: 'name'".
        source: that line's text.
        advice: what to do about it.
    """
    facts = {
        "processor": processor,
        "file": file,
        "line": line,
        "exception": exception,
        "source": source,
        "advice": advice,
    }
    return build("error", {"error": text, "message": text, "fatal": fatal, **facts})


def user_transcription(text: str, *, final: bool, timestamp: str, user_id: str) -> Message:
    """What the user said (`final`), or seems to be saying."""
    return build(
        "user-transcription", {"text": text, "final": final, "timestamp": timestamp, "user_id": user_id}
    )


def user_input(
    text: str,
    *,
    input_type: str,
    timestamp: str,
    final: bool = True,
    user_id: str | None = None,
    msg_id: str | None = None,
) -> Message:
    """2.2: what the user said or typed. `input_type`: "transcription", "backchannel" or "chat"."""
    facts = {"text": text, "input_type": input_type, "timestamp": timestamp, "final": final}
    return build("user-input", {**facts, "user_id": user_id or None, "msg_id": msg_id or None})


def text_message(kind: str, text: str) -> Message:
    """`user-llm-text`, `bot-llm-text`, `bot-tts-text`, `bot-transcription` (old: a sentence of the reply)."""
    return build(kind, {"text": text})


def server_message(data: Any) -> Message:
    """Any JSON value for the client's application; ours for a page that knows botrun are objects."""
    return {**build("server-message"), "data": data}


def server_response(id: str, t: str, d: Any) -> Message:
    """The answer to a `client-message` of the type `t`, under its id."""
    return {**build("server-response", id=id), "data": {"t": t, "d": d}}


def append_to_context_result(id: str) -> Message:
    """The answer to an `append-to-context`."""
    return build("append-to-context-result", {"result": "appended"}, id)


def function_call_started(name: str | None) -> Message:
    """The model asked for a tool; its name is left out where the client need not know."""
    return build("llm-function-call-started", {"function_name": name})


def function_call_in_progress(
    tool_call_id: str, name: str | None = None, arguments: Mapping[str, Any] | None = None
) -> Message:
    """A tool runs. A client that registered a function of this name runs it, and sends what it returns."""
    facts = {"tool_call_id": tool_call_id, "function_name": name, "arguments": arguments}
    return build("llm-function-call-in-progress", facts)


def function_call_stopped(
    tool_call_id: str, name: str | None = None, *, cancelled: bool = False, result: Any = None
) -> Message:
    """A tool has answered, or was ended by an interruption."""
    facts = {"tool_call_id": tool_call_id, "function_name": name, "cancelled": cancelled, "result": result}
    return build("llm-function-call-stopped", facts)


def function_call_v1(tool_call_id: str, name: str, arguments: Mapping[str, Any]) -> Message:
    """1.x: asks the client to run a function."""
    return build(
        "llm-function-call", {"function_name": name, "tool_call_id": tool_call_id, "args": dict(arguments)}
    )


def search_response(
    search_result: str | None, rendered_content: str | None, origins: Sequence[Mapping[str, Any]]
) -> Message:
    """What the model found when it searched the web."""
    facts = {"search_result": search_result, "rendered_content": rendered_content, "origins": list(origins)}
    return build("bot-llm-search-response", facts)


def ui_command(command: str, payload: Any) -> Message:
    """Something for the client's page to do."""
    return {**build("ui-command"), "data": {"command": command, "payload": payload}}


def ui_job_group(data: Mapping[str, Any]) -> Message:
    """How a group of jobs gets on."""
    return {**build("ui-job-group"), "data": dict(data)}


def metric(name: str, processor: str, value_ms: float) -> Message:
    """One measured duration under its name: `ttfb`, `processing`; ours: `turn_latency`, `stop_latency`."""
    return build("metrics", {name: [{"processor": processor, "value": round(value_ms / 1000, 4)}]})


def bot_output_v1(text: str, *, spoken: bool, aggregated_by: str) -> Message:
    """1.x: `spoken` is False for a sentence on its way, True for a word that was heard."""
    return build("bot-output", {"text": text, "spoken": spoken, "aggregated_by": aggregated_by})


def bot_output_v2(segment: Segment) -> Message:
    """2.x: a segment, and how much of it has been heard."""
    progress = {"accumulated_text": segment.spoken_text, "remaining_text": segment.remaining_text}
    return build(
        "bot-output",
        {
            "text": segment.text,
            "output_type": "text",
            "text_type": "plain",
            "aggregated_by": "sentence",
            "segment_id": segment.id,
            "will_be_spoken": True,
            "spoken_status": segment.status,
            "spoken_progress": progress,
        },
    )


def bot_output_unspoken(text: str, segment_id: int) -> Message:
    """2.x: a sentence that is to be read."""
    facts = {"text": text, "output_type": "text", "text_type": "plain", "aggregated_by": "sentence"}
    return build(
        "bot-output", {**facts, "segment_id": segment_id, "will_be_spoken": False, "spoken_status": "new"}
    )
