"""The arguments of `bot(runner_args)`: frozen, and complete before the bot is called."""

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
    """The arguments of every bot.

    Attributes:
        body: the body of `/start`, of the browser's offer, or of `--body`.
        session_id: the call's id in logs, records and URLs.
        handle_sigint: whether the bot's `PipelineRunner` should handle Ctrl-C. False: botrun does.
        handle_sigterm: the same for SIGTERM.
        pipeline_idle_timeout_secs: time (s) without speech after which the call ends; 0 = never.
        session_state: your own values (JSON), kept across a reload of the bot's code.
        resumed: whether the call began under older code: the context has its history, and the greeting has
            been said.
        call_data: data of the provider's start message, by attribute or by key (`call_data["from"]`); None
            if this is not a phone call.
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
        transport: which parameters of `create_transport` apply, such as "webrtc" or "twilio".
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
        websocket: the accepted socket, after its handshake.
        provider: "twilio", "telnyx", "plivo", "exotel", or "websocket" for a plain client.
        stream_id: the provider's id of this media stream.
        call_id: the provider's id of the call.
        from_number: the caller's number, if known.
        to_number: the called number, if known.
        custom_parameters: the parameters from the answer document.
        serializer: the serializer for this call's provider, ids and audio format.
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
        """Alias of `provider`, as in Pipecat."""
        return self.provider
