"""`create_transport`: the transport that fits the arguments, from one factory of parameters for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from runner.arguments import (
    DailyRunnerArguments,
    RunnerArguments,
    SmallWebRTCRunnerArguments,
    WebSocketRunnerArguments,
)
from runner.errors import UsageError
from runner.transports.base import BaseTransport

Factories = Mapping[str, Callable[[], Any]]


async def create_transport(runner_args: RunnerArguments, transport_params: Factories) -> BaseTransport:
    """Build the transport for this call.

    ```python
    transport = await create_transport(runner_args, {
        "webrtc": lambda: TransportParams(audio_in_enabled=True, audio_out_enabled=True),
        "twilio": lambda: FastAPIWebsocketParams(audio_in_enabled=True, audio_out_enabled=True),
    })
    ```

    Raises:
        UsageError: there is no factory for the way this caller came.
    """
    match runner_args:
        case SmallWebRTCRunnerArguments():
            from runner.transports.webrtc import SmallWebRTCTransport

            params = _params(transport_params, "webrtc")
            return SmallWebRTCTransport(params=params, webrtc_connection=runner_args.webrtc_connection)
        case WebSocketRunnerArguments():
            from runner.transports.websocket import FastAPIWebsocketTransport

            params = _params(transport_params, runner_args.provider)
            if getattr(params, "serializer", None) is None:
                params.serializer = runner_args.serializer
            return FastAPIWebsocketTransport(websocket=runner_args.websocket, params=params)
        case DailyRunnerArguments():
            raise UsageError("Daily rooms are not served by this version of botrun")
        case _:
            raise UsageError(f"create_transport knows no transport for {type(runner_args).__name__}")


def _params(factories: Factories, name: str) -> Any:
    if name not in factories:
        raise UsageError(
            f"this bot has no parameters for {name!r}: add {name!r}: lambda: … to create_transport "
            f"(it has {', '.join(factories) or 'none'})"
        )
    return factories[name]()
