"""What `bot(runner_args)` is given: frozen, and complete before the bot is called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.websockets import WebSocket

    from runner.serializers.base import FrameSerializer
    from runner.serializers.handshake import CallInfo


@dataclass(frozen=True, kw_only=True)
class RunnerArguments:
    """What every bot is given.

    Attributes:
        body: what the caller of `/start`, the browser's offer or `--body` passed along.
        session_id: names this call in logs, records and addresses.
        handle_sigint: whether the bot's `PipelineRunner` should handle Ctrl-C itself. botrun does it,
            so this is False.
        handle_sigterm: the same for SIGTERM.
        pipeline_idle_timeout_secs: a call in which nobody speaks for so long (s) is ended; 0 is never.
        session_state: for values of your own that the call keeps when the bot's code is saved: JSON.
        resumed: whether the conversation began under older code: its history is in the context, and the
            greeting has been said.
        call_data: what the provider's start message says of the call, also to be read like a dictionary
            (`call_data["from"]`); None where there is no phone call.
    """

    body: Any = field(default_factory=dict)
    session_id: str = ""
    handle_sigint: bool = False
    handle_sigterm: bool = False
    pipeline_idle_timeout_secs: float = 300
    session_state: dict[str, Any] = field(default_factory=dict)
    resumed: bool = False
    call_data: CallInfo | None = None


@dataclass(frozen=True, kw_only=True)
class SmallWebRTCRunnerArguments(RunnerArguments):
    """A browser, or another WebRTC peer."""

    webrtc_connection: Any
    """A `SmallWebRTCConnection`, for `SmallWebRTCTransport`."""


@dataclass(frozen=True, kw_only=True)
class InProcessRunnerArguments(RunnerArguments):
    """A caller in the same process, as in `runner.testing`.

    Attributes:
        transport: whose parameters of `create_transport` apply, such as "webrtc" or "twilio".
        make_transport: builds the transport from these `TransportParams`.
    """

    transport: str
    make_transport: Callable[[Any], Any]


@dataclass(frozen=True, kw_only=True)
class DailyRunnerArguments(RunnerArguments):
    """A Daily room, and the bot's token for it."""

    room_url: str
    token: str | None = None


@dataclass(frozen=True, kw_only=True)
class WebSocketRunnerArguments(RunnerArguments):
    """A phone call over a provider's media socket, or a plain WebSocket client.

    Attributes:
        websocket: the accepted socket; its handshake has been read.
        provider: "twilio", "telnyx", "plivo", "exotel", or "websocket" for a plain client.
        stream_id: the provider's id of this media stream.
        call_id: the provider's id of the call.
        from_number: the caller's number, if it is known.
        to_number: the number that was called, if it is known.
        custom_parameters: those of the answer document.
        serializer: for this call's provider, ids and sound format.
    """

    websocket: WebSocket
    provider: str = ""
    stream_id: str = ""
    call_id: str = ""
    from_number: str | None = None
    to_number: str | None = None
    custom_parameters: Mapping[str, str] = field(default_factory=dict)
    serializer: FrameSerializer | None = None

    @property
    def transport_type(self) -> str:
        """The provider's name, as Pipecat's bots know it."""
        return self.provider
