"""Text messages on the data channel (`reference/PROTOCOLS.md` §6). Pure.

ping…                                            the page is alive; about once a second, not JSON
{"type": "signalling", "message": {"type": …}}   between page and server:
    renegotiate, peerLeft                            from us
    peerLeft                                         from the page: it hangs up
    hold, held                                       from us, and the page's answer: send no more for the bot
    waits, busy                                      from us: the new code waits for a pause; what goes on
    moved, left_out                                  from us: reconnect, the new code is ready
    code, failure, waits                             from us: the state of the bot's code on disk
    trackStatus, receiver_index, enabled             from the page: a microphone was muted or opened
    playout, jitter_buffer_ms, round_trip_ms         from the page, about once a second: how long sound
                                                     waits in its jitter buffer before it is heard
any other JSON value                             a message of the application (RTVI or other)
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from runner.errors import ProtocolError

MAX_MESSAGE_CHARS = 64 * 1024
MAX_DELAY_MS = 5000.0

RENEGOTIATE = '{"type": "signalling", "message": {"type": "renegotiate"}}'


@dataclass(frozen=True, slots=True)
class Ping:
    """The page is alive."""


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
    """The delay from sending sound to its playout, as measured by the page."""

    jitter_buffer_secs: float
    round_trip_secs: float | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """The page holds back input for the bot, because the call is about to move to new code. `waiting`:
    whether it holds typed text."""

    waiting: bool = False


@dataclass(frozen=True, slots=True)
class AppMessage:
    """A JSON value for the bot."""

    value: Any


Message = Ping | PeerLeft | TrackStatus | PlayoutReport | Held | AppMessage


def read_message(text: str) -> Message | None:
    """Parse a message; None for unknown signalling. Raises `ProtocolError`."""
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
    """The message that botrun closes the connection: the reason, and the bot's error, if any."""
    facts = {"reason": reason, "error": dict(error or {})}
    return encode(
        {"type": "signalling", "message": {"type": "peerLeft", **{k: v for k, v in facts.items() if v}}}
    )


def signal(kind: str, **facts: Any) -> str:
    """A message to the page itself, not to its application."""
    return encode({"type": "signalling", "message": {"type": kind, **facts}})


def encode(message: Any) -> str:
    """Encode a JSON value. Raises `ProtocolError` if JSON or the channel cannot carry it."""
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


MAX_QUEUED_MESSAGES = 256


class TextChannel(Protocol):
    """Sends text to the peer; a `Peer`."""

    @property
    def channel_is_open(self) -> bool: ...
    def send_text(self, text: str) -> bool: ...


class Mailbox:
    """Bounded queues of messages in both directions; when full, the oldest is dropped.

    Attributes:
        dropped: number of messages dropped: queue full, no channel, or malformed.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._outbox: deque[str] = deque(maxlen=MAX_QUEUED_MESSAGES)
        self._inbox: deque[Any] = deque(maxlen=MAX_QUEUED_MESSAGES)
        self._drained = asyncio.Event()
        self._drained.set()
        self._closed = False

    # ------------------------------------------------------------ to the peer

    def send(self, text: str, channel: TextChannel | None) -> None:
        """Send at once if the channel is open; else queue until `channel_opened`."""
        if self._closed:
            self.dropped += 1
        elif channel is not None and channel.channel_is_open:
            self.dropped += not channel.send_text(text)
        else:
            self.dropped += len(self._outbox) == MAX_QUEUED_MESSAGES
            self._outbox.append(text)
            self._drained.clear()

    def channel_opened(self, channel: TextChannel) -> None:
        while self._outbox and channel.send_text(self._outbox[0]):
            self._outbox.popleft()
        if not self._outbox:
            self._drained.set()

    async def flush(self, timeout_secs: float) -> None:
        """Wait until the messages so far are sent, the mailbox is closed, or the timeout."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_secs):
                await self._drained.wait()

    def close(self) -> None:
        """Stop sending, and end all waits."""
        self._closed = True
        self._drained.set()

    # ------------------------------------------------------------ from the peer

    def receive(self, message: Any) -> None:
        """Queue a received message until `hand_over`."""
        self._inbox.append(message)

    def hand_over(self, deliver: Callable[[Any], None]) -> None:
        """Deliver all queued messages."""
        while self._inbox:
            deliver(self._inbox.popleft())
