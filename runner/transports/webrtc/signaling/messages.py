"""What travels over the data channel, as text (`reference/PROTOCOLS.md` §6). Pure.

ping…                                            the page lives; about once a second, not JSON
{"type": "signalling", "message": {"type": …}}   between page and server:
    renegotiate, peerLeft                            from us
    peerLeft                                         from the page: it hangs up
    hold, held                                       from us, and the page's answer: send no more for the bot
    waits, busy                                      from us: the new code waits for a pause; what goes on
    moved, left_out                                  from us: come again, the new code is there
    code, failure, waits                             from us: how the bot's code on disk stands
    trackStatus, receiver_index, enabled             from the page: a microphone was muted or opened
    playout, jitter_buffer_ms, round_trip_ms         from the page, about once a second: how long sound
                                                     waits in its jitter buffer before it is heard
any other JSON value                             a message of the application (RTVI and whatever else)
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runner.errors import ProtocolError

MAX_MESSAGE_CHARS = 64 * 1024
MAX_DELAY_MS = 5000.0

RENEGOTIATE = '{"type": "signalling", "message": {"type": "renegotiate"}}'


@dataclass(frozen=True, slots=True)
class Ping:
    """The page lives."""


@dataclass(frozen=True, slots=True)
class PeerLeft:
    """The page hangs up."""


@dataclass(frozen=True, slots=True)
class TrackStatus:
    """A track of the page, counted from 0 (microphone, camera, screen), was muted or opened."""

    receiver_index: int
    enabled: bool


@dataclass(frozen=True, slots=True)
class PlayoutReport:
    """How long sound takes from our sending to the listener's ear, in the page's own measure."""

    jitter_buffer_secs: float
    round_trip_secs: float | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """The page sends nothing more for the bot: its call is about to move to new code. `waiting`: something
    was typed, and waits for that."""

    waiting: bool = False


@dataclass(frozen=True, slots=True)
class AppMessage:
    """A JSON value for the bot."""

    value: Any


Message = Ping | PeerLeft | TrackStatus | PlayoutReport | Held | AppMessage


def read_message(text: str) -> Message | None:
    """What a text means; None for signalling that we do not know. Raises `ProtocolError`."""
    if text.startswith("ping"):
        return Ping()
    if len(text) > MAX_MESSAGE_CHARS:
        raise ProtocolError(f"a data channel message has {len(text)} characters, over {MAX_MESSAGE_CHARS}")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):  # deep nesting is no ValueError
        raise ProtocolError("a data channel message is neither JSON nor a ping") from None
    if isinstance(value, dict) and value.get("type") == "signalling":
        return _read_signalling(value.get("message"))
    return AppMessage(value)


def peer_left(reason: str = "", error: Mapping[str, Any] | None = None) -> str:
    """That we leave: why, and with what the bot failed, if it did."""
    facts = {"reason": reason, "error": dict(error or {})}
    return encode(
        {"type": "signalling", "message": {"type": "peerLeft", **{k: v for k, v in facts.items() if v}}}
    )


def signal(kind: str, **facts: Any) -> str:
    """A message of ours to the page itself, not for its application."""
    return encode({"type": "signalling", "message": {"type": kind, **facts}})


def encode(message: Any) -> str:
    """A JSON value as it is sent. Raises `ProtocolError` for what JSON or the channel cannot carry."""
    try:
        text = json.dumps(message, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ProtocolError(f"an app message is not JSON: {error}") from error
    if len(text) > MAX_MESSAGE_CHARS:
        raise ProtocolError(f"an app message has {len(text)} characters, over {MAX_MESSAGE_CHARS}")
    return text


def _read_signalling(message: Any) -> Message | None:
    match message:
        case {"type": "peerLeft"}:
            return PeerLeft()
        case {"type": "held"}:
            return Held(message.get("waiting") is True)
        case {"type": "trackStatus", "receiver_index": int(index), "enabled": bool(enabled)}:
            return TrackStatus(index, enabled)
        case {"type": "playout", "jitter_buffer_ms": int() | float() as jitter_ms}:
            jitter, round_trip = _secs(jitter_ms), _secs(message.get("round_trip_ms"))
            return None if jitter is None else PlayoutReport(jitter, round_trip)
        case _:
            return None


def _secs(milliseconds: Any) -> float | None:
    if not isinstance(milliseconds, int | float) or isinstance(milliseconds, bool):
        return None
    plausible = math.isfinite(milliseconds) and 0 <= milliseconds <= MAX_DELAY_MS
    return milliseconds / 1000 if plausible else None
