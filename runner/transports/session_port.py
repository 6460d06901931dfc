"""What a session and the transport of its bot exchange, beside the sound.

A session sets `session_port` for its bot's task; the transport that the bot builds reads it there. Outside a
session it is a port to which nobody listens.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runner.serializers.base import FrameSerializer

EARLY_MESSAGES = 32
"""Messages for the bot that are kept until it has built its transport."""


class AppChannel:
    """Messages between the bot and an application beside the wire: a provider's wire carries none."""

    def __init__(self) -> None:
        self._to_app: Callable[[Any], Awaitable[None]] | None = None
        self._to_bot: Callable[[Any], None] | None = None
        self._early: deque[Any] = deque(maxlen=EARLY_MESSAGES)

    def attach(self, send: Callable[[Any], Awaitable[None]]) -> bool:
        """Send the bot's messages to `send`; False if another application is attached."""
        if self._to_app is not None:
            return False
        self._to_app = send
        return True

    def detach(self) -> None:
        """The application has left."""
        self._to_app = None

    async def send(self, message: Any) -> None:
        """Send a message of the bot's; it is dropped if no application is attached."""
        if self._to_app is not None:
            with contextlib.suppress(RuntimeError, OSError):
                await self._to_app(message)

    def open(self, take: Callable[[Any], None]) -> None:
        """Hand messages for the bot to `take`, first those that arrived before."""
        self._to_bot = take
        while self._early:
            take(self._early.popleft())

    def from_app(self, message: Any) -> None:
        """A message for the bot."""
        if self._to_bot is None:
            self._early.append(message)
        else:
            self._to_bot(message)


@dataclass(frozen=True, kw_only=True)
class HangUpPolicy:
    """Whether and with whose credentials the session hangs up at the provider when the bot is done.

    Attributes:
        auto_hang_up: False leaves the call to the provider's next step.
        credentials: by the names of the serializers' arguments; empty uses the run's own.
    """

    auto_hang_up: bool = True
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)


def _ignore(reason: str = "") -> None:
    """Nobody listens."""


@dataclass(kw_only=True)
class SessionPort:
    """One session's port to the transport of its bot.

    Attributes:
        serializer: made for this call; None where its wire needs none.
        app: messages beside the wire.
        transfer: transfers the caller to another number; None where that is impossible.
        joined: a participant has joined the bot's room.
        left: the last participant has left it.
        lost: the bot is not in its room (any more), and why.
        hang_up: set by the transport, from the serializer that the bot chose.
        moved: whether the call continues with the new code.
    """

    serializer: FrameSerializer | None = None
    app: AppChannel = field(default_factory=AppChannel)
    transfer: Callable[[str], Awaitable[None]] | None = None
    joined: Callable[[], None] = _ignore
    left: Callable[[], None] = _ignore
    lost: Callable[[str], None] = _ignore
    hang_up: HangUpPolicy = field(default_factory=HangUpPolicy)
    moved: bool = False


_port: ContextVar[SessionPort | None] = ContextVar("botrun session port", default=None)


def enter_session(port: SessionPort) -> None:
    """Transports built in this context from now on use this port."""
    _port.set(port)


def current_port() -> SessionPort:
    """The port of this context's session; outside a session one to which nobody listens."""
    return _port.get() or SessionPort()
