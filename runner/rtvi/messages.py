"""Builds RTVI messages for the client, as JSON values. `requests.py` parses those from the client.

The envelope is `{"label": "rtvi-ai", "type": …, "id": …, "data": {…}}`; absent fields are left out.
Two major versions are in use; each client gets its own (reference/PEERS.md §6, PROTOCOLS.md §7):

* 1.x: `bot-output` is `{text, spoken, aggregated_by}`: first the sentence, then word by word;
* 2.x: `bot-output` is a segment that reports how much of it has been spoken.

Types and fields are those of `@pipecat-ai/client-js` 1.13.1 (RTVI 2.1.0; `dist/index.d.ts`).

Durations in `metrics` are in seconds, as RTVI defines them. Nothing here does I/O.
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
    """A message in its envelope, without the fields of `data` that are None."""
    message: Message = {"label": LABEL, "type": kind}
    if id:
        message["id"] = id
    if data is not None:
        message["data"] = {key: value for key, value in data.items() if value is not None}
    return message


def bot_ready(id: str, version: str, about: Mapping[str, Any], *, audio_in: bool, audio_out: bool) -> Message:
    """The answer to `client-ready`, with the same id. Without it a client stays in "connecting"."""
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
    """The answer to a message that failed."""
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
    """An error; `fatal` ends the call.

    Args:
        text: the whole sentence, sent as `error` (2.x) and as `message` (1.x).
        processor: where in the pipeline.
        file: the bot's own file, and `line` in it.
        exception: what was raised, such as "KeyError: 'name'".
        source: that line's text.
        advice: how to fix it.
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
    """What the user said: final words (`final`) or interim ones."""
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
    """`user-llm-text`, `bot-llm-text`, `bot-tts-text`, or the older `bot-transcription` (one sentence)."""
    return build(kind, {"text": text})


def server_message(data: Any) -> Message:
    """Any JSON value for the client's application. botrun's own messages to its page are objects."""
    return {**build("server-message"), "data": data}


def server_response(id: str, t: str, d: Any) -> Message:
    """The answer to a `client-message` of the type `t`, under its id."""
    return {**build("server-response", id=id), "data": {"t": t, "d": d}}


def append_to_context_result(id: str) -> Message:
    """The answer to an `append-to-context`."""
    return build("append-to-context-result", {"result": "appended"}, id)


def function_call_started(name: str | None) -> Message:
    """The model called a tool; without its name unless the client may see it."""
    return build("llm-function-call-started", {"function_name": name})


def function_call_in_progress(
    tool_call_id: str, name: str | None = None, arguments: Mapping[str, Any] | None = None
) -> Message:
    """A tool runs. A client that registered a function of this name runs it and sends back the result."""
    facts = {"tool_call_id": tool_call_id, "function_name": name, "arguments": arguments}
    return build("llm-function-call-in-progress", facts)


def function_call_stopped(
    tool_call_id: str, name: str | None = None, *, cancelled: bool = False, result: Any = None
) -> Message:
    """A tool returned, or was cancelled by an interruption."""
    facts = {"tool_call_id": tool_call_id, "function_name": name, "cancelled": cancelled, "result": result}
    return build("llm-function-call-stopped", facts)


def function_call_v1(tool_call_id: str, name: str, arguments: Mapping[str, Any]) -> Message:
    """1.x: ask the client to run a function."""
    return build(
        "llm-function-call", {"function_name": name, "tool_call_id": tool_call_id, "args": dict(arguments)}
    )


def search_response(
    search_result: str | None, rendered_content: str | None, origins: Sequence[Mapping[str, Any]]
) -> Message:
    """The result of the model's web search."""
    facts = {"search_result": search_result, "rendered_content": rendered_content, "origins": list(origins)}
    return build("bot-llm-search-response", facts)


def ui_command(command: str, payload: Any) -> Message:
    """A command for the client's page."""
    return {**build("ui-command"), "data": {"command": command, "payload": payload}}


def ui_job_group(data: Mapping[str, Any]) -> Message:
    """The progress of a group of jobs."""
    return {**build("ui-job-group"), "data": dict(data)}


def metric(name: str, processor: str, value_ms: float) -> Message:
    """One measured duration: `ttfb`, `processing`, or botrun's own `turn_latency`, `stop_latency`."""
    return build("metrics", {name: [{"processor": processor, "value": round(value_ms / 1000, 4)}]})


def bot_output_v1(text: str, *, spoken: bool, aggregated_by: str) -> Message:
    """1.x: `spoken` is False for a sentence that will be spoken, True for a word that was heard."""
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
    """2.x: a sentence that is shown but not spoken."""
    facts = {"text": text, "output_type": "text", "text_type": "plain", "aggregated_by": "sentence"}
    return build(
        "bot-output", {**facts, "segment_id": segment_id, "will_be_spoken": False, "spoken_status": "new"}
    )
