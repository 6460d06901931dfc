"""Parses and validates messages from the client; pure.

It has a parser for every message that `@pipecat-ai/client-js` 1.13.1 sends (`RTVIMessageType` in
`dist/index.d.ts`, which also defines their data).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runner.errors import ProtocolError
from runner.frames import InputAudioRawFrame
from runner.rtvi.messages import LABEL

MAX_NAME_CHARS = 200
MIN_RATE, MAX_RATE = 8000, 48000


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientMessage:
    """A message from the client. An answer must have its `id`. `data` is empty if the message has none."""

    type: str
    id: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SendText:
    """A typed user turn. `run_immediately` interrupts the bot; `audio_response` asks for a spoken answer."""

    content: str
    run_immediately: bool = True
    audio_response: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionResult:
    """The result of a function that the client ran."""

    function_name: str
    tool_call_id: str
    result: Any


def parse(message: object) -> ClientMessage | None:
    """Parse a client's message. Returns None if it is not RTVI.

    Raises:
        ProtocolError: it has RTVI's label but is malformed. All parsers below raise it, too.
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
    """The id that an answer must have; "" if there is none."""
    found = message.get("id") if isinstance(message, dict) else None
    return str(found) if isinstance(found, str | int) else ""


def client_major(data: Mapping[str, Any]) -> int:
    """The major version in a `client-ready`; 1 if it names none."""
    version = data.get("version", "1")
    major = str(version).partition(".")[0]
    if not major.isdecimal() or len(major) > 4:
        raise ProtocolError(f"RTVI version {str(version)[:40]!r} is not a version")
    return int(major)


def send_text(data: Mapping[str, Any]) -> SendText:
    """Parse a `send-text`; its `content` must not be blank."""
    content, options = data.get("content"), data.get("options") or {}
    if not isinstance(content, str) or not content.strip():
        raise ProtocolError("send-text needs a content that is not blank")
    if not isinstance(options, dict):
        raise ProtocolError("the options of send-text must be an object")
    return SendText(
        content=content.strip(),
        run_immediately=options.get("run_immediately") is not False,
        audio_response=options.get("audio_response") is not False,
    )


def append_to_context(data: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """Parse an `append-to-context` (replaced by `send-text`): a message, and whether to answer it at once."""
    role, content = data.get("role"), data.get("content")
    if role not in ("user", "assistant"):
        raise ProtocolError('append-to-context needs a role: "user" or "assistant"')
    if not content or not isinstance(content, str | list):
        raise ProtocolError("append-to-context needs a content")
    return {"role": role, "content": content}, data.get("run_immediately") is True


def dtmf_digits(data: Mapping[str, Any]) -> str:
    """Parse a `dtmf`: clients of 2.1 send `buttons`, older ones one `button` per message."""
    buttons = data.get("buttons", [data.get("button")])
    keys = [str(button) for button in buttons] if isinstance(buttons, list) else [""]
    if not all(len(key) == 1 and key in "0123456789*#" for key in keys):
        raise ProtocolError("dtmf needs buttons out of 0-9, * and #")
    return "".join(keys)


def raw_audio(data: Mapping[str, Any]) -> InputAudioRawFrame:
    """Parse a `raw-audio` or `raw-audio-batch`: pcm (s16le) in base64."""
    pieces = data.get("base64AudioBatch", [data.get("base64Audio")])
    rate, channels = data.get("sampleRate", 16000), data.get("numChannels", 1)
    if not isinstance(pieces, list) or not pieces or not all(isinstance(piece, str) for piece in pieces):
        raise ProtocolError("raw-audio needs base64Audio, or a list of them in base64AudioBatch")
    if not _is_whole(rate) or not MIN_RATE <= rate <= MAX_RATE:
        raise ProtocolError(f"raw-audio needs a sampleRate from {MIN_RATE} to {MAX_RATE}")
    if not _is_whole(channels) or channels not in (1, 2):
        raise ProtocolError("raw-audio needs numChannels 1 or 2")
    try:
        pcm = b"".join(base64.b64decode(piece, validate=True) for piece in pieces)
    except ValueError:
        raise ProtocolError("the audio of raw-audio is not base64") from None
    if len(pcm) % (2 * channels):
        raise ProtocolError("the audio of raw-audio is not s16le: it ends within a sample")
    return InputAudioRawFrame(pcm, rate, channels)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def client_message(data: Mapping[str, Any]) -> tuple[str, Any]:
    """Parse a `client-message`: its custom type `t` and data `d`."""
    return _name(data, "t", "client-message"), data.get("d")


def function_result(data: Mapping[str, Any]) -> FunctionResult:
    """Parse an `llm-function-call-result`."""
    kind = "llm-function-call-result"
    return FunctionResult(
        function_name=_name(data, "function_name", kind),
        tool_call_id=_name(data, "tool_call_id", kind),
        result=data.get("result"),
    )


def ui_event(data: Mapping[str, Any]) -> tuple[str, Any]:
    """Parse a `ui-event`: its name and payload."""
    return _name(data, "event", "ui-event"), data.get("payload")


def ui_snapshot(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Parse a `ui-snapshot`: the accessibility tree of the page."""
    tree = data.get("tree")
    if not isinstance(tree, dict):
        raise ProtocolError("ui-snapshot needs a tree")
    return tree


def ui_cancel_job_group(data: Mapping[str, Any]) -> tuple[str, str | None]:
    """Parse a `ui-cancel-job-group`: the group's id and the reason."""
    reason = data.get("reason")
    return _name(data, "job_id", "ui-cancel-job-group"), reason if isinstance(reason, str) else None


def _name(data: Mapping[str, Any], field: str, kind: str) -> str:
    found = data.get(field)
    if not isinstance(found, str) or not found or len(found) > MAX_NAME_CHARS:
        raise ProtocolError(f"{kind} needs a {field} of 1 to {MAX_NAME_CHARS} characters")
    return found
