"""botrun's arguments as the classes of `pipecat.runner.types`, with all that Pipecat's runner sets."""

from __future__ import annotations

import argparse
from dataclasses import fields
from typing import Any, TypeVar

from pipecat.runner import types

from runner.arguments import (
    DailyRunnerArguments,
    RunnerArguments,
    SmallWebRTCRunnerArguments,
    WebSocketRunnerArguments,
)
from runner.errors import MissingPackageError, UsageError
from runner.integrations.pipecat.call import PipecatCall
from runner.integrations.pipecat.transports.phone_socket import PhoneSocket
from runner.transports.websocket.socket import CallWebSocket

T = TypeVar("T")

PLAIN_CLIENT = "websocket"


def translate(args: RunnerArguments, call: PipecatCall, cli_args: argparse.Namespace) -> Any:
    """What the bot's function is given.

    Raises:
        UsageError: Pipecat has no such arguments.
    """
    match args:
        case WebSocketRunnerArguments():
            theirs = _websocket(args, call)
        case SmallWebRTCRunnerArguments():
            theirs = _webrtc(args, call)
        case DailyRunnerArguments():
            theirs = _make(types.DailyRunnerArguments, args, room_url=args.room_url, token=args.token)
        case _:
            raise UsageError(f"a Pipecat bot cannot be called with {type(args).__name__}")
    theirs.handle_sigint = theirs.handle_sigterm = False
    # 0 switches the timeout off here, None does there.
    theirs.pipeline_idle_timeout_secs = args.pipeline_idle_timeout_secs or None
    theirs.cli_args = cli_args
    return theirs


def _make(kind: type[T], args: RunnerArguments, **more: Any) -> T:
    """The arguments that this version's class knows; the others are set behind it."""
    body = args.body if args.body is not None else {}
    values = {"body": body, "session_id": args.session_id, **more}
    known = {field.name for field in fields(kind) if field.init}  # type: ignore[arg-type]
    made = kind(**{name: value for name, value in values.items() if name in known})
    for name, value in values.items():
        if name not in known:
            setattr(made, name, value)
    return made


def _websocket(args: WebSocketRunnerArguments, call: PipecatCall) -> Any:
    assert isinstance(args.websocket, CallWebSocket)
    socket = PhoneSocket(args.websocket, call.port)
    call.line = socket
    # None makes Pipecat read the provider from the first messages, which the socket repeats.
    transport_type = PLAIN_CLIENT if args.provider == PLAIN_CLIENT else None
    return _make(types.WebSocketRunnerArguments, args, websocket=socket, transport_type=transport_type)


def _webrtc(args: SmallWebRTCRunnerArguments, call: PipecatCall) -> Any:
    try:
        from runner.integrations.pipecat.transports.webrtc import BridgedConnection
    except ImportError as error:
        raise MissingPackageError(
            "Pipecat's WebRTC transport", error.name or "aiortc", "pip install 'pipecat-ai[webrtc]'"
        ) from error
    connection = BridgedConnection(args.webrtc_connection)
    call.connection, call.line = connection, connection
    return _make(types.SmallWebRTCRunnerArguments, args, webrtc_connection=connection)
