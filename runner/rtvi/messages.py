"""RTVI messages as JSON values: builders for what we say, a parser for what the client says.

The envelope is `{"label": "rtvi-ai", "type": …, "id": …, "data": {…}}`; absent fields are left out.
Two majors are in use, and a client is answered in its own (reference/PEERS.md §6, PROTOCOLS.md §7):

* 1.x knows `bot-output` as `{text, spoken, aggregated_by}`: the sentence first, then word by word;
* 2.x knows it as segments that report how much of them has been spoken.

Durations in `metrics` are seconds, as RTVI has them. Nothing here does I/O.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runner.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.rtvi.speech import Segment

LABEL = "rtvi-ai"
VERSION = "2.2.0"  # the first with `capabilities` in bot-ready
MAJORS = (1, 2)
LATEST_MAJOR = 2

Message = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientMessage:
    """A message from the client. `id` is what an answer must carry; `data` is its object, or empty."""

    type: str
    id: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SendText:
    """A turn that was typed. `run_immediately` cuts in; `audio_response` asks for a spoken answer."""

    content: str
    run_immediately: bool = True
    audio_response: bool = True


def parse(message: object) -> ClientMessage | None:
    """Read a client's message; None if it is not RTVI, and so none of our business.

    Raises:
        ProtocolError: it bears RTVI's label, but is not made as RTVI asks.
    """
    if not isinstance(message, dict) or message.get("label") != LABEL:
        return None
    kind, data = message.get("type"), message.get("data")
    if not isinstance(kind, str) or not kind:
        raise ProtocolError("an RTVI message needs a type")
    if data is not None and not isinstance(data, dict):
        raise ProtocolError(f"the data of an RTVI {kind} must be an object")
    return ClientMessage(type=kind, id=message_id(message), data=data or {})


def message_id(message: object) -> str:
    """The id that an answer has to carry; "" when there is none."""
    found = message.get("id") if isinstance(message, dict) else None
    return str(found) if isinstance(found, str | int) else ""


def client_major(data: Mapping[str, Any]) -> int:
    """The major of a `client-ready`; one that names no version is taken for the oldest (1).

    Raises:
        ProtocolError: `version` is not one.
    """
    version = data.get("version", "1")
    major = str(version).partition(".")[0]
    if not major.isdecimal() or len(major) > 4:
        raise ProtocolError(f"RTVI version {str(version)[:40]!r} is not a version")
    return int(major)


def send_text(data: Mapping[str, Any]) -> SendText:
    """Read a `send-text`.

    Raises:
        ProtocolError: `content` is not a text, or has nothing in it.
    """
    content, options = data.get("content"), data.get("options") or {}
    if not isinstance(content, str) or not content.strip():
        raise ProtocolError("send-text needs a content with words in it")
    if not isinstance(options, dict):
        raise ProtocolError("the options of send-text must be an object")
    return SendText(
        content=content.strip(),
        run_immediately=options.get("run_immediately") is not False,
        audio_response=options.get("audio_response") is not False,
    )


def dtmf_digits(data: Mapping[str, Any]) -> str:
    """Read a `dtmf`: 2.1 has `buttons`, older clients one `button` a message.

    Raises:
        ProtocolError: something that is not a key of a phone.
    """
    buttons = data.get("buttons", [data.get("button")])
    keys = [str(button) for button in buttons] if isinstance(buttons, list) else [""]
    if not all(len(key) == 1 and key in "0123456789*#" for key in keys):
        raise ProtocolError("dtmf needs buttons out of 0-9, * and #")
    return "".join(keys)


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
) -> Message:
    """Something failed; `fatal` ends the call. `file` and `line` point into the bot, where known.

    The sentence stands under `error` (2.x) and `message` (1.x): clients read the one they know.
    """
    facts = {"processor": processor, "file": file, "line": line}
    return build("error", {"error": text, "message": text, "fatal": fatal, **facts})


def user_transcription(text: str, *, final: bool, timestamp: str, user_id: str) -> Message:
    """What the user said (`final`), or seems to be saying."""
    return build(
        "user-transcription", {"text": text, "final": final, "timestamp": timestamp, "user_id": user_id}
    )


def text_message(kind: str, text: str) -> Message:
    """`user-llm-text`, `bot-llm-text`, `bot-tts-text`."""
    return build(kind, {"text": text})


def server_message(data: Mapping[str, Any]) -> Message:
    """One of our own, for a client that knows botrun."""
    return build("server-message", data)


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
