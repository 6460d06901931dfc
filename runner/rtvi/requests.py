"""What the client says, read and judged; pure.

Every message that `@pipecat-ai/client-js` 1.13.1 sends (`RTVIMessageType` in `dist/index.d.ts`) has its
reader here; what its data must hold is cited from there.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionResult:
    """What a function returned that the client ran for us."""

    function_name: str
    tool_call_id: str
    result: Any


def parse(message: object) -> ClientMessage | None:
    """Read a client's message; None if it is not RTVI, and so none of our business.

    Raises:
        ProtocolError: it has RTVI's label but not RTVI's form. All readers below raise it, too.
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
    """The major of a `client-ready`; one that names no version is taken for the oldest (1)."""
    version = data.get("version", "1")
    major = str(version).partition(".")[0]
    if not major.isdecimal() or len(major) > 4:
        raise ProtocolError(f"RTVI version {str(version)[:40]!r} is not a version")
    return int(major)


def send_text(data: Mapping[str, Any]) -> SendText:
    """Read a `send-text`: `content` has words in it."""
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


def append_to_context(data: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """Read an `append-to-context` (old; `send-text` has taken its place): a message, and whether to answer
    it at once."""
    role, content = data.get("role"), data.get("content")
    if role not in ("user", "assistant"):
        raise ProtocolError('append-to-context needs a role: "user" or "assistant"')
    if not content or not isinstance(content, str | list):
        raise ProtocolError("append-to-context needs a content")
    return {"role": role, "content": content}, data.get("run_immediately") is True


def dtmf_digits(data: Mapping[str, Any]) -> str:
    """Read a `dtmf`: 2.1 has `buttons`, older clients one `button` a message; each a key of a phone."""
    buttons = data.get("buttons", [data.get("button")])
    keys = [str(button) for button in buttons] if isinstance(buttons, list) else [""]
    if not all(len(key) == 1 and key in "0123456789*#" for key in keys):
        raise ProtocolError("dtmf needs buttons out of 0-9, * and #")
    return "".join(keys)


def raw_audio(data: Mapping[str, Any]) -> InputAudioRawFrame:
    """Read a `raw-audio` or `raw-audio-batch`: pcm (s16le) in base64."""
    pieces = data.get("base64AudioBatch", [data.get("base64Audio")])
    rate, channels = data.get("sampleRate", 16000), data.get("numChannels", 1)
    if not isinstance(pieces, list) or not pieces or not all(isinstance(piece, str) for piece in pieces):
        raise ProtocolError("raw-audio needs base64Audio, or base64AudioBatch with a list of such")
    if not _is_whole(rate) or not MIN_RATE <= rate <= MAX_RATE:
        raise ProtocolError(f"raw-audio needs a sampleRate from {MIN_RATE} to {MAX_RATE}")
    if not _is_whole(channels) or channels not in (1, 2):
        raise ProtocolError("raw-audio needs numChannels 1 or 2")
    try:
        pcm = b"".join(base64.b64decode(piece, validate=True) for piece in pieces)
    except ValueError:
        raise ProtocolError("the audio of raw-audio is not base64") from None
    if len(pcm) % (2 * channels):
        raise ProtocolError("the audio of raw-audio is not s16le: it ends in the middle of a sample")
    return InputAudioRawFrame(pcm, rate, channels)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def client_message(data: Mapping[str, Any]) -> tuple[str, Any]:
    """Read a `client-message`: its own type `t`, and its data `d`."""
    return _name(data, "t", "client-message"), data.get("d")


def function_result(data: Mapping[str, Any]) -> FunctionResult:
    """Read an `llm-function-call-result`."""
    kind = "llm-function-call-result"
    return FunctionResult(
        function_name=_name(data, "function_name", kind),
        tool_call_id=_name(data, "tool_call_id", kind),
        result=data.get("result"),
    )


def ui_event(data: Mapping[str, Any]) -> tuple[str, Any]:
    """Read a `ui-event`: its name and payload."""
    return _name(data, "event", "ui-event"), data.get("payload")


def ui_snapshot(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Read a `ui-snapshot`: the tree of what the page shows."""
    tree = data.get("tree")
    if not isinstance(tree, dict):
        raise ProtocolError("ui-snapshot needs a tree")
    return tree


def ui_cancel_job_group(data: Mapping[str, Any]) -> tuple[str, str | None]:
    """Read a `ui-cancel-job-group`: the group, and why."""
    reason = data.get("reason")
    return _name(data, "job_id", "ui-cancel-job-group"), reason if isinstance(reason, str) else None


def _name(data: Mapping[str, Any], field: str, kind: str) -> str:
    found = data.get(field)
    if not isinstance(found, str) or not found or len(found) > MAX_NAME_CHARS:
        raise ProtocolError(f"{kind} needs a {field} of 1 to {MAX_NAME_CHARS} characters")
    return found
