"""`SessionPort`: what a session and its bot's transport and pipeline exchange in addition to sound.

A session sets the port in its bot's context, where the bot's transport and `PipelineTask` read it once, when
they are built. Outside a session nothing is connected to the port.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runner.processors.handover_state import Conversation

if TYPE_CHECKING:
    from runner.serializers.base import FrameSerializer
    from runner.transports.tape import Tape

EARLY_MESSAGES = 32
"""Number of messages kept for the bot until it has built its transport."""


class AppChannel:
    """Messages between the bot and an application, for media sockets that carry no messages."""

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
        """Send a message to the application; without one it is dropped."""
        if self._to_app is not None:
            with contextlib.suppress(RuntimeError, OSError):
                await self._to_app(message)

    def open(self, take: Callable[[Any], None]) -> None:
        """Pass messages for the bot to `take`, starting with those that arrived before."""
        self._to_bot = take
        while self._early:
            take(self._early.popleft())

    def from_app(self, message: Any) -> None:
        """Pass a message to the bot."""
        if self._to_bot is None:
            self._early.append(message)
        else:
            self._to_bot(message)


@dataclass(frozen=True, kw_only=True)
class HangUpPolicy:
    """Whether, and with which credentials, the session hangs up at the provider when the bot is done.

    Attributes:
        auto_hang_up: False leaves the call to the provider's next step.
        credentials: by the names of the serializers' arguments; if empty, those of the run are used.
    """

    auto_hang_up: bool = True
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)


def _ignore(reason: str = "") -> None:
    """Nothing is connected."""


def _unheard() -> bool:
    """No transport reports that the client is disconnected."""
    return False


@dataclass(kw_only=True)
class SessionPort:
    """One session's port to the transport and the pipeline of its bot.

    Attributes:
        conversation: what moves with the call when the bot's code changes.
        serializer: the call's serializer; None if its wire needs none.
        app: messages of an application.
        transfer: transfers the caller to another number; None if that is impossible.
        joined: called when a participant joins the bot's room.
        connected: called when the bot's `on_client_connected` runs: media can flow.
        left: called when the last participant leaves it.
        lost: called with the reason when the bot is not, or no longer, in its room.
        disconnect: called when botrun stops: runs the bot's `on_client_disconnected`. Returns whether the bot
            has handlers of it. Set by the transport.
        hang_up: set by the transport, from the bot's serializer.
        report: shows the client a sentence that no transport of the bot can carry.
        moved: whether the call continues with new code.
        tape: takes what crosses the wire, for the call's record; None if the call is not recorded.
    """

    conversation: Conversation = field(default_factory=Conversation)
    serializer: FrameSerializer | None = None
    app: AppChannel = field(default_factory=AppChannel)
    transfer: Callable[[str], Awaitable[None]] | None = None
    joined: Callable[[], None] = _ignore
    connected: Callable[[], None] = _ignore
    left: Callable[[], None] = _ignore
    lost: Callable[[str], None] = _ignore
    disconnect: Callable[[], bool] = _unheard
    hang_up: HangUpPolicy = field(default_factory=HangUpPolicy)
    report: Callable[[str], None] = _ignore
    moved: bool = False
    tape: Tape | None = None


_port: ContextVar[SessionPort | None] = ContextVar("botrun session port", default=None)


def enter_session(port: SessionPort) -> None:
    """Use this port for transports and pipelines built in this context."""
    _port.set(port)


def current_port() -> SessionPort:
    """The port of this context's session; an unconnected one outside a session."""
    return _port.get() or SessionPort()
